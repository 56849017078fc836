"""A network of layers in Keras 3, whatever its back end.

**Source:** Keras 3.15, "The Sequential model" and "Training & evaluation with the built-in
methods": ``compile`` and ``fit``; what ``predict`` does for one batch by ``predict_on_batch``.
Pictures are turned to channels last once, when they are handed over.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hasten.errors import Unsupported
from hasten.plugin.frameworks import Framework, Layer, Lesson, Net

KEPT = 1.0
"""Keras counts what stays of the running mean, PyTorch what is new: they add up to this."""


class OnKeras(Framework):
    """Keras on one of its back ends: a file of its own names which."""

    extra = "frameworks"

    def load(self) -> None:
        import keras

        keras.backend.backend()

    def build(self, lesson: Lesson) -> Net:
        return KerasNet(lesson)


class KerasNet(Net):
    """``keras.Sequential`` with ``fit``, without shuffling: the steps are given."""

    def __init__(self, lesson: Lesson) -> None:
        import keras

        self.pictures = lesson.x.ndim == 4
        self.x, self.y = self._laid(lesson.x), lesson.y
        parts, weights = [keras.Input(self.x.shape[1:])], []
        for layer in lesson.layers:
            part, values = _made(layer)
            parts.append(part)
            weights.append((part, values))
        self.model = keras.Sequential(parts)
        for part, values in weights:
            if values:
                part.set_weights(values)
        self.model.compile(
            keras.optimizers.SGD(lesson.learning_rate, momentum=lesson.momentum),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        )

    def train(self, rows: np.ndarray) -> float:
        flat = rows.reshape(-1)
        told = self.model.fit(
            self.x[flat], self.y[flat], batch_size=rows.shape[1], shuffle=False, verbose=0
        )
        return float(told.history["loss"][-1])

    def ready(self, x: np.ndarray) -> Any:
        return self._laid(x)

    def logits(self, x: Any) -> Any:
        return np.asarray(self.model.predict_on_batch(x))

    def _laid(self, x: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(np.moveaxis(x, 1, -1)) if self.pictures else x


def _made(layer: Layer) -> tuple[Any, list[np.ndarray]]:
    """A layer and its weights in Keras' order and layouts."""
    import keras

    kind, weights, numbers = layer.kind, layer.weights, layer.numbers
    biases = [weights["bias"]] if "bias" in weights else []
    if kind == "convolution":
        return _convolution(layer), [weights["weight"].transpose(2, 3, 1, 0), *biases]
    if kind == "linear":
        made = keras.layers.Dense(len(weights["weight"]), use_bias=bool(biases))
        return made, [weights["weight"].T, *biases]
    if kind == "batch_norm":
        made = keras.layers.BatchNormalization(
            momentum=KEPT - numbers["momentum"], epsilon=numbers["epsilon"]
        )
        return made, [weights[name] for name in ("weight", "bias", "mean", "variance")]
    if kind in ("lstm", "gru"):
        return _recurrent(layer)
    simple = {
        "relu": lambda: keras.layers.ReLU(),
        "gelu": lambda: keras.layers.Activation(_gelu),
        "max_pool": lambda: keras.layers.MaxPooling2D(numbers["size"]),
        "mean_pixels": lambda: keras.layers.GlobalAveragePooling2D(),
        "largest_pixel": lambda: keras.layers.GlobalMaxPooling2D(),
        "largest_step": lambda: keras.layers.GlobalMaxPooling1D(),
        "last_step": lambda: keras.layers.Lambda(lambda x: x[:, -1]),
    }
    if kind not in simple:
        raise Unsupported(f"Cannot build a layer of kind '{kind}' in Keras {keras.__version__}.")
    return simple[kind](), []


def _gelu(x: Any) -> Any:
    import keras

    return keras.ops.gelu(x, approximate=False)


def _convolution(layer: Layer) -> Any:
    """Keras pads by names: no padding, or as much as keeps the size."""
    import keras

    weight, numbers = layer.weights["weight"], layer.numbers
    size, padding = weight.shape[2:], numbers["padding"]
    same = all(2 * pad == side - 1 for pad, side in zip(padding, size, strict=True))
    if any(padding) and not (same and set(numbers["stride"]) == {1}):
        raise Unsupported(f"Cannot build a convolution with padding {padding} in Keras.")
    return keras.layers.Conv2D(
        len(weight),
        tuple(size),
        strides=tuple(numbers["stride"]),
        padding="same" if any(padding) else "valid",
        use_bias="bias" in layer.weights,
    )


def _recurrent(layer: Layer) -> tuple[Any, list[np.ndarray]]:
    """All steps of one layer. An LSTM's gates stand in PyTorch's order, a GRU's do not."""
    import keras

    width, directions = layer.numbers["width"], layer.numbers["directions"]
    kind = {"lstm": keras.layers.LSTM, "gru": keras.layers.GRU}[layer.kind]
    made = kind(width, return_sequences=True)
    values: list[np.ndarray] = []
    for n in range(directions):
        found = {name: layer.weights[f"{name}_{n}"] for name in ("input", "recurrent")}
        biases = [layer.weights[f"{name}_{n}"] for name in ("bias", "hidden")]
        kernels = [_gates(layer.kind, array).T for array in found.values()]
        if layer.kind == "lstm":
            values += [*kernels, biases[0] + biases[1]]
        else:
            values += [*kernels, np.stack([_gates("gru", one) for one in biases])]
    if directions == 2:
        made = keras.layers.Bidirectional(made)
    return made, values


def _gates(kind: str, array: np.ndarray) -> np.ndarray:
    """Reset, update, new as update, reset, new."""
    if kind == "lstm":
        return array
    reset, update, new = np.split(array, 3)
    return np.concatenate([update, reset, new])
