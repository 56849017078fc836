"""Live Python objects: arrays, tuples, mappings and map-style datasets.

**Source:** the map-style protocol of ``torch.utils.data.Dataset`` (torch 2.11): ``__len__`` and
``__getitem__``. Torch itself is not needed; every sample is read once, in order, into arrays.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hasten.data.sources._arrays import from_object
from hasten.plugin import DataSource
from hasten.types import Data, Spec


class Live(DataSource):
    """Whatever holds samples in memory already."""

    order = 90
    spelling = ""

    def sniff(self, what: Any) -> bool:
        return not isinstance(what, str)

    def load(self, what: Any, spec: Spec | None, options: Any) -> Data:
        arrays = isinstance(what, tuple | Mapping) or hasattr(what, "__array__")
        return from_object("arrays" if arrays else type(what).__name__, what, spec)
