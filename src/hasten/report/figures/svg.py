"""Draws a scene as SVG: inline for the page, or as a file of its own."""

from __future__ import annotations

from html import escape

from hasten.report.figures.palette import standalone
from hasten.report.figures.scene import Box, Dot, Item, Line, Scene, Shape, Text

FONT = "-apple-system,BlinkMacSystemFont,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif"


def draw(scene: Scene, *, alone: bool = False, css_class: str = "") -> str:
    """The scene as an ``<svg>`` element; ``alone`` makes it a file with its own colours."""
    size = f"{_n(scene.width)} {_n(scene.height)}"
    fixed = f' xmlns="http://www.w3.org/2000/svg" width="{_n(scene.width)}"' if alone else ""
    head = (
        f'<svg{fixed} viewBox="0 0 {size}" role="img" class="{css_class}" '
        f'aria-label="{_safe(scene.title)}" font-family="{escape(FONT)}">'
        f"<title>{_safe(scene.title)}</title><desc>{_safe(scene.description)}</desc>"
    )
    if alone:
        head += f"<style>{standalone()}</style>"
        head += f'<rect width="100%" height="100%" class="{_paint(fill="paper")}"/>'
    return head + "".join(map(_element, scene.items)) + "</svg>"


def _n(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _safe(text: str) -> str:
    """Escaped, in one line."""
    return escape(" ".join(text.split()))


def _paint(fill: str = "none", stroke: str = "") -> str:
    return f"f-{fill}" + (f" s-{stroke}" if stroke else "")


def _element(item: Item) -> str:
    if isinstance(item, Text):
        return _text(item)
    name, attributes = _shape(item)
    close = f"><title>{_safe(item.title)}</title></{name}>" if item.title else "/>"
    return f"<{name} {attributes}{close}"


def _shape(item: Line | Box | Dot | Shape) -> tuple[str, str]:
    """The element's name and attributes."""
    if isinstance(item, Box):
        place = f'x="{_n(item.x)}" y="{_n(item.y)}"'
        size = f'width="{_n(max(item.width, 0))}" height="{_n(max(item.height, 0))}"'
        opacity = "" if item.opacity == 1 else f' fill-opacity="{item.opacity:g}"'
        return "rect", f'{place} {size} class="{_paint(item.fill)}"{opacity}'
    if isinstance(item, Line):
        ends = f'x1="{_n(item.x1)}" y1="{_n(item.y1)}" x2="{_n(item.x2)}" y2="{_n(item.y2)}"'
        dash = f' stroke-dasharray="{" ".join(map(_n, item.dash))}"' if item.dash else ""
        return "line", f'{ends} class="s-{item.colour}" stroke-width="{_n(item.width)}"{dash}'
    paint = f'class="{_paint(item.fill, item.stroke)}"'
    if item.stroke:
        paint += f' stroke-width="{_n(item.width)}"'
    if isinstance(item, Dot):
        return "circle", f'cx="{_n(item.x)}" cy="{_n(item.y)}" r="{_n(item.radius)}" {paint}'
    points = " ".join(f"{_n(x)},{_n(y)}" for x, y in item.points)
    return "polygon", f'points="{points}" stroke-linejoin="round" {paint}'


def _text(item: Text) -> str:
    anchor = "" if item.anchor == "start" else f' text-anchor="{item.anchor}"'
    weight = ' font-weight="600"' if item.bold else ""
    place = f'x="{_n(item.x)}" y="{_n(item.y)}" font-size="{_n(item.size)}"{anchor}{weight}'
    paint = _paint(item.colour, "paper") if item.halo else _paint(item.colour)
    halo = ' stroke-width="3" stroke-linejoin="round" paint-order="stroke"' if item.halo else ""
    return f'<text {place} class="{paint}"{halo}>{_safe(item.text)}</text>'
