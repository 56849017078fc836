"""The families that run models and feed them: engines with their runners, targets, data sources."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from hasten.errors import BrokenContract, Unsupported
from hasten.plugin.base import Facts, Plugin
from hasten.types import Arrays, Data, Kernel, Model, Spec, Use, Verdict, Workload


class Runner(ABC):
    """A compiled model, ready to be called. Used in ``with``."""

    facts: dict[str, Any]
    """The settings in force as the runtime itself reports them (threads, precision …)."""

    @abstractmethod
    def bind(self, arrays: Arrays) -> Any:
        """Prepare inputs once (named arrays, model-ready); the result is what ``run`` takes."""

    @abstractmethod
    def run(self, feed: Any) -> Arrays:
        """Compute and wait: outputs by name, owned by the caller until the next ``run``."""

    def submit(self, feed: Any) -> None:
        """Start one call without waiting for it. The default computes at once."""
        self.run(feed)

    def drain(self) -> None:  # noqa: B027  # most runners have nothing to wait for
        """Wait until every submitted call has finished."""

    @abstractmethod
    def profile(self, feed: Any) -> list[Kernel]:
        """The kernels of one call with precision, seconds and multiply-adds. Never timed."""

    def close(self) -> None:  # noqa: B027  # most runners are freed by Python
        """Free what the runner holds."""

    def __enter__(self) -> Runner:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class Engine(Plugin):
    """One runtime: compiles a model of a form it accepts for one workload."""

    family = "engines"
    accepts: ClassVar[tuple[str, ...]]
    targets: ClassVar[tuple[str, ...]] = ("cpu",)
    yardstick: ClassVar[int] = 0
    """Above 0: computes its form faithfully in fp32 with default options; the largest is the
    one that conversions into this form are checked with."""

    def supports(self, form: str, traits: frozenset[str], workload: Workload) -> Verdict:
        """Whether it can run a model with these facts."""
        if form not in self.accepts:
            return Verdict(False, f"runs {' or '.join(self.accepts)}, not {form}")
        if workload.target not in self.targets:
            return Verdict(
                False, f"has no target {workload.target}; it has {', '.join(self.targets)}"
            )
        return Verdict(True)

    def space(
        self, traits: frozenset[str], target: Facts, workload: Workload
    ) -> Iterable[Mapping[str, Any]]:
        """The option settings worth trying, the most promising first. Imports nothing heavy."""
        return [{}]

    def refine(
        self, options: Mapping[str, Any], target: Facts, workload: Workload
    ) -> Iterable[Mapping[str, Any]]:
        """Finer settings (threads, streams) worth trying once ``options`` proved good."""
        return []

    def exact(self, options: Mapping[str, Any]) -> bool:
        """Whether these options keep fp32 arithmetic (so that outputs stay equivalent)."""
        return bool(options.get("precision", "f32") == "f32")

    @abstractmethod
    def compile(self, model: Model, workload: Workload, options: Any) -> Runner:
        """A runner for exactly this workload's batch and sizes."""

    def __call__(self, model: Model, workload: Workload, use: Use) -> Runner:
        self._require()
        verdict = self.supports(model.form, model.traits, workload)
        if not verdict:
            raise Unsupported(f"Cannot run with '{self.name}': it {verdict.why}.")
        runner = self.compile(model, workload, self.options(dict(use.options)))
        if not isinstance(runner, Runner):
            raise BrokenContract(f"Engine '{self.name}' returned no Runner.")
        return runner


class Target(Plugin):
    """What a machine is: its limits, told or measured."""

    family = "targets"

    @abstractmethod
    def probe(self) -> Facts:
        """Facts that cost nothing to learn; ``{"present": False, ...}`` where there is none."""

    def measure(self) -> Facts:
        """Measured peaks (operations and bytes per second), by data type. Takes seconds."""
        return {}


class DataSource(Plugin):
    """One kind of place that samples come from."""

    family = "data.sources"
    order: ClassVar[int] = 50
    """Sources are asked in this order; the first that recognises a request gets it."""
    spelling: ClassVar[str]
    """How a user writes it: ``"digits"``, ``"images:FOLDER"``."""

    @abstractmethod
    def sniff(self, what: Any) -> bool:
        """Whether ``what`` (a name, a path or an object) is this source's to load."""

    @abstractmethod
    def load(self, what: Any, spec: Spec | None, options: Any) -> Data:
        """The samples. ``spec`` is that of the model they are for, where one is known."""

    def __call__(self, what: Any, spec: Spec | None, given: Mapping[str, Any]) -> Data:
        self._require()
        data = self.load(what, spec, self.options(given))
        if not isinstance(data, Data):
            raise BrokenContract(f"Data source '{self.name}' returned no Data.")
        return data
