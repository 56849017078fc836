"""THE OTHER ROAD: data -> plan speed-ups -> fit -> test -> run folder. Read this first.

run = hasten.train("cnn", "fashion-mnist", target=0.93)
run.model, run.data                        what hasten.optimize takes
"""

from __future__ import annotations

import contextlib
import copy
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hasten import data as sources
from hasten import metrics, plugin
from hasten.errors import BadInput
from hasten.evidence import created
from hasten.metrics import Metric
from hasten.plugin import Setup
from hasten.progress import TrainingProgress
from hasten.search.settings import seconds
from hasten.training import choice, coreset, folds
from hasten.training.answers import answers
from hasten.training.checkpoints import Checkpoints
from hasten.training.ending import Ending, Fold
from hasten.training.facts import machine
from hasten.training.fit import Fit, Stopped, measured
from hasten.training.folder import CHECKPOINTS, RunFolder
from hasten.training.parts import content
from hasten.training.plain import plain_setup
from hasten.training.plan import Planner
from hasten.training.profile import time_split
from hasten.training.settings import TrainSettings
from hasten.training.task import Task, read
from hasten.training.told import reduction_line
from hasten.types import Data

if TYPE_CHECKING:
    import torch

    from hasten.training.loop import Trainer

LOOKED_AT = 2
"""Samples that the metric is tried on before anything is learned."""
METRICS = {"classification": "accuracy", "multilabel": "f1", "regression": "mse"}


def train(
    recipe: Any = None,
    data: Any = None,
    *,
    out: str | Path | None = None,
    budget: str | float | None = None,
    progress: TrainingProgress | None = None,
    command: str = "",
    **options: Any,
) -> Run:
    """Train a model as fast as this machine allows; ``options`` are those of ``TrainSettings``.

    ``recipe`` is a recipe's name, a ``.toml`` of one's own, ``"package.module:factory"``, an
    ``nn.Module`` or a Keras model's file; ``None`` chooses by the data. ``data`` is whatever
    ``hasten.data.load`` takes. ``target`` is a value of the metric on the validation part, at which
    training ends; the test part is read once, at the end. With ``out`` the run is kept in a folder
    and can be resumed. With ``folds`` every sample outside the test part validates once; the model
    of the fold that validated best is kept.
    """
    recipe = os.fspath(recipe) if isinstance(recipe, os.PathLike) else recipe
    settings = TrainSettings(
        **options,
        out=None if out is None else Path(out),
        budget_seconds=None if budget is None else seconds(budget),
    )
    return _Training(recipe, data, settings, progress or TrainingProgress(), command).run()


@dataclass
class Run:
    """A finished run: the model, its data, and what was measured.

    ``model`` is the ``nn.Module`` in evaluation mode and takes normalised inputs; ``data`` holds
    the samples with their parts and normalisation. ``record`` is what ``run.json`` holds.
    """

    model: torch.nn.Module
    data: Data
    record: dict[str, Any]
    path: Path | None
    epochs: list[dict[str, Any]] = field(default_factory=list)

    @property
    def value(self) -> float:
        """The metric on the test part."""
        return float(self.record["test"]["value"])

    def to_json(self) -> dict[str, Any]:
        place = None if self.path is None else str(self.path)
        return {**self.record, "epochs": self.epochs, "folder": place}


