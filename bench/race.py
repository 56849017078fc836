"""One row of the race: build every contender, score it against the limit, time those within it."""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import platform
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from bench import contenders, verdict
from bench.contenders import OURS, REFERENCE, Contender
from bench.contenders.hasten_bundle import BUDGET
from bench.jobs import Job, write_json
from bench.process import Racer, once, scrubbed
from hasten import plugin
from hasten.errors import HastenError, Unsupported
from hasten.measure import Watch, machine_lock, play_rounds
from hasten.types import canonical, digest

PREPARE_SECONDS = 1800.0
BUILD_SECONDS = 3600.0
SCORE_SECONDS = 1800.0
START_SECONDS = 900.0
TURN_SECONDS = 0.05
EXTRA_BLOCKS = 2
"""How often the comparison is prolonged while its interval is too wide."""

Entry = dict[str, Any]
"""What happened to one contender: ``title``, ``status``, ``reason``, and what was measured."""


@dataclass
class Timed:
    """Rounds that were played: the median seconds per call of each contender, per round."""

    rounds: list[dict[str, float]] = field(default_factory=list)
    disturbed: int = 0
    repeated: int = 0

    def play(self, racers: Sequence[Racer], count: int, rng: np.random.Generator) -> dict[str, str]:
        """Play ``count`` more rounds; returns why racers failed, by name."""
        played = play_rounds(racers, count, TURN_SECONDS, rng, watch=Watch())
        self.rounds += [dict(round_.median) for round_ in played.rounds]
        self.disturbed += played.disturbed
        self.repeated += played.repeated
        return {name: why for round_ in played.rounds for name, why in round_.failed.items()}

    def to_json(self) -> dict[str, Any]:
        """Counts, and microseconds per call for each contender in each round (null: not run)."""
        names = sorted({name for round_ in self.rounds for name in round_})
        return {
            "rounds": len(self.rounds),
            "disturbed": self.disturbed,
            "repeated": self.repeated,
            "microseconds": {
                name: [_microseconds(round_.get(name)) for round_ in self.rounds] for name in names
            },
        }


def _microseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1e6, 2)


