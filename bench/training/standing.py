"""The training race's table: what every contender took, and what that is against ours."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.training import contenders
from bench.training.contenders import OURS
from bench.training.rows import Row

HEAD = """# Training race

Time to a test accuracy that was fixed before. Every contender trains the same network on the same
samples for the number of epochs that reached the target on other seeds. "Cold" counts everything
from raw arrays to trained weights: preparing data, planning, compiling; "warm" begins at the first
step. Made by `make bench-train`.
"""


def table(results: Path, rows: Sequence[Row]) -> str:
    """Markdown: a section for each row that has results."""
    parts = [HEAD]
    for row in rows:
        lines = [_line(results / row.name, name, row) for name in contenders.names()]
        if any(lines):
            parts.append(_section(row, [line for line in lines if line]))
    return "\n".join(parts)


def _section(row: Row, lines: list[list[str]]) -> str:
    head = ["", "test accuracy (every seed)", "epochs", "cold", "warm", "against Hasten (cold)"]
    body = [head, ["---", "---", "---:", "---:", "---:", "---:"], *lines]
    text = "\n".join("| " + " | ".join(line) + " |" for line in body)
    return f"## {row.title}: {100 * row.target:.1f} %\n\n{text}\n"


def _line(folder: Path, name: str, row: Row) -> list[str] | None:
    title = contenders.get(name).title
    runs = found(folder, name)
    schedule = folder / f"{name}.schedule.json"
    if not runs:
        if not schedule.exists():
            return None
        tried = json.loads(schedule.read_text())["tried"]
        best = max(tried.values(), default=0.0)
        return [title, f"not reached while tuning (best {100 * best:.2f} %)", "", "", "", "> 6x"]
    if any("stopped" in run for run in runs):
        return [title, "", "", f"> {runs[0]['stopped']:.0f} s", "", "> 6x"]
    values = [run["accuracy"] for run in runs]
    short = "" if np.mean(values) >= row.target else " **below the target**"
    each = ", ".join(f"{100 * value:.2f}" for value in values)
    cold, warm = (np.array([run[key] for run in runs]) for key in ("seconds", "warm"))
    ours = [run["seconds"] for run in found(folder, OURS) if "seconds" in run]
    times = ""
    if name != OURS and ours:
        ratio = cold.mean() / np.mean(ours)
        # Relative spread of both means, added as independent.
        reach = 2 * np.hypot(_error(cold), _error(np.array(ours)))
        times = f"{ratio:.2f}x [{ratio * (1 - reach):.2f}, {ratio * (1 + reach):.2f}]"
    return [
        title,
        f"{100 * np.mean(values):.2f} % ({each}){short}",
        f"{runs[0]['epochs']:g}",
        f"{cold.mean():.0f} s",
        f"{warm.mean():.0f} s",
        times,
    ]


def _error(values: np.ndarray) -> float:
    """The standard error of a mean, relative to it."""
    if len(values) < 2:
        return 0.0
    return float(values.std(ddof=1) / np.sqrt(len(values)) / values.mean())


def found(folder: Path, name: str) -> list[dict[str, Any]]:
    """The results of one contender, by seed."""
    paths = sorted(folder.glob(f"{name}-*.json"))
    return [json.loads(path.read_text()) for path in paths]
