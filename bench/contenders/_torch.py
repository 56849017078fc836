"""What the PyTorch contenders share: tensors in, tensors out, gradients off."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from bench.contenders import Contender, Loaded
from bench.jobs import Job
from hasten.types import Arrays


class TorchContender(Contender):
    """A module in memory: there is nothing to build ahead, except compile caches."""

    packages: ClassVar[tuple[str, ...]] = ("torch",)

    def inapplicable(self, job: Job) -> str:
        return "it is an ONNX model" if job.row.asset else ""

    def build(self, job: Job, folder: Path) -> dict[str, Any]:
        loaded = self.load(job, folder)
        loaded.run(loaded.bind(job.batches(job.part("test"))[0]))
        return {}


def loaded(model: Callable[..., Any], **facts: Any) -> Loaded:
    """A callable on tensors, timed in inference mode."""
    import torch

    def bind(arrays: Arrays) -> tuple[Any, ...]:
        return tuple(torch.from_numpy(array) for array in arrays.values())

    def run(feed: tuple[Any, ...]) -> Any:
        with torch.inference_mode():
            return model(*feed)

    def arrays(answer: Any) -> list[np.ndarray]:
        leaves = torch.utils._pytree.tree_leaves(answer)
        return [
            leaf.float().numpy() if leaf.is_floating_point() else leaf.numpy() for leaf in leaves
        ]

    return Loaded(bind, run, arrays, {"threads": torch.get_num_threads(), **facts})
