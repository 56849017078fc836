"""Videos, near copies and fewer samples: from the command line to the run's folder and on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch", reason="needs torch")

import clips  # noqa: E402
from hasten import data as sources  # noqa: E402
from roads import Said  # noqa: E402

Command = Callable[..., Said]
SHORT = ("--epochs", 2, "--batch", 8, "--no-plan")


def record(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "run.json").read_text())
    return found


def test_videos_from_a_folder(hasten: Command, workplace: Path) -> None:
    pytest.importorskip("av", reason="needs av: pip install 'hasten[video]'")
    clips.folder(workplace / "films", each=16, count=4)
    said = hasten("train", "--data", "videos:films?frames=3&size=16", "-o", "run", *SHORT)
    assert said.code == 0, said.err
    found = record(workplace / "run")
    assert found["recipe"]["name"] == "video"
    assert found["inputs"] == {"clips": [3, 3, 16, 16]}
    assert found["classes"] == ["green", "red"]
    assert found["test"]["n"] == 4
    scale = found["normalisation"]["clips"]
    assert scale["axis"] == 2
    assert len(scale["mean"]) == 3
    again = sources.load("run")
    assert again.inputs["clips"].shape == (32, 3, 3, 16, 16)
    assert len(again.splits["test"]) == 4


@pytest.fixture
def pictures(workplace: Path) -> Path:
    """60 pictures with official parts; 3 of the test part are recompressed in the training part,
    and one more stands there unchanged."""
    rng = np.random.default_rng(0)
    made = []
    for _ in range(60):
        coarse = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
        made.append(np.asarray(coarse.resize((32, 32), Image.Resampling.BICUBIC)))
    x = np.stack(made)
    x[:3] = np.clip(x[50:53].astype(int) + rng.integers(-3, 4, x[:3].shape), 0, 255)
    x[3] = x[53]
    path = workplace / "pictures.npz"
    parts = {"train": np.arange(40), "validation": np.arange(40, 50), "test": np.arange(50, 60)}
    np.savez(path, x=x.transpose(0, 3, 1, 2), y=np.arange(60) % 2, **parts)
    return path


def test_near_copies_are_told_and_left_out(
    pictures: Path, hasten: Command, workplace: Path
) -> None:
    said = hasten("train", "cnn", "-d", pictures.name, "-o", "a", "--near-copies", *SHORT)
    assert said.code == 0, said.err
    out = " ".join(said.out.split())
    assert "1 training sample is an exact copy of validation or test samples: in use" in out
    assert "3 training samples are near copies of validation or test samples: in use" in out
    parts = record(workplace / "a")["data"]["parts"]
    assert (parts["train"], parts["copies"], parts["near_copies"]) == (40, 1, 3)
    assert parts["near_examples"] == [[0, 50], [1, 51], [2, 52]]
    asked = ("--near-copies", "--remove-copies", *SHORT)
    said = hasten("train", "cnn", "-d", pictures.name, "-o", "b", *asked)
    assert said.code == 0, said.err
    assert "near copies of validation or test samples: left out" in " ".join(said.out.split())
    assert record(workplace / "b")["data"]["parts"]["train"] == 36
    assert sources.load("b").splits["train"].tolist() == list(range(4, 40))
    said = hasten("train", "cnn", "-d", pictures.name, "-o", "c", "--remove-copies", *SHORT)
    assert record(workplace / "c")["data"]["parts"]["near_copies"] is None
    assert record(workplace / "c")["data"]["parts"]["train"] == 39


def test_fewer_samples(hasten: Command, workplace: Path) -> None:
    asked = ("--keep", 0.3, "--epochs", 1, "--batch", 32, "--seed", 3)
    said = hasten("train", "mlp", "--data", "digits", "-o", "run", *asked)
    assert said.code == 0, said.err
    found = record(workplace / "run")
    reduction, parts = found["data"]["reduction"], found["data"]["parts"]
    assert parts["train"] == reduction["kept"]
    assert reduction["kept"] == pytest.approx(0.3 * reduction["of"], rel=0.02)
    assert reduction["pays_after_epochs"] > 0
    assert "It breaks even after" in " ".join(said.out.split())
    assert sources.load("run").splits["train"].tolist() == _kept(0.3, 3)
    counts = np.bincount(sources.load("digits").labels[_kept(0.3, 3)])
    assert counts.max() - counts.min() <= 3


def _kept(share: float, seed: int) -> list[int]:
    from hasten.training.parts import divide

    kept: list[int] = divide(sources.load("digits"), seed, keep=share).train.tolist()
    return kept


def test_a_resumed_run_keeps_the_same_samples_and_says_the_same(
    hasten: Command, workplace: Path
) -> None:
    asked = ("--keep", 0.5, "--epochs", 1, "--batch", 32, "--no-plan")
    hasten("train", "--data", "digits", "-o", "run", *asked)
    before = record(workplace / "run")
    said = hasten("train", "--resume", "-o", "run")
    assert said.code == 0, said.err
    after = record(workplace / "run")
    assert after["data"] == before["data"]
    assert "Steps were not timed" in " ".join(said.out.split())
    said = hasten("train", "--resume", "-o", "run", "--keep", 0.4)
    assert said.code == 2
    assert "keep was 0.5, is 0.4" in said.told
