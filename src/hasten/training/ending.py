"""How a run ends: the best weights, the test part read once, and what that showed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hasten.metrics import Metric
from hasten.training import folds
from hasten.training.answers import answers
from hasten.training.fit import Learned, measured
from hasten.training.judged import judged
from hasten.training.settings import TrainSettings
from hasten.training.task import Task

if TYPE_CHECKING:
    import torch

    from hasten.training.loop import Trainer


class Fold(NamedTuple):
    """One fit: what was to be learned, and what was. A run without folds is one."""

    task: Task
    learned: Learned


class Tested(NamedTuple):
    """The metric on the test part, how many of its samples it could not judge, and the outputs."""

    value: float
    unusable: int
    outputs: np.ndarray


@dataclass
class Ending:
    """Every fold's weights on its test part; those of the fold that validated best stay in the
    model."""

    trainer: Trainer
    found: list[Fold]
    metric: Metric
    settings: TrainSettings
    device: str

    def __post_init__(self) -> None:
        self.model: torch.nn.Module = self.trainer.setup.module
        self.learns = [weight.requires_grad for weight in self.model.parameters()]
        self.examples: dict[str, Any] = {}

    def facts(self) -> tuple[int, dict[str, Any]]:
        """``(the fold that was chosen, what the run's record says of the end)``."""
        sign = 1 if self.metric.higher_is_better else -1
        bests = [sign * fold.learned.best for fold in self.found]
        chosen = bests.index(max(bests))
        tested = [self._tested(fold) for fold in self.found]
        task, learned = self.found[chosen]
        self.model.load_state_dict(learned.weights)
        test = task.samples.take(task.parts.test)
        value, unusable, outputs = tested[chosen]
        shown, self.examples = judged(task.data.task, outputs, test)
        judgement: dict[str, Any] = {"value": value, "n": len(test)}
        if unusable:
            judgement["unusable"] = unusable
        if self.settings.tta:
            mirrored = answers(self.model, test, mirrored=True)
            judgement["tta"], _ = measured(self.metric, mirrored, test)
        scales = task.data.normalisation
        return chosen, {
            "best": learned.best,
            "target": self.settings.target,
            "reached_seconds": learned.reached,
            "test": judgement,
            "normalisation": {name: scale.to_json() for name, scale in scales.items()},
            "steps": sum(fold.learned.steps for fold in self.found),
            "schedule": self.trainer.schedule(),
            **shown,
            **(self._folds(chosen, tested) if self.settings.folds is not None else {}),
        }

    def _folds(self, chosen: int, tested: list[Tested]) -> dict[str, Any]:
        middle, low, high = folds.mean([fold.learned.best for fold in self.found])
        rows = [
            {"n": len(fold.task.parts.validation), "test": one.value, **fold.learned.facts()}
            for fold, one in zip(self.found, tested, strict=True)
        ]
        return {
            "fold": chosen + 1,
            "folds": rows,
            "cross_validation": {"mean": middle, "low": low, "high": high},
        }

    def _tested(self, fold: Fold) -> Tested:
        """The metric on the test part, of the weights as they are handed out."""
        self.model.load_state_dict(fold.learned.weights)
        self.model.eval().requires_grad_(False)
        test = fold.task.samples.take(fold.task.parts.test)
        try:
            outputs = answers(self.model.to(self.device), test, device=self.device)
        finally:
            self.model.cpu()
        return Tested(*measured(self.metric, outputs, test), outputs)

    def hand_over(self, task: Task) -> None:
        """The model as the user gets it: with an example of its inputs, free to learn as before."""
        inputs, _ = task.samples.take(task.parts.test).batch(np.arange(1))
        self.model.example_input_array = tuple(inputs)  # type: ignore[assignment]
        for weight, free in zip(self.model.parameters(), self.learns, strict=True):
            weight.requires_grad_(free)
