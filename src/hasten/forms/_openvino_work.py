"""Multiply-adds of one node of an OpenVINO graph.

**Source:** the "Operation Specifications" of OpenVINO's documentation.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

RECURRENT = {f"{cell}{kind}" for cell in ("LSTM", "GRU", "RNN") for kind in ("Sequence", "Cell")}
CONVOLUTION = {"Convolution", "GroupConvolution"}
DECONVOLUTION = {"ConvolutionBackpropData", "GroupConvolutionBackpropData"}


def _shape(node: Any, index: int) -> tuple[int, ...]:
    return tuple(node.get_input_shape(index))


def _made(node: Any) -> tuple[int, ...]:
    return tuple(node.get_output_shape(0))


def _convolution(node: Any) -> int:
    """Weights are ``(out, in, *kernel)``, or ``(groups, out, in, *kernel)``."""
    weights, out = _shape(node, 1), _made(node)
    return math.prod(out) * math.prod(weights) // out[1]


def _deconvolution(node: Any) -> int:
    """Weights are ``(in, out, *kernel)``, or ``(groups, in, out, *kernel)``."""
    given, weights = _shape(node, 0), _shape(node, 1)
    return math.prod(given) * math.prod(weights) // given[1]


def _product(node: Any) -> int:
    left = _shape(node, 0)
    turned = node.get_attributes()["transpose_a"] and len(left) > 1
    return math.prod(_made(node)) * left[-2 if turned else -1]


def _recurrent(node: Any) -> int:
    """Both weight matrices work at every step; they stand before the bias, the last input."""
    last = node.get_input_size() - 1
    weights = math.prod(_shape(node, last - 2)) + math.prod(_shape(node, last - 1))
    return math.prod(_shape(node, 0)[:-1]) * weights


def _attention(node: Any) -> int:
    """Query ``(..., target, e)`` with keys ``(..., source, e)``, then their mix of values."""
    source = _shape(node, 1)[-2]
    return source * (math.prod(_shape(node, 0)) + math.prod(_made(node)))


WORK: Mapping[str, Callable[[Any], int]] = {
    **dict.fromkeys(CONVOLUTION, _convolution),
    **dict.fromkeys(DECONVOLUTION, _deconvolution),
    **dict.fromkeys(RECURRENT, _recurrent),
    "MatMul": _product,
    "ScaledDotProductAttention": _attention,
}
