"""What five folds cost against one.

    python -m bench.folds            writes bench/results/folds.json

The same recipe and samples, in turns whose order is drawn by lot: one training with the parts of
the first fold, and all folds of one cross-validation. Both from arrays to the tested model, without
planning, which folds share and a single training pays alone.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import hasten
from bench.speedups import machine
from hasten import data as sources
from hasten import stats
from hasten.measure import machine_lock
from hasten.training.folds import divide_folds
from hasten.training.parts import divide
from hasten.types import Data

RESULT = Path(__file__).parent / "results" / "folds.json"
FOLDS, LIMIT = 5, 5.1
USED: dict[str, dict[str, Any]] = {"channels_last": {}, "bf16_autocast": {}, "resident": {}}


def first_fold(data: Data) -> Data:
    """The data with the parts of the first fold."""
    parts = divide_folds(data, divide(data, 0), FOLDS, 0)[0]
    own = {"train": parts.train, "validation": parts.validation, "test": parts.test}
    return replace(data, splits=own)


def taken(recipe: str, data: Data, epochs: float, **options: Any) -> float:
    """Seconds of one training."""
    began = time.perf_counter()
    hasten.train(recipe, data, epochs=epochs, plan=False, speedups=USED, **options)
    return time.perf_counter() - began


def measured(recipe: str, name: str, epochs: float, rounds: int) -> dict[str, Any]:
    """How many times as long all folds take as one, with the interval."""
    data = sources.load(name)
    one = first_fold(data)
    taken(recipe, one, epochs)  # whatever is loaded or compiled for the first time
    seconds: tuple[list[float], list[float]] = ([], [])
    rng = np.random.default_rng(0)
    for _ in range(rounds):
        for which in rng.permutation(2):
            found = (
                taken(recipe, data, epochs, folds=FOLDS) if which else taken(recipe, one, epochs)
            )
            seconds[which].append(found)
    ratio = stats.ratio(seconds[1], seconds[0])
    return {
        "recipe": recipe,
        "data": name,
        "epochs": epochs,
        "folds": FOLDS,
        "seconds": {"one": seconds[0], "all": seconds[1]},
        "ratio": ratio.to_json(),
        "kept": ratio.value <= LIMIT,
    }


def main() -> None:
    """Measure and keep what was found."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--recipe", default="cnn")
    parser.add_argument("--data", default="fashion-mnist")
    parser.add_argument("--epochs", type=float, default=0.5)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--out", type=Path, default=RESULT)
    given = parser.parse_args()
    with machine_lock(print):
        found = measured(given.recipe, given.data, given.epochs, given.rounds)
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps({"machine": machine(), **found}, indent=1) + "\n")
    ratio = found["ratio"]
    print(
        f"{FOLDS} folds take {ratio['value']:.2f} [{ratio['low']:.2f}, {ratio['high']:.2f}] times "
        f"as long as one (wanted: {LIMIT})"
    )


if __name__ == "__main__":
    main()
