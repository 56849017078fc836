"""The rescue: which layers stay in float, and how few builds it takes to find out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hasten.search.rescue import TRIES, Rescue, order


def test_the_layer_where_the_signal_falls_most_comes_first() -> None:
    layers = {"stem": 45.0, "block": 44.0, "bottleneck": 20.0, "head": 19.0}
    assert order(layers) == ["bottleneck", "stem", "block", "head"]


def test_a_layer_after_a_bad_one_is_not_blamed() -> None:
    assert order({"bad": 10.0, "after": 10.0, "worse": 5.0})[:2] == ["bad", "worse"]


def test_half_of_the_layers_come_first() -> None:
    rescue = Rescue({f"layer{n}": 50.0 - 5.0 * n for n in range(8)})
    assert len(rescue.keep() or ()) == 4


def test_hopeless_where_half_of_the_layers_do_not_help() -> None:
    rescue = Rescue({f"layer{n}": 50.0 - n for n in range(8)})
    rescue.keep()
    rescue.judged(False)
    assert rescue.keep() is None


@pytest.mark.parametrize("layers", [{}, {"only": 3.0}])
def test_nothing_to_try(layers: dict[str, float]) -> None:
    assert Rescue(layers).keep() is None


@given(st.integers(2, 60), st.data())
def test_bisection_narrows_to_what_is_needed(count: int, data: st.DataObject) -> None:
    """Layers beyond a hidden number are harmless: what is found last and held is close to it."""
    needed = data.draw(st.integers(1, count))
    rescue = Rescue({f"layer{n:02}": 50.0 - 2.0**-n for n in range(count)})
    held, builds = [], 0
    while (keep := rescue.keep()) is not None:
        builds += 1
        assert builds <= TRIES
        assert keep == tuple(sorted(keep))
        assert 0 < len(keep) < count
        enough = len(keep) >= needed
        rescue.judged(enough)
        if enough:
            held.append(len(keep))
    assert held == sorted(held, reverse=True)
    if count // 2 >= needed:
        assert held
        assert held[-1] - needed <= max(1, count / 2**builds)


def test_the_same_order_every_time() -> None:
    layers = {"b": 30.0, "a": 10.0, "d": -10.0, "c": -30.0}
    assert order(layers) == order(dict(layers)) == ["b", "a", "d", "c"]
