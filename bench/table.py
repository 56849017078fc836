"""The race's table in Markdown, from recorded results only."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from bench import contenders, verdict
from bench.contenders import OURS

Result = Mapping[str, Any]


def page(results: Sequence[Result], missing: Sequence[str]) -> str:
    """The whole page: the verdicts, who is behind them, and every contender's time."""
    parts = ["# The inference race", "", *_summary(results, missing)]
    if results:
        parts += ["", "## Hasten against the best other", "", *_duels(results)]
        parts += ["", "## Where the gain comes from", "", *_gains(results)]
        parts += ["", "## Every contender", "", *_times(results)]
        parts += ["", "## Who took part, and how", "", *_sources(results)]
    return "\n".join(parts) + "\n"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _grid(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [_row(head), "|" + " --- |" * len(head), *map(_row, rows)]


def milliseconds(seconds: float | None) -> str:
    """Three significant figures."""
    if seconds is None:
        return "-"
    value = seconds * 1e3
    return f"{value:.3g}" if value < 1000 else f"{value:.0f}"


def ratio_text(ratio: Mapping[str, float] | None) -> str:
    """The ratio with its interval."""
    if not ratio:
        return "-"
    return f"{ratio['value']:.2f} [{ratio['low']:.2f}, {ratio['high']:.2f}]"


def _mean_text(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"


def _summary(results: Sequence[Result], missing: Sequence[str]) -> list[str]:
    if not results:
        return [f"No results yet. Missing: {', '.join(missing)}."]
    found = verdict.summary(results)
    cpus = sorted({result["machine"]["target"].get("name", "unknown") for result in results})
    cores = sorted({str(result["machine"]["target"].get("cores", "?")) for result in results})
    lines = [
        f"Hasten against the fastest other contender within the same limit, rows: "
        f"{found['rows']}. **Wins {found['win']}, level {found['level']}, losses {found['loss']}, "
        f"undecided {found['undecided']}; geometric mean {_mean_text(found['geometric_mean'])}** "
        f"(above 1: Hasten is faster).",
        "",
        f"Measured on {' and '.join(cpus)}, {' or '.join(cores)} cores. A win is a 95 % interval "
        f"wholly above 1; level, one that starts at {verdict.LEVEL_LOW} or above and is no wider "
        f"than ± {verdict.LEVEL_HALF_WIDTH}.",
    ]
    if unpaired := sum(not result["comparison"]["ratio"] for result in results):
        lines += ["", f"Losses without a ratio, not in the mean: {unpaired}."]
    if disturbed := sum(result["comparison"]["disturbed"] for result in results):
        total = sum(result["comparison"]["rounds"] for result in results)
        lines += ["", f"Other load disturbed {disturbed} of {total} rounds that count."]
    if missing:
        lines += ["", f"**Not run yet:** {', '.join(missing)}."]
    return lines


def _duels(results: Sequence[Result]) -> list[str]:
    head = (
        "model", "batch", "Hasten, ms", "best other", "ms", "ratio", "verdict",
        "against fp32 as it comes",
    )  # fmt: skip
    return _grid(head, [_duel(result) for result in results])


def _duel(result: Result) -> list[str]:
    entries, best = result["contenders"], result["selection"]["best"]
    ours, other = entries[OURS], entries.get(best, {})
    name = result["title"]
    if result["weights"].startswith("random"):
        name += " (random weights)"
    return [
        name,
        str(result["batch"]),
        _time(ours),
        other.get("title", "none"),
        _time(other),
        ratio_text(result["comparison"]["ratio"]),
        result["verdict"] + (" (disturbed)" if verdict.disturbed(result["comparison"]) else ""),
        ratio_text(result["comparison"]["versus_reference"]),
    ]


def _time(entry: Mapping[str, Any]) -> str:
    """The time of a contender that raced; otherwise why it did not."""
    status = entry.get("status", "-")
    if status == "raced":
        return milliseconds(entry.get("seconds_per_call"))
    if status == "out":
        return f"out ({entry['reason']})"
    return {"not applicable": "n/a"}.get(status, status)


def _gains(results: Sequence[Result]) -> list[str]:
    head = ("model", "batch", "Hasten's plan", "its figure", "best other")
    rows = []
    for result in results:
        ours = result["contenders"][OURS]
        quality = ours.get("quality")
        best = result["contenders"].get(result["selection"]["best"], {})
        rows.append(
            [
                result["title"],
                str(result["batch"]),
                result["plan"] or ours.get("reason", "-"),
                verdict.quality_text(quality) if quality else "-",
                best.get("title", "none"),
            ]
        )
    return _grid(head, rows)


def _times(results: Sequence[Result]) -> list[str]:
    titles = _titles(results)
    rows = []
    for result in results:
        entries = result["contenders"]
        times = [_time(entries[name]) if name in entries else "-" for name in titles]
        rows.append([f"{result['title']}, batch {result['batch']}", result["limit"], *times])
    note = "Milliseconds per call (median). Out: it missed the limit. N/a: see below."
    return [note, "", *_grid(("model", "limit", *titles.values()), rows)]


def _titles(results: Sequence[Result]) -> dict[str, str]:
    """Names and titles of all contenders that any result has, ours first."""
    found = {
        name: entry["title"]
        for result in results
        for name, entry in sorted(result["contenders"].items())
    }
    return {OURS: found.pop(OURS), **found}


def _sources(results: Sequence[Result]) -> list[str]:
    lines = []
    for name, title in _titles(results).items():
        reasons = {
            f"{entry['status']}: {entry['reason']}"
            for result in results
            if (entry := result["contenders"].get(name)) and entry.get("reason")
            and entry["status"] != "out"
        }  # fmt: skip
        told = f" *{'; '.join(sorted(reasons))}.*" if reasons else ""
        lines.append(f"- **{title}**: {contenders.get(name).source}{told}")
    return lines
