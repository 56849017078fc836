"""The inference race: Hasten's bundle against every peer, row by row.

    python -m bench.inference                                every row that has no result yet
    python -m bench.inference --rows resnet18,lstm --batch 1
    python -m bench.inference --table                        write the table and print it

One row at one batch is one JSON file under ``bench/results/inference``, so a race that was
stopped goes on where it was. ``bench/README.md`` has the rules.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench import contenders, table
from bench.jobs import Job, clear, row_named, write_json
from bench.race import Race
from bench.rows import ROWS
from hasten.errors import HastenError

RESULTS = Path(__file__).parent / "results" / "inference"


def jobs(rows: Sequence[str], batches: Sequence[int]) -> list[Job]:
    """The jobs asked for; rows and batches default to all."""
    chosen = [row_named(name) for name in rows] if rows else ROWS
    return [
        Job(row, batch)
        for row in chosen
        for batch in row.batches
        if not batches or batch in batches
    ]


def result_path(job: Job, folder: Path = RESULTS) -> Path:
    """Where a job's result is kept."""
    return folder / f"{job.name}.json"


def recorded(folder: Path = RESULTS) -> tuple[list[dict[str, Any]], list[str]]:
    """All whole results in the order of the rows, and the names of those that are missing."""
    found = {job.name: result_of(job, folder) for job in jobs((), ())}
    return [r for r in found.values() if r], [name for name, r in found.items() if not r]


def result_of(job: Job, folder: Path = RESULTS) -> dict[str, Any] | None:
    """A job's result; ``None`` if there is none, or if some contender was left out of it.

    Against fewer peers the best one may be missing, so such a row says nothing about the race.
    """
    path = result_path(job, folder)
    if not path.exists():
        return None
    result: dict[str, Any] = json.loads(path.read_text())
    return result if set(contenders.names()) <= result["contenders"].keys() else None


def write_table(folder: Path = RESULTS) -> str:
    """Write ``<folder>.md`` from the recorded results; returns the page."""
    page = table.page(*recorded(folder))
    folder.mkdir(parents=True, exist_ok=True)
    folder.with_suffix(".md").write_text(page)
    return page


def run(job: Job, asked: argparse.Namespace) -> None:
    """Race one job and keep its result; a row that cannot be run is named and passed over."""
    names = asked.contenders or contenders.names()
    print(f"{job.name}: {job.row.title}, {job.row.limit}", flush=True)
    try:
        result = Race(job, names, asked.rounds, asked.budget).run()
    except HastenError as error:
        print(f"  cannot run: {error}", flush=True)
        return
    write_json(result_path(job, asked.results), result)
    ratio = table.ratio_text(result["comparison"]["ratio"])
    total = result["seconds"]["total"]
    print(f"  {result['verdict']}: {ratio}, {total:.0f} s", flush=True)
    if not asked.keep:
        clear(job)


def _names(text: str) -> list[str]:
    return [name for name in text.split(",") if name]


def _numbers(text: str) -> list[int]:
    return [int(number) for number in _names(text)]


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.inference", description=__doc__.partition("\n")[0]
    )
    add = parser.add_argument
    add("--rows", type=_names, default=[], help="rows, comma-separated; default: all")
    add("--batch", type=_numbers, default=[], help="batches, comma-separated; default: 1,16")
    add(
        "--contenders",
        type=_names,
        default=[],
        help="a trial against only these: no result of the race",
    )
    add("--rounds", type=int, default=30, help="rounds; half choose the best, half compare")
    add("--budget", default="5m", help="time that hasten optimize may take for one row")
    add("--again", action="store_true", help="also rows that have a result")
    add("--keep", action="store_true", help="keep what was built")
    add("--table", action="store_true", help="only write the table and print it")
    add("--results", type=Path, default=RESULTS, help=argparse.SUPPRESS)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Run what is asked for, then write the table."""
    asked = arguments(argv)
    if not asked.table:
        for job in jobs(asked.rows, asked.batch):
            if asked.again or not result_of(job, asked.results):
                run(job, asked)
    page = write_table(asked.results)
    if asked.table:
        print(page, end="")


if __name__ == "__main__":
    main()
