"""A model's answers to many samples, batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np

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
) -> np.ndarray:
    """Outputs of a module in evaluation mode, float32 ``(n, ...)``.

    ``samples`` are ``Samples`` or ``OnDevice``; ``place`` and ``around`` are those of the ``Setup``
    that the module learned with. ``mirrored``: the mean of those for every picture and for its
    mirror image (airbench, section 3.5). It takes twice the computing, and says nothing about
    training.
    """
    import torch

    found = []
    with torch.inference_mode():
        for start in range(0, len(samples), BATCH):
            numbers = np.arange(start, min(start + BATCH, len(samples)))
            inputs = [moved(tensor, device) for tensor in samples.batch(numbers)[0]]
            for change in place:
                inputs[0] = change(inputs[0])
            with around():
                outputs = module(*inputs).float()
                if mirrored:
                    outputs = (outputs + module(inputs[0].flip(-1), *inputs[1:]).float()) / 2
            found.append(outputs)
    return torch.cat(found).cpu().numpy()
