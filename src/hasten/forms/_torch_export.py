"""``torch.export`` for modules called with tensors by position, and facts read from graphs."""

from __future__ import annotations

import inspect
import logging
import math
import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from io import StringIO
from typing import TYPE_CHECKING, Any

from hasten.types import BATCH, Spec, TensorSpec

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram
    from torch.fx import Graph, GraphModule, Node

#: Sizes of free dimensions while a graph is traced: 0 and 1 would be taken for constants.
TRACED_BATCH = 2
TRACED_SIZE = 32


def export(module: torch.nn.Module, spec: Spec) -> ExportedProgram:
    """The graph of ``module`` with the free dimensions of ``spec``. Raises what torch raises."""
    import torch

    dynamic = tuple(
        {axis: torch.export.Dim.DYNAMIC for axis, dim in enumerate(t.shape) if isinstance(dim, str)}
        for t in spec.inputs
    )
    with torch.no_grad(), _quiet():
        return torch.export.export(
            module,
            examples(spec, TRACED_BATCH),
            dynamic_shapes=(dynamic,) if _takes_any(module) else dynamic,
            strict=False,
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Drop what torch.export logs, warns of and prints; what matters comes as an error."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), redirect_stderr(StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _takes_any(module: torch.nn.Module) -> bool:
    """Whether ``forward`` gathers its tensors in one ``*parameter``."""
    kinds = [p.kind for p in inspect.signature(module.forward).parameters.values()]
    return kinds[:1] == [inspect.Parameter.VAR_POSITIONAL]


def examples(spec: Spec, batch: int) -> tuple[Any, ...]:
    """One small tensor per input, every free dimension bound."""
    return tuple(_example(tensor, batch) for tensor in spec.inputs)


def _example(tensor: TensorSpec, batch: int) -> torch.Tensor:
    import numpy as np
    import torch

    sizes = {**dict.fromkeys(tensor.free, TRACED_SIZE), BATCH: batch}
    return torch.from_numpy(np.zeros(tensor.bound(sizes), tensor.dtype))


@dataclass
class Held:
    """What Hasten knows about a handle, kept on it as the attribute ``hasten``.

    ``flat``: the handle came from ``decode``, so it is its own graph.
    """

    spec: Spec
    program: ExportedProgram | None = None
    flat: bool = False


# --- reading graphs ------------------------------------------------------------------------------

_CONVOLUTIONS = re.compile(r"aten\.(conv\d|conv_transpose|_?convolution)")
_RECURRENT = re.compile(r"aten\.(lstm|gru|rnn_tanh|rnn_relu)(_cell)?\b")
_PRODUCTS = re.compile(r"aten\.(linear|bilinear|matmul|mm|bmm|addmm|baddbmm|einsum)\b")
_ATTENTION = re.compile(r"aten\._?scaled_dot_product_")
_SOFTMAX = re.compile(r"aten\._?softmax\b")
_TABLE = re.compile(r"aten\.embedding(_bag)?\b")
_PASSING = re.compile(
    r"aten\.(dropout|to|_to_copy|clone|contiguous|view|reshape|expand|flatten|slice|select|"
    r"transpose|permute|unsqueeze|squeeze|split|chunk|unbind)\b|.*getitem"
)


def is_layer(node: Node) -> bool:
    """Whether a node does multiply-adds: a convolution, matrix product or recurrent cell."""
    kinds = (_CONVOLUTIONS, _RECURRENT, _PRODUCTS, _ATTENTION)
    return any(kind.match(str(node.target)) for kind in kinds)


def graph_traits(graphs: Iterable[Graph]) -> frozenset[str]:
    """What the operators of some graphs say about a model."""
    nodes = [node for graph in graphs for node in graph.nodes if node.op == "call_function"]
    calls = {str(node.target) for node in nodes}
    found = {
        "convolution": any(map(_CONVOLUTIONS.match, calls)),
        "recurrent": any(map(_RECURRENT.match, calls)),
        "attention": any(map(_ATTENTION.match, calls)) or any(map(_attends, nodes)),
        "quantized": any("quantize" in call for call in calls),
        "control-flow": bool(calls & {"cond", "while_loop"}),
    }
    return frozenset(trait for trait, present in found.items() if present)


def _attends(node: Node) -> bool:
    """Whether a softmax weights a matrix product: attention written out by hand."""
    if not _SOFTMAX.match(str(node.target)):
        return False
    return any(_PRODUCTS.match(str(user.target)) for user in _users(node))


def _users(node: Node) -> Iterator[Node]:
    """What uses the values of a node, also after they were moved, cut or cast."""
    reached, seen = [node], {node}
    for step in reached:
        for user in step.users:
            yield user
            if _PASSING.match(str(user.target)) and user not in seen:
                seen.add(user)
                reached.append(user)


def table_rows(module: GraphModule) -> list[int | None]:
    """For each input, the rows of the smallest table that it looks up; ``None`` for none."""
    found: list[int | None] = []
    for node in module.graph.find_nodes(op="placeholder"):
        tables = [
            getattr(module, str(user.args[0].target))
            for user in _users(node)
            if _TABLE.match(str(user.target)) and user.args[0].op == "get_attr"
        ]
        found.append(min((len(table) for table in tables), default=None))
    return found


def module_traits(module: torch.nn.Module) -> frozenset[str]:
    """What the layer types of a module that was not exported say."""
    from torch import nn

    kinds: dict[str, tuple[type, ...]] = {
        "convolution": (nn.modules.conv._ConvNd,),
        "recurrent": (nn.RNNBase, nn.RNNCellBase),
        "attention": (nn.MultiheadAttention,),
    }
    parts = list(module.modules())
    return frozenset(
        trait for trait, kind in kinds.items() if any(isinstance(part, kind) for part in parts)
    )


def multiply_adds(module: torch.nn.Module, spec: Spec) -> int:
    """Multiply-adds of one call with batch 1, counted while it runs."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

    def attention(query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
        return int(sdpa_flop_count(query, key, value))

    def recurrent(x: Any, weight: Any, hidden: Any, *_: Any, **__: Any) -> int:
        return 2 * math.prod(x[:-1]) * (math.prod(weight) + math.prod(hidden))

    # PyTorch's own table lacks what its CPU kernels do for attention and LSTM.
    aten = torch.ops.aten
    missing = {
        aten._scaled_dot_product_flash_attention_for_cpu: attention,
        aten.mkldnn_rnn_layer: recurrent,
    }
    with torch.no_grad(), FlopCounterMode(display=False, custom_mapping=missing) as counter:
        module(*examples(spec, 1))
    return int(counter.get_total_flops()) // 2


def layer_outputs(module: GraphModule, inputs: Sequence[Any]) -> dict[str, torch.Tensor]:
    """The float output of every layer of a graph, by node name, for one call."""
    import torch

    found: dict[str, torch.Tensor] = {}

    class Recorder(torch.fx.Interpreter):
        def run_node(self, n: Node) -> Any:
            result = super().run_node(n)
            output = result[0] if isinstance(result, tuple) else result
            if is_layer(n) and output.is_floating_point():
                found[n.name] = output.float()
            return result

    with torch.no_grad():
        Recorder(module).run(*inputs)
    return found
