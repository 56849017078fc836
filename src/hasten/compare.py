"""Which framework is fastest here? One network in each, trained and run in turns, with intervals.

found = hasten.compare_frameworks("cnn", "fashion-mnist")
found.record["rivals"]                     what the table shows
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hasten import data as sources
from hasten import plugin, recipes, stats
from hasten.agreement import difference
from hasten.comparing import network
from hasten.errors import BadInput, HastenError, NumericMismatch, UnknownName
from hasten.evidence import created
from hasten.measure import machine_lock
from hasten.progress import Progress
from hasten.search.child import Child, memory_limit
from hasten.training.facts import machine
from hasten.training.parts import divide, normalisation
from hasten.types import Data

REFERENCE = "pytorch"
STEPS, ROUNDS, LOOKED_AT = 240, 8, 64
LEARNING_RATE, MOMENTUM = 0.05, 0.9
"""Of plain SGD, which every framework has and computes alike."""
MOST_TRAINED, MOST_TESTED = 20_000, 5_000
BUILD_SECONDS, CALL_SECONDS = 900.0, 1800.0
ANSWER_SECONDS = 0.5
TOLERANCE = 1e-3
"""Of the range of the first outputs, between a framework and PyTorch."""
MODULE = "hasten.comparing.child"
TURNS = ("train", "latency", "throughput")
"""What is timed in rounds."""


@dataclass(frozen=True)
class Comparison:
    """What was measured, as a JSON-ready record, and the folder that it is kept in."""

    record: dict[str, Any]
    path: Path | None

    def to_json(self) -> dict[str, Any]:
        return {**self.record, "folder": None if self.path is None else str(self.path)}


def compare_frameworks(
    recipe: str | None = None,
    data: Any = None,
    *,
    out: str | Path | None = None,
    frameworks: Sequence[str] = (),
    steps: int = STEPS,
    rounds: int = ROUNDS,
    batch: int | None = None,
    learning_rate: float | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    command: str = "",
) -> Comparison:
    """Train and run one network in every framework that is installed, each in its own process.

    All begin with the same weights and learn from the same batches in fp32, by SGD with momentum
    0.9; their first outputs are compared. ``steps`` are taken in ``rounds`` turns; the order is
    drawn by lot, and the others stand still. ``frameworks`` are names; none: all. With ``out`` the
    record and its page are kept in a folder.
    """
    for name, value in (("steps", steps), ("rounds", rounds), ("batch", batch or 1)):
        if not (isinstance(value, int) and value > 0):
            raise BadInput(f"Cannot use --{name} {value}: it must be a whole number from 1 on.")
    if steps <= rounds:
        raise BadInput(f"Cannot take {steps} steps in {rounds} rounds: give more --steps.")
    if data is None:
        raise BadInput(
            f"Cannot compare without data. Give --data: {', '.join(sources.known())}, or "
            "images:FOLDER."
        )
    known = plugin.frameworks.names()
    for name in frameworks:
        if name not in known:
            raise UnknownName.among("framework", name, known)
    place = None if out is None else _new(Path(out))
    found = sources.load(data)
    chosen = recipes.chosen(found) if recipe is None else recipes.named(recipe)
    race = _Race(
        chosen,
        found,
        list(frameworks) or known,
        steps=steps,
        rounds=rounds,
        batch=batch or int(chosen.training["batch"]),
        learning_rate=learning_rate or LEARNING_RATE,
        seed=seed,
        progress=progress or Progress(),
    )
    record = race.run()
    record |= {"command": command, "created": created()}
    if place is not None:
        _keep(place, record)
    return Comparison(record, place)


class _Race:
    """One comparison. The methods stand in the order in which they are called."""

    def __init__(
        self,
        recipe: recipes.Recipe,
        data: Data,
        names: list[str],
        *,
        steps: int,
        rounds: int,
        batch: int,
        learning_rate: float,
        seed: int,
        progress: Progress,
    ) -> None:
        self.recipe, self.data, self.names = recipe, data, names
        self.steps, self.rounds, self.seed, self.progress = steps, rounds, seed, progress
        self.batch, self.learning_rate = batch, learning_rate
        self.rivals: dict[str, dict[str, Any]] = {}
        self.children: dict[str, Child] = {}

    def run(self) -> dict[str, Any]:
        """Build all, take turns, and look at what they learned."""
        with tempfile.TemporaryDirectory(prefix="hasten-compare-") as name, ExitStack() as stack:
            self.folder = Path(name)
            self._prepare()
            with machine_lock(waiting=self.progress.note):
                self._build(stack)
                self._learn()
                self._answer()
                self._end()
        return self._record()

    def _prepare(self) -> None:
        """Samples, first weights, and the batches of every step, for all alike."""
        if self.data.task != "classification":
            raise BadInput(f"Cannot compare frameworks on '{self.data.name}': it has no classes.")
        if len(self.data.inputs) != 1:
            raise BadInput(
                f"Cannot compare frameworks on '{self.data.name}': it has several inputs."
            )
        parts = divide(self.data, self.seed)
        ((_, array),) = self.data.inputs.items()
        labels = np.asarray(self.data.labels).astype(np.int64)
        rng = np.random.default_rng(self.seed)
        train = rng.permutation(parts.train)[:MOST_TRAINED]
        test = rng.permutation(parts.test)[:MOST_TESTED]
        scale = normalisation(array, parts.train)
        batch = min(self.batch, len(train))

        def ready(rows: np.ndarray) -> np.ndarray:
            stored = np.asarray(array[rows])
            made = (scale(stored) if scale else stored).astype(np.float32)
            return made.reshape(len(made), -1) if self.recipe.takes == "vectors" else made

        self.x, self.labels = ready(test), labels[test]
        classes = recipes.output_count(self.data, labels)
        layers = network.described(self.recipe, self.x.shape[1:], classes, self.seed)
        network.write(layers, self.folder)
        for name, values in (
            ("train_x", ready(train)),
            ("train_y", labels[train]),
            ("test_x", self.x),
        ):
            np.save(self.folder / f"{name}.npy", values)
        self.shown, self.batch = network.shown(layers), batch
        self.rows = np.stack(
            [rng.choice(len(train), batch, replace=False) for _ in range(self.steps)]
        )

    def _build(self, stack: ExitStack) -> None:
        """The frameworks that build the network and answer at first as PyTorch does."""
        self.progress.stage("building the network in every framework", len(self.names))
        for name in sorted(self.names, key=lambda one: (one != REFERENCE, one)):
            framework = plugin.frameworks.get(name)
            rival = self.rivals[name] = {"title": framework.title, "status": "missing"}
            if not (installed := framework.installed()):
                rival |= {"why": installed.why, "fix": installed.fix}
                continue
            self.progress.doing(framework.title)
            child = Child(
                self.folder / f"{name}.log", memory_limit(), framework.environment, MODULE
            )
            stack.callback(child.close)
            try:
                rival |= self._opened(child, name)
                self.children[name] = child
            except HastenError as error:
                rival |= {"status": "failed", "why": str(error)}
                child.close()
        if not self.children:
            raise BadInput(
                "Cannot compare frameworks: none of them is here. pip install 'hasten[frameworks]'"
            )

    def _opened(self, child: Child, name: str) -> dict[str, Any]:
        request = {
            "do": "build",
            "framework": name,
            "folder": str(self.folder),
            "learning_rate": self.learning_rate,
            "momentum": MOMENTUM,
            "looked_at": LOOKED_AT,
        }
        answer = child.call(request, BUILD_SECONDS)
        found = self.folder / f"{name}.npy"
        reference = self.folder / f"{REFERENCE}.npy"
        worst = difference(np.load(reference), np.load(found)) if reference.exists() else None
        if worst is not None and not worst <= TOLERANCE:
            raise NumericMismatch(f"its first outputs differ from PyTorch's by {worst:.1e}")
        first = child.call({"do": "train", "rows": self.rows[:1].tolist()}, CALL_SECONDS)
        child.pause()
        del answer["ok"]
        return {
            **answer,
            "status": "measured",
            "difference": worst,
            "first_step_seconds": first["seconds"],
            **{what: [] for what in TURNS},
        }

    def _learn(self) -> None:
        """The steps that are left, in turns."""
        self.progress.stage("training in turns", self.rounds)
        parts = np.array_split(self.rows[1:], self.rounds)
        for number, name in self._turns():
            rival = self.rivals[name]
            if answer := self._ask(name, {"do": "train", "rows": parts[number].tolist()}):
                rival["train"].append(answer["seconds"])
                rival["loss"] = answer["loss"]

    def _answer(self) -> None:
        """Single samples and batches, in turns."""
        self.progress.stage("answering in turns", self.rounds)
        for _, name in self._turns():
            for what, size in (("latency", 1), ("throughput", self.batch)):
                request = {"do": "answer", "batch": size, "seconds": ANSWER_SECONDS}
                if answer := self._ask(name, request):
                    self.rivals[name][what].append(answer["seconds"])

    def _turns(self) -> Iterator[tuple[int, str]]:
        """Every framework once a round, in an order drawn by lot."""
        rng = np.random.default_rng(self.seed)
        for number in range(self.rounds):
            self.progress.doing(f"round {number + 1}")
            for name in rng.permutation(list(self.children)):
                yield number, str(name)

    def _ask(self, name: str, request: dict[str, Any]) -> dict[str, Any] | None:
        """An answer, while the others stand still; ``None`` from one that failed."""
        rival, child = self.rivals[name], self.children[name]
        if rival["status"] != "measured":
            return None
        child.resume()
        try:
            return child.call(request, CALL_SECONDS)
        except HastenError as error:
            rival |= {"status": "failed", "why": str(error)}
            return None
        finally:
            child.pause()

    def _end(self) -> None:
        """What was learned, and the memory that it took."""
        for name, rival in self.rivals.items():
            if rival["status"] != "measured":
                continue
            request = {"do": "end", "framework": name, "folder": str(self.folder)}
            if not (answer := self._ask(name, request)):
                continue
            rival["memory_bytes"] = answer["memory_bytes"]
            answered = np.load(self.folder / f"{name}-classes.npy")
            right, count = int((answered == self.labels).sum()), len(answered)
            rival["accuracy"] = right / count
            rival["accuracy_low"] = stats.proportion_lower(right, count, 0.025)
            rival["accuracy_high"] = stats.proportion_upper(right, count, 0.025)

    def _record(self) -> dict[str, Any]:
        import torch

        from hasten.search.store import version

        _relate(self.rivals)
        return {
            "schema": "hasten-frameworks-1",
            "hasten": version(),
            "recipe": self.recipe.name,
            "network": self.shown,
            "data": self.data.name,
            "tested": len(self.labels),
            "batch": self.batch,
            "steps": self.steps,
            "rounds": self.rounds,
            "learning_rate": self.learning_rate,
            "seed": self.seed,
            "machine": machine(plugin.targets.get("cpu").probe(), torch.get_num_threads()),
            "rivals": [{"name": name, **rival} for name, rival in self.rivals.items()],
        }


def _relate(rivals: Mapping[str, dict[str, Any]]) -> None:
    """How many times as fast as PyTorch each was; one that failed on the way has fewer rounds."""
    whole = {name: rival for name, rival in rivals.items() if rival["status"] == "measured"}
    reference = whole.get(REFERENCE)
    if reference is None:
        return
    for rival in whole.values():
        for name in TURNS:
            rival[f"{name}_ratio"] = stats.ratio(reference[name], rival[name]).to_json()


def _new(place: Path) -> Path:
    if place.exists() and (not place.is_dir() or any(place.iterdir())):
        raise BadInput(f"Cannot write into '{place}': it is there already. Choose another -o.")
    return place


def _keep(place: Path, record: Mapping[str, Any]) -> None:
    """The record and its page, written aside."""
    from hasten import report

    place.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(dir=place.parent, prefix=f".{place.name}-"))
    try:
        (aside / "comparison.json").write_text(json.dumps(record, indent=1) + "\n")
        (aside / "report.html").write_text(report.frameworks_html(record))
        if place.exists():
            place.rmdir()
        aside.chmod(0o755)
        aside.rename(place)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
