"""PyTorch to OpenVINO, through the exported graph.

**Source:** OpenVINO 2026.4, the PyTorch front end on graphs of ``torch.export`` with the list of
operators it wants left whole (``ops_to_not_decompose``). That route unrolls LSTM, GRU and RNN into
one matrix product per time step; here they stay sequences (``_openvino_recurrent.py``).
"""

from __future__ import annotations

import warnings
from typing import Any

from hasten.converters._openvino import finish, reading
from hasten.converters._openvino_recurrent import keep_recurrent, whole_operators
from hasten.plugin import Converter, forms
from hasten.types import Model, Workload


class OpenVINOFromTorch(Converter):
    """Exports the module, keeps what OpenVINO has whole operators for, and reads the rest."""

    requires = ("openvino>=2025.2", "torch>=2.11")
    extra = "openvino"
    typical_seconds = 3.0
    takes = "torch"
    gives = "openvino"

    def convert(self, model: Model, workload: Workload) -> Any:
        program = forms.get("torch").export(model.handle, model.spec)  # type: ignore[attr-defined]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of its own internals
            return finish(_read(_decomposed(program)), model.spec, {})


def _decomposed(program: Any) -> Any:
    """The graph in operators that OpenVINO's front end knows."""
    from openvino.frontend.pytorch.torchdynamo.export_decompositions import ops_to_not_decompose
    from torch.export.decomp_utils import CustomDecompTable

    table = CustomDecompTable()
    known = set(table.keys())
    for operator in {*ops_to_not_decompose(), *whole_operators(program.graph)} & known:
        table.pop(operator)
    return program.run_decompositions(table).module(check_guards=False)


def _read(graph: Any) -> Any:
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.fx_decoder import TorchFXPythonDecoder

    frontend = FrontEndManager().load_by_framework("pytorch")
    for extension in keep_recurrent(graph):
        frontend.add_extension(extension)
    decoder = TorchFXPythonDecoder(graph, dynamic_shapes=False)  # has to live until the end
    with reading():
        return frontend.convert(frontend.load(decoder))
