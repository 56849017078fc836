"""What was found out: kernels, ratios, scores, trials, verdicts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hasten.types.models import Plan, Step


@dataclass(frozen=True)
class Verdict:
    """Yes or no, why, and what to do about it. The doctor, the planner and errors share it."""

    ok: bool
    why: str = ""
    fix: str = ""

    def __bool__(self) -> bool:
        return self.ok


@dataclass(frozen=True)
class Kernel:
    """One kernel as the runtime's own profile reports it.

    ``precision`` is the arithmetic it ran in (``"int8"``, ``"bf16"``, ``"f32"`` …), ``seconds``
    the time per call, ``macs`` the multiply-adds it did (0 where it does none, or unknown).
    """

    name: str
    op: str
    precision: str
    seconds: float
    macs: int = 0

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "op": self.op,
            "precision": self.precision,
            "seconds": self.seconds,
            "macs": self.macs,
        }

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Kernel:
        return cls(**raw)


@dataclass(frozen=True)
class Ratio:
    """A speed ratio (above 1: the candidate is faster) with its confidence interval."""

    value: float
    low: float
    high: float
    rounds: int
    confidence: float = 0.95

    def to_json(self) -> dict[str, Any]:
        return {
            "value": self.value,
            "low": self.low,
            "high": self.high,
            "rounds": self.rounds,
            "confidence": self.confidence,
        }

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Ratio:
        return cls(**raw)

    def __str__(self) -> str:
        return f"{self.value:.2f}x [{self.low:.2f}, {self.high:.2f}]"


@dataclass(frozen=True)
class Score:
    """A candidate's quality on one split, judged against the limit.

    ``drop`` is reference minus candidate for a metric where more is better (``None`` for a floor
    metric); ``bound`` is the one-sided confidence bound that is compared with ``limit``.
    ``verdict`` is ``"equivalent"``, ``"proven"``, ``"unproven"`` or ``"broken"``; ``needed`` is
    the number of samples that would settle an unproven one (0: cannot be told); ``unusable`` that
    of samples on which the candidate gives NaN, or an infinity that the reference has not.
    """

    metric: str
    split: str
    n: int
    reference: float | None
    value: float
    drop: float | None
    bound: float
    limit: float
    verdict: str
    needed: int = 0
    unusable: int = 0

    def to_json(self) -> dict[str, Any]:
        return dict(self.__dict__)

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Score:
        return cls(**raw)


@dataclass
class Trial:
    """What happened to one plan: grows while the search runs, and is written down as it grows.

    ``status``: ``planned``, ``built``, ``failed``, ``wrong`` (numerics), ``broken`` (accuracy),
    ``dominated`` (slower), ``finalist``, ``winner``, ``reference``.
    """

    plan: Plan
    key: str = ""
    status: str = "planned"
    error: str = ""
    spent: float = 0.0
    cached: bool = False
    difference: float | None = None
    scores: list[Score] = field(default_factory=list)
    rounds: dict[str, list[list[float]]] = field(default_factory=dict)
    ratio: Ratio | None = None
    seconds_per_call: float | None = None
    p95_seconds: float | None = None
    cold_start_seconds: float | None = None
    memory_bytes: int | None = None
    size_bytes: int | None = None
    kernels: list[Kernel] = field(default_factory=list)
    layers: dict[str, float] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    history: list[Step] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        raw = dict(self.__dict__)
        raw["plan"] = self.plan.to_json()
        raw["name"] = self.plan.name
        raw["ratio"] = self.ratio.to_json() if self.ratio else None
        for key in ("scores", "kernels", "history"):
            raw[key] = [item.to_json() for item in raw[key]]
        return raw

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Trial:
        known = {k: v for k, v in raw.items() if k != "name"}
        known["plan"] = Plan.from_json(raw["plan"])
        known["ratio"] = Ratio.from_json(raw["ratio"]) if raw.get("ratio") else None
        for key, kind in (("scores", Score), ("kernels", Kernel), ("history", Step)):
            known[key] = [kind.from_json(item) for item in raw.get(key, [])]
        return cls(**known)
