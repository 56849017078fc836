"""What every conversion to OpenVINO ends with: clean graph, declared shapes, lasting names.

**Source:** OpenVINO 2026.4; the clean-up is that of its own ``convert_model``, which is not called
because it reports to a server.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from hasten.errors import Unsupported
from hasten.plugin import forms
from hasten.types import Spec


def finish(model: Any, spec: Spec, sizes: Mapping[str, int]) -> Any:
    """``model`` with the names and shapes of ``spec``, simplified in place.

    ``sizes`` fixes free dimensions, for graphs that cannot leave them free.
    """
    import openvino
    from openvino._offline_transformations import (
        apply_fused_names_cleanup,
        apply_moc_transformations,
    )

    _check(model, spec)
    shapes = [tensor.bound({**dict.fromkeys(tensor.free, -1), **sizes}) for tensor in spec.inputs]
    model.reshape({i: openvino.PartialShape(list(shape)) for i, shape in enumerate(shapes)})
    _keep_reduced(model)
    before = _name_layers(model)
    apply_moc_transformations(model, cf=True, smart_reshape=True)
    apply_fused_names_cleanup(model)
    _name_again(model, before)
    for port, tensor in zip(model.inputs, spec.inputs, strict=True):
        port.set_names({tensor.name})
    for port, tensor in zip(model.outputs, spec.outputs, strict=True):
        port.add_names({tensor.name})
    return model


def _keep_reduced(model: Any) -> None:
    """Let reductions keep their dimensions, and drop those afterwards.

    OpenVINO 2026.4 fuses what follows a reduction into it. Where the reduction drops dimensions,
    it then takes the wrong axis for the channels: wrong results, read beyond the end of a buffer.
    """
    from openvino import opset13 as op

    for node in model.get_ordered_ops():
        if node.get_type_name().startswith("Reduce") and not node.get_attributes()["keep_dims"]:
            reduced, users = node.output(0), list(node.output(0).get_target_inputs())
            names = reduced.get_names()
            reduced.set_names(set())
            node.set_attribute("keep_dims", True)
            node.validate_and_infer_types()
            dropped = op.squeeze(reduced, node.input_value(1))
            dropped.friendly_name = f"{node.friendly_name}/dropped"
            dropped.output(0).set_names(names)
            for user in users:
                user.replace_source_output(dropped.output(0))
    model.validate_nodes_and_infer_types()


@contextmanager
def reading() -> Iterator[None]:
    """Turns what OpenVINO's readers raise into ``Unsupported``, with the reason they report."""
    from openvino import frontend

    failures = (
        RuntimeError,
        frontend.GeneralFailure,
        frontend.OpConversionFailure,
        frontend.OpValidationFailure,
        frontend.NotImplementedFailure,
    )
    try:
        yield
    except failures as error:
        raise Unsupported(
            f"Cannot convert the model to OpenVINO: {_reason(error)}. Use another engine."
        ) from error


def _reason(error: Exception) -> str:
    """The operators that a report names, else its last line: places in source code stand first."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    named = [line.removeprefix("-- ") for line in lines if line.startswith("-- ")]
    return "; ".join(named[-1:] or lines[-1:]).rstrip(".") or type(error).__name__


def _check(model: Any, spec: Spec) -> None:
    found = (len(model.inputs), len(model.outputs))
    wanted = (len(spec.inputs), len(spec.outputs))
    if found != wanted:
        raise Unsupported(
            f"Cannot convert the model to OpenVINO: it came out with {found[0]} inputs and "
            f"{found[1]} outputs instead of {wanted[0]} and {wanted[1]}. Use another engine."
        )


def _layers(model: Any) -> list[Any]:
    nodes: list[Any] = forms.get("openvino").layer_nodes(model)  # type: ignore[attr-defined]
    return nodes


def _name_layers(model: Any) -> dict[str, list[str]]:
    """Give nameless layers a name that does not depend on what ran before; names by type.

    OpenVINO numbers nameless nodes through the whole life of a process.
    """
    names: dict[str, list[str]] = {}
    for node in _layers(model):
        kind = node.get_type_name()
        if node.friendly_name == node.get_name():
            node.friendly_name = f"{kind}.{len(names.get(kind, ()))}"
        names.setdefault(kind, []).append(node.friendly_name)
    return names


def _name_again(model: Any, before: dict[str, list[str]]) -> None:
    """Give layers that the clean-up made anew (with BatchNorm folded in) their old names."""
    made: dict[str, list[Any]] = {}
    for node in _layers(model):
        made.setdefault(node.get_type_name(), []).append(node)
    for kind, nodes in made.items():
        known = set(before.get(kind, ()))
        kept = {node.friendly_name for node in nodes} & known
        free = [name for name in before.get(kind, ()) if name not in kept]
        nameless = [node for node in nodes if node.friendly_name not in known]
        for index, node in enumerate(nameless):
            node.friendly_name = free[index] if index < len(free) else f"{kind}.new{index}"
