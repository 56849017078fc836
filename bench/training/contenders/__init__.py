"""The contenders of the training race: one file each, used as its own documentation says.

All train the same network on the same samples. A contender prepares its data, trains for the
number of epochs that was fixed on other seeds, and returns what answers.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import inspect
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

import numpy as np

from bench.training.rows import Job, Row
from hasten.errors import UnknownName

Answers = Callable[[np.ndarray], np.ndarray]
"""From stored inputs ``(n, ...)`` to class numbers ``(n,)``."""
OURS = "ours"
PLAIN = "plain"


class Contender(ABC):
    """One way to train."""

    title: ClassVar[str]
    modules: ClassVar[tuple[str, ...]] = ("torch",)
    """What must be importable; versions are recorded under these names."""
    scheduled: ClassVar[bool] = True
    """Whether the learning rate depends on the number of epochs; if not, one long trial run
    tells when the target is reached."""
    tuned_as: ClassVar[str] = ""
    """The contender whose number of epochs it takes: both have the same optimiser, batch,
    schedule and loss, and differ in who runs the loop."""
    environment: ClassVar[dict[str, str]] = {}
    recipes: ClassVar[tuple[str, ...] | None] = None
    """The networks that it has; ``None``: any ``nn.Module``."""
    own: ClassVar[bool] = False
    """Whether it is Hasten."""

    @property
    def name(self) -> str:
        return type(self).__module__.rpartition(".")[2]

    @property
    def source(self) -> str:
        """The documentation that it follows."""
        text = " ".join((inspect.getmodule(type(self)).__doc__ or "").split())
        return text.partition("**Source:** ")[2]

    def runs(self, row: Row) -> bool:
        """Whether it can take part in a row."""
        return self.recipes is None or row.recipe in self.recipes

    def missing(self) -> str:
        """Which module is not installed; empty if all are."""
        return next((m for m in self.modules if importlib.util.find_spec(m) is None), "")

    def versions(self) -> dict[str, str]:
        """Version of each module's distribution."""
        return {module: importlib.metadata.version(module) for module in self.modules}

    @abstractmethod
    def train(self, job: Job, watch: Callable[[float, Answers], None] | None) -> Answers:
        """Train; ``watch(epochs, answers)`` is called after every epoch of a trial run."""


def names() -> list[str]:
    """Every contender's name, the plain loop first and ours last."""
    found = [info.name for info in pkgutil.iter_modules(__path__) if not info.name.startswith("_")]
    return sorted(found, key=lambda name: (name.startswith(OURS), name != PLAIN, name))


def get(name: str) -> Contender:
    """The contender in the file ``name``."""
    if name not in names():
        raise UnknownName.among("contender", name, names())
    module = importlib.import_module(f"{__name__}.{name}")
    kinds = [thing for thing in vars(module).values() if isinstance(thing, type)]
    return next(kind() for kind in kinds if kind.__module__ == module.__name__)
