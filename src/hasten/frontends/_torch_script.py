"""TorchScript archives as modules that ``torch.export`` captures.

**Source:** PyTorch 2.13, ``torch._export.converter.TS2EPConverter``: private, but what
``torch.export`` itself names for scripted modules.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hasten import plugin
from hasten.errors import Unsupported
from hasten.frontends._torch import Inputs, leaves
from hasten.frontends._torch_files import first_line
from hasten.plugin.checking import Case, computed
from hasten.types import Spec

if TYPE_CHECKING:
    import torch

RECURRENT = ("aten::lstm", "aten::gru", "aten::rnn_tanh", "aten::rnn_relu")
MANY = 3


def is_script(module: torch.nn.Module) -> bool:
    """Whether it is a scripted or traced module."""
    import torch

    return isinstance(module, torch.jit.ScriptModule)


def unscripted(module: Any, inputs: Inputs) -> tuple[torch.nn.Module, list[str]]:
    """``(the same computation as a plain module, notes)``."""
    from torch._export.converter import TS2EPConverter

    form: Any = plugin.forms.get("torch")
    feed = inputs.feed(inputs.sizes(MANY))
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = TS2EPConverter(module, feed).convert()
            graph = form.flatten(program)
    except Exception as error:
        # A private API, which raises whatever it meets.
        raise Unsupported(
            f"Cannot convert the TorchScript module: {first_line(error)[:300]}. Give it as "
            "'package.module:factory', or as an ONNX file made from it."
        ) from error
    finally:
        logging.disable(before)
    return _by_place(graph), _notes(module, inputs)


def _by_place(graph: torch.nn.Module) -> torch.nn.Module:
    """The graph, whose arguments have names of its own, called by position alone."""
    import torch

    class ByPlace(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.captured = graph  # "graph" is what PyTorch calls its own

        def forward(self, *given: torch.Tensor) -> Any:
            return self.captured(*given)

    return ByPlace().eval()


def _notes(module: Any, inputs: Inputs) -> list[str]:
    """A traced loop keeps the number of turns that it had: lengths are what they were."""
    graph = module.inlined_graph
    if inputs.free or not any(graph.findAllNodes(kind) for kind in RECURRENT):
        return []
    shapes = "; ".join(str(spec) for spec in inputs.specs)
    return [
        f"a traced recurrent network may have kept the length that it was traced with ({shapes}): "
        "other lengths are refused"
    ]


def script_cases(module: Any, spec: Spec) -> list[Case]:
    """What the archive itself computes."""
    import torch

    def run(*values: Any) -> Sequence[Any]:
        with torch.no_grad():
            given = [torch.from_numpy(value) for value in values]
            return [tensor.numpy() for _, tensor in leaves(module(*given))]

    return computed(spec.inputs, run)
