"""Static int8 by NNCF on the ONNX graph: bias correction and, for transformers, SmoothQuant.

**Source:** ``nncf.quantize`` 2.17 to 3.4, ONNX back end. It places fewer quantisers than ONNX
Runtime's own tool and corrects the shift that rounding gives to biases, which saves accuracy.
The graph is cleaned up first: below opset 13 NNCF would give up scales per channel.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from hasten.plugin import Facts, Technique
from hasten.techniques import _nncf, _onnx
from hasten.types import Arrays, Model


class Int8NNCFOnnx(Technique):
    """Takes and gives form ``"onnx"``."""

    accepts = ("onnx",)
    calibrates = True
    forbids = frozenset({"quantized"})
    gives = frozenset({"quantized"})
    requires = ("onnx>=1.17", "onnxruntime>=1.20", "nncf>=2.17")
    extra = "openvino"
    typical_seconds = 9.0

    @dataclass(frozen=True, kw_only=True)
    class Options:
        """``preset``: ``mixed`` lets activations be asymmetric. ``model_type``: ``transformer``
        smooths activations and leaves sensitive products in float. ``smooth_quant``: how far scale
        moves from activations into weights, 0 to 1, or -1 for not at all (``None``: NNCF's own
        choice). ``ranges``: of activations, the ``extremes`` over all samples, or the ``mean`` of
        each sample's, which clips outliers. ``keep``: layers left in float. ``saturates``: the
        CPU's int8 products overflow."""

        preset: Literal["mixed", "performance"] = "mixed"
        model_type: Literal["none", "transformer"] = "none"
        smooth_quant: float | None = None
        ranges: Literal["extremes", "mean"] = "extremes"
        fast_bias_correction: bool = True
        keep: tuple[str, ...] = ()
        saturates: bool = False

    def space(self, traits: frozenset[str], target: Facts) -> Iterable[Mapping[str, Any]]:
        common = {"saturates": True} if _onnx.saturates(target) else {}
        if "attention" in traits:
            common |= {"model_type": "transformer", "smooth_quant": -1.0}
        yield common
        yield {"ranges": "mean", **common}

    def apply(self, model: Model, samples: Arrays, options: Options) -> Model:
        _nncf.check_smoothing(self.name, options.smooth_quant)
        nncf = _nncf.load()
        with _onnx.quietly(self.name):
            proto = _onnx.clean(model)
            feeds = _onnx.Batches(model.spec, samples)
            kept = _onnx.layers_among(options.keep, proto)
            transformer = options.model_type == "transformer"
            made = nncf.quantize(
                proto,
                nncf.Dataset(feeds),
                preset=nncf.QuantizationPreset(options.preset),
                target_device=nncf.TargetDevice.CPU,
                subset_size=len(feeds),
                fast_bias_correction=options.fast_bias_correction,
                model_type=nncf.ModelType.TRANSFORMER if transformer else None,
                ignored_scope=nncf.IgnoredScope(names=kept),
                advanced_parameters=_nncf.advanced(nncf, options),
            )
            return _onnx.quantised(self.name, model, made)
