"""Signal against error in every layer, in the model's order: where accuracy is lost."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from hasten.report.figures.labels import Area, Request, place
from hasten.report.figures.scene import Axis, Dot, Line, Scene, Text
from hasten.report.units import finite

WORST = 3


def known(layers: Mapping[str, float]) -> list[str]:
    """The names of the layers that have a ratio, in the model's order."""
    return [name for name, value in layers.items() if finite(value) is not None]


def worst(layers: Mapping[str, float]) -> list[str]:
    """The names of the layers with the lowest ratio, lowest first."""
    return sorted(known(layers), key=lambda name: layers[name])[:WORST]


def scene(layers: Mapping[str, float], width: float = 960.0) -> Scene:
    """A stem per layer from left to right; the three worst stand out and are named.

    An infinite ratio (no error at all) reaches the top and is drawn open.
    """
    height = 300.0
    canvas = Scene(width, height, "Signal-to-quantisation-noise ratio of each layer")
    top, bottom, left, right = 34.0, height - 34.0, 46.0, width - 12.0
    values = [layers[name] for name in known(layers)] or [0.0]
    high, low = max(values), min([0.0, *values])
    y = Axis(low, high + 0.12 * (high - low or 1.0), bottom, top)
    for value in y.ticks(5):
        canvas.add(
            Line(left, y(value), right, y(value)),
            Text(left - 7, y(value) + 4, f"{value:g}".replace("-", "−"), "muted", anchor="end"),
        )
    pitch = (right - left) / max(len(layers), 1)
    places = {name: left + pitch * (i + 0.5) for i, name in enumerate(layers)}
    marked = worst(layers)
    radius = min(4.5, max(1.5, pitch / 3))
    for name, value in layers.items():
        _stem(canvas, name, value, (places[name], y, radius), name in marked)
    canvas.add(
        Text(4, top - 18, "SQNR (dB): higher is closer to the original", "ink", 12, bold=True),
        Line(left, y(low), right, y(low), "faint"),
        Text(left, bottom + 20, "first layer", "muted"),
        Text(right, bottom + 20, "last layer", "muted", anchor="end"),
    )
    spots = {name: (places[name], y(layers[name])) for name in marked}
    heads = [(places[name], y(_top(value, y))) for name, value in layers.items()]
    _names(canvas, spots, heads, Area(left, top - 8, right, bottom - 2))
    return canvas


def _top(value: float, y: Axis) -> float:
    """The value to draw: the top of the axis for an exact layer, its foot for an unknown one."""
    if math.isnan(value):
        return y.low
    return min(max(value, y.low), y.high)


def _stem(
    canvas: Scene, name: str, value: float, spot: tuple[float, Axis, float], marked: bool
) -> None:
    x, y, radius = spot
    exact = finite(value) is None
    colour = "broken" if marked else "accepted"
    at = y(_top(value, y))
    text = f"{value:.1f} dB" if not exact else "no error" if value > 0 else "unknown"
    fill = "paper" if exact else colour
    canvas.add(
        Line(x, y(y.low), x, at, colour, 1.6 if marked else 1.0),
        Dot(x, at, radius + marked, fill, colour if exact else "", 1.2, f"{name}: {text}"),
    )


def _names(
    canvas: Scene,
    marked: Mapping[str, tuple[float, float]],
    heads: Sequence[tuple[float, float]],
    bounds: Area,
) -> None:
    solid = [Area(x - 4, y - 4, x + 4, y + 4) for x, y in heads]
    stems = [Area(x - 1, y, x + 1, bounds.bottom) for x, y in heads]
    requests = [Request(x, y, (name,), 6, (7, 7), 11, True) for name, (x, y) in marked.items()]
    found = place(requests, solid=solid, soft=stems, bounds=bounds)
    for request, label in zip(requests, found, strict=True):
        if label and label.leader:
            canvas.add(Line(request.x, request.y, *label.leader, "broken", 0.9))
        if label:
            canvas.add(Text(label.x, label.y, label.text, "broken", 11, bold=True, halo=True))
