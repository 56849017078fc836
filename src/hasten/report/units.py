"""Figures as people read them: three significant digits, one unit, a real minus sign."""

from __future__ import annotations

import math
from dataclasses import dataclass

from hasten.types import Ratio

NONE = "–"
"""What stands where there is no figure."""

PREFIXES = (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3))

SHARES = ("accuracy", "top", "f1", "agreement", "precision", "recall")
"""Metrics whose names open like this lie between 0 and 1 and are shown in per cent."""

ERRORS = ("mse", "mae")
"""Metrics where less is better: their drop is a rise, as a share of the reference's value."""


def finite(value: float | None) -> float | None:
    """``value``, or ``None`` where it is missing, NaN or infinite (1e308 in JSON)."""
    return value if value is not None and abs(value) < 1e300 else None


def digits(value: float, significant: int = 3) -> str:
    """``value`` with so many significant digits, whole ones all, never in scientific notation."""
    rounded = float(f"{value:.{significant}g}")
    if rounded == 0:
        return "0"
    decimals = significant - 1 - math.floor(math.log10(abs(rounded)))
    return minus(f"{value:,.{max(0, min(decimals, 12))}f}")


def minus(text: str) -> str:
    """A hyphen in front of a number as the minus sign it means."""
    return text.replace("-", "−")


def duration(seconds: float | None) -> str:
    """A time in the unit that suits it: µs, ms, s, or minutes and seconds."""
    value = finite(seconds)
    if value is None:
        return NONE
    if value >= 99.95:
        minutes, rest = divmod(round(value), 60)
        return f"{minutes:,} min {rest:02d} s"
    for unit, scale, least in (("s", 1.0, 0.9995), ("ms", 1e-3, 1e-4), ("µs", 1e-6, 1e-7)):
        if abs(value) >= least:
            return f"{digits(value / scale)} {unit}"
    return f"{digits(value / 1e-9)} ns" if value else "0 s"


def size(count: float | None) -> str:
    """A number of bytes in decimal units."""
    return _prefixed(count, "B", (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)))


def rate(per_second: float | None, unit: str) -> str:
    """Something per second with an SI prefix: ``rate(2e12, "op/s")`` is ``"2 Top/s"``."""
    prefixes = tuple((f"{prefix}{unit}", factor) for prefix, factor in PREFIXES)
    return _prefixed(per_second, unit, prefixes)


def count(number: float | None) -> str:
    """A count: exact below a million, then with a prefix."""
    value = finite(number)
    if value is None:
        return NONE
    return f"{value:,.0f}" if value < 1e6 else _prefixed(value, "", (("G", 1e9), ("M", 1e6)))


def _prefixed(value: float | None, unit: str, prefixes: tuple[tuple[str, float], ...]) -> str:
    known = finite(value)
    if known is None:
        return NONE
    for name, factor in prefixes:
        if abs(known) >= factor:
            return f"{digits(known / factor)} {name}"
    return f"{digits(known)} {unit}".rstrip()


def tick(value: float) -> str:
    """A round value on an axis, with an SI prefix: ``"200k"``."""
    for prefix, factor in PREFIXES:
        if abs(value) >= factor:
            return minus(f"{value / factor:.4g}{prefix}")
    return minus(f"{value:.4g}")


def times(factor: float | None) -> str:
    """A speed ratio: ``"3.05×"``."""
    value = finite(factor)
    return NONE if value is None else f"{value:.2f}×" if value < 100 else f"{value:,.0f}×"


def interval(ratio: Ratio | None) -> str:
    """The confidence interval of a ratio: ``"2.98–3.12"``."""
    if ratio is None or finite(ratio.low) is None or finite(ratio.high) is None:
        return NONE
    return f"{ratio.low:.2f}–{ratio.high:.2f}"


_ENDS = {0: ("0", "100"), 1: ("0.0", "100.0"), 2: ()}


def percent(share: float | None, decimals: int = 0) -> str:
    """A share of one in per cent; more digits where it would read 0 or 100 and is neither."""
    value = finite(share)
    if value is not None and 0 < value < 1 and f"{100 * value:.{decimals}f}" in _ENDS[decimals]:
        decimals = 1 if 0.0005 <= value < 0.9995 else 3
    return NONE if value is None else minus(f"{100 * value:.{decimals}f} %")


def portion(share: float | None) -> str:
    """A part of a range: in per cent, or as a power of ten where it is tiny."""
    value = finite(share)
    if value is None or value == 0 or value >= 1e-3:
        return NONE if value is None else f"{digits(100 * value, 2)} %"
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa} · 10{str(int(exponent)).translate(_RAISED)}"


_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True)
class Metric:
    """How one quality metric is written: in per cent, in decibels, or plainly."""

    name: str
    floor: bool = False

    @property
    def share(self) -> bool:
        """Whether it lies between 0 and 1."""
        return self.name.lower().startswith(SHARES)

    @property
    def unit(self) -> str:
        return "%" if self.share else "dB" if self.name.lower() == "sqnr" else ""

    @property
    def error(self) -> bool:
        """Whether less is better."""
        return self.name.lower() in ERRORS

    @property
    def title(self) -> str:
        """The metric's name in a sentence or on an axis."""
        known = self.name.lower() in ("sqnr", *ERRORS)
        return self.name.upper() if known else self.name.replace("_", " ")

    def value(self, value: float | None) -> str:
        """One value with its unit."""
        known = finite(value)
        if known is None:
            return NONE
        if self.share:
            return percent(known, 2)
        return f"{minus(f'{known:.1f}')} dB" if self.unit else digits(known, 4)

    def change(self, change: float | None) -> str:
        """A gain (a loss below 0): of shares in percentage points, of errors in per cent."""
        known = finite(change)
        if known is None:
            return NONE
        if self.share or self.error:
            text = f"{100 * known:+.2f}"
            return f"{minus(text) if float(text) else '0.00'} {'pp' if self.share else '%'}"
        text = digits(known)
        return text if known <= 0 else f"+{text}"

    def limit(self, limit: float) -> str:
        """The limit as a person states it."""
        if self.floor:
            return f"at least {self.value(limit)}"
        return f"a {'rise' if self.error else 'drop'} of at most {self.loss(limit)}"

    def loss(self, loss: float | None) -> str:
        """How much is lost, without a sign where something is."""
        return self.change(loss).lstrip("+")
