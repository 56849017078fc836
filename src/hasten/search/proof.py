"""The proof: race the candidates, test the fastest ones' accuracy, and time the winner afresh.

The test samples are read for at most three candidates, in the order of the race, each at a third
of the error; equivalent candidates need no reading. Whoever is accepted is then timed against the
reference in fresh rounds, and only those decide. Whatever fails on the way: the original is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import numpy as np

from hasten import stats
from hasten.errors import CandidateFailed, HastenError
from hasten.evidence import Evidence
from hasten.measure import Watch, machine_lock
from hasten.progress import Progress
from hasten.search import pace, race, space
from hasten.search.candidates import RACE_SHARE, Candidates, breach, is_equivalent
from hasten.search.workshop import Contender, Workshop
from hasten.types import Ratio, Score, Trial

TEST_READINGS = 3
ALPHA = 0.05
FINAL_SHARE, OVERTIME_SHARE = 0.7, 0.2
"""What the final may take of the time left; and of the budget, beyond it, where calls are so slow
that too few rounds to decide anything would fit."""
LEAST_RACE_SECONDS, LEAST_FINAL_SECONDS = 8.0, 15.0
HURRIED_SECONDS = 20.0

T = TypeVar("T")


class UntilInterrupted(Protocol):
    """Does some work; ``None`` if Ctrl-C ended it. A second Ctrl-C is not caught."""

    def __call__(self, work: Callable[[], T], /) -> T | None: ...


@dataclass
class Proof:
    """Who won, and what proves it. ``reason`` says why the original was kept, if it was."""

    winner: Trial
    reason: str = ""
    ratio: Ratio | None = None
    baseline: Trial | None = None
    baseline_ratio: Ratio | None = None
    score: Score | None = None
    rounds: dict[str, list[list[float]]] = field(default_factory=dict)
    disturbed_rounds: int = 0
    repeated_rounds: int = 0
    test_readings: int = 0

    def to_json(self) -> dict[str, Any]:
        ratio, baseline = self.ratio, self.baseline_ratio
        return {
            "ratio": ratio.to_json() if ratio else None,
            "baseline_ratio": baseline.to_json() if baseline else None,
            "rounds": self.rounds,
            "scores": [self.score.to_json()] if self.score else [],
            "disturbed_rounds": self.disturbed_rounds,
            "repeated_rounds": self.repeated_rounds,
        }


class Prover:
    """Takes the built candidates to a verdict."""

    def __init__(
        self,
        candidates: Candidates,
        workshop: Workshop,
        evidence: Evidence,
        progress: Progress,
        hurried: Callable[[], bool],
    ) -> None:
        self.candidates = candidates
        self.workshop = workshop
        self.evidence = evidence
        self.progress = progress
        self.hurried = hurried
        self.objective = candidates.settings.objective
        self.track = race.Track(
            np.random.default_rng(candidates.settings.seed),
            watch=Watch(),
            progress=self._show,
        )
        self.open: dict[str, Contender] = {}
        self.readings = 0

    @property
    def reference(self) -> Trial:
        return self.candidates.reference

    def kept(self, reason: str, **more: Any) -> Proof:
        """The verdict that nothing won."""
        return Proof(self.reference, reason, test_readings=self.readings, **more)

    def prove(self, until_interrupted: UntilInterrupted) -> Proof:
        """Race, test, final. An interrupted race goes on with what is known so far."""
        entrants = self.candidates.entrants()
        if not entrants:
            return self.kept(self._why_none())
        with ExitStack() as stack:
            stack.callback(self._close_all)
            if self.objective == "size":
                return self._smallest(entrants)
            self.progress.stage("racing", None)
            with self.evidence.lasting("race"):
                ranking = until_interrupted(lambda: self._race(entrants))
                if ranking is None:
                    ranking = entrants
                    self._close_all()  # whoever was interrupted in its turn has not answered yet
            with self.evidence.lasting("final"):
                proof = until_interrupted(lambda: self._final(ranking))
                if proof is None:  # interrupted: once more, in a hurry, so that it is still proven
                    self.readings = 0
                    self._close_all()
                    proof = self._final(ranking)
                return proof

    def _why_none(self) -> str:
        if self.candidates.evidence.skipped and len(self.candidates.trials) == 1:
            return "the budget was too short to build any candidate"
        return "no candidate could be built within the limit"

    # --- the race ---

    def _opened(self, trials: Iterable[Trial]) -> list[Trial]:
        """Open trials for measuring; those that fail are left out with the reason."""
        for trial in trials:
            if trial.key in self.open:
                continue
            self.progress.doing(f"opening {trial.plan.name}")
            try:
                contender = self.workshop.contender(trial.plan, trial.key, self.objective)
            except HastenError as error:
                if trial is self.reference:
                    raise
                trial.status, trial.error = "failed", f"it did not open for the race: {error}"
                continue
            self.open[trial.key] = contender
            trial.cold_start_seconds = contender.cold_start_seconds
            trial.memory_bytes = contender.memory_bytes
        return [trial for trial in trials if trial.key in self.open]

    def _race(self, entrants: list[Trial]) -> list[Trial]:
        """Time the entrants in turns; returns those that look faster, best first."""
        running = self._opened([self.reference, *entrants])[1:]
        entries = [race.Entry(self.open[t.key], t.plan.complexity) for t in running]
        seconds = max(RACE_SHARE * self.candidates.seconds_left(), LEAST_RACE_SECONDS)
        if self.hurried():
            seconds = min(seconds, HURRIED_SECONDS)
        with machine_lock(waiting=self.progress.note):
            standing = race.race(self.track, self.open[self.reference.key], entries, seconds)
        by_key = {trial.key: trial for trial in self.candidates.trials}
        for key, timed in standing.rounds.items():
            _timed(by_key[key], "race", timed)
            by_key[key].ratio = standing.ratios.get(key)
        for key, why in standing.dropped.items():
            by_key[key].error = why
            by_key[key].status = "dominated" if why.startswith("slower") else "failed"
        if not standing.rounds:
            return self._as_built(running)
        return [by_key[key] for key in standing.ranking]

    def _as_built(self, running: list[Trial]) -> list[Trial]:
        """Where not one round fitted: those that were faster when built, the fastest first. The
        final's rounds alone give the verdict anyway."""
        before = self.reference.seconds_per_call or 0.0
        alive = [trial for trial in running if trial.status == "built"]
        return [trial for trial in alive if (trial.seconds_per_call or np.inf) < before]

    # --- accuracy ---

    def _accepted(self, ranking: list[Trial]) -> tuple[Trial, Score | None] | None:
        """The first candidate whose accuracy is accepted, with its score on the test samples."""
        for trial in ranking:
            if is_equivalent(trial):
                return trial, None
            if self.readings == TEST_READINGS:
                continue
            self.readings += 1
            self.progress.doing(f"testing the accuracy of {trial.plan.name}")
            try:
                score = self.candidates.score(trial, "test", ALPHA / TEST_READINGS)
            except HastenError as error:
                trial.status, trial.error = "failed", str(error)
                continue
            trial.scores.append(score)
            if score.verdict in ("proven", *self.candidates.settings.accept):
                return trial, score
            trial.status = "broken"
            trial.error = _refusal(score)
        return None

    # --- the final ---

    def _final(self, ranking: list[Trial]) -> Proof:
        """Accept one, time it afresh, and decide. One that fails there gives way to the next."""
        left = list(ranking)
        while left:
            accepted = self._accepted(left)
            if accepted is None:
                break
            trial, score = accepted
            try:
                return self._timed_afresh(trial, score)
            except CandidateFailed as error:
                trial.status, trial.error = "failed", f"in the final: {error}"
                left = left[left.index(trial) + 1 :]
        if not ranking:
            return self.kept("no candidate was faster")
        return self.kept("no faster candidate was accepted within the limit")

    def _timed_afresh(self, trial: Trial, score: Score | None) -> Proof:
        """Fresh rounds of winner, reference and fp32 baseline, which alone give the verdict."""
        baseline = self._baseline()
        needed = [self.reference, trial, *([baseline] if baseline else [])]
        self._close_all(but={t.key for t in needed})
        self.progress.stage("proving the winner in fresh rounds")
        if trial not in self._opened(needed):
            raise CandidateFailed(trial.error)
        calls = [one.seconds_per_call or 0.0 for one in needed]
        overtime = OVERTIME_SHARE * self.candidates.settings.budget_seconds
        seconds = max(
            FINAL_SHARE * self.candidates.seconds_left(),
            LEAST_FINAL_SECONDS,
            min(pace.FINAL_ROUNDS * pace.round_seconds(calls), overtime),
        )
        if self.hurried():
            seconds = HURRIED_SECONDS
        with machine_lock(waiting=self.progress.note):
            final = race.final(
                self.track,
                self.open[self.reference.key],
                self.open[trial.key],
                self.open.get(baseline.key) if baseline else None,
                seconds,
            )
        for one in needed:
            _timed(one, "final", final.rounds.get(one.key, []))
        proof = Proof(
            trial if final.verdict == "faster" else self.reference,
            _reason(final, trial),
            final.ratio,
            baseline,
            final.baseline_ratio,
            score,
            final.rounds,
            final.disturbed_rounds,
            final.repeated_rounds,
            self.readings,
        )
        trial.ratio = final.ratio
        if baseline and baseline is not trial:
            baseline.ratio = _fresh_ratio(final.rounds, self.reference.key, baseline.key)
        if final.verdict == "faster":
            trial.status = "winner"
        return proof

    def _baseline(self) -> Trial | None:
        """The fastest equivalent fp32 candidate with the user's own thread setting."""
        exact = [
            trial
            for trial in self.candidates.trials
            if trial is not self.reference
            and trial.status != "failed"
            and trial.seconds_per_call
            and space.is_exact(trial.plan)
            and is_equivalent(trial)
            and not dict(trial.plan.engine.options).get("threads")
        ]
        return min(exact, key=lambda trial: trial.seconds_per_call or np.inf, default=None)

    def _smallest(self, entrants: list[Trial]) -> Proof:
        """For the objective size nothing needs timing: the smallest accepted one wins."""
        before = self.reference.size_bytes or 0
        smaller = [t for t in entrants if t.size_bytes and t.size_bytes < before]
        accepted = self._accepted(smaller)
        if accepted is None:
            return self.kept("no smaller candidate was accepted within the limit")
        trial, score = accepted
        trial.status = "winner"
        value = before / (trial.size_bytes or before)
        trial.ratio = Ratio(value, value, value, 0, 1.0)
        return Proof(trial, "", trial.ratio, score=score, test_readings=self.readings)

    # --- bookkeeping ---

    def _close_all(self, but: set[str] | None = None) -> None:
        for key in [key for key in self.open if key not in (but or ())]:
            self.open.pop(key).close()

    def _show(self, told: race.Progress) -> None:
        leader = next(t for t in self.candidates.trials if t.key == told.leader)
        self.progress.best(f"{leader.plan.name} ({told.speedup:.2f}x, round {told.rounds})")
        self.progress.doing(f"{len(told.alive)} still in")


