"""One run of one contender in a process of its own: one JSON line at its end.

python -m bench.training.child ROW CONTENDER SEED EPOCHS [--watch]
"""

from __future__ import annotations

import json
import random
import sys
import time
from typing import Any

import numpy as np

from bench.training import contenders, rows
from bench.training.contenders import Answers


class Clock:
    """Seconds of training: all, and those spent on looking at the test part left out."""

    def __init__(self) -> None:
        self.began = time.perf_counter()
        self.prepared = 0.0
        self.outside = 0.0

    def begins(self, ago: float = 0.0) -> None:
        self.prepared = time.perf_counter() - self.began - ago

    def now(self) -> float:
        return time.perf_counter() - self.began - self.outside


def run(row_name: str, name: str, seed: int, epochs: float, watched: bool) -> dict[str, Any]:
    """Train once; ``seconds`` counts everything, ``warm`` leaves out what came before step one."""
    import torch

    row, contender = rows.get(row_name), contenders.get(name)
    data = row.data()
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    clock = Clock()
    job = rows.Job(row, data, seed, epochs, clock.begins)
    seen: list[dict[str, float]] = []

    def accuracy(answers: Answers) -> float:
        x, y = job.part("test")
        return float((answers(x) == y).mean())

    def watch(done: float, answers: Answers) -> None:
        seconds = clock.now()
        seen.append({"epochs": done, "seconds": seconds, "accuracy": accuracy(answers)})
        clock.outside += clock.now() - seconds
        print(json.dumps(seen[-1]), flush=True)

    answers = contender.train(job, watch if watched else None)
    seconds = clock.now()
    return {
        "row": row_name,
        "contender": name,
        "seed": seed,
        "epochs": epochs,
        "seconds": seconds,
        "warm": seconds - clock.prepared,
        "accuracy": accuracy(answers),
        "versions": contender.versions(),
    }


def main() -> None:
    row, name, seed, epochs, *rest = sys.argv[1:]
    found = run(row, name, int(seed), float(epochs), watched="--watch" in rest)
    print(json.dumps({"result": found}), flush=True)


if __name__ == "__main__":
    main()
