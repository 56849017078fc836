"""Models and what is done to them: steps, plans, workloads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from hasten.types.tensors import BATCH, Spec, freeze


@dataclass(frozen=True)
class Use:
    """A plug-in with its options: ``Use("openvino", (("precision", "bf16"),))``."""

    name: str
    options: tuple[tuple[str, Any], ...] = ()

    @classmethod
    def of(cls, name: str, **options: Any) -> Use:
        return cls(name, tuple(sorted((key, freeze(value)) for key, value in options.items())))

    def with_options(self, **options: Any) -> Use:
        """The same plug-in with some options changed."""
        return Use.of(self.name, **{**dict(self.options), **options})

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "options": {k: _listed(v) for k, v in self.options}}

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Use:
        return cls.of(raw["name"], **raw["options"])

    def __str__(self) -> str:
        shown = [f"{k}={_short(v)}" for k, v in self.options if v not in (None, (), False, "")]
        return self.name + (f"({', '.join(shown)})" if shown else "")


def _listed(value: Any) -> Any:
    return [_listed(item) for item in value] if isinstance(value, tuple) else value


def _short(value: Any) -> str:
    return f"{len(value)} layers" if isinstance(value, tuple) else str(value)


@dataclass(frozen=True)
class Step:
    """One thing that was done to a model, with what it took and what was checked.

    ``difference`` is the largest output difference from the step's input, as a share of the
    output's range (``None``: the step is meant to change the outputs, or nothing was compared).
    ``against`` names what gave the outputs to compare with where it was not the step's input: the
    framework that a model was loaded from.
    """

    family: str
    use: Use
    seconds: float = 0.0
    difference: float | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    note: str = ""
    against: str = ""

    def to_json(self) -> dict[str, Any]:
        return {
            "family": self.family,
            "use": self.use.to_json(),
            "seconds": round(self.seconds, 3),
            "difference": self.difference,
            "versions": dict(self.versions),
            "note": self.note,
            "against": self.against,
        }

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Step:
        return cls(**{**raw, "use": Use.from_json(raw["use"])})


@dataclass(frozen=True)
class Model:
    """A model in exactly one form, never mutated.

    ``form`` names the form (``"torch"``, ``"onnx"``, ``"openvino"``); ``handle`` is that
    library's own object (``nn.Module``, ``onnx.ModelProto``, ``openvino.Model``). ``traits`` are
    facts that plug-ins may ask for: ``"attention"``, ``"recurrent"``, ``"convolution"``,
    ``"quantized"``, ``"control-flow"``, ``"uint8-input"``.
    """

    form: str
    handle: Any
    spec: Spec
    traits: frozenset[str] = frozenset()
    history: tuple[Step, ...] = ()

    def derive(self, step: Step, **changes: Any) -> Model:
        """A new model that came from this one by ``step``."""
        return replace(self, **{"history": (*self.history, step), **changes})


@dataclass(frozen=True)
class Workload:
    """How the model will be called: the situation in which it has to be fast.

    ``sizes`` binds every free dimension, ``batch`` included. ``threads`` is the number of CPU
    threads the user grants (``None``: all cores).
    """

    batch: int = 1
    sizes: tuple[tuple[str, int], ...] = ()
    threads: int | None = None
    objective: str = "latency"
    target: str = "cpu"

    @property
    def bound(self) -> dict[str, int]:
        """Every free dimension with its size."""
        return {**dict(self.sizes), BATCH: self.batch}

    def to_json(self) -> dict[str, Any]:
        return {
            "batch": self.batch,
            "sizes": dict(self.sizes),
            "threads": self.threads,
            "objective": self.objective,
            "target": self.target,
        }

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Workload:
        sizes = tuple(sorted(raw["sizes"].items()))
        return cls(raw["batch"], sizes, raw["threads"], raw["objective"], raw["target"])


@dataclass(frozen=True)
class Plan:
    """A recipe for one candidate: converters and techniques in order, then an engine.

    ``steps`` are ``(family, use)`` pairs. Two plans with equal text build equal candidates from
    the same model and data.
    """

    steps: tuple[tuple[str, Use], ...]
    engine: Use

    @property
    def name(self) -> str:
        """What a person reads: techniques and engine; converters go without saying."""
        techniques = [str(use) for family, use in self.steps if family == "techniques"]
        return " + ".join([*techniques, str(self.engine)])

    @property
    def complexity(self) -> int:
        """How much it does to the model: ties go to the smaller number."""
        return 10 * len(self.steps) + len(self.engine.options)

    def to_json(self) -> dict[str, Any]:
        return {
            "steps": [[family, use.to_json()] for family, use in self.steps],
            "engine": self.engine.to_json(),
        }

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Plan:
        steps = tuple((family, Use.from_json(use)) for family, use in raw["steps"])
        return cls(steps, Use.from_json(raw["engine"]))
