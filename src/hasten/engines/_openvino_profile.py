"""What OpenVINO really ran: kernels, their arithmetic, time and multiply-adds.

**Source:** the execution graph of OpenVINO's CPU plug-in (``CompiledModel.get_runtime_model``) and
the attributes its documentation lists under "Performance counters": ``layerType``,
``primitiveType``, ``originalLayersNames``, ``execTimeMcs``.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hasten.types import Kernel

LEAST_CALLS, MOST_CALLS = 3, 20
SECONDS = 0.5

Shapes = list[tuple[int, ...]]


@dataclass(frozen=True)
class Layers:
    """The graph as it was before the runtime changed it: multiply-adds of its layers by name, and
    which layer a node's name stands for."""

    work: Mapping[str, int]
    shown_as: Mapping[str, str]

    def within(self, told: Mapping[str, str]) -> list[str]:
        """The layers that a kernel computes, each once."""
        nodes = (
            name.split("/Dequantization")[0] for name in told["originalLayersNames"].split(",")
        )
        return list(dict.fromkeys(self.shown_as[name] for name in nodes if name in self.shown_as))


def kernels(compiled: Any, feed: Mapping[int, Any], layers: Layers) -> list[Kernel]:
    """The kernels of one call, in order, named after their first layer if they compute one.

    The runtime tells whole microseconds, the mean of all calls so far. The first call, which also
    prepares weights, is taken out of it again.
    """
    request = compiled.create_infer_request()
    request.infer(dict(feed))
    first = _executed(compiled, layers)
    calls, deadline = 1, time.perf_counter() + SECONDS
    while calls < MOST_CALLS and (calls < LEAST_CALLS or time.perf_counter() < deadline):
        request.infer(dict(feed))
        calls += 1
    last = _executed(compiled, layers)
    return [
        _kernel(node, (calls * _mean(told) - _mean(first[order][1])) / (calls - 1), told, layers)
        for order, (node, told) in last.items()
        if order in first
    ]


NOT_TIMED = "not_executed"
"""What the runtime says of a node that did not run, and of one that took less than 1 µs."""


def _executed(compiled: Any, layers: Layers) -> dict[int, tuple[Any, dict[str, str]]]:
    """The nodes that ran, with what the runtime tells of them, by order of execution.

    What depends on constants alone ran once, when the model was compiled; it is left out.
    """
    found = {}
    constant: set[str] = set()
    for node in compiled.get_runtime_model().get_ordered_ops():
        info = node.get_rt_info()
        told = {key: str(info[key].value) for key in info.keys()}  # noqa: SIM118  (an RTMap)
        given = {value.get_node().get_name() for value in node.input_values()}
        if told["layerType"] == "Const" or (given and given <= constant):
            constant.add(node.get_name())
        elif told["execTimeMcs"] != NOT_TIMED or layers.within(told):
            found[int(told["execOrder"])] = (node, told)
    return dict(sorted(found.items()))


def _mean(told: Mapping[str, str]) -> float:
    return 0.0 if told["execTimeMcs"] == NOT_TIMED else float(told["execTimeMcs"])


def _kernel(node: Any, microseconds: float, told: Mapping[str, str], layers: Layers) -> Kernel:
    return Kernel(
        next(iter(layers.within(told)), node.friendly_name),
        told["layerType"],
        _precision(told),
        max(microseconds, 0.0) * 1e-6,
        _multiply_adds(node, told, layers),
    )


def _precision(told: Mapping[str, str]) -> str:
    """The arithmetic: ``brgconv_avx512_I8`` is int8, ``jit_avx512_bf16`` is bf16."""
    name = told["primitiveType"].rpartition("_")[2].lower()
    return "int8" if name in ("i8", "u8") else name


def _multiply_adds(node: Any, told: Mapping[str, str], layers: Layers) -> int:
    """From the shapes that a kernel works on; what fuses several layers, from their names."""
    count = _COUNTS.get(told["layerType"])
    if count is None:
        return sum(layers.work.get(name, 0) for name in layers.within(told))
    ports = [*node.inputs(), node.output(0)]
    if any(port.get_partial_shape().is_dynamic for port in ports):
        return 0
    shapes = [tuple(port.get_shape()) for port in ports]
    return count(shapes[:-1], shapes[-1])


def _convolution(given: Shapes, out: tuple[int, ...]) -> int:
    """Weights are ``(out, in, *kernel)``, or ``(groups, out, in, *kernel)``."""
    return math.prod(out) * math.prod(given[1]) // out[1]


def _deconvolution(given: Shapes, out: tuple[int, ...]) -> int:
    """Weights are ``(in, out, *kernel)``, or ``(groups, in, out, *kernel)``."""
    return math.prod(given[0]) * math.prod(given[1]) // given[0][1]


def _product(given: Shapes, out: tuple[int, ...]) -> int:
    """Either side may be turned: the inner dimension is what the other one leaves."""
    rows = out[-2] if len(out) > 1 else 1
    return math.prod(out) * math.prod(given[0][-2:]) // rows


def _connected(given: Shapes, out: tuple[int, ...]) -> int:
    """Weights are ``(out, in)``."""
    return math.prod(out) * math.prod(given[1]) // out[-1]


def _recurrent(given: Shapes, out: tuple[int, ...]) -> int:
    """Both weight matrices, in front of the bias, work at every step of every sample."""
    return math.prod(given[0][:-1]) * (math.prod(given[-3]) + math.prod(given[-2]))


_COUNTS: Mapping[str, Callable[[Shapes, tuple[int, ...]], int]] = {
    "Convolution": _convolution,
    "Deconvolution": _deconvolution,
    "FullyConnected": _connected,
    "MatMul": _product,
    "RNNSeq": _recurrent,
    "RNNCell": _recurrent,
}
