"""TensorFlow Lite models: ``.tflite``, with float or integer weights.

**Source:** OpenVINO 2026.4 reads the file; ``ai-edge-litert`` 2.3, where it is installed, says what
the outputs should be. The model runs as it is; it cannot be trained.
"""

from __future__ import annotations

import importlib.metadata
from pathlib import Path
from typing import Any

import numpy as np

from hasten.errors import BadModel
from hasten.frontends import _openvino
from hasten.frontends._torch_files import first_line
from hasten.plugin import Frontend, Source, distribution, requirement_name
from hasten.plugin.checking import TOLERANCE, compared, computed, unverified
from hasten.types import Model

SUFFIXES = (".tflite", ".lite")
INTEGER_TOLERANCE = 2e-2
"""Of the output's range: integer products are rounded in another order."""
ORACLE = "ai-edge-litert>=1.0"


class TFLite(Frontend):
    """Gives a model in form ``"openvino"``."""

    requires = ("openvino>=2025.2",)
    extra = "openvino"
    order = 23
    compared_with = "LiteRT, where it is installed"

    def sniff(self, what: Any) -> bool:
        return isinstance(what, str | Path) and Path(what).suffix.lower() in SUFFIXES

    def load(self, source: Source) -> Model:
        model = _openvino.read(source)
        if not distribution(ORACLE):
            why = "ai-edge-litert is not installed, so nothing was compared with it"
            return unverified(model, self.name, why)
        return _compared(Path(str(source.what)), model, self.name)


def _compared(path: Path, model: Model, name: str) -> Model:
    """Compared with TensorFlow Lite's own interpreter, at the sizes that it can take."""
    from ai_edge_litert.interpreter import Interpreter

    try:
        oracle = Interpreter(model_path=str(path))
        details = oracle.get_input_details()

        def run(*values: np.ndarray) -> list[Any]:
            for detail, value in zip(details, values, strict=True):
                oracle.resize_tensor_input(detail["index"], value.shape)
            oracle.allocate_tensors()
            for detail, value in zip(details, values, strict=True):
                oracle.set_tensor(detail["index"], value)
            oracle.invoke()
            return [oracle.get_tensor(one["index"]) for one in oracle.get_output_details()]

        cases = computed(model.spec.inputs, run)
    except (RuntimeError, ValueError) as error:
        raise BadModel(
            f"Cannot use model '{path}': its own interpreter says {first_line(error)[:200]}."
        ) from error
    narrow = (np.int8, np.uint8, np.int16)
    whole = any(one["dtype"] in narrow for one in oracle.get_tensor_details())
    limit = INTEGER_TOLERANCE if whole else TOLERANCE
    version = importlib.metadata.version(requirement_name(ORACLE))
    return compared(model, name, f"LiteRT {version}", cases, limit)
