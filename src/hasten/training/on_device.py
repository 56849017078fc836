"""Samples in an accelerator's own memory, as they are stored: a batch is an index, not a transfer.

**Source:** airbench's loader (arXiv:2404.00498, section 3.1) and FFCV: with small networks, what
is slow is bringing pictures to the device. Here bytes stay bytes; normalisation is done per batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hasten.training.samples import Samples, ready
from hasten.types import Normalisation

if TYPE_CHECKING:
    import torch

SHARE_OF_MEMORY = 0.5
"""Of what is free on the device; the rest is for the model and its activations."""


@dataclass(frozen=True)
class OnDevice:
    """The arrays of ``origin`` on a device; otherwise used as ``Samples`` is."""

    origin: Samples
    inputs: tuple[torch.Tensor, ...]
    normalisations: tuple[Normalisation | None, ...]
    targets: torch.Tensor
    rows: torch.Tensor

    @classmethod
    def of(cls, samples: Samples, device: str) -> OnDevice:
        """All arrays, brought there once; the rows in use alone are ever read."""
        inputs = tuple(_tensor(array, device) for array in samples.inputs)
        targets = _tensor(samples.targets, device)
        return cls(samples, inputs, samples.normalisations, targets, _tensor(samples.rows, device))

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, samples: Samples) -> OnDevice:
        """Other rows of the same arrays; nothing but their numbers is brought there."""
        rows = _tensor(samples.rows, str(self.rows.device))
        return OnDevice(samples, self.inputs, samples.normalisations, self.targets, rows)

    def peek(self, count: int) -> torch.Tensor:
        """As ``Samples.peek``, from the CPU."""
        return self.origin.peek(count)

    def batch(self, numbers: np.ndarray | torch.Tensor) -> tuple[list[torch.Tensor], torch.Tensor]:
        """Model-ready inputs and targets of some samples, on the device."""
        import torch

        chosen = torch.from_numpy(numbers) if isinstance(numbers, np.ndarray) else numbers
        rows = self.rows[moved(chosen, str(self.rows.device))]
        inputs = [
            ready(stored[rows], normalisation)
            for stored, normalisation in zip(self.inputs, self.normalisations, strict=True)
        ]
        return inputs, self.targets[rows]

    def batches(self, batches: Sequence[np.ndarray]) -> Iterator[Any]:
        """``batch`` of one after the other; their numbers are brought there at once."""
        import torch

        if not batches:
            return iter(())
        every = moved(torch.from_numpy(np.concatenate(batches)), str(self.rows.device))
        sizes = [len(batch) for batch in batches]
        return map(self.batch, every.split(sizes))  # type: ignore[no-untyped-call]


def placed(samples: Any, device: str, feed: str, held: Any = None) -> Any:
    """``samples`` where batches are made from them.

    On the CPU, from a loader, or where they do not fit, that is where they are. ``held`` is used
    where it has the same arrays already.
    """
    if device == "cpu" or feed != "resident" or isinstance(samples, OnDevice):
        return samples
    if isinstance(held, OnDevice) and _same(held.origin, samples):
        return held.take(samples)
    return OnDevice.of(samples, device) if _fits(samples, device) else samples


def _same(one: Samples, other: Samples) -> bool:
    """Whether both read the same arrays."""
    same = all(a is b for a, b in zip(one.inputs, other.inputs, strict=True))
    return same and np.array_equal(one.targets, other.targets)


def moved(tensor: torch.Tensor, device: str) -> torch.Tensor:
    """``tensor`` on a device; towards a GPU nothing waits for the transfer."""
    if tensor.device.type == device.partition(":")[0]:
        return tensor
    if device.startswith("cuda"):
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def seeded(seed: int, device: str) -> None:
    """Everything random from here on, on the CPU and on the device.

    ``torch.manual_seed`` also notes where it was called, for every kind of device that is not in
    use yet: that costs more than all else that the loop does in a step.
    """
    import torch

    torch.default_generator.manual_seed(seed)
    if device.startswith("cuda"):
        torch.cuda.manual_seed_all(seed)


def _tensor(array: np.ndarray, device: str) -> torch.Tensor:
    import torch

    # A memory map that is read only cannot be shared with PyTorch, so it is copied first.
    return torch.from_numpy(np.require(array, requirements=("C", "W"))).to(device)


def _fits(samples: Samples, device: str) -> bool:
    import torch

    if not device.startswith("cuda"):
        return True
    free, _ = torch.cuda.mem_get_info(device)
    size = sum(array.nbytes for array in (*samples.inputs, samples.targets))
    return size <= SHARE_OF_MEMORY * free
