"""Take images as uint8: the input normalisation becomes part of the graph.

**Source:** the affine form of ``(x * scale - mean) / std``. The input carries a quarter of the
bytes, and the runtime fuses cast, scale and shift instead of NumPy making three passes. The
numbers are those that the road computes in front of other models.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hasten.errors import Unsupported
from hasten.plugin import Technique, forms
from hasten.types import Arrays, Model, Normalisation, Spec, TensorSpec, Verdict


class Uint8InputOnnx(Technique):
    """Takes and gives form ``"onnx"``; needs data that declare their normalisation."""

    accepts = ("onnx",)
    stage = "finish"
    exact = True
    forbids = frozenset({"uint8-input"})
    gives = frozenset({"uint8-input"})
    requires = ("onnx>=1.17",)
    extra = "onnxruntime"
    typical_seconds = 0.5

    def supports(self, form: str, traits: frozenset[str], spec: Spec) -> Verdict:
        verdict = super().supports(form, traits, spec)
        if verdict and not spec.normalisation:
            return Verdict(False, "its data declare no normalisation")
        return verdict

    def apply(self, model: Model, samples: Arrays, options: Any) -> Model:
        import onnx

        proto = onnx.ModelProto()
        proto.CopyFrom(model.handle)
        inputs = [
            self._fold(proto.graph, tensor, model.spec.normalisation.get(tensor.name))
            for tensor in model.spec.inputs
        ]
        spec = replace(model.spec, inputs=tuple(inputs))
        kept = model.traits | forms.get(model.form).traits(proto)
        return replace(model, handle=proto, spec=spec, traits=kept)

    def _fold(self, graph: Any, tensor: TensorSpec, how: Normalisation | None) -> TensorSpec:
        """Put ``uint8 -> float, * a, + b`` in front of one input."""
        from onnx import TensorProto, helper, numpy_helper

        if how is None:
            return tensor
        if tensor.dtype != "float32":
            raise Unsupported(
                f"Cannot apply '{self.name}': input '{tensor.name}' is {tensor.dtype}, not float32."
            )
        name = tensor.name
        cast, scaled, ready = (f"{name}/{step}" for step in ("float", "scaled", "normalised"))
        for node in graph.node:
            _rename_inputs(node, name, ready)
        for key, value in zip(("scale", "shift"), how.affine(len(tensor.shape)), strict=True):
            graph.initializer.append(numpy_helper.from_array(value, f"{name}/{key}"))
        front = [
            helper.make_node("Cast", [name], [cast], f"{name}/Cast", to=TensorProto.FLOAT),
            helper.make_node("Mul", [cast, f"{name}/scale"], [scaled], f"{name}/Mul"),
            helper.make_node("Add", [scaled, f"{name}/shift"], [ready], f"{name}/Add"),
        ]
        rest = list(graph.node)
        del graph.node[:]
        graph.node.extend([*front, *rest])
        declared = next(value for value in graph.input if value.name == name)
        declared.type.tensor_type.elem_type = TensorProto.UINT8
        return replace(tensor, dtype="uint8")


def _rename_inputs(node: Any, old: str, new: str) -> None:
    """Let ``node`` and its subgraphs take ``new`` where they took ``old``."""
    for place, name in enumerate(node.input):
        if name == old:
            node.input[place] = new
    for attribute in node.attribute:
        for inner in attribute.g.node if attribute.HasField("g") else ():
            _rename_inputs(inner, old, new)
