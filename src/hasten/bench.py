"""Time a bundle again: in a process of its own, in turns, as the race does."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from hasten import plugin
from hasten.errors import BadInput, CandidateFailed
from hasten.evidence import versions
from hasten.manifest import opened, read_manifest
from hasten.measure import Watch, machine_lock, play_rounds, raw
from hasten.search.child import Child, memory_limit
from hasten.search.settings import positive
from hasten.search.workshop import Contender
from hasten.verify import winner

TURN_SECONDS = 0.1
LOAD_SECONDS = 600.0


def bench(
    path: str | Path, *, seconds: float = 10.0, batch: int | None = None, trust: bool = False
) -> dict[str, Any]:
    """Seconds per call of a bundle on this machine, with what changed since it was measured.

    Returns a JSON-ready record: median, p5 and p95 of the seconds per call, calls, rounds,
    samples per second, and notes.
    """
    if not 0 < seconds < math.inf:
        raise BadInput(f"Cannot measure for {seconds} seconds: it must be above 0. Try 10.")
    if batch is not None:
        positive("batch", batch)
    name = Path(path).name
    with (
        opened(path) as folder,
        TemporaryDirectory(prefix="hasten-log-") as logs,
        Child(Path(logs) / "bench.log", memory_limit()) as child,
    ):
        manifest = read_manifest(folder)
        request = {"do": "load", "bundle": str(folder), "batch": batch, "trust": trust}
        ready = child.call(request, LOAD_SECONDS)
        contender = Contender(child, name, manifest["workload"]["objective"], ready)
        child.pause()
        count = max(3, int(seconds / (1.5 * TURN_SECONDS)))
        with machine_lock():
            played = play_rounds(
                [contender], count, TURN_SECONDS, np.random.default_rng(0), watch=Watch()
            )
    rounds = raw(played.rounds).get(name, [])
    if not rounds:
        raise CandidateFailed("the bundle answered no call; see hasten verify.")
    timed = np.concatenate([np.asarray(turn) for turn in rounds])
    size = batch or int(manifest["workload"]["batch"])
    median = float(np.median(timed))
    return {
        "bundle": str(path),
        "batch": size,
        "median_seconds": median,
        "p5_seconds": float(np.quantile(timed, 0.05)),
        "p95_seconds": float(np.quantile(timed, 0.95)),
        "calls": len(timed),
        "rounds": len(rounds),
        "disturbed_rounds": played.disturbed,
        "samples_per_second": size / median,
        "cold_start_seconds": contender.cold_start_seconds,
        "notes": _changes(manifest, median, size),
    }


def _changes(manifest: Mapping[str, Any], median: float, size: int) -> list[str]:
    """What differs from when the bundle was measured."""
    evidence = manifest["evidence"]
    notes = []
    there = evidence["machine"]["target"].get("name")
    here = plugin.targets.get(manifest["workload"]["target"]).probe().get("name")
    if there != here:
        notes.append(f"It was measured on {there}; this is {here}.")
    now, then = versions(), evidence["machine"]["versions"]
    for name in sorted(now.keys() & then.keys()):
        if now[name] != then[name]:
            notes.append(f"{name} was {then[name]}, here it is {now[name]}.")
    trial = winner(evidence)
    if trial and trial["seconds_per_call"] and size == manifest["workload"]["batch"]:
        notes.append(
            f"When packed it took {trial['seconds_per_call'] * 1e3:.3f} ms per call "
            f"({trial['seconds_per_call'] / median:.2f}x of now)."
        )
    return notes