class _Training:
    """One run of the road. The methods stand in the order in which they are called."""

    def __init__(
        self,
        what: Any,
        data: Any,
        settings: TrainSettings,
        progress: TrainingProgress,
        command: str,
    ) -> None:
        self.what, self.what_data = what, data
        self.settings, self.progress, self.command = settings, progress, command
        self.began = time.monotonic()

    def run(self) -> Run:
        """The whole road."""
        folder = None if self.settings.out is None else RunFolder(self.settings.out)
        earlier = self._earlier(folder)
        with self._torch_as_asked():
            self.task = read(self.what, self.what_data, self.settings)
            self.learned = plain_setup(self.task, self.settings, self.device)
            self.metric = self._metric()
            self._tell()
            if folder is None:
                return self._train(None, None)
            with folder.held():
                self._check_folder(folder)
                try:
                    return self._train(folder, earlier)
                except Stopped as stopped:
                    where = f"Go on with --resume -o {folder.path}."
                    raise Stopped(f"{stopped} {where}") from None

    def _train(self, folder: RunFolder | None, earlier: dict[str, Any] | None) -> Run:
        """Plan, fit, test."""
        from hasten.training.loop import Trainer

        tasks = self._tasks()
        places = self._places(folder, len(tasks))
        identity = self.task.identity(self.settings)
        kept = [
            None
            if place is None
            else Checkpoints(place.path / CHECKPOINTS, {**identity, "fold": number})
            for number, place in enumerate(places)
        ]
        if self.settings.resume:
            for checkpoints in filter(None, kept):
                checkpoints.last()  # refuses what belongs to another run, before anything is done
        setup, plan = self._plan(self.learned.setup, earlier)
        record = self._record(plan, setup.epochs)
        if folder is not None:
            # What a run that has ended found stays until it is found anew.
            folder.write_record({**(earlier or {}), **record})
        with choice.entered(setup.threads, setup.states):
            trainer = Trainer(setup, tasks[0].samples, self.settings.seed)
            learned = [
                fit.run()
                for fit in self._fits(trainer, tasks, list(zip(places, kept, strict=True)))
            ]
            return self._finish(trainer, list(map(Fold, tasks, learned)), folder, record)

    # --- what is asked ---

    @contextlib.contextmanager
    def _torch_as_asked(self) -> Iterator[None]:
        """PyTorch's settings for the whole process, as they were again afterwards."""
        import torch

        threads, strict = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
        self.device = choice.device(self.settings.device)
        torch.set_num_threads(self.settings.threads or threads)
        torch.use_deterministic_algorithms(self.settings.deterministic)
        try:
            yield
        finally:
            torch.set_num_threads(threads)
            torch.use_deterministic_algorithms(strict)

    def _earlier(self, folder: RunFolder | None) -> dict[str, Any] | None:
        """The record of the run to go on with."""
        found = folder.record() if folder is not None else None
        if self.settings.resume:
            if folder is None:
                raise BadInput("Cannot use --resume without -o: give the folder of the run.")
            if found is None and self.what_data is None:
                raise BadInput(
                    f"Cannot resume '{folder.path}': there is no run in it. Give --data to begin "
                    "one, or the folder that hasten train wrote."
                )
        if self.settings.resume and found is not None:
            asked = found["asked"]
            self.what = asked["recipe"] if self.what is None else self.what
            self.what_data = asked["data"] if self.what_data is None else self.what_data
            self.settings = self.settings.like({**found["settings"], **asked})
        elif folder is not None:
            self._check_folder(folder)
        if self.what_data is None:
            raise BadInput(
                "Cannot train without data. Give --data: "
                f"{', '.join(sources.known())}, or images:FOLDER."
            )
        return found

    def _check_folder(self, folder: RunFolder) -> None:
        """Nothing that another run left is overwritten."""
        if not self.settings.resume and folder.record() is not None:
            raise BadInput(
                f"Cannot train into '{folder.path}': it holds a run. Go on with it by --resume, or "
                "choose another folder with -o."
            )

    def _metric(self) -> Metric:
        task = self.task.data.task
        name = self.settings.metric or METRICS.get(task)
        if name is None:
            raise BadInput(f"Cannot judge labels with task '{task}'. Name a metric with --metric.")
        metric = metrics.named(name)
        if metric.compares:
            raise BadInput(
                f"Cannot judge a training by '{name}': it compares a model with another one. Name "
                f"{', '.join(METRICS.values())} or one of your own with --metric."
            )
        if self.learned.setup.loss_name == "bce" and metric.threshold is None:
            metric = replace(metric, threshold=0.0)  # of logits
        first = self.task.samples.take(self.task.parts.validation[:LOOKED_AT])
        measured(metric, answers(copy.deepcopy(self.task.module).eval(), first), first)
        return metric

    def _tell(self) -> None:
        """What was chosen, before it takes time."""
        task = self.task
        if self.what is None:
            self.progress.note(f"recipe {task.recipe.name}: the samples are {task.recipe.takes}")
        for name, why in self.learned.left.items():
            self.progress.note(f"without {name}, which the recipe lists: {why}")

    # --- what is learned, once or fold by fold ---

    def _tasks(self) -> list[Task]:
        """The task, or one for each fold."""
        if self.settings.folds is None:
            return [self.task]
        settings = self.settings
        parts = folds.divide_folds(
            self.task.data,
            self.task.parts,
            self.settings.folds,
            settings.seed,
            settings.clean,
            settings.near_copies,
            settings.keep,
        )
        return [self.task.divided(one) for one in parts]

    def _places(self, folder: RunFolder | None, count: int) -> list[RunFolder | None]:
        """Where each fit is kept: in the run's folder, or in one of its own for each fold."""
        if folder is None or self.settings.folds is None:
            return [folder] * count
        return [RunFolder(folder.path / f"fold-{number}") for number in range(1, count + 1)]

    def _fits(
        self,
        trainer: Trainer,
        tasks: list[Task],
        places: list[tuple[RunFolder | None, Checkpoints | None]],
    ) -> Iterator[Fit]:
        """What to fit, one after the other. All share the data and whatever was compiled."""
        fresh = copy.deepcopy(trainer.state()) if len(tasks) > 1 else None
        # Planning counts: nobody gets it for nothing.
        spent = (time.monotonic() - self.began) / len(tasks)
        settings = self.settings
        if settings.budget_seconds is not None:
            settings = replace(settings, budget_seconds=settings.budget_seconds / len(tasks))
        for number, (task, (folder, checkpoints)) in enumerate(zip(tasks, places, strict=True), 1):
            if fresh is not None:
                self.progress.doing(f"fold {number} of {len(tasks)}")
                trainer.begin_again(task.samples, fresh)
            validation = task.samples.take(task.parts.validation)
            fit = Fit(
                trainer, validation, self.metric, settings, folder, checkpoints, self.progress
            )
            fit.spent = spent
            if settings.resume and fit.resume():
                self.progress.doing(f"going on from step {trainer.done} of {trainer.total}")
            elif settings.resume and number == 1:
                self.progress.note("no whole checkpoint was found: the run begins anew")
            try:
                yield fit
            finally:
                if fresh is not None and folder is not None:
                    folder.close()

    # --- how it is trained ---

    def _plan(self, setup: Setup, earlier: Mapping[str, Any] | None) -> tuple[Setup, list[Any]]:
        """The setup with the speed-ups that win here; a resumed run keeps those it had."""
        target = plugin.targets.get("cpu" if self.device == "cpu" else "gpu").probe()
        if earlier is not None:
            for row in earlier["plan"]:
                if row["kept"]:
                    use = row["use"]
                    setup = plugin.speedups.get(use["name"])(setup, target, use["options"])
            self.reduction = earlier["data"].get("reduction")
            return replace(setup, epochs=earlier["epochs"]), list(earlier["plan"])
        planner = Planner(
            self.task.samples,
            self.settings.seed,
            target,
            self.progress.doing,
            self.settings.speedups,
            self.settings.without or (),
            trainings=self.settings.folds or 1,
        )
        measure = self.settings.plan and not self.settings.deterministic
        planned = planner.measured(setup) if measure else planner.unmeasured(setup)
        if measure and self.settings.budget_seconds is not None:
            left = self.settings.budget_seconds - (time.monotonic() - self.began)
            planned = planner.within(planned, left / (self.settings.folds or 1))
        self.reduction = coreset.worth(self.task.parts, planned, planner.sample_seconds)
        if self.reduction:
            self.progress.note(reduction_line(self.reduction))
        return planned, [row.to_json() for row in planner.rows]

    def _record(self, plan: list[Any], epochs: float) -> dict[str, Any]:
        import torch

        from hasten.search.store import version

        task, data = self.task, self.task.data
        return {
            "hasten": version(),
            "torch": torch.__version__,
            "created": created(),
            "command": self.command,
            "machine": machine(plugin.targets.get("cpu").probe(), torch.get_num_threads()),
            "asked": {
                "recipe": self.what if isinstance(self.what, str) else task.recipe.name,
                "data": self.what_data if isinstance(self.what_data, str) else None,
                **self.settings.changeable(),
            },
            "recipe": task.recipe.to_json(),
            "settings": self.settings.identity(),
            "loss": self.learned.setup.loss_name,
            "learned": self.learned.to_json(),
            "metric": self.metric.name,
            "data": {
                "name": data.name,
                "content": content(data),
                "parts": task.parts.facts(),
                "task": data.task,
                "reduction": self.reduction,
                "notes": list(data.notes),
            },
            "classes": list(data.classes),
            "inputs": {name: list(array.shape[1:]) for name, array in data.inputs.items()},
            "outputs": task.outputs,
            "plan": plan,
            "epochs": epochs,
            "planned_seconds": time.monotonic() - self.began,
        }

    # --- how it ended ---

    def _finish(
        self,
        trainer: Trainer,
        found: list[Fold],
        folder: RunFolder | None,
        record: dict[str, Any],
    ) -> Run:
        """The best weights, the test part read once, and the record of it all."""
        began = time.monotonic()
        ending = Ending(trainer, found, self.metric, self.settings, self.device)
        chosen, facts = ending.facts()
        record |= facts
        record["data"]["parts"] = found[chosen].task.parts.facts()
        if unusable := record["test"].get("unusable"):
            count = record["test"]["n"]
            self.progress.note(f"{unusable} of {count} test samples got no number for an answer")
        # Those of earlier processes count, where the run was resumed.
        record["seconds"] = sum(fold.learned.seconds for fold in found) + time.monotonic() - began
        model, epochs = ending.model, found[chosen].learned.epochs
        if folder is not None:
            record["time_split"] = time_split(trainer)
            own: Any = model
            kept = own.keep if self.task.as_stored else dict
            weights = model.state_dict()
            if missing := folder.finish(record, weights, epochs, ending.examples, kept):
                self.progress.note(missing)
        ending.hand_over(found[chosen].task)
        place = None if folder is None else folder.path
        return Run(model, found[chosen].task.data, record, place, epochs)
