"""What the user asked of a search, checked before anything is read or written."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hasten import plugin
from hasten.errors import BadInput, NotInstalled, UnknownName
from hasten.plugin import Source
from hasten.types import BATCH, TensorSpec, Workload

OBJECTIVES = ("latency", "throughput", "size")
ACCEPTS = ("unproven",)


def seconds(text: str | float) -> float:
    """A duration: a number of seconds, or text such as ``90s``, ``5m``, ``1h``, ``1h30m``."""
    if isinstance(text, int | float):
        value = float(text)
    else:
        whole = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s?)?", text.strip())
        if not whole or not text.strip():
            raise BadInput(f"Cannot read the duration '{text}'. Write it as 90s, 5m or 1h30m.")
        hours, minutes, rest = (float(part or 0) for part in whole.groups())
        value = hours * 3600 + minutes * 60 + rest
    if not (value > 0 and math.isfinite(value)):
        raise BadInput(f"Cannot use a budget of {text}: it must be above 0. Try 5m.")
    return value


def shape(text: str) -> TensorSpec:
    """An input's shape as the user writes it: ``x=batch,3,224,224`` or ``ids=batch,128:int64``."""
    whole = re.fullmatch(r"(?:(?P<name>[^=]*)=)?(?P<dims>[\w.,]+)(?::(?P<dtype>\w+))?", text)
    if not whole:
        raise BadInput(
            f"Cannot read the shape '{text}'. Write it as name=batch,3,224,224 or "
            "name=batch,128:int64."
        )
    dims = tuple(int(d) if d.isdigit() else d for d in whole["dims"].split(","))
    return TensorSpec(whole["name"] or "", whole["dtype"] or "float32", dims)


def model_source(
    model: Any,
    weights: str | Path | None = None,
    trust: bool = False,
    shapes: Sequence[TensorSpec] = (),
    reference: str | Path | None = None,
    python: str | None = None,
) -> Source:
    """Where the model comes from; factories are looked for in the working folder, too."""
    return Source(
        str(model) if isinstance(model, str | os.PathLike) else model,
        str(weights) if weights else None,
        trust,
        tuple(shapes),
        (os.getcwd(),),
        str(reference) if reference else None,
        python,
    )


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The options of ``optimize``; see there for what each means."""

    metric: str | None = None
    max_drop: float | None = None
    floor: float | None = None
    objective: str = "latency"
    batch: int = 1
    threads: int | None = None
    target: str = "cpu"
    budget_seconds: float = 300.0
    sizes: Mapping[str, int] = field(default_factory=dict)
    shapes: tuple[TensorSpec, ...] = ()
    accept: tuple[str, ...] = ()
    engines: tuple[str, ...] = ()
    out: Path | None = None
    memory_bytes: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        _known("objective", self.objective, OBJECTIVES)
        _known("target", self.target, plugin.targets.names())
        for verdict in self.accept:
            _known("verdict to accept", verdict, ACCEPTS)
        positive("batch", self.batch)
        if self.threads is not None:
            positive("threads", self.threads)
        if self.memory_bytes is not None:
            positive("memory", self.memory_bytes)
        if self.seed < 0:
            raise BadInput(f"Cannot use --seed {self.seed}: it must be 0 or more.")
        for name, size in self.sizes.items():
            positive(f"size {name}", size)
        if BATCH in self.sizes:
            raise BadInput("Cannot set the batch with --size. Use --batch.")
        self._check_limits()
        for name in self.engines:
            _installed(name)

    def _check_limits(self) -> None:
        if self.max_drop is not None and self.floor is not None:
            raise BadInput("Cannot use --max-drop and --floor together. Give one of them.")
        if self.max_drop is not None and not 0 <= self.max_drop < 1:
            raise BadInput(
                f"Cannot use --max-drop {self.max_drop}: it is a share from 0 up to 1 "
                "(0.01 is one percentage point)."
            )
        if self.floor is not None and not math.isfinite(self.floor):
            raise BadInput(f"Cannot use --floor {self.floor}: it must be a finite number.")

    def workload(self, sizes: Mapping[str, int]) -> Workload:
        """The workload, with every free dimension bound by ``sizes``."""
        return Workload(
            self.batch, tuple(sorted(sizes.items())), self.threads, self.objective, self.target
        )


def _known(what: str, name: str, known: Iterable[str]) -> None:
    if name not in known:
        raise UnknownName.among(what, name, known)


def positive(what: str, value: int) -> None:
    """Refuse what is not a whole number from 1 on."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise BadInput(f"Cannot use --{what} {value!r}: it must be a whole number from 1 on.")


def _installed(engine: str) -> None:
    verdict = plugin.engines.get(engine).installed()
    if not verdict:
        raise NotInstalled(
            f"Cannot use engine '{engine}': {verdict.why}. Install it: {verdict.fix}."
        )