def _timed(trial: Trial, stage: str, rounds: list[list[float]]) -> None:
    """Keep the raw seconds, and what they say about one call."""
    if not rounds:
        return
    trial.rounds[stage] = rounds
    calls = np.concatenate([np.asarray(turn, np.float64) for turn in rounds])
    trial.seconds_per_call = float(np.median([np.median(turn) for turn in rounds]))
    trial.p95_seconds = float(np.quantile(calls, 0.95))


def _fresh_ratio(rounds: dict[str, list[list[float]]], reference: str, key: str) -> Ratio | None:
    """A contender against the reference over the rounds of the final that both played."""
    pairs = list(zip(rounds.get(reference, []), rounds.get(key, []), strict=False))
    if not pairs:
        return None
    before, after = (
        [float(np.median(turn)) for turn in turns] for turns in zip(*pairs, strict=True)
    )
    return stats.ratio(before, after)


def _reason(final: race.Final, trial: Trial) -> str:
    """Why the original is kept, or nothing."""
    ratio = f" ({final.ratio})" if final.ratio else ""
    return {
        "faster": "",
        "slower": f"the fastest candidate, {trial.plan.name}, is slower in fresh rounds{ratio}",
        "level": f"the fastest candidate, {trial.plan.name}, is not faster beyond noise{ratio}",
        "undecided": f"too few fresh rounds fitted the budget to prove {trial.plan.name}{ratio}",
    }[final.verdict]


def _refusal(score: Score) -> str:
    """Why a test score was not accepted."""
    if score.verdict == "broken":
        return breach(score)
    more = f"; {score.needed} test samples would settle it" if score.needed else ""
    return (
        f"{score.metric} is within the limit {score.limit:g} but not proven "
        f"(bound {score.bound:.4g} on {score.n} test samples{more}); --accept unproven takes it"
    )
