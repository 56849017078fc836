"""A network of layers as functions of JAX; pictures with their channels last."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from hasten.errors import Unsupported
from hasten.plugin.frameworks import Layer

Tree = list[dict[str, Any]]
KEPT = ("mean", "variance")
"""Weights that follow the batches, and are not learned."""
NORMALISED = "batch_norm"
"""The kind of layer that has them."""


def weights(layers: Sequence[Layer]) -> tuple[Tree, Tree]:
    """``(learned, kept)``: one dict per layer, in JAX's layouts."""
    import jax.numpy as jnp

    learned: Tree = []
    kept: Tree = []
    for layer in layers:
        laid = {name: jnp.asarray(array) for name, array in _laid(layer).items()}
        learned.append({name: one for name, one in laid.items() if name not in KEPT})
        kept.append({name: one for name, one in laid.items() if name in KEPT})
    return learned, kept


def _laid(layer: Layer) -> dict[str, np.ndarray]:
    found = dict(layer.weights)
    if layer.kind == "convolution":
        found["weight"] = found["weight"].transpose(2, 3, 1, 0)
    elif layer.kind == "lstm":  # two biases that are only ever added are one
        for n in range(layer.numbers["directions"]):
            found[f"bias_{n}"] = found[f"bias_{n}"] + found.pop(f"hidden_{n}")
    return found


def function(layers: Sequence[Layer]) -> Callable[..., tuple[Any, Tree]]:
    """``run(learned, kept, x, learning) -> (outputs, kept)``."""
    known = {*_KINDS, NORMALISED}
    unknown = [layer.kind for layer in layers if layer.kind not in known]
    if unknown:
        raise Unsupported(f"Cannot build a layer of kind '{unknown[0]}' in JAX.")

    def run(learned: Tree, kept: Tree, x: Any, learning: bool) -> tuple[Any, Tree]:
        after = []
        for layer, own, mean in zip(layers, learned, kept, strict=True):
            if layer.kind == NORMALISED:
                x, mean = _batch_norm(layer, own, mean, x, learning)
            else:
                x = _KINDS[layer.kind](layer, own, x)
            after.append(mean)
        return x, after

    return run


def _convolution(layer: Layer, own: dict[str, Any], x: Any) -> Any:
    import jax

    found = jax.lax.conv_general_dilated(
        x,
        own["weight"],
        tuple(layer.numbers["stride"]),
        [(pad, pad) for pad in layer.numbers["padding"]],
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    return found + own["bias"] if "bias" in own else found


def _batch_norm(
    layer: Layer, own: dict[str, Any], kept: dict[str, Any], x: Any, learning: bool
) -> tuple[Any, dict[str, Any]]:
    """PyTorch's: the batch is divided by its own spread, what is kept by that of a sample."""
    import jax
    import jax.numpy as jnp

    mean, variance = kept["mean"], kept["variance"]
    if learning:
        axes, count = tuple(range(x.ndim - 1)), x.size // x.shape[-1]
        mean, variance = jnp.mean(x, axes), jnp.var(x, axes)
        share = layer.numbers["momentum"]
        corrected = variance * (count / max(1, count - 1))
        kept = {
            "mean": (1 - share) * kept["mean"] + share * mean,
            "variance": (1 - share) * kept["variance"] + share * corrected,
        }
        kept = jax.lax.stop_gradient(kept)
    scale = own["weight"] * jax.lax.rsqrt(variance + layer.numbers["epsilon"])
    return x * scale + (own["bias"] - mean * scale), kept


def _linear(layer: Layer, own: dict[str, Any], x: Any) -> Any:
    found = x @ own["weight"].T
    return found + own["bias"] if "bias" in own else found


def _max_pool(layer: Layer, own: dict[str, Any], x: Any) -> Any:
    import jax
    import jax.numpy as jnp

    window = (1, layer.numbers["size"], layer.numbers["size"], 1)
    return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, window, window, "VALID")


def _lstm(layer: Layer, own: dict[str, Any], x: Any) -> Any:
    import jax
    import jax.numpy as jnp

    def one_way(n: int) -> Any:
        series = x.swapaxes(0, 1)
        gates = series @ own[f"input_{n}"].T + own[f"bias_{n}"]
        recurrent = own[f"recurrent_{n}"].T

        def turn(state: Any, gate: Any) -> Any:
            hidden, cell = state
            i, f, g, o = jnp.split(gate + hidden @ recurrent, 4, -1)
            cell = jax.nn.sigmoid(f) * cell + jax.nn.sigmoid(i) * jnp.tanh(g)
            hidden = jax.nn.sigmoid(o) * jnp.tanh(cell)
            return (hidden, cell), hidden

        start = jnp.zeros((x.shape[0], layer.numbers["width"]), x.dtype)
        return jax.lax.scan(turn, (start, start), gates, reverse=n == 1)[1].swapaxes(0, 1)

    return jnp.concatenate([one_way(n) for n in range(layer.numbers["directions"])], -1)


def _gru(layer: Layer, own: dict[str, Any], x: Any) -> Any:
    import jax
    import jax.numpy as jnp

    def one_way(n: int) -> Any:
        gates = x.swapaxes(0, 1) @ own[f"input_{n}"].T + own[f"bias_{n}"]
        recurrent, hidden_bias = own[f"recurrent_{n}"].T, own[f"hidden_{n}"]

        def turn(hidden: Any, gate: Any) -> Any:
            r, z, new = jnp.split(gate, 3, -1)
            hr, hz, hnew = jnp.split(hidden @ recurrent + hidden_bias, 3, -1)
            z = jax.nn.sigmoid(z + hz)
            new = jnp.tanh(new + jax.nn.sigmoid(r + hr) * hnew)
            hidden = (1 - z) * new + z * hidden
            return hidden, hidden

        start = jnp.zeros((x.shape[0], layer.numbers["width"]), x.dtype)
        return jax.lax.scan(turn, start, gates, reverse=n == 1)[1].swapaxes(0, 1)

    return jnp.concatenate([one_way(n) for n in range(layer.numbers["directions"])], -1)


def _activation(name: str) -> Callable[[Layer, dict[str, Any], Any], Any]:
    def run(layer: Layer, own: dict[str, Any], x: Any) -> Any:
        import jax

        return jax.nn.relu(x) if name == "relu" else jax.nn.gelu(x, approximate=False)

    return run


_KINDS: dict[str, Callable[[Layer, dict[str, Any], Any], Any]] = {
    "convolution": _convolution,
    "gelu": _activation("gelu"),
    "gru": _gru,
    "largest_pixel": lambda layer, own, x: x.max((1, 2)),
    "largest_step": lambda layer, own, x: x.max(1),
    "last_step": lambda layer, own, x: x[:, -1],
    "linear": _linear,
    "lstm": _lstm,
    "max_pool": _max_pool,
    "mean_pixels": lambda layer, own, x: x.mean((1, 2)),
    "relu": _activation("relu"),
}
