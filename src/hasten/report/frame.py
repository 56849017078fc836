"""What every page shares: the templates, the style sheet, and figures drawn for wide and narrow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hasten.errors import NotInstalled
from hasten.report.figures import palette, svg
from hasten.report.figures.scene import Scene

if TYPE_CHECKING:
    from jinja2 import Environment

FOLDER = Path(__file__).parent
WIDE, NARROW = 960.0, 350.0


def render(template: str, context: Mapping[str, Any]) -> str:
    """A whole page; it needs no network and no other file."""
    found = _environment().get_template(template)
    from markupsafe import Markup

    # The templates' own text is trusted; every value from a record is escaped by autoescape.
    style = Markup(palette.variables() + (FOLDER / "page.css").read_text("utf-8"))
    script = Markup((FOLDER / "page.js").read_text("utf-8"))
    return found.render(style=style, script=script, **context)


@cache
def _environment() -> Environment:
    try:
        from jinja2 import Environment, FileSystemLoader, StrictUndefined
    except ImportError as error:
        raise NotInstalled.extra("the report", "jinja2", "report") from error
    return Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def figure(draw: Callable[[float], Scene]) -> Any:
    """A figure drawn twice: the style sheet shows the one that suits the screen."""
    wide, narrow = draw(WIDE), draw(NARROW)
    return markup(svg.draw(wide, css_class="wide") + svg.draw(narrow, css_class="narrow"))


def markup(drawn: str) -> Any:
    """What svg.py drew, which escapes every text, as it goes into a page."""
    from markupsafe import Markup

    return Markup(drawn)
