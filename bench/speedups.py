"""Every speed-up's gain on this machine, on the recipe it is usually for.

    python -m bench.speedups                         all that have no result yet
    python -m bench.speedups --only ema,mixup --again
    python -m bench.speedups --table                 only results/speedups.json and .md

A systems one: seconds per sample without and with it, in turns, as the planner takes them. One that
changes what is learned: the validation metric after a fixed number of steps, without and with it,
from the same seeds. Each is one file in ``bench/results/speedups``, so that a stopped run goes on.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

import hasten
from hasten import data as sources
from hasten import plugin, recipes, stats
from hasten.errors import HastenError
from hasten.measure import machine_lock
from hasten.plugin import Setup
from hasten.training import losses, optimizers
from hasten.training.facts import traits
from hasten.training.parts import divide, normalisation
from hasten.training.plan import Turns, in_turns
from hasten.training.samples import Samples
from hasten.types import Data

RESULTS = Path(__file__).parent / "results"
FOLDER, WHOLE, PAGE = RESULTS / "speedups", RESULTS / "speedups.json", RESULTS / "speedups.md"
SECONDS, ROUNDS = 60.0, 60
STEPS, SEEDS = 200, 5
PIXELS = 64


@dataclass(frozen=True)
class Case:
    """What a speed-up is measured on. ``base`` and ``options`` are speed-ups with their options:
    those in use on both sides, and its own."""

    recipes: tuple[str, ...] = ("cnn",)
    base: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    pixels: int | None = None
    batch: int | None = None


CASES = {
    "resident": Case(("mlp", "cnn")),
    "fewer_threads": Case(("mlp", "cnn")),
    "fused_optimizer": Case(("mlp", "cnn")),
    "foreach_optimizer": Case(("mlp", "cnn")),
    "inductor": Case(("mlp", "cnn")),
    "kept_memory": Case(("cnn", "tapered")),
    "batch_size": Case(("mlp", "cnn")),
    "gradient_checkpointing": Case(("cnn", "resnet")),
    "alternating_flip": Case(base={"flip": {}}),
    "progressive_resizing": Case(("resnet",), pixels=PIXELS, batch=64),
}
"""Where the usual one, ``cnn`` with nothing else, is not it. With ``alternating_flip`` the other
side is flipped by lot."""


# --- data and setups ------------------------------------------------------------------------------


def loaded(name: str, pixels: int | None = None, most: int = 6000) -> Data:
    """The data set; with ``pixels``, some thousand of its pictures enlarged."""
    found = sources.load(name)
    if pixels is None:
        return found
    import torch
    from torch.nn import functional

    ((key, pictures),) = found.inputs.items()
    rows = np.random.default_rng(0).permutation(len(pictures))[:most]
    small = torch.from_numpy(pictures[rows]).float()
    large = functional.interpolate(small, (pixels, pixels), mode="bilinear").byte().numpy()
    return replace(
        found,
        name=f"{found.name} at {pixels} px",
        inputs={key: large},
        labels=np.asarray(found.labels)[rows],
        splits={},
        normalisation={},
    )


def plain_setup(recipe: str, data: str | Data, **changes: Any) -> tuple[Setup, Samples]:
    """A recipe's setup without any speed-up, and the training part it is for."""
    import torch

    found = sources.load(data)
    parts, kept = divide(found, 0), recipes.named(recipe)
    scales = tuple(normalisation(array, parts.train) for array in found.inputs.values())
    samples = Samples(tuple(found.inputs.values()), scales, np.asarray(found.labels), parts.train)
    usual = dict(kept.training)
    shape = next(iter(found.inputs.values())).shape[1:]
    torch.manual_seed(0)
    module = kept.module(shape, recipes.output_count(found, samples.targets))
    extra = {name: usual[name] for name in ("weight_decay", "momentum") if name in usual}
    setup = Setup(
        module=module,
        loss=losses.named(None, found.task)[1],
        optimizer=optimizers.optimizer(usual["optimizer"], usual["learning_rate"], **extra),
        schedule=optimizers.one_cycle,
        epochs=usual["epochs"],
        batch=min(usual["batch"], len(parts.train)),
        traits=traits(module, found),
        samples=len(parts.train),
        peek=samples.peek,
        clip=usual.get("clip"),
    )
    return replace(setup, **changes), samples


