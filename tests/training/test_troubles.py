"""What goes wrong while a run is under way: it says so, and the folder stays usable."""

from __future__ import annotations

import errno
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch")

from safetensors import SafetensorError  # noqa: E402

import roads  # noqa: E402
from hasten.search.store import is_full  # noqa: E402

STRICT = ("--deterministic", "--batch", "32")


def halves(folder: Path) -> Path:
    """Vectors of two classes, and a third of the labels by lot: no model gets all of them."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((400, 3)).astype(np.float32)
    y = np.where(rng.random(400) < 1 / 3, rng.integers(0, 2, 400), x[:, 0] > 0)
    np.savez(folder / "halves.npz", x=x, y=y.astype(np.int64))
    return folder / "halves.npz"


def told(folder: Path, *arguments: str | Path) -> roads.Said:
    return roads.start(["train", *arguments], folder).end()


@contextmanager
def room(size: int) -> Iterator[None]:
    """No file may grow beyond so many bytes: what a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_target_that_is_never_reached(tmp_path: Path) -> None:
    """It stops where it would have stopped, says how far it came, and keeps the best."""
    asked = ("mlp", "--data", halves(tmp_path), *STRICT, "--epochs", "3", "--target", "0.999")
    said = told(tmp_path, *asked, "-o", "run")
    assert said.code == 0, said.err
    assert "The target 99.90 % was not reached" in said.out
    assert (tmp_path / "run" / "model.safetensors").exists()


def test_a_loss_that_is_no_number(tmp_path: Path) -> None:
    said = told(tmp_path, "mlp", "--data", halves(tmp_path), *STRICT, "--lr", "1e38", "-o", "run")
    assert said.code == 2, said.err
    assert "The loss became" in said.told
    assert "Lower the learning rate" in said.told
    again = told(tmp_path, "mlp", "--data", "halves.npz", *STRICT, "--epochs", "1", "-o", "other")
    assert again.code == 0, again.err


@pytest.mark.parametrize("size", [600, 20_000], ids=["at the beginning", "at a checkpoint"])
def test_a_disk_that_is_full(tmp_path: Path, size: int) -> None:
    asked = ("mlp", "--data", halves(tmp_path), *STRICT, "--epochs", "2", "-o", "run")
    with room(size):
        said = told(tmp_path, *asked)
    assert said.code == 2, said.err
    assert "the disk is full" in said.told
    assert not list((tmp_path / "run").rglob("model.safetensors"))
    resumed = told(tmp_path, *asked, "--resume")
    assert resumed.code == 0, resumed.err


def test_a_full_disk_that_a_library_speaks_of() -> None:
    """The writer of safetensors is in Rust: its errors are no ``OSError``."""
    told = f"Error while serializing: I/O error: No space left (os error {errno.ENOSPC})"
    assert is_full(SafetensorError(told))
    assert not is_full(SafetensorError("Error while serializing: I/O error (os error 13)"))


TWICE = """
import signal
from hasten.cli import _training, main
from hasten.training.checkpoints import Checkpoints

def step(self, done, total, loss, per_second):
    if done == 5:
        signal.raise_signal(signal.SIGTERM)

def save(self, *rest):
    print("saving", flush=True)
    signal.raise_signal(signal.SIGTERM)  # again, since it does not end

_training.Live.step, Checkpoints.save = step, save
main()
"""


def test_told_twice_it_ends_at_once(tmp_path: Path) -> None:
    asked = ["train", "mlp", "--data", str(halves(tmp_path)), *STRICT, "-o", "run"]
    ended = subprocess.run(
        [sys.executable, "-c", TWICE, *asked], cwd=tmp_path, capture_output=True, text=True
    )
    assert "saving" in ended.stdout
    assert ended.returncode == -signal.SIGTERM
    resumed = told(tmp_path, "--resume", "-o", "run")
    assert resumed.code == 0, resumed.err
