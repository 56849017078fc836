"""Reads ``.linear`` files: JSON with a matrix under ``weight``.

**Source:** made up for tests.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from hasten.plugin import Frontend, Source
from hasten.types import Model, Spec, TensorSpec


class LinearFile(Frontend):
    """Gives a model in form ``"linear"``; a file that says ``abort`` brings its reader down."""

    order = 5

    def sniff(self, what: Any) -> bool:
        return isinstance(what, str) and what.endswith(".linear")

    def load(self, source: Source) -> Model:
        text = Path(source.what).read_text()
        if text == "abort":
            os.abort()
        weight = np.array(json.loads(text)["weight"], np.float32)
        inputs = TensorSpec("x", "float32", ("batch", weight.shape[0]))
        outputs = TensorSpec("y", "float32", ("batch", weight.shape[1]))
        return Model("linear", weight, Spec((inputs,), (outputs,), "classification"))
