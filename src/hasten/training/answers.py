"""A model's answers to many samples, batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np

from hasten.training.samples import Samples

if TYPE_CHECKING:
    import torch

BATCH = 512


def answers(
    module: torch.nn.Module,
    samples: Samples,
    place: Sequence[Callable[[torch.Tensor], torch.Tensor]] = (),
    around: Callable[[], AbstractContextManager[Any]] = nullcontext,
) -> np.ndarray:
    """Outputs of a module in evaluation mode, float32 ``(n, ...)``.

    ``place`` and ``around`` are those of the ``Setup`` that the module learned with.
    """
    import torch

    found = []
    with torch.inference_mode():
        for start in range(0, len(samples), BATCH):
            numbers = np.arange(start, min(start + BATCH, len(samples)))
            inputs, _ = samples.batch(numbers)
            for change in place:
                inputs[0] = change(inputs[0])
            with around():
                found.append(module(*inputs).float().numpy())
    return np.concatenate(found)
