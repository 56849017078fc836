"""Fitting: epochs until the end, the target or the budget; judged, kept, and left when told to."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hasten.errors import HastenError
from hasten.metrics import Metric
from hasten.progress import TrainingProgress
from hasten.training.checkpoints import Checkpoints
from hasten.training.folder import RunFolder
from hasten.training.loop import NotFinite, Trainer
from hasten.training.memory import exhausted, out_of_memory
from hasten.training.samples import Samples
from hasten.training.settings import TrainSettings

OUTPUT = "output"


class Stopped(HastenError):
    """The run was told to stop; what it learned is in its last checkpoint."""


@dataclass(frozen=True)
class Learned:
    """What a fit gave: the weights that answer best, and how they were found."""

    weights: dict[str, Any]
    best: float
    epochs: list[dict[str, Any]]
    steps: int
    reached: float | None
    seconds: float

    def facts(self) -> dict[str, Any]:
        """Everything but the weights and the epochs."""
        return {
            "best": self.best,
            "epochs": len(self.epochs),
            "steps": self.steps,
            "reached_seconds": self.reached,
            "seconds": self.seconds,
        }


@dataclass
class Fit:
    """One model on its way: the trainer, what judges it, and where it is kept."""

    trainer: Trainer
    validation: Samples
    metric: Metric
    settings: TrainSettings
    folder: RunFolder | None
    checkpoints: Checkpoints | None
    progress: TrainingProgress
    spent: float = 0.0
    epochs: list[dict[str, Any]] = field(default_factory=list)
    best: float | None = None
    weights: dict[str, Any] = field(default_factory=dict)
    reached: float | None = None
    losses: list[float] = field(default_factory=list)
    per_second: float | None = None
    _stop: threading.Event = field(default_factory=threading.Event)

    def resume(self) -> bool:
        """Go on from the last whole checkpoint, if there is one."""
        found = self.checkpoints.last() if self.checkpoints else None
        if found is None:
            return False
        prefix = "best/"
        self.weights = {
            name.removeprefix(prefix): value
            for name, value in found.tensors.items()
            if name.startswith(prefix)
        }
        self.trainer.enter(found.tensors, found.facts["trainer"])
        kept = found.facts["fit"]
        self.epochs, self.best = kept["epochs"], kept["best"]
        self.spent, self.losses = kept["spent"], kept["losses"]
        # The target may be another one than before.
        lines = (line for line in self.epochs if self._reaches(line[self.metric.name]))
        self.reached = next((line["seconds"] for line in lines), None)
        return True

    def run(self) -> Learned:
        """Train to the end, the target, the budget, or until nothing gets better."""
        trainer = self.trainer
        self._began = time.monotonic() - self.spent
        self._saved = time.monotonic()
        self.progress.fitting(self.metric.name, trainer.total, trainer.per_epoch)
        with self._signals():
            while (trainer.done < trainer.total or self.losses) and not self._finished():
                # A run that was stopped after an epoch's last step still has to be judged there.
                if not (self.losses and trainer.epoch_ended):
                    self._epoch()
                self._judge()
                self._keep()
                if self._stop.is_set():
                    raise self._stopped()
        best = math.nan if self.best is None else self.best  # every run has its first epoch
        seconds = self.epochs[-1]["seconds"]
        return Learned(self.weights, best, self.epochs, trainer.done, self.reached, seconds)

    def _epoch(self) -> None:
        """The steps to the end of the epoch; left early by a signal."""
        trainer = self.trainer
        began, first = time.monotonic(), trainer.done
        while True:
            try:
                for read in trainer.epoch():
                    self.losses += read
                    now = time.monotonic()
                    samples = (trainer.done - first) * trainer.setup.batch
                    self.per_second = samples / (now - began + 1e-9)
                    if read:
                        self.progress.step(trainer.done, trainer.total, read[-1], self.per_second)
                    if self._stop.is_set():
                        self._keep()
                        raise self._stopped()
                    if self._over():
                        self.losses += trainer.read()
                        return
                    if now - self._saved > self.settings.checkpoint_seconds:
                        self._keep()
                return
            except (RuntimeError, MemoryError) as error:
                if not out_of_memory(error):
                    raise
                if not (saved := trainer.save_memory()):
                    raise exhausted(trainer.accumulate) from error
                self.progress.note(f"memory ran out at step {trainer.done}: {saved}")

    def _judge(self) -> None:
        """The validation part, after an epoch; keeps the best weights."""
        trainer, metric = self.trainer, self.metric
        value = self.value(self.validation)
        if self.best is None or self._short(self.best, value):
            self.best, self.weights = value, trainer.weights()
        spent = time.monotonic() - self._began
        if self.reached is None and self._reaches(value):
            self.reached = spent
        line = {
            "epoch": len(self.epochs) + 1,
            "step": trainer.done,
            "loss": float(np.mean(self.losses)) if self.losses else None,
            metric.name: value,
            "best": self.best,
            "learning_rate": trainer.optimizer.param_groups[0]["lr"],
            "samples_per_second": self.per_second,
            "seconds": spent,
        }
        self.epochs.append(line)
        self.losses = []
        self.progress.epoch(line, trainer.total / trainer.per_epoch)

    def _short(self, value: float, wanted: float) -> bool:
        """Whether a value is worse than what is wanted."""
        return value < wanted if self.metric.higher_is_better else value > wanted

    def _reaches(self, value: float) -> bool:
        target = self.settings.target
        return target is not None and not self._short(value, target)

    def value(self, samples: Samples) -> float:
        """The metric over some samples; ``NotFinite`` where an answer is no number."""
        value, unusable = measured(self.metric, self.trainer.predict(samples), samples)
        if unusable or not math.isfinite(value):
            raise NotFinite(
                f"After step {self.trainer.done} of {self.trainer.total} the model's answers to "
                f"{unusable or len(samples)} of {len(samples)} validation samples are no numbers. "
                "Lower the learning rate, or look at the inputs."
            )
        return value

    def _over(self) -> bool:
        """Whether the budget is used up."""
        budget = self.settings.budget_seconds
        return budget is not None and time.monotonic() - self._began > budget

    def _stopped(self) -> Stopped:
        trainer = self.trainer
        return Stopped(f"Stopped at step {trainer.done} of {trainer.total}.")

    def _finished(self) -> bool:
        """Whether nothing is to be gained by another epoch; the first one always is."""
        settings = self.settings
        if not self.epochs:
            return False
        if self.reached is not None or self._over():
            return True
        if settings.patience is None or len(self.epochs) <= settings.patience:
            return False
        values = [line[self.metric.name] for line in self.epochs]
        best = int(np.argmax(values) if self.metric.higher_is_better else np.argmin(values))
        return len(values) - 1 - best >= settings.patience

    def _keep(self) -> None:
        """A checkpoint now."""
        if self.checkpoints is None or self.folder is None or not self.trainer.finite:
            return
        self.losses += self.trainer.read()
        tensors, facts = self.trainer.state()
        tensors |= {f"best/{name}": value for name, value in self.weights.items()}
        self.spent = time.monotonic() - self._began
        kept = {
            "epochs": self.epochs,
            "best": self.best,
            "spent": self.spent,
            "reached": self.reached,
            "losses": self.losses,
        }
        self.checkpoints.save(self.trainer.done, tensors, {"trainer": facts, "fit": kept})
        self.folder.write_metrics(self.epochs)
        self._saved = time.monotonic()

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """SIGTERM and SIGINT end the run after the step it is in; a second one at once."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before: dict[int, Any] = {}

        def told(number: int, frame: Any) -> None:
            if self._stop.is_set():
                signal.signal(number, before[number])
                signal.raise_signal(number)
            self._stop.set()

        for name in (signal.SIGTERM, signal.SIGINT):
            before[name] = signal.signal(name, told)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def measured(metric: Metric, outputs: np.ndarray, samples: Samples) -> tuple[float, int]:
    """``(the metric over all samples that have an answer, how many have none)``."""
    rows = metric.statistics({OUTPUT: outputs}, None, samples.targets[samples.rows])
    unusable = int(np.isnan(rows).any(axis=1).sum())
    if unusable == len(rows):
        return math.nan, unusable
    return float(metric.value(np.nansum(rows, axis=0))), unusable
