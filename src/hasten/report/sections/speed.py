"""Where the speed comes from: the gain of each step, and the kernels that ran."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

from hasten.report import units
from hasten.report.figures.palette import PRECISIONS, of_precision
from hasten.report.figures.roofline import achieved
from hasten.report.record import Record
from hasten.report.steps import links
from hasten.types import Kernel, Trial

TOP = 12


@dataclass(frozen=True)
class Bar:
    """One floating bar of the waterfall; ``left`` and ``width`` in per cent of the track."""

    label: str
    left: float
    width: float
    figure: str
    gain: str
    tone: str
    note: str = ""


@dataclass(frozen=True)
class Part:
    """One precision's share of a whole."""

    name: str
    colour: str
    share: float
    text: str


@dataclass(frozen=True)
class Share:
    """A whole divided by precision, the narrowest first."""

    label: str
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class KernelRow:
    """One kernel with its bar (``width`` in per cent of the longest)."""

    name: str
    op: str
    precision: str
    colour: str
    width: float
    time: str
    share: str
    work: str
    rate: str
    of_peak: str


def waterfall(record: Record) -> list[Bar]:
    """Reference, each measured step, winner."""
    found, quantity = links(record), record.quantity
    if not found or record.reference is None:
        return []
    figures = [found[0].before, *(link.after for link in found)]
    longest = max(figures)
    first, last = figures[0], figures[-1]
    text = quantity.text(first)
    bars = [Bar("reference", 0, 100 * first / longest, text, "", "reference")]
    for link in found:
        low, high = sorted((link.before, link.after))
        gain = link.after / link.before if quantity.more_is_better else link.before / link.after
        note = "" if len(link.added) == 1 else "no candidate was measured between them"
        label = " + ".join(link.added)
        left, width = 100 * low / longest, 100 * (high - low) / longest
        tone = "gain" if gain >= 1 else "loss"
        told = quantity.text(link.after)
        bars.append(Bar(label, left, width, told, units.times(gain), tone, note))
    bars.append(Bar("winner", 0, 100 * last / longest, quantity.text(last), "", "winner"))
    return bars


def shares(trial: Trial) -> list[Share]:
    """How multiply-adds and time divide among precisions, where the profile tells."""
    whole = [
        ("multiply-adds", lambda kernel: float(kernel.macs)),
        ("time", lambda kernel: units.finite(kernel.seconds) or 0.0),
    ]
    found = [Share(label, _divided(trial.kernels, weigh)) for label, weigh in whole]
    return [share for share in found if share.parts]


def _divided(kernels: list[Kernel], weigh: Callable[[Kernel], float]) -> tuple[Part, ...]:
    sums: dict[str, float] = defaultdict(float)
    for kernel in kernels:
        sums[kernel.precision or "unknown"] += weigh(kernel)
    total = sum(sums.values())
    known = sorted(sums, key=lambda name: (*PRECISIONS, name).index(name))
    shares = [(name, sums[name] / total) for name in known if sums[name]]
    return tuple(
        Part(name, of_precision(name), share, units.percent(share, 1)) for name, share in shares
    )


def kernel_rows(record: Record, trial: Trial) -> list[KernelRow]:
    """The kernels with most time, slowest first."""
    timed = [k for k in trial.kernels if units.finite(k.seconds)]
    timed.sort(key=lambda kernel: -kernel.seconds)
    total = sum(kernel.seconds for kernel in timed)
    peaks = (record.raw.get("machine") or {}).get("peaks") or {}
    return [_kernel_row(k, timed[0].seconds, total, peaks) for k in timed]


def _kernel_row(kernel: Kernel, longest: float, total: float, peaks: dict[str, float]) -> KernelRow:
    peak = units.finite(peaks.get(kernel.precision))
    known = kernel.macs > 0
    return KernelRow(
        kernel.name,
        kernel.op,
        kernel.precision or "unknown",
        of_precision(kernel.precision),
        100 * kernel.seconds / longest,
        units.duration(kernel.seconds),
        units.percent(kernel.seconds / total, 1),
        units.count(kernel.macs) if known else units.NONE,
        units.rate(achieved(kernel), "op/s") if known else units.NONE,
        units.percent(achieved(kernel) / peak) if known and peak else units.NONE,
    )


def above_peak(record: Record, trial: Trial) -> list[str]:
    """Kernels that ran faster than the measured peak: the peak is then too low."""
    peaks = (record.raw.get("machine") or {}).get("peaks") or {}
    timed = [k for k in trial.kernels if k.macs and units.finite(k.seconds)]
    known = [(k, units.finite(peaks.get(k.precision))) for k in timed]
    return [kernel.name for kernel, peak in known if peak and achieved(kernel) > peak]
