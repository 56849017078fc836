"""A model's answers to many samples, batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np

from hasten.training.memory import exhausted, out_of_memory
from hasten.training.on_device import moved

if TYPE_CHECKING:
    import torch

BATCH = 512


def answers(
    module: torch.nn.Module,
    samples: Any,
    place: Sequence[Callable[[torch.Tensor], torch.Tensor]] = (),
    around: Callable[[], AbstractContextManager[Any]] = nullcontext,
    *,
    device: str = "cpu",
    mirrored: bool = False,
    batch: int = BATCH,
) -> np.ndarray:
    """Outputs of a module in evaluation mode, float32 ``(n, ...)``.

    ``samples`` are ``Samples`` or ``OnDevice``; ``place`` and ``around`` are those of the ``Setup``
    that the module learned with; ``batch`` samples are answered at a time, fewer where memory runs
    out. ``mirrored``: the mean of those for every picture and for its
    mirror image (airbench, section 3.5). It takes twice the computing, and says nothing about
    training.
    """
    import torch

    def answered(numbers: np.ndarray) -> torch.Tensor:
        inputs = [moved(tensor, device) for tensor in samples.batch(numbers)[0]]
        for change in place:
            inputs[0] = change(inputs[0])
        with around():
            outputs: torch.Tensor = module(*inputs).float()
            if mirrored:
                outputs = (outputs + module(inputs[0].flip(-1), *inputs[1:]).float()) / 2
        return outputs

    found, start = [], 0
    with torch.inference_mode():
        while start < len(samples):
            numbers = np.arange(start, min(start + batch, len(samples)))
            try:
                found.append(answered(numbers))
            except (RuntimeError, MemoryError) as error:
                if not out_of_memory(error):
                    raise
                if batch == 1:
                    raise exhausted(1) from error
                batch = -(-batch // 2)
                continue
            start += batch
    return torch.cat(found).cpu().numpy()
