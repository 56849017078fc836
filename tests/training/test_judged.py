"""Figures of the test part that hold for all its samples at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hasten.training.judged import average_precision


def test_average_precision_by_hand() -> None:
    """Right at ranks 1, 3 and 4 of 5: precision 1, 2/3 and 3/4, a third of the recall each."""
    scores = np.array([0.9, 0.8, 0.7, 0.6, 0.5])
    wanted = np.array([True, False, True, True, False])
    assert average_precision(scores, wanted) == pytest.approx((1 + 2 / 3 + 3 / 4) / 3)
    assert average_precision(scores[::-1].copy(), wanted[::-1]) == pytest.approx(
        (1 + 2 / 3 + 3 / 4) / 3
    )


def test_equal_scores_are_one_threshold() -> None:
    wanted = np.array([True, False, False, True])
    assert average_precision(np.zeros(4), wanted) == pytest.approx(0.5)
    assert average_precision(np.zeros(4), np.zeros(4, bool)) is None


def test_a_multilabel_run_tells_its_mean_average_precision(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="needs torch")
    import hasten

    rng = np.random.default_rng(0)
    x = rng.standard_normal((600, 6)).astype(np.float32)
    y = (x[:, :3] + 0.2 * rng.standard_normal((600, 3)) > 0.5).astype(np.uint8)
    np.savez(tmp_path / "tags.npz", x=x, y=y)
    run = hasten.train("mlp", str(tmp_path / "tags.npz"), epochs=15, batch=32, plan=False)
    assert run.record["data"]["task"] == "multilabel"
    each = run.record["average_precision"]
    assert len(each) == 3
    assert run.record["mean_average_precision"] == pytest.approx(np.mean(each))
    assert 0.85 < run.record["mean_average_precision"] <= 1