def machine() -> dict[str, Any]:
    """What the figures hold for."""
    facts = plugin.targets.get("cpu").probe()
    known = ("name", "cores", "isa")
    return {
        **{name: facts[name] for name in known if name in facts},
        "os": platform.platform(terse=True),
        "python": platform.python_version(),
        "torch": importlib.metadata.version("torch"),
        "load": list(os.getloadavg()),
    }


# --- measuring ------------------------------------------------------------------------------------


def system(name: str, case: Case, given: argparse.Namespace) -> list[dict[str, Any]]:
    """One row per recipe and set of options: how many times faster a sample is learned from."""
    speedup, target, rows = plugin.speedups.get(name), plugin.targets.get("cpu").probe(), []
    for recipe in case.recipes:
        feed = "loader" if name == "resident" else "resident"
        setup, samples = plain_setup(recipe, given.data, feed=feed)
        for options in list(speedup.space(setup, target)) or [{}]:
            row: dict[str, Any] = {"recipe": recipe, "data": given.data, "options": dict(options)}
            try:
                changed = speedup(setup, target, options)
                before = Turns(setup, samples, 0)
                began = time.perf_counter()
                after = Turns(changed, samples, 0)
                after.take()
                row["begins_seconds"] = time.perf_counter() - began
                ratio = in_turns(before, after, 0, given.seconds, given.rounds)
                row |= {"batch": setup.batch, "ratio": ratio.to_json()}
            except (HastenError, RuntimeError) as error:
                row["failed"] = str(error).partition("\n")[0]
            rows.append(row)
    return rows


def algorithm(name: str, case: Case, given: argparse.Namespace) -> list[dict[str, Any]]:
    """One row per recipe: the metric after so many steps, without and with it, seed by seed."""
    rows = []
    listed = name in recipes.named(case.recipes[0]).speedups
    for recipe in case.recipes:
        data = loaded(given.data, case.pixels)
        base = {other: options for other, options in case.base.items()}
        with_it = base if listed else {name: dict(case.options)}
        without = [name] if listed else []
        plain, changed = [], []
        for seed in range(given.seeds):
            plain.append(_learned(recipe, data, case, given, seed, base, without))
            changed.append(_learned(recipe, data, case, given, seed, with_it, []))
        values = [np.array([one["value"] for one in side]) for side in (plain, changed)]
        seconds = [float(np.median([one["seconds"] for one in side])) for side in (plain, changed)]
        rows.append(
            {
                "recipe": recipe,
                "data": data.name,
                "against": ", ".join(base) or "the recipe without it",
                "steps": given.steps,
                "metric": plain[0]["metric"],
                "without": values[0].tolist(),
                "with": values[1].tolist(),
                **difference(values[1] - values[0]),
                "times_as_long": seconds[1] / seconds[0],
            }
        )
    return rows


