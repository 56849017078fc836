"""A run whose memory runs out goes on with the same batch in smaller parts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch")

import hasten  # noqa: E402
from hasten.errors import Unsupported  # noqa: E402
from hasten.progress import TrainingProgress  # noqa: E402
from hasten.training.answers import answers  # noqa: E402
from hasten.training.samples import Samples  # noqa: E402


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
    with pytest.raises(
        Unsupported, match="Memory runs out even where a batch is taken in 64 parts"
    ):
        hasten.train(tight(0), data(tmp_path), epochs=1, batch=32, plan=False)


def test_the_planner_finds_parts_that_fit(tmp_path: Path) -> None:
    """Planning takes steps, too, before anything is learned."""
    run = hasten.train(tight(8), data(tmp_path), epochs=1, batch=32)
    assert run.record["steps"] == 4


def test_answers_are_asked_for_in_smaller_parts() -> None:
    asked: list[int] = []

    class Small(torch.nn.Linear):
        def forward(self, x: Any) -> Any:
            asked.append(len(x))
            if len(x) > 7:
                raise RuntimeError("CUDA out of memory.")
            return super().forward(x)

    x = np.random.default_rng(0).standard_normal((50, 2)).astype(np.float32)
    samples = Samples((x,), (None,), np.zeros(50, np.int64), np.arange(50))
    module = Small(2, 2).eval()
    found = answers(module, samples, batch=20)
    assert asked[:4] == [20, 10, 5, 5]
    expected = torch.nn.functional.linear(torch.from_numpy(x), module.weight, module.bias)
    np.testing.assert_allclose(found, expected.detach().numpy(), rtol=1e-6)
