"""Which samples a step sees, and its random numbers: pure functions of seed, epoch and step.

So a run that goes on where it was stopped needs no state of a loader or generator.
"""

from __future__ import annotations

import numpy as np

_ORDER, _DRAW = 1, 2
"""Separate streams of the counter-based generator."""


def epoch_order(seed: int, epoch: int, samples: int) -> np.ndarray:
    """All sample numbers, shuffled for one epoch: ``(samples,)``, int64."""
    return _generator(seed, _ORDER, epoch).permutation(samples)


def step_seed(seed: int, step: int) -> int:
    """The seed of everything random in one step (augmentation, dropout): 63 bits."""
    return int(_generator(seed, _DRAW, step).integers(2**63))


def batch_count(samples: int, batch: int) -> int:
    """Steps of one epoch. What is left over waits for the next one, unless it is all there is."""
    return max(1, samples // batch)


def _generator(seed: int, stream: int, counter: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=[seed, stream], counter=[0, 0, 0, counter]))
