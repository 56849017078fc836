"""OpenVINO IR: ``.xml`` with its ``.bin`` beside it.

**Source:** OpenVINO 2026.4. The model is used as it is; it cannot be trained.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hasten.errors import BadInput
from hasten.frontends import _openvino
from hasten.plugin import Frontend, Source
from hasten.types import Model


class OpenVINO(Frontend):
    """Gives a model in form ``"openvino"``."""

    requires = ("openvino>=2025.2",)
    extra = "openvino"
    order = 22

    def sniff(self, what: Any) -> bool:
        return isinstance(what, str | Path) and Path(what).suffix.lower() == ".xml"

    def load(self, source: Source) -> Model:
        if source.weights is not None:
            raise BadInput("Cannot use --weights with OpenVINO IR: its .bin lies beside the .xml.")
        return _openvino.read(source, free=False)
