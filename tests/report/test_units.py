"""Figures as text."""

from __future__ import annotations

import pytest

from hasten.report import units
from hasten.types import Ratio

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "–"),
        (NAN, "–"),
        (INF, "–"),
        (0.0, "0 s"),
        (2.4e-8, "24.0 ns"),
        (4.5e-5, "45.0 µs"),
        (6.24e-4, "0.624 ms"),
        (9.81e-3, "9.81 ms"),
        (0.41, "410 ms"),
        (29.3, "29.3 s"),
        (99.97, "1 min 40 s"),
        (253.0, "4 min 13 s"),
    ],
)
def test_duration(seconds: float | None, text: str) -> None:
    assert units.duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (1234.5, "1,234"),
        (1e-9, "0.00000000100"),
        (0.012345, "0.0123"),
        (-2.5, "−2.50"),
        (99.96, "100"),
    ],
)
def test_digits(value: float, text: str) -> None:
    assert units.digits(value) == text


def test_sizes_and_rates() -> None:
    assert units.size(44_762_312) == "44.8 MB"
    assert units.size(512) == "512 B"
    assert units.size(None) == "–"
    assert units.rate(1.9e12, "op/s") == "1.90 Top/s"
    assert units.rate(4.1e10, "B/s") == "41.0 GB/s"
    assert units.count(11_175_370) == "11.2 M"
    assert units.count(9400) == "9,400"
    assert units.tick(200_000) == "200k"


def test_percent_never_rounds_to_an_end_it_is_not() -> None:
    assert units.percent(0.9986) == "99.9 %"
    assert units.percent(0.99999) == "99.999 %"
    assert units.percent(0.002) == "0.2 %"
    assert units.percent(1.0) == "100 %"
    assert units.percent(0.0) == "0 %"
    assert units.percent(NAN) == "–"


def test_ratio() -> None:
    assert units.times(15.72) == "15.72×"
    assert units.interval(Ratio(2.0, 1.9, 2.1, 8)) == "1.90–2.10"
    assert units.interval(Ratio(2.0, NAN, 2.1, 8)) == "–"
    assert units.interval(None) == "–"


def test_portion() -> None:
    assert units.portion(0.42) == "42 %"
    assert units.portion(1.9e-6) == "1.9 · 10⁻⁶"
    assert units.portion(0.0) == "0 %"
    assert units.portion(None) == "–"


def test_metrics() -> None:
    accuracy, sqnr, error = (
        units.Metric("accuracy"),
        units.Metric("sqnr", True),
        units.Metric("mse"),
    )
    assert accuracy.value(0.9268) == "92.68 %"
    assert accuracy.change(-0.0013) == "−0.13 pp"
    assert accuracy.change(0.002) == "+0.20 pp"
    assert accuracy.change(-0.0) == accuracy.change(0.00001) == "0.00 pp"
    assert accuracy.limit(0.01) == "a drop of at most 1.00 pp"
    assert sqnr.value(38.24) == "38.2 dB"
    assert sqnr.limit(30) == "at least 30.0 dB"
    assert error.change(-0.0123) == "−1.23 %"
    assert error.limit(0.05) == "a rise of at most 5.00 %"
    assert units.Metric("shop.metrics:score").change(0.0123) == "+0.0123"
    assert units.finite(1.797e308) is None
    assert units.Metric("top_5").title == "top 5"
