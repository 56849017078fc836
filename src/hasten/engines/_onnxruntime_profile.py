"""What ONNX Runtime's own profiler says about one call: kernels, precision, multiply-adds.

**Source:** the JSON trace of ``SessionOptions.enable_profiling`` (ONNX Runtime 1.20 to 1.31). The
trace leaves prepacked weights out of a kernel's input shapes, so a second session without
prepacking, which runs kernels of the same names, tells the shapes. Blocked convolutions
(NCHWc) show output channels rounded up to the block; the model tells how many there are.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hasten.types import Arrays, Kernel

CALLS = 3
"""Calls of the profiled session; the first one warms up."""
_SUFFIX = "_kernel_time"
_NO_PREPACKING = {"session.disable_prepacking": "1"}

MakeSession = Callable[[str, Mapping[str, str]], Any]
"""Makes a session that writes its trace to files of a prefix, with extra configuration."""


def kernels(make: MakeSession, graph: Any, arrays: Arrays) -> list[Kernel]:
    """The kernels of one call of ``graph``, in order, with their mean time over a few calls."""
    channels = _channels(graph)
    timed = _events(make, {}, arrays, CALLS)[1:]
    shapes = _events(make, _NO_PREPACKING, arrays, 1)[0]
    found = []
    for key, event in timed[0].items():
        told = shapes.get(key, {"args": {"input_type_shape": [], "output_type_shape": []}})["args"]
        microseconds = [call[key]["dur"] for call in timed if key in call]
        name, op = key[0], str(event["args"]["op_name"])
        outputs = _unpadded(name, told["output_type_shape"], channels)
        found.append(
            Kernel(
                name=name,
                op=op,
                precision=precision(op, event["args"]["input_type_shape"]),
                seconds=sum(microseconds) / len(microseconds) / 1e6,
                macs=multiply_adds(op, told["input_type_shape"], outputs),
            )
        )
    return found


Events = dict[tuple[str, int], dict[str, Any]]
"""Kernel events of one call by kernel name and how often it ran before (in a loop)."""


def _events(
    make: MakeSession, config: Mapping[str, str], arrays: Arrays, calls: int
) -> list[Events]:
    """The kernel events of every call of a session made for this."""
    with TemporaryDirectory(prefix="hasten-") as folder:
        session = make(str(Path(folder) / "trace"), config)
        for _ in range(calls):
            session.run(None, arrays)
        trace = json.loads(Path(session.end_profiling()).read_text())
    starts = sorted(event["ts"] for event in trace if event["name"] == "model_run")
    found: list[Events] = [{} for _ in range(calls)]
    ran: Counter[tuple[int, str]] = Counter()
    for event in trace:
        if event["cat"] == "Node" and event["name"].endswith(_SUFFIX):
            call = sum(event["ts"] >= start for start in starts) - 1
            name = str(event["name"]).removesuffix(_SUFFIX)
            found[call][name, ran[call, name]] = event
            ran[call, name] += 1
    return found


_BLOCKED = re.compile(r"(.*)_nchwc(_token_\d+)?")
_KEEPS_CHANNELS = frozenset({"BatchNormalization", "Relu", "LeakyRelu", "Clip", "Sigmoid", "Tanh"})
_KEEPS_CHANNELS |= {"HardSigmoid", "HardSwish", "Add", "Sum"}


def _channels(graph: Any) -> dict[str, int]:
    """Channels of what convolutions make, also behind what is fused into them."""
    stored = {tensor.name: tensor.dims for tensor in graph.initializer}
    found: dict[str, int] = {}
    for node in graph.node:
        if node.op_type == "Constant":
            for attribute in node.attribute:
                stored[node.output[0]] = attribute.t.dims
        elif node.op_type == "Conv" and node.input[1] in stored:
            found[node.output[0]] = stored[node.input[1]][0]
        elif node.op_type in _KEEPS_CHANNELS:
            known = [found[name] for name in node.input if name in found]
            found.update(dict.fromkeys(node.output, known[0]) if known else {})
    return found


def _unpadded(
    name: str, outputs: list[dict[str, list[int]]], channels: Mapping[str, int]
) -> list[dict[str, list[int]]]:
    """The outputs of a blocked convolution with its true number of channels. Its kernel is
    called after the tensor it makes."""
    blocked = _BLOCKED.fullmatch(name)
    if blocked is None or blocked[1] not in channels:
        return outputs
    count = channels[blocked[1]]
    return [{kind: [s[0], count, *s[2:]] for kind, s in entry.items()} for entry in outputs]


_INT8 = frozenset(
    {
        "ConvInteger",
        "DynamicQuantizeLSTM",
        "DynamicQuantizeMatMul",
        "MatMulInteger",
        "MatMulIntegerToFloat",
        "QAttention",
        "QGemm",
    }
)
_NAMES = {
    "float": "f32",
    "float16": "f16",
    "bfloat16": "bf16",
    "double": "f64",
    "uint8": "int8",
    "int8": "int8",
}


def precision(op: str, inputs: Sequence[Mapping[str, Any]]) -> str:
    """The arithmetic of a kernel: by its name, else by the type of its first input."""
    if op in _INT8 or op.startswith("QLinear"):
        return "int8"
    if op in {"QuantizeLinear", "DequantizeLinear"}:
        return "f32"
    first = next(iter(inputs[0]), "float") if inputs else "float"
    return _NAMES.get(first, first)


Shape = Sequence[int]
_CONVOLUTIONS = frozenset({"Conv", "ConvInteger", "FusedConv", "NhwcFusedConv"})
_PRODUCTS = frozenset(
    {
        "MatMul",
        "FusedMatMul",
        "MatMulInteger",
        "MatMulIntegerToFloat",
        "DynamicQuantizeMatMul",
        "QLinearMatMul",
        "TransposeMatMul",
        "MatMulNBits",
    }
)
_CELLS = frozenset({"LSTM", "GRU", "RNN", "DynamicQuantizeLSTM"})


def multiply_adds(
    op: str, inputs: Sequence[Mapping[str, Shape]], outputs: Sequence[Mapping[str, Shape]]
) -> int:
    """Multiply-adds of a kernel from the trace's types and shapes; 0 where it has none."""
    given = [next(iter(entry.values()), ()) for entry in inputs]
    made = [next(iter(entry.values()), ()) for entry in outputs]
    if len(given) < 2 or not made:
        return 0
    first, second, output = given[0], given[1], made[0]
    if op in _CONVOLUTIONS or op in {"QLinearConv", "ConvTranspose"}:
        kernel = given[3] if op == "QLinearConv" else second
        return math.prod(first if op == "ConvTranspose" else output) * math.prod(kernel[1:])
    if op in {"Gemm", "FusedGemm", "QGemm"}:
        return math.prod(output) * (math.prod(first) // max(output[0], 1))
    if op in _PRODUCTS:
        return math.prod(output) * _depth(first, output)
    if op in _CELLS:
        return first[0] * first[1] * (math.prod(second) + math.prod(given[2]))
    if op in {"Attention", "QAttention", "MultiHeadAttention"}:
        return _attention(first, second)
    return 0


def _depth(first: Shape, output: Shape) -> int:
    """The length of the sums in a product, whether its first factor is transposed or not."""
    if len(first) < 2 or len(output) < 2:
        return first[-1] if first else 0
    return first[-1] * first[-2] // max(output[-2], 1) if len(first) == len(output) else first[-1]


def _attention(query: Shape, other: Shape) -> int:
    """Scores and their product with the values; before them the projection of all three, where
    the operator takes its weights ``(features, 3 * hidden)`` instead of keys."""
    if len(other) == 2:
        batch, length, _ = query
        return batch * length * (math.prod(other) + 2 * length * other[1] // 3)
    return 2 * math.prod(query) * other[-2]
