"""What the training loop takes besides forward, backward and step.

    python -m bench.loop_overhead            writes bench/results/loop_overhead.json

The same network, optimiser and batches, twice: by ``Trainer.step`` and by the five lines of
PyTorch's tutorial (the loss is read in both). They take turns of many steps each, in an order drawn
by lot; what counts is the interval of the ratio of their times.
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from bench.speedups import machine, plain_setup
from hasten import stats
from hasten.measure import machine_lock
from hasten.training import optimizers
from hasten.training.loop import Trainer

RESULT = Path(__file__).parent / "results" / "loop_overhead.json"
BATCH, BATCHES = 128, 8
LEAST_TURN_SECONDS = 0.3
LIMIT = 0.02
"""What the loop may take of a step."""


def bare(setup: Any, batches: list[Any]) -> Callable[[int], float]:
    """So many steps of the tutorial's loop; gives the last loss."""
    module = copy.deepcopy(setup.module).train()
    optimizer = setup.optimizer(module)

    def steps(count: int) -> float:
        last = 0.0
        for number in range(count):
            inputs, targets = batches[number % len(batches)]
            optimizer.zero_grad()
            loss = setup.loss(module(*inputs), targets)
            loss.backward()
            optimizer.step()
            last = loss.item()
        return last

    return steps


def ours(setup: Any, samples: Any, batches: list[Any]) -> Callable[[int], float]:
    """So many steps of our loop; gives the last loss."""
    trainer = Trainer(setup, samples, 0)

    def steps(count: int) -> float:
        last = 0.0
        for number in range(count):
            inputs, targets = batches[number % len(batches)]
            (last,) = trainer.step(list(inputs), targets)
        return last

    return steps


def measured(recipe: str, data: str, rounds: int) -> dict[str, Any]:
    """The loop's share of a step of one recipe, with its interval."""
    setup, samples = plain_setup(recipe, data, batch=BATCH, feed="resident")
    # Both learn alike: a schedule that has ended leaves one side with steps of nothing at all.
    setup = replace(setup, schedule=optimizers.constant)
    order = np.arange(BATCH * BATCHES).reshape(BATCHES, BATCH)
    batches = [samples.batch(numbers) for numbers in order]
    pair = (bare(setup, batches), ours(setup, samples, batches))
    count = 1
    while (spent := _seconds(pair[0], count)) < LEAST_TURN_SECONDS:
        count = max(2 * count, round(count * LEAST_TURN_SECONDS / spent))
    pair[1](count)
    seconds: tuple[list[float], list[float]] = ([], [])
    rng = np.random.default_rng(0)
    for _ in range(rounds):
        for which in rng.permutation(2):
            seconds[which].append(_seconds(pair[which], count) / count)
    ratio = stats.ratio(seconds[1], seconds[0])
    return {
        "recipe": recipe,
        "data": data,
        "batch": BATCH,
        "seconds_per_step": float(np.median(seconds[0])),
        "ratio": ratio.to_json(),
        "overhead": ratio.value - 1,
        "kept": ratio.value - 1 <= LIMIT,
    }


def _seconds(steps: Callable[[int], float], count: int) -> float:
    began = time.perf_counter()
    steps(count)
    return time.perf_counter() - began


def main() -> None:
    """Measure the recipes asked for and keep what was found."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", default="fashion-mnist")
    parser.add_argument("--recipes", default="mlp,cnn")
    parser.add_argument("--rounds", type=int, default=24)
    parser.add_argument("--out", type=Path, default=RESULT)
    given = parser.parse_args()
    with machine_lock(print):
        rows = [measured(name, given.data, given.rounds) for name in given.recipes.split(",")]
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=1) + "\n")
    for row in rows:
        ratio = row["ratio"]
        print(
            f"{row['recipe']:10} {row['seconds_per_step'] * 1000:8.2f} ms a step, with the loop "
            f"{ratio['value']:.4f} [{ratio['low']:.4f}, {ratio['high']:.4f}] times as long"
        )


if __name__ == "__main__":
    main()
