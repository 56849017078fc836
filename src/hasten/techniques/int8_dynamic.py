"""Dynamic int8 by ONNX Runtime: int8 weights, activation ranges measured in every call.

**Source:** ``onnxruntime.quantization.quantize_dynamic`` 1.20 to 1.31. For products and recurrent
cells only: a dynamically quantised convolution is slower than float. It needs no samples.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from hasten.plugin import Facts, Technique
from hasten.techniques import _onnx
from hasten.types import Arrays, Model, Spec, Verdict

OPERATORS = ("Attention", "Gemm", "LSTM", "MatMul")


class Int8Dynamic(Technique):
    """Takes and gives form ``"onnx"``; for transformers and recurrent models."""

    accepts = ("onnx",)
    forbids = frozenset({"quantized"})
    gives = frozenset({"quantized"})
    requires = ("onnx>=1.17", "onnxruntime>=1.20")
    extra = "onnxruntime"
    typical_seconds = 2.0

    @dataclass(frozen=True, kw_only=True)
    class Options:
        """``per_channel``: one weight scale per output channel; ``keep``: layers left in float;
        ``reduce_range``: 7-bit weights, for x86 CPUs without VNNI."""

        per_channel: bool = False
        keep: tuple[str, ...] = ()
        reduce_range: bool = False

    def supports(self, form: str, traits: frozenset[str], spec: Spec) -> Verdict:
        if form in self.accepts and not traits & {"attention", "recurrent"}:
            return Verdict(False, "it is for models with attention or recurrent cells")
        return super().supports(form, traits, spec)

    def space(self, traits: frozenset[str], target: Facts) -> Iterable[Mapping[str, Any]]:
        safe = {"reduce_range": True} if _onnx.saturates(target) else {}
        yield safe
        yield {"per_channel": True, **safe}

    def apply(self, model: Model, samples: Arrays, options: Options) -> Model:
        with _onnx.quietly(self.name):
            return _onnx.quantised(self.name, model, _quantised(model, options))


def _quantised(model: Model, options: Int8Dynamic.Options) -> Any:
    import onnx
    from onnxruntime import quantization as q

    proto = _onnx.clean(model)
    kept = _onnx.layers_among(options.keep, proto)
    list(_onnx.own_weights(proto.graph, "Gemm", 1))  # the quantiser transposes them in place
    with _onnx.stored(_onnx.finished(model, proto)) as path:
        out = path.with_name("quantised.onnx")
        q.quantize_dynamic(
            str(path),
            str(out),
            op_types_to_quantize=list(OPERATORS),
            per_channel=options.per_channel,
            reduce_range=options.reduce_range,
            weight_type=q.QuantType.QInt8,
            nodes_to_exclude=[*kept, *(f"{name}_MatMul" for name in kept)],
            extra_options={
                "MatMulConstBOnly": True,
                "EnableSubgraph": True,
                "DefaultTensorType": onnx.TensorProto.FLOAT,
            },
        )
        return onnx.load(str(out))
