"""A recipe's network as layers that every framework can build, with the weights it begins with."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hasten.errors import Unsupported
from hasten.plugin.frameworks import Layer
from hasten.recipes import Recipe

if TYPE_CHECKING:
    from torch import nn

FITTING = "Take one of the recipes cnn, tapered, mlp or sequence."
LAYERS, WEIGHTS = "layers.json", "weights.npz"
ARRAYS = ("train_x", "train_y", "test_x")
"""Beside them: samples as the network takes them, and classes, each as an ``.npy``."""


def described(recipe: Recipe, shape: Sequence[int], classes: int, seed: int) -> list[Layer]:
    """The recipe's network for samples of ``shape``, initialised from ``seed``."""
    import torch
    from torch import nn

    torch.manual_seed(seed)
    module = recipe.module(shape, classes)
    if isinstance(module, nn.Sequential):
        return list(_sequential(list(module), recipe))
    cells = getattr(module, "cells", None)
    if isinstance(cells, nn.LSTM | nn.GRU) and isinstance(getattr(module, "head", None), nn.Linear):
        ends = "largest_step" if recipe.options.get("pooled", True) else "last_step"
        return [*_recurrent(cells), Layer(ends), _weighted("linear", module.head)]  # type: ignore[arg-type]
    raise Unsupported(
        f"Cannot compare frameworks on recipe '{recipe.name}': its network is no plain row of "
        f"layers. {FITTING}"
    )


def _sequential(parts: Sequence[nn.Module], recipe: Recipe) -> Iterator[Layer]:
    from torch import nn

    known: dict[type[nn.Module], Callable[[Any], Layer]] = {
        nn.Conv2d: _convolution,
        nn.Linear: lambda part: _weighted("linear", part),
        nn.BatchNorm1d: _normalised,
        nn.BatchNorm2d: _normalised,
        nn.ReLU: lambda part: Layer("relu"),
        nn.GELU: lambda part: Layer("gelu"),
        nn.MaxPool2d: lambda part: Layer("max_pool", numbers={"size": part.kernel_size}),
        nn.AdaptiveAvgPool2d: lambda part: Layer("mean_pixels"),
        nn.AdaptiveMaxPool2d: lambda part: Layer("largest_pixel"),
    }
    for part in parts:
        if isinstance(part, nn.Flatten):
            continue  # samples of an MLP come flat, and so do pooled pixels
        if type(part) not in known:
            raise Unsupported(
                f"Cannot compare frameworks on recipe '{recipe.name}': layer "
                f"{type(part).__name__} is not described. {FITTING}"
            )
        yield known[type(part)](part)


def _convolution(part: nn.Conv2d) -> Layer:
    if part.groups != 1 or set(part.dilation) != {1} or isinstance(part.padding, str):
        raise Unsupported(f"Cannot compare frameworks: {part} is not described. {FITTING}")
    return _weighted("convolution", part, stride=list(part.stride), padding=list(part.padding))


def _array(tensor: Any) -> np.ndarray:
    array: np.ndarray = tensor.detach().numpy().copy()
    return array


def _weighted(kind: str, part: nn.Module, **numbers: Any) -> Layer:
    weights = {name: _array(value) for name, value in part.named_parameters()}
    return Layer(kind, weights, numbers)


def _normalised(part: Any) -> Layer:
    weights = {
        "weight": part.weight,
        "bias": part.bias,
        "mean": part.running_mean,
        "variance": part.running_var,
    }
    numbers = {
        "momentum": part.momentum,
        "epsilon": part.eps,
        "rank": 4 if type(part).__name__.endswith("2d") else 2,
    }
    return Layer("batch_norm", {name: _array(one) for name, one in weights.items()}, numbers)


def _recurrent(cells: Any) -> list[Layer]:
    names = {"input": "weight_ih", "recurrent": "weight_hh", "bias": "bias_ih", "hidden": "bias_hh"}
    directions = 2 if cells.bidirectional else 1
    found = []
    for number in range(cells.num_layers):
        weights = {
            f"{name}_{n}": _array(getattr(cells, f"{own}_l{number}{suffix}"))
            for name, own in names.items()
            for n, suffix in enumerate(("", "_reverse")[:directions])
        }
        kind = type(cells).__name__.lower()
        if kind == "lstm":  # one bias alone, as everybody else has it
            for n in range(directions):
                weights[f"bias_{n}"] += weights[f"hidden_{n}"]
                weights[f"hidden_{n}"] = np.zeros_like(weights[f"hidden_{n}"])
        found.append(Layer(kind, weights, {"width": cells.hidden_size, "directions": directions}))
    return found


def write(layers: Sequence[Layer], folder: Path) -> None:
    """Layers as JSON, and their weights beside it."""
    told = [
        {"kind": layer.kind, "numbers": dict(layer.numbers), "weights": sorted(layer.weights)}
        for layer in layers
    ]
    (folder / LAYERS).write_text(json.dumps(told))
    arrays = {f"{n}.{k}": v for n, layer in enumerate(layers) for k, v in layer.weights.items()}
    np.savez(folder / WEIGHTS, **arrays)  # type: ignore[arg-type]


def read(folder: Path) -> list[Layer]:
    """What ``write`` wrote."""
    with np.load(folder / WEIGHTS, allow_pickle=False) as arrays:
        return [
            Layer(raw["kind"], {k: arrays[f"{n}.{k}"] for k in raw["weights"]}, raw["numbers"])
            for n, raw in enumerate(json.loads((folder / LAYERS).read_text()))
        ]


def shown(layers: Sequence[Layer]) -> str:
    """What a person reads: kinds with their widths, and how many weights there are."""
    parts = []
    for layer in layers:
        if layer.kind in ("convolution", "linear"):
            parts.append(f"{layer.kind} {len(layer.weights['weight'])}")
        elif layer.kind in ("lstm", "gru"):
            ways = " both ways" if layer.numbers["directions"] == 2 else ""
            parts.append(f"{layer.kind} {layer.numbers['width']}{ways}")
    count = sum(array.size for layer in layers for array in layer.weights.values())
    return f"{', '.join(parts)}: {count:,} weights"
