"""The families that read, hold and change models: front ends, forms, converters, techniques."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from hasten.errors import BrokenContract, Unsupported
from hasten.plugin.base import Facts, Plugin
from hasten.types import Arrays, Model, Spec, Step, TensorSpec, Use, Verdict, Workload


@dataclass(frozen=True)
class Source:
    """Where a model comes from, as the user said it.

    ``what`` is a path, ``"package.module:factory"``, or a live object. ``examples`` are one
    specification per input, for sources that do not declare their inputs; ``paths`` are folders
    to search for the factory's package first; ``reference`` is an ``.npz`` of inputs and the
    outputs that belong to them; ``python`` is the interpreter that has the source's framework,
    for those that cannot live beside today's.
    """

    what: Any
    weights: str | None = None
    trust: bool = False
    examples: tuple[TensorSpec, ...] = ()
    paths: tuple[str, ...] = ()
    reference: str | None = None
    python: str | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "what": str(self.what),
            "weights": self.weights,
            "trust": self.trust,
            "examples": [spec.to_json() for spec in self.examples],
            "paths": list(self.paths),
            "reference": self.reference,
            "python": self.python,
        }

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Source:
        return cls(
            raw["what"],
            raw["weights"],
            raw["trust"],
            tuple(map(TensorSpec.from_json, raw["examples"])),
            tuple(raw["paths"]),
            raw.get("reference"),
            raw.get("python"),
        )


@dataclass(frozen=True)
class Learner:
    """A model of another framework for ``hasten train``, which learns in that framework's layers.

    ``network`` and ``options`` are a recipe's; its maker also takes ``logits``: whether the loss
    wants these. ``inputs`` are what the module takes: samples as they are stored, never normalised,
    with the channels of pictures first. It has ``keep() -> dict[str, bytes]``: files for the run's
    folder.
    """

    network: str
    options: Mapping[str, Any]
    inputs: tuple[TensorSpec, ...]


class Form(Plugin):
    """How a model is held in memory and kept on disk, without code.

    A handle is the library's own object. Whether it is called with positional or named tensors is
    the form's own affair: engines, converters and techniques that take the form know it.
    """

    family = "forms"
    suffix: ClassVar[str] = ""
    """Of a file that other programs read; empty: it has no such file."""

    def write(self, model: Model, path: Path) -> None:
        """Write ``model.handle`` as a file for other programs, and what belongs to it beside it."""
        raise Unsupported(f"Cannot write form {self.name} as a file for other programs.")

    @abstractmethod
    def save(self, model: Model, folder: Path) -> None:
        """Write ``model.handle`` into the existing, empty ``folder`` as data."""

    @abstractmethod
    def load(self, folder: Path, spec: Spec) -> Any:
        """The handle that ``save`` wrote. Runs no code from the folder."""

    @abstractmethod
    def traits(self, handle: Any) -> frozenset[str]:
        """Facts about the graph that plug-ins may ask for."""

    def layers(self, handle: Any, feeds: Arrays) -> Arrays:
        """Float outputs of every layer with multiply-adds, by layer name, for one batch.

        A layer is a convolution, matrix product or recurrent cell. A technique that quantises
        keeps the names, so that the outputs before and after can be compared layer by layer, and
        takes the same names in its option ``keep``. ``{}``: this form cannot tell.
        """
        return {}

    def size(self, handle: Any) -> tuple[int, int]:
        """``(parameters, multiply-adds of one sample)``, each 0 where it cannot be told."""
        return 0, 0

    def operators(self, handle: Any) -> dict[str, int]:
        """How often each operator occurs, by its name in this form; ``{}``: it cannot tell."""
        return {}

    def written_in(self, handle: Any) -> str:
        """The version of the standard that a handle follows, empty where there is none."""
        return ""

    def bounds(self, handle: Any) -> dict[str, int]:
        """Exclusive upper bounds of integer inputs that look rows up in a table, by input name."""
        return {}


class Frontend(Plugin):
    """Reads one source framework's models."""

    family = "frontends"
    order: ClassVar[int] = 50
    """Front ends are asked in this order; the first that recognises a source gets it."""
    compared_with: ClassVar[str] = ""
    """What computes the outputs that a loaded model must give; empty: it is used as it is."""

    @abstractmethod
    def sniff(self, what: Any) -> bool:
        """Whether ``what`` (a path, ``"pkg.mod:factory"`` or an object) is this framework's."""

    def describes(self, what: Any) -> bool:
        """Whether ``what`` declares its own inputs, so that no example is needed to load it."""
        return True

    def samples(self, what: Any) -> Any:
        """The data that ``what`` brings, as ``hasten.data.load`` takes them; or ``None``."""
        return None

    def learner(self, what: Any) -> Learner | None:
        """How ``what`` becomes a module that learns; ``None`` where it cannot."""
        return None

    @abstractmethod
    def load(self, source: Source) -> Model:
        """The model, in one form, with its specification."""

    def __call__(self, source: Source) -> Model:
        from hasten.plugin import checking  # it asks for engines, which this file comes before

        self._require()
        began = time.perf_counter()
        model = self.load(source)
        if not model.spec.inputs or not model.spec.outputs:
            raise BrokenContract(f"Front end '{self.name}' returned a model without a spec.")
        if source.reference is not None:
            model = checking.referenced(model, self.name, source.reference)
        step = Step(
            self.family,
            Use.of(self.name),
            time.perf_counter() - began,
            versions=self.versions(),
        )
        return checking.merged(model, step)


