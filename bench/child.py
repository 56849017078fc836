"""The process that a contender lives in.

    python -m bench.child prepare JOB
    python -m bench.child build JOB CONTENDER FOLDER
    python -m bench.child score JOB CONTENDER FOLDER
    python -m bench.child race JOB CONTENDER FOLDER

Each prints JSON lines on a private copy of its standard output; what a runtime prints there goes
to standard error instead. ``race`` says when it is ready, then answers every line on its standard
input (the least seconds of a turn) with one turn: uncounted warm-up, then the seconds of each
call.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bench import contenders
from bench.contenders import Contender, Loaded
from bench.jobs import Job, prepare
from bench.turns import turn
from hasten.types import Arrays


def sqnr_decibel(expected: np.ndarray, found: np.ndarray) -> float:
    """10·log10(Σ expected² / Σ (expected - found)²), within ±200."""
    wanted = expected.astype(np.float64)
    noise = float(np.sum((wanted - found.astype(np.float64)) ** 2))
    if not np.isfinite(noise):
        return -200.0
    power = float(np.sum(wanted**2))
    return float(np.clip(10 * np.log10(max(power, 1e-300) / max(noise, 1e-300)), -200, 200))


def answers(job: Job, loaded: Loaded) -> list[np.ndarray]:
    """All outputs on the test samples, one array per output."""
    pieces: list[list[np.ndarray]] = []
    for arrays in job.batches(job.part("test")):
        outputs = loaded.arrays(loaded.run(loaded.bind(arrays)))
        pieces.append([np.array(output) for output in outputs])
    return [np.concatenate(parts) for parts in zip(*pieces, strict=True)]


def quality(job: Job, found: list[np.ndarray]) -> dict[str, float]:
    """How near the answers are to the fp32 reference, and how right where there are labels."""
    expected = job.reference()
    floats = [
        (a, b) for a, b in zip(expected, found, strict=True) if np.issubdtype(a.dtype, np.floating)
    ]
    measured = {"sqnr": min(sqnr_decibel(a, b) for a, b in floats)}
    if job.row.accuracy:
        labels = job.labels("test")[: len(found[0])]
        right = [float(np.mean(a[0].argmax(1) == labels)) for a in (expected, found)]
        measured |= {"accuracy": right[1], "drop": right[0] - right[1]}
    return measured


def _load(job: Job, contender: Contender, folder: Path) -> tuple[Loaded, Any, dict[str, Any]]:
    """The contender with its inputs bound, and what its start cost."""
    first: Arrays = job.batches(job.part("test"))[0]
    began = time.perf_counter()
    loaded = contender.load(job, folder)
    feed = loaded.bind(first)
    ready = time.perf_counter()
    loaded.run(feed)
    cost = {
        "load_seconds": ready - began,
        "first_call_seconds": time.perf_counter() - ready,
        "memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "settings": dict(loaded.facts),
    }
    return loaded, feed, cost


def _build(job: Job, contender: Contender, folder: Path) -> dict[str, Any]:
    began = time.perf_counter()
    facts = contender.build(job, folder)
    size = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
    return {"seconds": time.perf_counter() - began, "size_bytes": size, "facts": facts}


def _score(job: Job, contender: Contender, folder: Path) -> dict[str, Any]:
    loaded, _, _ = _load(job, contender, folder)
    found = answers(job, loaded)
    if contender.name == contenders.REFERENCE[bool(job.row.asset)]:
        named = {f"output{index:02}": array for index, array in enumerate(found)}
        np.savez(job.folder / "reference.npz", **named, allow_pickle=False)
    return quality(job, found)


def _race(say: Callable[[Any], None], job: Job, contender: Contender, folder: Path) -> None:
    loaded, feed, cost = _load(job, contender, folder)
    say(cost)
    for line in sys.stdin:
        say(turn(lambda: loaded.run(feed), float(line)))


def main(verb: str, job_name: str, *rest: str) -> None:
    """Do one thing and say its result."""
    private = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def say(value: Any) -> None:
        private.write(json.dumps(value, default=str) + "\n")
        private.flush()

    job = Job.named(job_name)
    if verb == "prepare":
        say(prepare(job))
        return
    contender, folder = contenders.get(rest[0]), Path(rest[1])
    if verb == "race":
        _race(say, job, contender, folder)
    else:
        say({"build": _build, "score": _score}[verb](job, contender, folder))


if __name__ == "__main__":
    main(*sys.argv[1:])
