"""Whether samples can be learned from, and whether the model answers them: before anything runs."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import numpy as np

from hasten.data.check import check_finite
from hasten.data.labels import check_class_numbers
from hasten.errors import BadData, BadInput, BadModel
from hasten.plugin import Setup
from hasten.training.memory import out_of_memory
from hasten.training.samples import Samples
from hasten.types import Data

if TYPE_CHECKING:
    import torch

LOOKED_AT = 2
"""Samples that a model is tried on."""


def check_samples(data: Data) -> None:
    """Numbers that are finite, and labels that count classes."""
    if data.labels is None:
        raise BadData(
            f"Cannot train on '{data.name}': it has no labels. Give them as 'y' in the .npz, or "
            "one sub-folder per class."
        )
    for name, array in data.inputs.items():
        check_finite(data, name, array)
    if data.task != "classification":
        return
    check_class_numbers(data)
    highest = int(data.labels.max())
    if highest >= max(len(data), len(data.classes)):
        raise BadData(
            f"Cannot train on '{data.name}': label {highest} would need {highest + 1:,} classes, "
            f"more than its {len(data):,} samples. Number the classes from 0 without gaps."
        )


def check_classes(data: Data, train: np.ndarray) -> None:
    """Two classes or more in the training part."""
    if data.task == "classification" and len(np.unique(np.asarray(data.labels)[train])) < 2:
        raise BadData(
            f"Cannot train on '{data.name}': its training part holds one class only. Give "
            "samples of two or more."
        )


def check_answers(module: torch.nn.Module, samples: Samples, data: Data, own_loss: bool) -> None:
    """That the model takes the samples, and has an output for every label.

    With a loss of the user's own the outputs may mean anything.
    """
    import torch

    if not any(weight.requires_grad for weight in module.parameters()):
        raise BadModel(
            f"Cannot train this model on '{data.name}': none of its weights may learn. Call "
            "model.requires_grad_(True), or leave some of its layers free."
        )
    inputs, _ = samples.batch(np.arange(min(LOOKED_AT, len(samples))))
    shapes = ", ".join(str(list(tensor.shape[1:])) for tensor in inputs)
    training = module.training
    try:
        with torch.no_grad():
            output = module.eval()(*inputs)
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        why = str(error).partition("\n")[0]
        raise BadModel(
            f"Cannot train this model on '{data.name}': it does not take samples of shape "
            f"{shapes} ({why}). Give a model for such samples, or a recipe."
        ) from error
    finally:
        module.train(training)
    if not isinstance(output, torch.Tensor):
        raise BadModel(
            f"Cannot train this model on '{data.name}': it gives a {type(output).__name__}, not "
            "one tensor. Return the outputs alone."
        )
    if why := "" if own_loss else _misfit(tuple(output.shape), samples.targets, data.task):
        raise BadData(f"Cannot train this model on '{data.name}': {why}")


def check_loss(setup: Setup, samples: Samples, data: Data) -> None:
    """That the loss can judge the model's outputs, and that a batch is large enough to learn from.

    The model is left as it is: a copy of it takes one step's forward pass.
    """
    import torch

    name = setup.loss_name
    if name == "cross-entropy" and data.task == "regression":
        raise BadInput(
            f"Cannot train on '{data.name}' with loss cross-entropy: its labels are values, not "
            "classes. Use --loss mse, mae or huber."
        )
    size = min(LOOKED_AT, setup.batch, len(samples))
    inputs, targets = samples.batch(np.arange(size))
    module = copy.deepcopy(setup.module).train()
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            outputs = module(*inputs)
    except (RuntimeError, ValueError) as error:
        if out_of_memory(error):
            return  # what to do about that is known where it learns
        why = str(error).partition("\n")[0]
        raise BadInput(
            f"Cannot train with --batch {setup.batch}: the model does not learn from {size} "
            f"sample{'s' * (size > 1)} at a time ({why}). Give a larger --batch."
        ) from error
    try:
        found = setup.loss(outputs, targets)
    except Exception as error:  # a loss of the user's own may raise anything
        why = str(error).partition("\n")[0]
        raise BadInput(
            f"Cannot train on '{data.name}' with loss {name}: it cannot judge outputs of shape "
            f"{list(outputs.shape)} by targets of shape {list(targets.shape)} ({why}). Name "
            "another one with --loss."
        ) from error
    if not isinstance(found, torch.Tensor) or found.numel() != 1:
        raise BadInput(f"Cannot train with loss {name}: it gives no single number.")


def _misfit(given: tuple[int, ...], targets: np.ndarray, task: str) -> str:
    """Why outputs of a shape do not fit the targets; empty where they do."""
    if task == "classification" and len(given) == 2 and given[1] <= targets.max():
        return (
            f"label {targets.max()} is beyond its {given[1]} outputs. Give the model "
            f"{targets.max() + 1} outputs, or number the classes from 0."
        )
    wanted = targets.shape[1:]
    if task in ("multilabel", "regression") and np.prod(given[1:]) != np.prod(wanted):
        return (
            f"every sample has targets of shape {list(wanted)}, and the model gives "
            f"{list(given[1:])}. Give it as many outputs."
        )
    return ""
