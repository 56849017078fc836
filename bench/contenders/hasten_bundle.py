"""Hasten: the bundle that ``hasten optimize`` makes of the same model and the same samples.

**Source:** README.md. The command gets the given samples and the race's own limit; which of them
calibrate, select and prove is its own business. The test samples stay unseen. This file is the
only one that knows Hasten's command line and bundle.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from bench.contenders import Contender, Loaded
from bench.jobs import Job
from bench.rows import ACCURACY_DROP, SQNR_FLOOR_DECIBEL
from hasten.errors import CandidateFailed
from hasten.types import Arrays, Plan

BUDGET = "HASTEN_RACE_BUDGET"
"""The environment variable that carries the race's ``--budget``."""


def command(job: Job, folder: Path, budget: str) -> list[str]:
    """The command line, as a user would type it."""
    limit = ["--metric", "sqnr", "--floor", f"{SQNR_FLOOR_DECIBEL:g}"]
    if job.row.accuracy:
        limit = ["--max-drop", f"{ACCURACY_DROP:g}"]
    return [
        *(str(Path(sys.executable).with_name("hasten")), "optimize", job.model),
        *("--data", str(job.samples / "given.npz"), *limit),
        *("--batch", str(job.batch), "--budget", budget),
        *("-o", str(folder / "fast.hasten"), "--json"),
    ]


class HastenBundle(Contender):
    """Whatever the search found best."""

    title: ClassVar[str] = "Hasten"
    packages: ClassVar[tuple[str, ...]] = ("hasten",)

    def build(self, job: Job, folder: Path) -> dict[str, Any]:
        asked = command(job, folder, os.environ.get(BUDGET, "5m"))
        done = subprocess.run(asked, stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            raise CandidateFailed(f"hasten optimize ended with exit code {done.returncode}.")
        (folder / "result.json").write_text(done.stdout)
        manifest = json.loads((folder / "fast.hasten" / "manifest.json").read_text())
        evidence = manifest["evidence"]
        verdict = evidence.get("verdict", {})
        return {
            "plan": Plan.from_json(manifest["plan"]).name,
            "kept_original": bool(verdict.get("kept_original")),
            "sentence": verdict.get("sentence", ""),
            "duration": evidence["duration"],
            "tried": [_tried(trial) for trial in evidence["trials"]],
        }

    def load(self, job: Job, folder: Path) -> Loaded:
        import hasten

        bundle = hasten.load(folder / "fast.hasten")

        def arrays(answer: Arrays) -> list[np.ndarray]:
            return [np.array(answer[tensor.name]) for tensor in bundle.spec.outputs]

        return Loaded(bundle.runner.bind, bundle.runner.run, arrays, dict(bundle.runner.facts))


def _tried(trial: dict[str, Any]) -> dict[str, Any]:
    """One candidate of the search in short: what became of it, and why."""
    return {
        "plan": Plan.from_json(trial["plan"]).name,
        "status": trial["status"],
        "seconds_per_call": trial["seconds_per_call"],
        "why": trial["error"],
    }
