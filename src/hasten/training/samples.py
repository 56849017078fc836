"""Samples as training reads them, and the two ways in which they become batches."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hasten.types import Normalisation

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Samples:
    """Stored inputs ``(n, ...)`` with their normalisation, targets ``(n, ...)``, the rows in use.

    Arrays may be memory maps larger than memory: only the rows of a batch are ever read.
    """

    inputs: tuple[np.ndarray, ...]
    normalisations: tuple[Normalisation | None, ...]
    targets: np.ndarray
    rows: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, rows: np.ndarray) -> Samples:
        """The same samples with only some rows in use; nothing is copied."""
        return Samples(self.inputs, self.normalisations, self.targets, rows)

    def batch(self, numbers: np.ndarray) -> tuple[list[torch.Tensor], torch.Tensor]:
        """Model-ready inputs and targets of some samples: float32, classes as int64."""
        import torch

        rows = self.rows[numbers]
        inputs = [
            ready(torch.from_numpy(_taken(array, rows)), normalisation)
            for array, normalisation in zip(self.inputs, self.normalisations, strict=True)
        ]
        return inputs, torch.from_numpy(_taken(self.targets, rows))

    def peek(self, count: int) -> torch.Tensor:
        """The first inputs, as the model takes them, of ``count`` samples evenly apart."""
        numbers = np.linspace(0, len(self) - 1, min(count, len(self))).astype(np.int64)
        return self.batch(numbers)[0][0]

    def batches(self, batches: Sequence[np.ndarray]) -> Iterator[Any]:
        """``batch`` of one after the other."""
        return map(self.batch, batches)


def _taken(array: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Some rows of an array. ``take`` is the faster way, but copies the whole of what is not
    aligned or in another order, as a map into an ``.npz`` can be."""
    if array.flags.aligned and array.flags.c_contiguous:
        return np.take(array, rows, axis=0)
    return np.ascontiguousarray(array[rows])


def ready(stored: torch.Tensor, normalisation: Normalisation | None) -> torch.Tensor:
    """Stored values, which may be changed, as the model takes them."""
    if normalisation is None:
        return stored
    scale, shift = _affine(normalisation, stored.ndim, str(stored.device))
    # A float array is this call's own, so it may be changed; bytes become a new one.
    return stored.float().mul_(scale).add_(shift)


@functools.lru_cache(maxsize=64)
def _affine(
    normalisation: Normalisation, rank: int, device: str
) -> tuple[torch.Tensor, torch.Tensor]:
    import torch

    scale, shift = normalisation.affine(rank)
    return torch.from_numpy(scale).to(device), torch.from_numpy(shift).to(device)


def resident(samples: Samples, batches: Sequence[np.ndarray]) -> Iterator[Any]:
    """Batches by indexing whole arrays: no Python per sample, no other process."""
    return samples.batches(batches)


def loaded(samples: Samples, batches: Sequence[np.ndarray]) -> Iterator[Any]:
    """Batches by ``torch.utils.data.DataLoader``, sample by sample, as its tutorial has it."""
    from torch.utils.data import DataLoader, Dataset

    class OneByOne(Dataset[Any]):
        def __len__(self) -> int:
            return len(samples)

        def __getitem__(self, number: int) -> Any:
            inputs, target = samples.batch(np.array([number]))
            return [tensor[0] for tensor in inputs], target[0]

    numbers: Any = [batch.tolist() for batch in batches]
    return iter(DataLoader(OneByOne(), batch_sampler=numbers))


FEEDS = {"resident": resident, "loader": loaded}
