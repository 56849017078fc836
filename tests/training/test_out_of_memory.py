"""A run whose memory runs out goes on with the same batch in smaller parts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch")

import hasten  # noqa: E402
from hasten.progress import TrainingProgress  # noqa: E402


class Notes(TrainingProgress):
    def __init__(self) -> None:
        self.told: list[str] = []

    def note(self, text: str) -> None:
        self.told.append(text)


def tight(most: int) -> Any:
    class Tight(torch.nn.Linear):
        """As if there were memory for so many samples at a time."""

        def forward(self, x: Any) -> Any:
            if self.training and len(x) > most:
                raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
            return super().forward(x)

    torch.manual_seed(0)
    return Tight(2, 2)


def data(folder: Path) -> str:
    x = np.random.default_rng(0).standard_normal((200, 2)).astype(np.float32)
    np.savez(folder / "points.npz", x=x, y=(x[:, 0] > 0).astype(np.int64))
    return str(folder / "points.npz")


def test_the_gradient_stays_that_of_the_whole_batch(tmp_path: Path) -> None:
    progress = Notes()
    asked: dict[str, Any] = {"epochs": 3, "batch": 32, "plan": False}
    run = hasten.train(tight(8), data(tmp_path), progress=progress, **asked)
    whole = hasten.train(tight(32), data(tmp_path), **asked)
    assert progress.told == [
        "memory ran out at step 0: batches in 2 parts",
        "memory ran out at step 0: batches in 4 parts",
    ]
    torch.testing.assert_close(run.model.weight, whole.model.weight)


def test_it_ends_where_not_even_one_sample_fits(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="can't allocate memory"):
        hasten.train(tight(0), data(tmp_path), epochs=1, batch=32, plan=False)