def _learned(
    recipe: str,
    data: Data,
    case: Case,
    given: argparse.Namespace,
    seed: int,
    speedups: Mapping[str, Any],
    without: Sequence[str],
) -> dict[str, Any]:
    """The metric on the validation part at the end of one run."""
    known = recipes.named(recipe).training
    batch = case.batch or known["batch"]
    train = len(divide(data, seed).train)
    run = hasten.train(
        recipe,
        data,
        epochs=given.steps / max(1, train // min(batch, train)),
        batch=batch,
        seed=seed,
        plan=False,
        device="cpu",
        speedups=dict(speedups) or None,
        without=list(without) or None,
    )
    metric = run.record["metric"]
    spent = run.record["seconds"] - run.record["planned_seconds"]
    return {"metric": metric, "value": run.epochs[-1][metric], "seconds": spent}


def difference(values: np.ndarray) -> dict[str, Any]:
    """The mean of paired differences with its 95 % interval, of Student's t."""
    mean, count = float(values.mean()), len(values)
    error = float(values.std(ddof=1)) / count**0.5 if count > 1 else float("inf")
    half = stats.student_quantile(0.95, count - 1) * error if count > 1 else error
    return {"gain": mean, "low": mean - half, "high": mean + half, "seeds": count}


# --- what was found -------------------------------------------------------------------------------


def recorded(folder: Path = FOLDER) -> dict[str, Any]:
    """All results by name."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}


def page(results: Mapping[str, Any]) -> str:
    """The table in Markdown."""
    lines = ["<!-- Made by `python -m bench.speedups --table`. -->", "# Speed-ups, measured", ""]
    systems = [f"| speed-up | recipe | factor per sample | interval |\n|{' --- |' * 4}"]
    others = [f"| speed-up | recipe | against | gain | interval | times as long |\n|{' --- |' * 6}"]
    for name, result in results.items():
        for row in result["rows"]:
            (systems if "gain" not in row else others).append(line(name, row))
    for title, part in (("The same is learned", systems), ("Something else is learned", others)):
        lines += [f"## {title}", "", *part, ""]
    machines = sorted(
        {f"{r['machine'].get('name')}, torch {r['machine']['torch']}" for r in results.values()}
    )
    lines.append(
        f"Measured on {'; '.join(machines) or 'nothing yet'}. Gains are differences of the"
    )
    lines.append("validation metric after equally many steps; the interval is 95 %.")
    return "\n".join(lines) + "\n"


def line(name: str, row: Mapping[str, Any]) -> str:
    """One row of the table."""
    if "gain" in row:
        interval = f"{row['low']:+.4f} to {row['high']:+.4f}, {row['seeds']} seeds"
        cells = [name, f"{row['recipe']}, {row['data']}", row["against"], f"{row['gain']:+.4f}"]
        return "| " + " | ".join([*cells, interval, f"{row['times_as_long']:.2f}"]) + " |"
    shown = ", ".join(f"{key}={value:g}" for key, value in row["options"].items())
    cells = [f"{name}({shown})" if shown else name, f"{row['recipe']}, {row['data']}"]
    if "failed" in row:
        return "| " + " | ".join([*cells, "", row["failed"].replace("|", " ")]) + " |"
    ratio = row["ratio"]
    return (
        "| "
        + " | ".join(
            [*cells, f"{ratio['value']:.2f}", f"{ratio['low']:.2f} to {ratio['high']:.2f}"]
        )
        + " |"
    )


def measured(name: str, given: argparse.Namespace) -> dict[str, Any]:
    """Everything about one speed-up."""
    speedup, case = plugin.speedups.get(name), CASES.get(name, Case())
    timed = speedup.kind == "system" or speedup.tried
    rows = (system if timed else algorithm)(name, case, given)
    return {"name": name, "kind": speedup.kind, "machine": machine(), "rows": rows}


def asked() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", default="", help="names, with commas")
    parser.add_argument("--again", action="store_true", help="also what has a result")
    parser.add_argument("--table", action="store_true", help="only write the table")
    parser.add_argument("--data", default="fashion-mnist")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of one pair of setups")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--out", type=Path, default=RESULTS)
    return parser.parse_args()


def main() -> None:
    """Measure what is asked for; each result is kept at once."""
    given = asked()
    folder = given.out / FOLDER.name
    folder.mkdir(parents=True, exist_ok=True)
    for name in given.only.split(",") if given.only else plugin.speedups.names():
        place = folder / f"{name}.json"
        if given.table or (place.exists() and not given.again):
            continue
        print(f"measuring {name}", flush=True)
        with machine_lock(print):
            result = measured(name, given)
        place.write_text(json.dumps(result, indent=1) + "\n")
    results = recorded(folder)
    (given.out / WHOLE.name).write_text(json.dumps(results, indent=1) + "\n")
    (given.out / PAGE.name).write_text(page(results))
    print(f"wrote {given.out / PAGE.name}")


if __name__ == "__main__":
    main()
