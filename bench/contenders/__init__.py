"""The contenders: one file each, found by its name, used as its own documentation says.

A contender builds from the job and the calibration samples into a folder of its own, and is
loaded from there in another process, where it is asked for answers and timed. A file opens with
the documentation it follows; what differs from it is said there.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from bench.jobs import Job
from hasten.errors import UnknownName
from hasten.types import Arrays

OURS = "hasten_bundle"
"""The contender whose result the race is about."""
REFERENCE = {False: "torch_eager", True: "onnxruntime_default"}
"""The fp32 contender that gives the expected answers, by whether the row is an ONNX model."""


@dataclass(frozen=True)
class Loaded:
    """A contender ready to be timed.

    ``bind`` prepares the inputs of one call and is not timed; ``run`` is what is timed;
    ``arrays`` turns what it returned into NumPy arrays in the model's output order. ``facts`` are
    the settings in force.
    """

    bind: Callable[[Arrays], Any]
    run: Callable[[Any], Any]
    arrays: Callable[[Any], list[np.ndarray]]
    facts: Mapping[str, Any] = field(default_factory=dict)


class Contender(ABC):
    """One way to run a model."""

    title: ClassVar[str]
    """What tables call it."""
    packages: ClassVar[tuple[str, ...]]
    """The distributions whose versions are recorded."""
    environment: ClassVar[Mapping[str, str]] = {}
    """Environment of the processes that build and run it; ``{folder}`` is its own folder."""

    @property
    def name(self) -> str:
        return type(self).__module__.rpartition(".")[2]

    @property
    def source(self) -> str:
        """The documentation that it follows, from its file's docstring."""
        text = " ".join((inspect.getmodule(type(self)).__doc__ or "").split())
        return text.partition("**Source:** ")[2]

    def inapplicable(self, job: Job) -> str:
        """Why it does not apply to this job; empty if it does."""
        return ""

    @abstractmethod
    def build(self, job: Job, folder: Path) -> dict[str, Any]:
        """Make what ``load`` reads, in the empty ``folder``; returns facts to record."""

    @abstractmethod
    def load(self, job: Job, folder: Path) -> Loaded:
        """The model that ``build`` made, ready to be called."""


def names() -> list[str]:
    """Every contender's name, in alphabetical order."""
    modules = pkgutil.iter_modules(__path__)
    return sorted(module.name for module in modules if not module.name.startswith("_"))


def get(name: str) -> Contender:
    """The contender called ``name``."""
    if name not in names():
        raise UnknownName.among("contender", name, names())
    module = importlib.import_module(f"{__name__}.{name}")
    (kind,) = (
        kind
        for kind in vars(module).values()
        if inspect.isclass(kind)
        and issubclass(kind, Contender)
        and kind.__module__ == module.__name__
    )
    return kind()
