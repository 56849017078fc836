"""What is to be learned: samples in their parts, and the network that learns from them."""

from __future__ import annotations

import copy
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hasten import data as sources
from hasten import plugin, recipes
from hasten.data.check import laid_out, renamed
from hasten.errors import BadInput
from hasten.frontends._torch_files import build
from hasten.plugin import Learner
from hasten.recipes import Recipe
from hasten.training import choice
from hasten.training.checks import check_answers, check_classes
from hasten.training.parts import Parts, content, divide, normalisation, prepared
from hasten.training.samples import Samples
from hasten.training.settings import TrainSettings
from hasten.types import Data, Normalisation, Spec, canonical, digest

if TYPE_CHECKING:
    import torch

OWN = {"epochs": 20, "batch": 128, "optimizer": "adamw", "learning_rate": 1e-3}
"""How a model of one's own is trained where nothing is said."""
AS_STORED = Normalisation(1.0, (0.0,), (1.0,))


@dataclass(frozen=True)
class Task:
    """Data, the parts they are divided into, and the network with its initial weights.

    ``data`` has the parts as splits, and the normalisation that the training part gives; none with
    ``as_stored``: a saved model does to its samples what it wants done.
    """

    data: Data
    parts: Parts
    recipe: Recipe
    module: torch.nn.Module
    as_stored: bool = False

    @property
    def samples(self) -> Samples:
        """The training samples."""
        targets = np.asarray(self.data.labels)
        scales = self.data.normalisation
        return Samples(
            tuple(self.data.inputs.values()),
            tuple(scales.get(name) for name in self.data.inputs),
            targets.astype(np.float32) if self.data.task == "regression" else targets,
            self.parts.train,
        )

    @property
    def outputs(self) -> int:
        """How many outputs the network has."""
        return recipes.output_count(self.data, np.asarray(self.data.labels))

    def divided(self, parts: Parts) -> Task:
        """The same in other parts."""
        return replace(self, data=_normalised(self.data, parts, self.as_stored), parts=parts)

    def identity(self, settings: TrainSettings) -> dict[str, Any]:
        """What must be the same for a checkpoint to be gone on from."""
        weights = {name: list(value.shape) for name, value in self.module.state_dict().items()}
        return {
            **settings.identity(),
            "recipe": self.recipe.to_json(),
            "network": {"weights": digest(canonical(weights))},
            "data": content(self.data),
            "parts": digest(*(rows.tobytes() for rows in self.parts.every)),
        }


def read(what: Any, what_data: Any, settings: TrainSettings) -> Task:
    """Data, parts, normalisation and the network, all checked."""
    learner = _learner(what)
    spec = Spec(learner.inputs, ()) if learner else None
    found = sources.load(what_data, spec)
    found = laid_out(renamed(found, spec), spec) if spec else found
    parts = divide(found, settings.seed, settings.clean, settings.near_copies, settings.keep)
    check_classes(found, parts.train)
    data = _normalised(found, parts, learner is not None)
    if settings.tta and any(array.ndim != 4 for array in data.inputs.values()):
        raise BadInput("Cannot use --tta: it mirrors pictures. Leave it away.")
    recipe, module = _network(what, data, settings, learner)
    task = Task(data, parts, recipe, module, learner is not None)
    check_answers(module, task.samples, data, own_loss=":" in (settings.loss or ""))
    return task


def _learner(what: Any) -> Learner | None:
    """A saved model that learns in its own framework's layers."""
    if not isinstance(what, str) or ":" in what:
        return None
    found = (one.learner(what) for one in plugin.frontends.all() if one.sniff(what))
    return next(filter(None, found), None)


def _normalised(data: Data, parts: Parts, as_stored: bool) -> Data:
    """With what normalises the training part, or leaves samples as they are stored."""
    if as_stored:
        pairs = ((name, array.dtype) for name, array in data.inputs.items())
        return prepared(data, parts, {name: AS_STORED for name, kind in pairs if kind == np.uint8})
    scales = {name: normalisation(array, parts.train) for name, array in data.inputs.items()}
    return prepared(data, parts, {name: n for name, n in scales.items() if n})


def _network(
    what: Any, data: Data, settings: TrainSettings, learner: Learner | None
) -> tuple[Recipe, torch.nn.Module]:
    """The recipe and a module with its initial weights."""
    import torch

    shape = next(iter(data.inputs.values())).shape[1:]
    if learner is not None:
        usual = data.task != "regression" and settings.loss in (None, "cross-entropy", "bce")
        made = (learner.network, {**learner.options, "logits": usual})
        recipe = Recipe(Path(what).name, "a saved model", recipes.SAVED, *made, training=OWN)
        torch.manual_seed(settings.seed)
        return recipe, recipe.module(shape, recipes.output_count(data, np.asarray(data.labels)))
    if what is None or (isinstance(what, str) and ":" not in what):
        recipe = recipes.chosen(data) if what is None else recipes.named(what)
        recipe = choice.fitted(recipe, settings)
        torch.manual_seed(settings.seed)
        return recipe, recipe.module(shape, recipes.output_count(data, np.asarray(data.labels)))
    name = what if isinstance(what, str) else type(what).__name__
    own = Recipe(name, "a model of your own", "", name, training=OWN)
    if isinstance(what, torch.nn.Module):
        return own, copy.deepcopy(what)
    torch.manual_seed(settings.seed)
    module, _ = build(what, (os.getcwd(),))
    return own, copy.deepcopy(module)  # it may be kept under that name
