"""Hasten: make a deep-learning model as fast as the hardware allows, and prove that it still works.

The verbs, in order: ``train`` a model, ``optimize`` it, ``load`` the bundle it wrote, ``bench``
and ``verify`` it elsewhere; ``convert`` it to another format. ``plans`` shows what a search would
try, ``compare_frameworks`` which framework is fastest here. Data come in as names, files or
``Data``.

Every public name is imported when it is first asked for, so that ``import hasten`` costs nothing.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hasten.bench import bench
    from hasten.bundle import Bundle, load
    from hasten.compare import Comparison, compare_frameworks
    from hasten.convert import convert
    from hasten.errors import HastenError
    from hasten.optimize import optimize, plans
    from hasten.result import Result
    from hasten.train import Run, train
    from hasten.types import Data, Normalisation, TensorSpec
    from hasten.verify import verify

__all__ = [
    "Bundle",
    "Comparison",
    "Data",
    "HastenError",
    "Normalisation",
    "Result",
    "Run",
    "TensorSpec",
    "bench",
    "compare_frameworks",
    "convert",
    "load",
    "optimize",
    "plans",
    "train",
    "verify",
]

HOMES = {
    "bench": "bench",
    "bundle": "Bundle load",
    "compare": "Comparison compare_frameworks",
    "convert": "convert",
    "errors": "HastenError",
    "optimize": "optimize plans",
    "result": "Result",
    "train": "Run train",
    "types": "Data Normalisation TensorSpec",
    "verify": "verify",
}
"""The public names that each module holds."""


class _Public:
    """A public name of the package.

    A verb has the name of its file, and the import system binds that name to the module as soon
    as anybody imports the file. Here the verb wins, whatever was imported first.
    """

    def __init__(self, module: str, name: str) -> None:
        self.module = module
        self.name = name

    def __get__(self, package: ModuleType, kind: type) -> Any:
        held = vars(package)
        if self.name not in held:
            held[self.name] = getattr(importlib.import_module(f"hasten.{self.module}"), self.name)
        return held[self.name]

    def __set__(self, package: ModuleType, value: object) -> None:
        if not isinstance(value, ModuleType):
            vars(package)[self.name] = value


class _Package(ModuleType):
    """This package, with its public names."""

    def __getattr__(self, name: str) -> Any:
        if name == "data":  # hasten.data.load, without an import of its own
            return importlib.import_module("hasten.data")
        raise AttributeError(f"module 'hasten' has no attribute '{name}'", name=name, obj=self)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *__all__})


for _module, _names in HOMES.items():
    for _name in _names.split():
        setattr(_Package, _name, _Public(_module, _name))
sys.modules[__name__].__class__ = _Package
