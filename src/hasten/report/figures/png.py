"""Draws a scene as PNG with Pillow: shapes four times too large and scaled down, text at size."""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING, Any

from hasten.report.figures.palette import LIGHT
from hasten.report.figures.scene import Box, Dot, Item, Line, Scene, Shape, Text

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw

SCALE = 2
OVERSAMPLING = 2

FONTS = {
    False: ("LiberationSans-Regular.ttf", "Arial.ttf", "Helvetica.ttc", "DejaVuSans.ttf"),
    True: ("LiberationSans-Bold.ttf", "Arial Bold.ttf", "arialbd.ttf", "DejaVuSans-Bold.ttf"),
}
PLAIN = str.maketrans({"×": "x", "−": "-", "–": "-", "→": ">", "←": "<", "µ": "u", "…": "~"})
"""For Pillow's built-in font, which holds little more than ASCII."""


def draw(scene: Scene) -> bytes:
    """The scene in light colours, at twice its nominal size."""
    from PIL import Image, ImageDraw

    size = (round(scene.width * SCALE), round(scene.height * SCALE))
    large = Image.new("RGB", (size[0] * OVERSAMPLING, size[1] * OVERSAMPLING), LIGHT["paper"])
    pen = ImageDraw.Draw(large)
    for item in scene.items:
        _shape(pen, item, SCALE * OVERSAMPLING)
    image = large.resize(size, Image.Resampling.LANCZOS)
    pen = ImageDraw.Draw(image)
    fonts: dict[tuple[float, bool], tuple[Any, bool]] = {}
    for item in scene.items:
        if isinstance(item, Text):
            _text(pen, item, fonts)
    out = io.BytesIO()
    image.save(out, "PNG", optimize=True)
    return out.getvalue()


def _shape(pen: ImageDraw, item: Item, k: float) -> None:
    if isinstance(item, Box):
        ends = (item.x * k, item.y * k, (item.x + item.width) * k, (item.y + item.height) * k)
        pen.rectangle(ends, fill=_blend(item.fill, item.opacity))
    elif isinstance(item, Line):
        for x1, y1, x2, y2 in _dashes(item):
            width = max(1, round(item.width * k))
            pen.line((x1 * k, y1 * k, x2 * k, y2 * k), LIGHT[item.colour], width)
    elif isinstance(item, Dot):
        _circle(pen, item, k)
    elif isinstance(item, Shape):
        points = [(x * k, y * k) for x, y in item.points]
        pen.polygon(points, fill=None if item.fill == "none" else LIGHT[item.fill])
        if item.stroke:
            width = round(item.width * k)
            pen.line([*points, *points[:2]], LIGHT[item.stroke], width, joint="curve")


def _circle(pen: ImageDraw, item: Dot, k: float) -> None:
    outer = item.radius + (item.width / 2 if item.stroke else 0)
    for radius, colour in ((outer, item.stroke), (2 * item.radius - outer, item.fill)):
        if colour and colour != "none":
            ends = ((item.x - radius) * k, (item.y - radius) * k)
            pen.ellipse((*ends, (item.x + radius) * k, (item.y + radius) * k), LIGHT[colour])


def _blend(colour: str, opacity: float) -> tuple[int, ...]:
    """The colour as it looks through on paper."""
    over, under = ([int(LIGHT[c][i : i + 2], 16) for i in (1, 3, 5)] for c in (colour, "paper"))
    return tuple(round(opacity * a + (1 - opacity) * b) for a, b in zip(over, under, strict=True))


def _dashes(line: Line) -> list[tuple[float, float, float, float]]:
    """The drawn pieces of a line."""
    length = math.hypot(line.x2 - line.x1, line.y2 - line.y1)
    if not line.dash or not length:
        return [(line.x1, line.y1, line.x2, line.y2)]
    drawn, free = line.dash[0], line.dash[-1]
    pieces, at = [], 0.0
    while at < length:
        a, b = at / length, min(at + drawn, length) / length
        dx, dy = line.x2 - line.x1, line.y2 - line.y1
        pieces.append(
            (line.x1 + a * dx, line.y1 + a * dy, line.x1 + b * dx, line.y1 + b * dy),
        )
        at += drawn + free
    return pieces


def _text(pen: ImageDraw, item: Text, fonts: dict[tuple[float, bool], tuple[Any, bool]]) -> None:
    key = (item.size, item.bold)
    if key not in fonts:
        fonts[key] = _font(item.size * SCALE, item.bold)
    font, complete = fonts[key]
    text = item.text if complete else item.text.translate(PLAIN)
    anchor = {"start": "ls", "middle": "ms", "end": "rs"}[item.anchor]
    place = (item.x * SCALE, item.y * SCALE)
    halo = 3 if item.halo else 0
    paper = LIGHT["paper"]
    pen.text(place, text, LIGHT[item.colour], font, anchor, stroke_width=halo, stroke_fill=paper)


def _font(size: float, bold: bool) -> tuple[Any, bool]:
    """The first font found, and whether it holds more than ASCII."""
    from PIL import ImageFont

    for name in FONTS[bold]:
        try:
            return ImageFont.truetype(name, size), True
        except OSError:
            continue
    return ImageFont.load_default(size), False
