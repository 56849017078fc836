"""A network of layers in PyTorch, and how it learns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hasten.errors import Unsupported
from hasten.plugin.frameworks import Layer, Lesson, Net

if TYPE_CHECKING:
    import torch
    from torch import nn


class TorchNet(Net):
    """Samples in one tensor; ``compiled`` wraps the module where it is given."""

    def __init__(self, lesson: Lesson, compiled: Callable[[Any], Any] | None = None) -> None:
        import torch

        self.module = network(lesson.layers)
        self.called = compiled(self.module) if compiled else self.module
        self.x, self.y = torch.from_numpy(lesson.x), torch.from_numpy(lesson.y)
        learned = [one for one in self.module.parameters() if one.requires_grad]
        self.optimizer = torch.optim.SGD(learned, lr=lesson.learning_rate, momentum=lesson.momentum)
        self.loss = torch.nn.CrossEntropyLoss()

    def train(self, rows: np.ndarray) -> float:
        import torch

        self.module.train()
        for row in torch.from_numpy(rows):
            loss = self.loss(self.called(self.x[row]), self.y[row])
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
        return float(loss)

    def ready(self, x: np.ndarray) -> Any:
        import torch

        return torch.from_numpy(np.ascontiguousarray(x))

    def logits(self, x: Any) -> Any:
        import torch

        self.module.eval()
        with torch.inference_mode():
            return self.called(x).numpy()


def network(layers: Sequence[Layer]) -> nn.Module:
    """The layers as a module, with their first weights."""
    from torch import nn

    return nn.Sequential(*(_made(layer) for layer in layers))


def _made(layer: Layer) -> nn.Module:
    import torch
    from torch import nn

    kind, weights, numbers = layer.kind, layer.weights, layer.numbers
    if kind in ("convolution", "linear"):
        out, taken = weights["weight"].shape[:2]
        biased = "bias" in weights
        made: nn.Module
        if kind == "linear":
            made = nn.Linear(taken, out, biased)
        else:
            size = tuple(weights["weight"].shape[2:])
            made = nn.Conv2d(taken, out, size, numbers["stride"], numbers["padding"], bias=biased)
        return _filled(made, weights)
    if kind == "batch_norm":
        rank = {2: nn.BatchNorm1d, 4: nn.BatchNorm2d}[numbers["rank"]]
        made = rank(len(weights["weight"]), momentum=numbers["momentum"], eps=numbers["epsilon"])
        renamed = {"running_mean": weights["mean"], "running_var": weights["variance"]}
        return _filled(made, {"weight": weights["weight"], "bias": weights["bias"], **renamed})
    if kind in ("lstm", "gru"):
        return _recurrent(layer)
    simple: dict[str, Callable[[], nn.Module]] = {
        "relu": nn.ReLU,
        "gelu": nn.GELU,
        "max_pool": lambda: nn.MaxPool2d(numbers["size"]),
        "mean_pixels": lambda: _function(lambda x: x.mean((2, 3))),
        "largest_pixel": lambda: _function(lambda x: x.amax((2, 3))),
        "largest_step": lambda: _function(lambda x: x.amax(1)),
        "last_step": lambda: _function(lambda x: x[:, -1]),
    }
    if kind not in simple:
        raise Unsupported(f"Cannot build a layer of kind '{kind}' in PyTorch {torch.__version__}.")
    return simple[kind]()


def _filled(made: nn.Module, weights: Any) -> nn.Module:
    import torch

    state = {name: torch.from_numpy(np.array(array)) for name, array in weights.items()}
    made.load_state_dict(state, strict=False)
    return made


def _recurrent(layer: Layer) -> nn.Module:
    """One layer, one or both ways, that gives all steps.

    PyTorch adds two biases where others have one, and learns both: an LSTM's second one stays 0, so
    that the sum learns as fast as elsewhere. A GRU's two are not added to each other.
    """
    from torch import nn

    kind = {"lstm": nn.LSTM, "gru": nn.GRU}[layer.kind]
    taken, directions = layer.weights["input_0"].shape[1], layer.numbers["directions"]
    cells = kind(taken, layer.numbers["width"], batch_first=True, bidirectional=directions == 2)
    for n, suffix in enumerate(("", "_reverse")[:directions]):
        names = {"weight_ih": "input", "weight_hh": "recurrent", "bias_ih": "bias"}
        state = {f"{own}_l0{suffix}": layer.weights[f"{name}_{n}"] for own, name in names.items()}
        state[f"bias_hh_l0{suffix}"] = layer.weights[f"hidden_{n}"]
        _filled(cells, state)
        if layer.kind == "lstm":
            getattr(cells, f"bias_hh_l0{suffix}").requires_grad_(False)

    class Steps(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cells = cells

        def forward(self, series: torch.Tensor) -> torch.Tensor:
            found: torch.Tensor = self.cells(series)[0]
            return found

    return Steps()


def _function(compute: Callable[[Any], Any]) -> nn.Module:
    """A function without weights as a module."""
    from torch import nn

    class Function(nn.Module):
        def forward(self, x: torch.Tensor) -> Any:
            return compute(x)

    return Function()
