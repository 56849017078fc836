"""Measure the best rates that the libraries at hand reach, each in a process of its own.

Libraries keep threads that spin after a call, so that two in one process slow each other. The
parent calls ``collect``; the child is ``python -m hasten.targets._peaks MEANS …`` and prints one
JSON line per quantity as soon as it has it, so that a crash or a time limit loses only the rest.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hasten.targets._jobs import Job, Request

MEANS: Mapping[str, tuple[str, str]] = {
    "openvino": ("openvino", "hasten.targets._openvino"),
    "torch": ("torch", "hasten.targets._torch"),
    "onnxruntime": ("onnxruntime", "hasten.targets._onnxruntime"),
    "numpy": ("numpy", "hasten.targets._numpy"),
    "cuda": ("torch", "hasten.targets._cuda"),
}
"""Distribution and module of every way to measure."""
LEAST_CALLS = 5
PATIENCE = 4
"""A job so slow that it has too few calls stops after this many times its share of the time."""
UNITS = {"bandwidth": "bytes/s"}
POOLS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


# --- the child -----------------------------------------------------------------------------------


def clock(job: Job, seconds: float) -> list[float]:
    """Seconds of each call after an uncounted one, for about ``seconds`` in all."""
    job.call()
    taken: list[float] = []
    start = now = time.perf_counter()
    while now - start < (seconds if len(taken) >= LEAST_CALLS else PATIENCE * seconds):
        job.call()
        began, now = now, time.perf_counter()
        taken.append(now - began)
    return taken


def race(jobs: Iterable[Job], quantity: str, seconds: float) -> dict[str, Any]:
    """The best rate over all jobs: half of the time is shared, the other half is the fastest's.

    A job whose library computed in other arithmetic than asked is left out and named.
    """
    todo, refused = [], []
    for job in jobs:
        ran = job.ran() if job.ran else quantity
        if ran == quantity:
            todo.append(job)
        else:
            refused.append(f"{job.what} ran in {ran or 'unknown arithmetic'}")
    if not todo:
        return {"error": "; ".join(refused)}
    times = {job: clock(job, seconds / 2 / len(todo)) for job in todo}
    fastest = max(todo, key=lambda job: job.amount / min(times[job]))
    rates = fastest.amount / np.asarray(times[fastest] + clock(fastest, seconds / 2))
    low, median, high = np.quantile(rates, (0.1, 0.5, 0.9))
    return {
        "what": fastest.what,
        "value": float(rates.max()),
        "median": float(median),
        "spread": float((high - low) / median),
        "n": len(rates),
        "refused": refused,
    }


def measure(means: str, request: Request) -> Iterator[dict[str, Any]]:
    """One record per quantity; one that this library cannot do carries ``error``."""
    distribution, module = MEANS[means]
    version = importlib.metadata.version(distribution)
    for quantity, jobs in importlib.import_module(module).QUANTITIES.items():
        unit = UNITS.get(quantity, "operations/s")
        record = {"quantity": quantity, "unit": unit, "means": means, "version": version}
        try:
            yield {**record, **race(jobs(request), quantity, request.seconds)}
        except Exception as error:  # whatever one library raises, the other quantities go on
            yield {**record, "error": f"{type(error).__name__}: {error}".splitlines()[0]}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("means", choices=MEANS)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--cache-bytes", type=int, required=True)
    given = parser.parse_args()
    channel = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # a library may print: keep the channel clean
    for record in measure(given.means, Request(given.threads, given.seconds, given.cache_bytes)):
        channel.write(json.dumps(record) + "\n")
        channel.flush()


# --- the parent ----------------------------------------------------------------------------------


def collect(means: Iterable[str], request: Request, budget_seconds: float) -> dict[str, Any]:
    """Peaks by arithmetic and memory bandwidth, the best of ``means``; every record beside them.

    ``missing`` says of each library why it gave nothing. One that is not installed is left out.
    """
    began = time.monotonic()
    load = list(os.getloadavg()) if hasattr(os, "getloadavg") else None
    records: list[dict[str, Any]] = []
    missing: dict[str, str] = {}
    for name in filter(_installed, means):
        left = budget_seconds - (time.monotonic() - began)
        if left < request.seconds:
            missing[name] = f"the {budget_seconds:.0f} s were spent"
            continue
        found, why = ask(name, request, left)
        records += found
        if why:
            missing[name] = why
    return {
        **summary(records),
        "records": records,
        "missing": missing,
        "load_before": load,
        "threads": request.threads,
        "seconds": time.monotonic() - began,
    }


def _installed(name: str) -> bool:
    try:
        importlib.metadata.version(MEANS[name][0])
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def ask(name: str, request: Request, limit_seconds: float) -> tuple[list[dict[str, Any]], str]:
    """The records of one child, and why it ended early (empty: it did not)."""
    command = [sys.executable, "-m", __name__, name, "--threads", str(request.threads)]
    command += ["--seconds", str(request.seconds), "--cache-bytes", str(request.cache_bytes)]
    try:
        child = subprocess.run(
            command, capture_output=True, env=environment(request.threads), timeout=limit_seconds
        )
    except subprocess.TimeoutExpired as stopped:
        return _records(stopped.stdout or b""), f"stopped after {limit_seconds:.0f} s"
    why = "" if child.returncode == 0 else _last_line(child.stderr, child.returncode)
    return _records(child.stdout), why


def environment(threads: int) -> dict[str, str]:
    """This process's environment with ``threads`` for every pool and this package importable."""
    package = str(Path(__file__).parents[2])
    paths = [package, os.environ.get("PYTHONPATH", "")]
    pools = dict.fromkeys(POOLS, str(threads))
    return {**os.environ, **pools, "PYTHONPATH": os.pathsep.join(filter(None, paths))}


def _records(output: bytes) -> list[dict[str, Any]]:
    whole = output[: output.rfind(b"\n") + 1]  # a child that was stopped may end in half a line
    return [json.loads(line) for line in whole.splitlines()]


def _last_line(errors: bytes, code: int) -> str:
    lines = errors.decode(errors="replace").strip().splitlines()
    return f"it ended with code {code}: {lines[-1] if lines else 'it said nothing'}"


def summary(records: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """``{"peaks": {"f32": operations/s, …}, "bandwidth_bytes_per_second": …}``."""
    best: dict[str, float] = {}
    for record in records:
        if "value" in record:
            name = record["quantity"]
            best[name] = max(best.get(name, 0.0), record["value"])
    bandwidth = best.pop("bandwidth", None)
    return {"peaks": best, "bandwidth_bytes_per_second": bandwidth}


if __name__ == "__main__":
    main()
