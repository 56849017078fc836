"""Input normalisation inside the graph, so that images go in as the bytes they are stored as.

**Source:** the idea of OpenVINO's ``PrePostProcessor``. Here the same two numbers per channel that
the caller would apply stand in the graph as one product and one sum, so that both give the same
result, and the runtime fuses them with its layout change.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hasten.plugin import Technique
from hasten.types import Arrays, Model, Normalisation, Spec, Verdict


class Uint8InputOpenVINO(Technique):
    """Takes ``uint8`` where the data declare their normalisation: a quarter of the bytes."""

    requires = ("openvino>=2025.2",)
    extra = "openvino"
    typical_seconds = 0.5
    accepts = ("openvino",)
    stage = "finish"
    exact = True
    forbids = frozenset({"uint8-input"})
    gives = frozenset({"uint8-input"})

    def supports(self, form: str, traits: frozenset[str], spec: Spec) -> Verdict:
        verdict = super().supports(form, traits, spec)
        if verdict and not spec.normalisation:
            return Verdict(False, "the data declare no normalisation")
        return verdict

    def apply(self, model: Model, samples: Arrays, options: Any) -> Model:
        handle = model.handle.clone()
        for index, tensor in enumerate(model.spec.inputs):
            if tensor.name in model.spec.normalisation:
                _fold(handle, index, model.spec.normalisation[tensor.name])
        handle.validate_nodes_and_infer_types()
        inputs = tuple(
            replace(tensor, dtype="uint8") if tensor.name in model.spec.normalisation else tensor
            for tensor in model.spec.inputs
        )
        return replace(model, handle=handle, spec=replace(model.spec, inputs=inputs))


def _fold(handle: Any, index: int, normalise: Normalisation) -> None:
    """Put ``uint8 -> float -> x * a + b`` in front of everything that reads input ``index``."""
    import openvino
    from openvino import opset13 as op

    old = handle.get_parameters()[index]
    new = op.parameter(old.get_partial_shape(), openvino.Type.u8, name=old.friendly_name)
    new.output(0).set_names(old.output(0).get_names())
    a, b = normalise.affine(len(old.get_partial_shape()))
    scaled = op.multiply(op.convert(new, old.get_element_type()), op.constant(a))
    normalised = op.add(scaled, op.constant(b))
    normalised.friendly_name = f"{old.friendly_name}/normalised"
    old.output(0).replace(normalised.output(0))
    handle.replace_parameter(index, new)
