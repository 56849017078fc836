"""Static int8 by ONNX Runtime: quantise/dequantise pairs around layers, ranges from samples.

**Source:** ``onnxruntime.quantization.quantize_static`` 1.20 to 1.31 and its "Choosing parameters
for CPU inference". Its defaults are made for GPUs; here activations are uint8 and weights int8 with
the full range, which is what VNNI and the newer x86 CPUs compute fastest. The graph is cleaned up
first: a batch normalisation left between layers would stay in float.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from hasten.plugin import Facts, Technique
from hasten.techniques import _onnx
from hasten.types import Arrays, Model

LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
BETWEEN = (
    *("Add", "AveragePool", "Clip", "Concat", "Flatten", "Gather", "GlobalAveragePool"),
    *("LeakyRelu", "MaxPool", "Mul", "Pad", "Relu", "Reshape", "Resize", "Sigmoid", "Slice"),
    *("Split", "Squeeze", "Transpose", "Unsqueeze"),
)
"""Operators with int8 kernels that keep the data in int8 from layer to layer. Softmax and
normalisations have some too, but cost much accuracy."""


class Int8QDQ(Technique):
    """Takes and gives form ``"onnx"``."""

    accepts = ("onnx",)
    calibrates = True
    forbids = frozenset({"quantized"})
    gives = frozenset({"quantized"})
    requires = ("onnx>=1.17", "onnxruntime>=1.20")
    extra = "onnxruntime"
    typical_seconds = 4.0

    @dataclass(frozen=True, kw_only=True)
    class Options:
        """``operators``: quantise what lies between layers as well (fast) or layers alone;
        ``per_channel``: one weight scale per output channel; ``calibrate``: how ranges come from
        samples; ``keep``: layers left in float; ``reduce_range``: 7-bit weights, for CPUs whose
        8-bit products saturate (x86 without VNNI)."""

        operators: Literal["all", "layers"] = "all"
        per_channel: bool = True
        calibrate: Literal["minmax", "entropy", "percentile"] = "minmax"
        keep: tuple[str, ...] = ()
        reduce_range: bool = False

    def space(self, traits: frozenset[str], target: Facts) -> Iterable[Mapping[str, Any]]:
        safe = {"reduce_range": True} if _onnx.saturates(target) else {}
        layers = {"operators": "layers", **safe}
        yield from (layers, safe) if "attention" in traits else (safe, layers)

    def apply(self, model: Model, samples: Arrays, options: Options) -> Model:
        with _onnx.quietly(self.name):
            made = _quantised(model, samples, options)
            return _onnx.quantised(self.name, model, made)


def _quantised(model: Model, samples: Arrays, options: Int8QDQ.Options) -> Any:
    import onnx
    from onnxruntime import quantization as q

    proto = _onnx.clean(model)
    cleaned = _onnx.finished(model, proto)
    operators = LAYERS if options.operators == "layers" else LAYERS + BETWEEN
    extra = {
        "MatMulConstBOnly": options.operators == "layers",
        "DefaultTensorType": onnx.TensorProto.FLOAT,
    }
    if options.calibrate != "minmax":
        extra["CalibStridedMinMax"] = 1  # histograms: one batch of activations at a time
    with _onnx.stored(cleaned) as path:
        out = path.with_name("quantised.onnx")
        q.quantize_static(
            str(path),
            str(out),
            _Reader(_onnx.Batches(model.spec, samples)),
            quant_format=q.QuantFormat.QDQ,
            op_types_to_quantize=list(operators),
            per_channel=options.per_channel,
            reduce_range=options.reduce_range,
            activation_type=q.QuantType.QUInt8,
            weight_type=q.QuantType.QInt8,
            nodes_to_exclude=_onnx.layers_among(options.keep, proto),
            calibrate_method={
                "minmax": q.CalibrationMethod.MinMax,
                "entropy": q.CalibrationMethod.Entropy,
                "percentile": q.CalibrationMethod.Percentile,
            }[options.calibrate],
            extra_options=extra,
        )
        return onnx.load(str(out))


class _Reader:
    """Calibration batches as ONNX Runtime asks for them: one by one, or a range at a time."""

    def __init__(self, feeds: Sequence[Arrays]) -> None:
        self._feeds = feeds
        self._left = iter(feeds)

    def __len__(self) -> int:
        return len(self._feeds)

    def get_next(self) -> Arrays | None:
        return next(self._left, None)

    def set_range(self, start_index: int, end_index: int) -> None:
        self._left = iter(self._feeds[start_index:end_index])
