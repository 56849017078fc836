"""Real models of other frameworks: loaded, compared, optimised, and raced against their home.

    python -m bench.frontends                      every model that has no result yet
    python -m bench.frontends --models facenet     only these
    python -m bench.frontends --table              only write the table

For each model: seconds until ``hasten inspect`` has read and compared it, the largest difference
that it found, what ``hasten optimize`` (SQNR of 30 dB or more, batch 1) made of it, the noise of
that on samples which it never saw against what the framework itself answers, and how many times as
fast it is, from alternating turns in processes of their own.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from bench import verdict
from bench.child import sqnr_decibel
from bench.jobs import write_json
from bench.process import Turns, scrubbed
from bench.race import Timed, machine
from bench.sources import zoo
from bench.sources.models import MODELS, Model, Shapes, named
from bench.table import ratio_text
from hasten.errors import CandidateFailed, HastenError
from hasten.measure import machine_lock
from hasten.types import Arrays, Plan

RESULTS = Path(__file__).parent / "results" / "frontends"
HASTEN = str(Path(sys.executable).with_name("hasten"))
TEST = 8
"""Samples that nobody sees before the end."""
FIRST_TEST = 10_000
START_SECONDS = 600.0
TITLES = {"opencv": "OpenCV", "mxnet": "MXNet", "tensorflow": "TensorFlow", "keras": "Keras"}


class Standing(Turns):
    """A model at home, or Hasten's bundle of it."""

    def __init__(self, runtime: str, feed: Path, files: list[Path], python: str) -> None:
        self.name = "bundle" if runtime == "bundle" else "home"
        self.answers_file = feed.with_name(f"{self.name}.npz")
        arguments = [runtime, str(feed), str(self.answers_file), *map(str, files)]
        log = feed.with_name(f"{self.name}.txt")
        super().__init__(log, arguments, module="bench.sources.child", python=python)
        self.stand(START_SECONDS)

    def outputs(self) -> list[np.ndarray]:
        with np.load(self.answers_file) as stored:
            return [stored[name] for name in sorted(stored.files)]


