"""The colours of every figure and of the page, by role, for light and dark surroundings.

The hues are those of Okabe and Ito (2008), told apart under every common colour blindness and
here darkened or lightened until they stand out 3:1 from the background; text colours reach 4.5:1.
"""

from __future__ import annotations

LIGHT = {
    "paper": "#ffffff",
    "panel": "#f6f5f2",
    "ink": "#1c2127",
    "muted": "#59616b",
    "faint": "#9aa1a9",
    "rule": "#e2e0db",
    "winner": "#0062a3",
    "accepted": "#0072b2",
    "slower": "#7f8a96",
    "broken": "#c44a00",
    "warn": "#a83f00",
    "good": "#00704f",
    "int8": "#0072b2",
    "bf16": "#008a63",
    "f16": "#8a5fa8",
    "f32": "#c98500",
    "other": "#8b929a",
}

DARK = {
    "paper": "#14171a",
    "panel": "#1d2125",
    "ink": "#e9e7e2",
    "muted": "#a7aeb6",
    "faint": "#737b84",
    "rule": "#33383e",
    "winner": "#6cb8ee",
    "accepted": "#56a9e4",
    "slower": "#8f99a4",
    "broken": "#f08a4b",
    "warn": "#f0965e",
    "good": "#4cc9a0",
    "int8": "#56a9e4",
    "bf16": "#35bd90",
    "f16": "#c39add",
    "f32": "#e0a63a",
    "other": "#868e97",
}

PRECISIONS = ("int8", "bf16", "f16", "f32")


def of_precision(precision: str) -> str:
    """The colour role of an arithmetic; ``other`` where it has none of its own."""
    return precision if precision in PRECISIONS else "other"


def variables() -> str:
    """The palette as CSS custom properties, following the reader's colour scheme."""
    light, dark = (";".join(f"--{k}:{v}" for k, v in side.items()) for side in (LIGHT, DARK))
    return (
        f":root{{{light}}}"
        f"@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}"
        f"{classes({name: f'var(--{name})' for name in LIGHT})}"
    )


def classes(colours: dict[str, str]) -> str:
    """CSS classes that colour SVG shapes: ``f-ink`` fills, ``s-ink`` strokes."""
    return "".join(f".f-{k}{{fill:{v}}}.s-{k}{{stroke:{v}}}" for k, v in colours.items())


def standalone() -> str:
    """The CSS of an SVG file of its own: literal colours, for renderers without variables."""
    dark = f"@media screen and (prefers-color-scheme:dark){{{classes(DARK)}}}"
    return f".f-none{{fill:none}}{classes(LIGHT)}{dark}"
