"""Data that cannot be trained on: one line and exit code 2, or skipped and counted."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch", reason="needs torch")

import hasten  # noqa: E402
from hasten.errors import BadData, BadModel  # noqa: E402
from roads import Said  # noqa: E402

Command = Callable[..., Said]
RNG = np.random.default_rng(0)
VECTORS = RNG.normal(size=(60, 4)).astype(np.float32)


def with_nan() -> np.ndarray:
    x = VECTORS.copy()
    x[41, 2] = np.nan
    return x


ARRAYS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "no labels": ({}, ("it has no labels", "'y'")),
    "too few labels": ({"y": np.zeros(59, np.int64)}, ("differ in length", "'y' has 59")),
    "a negative label": ({"y": np.arange(60) % 3 - 1}, ("label -1 of sample 0 is negative",)),
    "a label without a name": (
        {"y": np.arange(60) % 3, "classes": np.array(["a", "b"])},
        ("label 2 has no name among the 2 classes",),
    ),
    "labels far beyond the samples": (
        {"y": np.where(np.arange(60) == 7, 10**9, 1)},
        ("label 1000000000 would need 1,000,000,001 classes", "from 0 without gaps"),
    ),
    "one class": ({"y": np.zeros(60, np.int64)}, ("its training part holds one class only",)),
    "labels that are text": ({"y": np.array(["a", "b"] * 30)}, ("'y'", "not numbers")),
    "a target that is no number": (
        {"y": np.where(np.arange(60) == 9, np.nan, 1.0)},
        ("'y'", "value nan at index (9,)"),
    ),
    "an input that is no number": (
        {"x": with_nan(), "y": np.arange(60) % 2},
        ("'x'", "value nan at index (41, 2)", "Remove or mend"),
    ),
    "an infinite input": (
        {"x": np.where(np.isnan(with_nan()), np.inf, VECTORS), "y": np.arange(60) % 2},
        ("value inf at index (41, 2)",),
    ),
    "too few samples": ({"x": VECTORS[:2], "y": np.arange(2) % 2}, ("leave none for the",)),
    "no samples": ({"x": VECTORS[:0], "y": np.arange(0)}, ("it holds no samples",)),
    "parts that share a sample": (
        {"y": np.arange(60) % 2, "train": np.arange(40), "test": np.arange(39, 60)},
        ("names a sample twice, or one that another split has",),
    ),
    "only copies to train on": (
        {
            "x": np.repeat(VECTORS[:2], 30, axis=0),
            "y": np.arange(60) % 2,
            "options": ("--remove-copies",),
        },
        ("every training sample is a copy", "Leave --remove-copies away"),
    ),
    "near copies of vectors": (
        {"y": np.arange(60) % 2, "options": ("--near-copies",)},
        ("samples of shape [4] are no pictures", "Leave --near-copies away"),
    ),
    "a share above 1": (
        {"y": np.arange(60) % 2, "options": ("--keep", "1.5")},
        ("--keep 1.5", "above 0 and below 1"),
    ),
}


@pytest.mark.parametrize("case", ARRAYS)
def test_arrays_that_cannot_be_trained_on(case: str, hasten: Command, workplace: Path) -> None:
    given, expected = ARRAYS[case]
    given = {"x": VECTORS, **given}
    options = given.pop("options", ())
    np.savez(workplace / "made.npz", **given)
    said = hasten("train", "mlp", "--data", "made.npz", "-o", "run", *options)
    assert said.code == 2, said.err
    for text in expected:
        assert text in said.told
    assert not (workplace / "run" / "run.json").exists()


def arrays(**changed: Any) -> dict[str, np.ndarray]:
    return {"x": VECTORS, "y": np.arange(60) % 3, **changed}


@pytest.mark.parametrize(
    ("module", "changed", "kind", "text"),
    [
        (torch.nn.Linear(4, 2), {}, BadData, "label 2 is beyond its 2 outputs"),
        (torch.nn.Linear(5, 3), {}, BadModel, r"does not take samples of shape \[4\]"),
        (torch.nn.LSTM(4, 3), {}, BadModel, "it gives a tuple, not one tensor"),
        (
            torch.nn.Linear(4, 1),
            {"y": RNG.normal(size=(60, 2))},
            BadData,
            r"targets of shape \[2\], and the model gives \[1\]",
        ),
        (
            torch.nn.Linear(4, 3),
            {"y": RNG.integers(0, 2, (60, 4))},
            BadData,
            r"targets of shape \[4\], and the model gives \[3\]",
        ),
    ],
)
def test_models_that_do_not_fit_the_data(
    module: torch.nn.Module, changed: dict[str, Any], kind: type[Exception], text: str
) -> None:
    with pytest.raises(kind, match=text):
        hasten.train(module, arrays(**changed), epochs=1, plan=False)


def test_a_class_with_one_sample_only_is_trained_on() -> None:
    labels = np.array([0, 1] * 29 + [0, 2])
    run = hasten.train("mlp", arrays(y=labels), epochs=1, plan=False)
    assert 59 in run.data.splits["train"]
    assert run.record["outputs"] == 3


# --- pictures -------------------------------------------------------------------------------------


def picture(path: Path, size: tuple[int, int] = (24, 20), mode: str = "RGB") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    dark = 60 if path.parent.name == "dark" else 0
    pixels = RNG.integers(120 - dark, 220 - dark, (*size[::-1], 3), dtype=np.uint8)
    Image.fromarray(pixels).convert(mode).save(path)


@pytest.fixture
def photos(workplace: Path) -> Path:
    """Two classes, of mixed sizes and modes."""
    modes = ("RGB", "L", "RGBA", "P", "CMYK")
    for name in ("dark", "light"):
        for number in range(20):
            mode = modes[number % len(modes)]
            ending = "jpg" if mode == "CMYK" else "png"
            picture(workplace / "photos" / name / f"{number}.{ending}", (20 + number, 30), mode)
    return workplace / "photos"


def test_pictures_of_mixed_sizes_and_modes(photos: Path, hasten: Command, workplace: Path) -> None:
    said = hasten(
        "train", "--data", "images:photos", "-o", "run", "--epochs", 2, "--batch", 8, "--no-plan"
    )
    assert said.code == 0, said.err
    record = json.loads((workplace / "run" / "run.json").read_text())
    assert record["inputs"] == {"images": [3, 29, 29]}
    assert record["data"]["notes"] == [], "what the pictures' own normalisation was is not said"


def test_damaged_pictures_are_skipped_and_counted(
    photos: Path, hasten: Command, workplace: Path
) -> None:
    whole = (photos / "dark" / "0.png").read_bytes()
    (photos / "dark" / "0.png").write_bytes(whole[: len(whole) // 2])
    (photos / "light" / "3.png").write_bytes(b"")
    asked = ("--epochs", 1, "--batch", 8, "--no-plan")
    said = hasten("train", "--data", "images:photos?size=16", "-o", "run", *asked)
    assert said.code == 0, said.err
    assert "2 unreadable images were skipped (dark/0.png" in " ".join(said.out.split())
    parts = json.loads((workplace / "run" / "run.json").read_text())["data"]["parts"]
    assert parts["train"] + parts["validation"] + parts["test"] == 38
    (photos / "light" / "7.png").write_bytes(b"")
    said = hasten("train", "--data", "images:photos?size=16", "-o", "other", *asked)
    assert said.code == 2
    assert "above the limit of 5.0%" in said.told


def test_one_class_folder_only(photos: Path, hasten: Command) -> None:
    (photos / "dark").rename(photos.parent / "dark")
    said = hasten("train", "--data", "images:photos", "-o", "run")
    assert said.code == 2
    assert "there is only one, 'light'" in said.told


def test_a_folder_alone_says_what_to_write(photos: Path, hasten: Command) -> None:
    said = hasten("train", "--data", "photos", "-o", "run")
    assert said.code == 2
    assert "Write images:photos if it holds images, videos:photos if it holds videos." in said.told