def told(arguments: list[str]) -> dict[str, Any]:
    """The JSON document of one of Hasten's commands."""
    done = subprocess.run(
        [HASTEN, *arguments, "--json"], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise CandidateFailed(f"hasten {arguments[0]}: {done.stderr.strip()[-300:]}")
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def measured(model: Model, budget: str, rounds: int) -> dict[str, Any]:
    """One model's result."""
    asked = model.asked()
    began = time.perf_counter()
    inspected = told(["inspect", *asked])
    seconds = time.perf_counter() - began
    shapes: Shapes = {
        tensor["name"]: tuple(tensor["shape"][1:]) for tensor in inspected["spec"]["inputs"]
    }
    loaded = inspected["history"][0]
    with tempfile.TemporaryDirectory(prefix="hasten-bench-") as name:
        place = Path(name)
        np.savez(place / "given.npz", allow_pickle=False, **model.draw(shapes, model.given, 0))
        feed: Arrays = model.draw(shapes, TEST, FIRST_TEST)
        np.savez(place / "feed.npz", allow_pickle=False, **feed)
        limit = ["--metric", "sqnr", "--floor", "30", "--batch", "1", "--budget", budget]
        out = place / "fast.hasten"
        told(["optimize", *asked, "--data", str(place / "given.npz"), *limit, "-o", str(out)])
        manifest = json.loads((out / "manifest.json").read_text())
        raced = _raced(model, place, out, rounds)
    return {
        "model": model.name,
        "title": model.title,
        "home": TITLES[model.runtime],
        "load_seconds": round(seconds, 1),
        "difference": loaded.get("difference"),
        "against": loaded.get("against", ""),
        "note": loaded.get("note", ""),
        "plan": Plan.from_json(manifest["plan"]).name,
        **raced,
        "machine": machine(),
    }


def _raced(model: Model, place: Path, out: Path, rounds: int) -> dict[str, Any]:
    """How many times as fast the bundle is as the model at home, and how far its answers are."""
    feed, timed = place / "feed.npz", Timed()
    python = str(zoo.python()) if model.runtime == "mxnet" else sys.executable
    with machine_lock(print), ExitStack() as stack:
        home = stack.enter_context(Standing(model.runtime, feed, model.paths(), python))
        ours = stack.enter_context(Standing("bundle", feed, [out], sys.executable))
        failed = timed.play([home, ours], rounds, np.random.default_rng(0))
        if failed:
            raise CandidateFailed(str(failed))
        wanted, found = home.outputs(), ours.outputs()
    if [a.shape for a in wanted] != [b.shape for b in found]:
        shapes = [[list(one.shape) for one in each] for each in (wanted, found)]
        raise CandidateFailed(f"at home it gives {shapes[0]}, as a bundle {shapes[1]}")
    ratio = verdict.paired(timed.rounds, "home", "bundle")
    return {
        "decibel": round(min(map(sqnr_decibel, wanted, found)), 1),
        "seconds_per_call": verdict.medians(timed.rounds),
        "ratio": ratio.to_json() if ratio else None,
        "disturbed": timed.disturbed,
    }


def recorded() -> list[dict[str, Any]]:
    """All results in the order of the models."""
    files = [RESULTS / f"{model.name}.json" for model in MODELS]
    return [json.loads(file.read_text()) for file in files if file.exists()]


def page(results: list[dict[str, Any]]) -> str:
    """The table with what sums it up."""
    ratios = [result["ratio"]["value"] for result in results]
    missing = [model.title for model in MODELS if model.name not in {r["model"] for r in results}]
    told = __doc__[__doc__.index("For each model: ") :].split()
    lines = [
        "# Real models of other frameworks",
        "",
        f"Made by `python -m bench.frontends`. {' '.join(told)}".replace("``", "`"),
        "",
        "| model | home | load, s | difference | plan | noise, dB | home, ms | Hasten, ms "
        "| times as fast (95 % interval) |",
        "| --- | --- | --: | --: | --- | --: | --: | --: | --: |",
        *map(_line, results),
        "",
    ]
    if ratios:
        middle, least = statistics.median(ratios), min(ratios)
        lines.append(f"Median {middle:.2f}, least {least:.2f}, over {len(ratios)} models.")
    if missing:
        lines.append(f"Not measured yet: {', '.join(missing)}.")
    return "\n".join(lines) + "\n"


def _line(result: dict[str, Any]) -> str:
    at = result["seconds_per_call"]
    difference = result["difference"]
    return " | ".join(
        [
            f"| {result['title']}",
            result["home"],
            f"{result['load_seconds']:.0f}",
            "unverified" if difference is None else f"{difference:.1e} ({result['against']})",
            result["plan"],
            f"{result['decibel']:.0f}",
            f"{at['home'] * 1e3:.3g}",
            f"{at['bundle'] * 1e3:.3g}",
            f"{ratio_text(result['ratio'])} |",
        ]
    )


def main() -> None:
    """Measure what is asked for, then write the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--models", default="", help="comma-separated; default: all")
    parser.add_argument("--budget", default="2m", help="time for hasten optimize per model")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--again", action="store_true", help="also models that have a result")
    parser.add_argument("--table", action="store_true", help="only write the table")
    asked = parser.parse_args()
    chosen = [named(name) for name in asked.models.split(",") if name] or list(MODELS)
    for model in [] if asked.table else chosen:
        file = RESULTS / f"{model.name}.json"
        if file.exists() and not asked.again:
            continue
        print(f"{model.name}: {model.title}", flush=True)
        try:
            result = scrubbed(measured(model, asked.budget, asked.rounds))
        except HastenError as error:
            print(f"  cannot: {error}", flush=True)
            continue
        write_json(file, result)
        print(f"  {ratio_text(result['ratio'])}, {result['decibel']} dB", flush=True)
    RESULTS.mkdir(parents=True, exist_ok=True)
    RESULTS.with_suffix(".md").write_text(page(recorded()))


if __name__ == "__main__":
    main()
