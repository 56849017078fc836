"""What the techniques on ONNX graphs share: cleaning, files, calibration batches, quiet.

**Source:** ONNX Runtime's graph optimisations of level "basic" (constant folding, removal of
redundant nodes, batch normalisation and bias folded into layers: standard operators only) and
``onnx.version_converter``. Unlike ``quant_pre_process`` it keeps layer names, works on every
opset from 7 on, and never writes beside the model.
"""

from __future__ import annotations

import contextlib
import io
import logging
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from hasten.errors import BadData, HastenError, UnknownName, Unsupported
from hasten.plugin import Facts, forms
from hasten.types import Arrays, Model, Spec, TensorSpec

OLDEST_OPSET = 13
"""The first operator set whose DequantizeLinear knows channels."""
MODERN_OPSET = 17
_MARK = ("hasten.clean", "1")
_SILENT = 4
_FUSION = re.compile(r"/\w*Fusion\w*/?$")


def clean(model: Model) -> Any:
    """The model's graph, folded, on a modern operator set, every node named: a new handle."""
    import onnx

    copy = onnx.ModelProto()
    copy.CopyFrom(model.handle)
    if any((entry.key, entry.value) == _MARK for entry in copy.metadata_props):
        return copy
    made = _optimised(replace(model, handle=_modernised(copy)))
    if not _same_interface(made.graph, model.handle.graph):
        raise Unsupported("Cannot clean up this graph: ONNX Runtime changed its inputs or outputs.")
    _keep_names(made)
    _flatten_biases(made.graph)
    made.metadata_props.add(key=_MARK[0], value=_MARK[1])
    return made


def _modernised(proto: Any) -> Any:
    """``proto`` on an operator set that quantisation can work with."""
    import onnx

    for graph in (proto.graph, *_bodies(proto.graph)):
        del graph.value_info[:]  # exporters leave stale ones, and quantisers trip over them
    opset = next((e.version for e in proto.opset_import if e.domain in ("", "ai.onnx")), 0)
    if not 0 < opset < OLDEST_OPSET:
        return proto
    return onnx.version_converter.convert_version(proto, MODERN_OPSET)


def _optimised(model: Model) -> Any:
    """What ONNX Runtime makes of the graph with its basic, provider-neutral optimisations."""
    import onnx
    import onnxruntime

    onnxruntime.set_default_logger_severity(_SILENT)
    with stored(model) as path:
        out = path.with_name("optimised.onnx")
        settings = onnxruntime.SessionOptions()
        settings.log_severity_level = _SILENT
        settings.intra_op_num_threads = 1
        settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        settings.optimized_model_filepath = str(out)
        if len(list(path.parent.iterdir())) > 1:  # the weights have a file of their own
            key = "session.optimized_model_external_initializers_file_name"
            settings.add_session_config_entry(key, "optimised.data")
        onnxruntime.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"])
        return onnx.load(str(out))


def _same_interface(made: Any, given: Any) -> bool:
    return all(
        [tensor.name for tensor in a] == [tensor.name for tensor in b]
        for a, b in ((made.input, given.input), (made.output, given.output))
    )


def _bodies(graph: Any) -> Iterator[Any]:
    """All subgraphs of ``graph``."""
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield attribute.g
                yield from _bodies(attribute.g)


def _keep_names(proto: Any) -> None:
    """Fused layers get back the name of the layer they were; nameless nodes get one."""
    graph = proto.graph
    taken = {node.name for node in graph.node}
    seen: set[str] = set()
    for index, node in enumerate(graph.node):
        name = _FUSION.sub("", node.name)
        if name != node.name and name not in taken:
            node.name = name
        while not node.name or node.name in seen:
            node.name = f"{node.name or node.op_type}_{index}"
        seen.add(node.name)
    used = {node.domain for body in (graph, *_bodies(graph)) for node in body.node} | {""}
    kept = [entry for entry in proto.opset_import if entry.domain in used]
    del proto.opset_import[:]
    proto.opset_import.extend(kept)


def _flatten_biases(graph: Any) -> None:
    """``Gemm`` biases of shape ``(1, n)`` become ``(n,)``: ONNX Runtime's quantiser trips over
    the former, and the result is the same."""
    for bias in own_weights(graph, "Gemm", 2):
        if len(bias.dims) == 2 and bias.dims[0] == 1:
            del bias.dims[0]


