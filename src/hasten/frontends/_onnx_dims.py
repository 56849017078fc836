"""Names for the free dimensions of an ONNX model, and the shapes of its outputs.

**Source:** ONNX shape inference with data propagation. Exporters leave free dimensions unnamed,
call them ``0``, ``-1``, ``?`` or ``unk__7``, and call the batch whatever they like; here every free
dimension of an input gets a name, and the batch gets the one that Hasten knows.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hasten.errors import BadModel, UnknownName, Unsupported
from hasten.types import BATCH, TensorSpec

Shape = tuple[int | str, ...]

_NO_NAME = re.compile(r"|\?|\*|-1|0|none|unknown|dynamic", re.I)
_MADE_UP = re.compile(r"unk_.*|dyn.*|.*dynamicdimension.*|.*dim_?\d+|axis_?\d+|s\d+", re.I)
_BATCH_LIKE = re.compile(r"n|b|bs|.*batch.*", re.I)
_NOT_BATCH = re.compile(r".*(seq|len|time|frame|token|step|height|width).*", re.I)
_WEIGHT_ELEMENTS = 1024


def dtype_name(tensor: Any) -> str:
    """The NumPy name of a graph input's or output's element type."""
    from onnx import TensorProto, helper

    kind = tensor.type.WhichOneof("value")
    if kind != "tensor_type":
        raise Unsupported(
            f"Cannot use model: '{tensor.name}' is a {str(kind).removesuffix('_type')}, not a "
            "tensor. Export the model with plain tensors as inputs and outputs."
        )
    element = tensor.type.tensor_type.elem_type
    if element in (TensorProto.UNDEFINED, TensorProto.STRING):
        what = TensorProto.DataType.Name(element).lower()
        raise Unsupported(f"Cannot use model: the values of '{tensor.name}' are of type {what}.")
    return str(helper.tensor_dtype_to_np_dtype(element).name)


def dims(tensor: Any) -> Shape:
    """The declared shape: ``""`` for a free dimension without a usable name."""
    return tuple(_dim(dim) for dim in tensor.type.tensor_type.shape.dim)


def _dim(dim: Any) -> int | str:
    if dim.HasField("dim_value") and dim.dim_value > 0:
        return int(dim.dim_value)
    return "" if _NO_NAME.fullmatch(dim.dim_param) else str(dim.dim_param)


def set_dims(tensor: Any, shape: Iterable[int | str] | None) -> None:
    """Declare ``shape``; an empty name leaves the dimension open, ``None`` their number."""
    tensor.type.tensor_type.ClearField("shape")
    if shape is None:
        return
    declared = tensor.type.tensor_type.shape
    declared.SetInParent()
    for size in shape:
        dim = declared.dim.add()
        if isinstance(size, int):
            dim.dim_value = size
        elif size:
            dim.dim_param = size


def input_shapes(inputs: Sequence[Any], examples: Sequence[TensorSpec]) -> dict[str, Shape]:
    """The shape of every input with all free dimensions named.

    ``examples`` are shapes that the user gave, by name or in order; they win over declared ones.
    """
    names = [tensor.name for tensor in inputs]
    given = {e.name or names[min(i, len(names) - 1)]: e.shape for i, e in enumerate(examples)}
    for name in given:
        if name not in names:
            raise UnknownName.among("input", name, names)
    declared = {}
    for tensor in inputs:
        if tensor.name in given:
            declared[tensor.name] = given[tensor.name]
        elif tensor.type.tensor_type.HasField("shape"):
            declared[tensor.name] = dims(tensor)
        else:
            raise BadModel(
                f"Cannot use model: its input '{tensor.name}' declares no shape. Give one, such "
                f"as {tensor.name}=batch,3,224,224, or export the model with shapes."
            )
    return name_dimensions(declared)


def name_dimensions(declared: Mapping[str, Shape]) -> dict[str, Shape]:
    """Name the batch and every free dimension without a name.

    The batch is the first leading free dimension whose name does not say otherwise (sequence,
    length, height …), and every other leading one of that name, of a made-up name or of none.
    Equal names stay equal, except inside one input where the batch's name comes back.
    """
    batch = _batch_name(declared)
    uses = Counter(dim for shape in declared.values() for dim in shape)
    named = {}
    for name, shape in declared.items():
        leads = bool(shape) and batch is not None and _is_batch(shape[0], batch)
        made: list[int | str] = []
        for axis, dim in enumerate(shape):
            if isinstance(dim, int):
                made.append(dim)
            elif (leads and axis == 0) or (dim and dim == batch and not leads):
                made.append(BATCH)
            elif dim in ("", BATCH, batch) or (_MADE_UP.fullmatch(dim) and uses[dim] == 1):
                made.append(_own_name(name, axis))
            else:
                made.append(dim)
        named[name] = tuple(made)
    return named


def _own_name(tensor: str, axis: int) -> str:
    """A name for a dimension that has none: tensor and axis."""
    return f"{re.sub(r'[^A-Za-z0-9_]', '_', tensor)}_{axis}"


def _batch_name(declared: Mapping[str, Shape]) -> str | None:
    """The name that the batch has in this model (``""``: none); ``None`` if there is no batch."""
    for shape in declared.values():
        dim = shape[0] if shape else 1
        if isinstance(dim, str) and (_BATCH_LIKE.fullmatch(dim) or not _NOT_BATCH.fullmatch(dim)):
            return dim
    return None


def _is_batch(dim: int | str, batch: str) -> bool:
    """Whether a leading dimension is the batch, given what the batch is called."""
    if isinstance(dim, int):
        return False
    made_up = not dim or _MADE_UP.fullmatch(dim) or _BATCH_LIKE.fullmatch(dim)
    return dim == batch or bool(made_up)


# --- outputs ---------------------------------------------------------------------------------


def output_shapes(proto: Any, inputs: Mapping[str, Shape]) -> dict[str, Shape]:
    """The shape of every output, the batch recognised by inferring twice with different sizes.

    An output whose number of dimensions nobody knows is left out.
    """
    bare = _without_weights(proto)
    open_ = _infer(bare, inputs)
    declared = {
        tensor.name: dims(tensor)
        for tensor in proto.graph.output
        if tensor.name in open_ or tensor.type.tensor_type.HasField("shape")
    }
    twice = [_infer(bare, _bound(inputs, size)) for size in (2, 3)]
    known = {dim for shape in inputs.values() for dim in shape if isinstance(dim, str)}
    batched = all(shape[:1] == (BATCH,) for shape in inputs.values())
    batch_names = {dims(t)[:1] for t in proto.graph.input if inputs[t.name][:1] == (BATCH,)}
    found = {}
    for name, shape in declared.items():
        said = ("", *shape[1:]) if batched and shape else shape  # exporters write 1 for the batch
        views = [open_.get(name, said), *(inferred.get(name, ()) for inferred in twice), said]
        rank = len(views[0])
        made = [
            _settled([view[axis] if len(view) == rank else "" for view in views], known)
            for axis in range(rank)
        ]
        if made and made[0] == "" and (batched or shape[:1] in batch_names - {("",)}):
            made[0] = BATCH
        found[name] = tuple(
            _own_name(name, axis) if dim in ("", _OTHER) else dim for axis, dim in enumerate(made)
        )
    return found


_OTHER = "?"


def _settled(views: list[int | str], known: set[str]) -> int | str:
    """One output dimension from what inference says with an open, a double and a triple batch,
    and from what the model declares. ``""``: unknown; ``_OTHER``: known to be something else."""
    free, double, triple, said = views
    if isinstance(free, int) or free in known:
        return free
    if isinstance(double, int) and isinstance(triple, int):
        return double if double == triple else BATCH if (double, triple) == (2, 3) else _OTHER
    if isinstance(said, int):
        return said
    plain = re.fullmatch(r"[A-Za-z]\w*", said) and not _MADE_UP.fullmatch(said)
    return said if plain and said not in known else ""


def _bound(inputs: Mapping[str, Shape], batch: int) -> dict[str, Shape]:
    return {
        name: tuple(batch if dim == BATCH else dim for dim in shape)
        for name, shape in inputs.items()
    }


def _infer(bare: Any, inputs: Mapping[str, Shape]) -> dict[str, Shape]:
    """Output shapes by ONNX's own inference; outputs it cannot tell are left out."""
    import onnx

    proto = onnx.ModelProto()
    proto.CopyFrom(bare)
    for tensor in proto.graph.input:
        set_dims(tensor, inputs[tensor.name])
    for tensor in proto.graph.output:
        tensor.type.tensor_type.ClearField("shape")
    try:
        inferred = onnx.shape_inference.infer_shapes(proto, data_prop=True)
    except onnx.shape_inference.InferenceError:
        return {}  # the declared shapes have to do; engines infer by themselves
    return {
        tensor.name: dims(tensor)
        for tensor in inferred.graph.output
        if tensor.type.tensor_type.HasField("shape")
    }


def _without_weights(proto: Any) -> Any:
    """A copy without the values of large tensors, which shape inference does not need."""
    import onnx

    bare = onnx.ModelProto()
    bare.CopyFrom(proto)
    for tensor in bare.graph.initializer:
        if math.prod(tensor.dims) > _WEIGHT_ELEMENTS:
            for field in ("raw_data", "float_data", "int32_data", "int64_data", "double_data"):
                tensor.ClearField(field)
    return bare
