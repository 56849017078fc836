"""TensorBoard's event files of a run, one point per epoch; none where TensorBoard is missing.

**Source:** ``torch.utils.tensorboard``, which needs the package ``tensorboard`` 2.14 or later.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

BESIDE = ("epoch", "step", "seconds")
"""What a line of ``metrics.jsonl`` holds besides curves."""


class Events:
    """The event files in one folder. Those of an earlier process are written anew, because it may
    have been killed after an epoch that the checkpoint does not know."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.known = 0
        self.writer: Any = None

    def write(self, epochs: Sequence[Mapping[str, Any]]) -> None:
        """Write the epochs that are new."""
        if self.writer is None and not self._open(epochs):
            return
        for line in epochs[self.known :]:
            at = self.began + line["seconds"]
            for name, value in line.items():
                if name not in BESIDE and value is not None:
                    self.writer.add_scalar(name, value, line["epoch"], walltime=at)
        self.known = len(epochs)
        self.writer.flush()

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()

    def _open(self, epochs: Sequence[Mapping[str, Any]]) -> bool:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            return False
        shutil.rmtree(self.folder, ignore_errors=True)
        self.began = time.time() - (epochs[-1]["seconds"] if epochs else 0.0)
        self.writer = SummaryWriter(str(self.folder))
        return True
