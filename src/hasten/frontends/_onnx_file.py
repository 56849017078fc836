"""Reading ``.onnx`` files and refusing, in one clear line, what is none.

**Source:** ONNX IR specification; ``onnx.load`` keeps external data inside the model's folder.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hasten.errors import BadModel, Unsupported

MESSAGE_BYTES = 2_000_000_000
"""Larger models cannot be handed to the checker: protobuf stops at 2 GiB."""
_KNOWN_DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml", "com.microsoft", "com.microsoft.nchwc"})
_AGAIN = "Export or download it again."


def read(what: Any) -> Any:
    """A ``ModelProto`` of the caller's own, with all weights inside and checked to be sound."""
    import onnx

    if isinstance(what, onnx.ModelProto):
        proto, name = onnx.ModelProto(), "the given ModelProto"
        proto.CopyFrom(what)
    else:
        path, name = Path(what), f"'{what}'"
        proto = _parse(path)
        _load_weights(proto, path)
    _refuse_missing_parts(proto, name)
    _refuse_unknown_operators(proto, name)
    _refuse_unsound(proto, name)
    return proto


def _parse(path: Path) -> Any:
    """The message in the file, without its external data."""
    import onnx
    from google.protobuf.message import DecodeError

    if path.is_dir():
        raise BadModel(f"Cannot read model '{path}': it is a folder. Give the .onnx file in it.")
    try:
        raw = path.read_bytes()
    except FileNotFoundError as error:
        raise BadModel(
            f"Cannot read model '{path}': there is no such file. Check the path."
        ) from error
    except OSError as error:
        raise BadModel(f"Cannot read model '{path}': {error.strerror}.") from error
    if not raw:
        raise BadModel(f"Cannot read model '{path}': the file is empty. {_AGAIN}")
    if raw.startswith(b"version https://git-lfs"):
        raise BadModel(
            f"Cannot read model '{path}': it is a Git LFS pointer, not the model. "
            "Fetch the model with: git lfs pull."
        )
    try:
        return onnx.load_model_from_string(raw)
    except DecodeError as error:
        raise BadModel(
            f"Cannot read model '{path}': it is not an ONNX file, or only a part of one. {_AGAIN}"
        ) from error


def _load_weights(proto: Any, path: Path) -> None:
    """Bring external data into the message."""
    import onnx
    from onnx.external_data_helper import load_external_data_for_model

    try:
        load_external_data_for_model(proto, str(path.resolve().parent))
    except (OSError, ValueError, onnx.checker.ValidationError) as error:
        missing = [file for file in _weight_files(proto) if not (path.parent / file).is_file()]
        files = ", ".join(f"'{file}'" for file in missing or dict.fromkeys(_weight_files(proto)))
        why = "missing beside it" if missing else f"damaged ({_line(error)})"
        raise BadModel(
            f"Cannot read the weights of model '{path}': {files} is {why}. "
            "Put the complete file into the same folder."
        ) from error


def _weight_files(proto: Any) -> Iterator[str]:
    """Names of the files that external tensors are kept in."""
    for tensor in proto.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                yield entry.value


def _refuse_missing_parts(proto: Any, name: str) -> None:
    if not proto.graph.node or not proto.graph.output or not proto.opset_import:
        raise BadModel(
            f"Cannot read model {name}: it is not an ONNX model, or only a part of one (no "
            f"operators, outputs or operator set). {_AGAIN}"
        )
    if any(_weight_files(proto)):
        raise BadModel(
            f"Cannot use {name}: its weights are in another file. Load it with onnx.load, or "
            "give the path of the .onnx file."
        )


def _refuse_unknown_operators(proto: Any, name: str) -> None:
    """Operators that no engine here can know, by domain and by name."""
    from onnx import defs

    own = {(function.domain, function.name) for function in proto.functions}
    opset = {entry.domain: entry.version for entry in proto.opset_import}
    strange: dict[str, None] = {}
    bodies = [proto.graph, *proto.functions]
    for node in (node for body in bodies for node in _nodes(body)):
        domain = "" if node.domain == "ai.onnx" else node.domain
        if (node.domain, node.op_type) in own:
            continue
        version = opset.get(domain, defs.onnx_opset_version())
        known = domain in _KNOWN_DOMAINS
        if domain == "" and version <= defs.onnx_opset_version():
            known = defs.has(node.op_type, version, domain)
        if not known:
            strange[f"{node.domain}.{node.op_type}" if node.domain else node.op_type] = None
    if strange:
        raise Unsupported(
            f"Cannot use model {name}: no engine knows its operators {', '.join(strange)}. "
            "Export it with standard ONNX operators."
        )


def _nodes(body: Any) -> Iterator[Any]:
    """Nodes of a graph or function, subgraphs included."""
    for node in body.node:
        yield node
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _nodes(attribute.g)


def _refuse_unsound(proto: Any, name: str) -> None:
    """Ask ONNX's own checker, where the model is small enough for it."""
    import onnx

    held = sum(len(tensor.raw_data) for tensor in proto.graph.initializer)
    if held > MESSAGE_BYTES:
        return
    shapeless = [
        end.type.tensor_type
        for end in (*proto.graph.input, *proto.graph.output)
        if end.type.HasField("tensor_type") and not end.type.tensor_type.HasField("shape")
    ]
    try:
        for end in shapeless:
            end.shape.SetInParent()  # the checker wants what runtimes do without
        onnx.checker.check_model(proto)
    except (onnx.checker.ValidationError, ValueError) as error:
        raise BadModel(
            f"Cannot use model {name}: it breaks the ONNX rules ({_line(error)}). {_AGAIN}"
        ) from error
    finally:
        for end in shapeless:
            end.ClearField("shape")


def _line(error: Exception) -> str:
    """The first line of an error's text, without its full stop."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
