"""Which samples a step sees, and its random numbers: pure functions of seed, epoch and step.

So a run that goes on where it was stopped needs no state of a loader or generator.
"""

from __future__ import annotations

import hashlib
import struct

import numpy as np

_ORDER = 1
"""The stream of the counter-based generator."""


def epoch_order(seed: int, epoch: int, samples: int) -> np.ndarray:
    """All sample numbers, shuffled for one epoch: ``(samples,)``, int64."""
    counter = np.random.Philox(key=[seed, _ORDER], counter=[0, 0, 0, epoch])
    return np.random.Generator(counter).permutation(samples)


def step_seed(seed: int, step: int) -> int:
    """The seed of everything random in one step (augmentation, dropout): 63 bits.

    A hash, because making a generator takes as long as a small network's optimiser.
    """
    told = hashlib.blake2b(struct.pack("<QQ", seed, step), digest_size=8).digest()
    return int.from_bytes(told, "little") >> 1


def batch_count(samples: int, batch: int) -> int:
    """Steps of one epoch. What is left over waits for the next one, unless it is all there is."""
    return max(1, samples // batch)