class Converter(Plugin):
    """One edge between two forms. Whoever calls it compares the outputs of both sides."""

    family = "converters"
    takes: ClassVar[str]
    gives: ClassVar[str]

    @abstractmethod
    def convert(self, model: Model, workload: Workload) -> Any:
        """The same computation in the form ``gives``: its handle, free dimensions kept."""

    def __call__(self, model: Model, workload: Workload) -> Model:
        self._require()
        if model.form != self.takes:
            raise BrokenContract(f"'{self.name}' takes form {self.takes}, not {model.form}.")
        began = time.perf_counter()
        handle = self.convert(model, workload)
        seconds = time.perf_counter() - began
        step = Step(self.family, Use.of(self.name), seconds, versions=self.versions())
        return model.derive(step, form=self.gives, handle=handle)


class Technique(Plugin):
    """One compression idea: changes a model's graph or weights, not its form.

    ``stage``: ``"clean"`` techniques go first on every plan of their form, ``"compress"`` ones
    are alternatives to each other, ``"finish"`` ones are tried on top of what proved fast.
    ``exact``: the outputs must stay equivalent. ``calibrates``: it needs sample inputs.
    ``needs``, ``forbids`` and ``gives`` are traits of models; they decide order and clashes.
    """

    family = "techniques"
    accepts: ClassVar[tuple[str, ...]]
    stage: ClassVar[Literal["clean", "compress", "finish"]] = "compress"
    exact: ClassVar[bool] = False
    calibrates: ClassVar[bool] = False
    needs: ClassVar[frozenset[str]] = frozenset()
    forbids: ClassVar[frozenset[str]] = frozenset()
    gives: ClassVar[frozenset[str]] = frozenset()

    def supports(self, form: str, traits: frozenset[str], spec: Spec) -> Verdict:
        """Whether it can be applied to a model with these facts."""
        if form not in self.accepts:
            return Verdict(False, f"takes {' or '.join(self.accepts)}, not {form}")
        if missing := self.needs - traits:
            return Verdict(False, f"needs a model with {', '.join(sorted(missing))}")
        if clash := self.forbids & traits:
            return Verdict(False, f"not for a model with {', '.join(sorted(clash))}")
        return Verdict(True)

    def space(self, traits: frozenset[str], target: Facts) -> Iterable[Mapping[str, Any]]:
        """The option settings worth trying, the most promising first. Imports nothing heavy."""
        return [{}]

    @abstractmethod
    def apply(self, model: Model, samples: Arrays, options: Any) -> Model:
        """The changed model. ``samples`` are calibration inputs ``(n, ...)``, model-ready.

        Returns ``replace(model, handle=..., ...)``; the given model stays as it was.
        """

    def __call__(self, model: Model, samples: Arrays, use: Use) -> Model:
        self._require()
        verdict = self.supports(model.form, model.traits, model.spec)
        if not verdict:
            raise Unsupported(f"Cannot apply '{self.name}' to this model: {verdict.why}.")
        options = self.options(dict(use.options))
        began = time.perf_counter()
        made = self.apply(model, samples, options)
        seconds = time.perf_counter() - began
        if made is model or made.handle is model.handle:
            raise BrokenContract(f"Technique '{self.name}' returned the model it was given.")
        if made.form != model.form or made.history != model.history:
            raise BrokenContract(f"Technique '{self.name}' changed the form or the history.")
        step = Step(self.family, use, seconds, versions=self.versions())
        return made.derive(step, traits=made.traits | self.gives)
