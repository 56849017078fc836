"""Each kernel's achieved rate against the measured peaks of this machine.

Across lies a kernel's work per call, upwards the operations per second it reached; a
multiply-add counts as two operations. A runtime's profile tells no bytes moved, so the peaks are
flat lines: what lies far below one is bound by memory, by call overhead, or by the kernel itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hasten.report.figures.labels import Area, Request, free_spot, place
from hasten.report.figures.palette import of_precision
from hasten.report.figures.scene import Axis, Dot, Line, Scene, Text, spanning, text_width
from hasten.report.units import count, duration, finite, percent, rate, tick
from hasten.types import Kernel

NAMED = 6
SMALLEST = 0.005
"""Kernels with a smaller share of the time are left out."""


@dataclass(frozen=True)
class Spot:
    """A kernel's circle."""

    kernel: Kernel
    x: float
    y: float
    radius: float

    @property
    def area(self) -> Area:
        r = self.radius
        return Area(self.x - r, self.y - r, self.x + r, self.y + r)


def counted(kernels: Sequence[Kernel]) -> list[Kernel]:
    """The kernels that have both a time and a number of multiply-adds."""
    return [kernel for kernel in kernels if kernel.macs and finite(kernel.seconds)]


def shown(kernels: Sequence[Kernel]) -> list[Kernel]:
    """The kernels that the picture holds, those with most time first."""
    found = counted(kernels)
    least = SMALLEST * sum(kernel.seconds for kernel in found)
    return sorted((k for k in found if k.seconds >= least), key=lambda k: -k.seconds)


def achieved(kernel: Kernel) -> float:
    """Operations per second; the kernel must have a time."""
    return 2 * kernel.macs / kernel.seconds


def scene(kernels: Sequence[Kernel], peaks: Mapping[str, float], width: float = 960.0) -> Scene:
    """The picture at a nominal width; the larger a circle, the more of the time it takes."""
    largest = shown(kernels)
    used = sorted({kernel.precision for kernel in largest})
    roofs = {name: peaks[name] for name in used if finite(peaks.get(name))}
    height = 0.42 * width if width > 600 else 400.0
    canvas = Scene(width, height, "Achieved operations per second of each kernel")
    _legend(canvas, used, width)
    frame = Area(60.0, 58.0, width - 12.0, height - 46.0)
    x = spanning([k.macs for k in largest], frame.left + 22, frame.right - 22, wide=1.5)
    rates = [achieved(kernel) for kernel in largest]
    y = spanning([*rates, *roofs.values()], frame.bottom - 8, frame.top + 14, wide=1.5)
    _grid(canvas, x, y, frame)
    total = sum(kernel.seconds for kernel in largest)
    spots = [
        Spot(k, x(k.macs), y(achieved(k)), 3 + 22 * (k.seconds / total) ** 0.5) for k in largest
    ]
    solid = [spot.area for spot in spots]
    names = [_roof(canvas, name, peak, y(peak), frame, solid) for name, peak in roofs.items()]
    canvas.add(*(_dot(spot, peaks.get(spot.kernel.precision)) for spot in spots))
    roofed = [Area(frame.left, y(peak) - 2, frame.right, y(peak) + 2) for peak in roofs.values()]
    _names(canvas, spots, [*solid, *names], roofed, frame)
    return canvas


def _dot(spot: Spot, peak: float | None) -> Dot:
    kernel = spot.kernel
    share = f", {percent(achieved(kernel) / peak)} of the {kernel.precision} peak" if peak else ""
    title = (
        f"{kernel.name}: {rate(achieved(kernel), 'op/s')}{share}, {duration(kernel.seconds)}, "
        f"{count(kernel.macs)} multiply-adds"
    )
    return Dot(spot.x, spot.y, spot.radius, of_precision(kernel.precision), "paper", 1, title)


def _legend(canvas: Scene, names: Sequence[str], width: float) -> None:
    x = 4.0
    for name in names:
        canvas.add(Dot(x + 6, 10, 5, of_precision(name)), Text(x + 16, 14, name, "muted"))
        x += 34 + text_width(name, 12)
    note = "area: share of the time"
    canvas.add(Text(min(x, width - 8 - text_width(note, 12)), 14, note, "muted"))


def _grid(canvas: Scene, x: Axis, y: Axis, frame: Area) -> None:
    for value in y.ticks(5):
        canvas.add(
            Line(frame.left, y(value), frame.right, y(value)),
            Text(frame.left - 7, y(value) + 4, tick(value), "muted", anchor="end"),
        )
    canvas.add(Line(frame.left, frame.bottom, frame.right, frame.bottom, "faint"))
    for value in x.ticks(int((frame.right - frame.left) / 64)):
        canvas.add(
            Line(x(value), frame.bottom, x(value), frame.bottom + 4, "faint"),
            Text(x(value), frame.bottom + 17, tick(value), "muted", anchor="middle"),
        )
    middle, foot = (frame.left + frame.right) / 2, frame.bottom + 36
    canvas.add(
        Text(middle, foot, "Multiply-adds per call", "ink", 12, "middle", bold=True),
        Text(4, frame.top - 12, "Operations per second", "ink", 12, bold=True),
    )


def _roof(
    canvas: Scene, name: str, peak: float, y: float, frame: Area, solid: Sequence[Area]
) -> Area:
    """Draw one measured peak and its name at the free end; returns what the name covers."""
    text = f"{name} peak, measured: {rate(peak, 'op/s')}"
    width = text_width(text, 11)
    lefts = (frame.right - width - 4, frame.left + 4, (frame.left + frame.right - width) / 2)
    spots = [Area(left, top, left + width, top + 14) for top in (y - 16, y + 3) for left in lefts]
    area = free_spot(spots, solid)
    canvas.add(
        Line(frame.left, y, frame.right, y, of_precision(name), 1.4, (6, 4)),
        Text(area.left, area.top + 11, text, "muted", 11, halo=True),
    )
    return area


def _names(
    canvas: Scene, spots: Sequence[Spot], solid: list[Area], roofed: list[Area], frame: Area
) -> None:
    """Name the kernels that take most of the time."""
    requests = [
        Request(s.x, s.y, (s.kernel.name,), s.radius, (s.radius, s.radius), 11)
        for s in spots[: NAMED if canvas.width > 600 else NAMED // 2]
    ]
    found = place(requests, solid=solid, soft=roofed, bounds=frame)
    for request, label in zip(requests, found, strict=True):
        if label and label.leader:
            canvas.add(Line(request.x, request.y, *label.leader, "muted", 0.9))
        if label:
            canvas.add(Text(label.x, label.y, label.text, "ink", 11, halo=True))
