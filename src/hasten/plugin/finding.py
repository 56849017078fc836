"""How plug-ins are found: by file name, imported only when asked for."""

from __future__ import annotations

import importlib
import importlib.metadata
import inspect
import pkgutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Generic, TypeVar

from hasten.errors import BrokenContract, UnknownName
from hasten.plugin.base import Plugin
from hasten.plugin.frameworks import Framework
from hasten.plugin.models import Converter, Form, Frontend, Technique
from hasten.plugin.running import DataSource, Engine, Target
from hasten.plugin.training import Speedup

P = TypeVar("P", bound=Plugin)


class Family(Generic[P]):
    """All plug-ins of one kind, found by file name and imported when asked for."""

    def __init__(self, base: type[P]) -> None:
        self.base = base
        self.name = base.family
        self.package = f"hasten.{base.family}"

    def names(self) -> list[str]:
        """Public names in alphabetical order, those of outside packages included."""
        folder = Path(__file__).parents[1].joinpath(*self.name.split("."))
        own = [m.name for m in pkgutil.iter_modules([str(folder)]) if not m.name.startswith("_")]
        return sorted({*own, *self._outside()})

    def _outside(self) -> dict[str, str]:
        """Modules of other packages' plug-ins by public name."""
        points = importlib.metadata.entry_points(group=self.package)
        return {point.name: point.module for point in points}

    def get(self, name: str) -> P:
        """The plug-in called ``name``."""
        found = self._kind(name)()
        if found.name != name:
            raise BrokenContract(
                f"Plug-in '{name}' lies in a file called '{found.name}'. A plug-in's name is that "
                "of its file: name the entry point so."
            )
        return found

    def _kind(self, name: str) -> type[P]:
        if name not in self.names():
            raise UnknownName.among(self.name[:-1].replace(".", " "), name, self.names())
        module = importlib.import_module(self._outside().get(name, f"{self.package}.{name}"))
        kinds = [
            kind
            for kind in vars(module).values()
            if inspect.isclass(kind)
            and issubclass(kind, self.base)
            and kind.__module__ == module.__name__
            and not inspect.isabstract(kind)
        ]
        if len(kinds) != 1:
            raise BrokenContract(
                f"{module.__name__} must hold exactly one {self.base.__name__}, not {len(kinds)}."
            )
        kind: type[P] = kinds[0]
        return kind

    def all(self) -> Iterator[P]:
        """Every plug-in that can be imported. The doctor reports those that cannot."""
        outside = self._outside()
        for name in self.names():
            try:
                yield self.get(name)
            except ImportError:
                continue
            except Exception:  # what is wrong with another package must not stop Hasten
                if name not in outside:
                    raise

    def available(self) -> Iterator[P]:
        """Every plug-in whose packages are installed."""
        return (plugin for plugin in self.all() if plugin.installed())


# mypy cannot see that these abstract classes are only keys here.
forms: Family[Form] = Family(Form)  # type: ignore[type-abstract]
frontends: Family[Frontend] = Family(Frontend)  # type: ignore[type-abstract]
converters: Family[Converter] = Family(Converter)  # type: ignore[type-abstract]
techniques: Family[Technique] = Family(Technique)  # type: ignore[type-abstract]
engines: Family[Engine] = Family(Engine)  # type: ignore[type-abstract]
targets: Family[Target] = Family(Target)  # type: ignore[type-abstract]
sources: Family[DataSource] = Family(DataSource)  # type: ignore[type-abstract]
speedups: Family[Speedup] = Family(Speedup)  # type: ignore[type-abstract]
frameworks: Family[Framework] = Family(Framework)  # type: ignore[type-abstract]

FAMILIES: Mapping[str, Family[Any]] = MappingProxyType(
    {
        family.name: family
        for family in (
            *(frontends, forms, converters, techniques, engines, targets, sources),
            *(speedups, frameworks),
        )
    }
)