def own_weights(graph: Any, op: str, place: int) -> Iterator[Any]:
    """The stored tensors that nodes of type ``op`` take at ``place``, each theirs alone: a node
    that shares its tensor gets a copy."""
    stored = {tensor.name: tensor for tensor in graph.initializer}
    uses = Counter(name for body in (graph, *_bodies(graph)) for n in body.node for name in n.input)
    for node in graph.node:
        name = node.input[place] if node.op_type == op and len(node.input) > place else ""
        if name not in stored:
            continue
        tensor = stored[name]
        if uses[name] > 1:
            uses[name] -= 1
            tensor = graph.initializer.add()
            tensor.CopyFrom(stored[name])
            tensor.name = node.input[place] = f"{name}_of_{node.name}"
        yield tensor


@contextlib.contextmanager
def stored(model: Model) -> Iterator[Path]:
    """The model as a file in a temporary folder that is gone afterwards."""
    with TemporaryDirectory(prefix="hasten-") as name:
        folder = Path(name)
        forms.get(model.form).save(model, folder)
        yield next(folder.glob("*.onnx"))


class Batches(Sequence[Arrays]):
    """Calibration samples ``(n, ...)`` as feeds, each made when it is asked for: one sample per
    call where the batch is free, as many as the model is fixed to where it is not.

    An array with one axis more than its input (a state, a scalar) gives one whole entry per call.
    """

    def __init__(self, spec: Spec, samples: Arrays) -> None:
        self._inputs = spec.inputs
        self._samples = samples
        self._rows = {tensor.name: _rows(tensor, samples[tensor.name]) for tensor in spec.inputs}
        if not all(len(samples[name]) for name in self._rows):
            raise BadData("Cannot calibrate: there are no samples. Give some data.")

    def __len__(self) -> int:
        whole = (len(self._samples[name]) // max(1, step) for name, step in self._rows.items())
        return max(1, min(whole))

    def __getitem__(self, call: Any) -> Any:
        if isinstance(call, slice):
            return [self[index] for index in range(*call.indices(len(self)))]
        if not 0 <= call < len(self):
            raise IndexError(call)
        return {tensor.name: self._take(tensor, call) for tensor in self._inputs}

    def _take(self, tensor: TensorSpec, call: int) -> np.ndarray:
        array, step = self._samples[tensor.name], self._rows[tensor.name]
        index = (call * step + np.arange(step)) % len(array) if step else call
        return np.asarray(array[index], dtype=tensor.dtype)


def _rows(tensor: TensorSpec, array: np.ndarray) -> int:
    """How many entries of ``array`` one call takes; 0: one entry, without an axis for it."""
    if array.ndim > len(tensor.shape):
        return 0
    return tensor.shape[0] if isinstance(tensor.shape[0], int) else 1


def saturates(target: Facts) -> bool:
    """Whether the CPU adds int8 products up in pairs of 16 bits, which can overflow: x86 without
    VNNI or AMX."""
    x86 = target.get("arch") in {"x86_64", "AMD64"}
    return x86 and not set(target.get("isa", ())) & {"avx512_vnni", "avx_vnni", "amx_int8"}


def layers_among(names: Iterable[str], proto: Any) -> list[str]:
    """``names``, all of which must be nodes of the graph."""
    known = {node.name for node in proto.graph.node}
    for name in names:
        if name not in known:
            raise UnknownName.among("layer to keep in float", name, known)
    return list(names)


@contextlib.contextmanager
def quietly(name: str) -> Iterator[None]:
    """Run a library that prints and warns; its errors become one line. The quantisers raise
    anything from ``ValueError`` to the runtime's own classes, which share no base."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    except HastenError:
        raise
    except Exception as error:
        line = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
        raise Unsupported(f"Cannot apply '{name}' to this model: {line.rstrip('.')}.") from error
    finally:
        logging.disable(before)


def finished(model: Model, proto: Any) -> Model:
    """``model`` with a new graph and the traits that this graph has."""
    form = forms.get(model.form)
    kept = model.traits - form.traits(model.handle)
    return replace(model, handle=proto, traits=kept | form.traits(proto))


def quantised(name: str, model: Model, proto: Any) -> Model:
    """``finished``, refused if the quantiser found nothing to do."""
    made = finished(model, proto)
    if "quantized" not in made.traits:
        raise Unsupported(
            f"Cannot apply '{name}' to this model: it found no layer that can be quantised."
        )
    return made
