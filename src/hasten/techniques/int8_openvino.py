"""Static int8 quantisation after training, by NNCF on the OpenVINO form.

**Source:** NNCF 3.4, ``nncf.quantize``: MinMax ranges, fast bias correction (arXiv:1906.04721,
section 4.2), SmoothQuant for transformers (arXiv:2211.10438). It differs in that weights use their
full range unless the CPU's int8 products saturate, and activations are not clipped.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from hasten.errors import BadData, BadInput, UnknownName
from hasten.plugin import Facts, Technique, forms
from hasten.techniques import _nncf
from hasten.techniques._onnx import saturates
from hasten.types import Arrays, Model, Spec

CELLS = ["LSTMSequence", "GRUSequence", "RNNSequence", "LSTMCell", "GRUCell", "RNNCell"]
"""Recurrent operators by OpenVINO's names."""


class Int8OpenVINO(Technique):
    """Weights per channel and activations per tensor in int8; ``keep`` names float layers."""

    requires = ("openvino>=2025.2", "nncf>=2.17")
    extra = "openvino"
    typical_seconds = 8.0
    accepts = ("openvino",)
    calibrates = True
    forbids = frozenset({"quantized"})
    gives = frozenset({"quantized"})

    @dataclass(frozen=True, kw_only=True)
    class Options:
        """``preset``: ``mixed`` lets activations be asymmetric. ``smooth_quant``: how far scale
        moves from a transformer's activations into weights, 0 to 1, or -1 for not at all
        (``None``: NNCF's own choice, 0.95). ``ranges``: of activations, the ``extremes`` over all
        samples, or the ``mean`` of each sample's, which clips outliers. ``samples``: the most
        calibration samples to use. ``cells``: whether recurrent cells are quantised too.
        ``saturates``: the CPU's int8 products overflow."""

        preset: Literal["performance", "mixed"] = "performance"
        model_type: Literal["none", "transformer"] = "none"
        smooth_quant: float | None = None
        ranges: Literal["extremes", "mean"] = "extremes"
        fast_bias_correction: bool = True
        keep: tuple[str, ...] = ()
        samples: int = 300
        cells: Literal["int8", "float"] = "int8"
        saturates: bool = False

    def space(self, traits: frozenset[str], target: Facts) -> Iterable[Mapping[str, Any]]:
        common = {"saturates": True} if saturates(target) else {}
        if "attention" in traits:
            yield {"model_type": "transformer", "smooth_quant": -1.0, **common}
            yield {"model_type": "transformer", "smooth_quant": 0.5, "preset": "mixed", **common}
        elif "recurrent" in traits:  # with signed inputs, OpenVINO 2026.4 starts LSTM states wrong
            if "convolution" in traits:
                yield {"cells": "float", **common}
            yield {"preset": "mixed", **common}
        else:
            yield common
            yield {"preset": "mixed", **common}
            yield {"ranges": "mean", **common}

    def apply(self, model: Model, samples: Arrays, options: Any) -> Model:
        self._check(model, options)
        nncf = _nncf.load()
        feeds = list(_feeds(samples, model.spec, options.samples))
        with _nncf.quiet():
            handle = nncf.quantize(
                model.handle.clone(),
                nncf.Dataset(feeds),
                preset=nncf.QuantizationPreset(options.preset),
                target_device=nncf.TargetDevice.CPU,
                subset_size=len(feeds),
                fast_bias_correction=options.fast_bias_correction,
                model_type=nncf.ModelType.TRANSFORMER if _transformer(options) else None,
                ignored_scope=nncf.IgnoredScope(
                    names=list(options.keep),
                    types=CELLS if options.cells == "float" else [],
                    validate=False,
                ),
                advanced_parameters=_nncf.advanced(nncf, options),
            )
        return replace(model, handle=handle)

    def _check(self, model: Model, options: Any) -> None:
        layers = forms.get("openvino").layer_nodes(model.handle)  # type: ignore[attr-defined]
        known = [node.friendly_name for node in layers]
        for name in options.keep:
            if name not in known:
                raise UnknownName.among(f"layer in 'keep' of '{self.name}'", name, known)
        _nncf.check_smoothing(self.name, options.smooth_quant)
        if options.samples < 1:
            raise BadInput(
                f"Cannot calibrate '{self.name}' on {options.samples} samples: it takes 1 or more."
            )


def _transformer(options: Any) -> bool:
    return bool(options.model_type == "transformer")


def _feeds(samples: Arrays, spec: Spec, most: int) -> Iterator[dict[str, Any]]:
    """Calibration samples as model inputs, one sample each, or as many as a fixed batch takes."""
    count = min((len(samples[tensor.name]) for tensor in spec.inputs), default=0)
    fixed = {t.shape[0] for t in spec.inputs if t.shape and isinstance(t.shape[0], int)}
    step = 1 if any(t.batched for t in spec.inputs) or len(fixed) != 1 else fixed.pop()
    if count < step:
        raise BadData(f"Cannot calibrate on {count} samples: the model takes {step} at a time.")
    for start in range(0, min(count, most) - step + 1, step):
        yield {t.name: _window(samples[t.name], len(t.shape), start, step) for t in spec.inputs}


def _window(array: Any, rank: int, start: int, step: int) -> Any:
    """One feed: inputs without a batch dimension take one sample as it is."""
    return array[start : start + step] if array.ndim == rank else array[start]
