"""The candidates: the reference first, then plans cheapest first, rescued and refined.

Every candidate is built and judged on the selection samples here; nothing is decided by speed but
the order, and who is hopeless. The test samples are not touched.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hasten import metrics, plugin
from hasten.errors import BadModel, Unsupported
from hasten.evidence import Evidence
from hasten.plugin import Facts
from hasten.progress import Progress
from hasten.search import pace, space
from hasten.search.ground import Original
from hasten.search.rescue import TRIES, Rescue
from hasten.search.settings import Settings
from hasten.search.space import Situation
from hasten.search.workshop import BUILD_SECONDS, Workshop
from hasten.types import Plan, Score, Trial, Use, Workload

BUILD_SHARE, LEAST_BUILD_SHARE = 0.7, 0.4
"""The share of the budget after which no further candidate is built; the second, where calls are so
slow that measuring needs more than the rest."""
RACE_SHARE = 0.45
"""What the race may take of the time left."""
HOPELESS = 2.5
"""A candidate this many times slower than the fastest so far does not enter the race. On shared
machines whole seconds run at half the speed, so the time at building may be twice too long."""
HOPELESS_TO_COMPILE = 1.75
"""The same for one that is compiled each time it is opened: that takes longer than many rounds."""
COMPILES_SECONDS = 10.0
CONTENDERS = 8
REFINED = 2
WORTH_REFINING = 1.25
"""Finer settings are tried of those at most this many times slower than the fastest."""
RESCUED = 2
WORTH_RESCUE = 1.15
"""Layers in float cost time: a broken candidate is worth saving if it is this much faster."""
LEAST_BUILD_SECONDS = 120.0
"""No candidate counts as hung before this, however little of the budget is left."""
READ_SECONDS = {"selection": 6.0, "test": 20.0}
"""What the reference may take to read a part once, of a budget of 300 s."""


@dataclass
class Candidates:
    """Everything tried so far, and the means to try more."""

    workshop: Workshop
    original: Original
    settings: Settings
    workload: Workload
    limit: metrics.Limit
    target: Facts
    progress: Progress
    evidence: Evidence
    seconds_left: Callable[[], float]
    trials: list[Trial] = field(default_factory=list)
    tried: set[Plan] = field(default_factory=set)
    broken: frozenset[str] = frozenset()
    breaking: frozenset[Use] = frozenset()
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def situation(self) -> Situation:
        """What decides which plans make sense; changes as converters prove broken."""
        return Situation(
            self.original.note["form"],
            self.original.traits,
            self.original.spec,
            self.target,
            self.workload,
            exact_only=self.original.data is None,
            broken=self.broken,
            breaking=self.breaking,
            only=self.settings.engines,
            exportable=self.original.exportable,
        )

    @property
    def reference(self) -> Trial:
        """The user's model as it runs now: the first trial."""
        return self.trials[0]

    # --- the reference ---

    def build_reference(self) -> None:
        """Run the model as its own framework does, and fix how many samples every part reads."""
        plan = space.reference_plan(self.situation)
        if plan is None:
            raise Unsupported(
                f"Cannot run a model in form '{self.original.note['form']}' here: no engine for it "
                "is installed. Install one: pip install 'hasten[onnxruntime,openvino]'."
            )
        self.progress.doing(plan.name)
        share = self.settings.budget_seconds / 300.0
        seconds = {part: share * usual for part, usual in READ_SECONDS.items()}
        first = self.workshop.build_reference(plan, seconds)
        if first.status == "failed":
            raise Unsupported(f"Your model does not run here: {first.error}{self._advice()}")
        if first.facts["unusable"] == first.facts["samples"]:
            raise BadModel(
                "Your model gives NaN or infinity on every sample, so nothing can be compared with "
                f"it. Check the model and what it is given.{self._advice()}"
            )
        first.status = "reference"
        self.counts = dict(first.facts["counts"])
        self._keep(first)
        self.progress.done(first)

    def _advice(self) -> str:
        """What may help a model that does not run on made-up inputs."""
        if self.original.data is not None:
            return ""
        sizes = ", ".join(f"{name}={size}" for name, size in self.original.sizes.items())
        free = f" Its free dimensions were set to {sizes}: set them with --size." if sizes else ""
        return f" It was given made-up inputs.{free} Or give real ones with --data."

    def _keep(self, trial: Trial) -> Trial:
        self.trials.append(trial)
        self.tried.add(trial.plan)
        return trial

    # --- all others ---

    def build_all(self) -> None:
        """Build plans, cheap and likely ones first, until the budget's share is used."""
        queue = self._new_plans()
        self.progress.stage("building candidates", len(queue))
        while queue and self._time_for_another(queue[0]):
            trial = self._try(queue.pop(0))
            if self._learned(trial):
                queue = self._new_plans()
        self._rescue()
        self._refine()
        for plan in queue:
            self.evidence.skip(plan, "the budget was used up before it")

    def _new_plans(self) -> list[Plan]:
        return [plan for plan in space.plans(self.situation) if plan not in self.tried]

    def _time_for(self, plan: Plan) -> bool:
        return self._build_seconds_left() > 0.5 * space.estimate(plan)

    def _time_for_another(self, plan: Plan) -> bool:
        """Whether there is time for a plan that was not tried, and for the rescue after it."""
        kept = max((TRIES * trial.spent for trial in self._worth_rescue()), default=0.0)
        return self._build_seconds_left() - kept > 0.5 * space.estimate(plan)

    def _build_seconds_left(self) -> float:
        """What is left of the share of the budget that goes into building."""
        budget = self.settings.budget_seconds
        reference = self.reference.seconds_per_call or 0.0
        best = min((t.seconds_per_call or reference for t in self.promising), default=reference)
        kept = max(pace.measuring_seconds(reference, best), (1.0 - BUILD_SHARE) * budget)
        return self.seconds_left() - min(kept, (1.0 - LEAST_BUILD_SHARE) * budget)

    def _try(self, plan: Plan) -> Trial:
        """Build one plan and judge it on the selection samples."""
        self.progress.doing(plan.name)
        stem = self.reference_outputs("selection")
        # One that hangs must leave time for others.
        self.workshop.build_seconds = max(LEAST_BUILD_SECONDS, self._build_seconds_left() / 2)
        try:
            trial = self._keep(self.workshop.build(plan, self.counts, stem))
        finally:
            self.workshop.build_seconds = BUILD_SECONDS
        if trial.status == "built":
            self._judge_selection(trial)
        self.progress.done(trial)
        if found := self.promising:
            self.progress.best(
                f"{found[0].plan.name} ({self._times(found[0]):.2f}x, not yet proven)"
            )
        return trial

    def _times(self, trial: Trial) -> float:
        """How many times faster than the reference a trial looked when it was built."""
        return (self.reference.seconds_per_call or 0.0) / (trial.seconds_per_call or np.inf)

    def _learned(self, trial: Trial) -> bool:
        """Whether a trial tells what other plans should avoid."""
        if trial.status == "failed":
            return self._learned_broken(trial)
        if trial.status == "broken" and space.lossy_by_engine(trial.plan):
            self.breaking = self.breaking | {trial.plan.engine}
            return True
        return False

    def _learned_broken(self, trial: Trial) -> bool:
        """Whether a failure was at a converter or a clean step."""
        blamed = {
            use.name
            for family, use in trial.plan.steps
            if f"'{use.name}'" in trial.error and (family == "converters" or not use.options)
        }
        fresh = frozenset(blamed) - self.broken
        self.broken = self.broken | fresh
        return bool(fresh)

    def _rescue(self) -> None:
        """Save those that break the limit but would be fastest: keep their worst layers in float.

        Of the plans that differ only in their engine, the fastest speaks for all.
        """
        for trial in self._worth_rescue()[:RESCUED]:
            if not self._worth_saving(trial):
                return
            trial.layers = self.workshop.layers(trial.plan)
            rescue = Rescue(trial.layers)
            while (keep := rescue.keep()) is not None:
                plan = space.keeping(trial.plan, keep)
                if plan in self.tried or not self._time_for(plan):
                    return
                rescue.judged(self._try(plan).status == "built")

    def _worth_rescue(self) -> list[Trial]:
        """Those that break the limit but are worth saving, the fastest first."""
        fastest: dict[Any, Trial] = {}
        for trial in sorted(filter(self._worth_saving, self.trials), key=self.rank):
            fastest.setdefault(trial.plan.steps, trial)
        return list(fastest.values())

    def _worth_saving(self, trial: Trial) -> bool:
        best = self.rank(self.promising[0]) if self.promising else np.inf
        broken = trial.status == "broken" and space.keepable(trial.plan)
        # Where the engine's setting breaks the limit alone, no layer in float mends it.
        broken = broken and trial.plan.engine not in self.breaking
        return broken and self.rank(trial) * WORTH_RESCUE <= best

    def _refine(self) -> None:
        """Finer settings of the most promising candidates."""
        near = WORTH_REFINING * min(map(self.rank, self.promising), default=0.0)
        for trial in [t for t in self.promising[:REFINED] if self.rank(t) <= near]:
            traits = frozenset(trial.facts["traits"])
            for plan in space.refinements(self.situation, trial.plan, traits, trial.facts["form"]):
                if plan not in self.tried and self._time_for(plan):
                    self._try(plan)

    # --- judging on the selection samples ---

    def _judge_selection(self, trial: Trial) -> None:
        """Equivalent, within the limit, or broken, as a point on the selection samples."""
        if is_equivalent(trial):
            return
        if self.original.data is None:
            trial.status = "wrong"
            far = "in shape, or by NaN or infinity"
            if trial.difference is not None:
                far = f"by {trial.difference:.1e} of their range"
            trial.error = (
                f"its outputs differ {far}; without data only equivalent candidates are accepted. "
                "Give --data."
            )
            return
        score = self.score(trial, "selection", alpha=0.05)
        trial.scores.append(score)
        if score.verdict == "broken":
            trial.status, trial.error = "broken", breach(score)

    def score(self, trial: Trial, part: str, alpha: float) -> Score:
        """A trial judged against the limit on one part; reads that part."""
        stem = self.reference_outputs(part)
        answers = [
            self.workshop.evaluate(self.reference.plan, part, self.counts[part], None),
            self.workshop.evaluate(trial.plan, part, self.counts[part], stem),
        ]
        before, after = map(self.workshop.statistics, answers)
        return metrics.judge(self.limit, before, after, split=part, alpha=alpha)

    def accuracy(self, trial: Trial, part: str) -> np.ndarray | None:
        """Accuracy's statistics over a part that was read before, for tables per class."""
        stem = None if trial is self.reference else self.reference_outputs(part)
        answer = self.workshop.evaluate(trial.plan, part, self.counts[part], stem)
        return self.workshop.accuracy(answer)

    def reference_outputs(self, part: str) -> str:
        """The stem of the reference's outputs over a part, computed once."""
        count = self.counts[part]
        self.workshop.evaluate(self.reference.plan, part, count, None)
        return self.workshop.outputs_stem(self.reference.plan)

    # --- who may race ---

    @property
    def promising(self) -> list[Trial]:
        """Candidates within the limit so far, the quickest (or smallest) first."""
        return sorted((t for t in self.trials if t.status == "built"), key=self.rank)

    def rank(self, trial: Trial) -> float:
        """What to sort by before anything is measured well."""
        if self.settings.objective == "size":
            return float(trial.size_bytes or np.inf)
        return trial.seconds_per_call or np.inf

    def entrants(self) -> list[Trial]:
        """The candidates worth measuring, at most ``CONTENDERS``; the others are dominated."""
        found = self.promising
        fastest = self.rank(found[0]) if found else 0.0
        for place, trial in enumerate(found):
            if place >= CONTENDERS or self.rank(trial) > _hopeless(trial) * fastest:
                self._dominated(trial, "")
        left = [trial for trial in found if trial.status == "built"]
        if self.settings.objective == "size":
            return left
        calls = [trial.seconds_per_call or np.inf for trial in left]
        reference, seconds = (
            self.reference.seconds_per_call or 0.0,
            RACE_SHARE * self.seconds_left(),
        )
        racing = pace.fitting(reference, calls, seconds)
        for trial in left[racing:]:
            self._dominated(trial, "; there was no time to race it")
        return left[:racing]

    def _dominated(self, trial: Trial, why: str) -> None:
        trial.status = "dominated"
        times = f"{self._times(trial):.2f}x the reference's speed when it was built"
        trial.error = f"{times}{why}"


def _hopeless(trial: Trial) -> float:
    """How many times slower than the fastest a candidate may look and still race."""
    opening = plugin.engines.get(trial.plan.engine.name).typical_seconds
    return HOPELESS_TO_COMPILE if opening >= COMPILES_SECONDS else HOPELESS


def is_equivalent(trial: Trial) -> bool:
    """Whether outputs agree within 1e-4 of their range and no decision changed."""
    close = trial.difference is not None and trial.difference <= metrics.EQUIVALENT
    return close and trial.facts.get("decisions_changed") == 0


def breach(score: Score) -> str:
    """How a score breaks the limit."""
    samples = f"{score.split} samples"
    if score.unusable:
        return f"it gives NaN or infinity on {score.unusable} of {score.n} {samples}"
    found = f"loses {score.drop:.4g}" if score.drop is not None else f"is {score.value:.4g}"
    return f"{score.metric} {found} on the {samples}, the limit is {score.limit:g}"
