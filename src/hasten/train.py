"""THE OTHER ROAD: data -> plan speed-ups -> fit -> test -> run folder. Read this first.

run = hasten.train("cnn", "fashion-mnist", target=0.93)
run.model, run.data                        what hasten.optimize takes
"""

from __future__ import annotations

import contextlib
import copy
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hasten import data as sources
from hasten import metrics, plugin, recipes
from hasten.data.splits import sample_digests
from hasten.errors import BadData, BadInput
from hasten.plugin import Setup, Source
from hasten.recipes import Recipe
from hasten.search.build import find_frontend
from hasten.search.settings import seconds
from hasten.training import losses, optimizers
from hasten.training.checkpoints import Checkpoints
from hasten.training.facts import answers, confusion, traits
from hasten.training.fit import OUTPUT, Fit, Progress
from hasten.training.folder import CHECKPOINTS, RunFolder
from hasten.training.parts import divide, normalisation
from hasten.training.plan import Planner
from hasten.training.samples import Samples
from hasten.training.settings import TrainSettings
from hasten.types import Data, Normalisation, digest

if TYPE_CHECKING:
    import torch

METRICS = {"classification": "accuracy", "multilabel": "f1", "regression": "mse"}


def train(
    recipe: Any = None,
    data: Any = None,
    *,
    out: str | Path | None = None,
    budget: str | float | None = None,
    progress: Progress | None = None,
    command: str = "",
    **options: Any,
) -> Run:
    """Train a model as fast as this machine allows; ``options`` are those of ``TrainSettings``.

    ``recipe`` is a recipe's name, a ``.toml`` of one's own, ``"package.module:factory"`` or an
    ``nn.Module``; ``None`` chooses by the data. ``data`` is whatever ``hasten.data.load`` takes.
    ``target`` is a value of the metric on the validation part, at which training ends; the test
    part is read once, at the end. With ``out`` the run is kept in a folder and can be resumed.
    """
    settings = TrainSettings(
        **options,
        out=None if out is None else Path(out),
        budget_seconds=None if budget is None else seconds(budget),
    )
    return _Training(recipe, data, settings, progress or Progress(), command).run()


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
        self, what: Any, data: Any, settings: TrainSettings, progress: Progress, command: str
    ) -> None:
        self.what, self.what_data = what, data
        self.settings, self.progress, self.command = settings, progress, command
        self.began = time.monotonic()

    def run(self) -> Run:
        """The whole road."""
        folder = None if self.settings.out is None else RunFolder(self.settings.out)
        earlier = self._earlier(folder)
        with self._torch_as_asked():
            self._read()
            plain = self._setup()
            if folder is None:
                return self._train(plain, None, None)
            with folder.held():
                self._check_folder(folder)
                return self._train(plain, folder, earlier)

    def _train(self, plain: Setup, folder: RunFolder | None, earlier: dict[str, Any] | None) -> Run:
        """Plan, fit, test."""
        checkpoints = None
        if folder is not None:
            checkpoints = Checkpoints(folder.path / CHECKPOINTS, self._identity())
            if self.settings.resume:
                checkpoints.last()  # refuses what belongs to another run, before anything is done
        setup, plan = self._plan(plain, earlier)
        record = self._record(plan, setup.epochs)
        if folder is not None:
            folder.write_record(record)
        fit = self._fit(setup, folder, checkpoints)
        fit.run()
        return self._finish(fit, folder, record)

    # --- what is asked ---

    @contextlib.contextmanager
    def _torch_as_asked(self) -> Iterator[None]:
        """PyTorch's settings for the whole process, as they were again afterwards."""
        import torch

        threads, strict = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
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
            if found is None:
                raise BadInput(
                    f"Cannot resume '{folder.path}': there is no run in it. Leave --resume away, "
                    "or give the folder that hasten train wrote."
                )
            asked = found["asked"]
            self.what = asked["recipe"] if self.what is None else self.what
            self.what_data = asked["data"] if self.what_data is None else self.what_data
            self.settings = self.settings.like({**found["settings"], "target": asked.get("target")})
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

    def _read(self) -> None:
        """Data, parts, normalisation and the module."""
        found = sources.load(self.what_data)
        self.parts = divide(found, self.settings.seed, self.settings.clean)
        if found.labels is None:
            raise BadData(f"Cannot train on '{found.name}': it has no labels.")
        self._check(found)
        scales = {
            name: normalisation(array, self.parts.train) for name, array in found.inputs.items()
        }
        known: dict[str, Normalisation] = {name: n for name, n in scales.items() if n}
        splits = {
            "train": self.parts.train,
            "validation": self.parts.validation,
            "test": self.parts.test,
        }
        self.data = replace(found, normalisation=known, splits=splits)
        targets = np.asarray(found.labels)
        self.samples = Samples(
            tuple(found.inputs.values()),
            tuple(scales.values()),
            targets.astype(np.float32) if found.task == "regression" else targets,
            self.parts.train,
        )
        self.recipe, self.module = self._module(found)

    def _check(self, found: Data) -> None:
        if found.task != "classification" or found.labels is None:
            return
        if found.labels.min() < 0:
            raise BadData(
                f"Cannot train on '{found.name}': label {found.labels.min()} is negative. Number "
                "the classes from 0."
            )
        counts = np.bincount(found.labels[self.parts.train])
        if len(counts) < 2 or np.count_nonzero(counts) < 2:
            raise BadData(
                f"Cannot train on '{found.name}': its training part holds one class only. Give "
                "samples of two or more."
            )

    def _module(self, found: Data) -> tuple[Recipe, torch.nn.Module]:
        """The recipe and a module with its initial weights."""
        import torch

        what = self.what
        if what is None or (isinstance(what, str) and ":" not in what):
            recipe = recipes.chosen(found) if what is None else recipes.named(what)
            shape = next(iter(found.inputs.values())).shape[1:]
            outputs = recipes.output_count(found, self.samples.targets)
            torch.manual_seed(self.settings.seed)
            return recipe, recipe.module(shape, outputs)
        training = {"epochs": 20, "batch": 128, "optimizer": "adamw", "learning_rate": 1e-3}
        name = what if isinstance(what, str) else type(what).__name__
        own = Recipe(name, "a model of your own", "", name, training=training)
        if isinstance(what, torch.nn.Module):
            return own, copy.deepcopy(what)
        model = find_frontend(what)(Source(what))
        if model.form != "torch":
            raise BadInput(
                f"Cannot train '{what}': it is a model in form {model.form}. Give an nn.Module as "
                "package.module:factory, or a recipe."
            )
        module: torch.nn.Module = model.handle
        return own, module.requires_grad_(True)

    def _identity(self) -> dict[str, Any]:
        """What must be the same for a checkpoint to be gone on from."""
        return {
            **self.settings.identity(),
            "recipe": self.recipe.to_json(),
            "data": digest(sample_digests(self.data).tobytes(), self.samples.targets.tobytes()),
        }

    # --- how it is trained ---

    def _setup(self) -> Setup:
        """The plain setup: what a tutorial would do, with the recipe's numbers."""
        settings, usual = self.settings, dict(self.recipe.training)
        task = self.data.task
        self.loss, loss = losses.named(settings.loss or usual.get("loss"), task)
        extra = {name: usual[name] for name in ("weight_decay", "momentum") if name in usual}
        rate = settings.learning_rate or usual["learning_rate"]
        size = settings.batch or usual["batch"]
        setup = Setup(
            module=self.module,
            loss=loss,
            optimizer=optimizers.optimizer(settings.optimizer or usual["optimizer"], rate, **extra),
            schedule=optimizers.schedule(settings.schedule or usual.get("schedule", "one-cycle")),
            epochs=settings.epochs or usual["epochs"],
            batch=min(size, len(self.parts.train)),
            task=task,
            traits=traits(self.module, self.data),
            threads=settings.threads,
            clip=settings.clip or usual.get("clip"),
        )
        for name, options in self.recipe.speedups.items():
            setup = plugin.speedups.get(name)(setup, {}, options)
        return setup

    def _plan(self, setup: Setup, earlier: Mapping[str, Any] | None) -> tuple[Setup, list[Any]]:
        """The setup with the speed-ups that win here; a resumed run keeps those it had."""
        target = plugin.targets.get("cpu").probe()
        if earlier is not None:
            for row in earlier["plan"]:
                if row["kept"] and row["kind"] == "system":
                    use = row["use"]
                    setup = plugin.speedups.get(use["name"])(setup, target, use["options"])
            return replace(setup, epochs=earlier["epochs"]), list(earlier["plan"])
        planner = Planner(self.samples, self.settings.seed, target, self.progress.doing)
        measure = self.settings.plan and not self.settings.deterministic
        planned = planner.measured(setup) if measure else planner.unmeasured(setup)
        if measure and self.settings.budget_seconds is not None:
            spent = time.monotonic() - self.began
            planned = planner.within(planned, self.settings.budget_seconds - spent)
        return planned, [row.to_json() for row in planner.rows]

    def _record(self, plan: list[Any], epochs: float) -> dict[str, Any]:
        import torch

        from hasten.search.store import version

        asked = self.what if isinstance(self.what, str) else self.recipe.name
        return {
            "hasten": version(),
            "torch": torch.__version__,
            "command": self.command,
            "asked": {
                "recipe": asked,
                "data": self.what_data if isinstance(self.what_data, str) else None,
                "target": self.settings.target,
            },
            "recipe": self.recipe.to_json(),
            "settings": self.settings.identity(),
            "loss": self.loss,
            "data": {"name": self.data.name, "parts": self.parts.facts(), "task": self.data.task},
            "classes": list(self.data.classes),
            "inputs": {name: list(a.shape[1:]) for name, a in self.data.inputs.items()},
            "outputs": recipes.output_count(self.data, self.samples.targets),
            "normalisation": {name: n.to_json() for name, n in self.data.normalisation.items()},
            "plan": plan,
            "epochs": epochs,
            "planned_seconds": time.monotonic() - self.began,
        }

    def _fit(self, setup: Setup, folder: RunFolder | None, checkpoints: Checkpoints | None) -> Fit:
        from hasten.training.loop import Trainer

        task = self.data.task
        name = self.settings.metric or METRICS.get(task)
        if name is None:
            raise BadInput(f"Cannot judge labels with task '{task}'. Name a metric with --metric.")
        fit = Fit(
            Trainer(setup, self.samples, self.settings.seed),
            self.samples.take(self.parts.validation),
            metrics.named(name),
            self.settings,
            folder,
            checkpoints,
            self.progress,
        )
        fit.spent = time.monotonic() - self.began  # planning counts: nobody gets it for nothing
        if self.settings.resume:
            fit.resume()
        return fit

    # --- how it ended ---

    def _finish(self, fit: Fit, folder: RunFolder | None, record: dict[str, Any]) -> Run:
        """The best weights, the test part read once, and the record of it all."""
        model = fit.trainer.setup.module
        model.load_state_dict(fit.weights or model.state_dict())
        model.eval().requires_grad_(False)
        test = self.samples.take(self.parts.test)
        outputs = answers(model, test)
        name = fit.metric.name
        rows = fit.metric.statistics({OUTPUT: outputs}, None, test.targets[test.rows])
        value = float(fit.metric.value(np.nansum(rows, axis=0)))
        target = self.settings.target
        record |= {
            "metric": name,
            "best": fit.best,
            "target": target,
            "reached_seconds": fit.reached,
            "test": {"value": value, "n": len(test)},
            "steps": fit.trainer.done,
            "seconds": time.monotonic() - self.began,
        }
        if self.data.task == "classification":
            record["confusion"] = confusion(outputs, test.targets[test.rows])
        if folder is not None:
            folder.write_weights(model.state_dict())
            folder.write_metrics(fit.epochs)
            folder.write_record(record)
        inputs, _ = test.batch(np.arange(1))
        model.example_input_array = tuple(inputs)  # type: ignore[assignment]
        return Run(model, self.data, record, folder.path if folder else None, fit.epochs)
