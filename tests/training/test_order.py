"""Which samples a step sees."""

from __future__ import annotations

import numpy as np

from hasten.training.order import batch_count, epoch_order, step_seed


def test_an_epoch_holds_every_sample_once() -> None:
    assert sorted(epoch_order(3, 0, 100)) == list(range(100))


def test_order_is_a_function_of_seed_and_epoch() -> None:
    assert np.array_equal(epoch_order(3, 7, 50), epoch_order(3, 7, 50))
    assert not np.array_equal(epoch_order(3, 7, 50), epoch_order(3, 8, 50))
    assert not np.array_equal(epoch_order(3, 7, 50), epoch_order(4, 7, 50))


def test_every_step_has_its_own_seed() -> None:
    assert len({step_seed(0, step) for step in range(1000)}) == 1000
    assert step_seed(1, 5) == step_seed(1, 5) != step_seed(2, 5)


def test_what_is_left_over_waits() -> None:
    assert batch_count(100, 32) == 3
    assert batch_count(10, 32) == 1
