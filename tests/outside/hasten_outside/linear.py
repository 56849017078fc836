"""One matrix, kept as ``.npy``.

**Source:** made up for tests.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from hasten.plugin import Form
from hasten.search.store import save_array
from hasten.types import Model, Spec


class Linear(Form):
    """Form ``"linear"``: a float32 array ``(inputs, outputs)``."""

    def save(self, model: Model, folder: Path) -> None:
        save_array(folder / "weight.npy", model.handle)

    def load(self, folder: Path, spec: Spec) -> Any:
        return np.load(folder / "weight.npy", allow_pickle=False)

    def traits(self, handle: Any) -> frozenset[str]:
        return frozenset()

    def size(self, handle: Any) -> tuple[int, int]:
        return handle.size, handle.size
