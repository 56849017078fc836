"""PyTorch modules called by position, kept as an exported graph in JSON beside safetensors.

**Source:** PyTorch 2.13, ``torch.export`` (training IR: operators before decomposition, so that
LSTM, attention and BatchNorm stay one node each). The file format is our own; ``_torch_graph.py``
says why it is not ``torch.export.save``.

A handle read from a folder is a ``GraphModule`` with its free dimensions free. Exporting it once
more, for a converter, takes a fraction of the first export's time.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hasten.errors import BadModel, Unsupported
from hasten.forms._torch_export import (
    Held,
    export,
    graph_traits,
    layer_outputs,
    module_traits,
    multiply_adds,
    table_rows,
)
from hasten.forms._torch_graph import decode, encode
from hasten.plugin import Form
from hasten.types import BATCH, Arrays, Model, Spec

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram
    from torch.fx import GraphModule

GRAPH_FILE = "graph.json"
TENSORS_FILE = "tensors.safetensors"


class TorchForm(Form):
    """``nn.Module`` in memory, operators and tensors on disk."""

    requires = ("torch>=2.11", "safetensors>=0.4.3")
    extra = "torch"
    suffix = ".pt2"

    def write(self, model: Model, path: Path) -> None:
        import torch

        torch.export.save(self.export(model.handle, model.spec), path)

    def save(self, model: Model, folder: Path) -> None:
        import torch
        from safetensors.torch import save_file

        document, tensors = encode(self.graph(model.handle, model.spec))
        document["torch"] = torch.__version__
        document["complex"] = sorted(name for name, kept in tensors.items() if kept.is_complex())
        (folder / GRAPH_FILE).write_text(
            json.dumps(document, separators=(",", ":"), allow_nan=False)
        )
        save_file(_separate(tensors), folder / TENSORS_FILE)

    def load(self, folder: Path, spec: Spec) -> GraphModule:
        import torch
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        made_by = "unknown"
        try:
            document = json.loads((folder / GRAPH_FILE).read_text())
            made_by = document["torch"]
            # The file is mapped at odd addresses; kernels want aligned weights.
            tensors = {k: v.clone() for k, v in load_file(folder / TENSORS_FILE).items()}
            tensors |= {k: torch.view_as_complex(tensors[k]) for k in document["complex"]}
            handle = decode(document, tensors)
        except (OSError, ValueError, KeyError, TypeError, SafetensorError, BadModel) as error:
            raise BadModel(
                f"Cannot load the PyTorch graph in '{folder}': {error}. It was saved by PyTorch "
                f"{made_by}, this is {torch.__version__}. Make it again from its source model."
            ) from error
        handle.hasten = Held(spec, flat=True)
        return handle

    def traits(self, handle: Any) -> frozenset[str]:
        held = getattr(handle, "hasten", None)
        if held is not None and held.program is not None:
            return graph_traits(_graphs(held.program.graph_module))
        if held is not None and held.flat:
            return graph_traits(_graphs(handle))
        return module_traits(handle)

    def size(self, handle: Any) -> tuple[int, int]:
        parameters = sum(parameter.numel() for parameter in handle.parameters())
        held = getattr(handle, "hasten", None)
        if held is None or set(held.spec.free) - {BATCH}:
            return parameters, 0
        return parameters, multiply_adds(self._flat(handle) or handle, held.spec)

    def operators(self, handle: Any) -> dict[str, int]:
        module = self._flat(handle)
        nodes = (node for graph in _graphs(module) for node in graph.nodes) if module else ()
        return dict(Counter(str(n.target) for n in nodes if n.op == "call_function"))

    def layers(self, handle: Any, feeds: Arrays) -> Arrays:
        import torch

        module = self._flat(handle)
        if module is None:
            return {}
        inputs = [torch.as_tensor(feeds[tensor.name]) for tensor in handle.hasten.spec.inputs]
        return {name: out.numpy() for name, out in layer_outputs(module, inputs).items()}

    def bounds(self, handle: Any) -> dict[str, int]:
        module = self._flat(handle)
        if module is None:
            return {}
        rows = zip(handle.hasten.spec.inputs, table_rows(module), strict=True)
        return {tensor.name: count for tensor, count in rows if count is not None}

    def _flat(self, handle: Any) -> GraphModule | None:
        """The handle as it would be read back from disk, if it was ever exported."""
        held = getattr(handle, "hasten", None)
        if held is None or held.flat:
            return handle if held is not None else None
        return self.flatten(held.program) if held.program is not None else None

    def export(self, handle: torch.nn.Module, spec: Spec) -> ExportedProgram:
        """The handle as an exported program; the handle remembers it."""
        held = getattr(handle, "hasten", None)
        if held is None or held.spec != spec:
            held = Held(spec, flat=held is not None and held.flat)
        if held.program is None:
            try:
                held.program = export(handle, spec)
            except Exception as error:
                # torch.export raises whatever the user's own code raises under tracing.
                reason = str(error).strip().partition("\n")[0] or type(error).__name__
                raise Unsupported(f"torch.export cannot capture the model: {reason}") from error
        handle.hasten = held
        return held.program

    def graph(self, handle: torch.nn.Module, spec: Spec) -> GraphModule:
        """The graph of a handle, with its weights as attributes."""
        held = getattr(handle, "hasten", None)
        if held is not None and held.flat:
            return handle
        return self.export(handle, spec).module(check_guards=False)

    def flatten(self, program: ExportedProgram) -> GraphModule:
        """An exported program as a module that takes and gives plain tensors."""
        return decode(*encode(program.module(check_guards=False)))


def _graphs(module: GraphModule) -> list[Any]:
    """The graph of a module and of all modules nested in it."""
    return [part.graph for part in module.modules() if hasattr(part, "graph")]


def _separate(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Dense tensors, none of which shares memory with another, as safetensors wants them."""
    import torch

    stored, seen = {}, set()
    for name, tensor in tensors.items():
        plain = (torch.view_as_real(tensor) if tensor.is_complex() else tensor).contiguous()
        storage = plain.untyped_storage()
        if storage.data_ptr() in seen or storage.nbytes() != plain.nbytes:
            plain = plain.clone()
        seen.add(plain.untyped_storage().data_ptr())
        stored[name] = plain
    return stored
