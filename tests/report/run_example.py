"""Records of training runs as their folders hold them, made up."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np

Run = tuple[dict[str, Any], list[dict[str, Any]], dict[str, Any]]


def png(size: int = 8) -> str:
    from PIL import Image

    pixels = np.random.default_rng(size).integers(0, 255, (size, size), np.uint8)
    kept = io.BytesIO()
    Image.fromarray(pixels).save(kept, "PNG")
    return base64.b64encode(kept.getvalue()).decode()


def epochs(metric: str = "accuracy", count: int = 5) -> list[dict[str, Any]]:
    return [
        {
            "epoch": n,
            "step": 40 * n,
            "loss": 2.0 / n,
            metric: 1 - 0.5 / n,
            "best": 1 - 0.5 / n,
            "learning_rate": 0.1 / n,
            "samples_per_second": 4000.0 + n,
            "seconds": 3.0 * n,
        }
        for n in range(1, count + 1)
    ]


def record(task: str, metric: str, **changed: Any) -> dict[str, Any]:
    return {
        "hasten": "0.1.0",
        "torch": "2.13.0",
        "created": "2026-11-20T10:00:00+00:00",
        "command": "hasten train cnn --data photos -o run",
        "machine": {"name": "A processor", "cores": 2, "threads": 2, "versions": {"torch": "2.13"}},
        "asked": {"recipe": "cnn", "data": "photos", "target": 0.85},
        "recipe": {
            "name": "cnn",
            "takes": "pictures",
            "network": "hasten.nets.cnn:cnn",
            "options": {"widths": [8, 16]},
            "training": {"epochs": 5, "batch": 64, "learning_rate": 0.1},
            "speedups": {"label_smoothing": {"share": 0.1}},
        },
        "settings": {"seed": 0, "batch": None, "deterministic": False},
        "loss": "cross-entropy",
        "data": {
            "name": "photos",
            "task": task,
            "parts": {
                "train": 2560,
                "validation": 300,
                "test": 400,
                "copies": 7,
                "cleaned": False,
            },
        },
        "classes": [],
        "inputs": {"images": [1, 8, 8]},
        "outputs": 10,
        "normalisation": {"images": {"scale": 1 / 255, "mean": [0.286], "std": [0.353], "axis": 1}},
        "plan": [
            {
                "use": {"name": "resident", "options": {}},
                "kind": "system",
                "ratio": {
                    "value": 1.72,
                    "low": 1.61,
                    "high": 1.83,
                    "rounds": 24,
                    "confidence": 0.95,
                },
                "kept": True,
                "why": "saves about 5 s of 12 s",
                "seconds": 1.4,
            },
            {
                "use": {"name": "inductor", "options": {}},
                "kind": "system",
                "ratio": None,
                "kept": False,
                "why": "it takes about 30 s, the whole run 7 s",
                "seconds": 0.0,
            },
        ],
        "epochs": 5,
        "planned_seconds": 2.5,
        "metric": metric,
        "best": 0.9,
        "target": 0.85,
        "reached_seconds": 12.4,
        "test": {"value": 0.88, "n": 400},
        "steps": 200,
        "seconds": 16.2,
        "schedule": [0.1 * (1 - n / 100) for n in range(101)],
        "time_split": {
            "steps": 20,
            "batch": 64,
            "seconds": {"data": 0.001, "forward": 0.004, "backward": 0.009, "optimizer": 0.002},
        },
        **changed,
    }


def classified(classes: int = 10, wrong: float = 0.12, pictures: bool = True) -> Run:
    """``classes`` classes of 40 samples, some mistaken for the next one."""
    table = np.zeros((classes, classes), int)
    for n in range(classes):
        table[n, n] = round(40 * (1 - wrong))
        table[n, (n + 1) % classes] += 40 - table[n, n]
    mistakes = [
        {
            "sample": 100 + n,
            "true": [n % classes],
            "answered": [(n + 1) % classes],
            "share": 0.99 - 0.01 * n,
            "true_share": 0.005,
            **({"png": png(), "width": 8, "height": 8} if pictures else {}),
        }
        for n in range(6)
    ]
    names = [f"kind {n}" for n in range(classes)]
    return (
        record("classification", "accuracy", classes=names, confusion=table.tolist()),
        epochs(),
        {"mistakes": mistakes},
    )


def measured(outputs: int = 1) -> Run:
    """A regression."""
    rng = np.random.default_rng(0)
    true = rng.normal(3, 2, (200, outputs))
    answered = true + rng.normal(0, 0.2, true.shape)
    values = [{"mae": 0.1612, "rmse": 0.2034, "bias": -0.0123, "r2": 0.9871}] * outputs
    points = [
        [list(map(float, a)), list(map(float, b))] for a, b in zip(true, answered, strict=True)
    ]
    mistakes = [{"sample": n, "true": points[n][0], "answered": points[n][1]} for n in range(5)]
    made = record("regression", "mse", values=values, target=None, reached_seconds=None)
    made["inputs"], made["outputs"] = {"x": [6]}, outputs
    return made, epochs("mse"), {"mistakes": mistakes, "points": points}


def labelled() -> Run:
    """Several labels a sample; series that are kept as numbers."""
    names = ["walking", "talking", "neither <b>"]
    wave = [[float(np.sin(n / 5)) for n in range(60)], [float(np.cos(n / 9)) for n in range(60)]]
    mistakes = [{"sample": 9, "true": [0, 1], "answered": [], "share": 0.97, "series": wave}]
    table = [[80, 100, 90], [30, 60, 40], [0, 10, 0]]
    made = record("multilabel", "f1", classes=names, labels=table)
    return made, epochs("f1"), {"mistakes": mistakes}
