"""Files of other frameworks that OpenVINO reads by itself, as models in its own form.

**Source:** OpenVINO 2026.4, ``FrontEndManager``: TensorFlow's SavedModel and frozen graphs, and
TensorFlow Lite. The clean-up is left to the engines; ``convert_model`` is not called because it
reports to a server.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hasten.errors import BadModel, NotInstalled, Unsupported
from hasten.frontends._torch_files import first_line
from hasten.plugin import Source
from hasten.plugin.base import distribution
from hasten.types import BATCH, Model, Spec, TensorSpec

KINDS = {"f32": "float32", "f64": "float64", "f16": "float16", "i64": "int64", "i32": "int32"}
KINDS |= {"i8": "int8", "u8": "uint8", "boolean": "bool", "i16": "int16"}
NEEDED = "openvino>=2025.2"


def read(source: Source, free: bool = True) -> Model:
    """The file as a model in form ``"openvino"``, its leading dimension free if it can be."""
    if not distribution(NEEDED):
        raise NotInstalled.extra(f"'{source.what}'", "openvino", "openvino")
    import openvino

    path = Path(str(source.what))
    if not path.exists():
        raise BadModel(f"Cannot read model '{path}': there is no such file. Check the path.")
    try:
        made = openvino.Core().read_model(path)
    except Exception as error:
        raise BadModel(
            f"Cannot read model '{path}': OpenVINO says {first_line(error)[:300]}."
        ) from error
    if free:
        _free(made)
    return Model("openvino", made, Spec(_specs(made.inputs), _specs(made.outputs)))


def _free(made: Any) -> None:
    """Let the leading dimension of 1 that converters write vary, where the graph bears it."""
    import openvino

    shapes = {}
    for number, port in enumerate(made.inputs):
        shape = port.get_partial_shape()
        if shape.rank.is_dynamic or not len(shape) or shape[0].is_dynamic:
            continue
        if shape[0].get_length() != 1:
            return
        shape[0] = openvino.Dimension(-1)
        shapes[number] = shape
    before = {n: port.get_partial_shape() for n, port in enumerate(made.inputs)}
    try:
        made.reshape({**before, **shapes})
        fits = all(port.get_partial_shape()[0].is_dynamic for port in made.outputs)
    except Exception:
        fits = False
    if not fits:
        made.reshape(before)


def _specs(ports: Any) -> tuple[TensorSpec, ...]:
    taken: set[str] = set()
    return tuple(_spec(port, number, taken) for number, port in enumerate(ports))


def _spec(port: Any, number: int, taken: set[str]) -> TensorSpec:
    names = sorted(port.get_names())
    whole = names[0] if names else f"tensor_{number}"
    short = whole.partition(":")[0]
    name = whole.replace(":", "_") if short in taken else short
    taken.add(name)
    kind = str(port.get_element_type().to_string())
    if kind not in KINDS:
        raise Unsupported(f"Cannot use tensor '{name}': NumPy has no {kind}.")
    shape = port.get_partial_shape()
    if shape.rank.is_dynamic:
        raise Unsupported(f"Cannot use tensor '{name}': it has no fixed number of dimensions.")
    sizes = [
        (BATCH if axis == 0 else f"{name}_{axis}") if size.is_dynamic else int(size.get_length())
        for axis, size in enumerate(shape)
    ]
    return TensorSpec(name, KINDS[kind], tuple(sizes))
