"""TensorFlow's graphs: opened, looked through for what reaches outside, and turned into ONNX.

**Source:** TensorFlow 2.21, tf2onnx 1.17. Runs where TensorFlow is.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from hasten.errors import BadModel, Unsupported, Untrusted
from hasten.frontends._torch_files import first_line
from hasten.plugin import Source

OPSET = 18
SAVED = "saved_model.pb"
OUTSIDE = frozenset(
    ["EagerPyFunc", "MatchingFiles", "PyFunc", "PyFuncStateless", "ReadFile", "WriteFile"]
)
"""Operators that read or write files, or call Python."""
Run = Callable[..., list[Any]]


def refuse_files(path: Path) -> None:
    """A graph is run to be compared with: one that reads or writes files, or calls Python, only
    with trust."""
    from google.protobuf.message import DecodeError
    from tensorflow.core.framework import graph_pb2
    from tensorflow.core.protobuf import saved_model_pb2

    try:
        if path.is_dir():
            saved = saved_model_pb2.SavedModel.FromString((path / SAVED).read_bytes())
            graphs = [meta.graph_def for meta in saved.meta_graphs]
        else:
            graphs = [graph_pb2.GraphDef.FromString(path.read_bytes())]
    except (OSError, DecodeError) as error:
        raise BadModel(f"Cannot read model '{path}': {first_line(error)[:200]}.") from error
    kinds = {node.op for graph in graphs for node in graph.node}
    functions = [function for graph in graphs for function in graph.library.function]
    kinds |= {node.op for function in functions for node in function.node_def}
    if found := sorted(kinds & OUTSIDE):
        raise Untrusted(
            f"Cannot load '{path}': its graph reaches outside ({', '.join(found)}). Pass --trust "
            "if you trust whoever made it."
        )


def opened(path: Path, source: Source) -> tuple[Any, list[str], list[str], Run]:
    """``(graph, inputs, outputs, how to run the original)``."""
    from tf2onnx import tf_loader

    if path.is_dir():
        found = tf_loader.from_saved_model(str(path), None, None)
        return (*found[:3], _signature(path))
    import tensorflow

    graph = tensorflow.compat.v1.GraphDef()
    graph.ParseFromString(path.read_bytes())
    inputs, outputs = _ends(graph)
    wrapped = tensorflow.compat.v1.wrap_function(
        lambda: tensorflow.compat.v1.import_graph_def(graph, name=""), []
    )
    pruned = wrapped.prune(
        [wrapped.graph.get_tensor_by_name(name) for name in inputs],
        [wrapped.graph.get_tensor_by_name(name) for name in outputs],
    )

    def run(*values: np.ndarray) -> list[Any]:
        return list(pruned(*map(tensorflow.constant, values)))

    return graph, inputs, outputs, run


def _signature(path: Path) -> Run:
    """Runs the signature that is meant for serving."""
    import tensorflow

    loaded = tensorflow.saved_model.load(str(path))
    names = list(loaded.signatures)
    if not names:
        raise Unsupported(
            f"Cannot use '{path}': it has no signature. Save it with signatures=..., which says "
            "what it takes."
        )
    chosen = "serving_default" if "serving_default" in names else names[0]
    function = loaded.signatures[chosen]

    def run(*values: np.ndarray) -> list[Any]:
        named = dict(zip(function.structured_input_signature[1], values, strict=True))
        found = function(**{name: tensorflow.constant(value) for name, value in named.items()})
        return [found[name] for name in sorted(found)]

    run.keep = loaded  # type: ignore[attr-defined]  # its variables live as long as it does
    return run


def _ends(graph: Any) -> tuple[list[str], list[str]]:
    """Placeholders, and what no other node takes."""
    used = {name.split(":")[0].lstrip("^") for node in graph.node for name in node.input}
    inputs = [f"{node.name}:0" for node in graph.node if node.op == "Placeholder"]
    ends = [node for node in graph.node if node.name not in used]
    outputs = [f"{node.name}:0" for node in ends if node.op not in ("Const", "NoOp", "Placeholder")]
    if not inputs or not outputs:
        raise BadModel("Cannot use the graph: it has no placeholder or no output.")
    return inputs, outputs


def converted(graph: Any, inputs: list[str], outputs: list[str]) -> Any:
    """The ONNX graph; tf2onnx's own errors and warnings do not count, the comparison does."""
    import logging

    import tf2onnx

    logging.getLogger("tf2onnx").setLevel(logging.CRITICAL)
    try:
        proto, _ = tf2onnx.convert.from_graph_def(
            graph,
            input_names=list(inputs),
            output_names=list(outputs),
            opset=OPSET,
            custom_op_handlers={"Erfc": (_erfc, [])},
        )
    except Exception as error:
        raise Unsupported(
            f"tf2onnx cannot convert the model: {first_line(error)[:300]}."
        ) from error
    return proto


def _erfc(context: Any, node: Any, name: str, args: Any) -> None:
    """``1 - erf(x)``: ONNX has no Erfc, and tf2onnx writes it all the same."""
    shape, kind = context.get_shape(node.output[0]), context.get_dtype(node.output[0])
    taken, given = node.input[0], list(node.output)
    context.remove_node(node.name)
    inner = context.make_node("Erf", [taken])
    one = context.make_const(f"{node.name}_one", np.array(1, dtype=np.float32))
    context.make_node(
        "Sub", [one.output[0], inner.output[0]], outputs=given, shapes=[shape], dtypes=[kind],
        name=node.name,
    )  # fmt: skip
