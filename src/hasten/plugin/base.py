"""What every plug-in is: a class with requirements, options that are checked, and a name."""

from __future__ import annotations

import importlib.metadata
import typing
from abc import ABC
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar

from hasten.errors import BadInput, NotInstalled, UnknownName
from hasten.types import Verdict

Facts = Mapping[str, Any]
"""What a target's ``probe`` found: plain JSON values."""


class Plugin(ABC):  # noqa: B024  # its families have the abstract methods
    """The root of all plug-ins."""

    family: ClassVar[str] = ""
    requires: ClassVar[tuple[str, ...]] = ()
    """Distributions it needs, each with an optional version range: ``"onnx>=1.16"``."""
    extra: ClassVar[str] = ""
    """The extra of Hasten that installs them."""
    typical_seconds: ClassVar[float] = 2.0
    """Rough seconds of one use on a model of ResNet-18's size and two cores: it orders plans
    (cheap ones first) and gives ``--dry-run`` its estimate. Never used to judge."""

    @dataclass(frozen=True, kw_only=True)
    class Options:
        """No options."""

    @property
    def name(self) -> str:
        """The public name: that of the file."""
        return type(self).__module__.rpartition(".")[2]

    def installed(self) -> Verdict:
        """Whether the distributions it needs are here, without importing them."""
        for requirement in self.requires:
            verdict = distribution(requirement)
            if not verdict:
                return Verdict(False, verdict.why, f"pip install 'hasten[{self.extra}]'")
        return Verdict(True)

    def versions(self) -> dict[str, str]:
        """The versions of the distributions it needs."""
        names = [requirement_name(requirement) for requirement in self.requires]
        return {name: importlib.metadata.version(name) for name in names}

    def options(self, given: Mapping[str, Any]) -> Any:
        """``given`` as this plug-in's ``Options``; unknown names and wrong types are refused."""
        known = {field.name for field in fields(self.Options)}
        kinds = typing.get_type_hints(self.Options) if known else {}
        for key, value in given.items():
            if key not in known:
                raise UnknownName.among(f"option of '{self.name}'", key, known)
            if not _fits(value, kinds[key]):
                raise BadInput(
                    f"Cannot set option '{key}' of '{self.name}' to {value!r}: "
                    f"it takes {_kind_text(kinds[key])}."
                )
        return self.Options(**given)

    def _require(self) -> None:
        verdict = self.installed()
        if not verdict:
            raise NotInstalled(
                f"Cannot use {self.family[:-1].replace('.', ' ')} '{self.name}': {verdict.why}. "
                f"Install it: {verdict.fix}."
            )


def _fits(value: Any, kind: Any) -> bool:
    origin = typing.get_origin(kind)
    if origin is typing.Literal:
        return value in typing.get_args(kind)
    if origin is tuple:
        return isinstance(value, tuple | list)
    if origin is not None or not isinstance(kind, type):
        return any(_fits(value, arg) for arg in typing.get_args(kind))
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, kind)


def _kind_text(kind: Any) -> str:
    if typing.get_origin(kind) is typing.Literal:
        return "one of " + ", ".join(map(repr, typing.get_args(kind)))
    return str(getattr(kind, "__name__", kind))


def requirement_name(requirement: str) -> str:
    """The distribution's name in ``"name>=1,<2"``."""
    from packaging.requirements import Requirement

    return Requirement(requirement).name


def distribution(requirement: str) -> Verdict:
    """Whether an installed distribution satisfies ``requirement``."""
    from packaging.requirements import Requirement

    wanted = Requirement(requirement)
    try:
        version = importlib.metadata.version(wanted.name)
    except importlib.metadata.PackageNotFoundError:
        return Verdict(False, f"{wanted.name} is not installed")
    if not wanted.specifier.contains(version, prereleases=True):
        return Verdict(False, f"{wanted.name} {version} is installed, {requirement} is needed")
    return Verdict(True, version)