class Race:
    """A job with its contenders, the fp32 reference first and ours last."""

    def __init__(self, job: Job, names: Sequence[str], rounds: int, budget: str) -> None:
        self.job = job
        self.reference = REFERENCE[bool(job.row.asset)]
        peers = [name for name in names if name not in (OURS, self.reference)]
        self.contenders = [contenders.get(name) for name in (self.reference, *peers, OURS)]
        self.rounds = rounds
        self.budget = budget
        self.entries: dict[str, Entry] = {}
        self.seconds: dict[str, float] = {}

    def run(self) -> dict[str, Any]:
        """The row's result, ready to be written."""
        with self._clocked("prepare"):
            prepared = once("prepare", self.job, None, self.job.folder, PREPARE_SECONDS)
        with self._clocked("build"):
            for contender in self.contenders:
                self.entries[contender.name] = self._entry(contender)
                if self.entries[self.reference]["status"] != "raced":
                    raise Unsupported(f"its fp32 reference {self.entries[self.reference]}.")
        with machine_lock(print) as waited, self._clocked("race"):
            selection, comparison, peer = self._raced()
        self.seconds["wait"] = round(waited, 1)
        result = self._result(selection, comparison, peer)
        return scrubbed({**result, "pictures": prepared["pictures"]})

    @contextlib.contextmanager
    def _clocked(self, what: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self.seconds[what] = round(time.perf_counter() - began, 1)

    # --- building and scoring ---------------------------------------------------------------------

    def _folder(self, contender: Contender) -> Path:
        return self.job.folder / contender.name

    def _entry(self, contender: Contender) -> Entry:
        """Build and score one contender; what stops it is its entry's reason."""
        entry: Entry = {"title": contender.title}
        if why := contender.inapplicable(self.job):
            return {**entry, "status": "not applicable", "reason": why}
        print(f"  {contender.title}", flush=True)
        try:
            entry["build"] = self._built(contender)
            folder = self._folder(contender)
            entry["quality"] = once("score", self.job, contender, folder, SCORE_SECONDS)
        except HastenError as error:
            return {**entry, "status": "failed", "reason": str(error)}
        if not verdict.within_limit(entry["quality"]):
            return {**entry, "status": "out", "reason": verdict.quality_text(entry["quality"])}
        return {**entry, "status": "raced"}

    def _built(self, contender: Contender) -> dict[str, Any]:
        """What building took; a build of the same code, versions and budget is used again."""
        folder = self._folder(contender)
        note, stamp = folder / "built.json", self._stamp(contender)
        if note.exists() and (kept := json.loads(note.read_text()))["stamp"] == stamp:
            return {**kept["build"], "reused": True}
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        wanted = {BUDGET: self.budget}
        built = once("build", self.job, contender, folder, BUILD_SECONDS, wanted)
        write_json(note, {"stamp": stamp, "build": built})
        return built

    def _stamp(self, contender: Contender) -> str:
        """Changes with whatever could change the build."""
        here = Path(__file__).parent
        files = [*here.glob("models/*.py"), *here.glob("contenders/_*.py")]
        files += [here / f"{name}.py" for name in ("jobs", "rows", "samples")]
        files.append(here / "contenders" / f"{contender.name}.py")
        if contender.name == OURS:
            files += Path(plugin.__file__).parent.rglob("*.py")
        code = [path.read_text() for path in sorted(files)]
        budget = self.budget if contender.name == OURS else ""
        return digest(*code, canonical(versions([contender])), self.job.name, budget)

    # --- timing -----------------------------------------------------------------------------------

    def _raced(self) -> tuple[Timed, Timed, str | None]:
        """All choose the best peer in the first rounds; it meets ours in others."""
        first, second = Timed(), Timed()
        with contextlib.ExitStack() as stack:
            racers = [
                racer
                for contender in self.contenders
                if self.entries[contender.name]["status"] == "raced"
                and (racer := self._started(contender, stack))
            ]
            rng = np.random.default_rng(0)
            self._failed(first.play(racers, self.rounds - self.rounds // 2, rng))
            peer = verdict.best(first.rounds, OURS)
            kept = [racer for racer in racers if racer.name in (OURS, peer, self.reference)]
            for _ in range(1 + EXTRA_BLOCKS):
                self._failed(second.play(kept, max(1, self.rounds // 2), rng))
                ratio = verdict.paired(second.rounds, peer, OURS) if peer else None
                if ratio is None or verdict.precise(ratio):
                    break
        return first, second, peer

    def _started(self, contender: Contender, stack: contextlib.ExitStack) -> Racer | None:
        try:
            racer = Racer(self.job, contender, self._folder(contender), START_SECONDS)
        except HastenError as error:
            self._failed({contender.name: str(error)})
            return None
        self.entries[contender.name]["start"] = racer.cost
        return stack.enter_context(racer)

    def _failed(self, reasons: dict[str, str]) -> None:
        for name, why in reasons.items():
            self.entries[name] |= {"status": "failed", "reason": why}

    # --- the result -------------------------------------------------------------------------------

    def _result(self, selection: Timed, comparison: Timed, peer: str | None) -> dict[str, Any]:
        for name, seconds in verdict.medians(selection.rounds).items():
            self.entries[name]["seconds_per_call"] = seconds
        rounds = comparison.rounds
        ratio = verdict.paired(rounds, peer, OURS) if peer else None
        speedup = verdict.paired(rounds, self.reference, OURS)
        ours = self.entries[OURS]
        return {
            "race": self.job.name,
            "row": self.job.row.name,
            "title": self.job.row.title,
            "batch": self.job.batch,
            "weights": self.job.row.weights,
            "limit": self.job.row.limit,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "verdict": verdict.verdict(ratio),
            "plan": ours.get("build", {}).get("facts", {}).get("plan", ""),
            "selection": {**selection.to_json(), "best": peer},
            "comparison": {
                **comparison.to_json(),
                "ratio": ratio.to_json() if ratio else None,
                "reference": self.reference,
                "versus_reference": speedup.to_json() if speedup else None,
            },
            "contenders": self.entries,
            "budget": self.budget,
            "seconds": {**self.seconds, "total": round(sum(self.seconds.values()), 1)},
            "machine": machine(),
            "versions": versions(self.contenders),
        }


def machine() -> dict[str, Any]:
    """What the race ran on."""
    facts = dict(plugin.targets.get("cpu").probe())
    return {"target": facts, "os": platform.platform(), "python": platform.python_version()}


def versions(some: Sequence[Contender]) -> dict[str, str]:
    """Versions of every distribution that these contenders use."""
    names = sorted({name for contender in some for name in contender.packages})
    found = {}
    for name in names:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found
