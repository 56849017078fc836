"""Data larger than memory: they are read from the disk piece by piece, all the way."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs torch")

from hasten.training.samples import Samples

SMALL, LARGE = 4_000, 130_000
HELD = 600
"""Samples of the validation and of the test part: more than one batch of answers."""
SAMPLE_BYTES = 3 * 32 * 32
MIB = 2**20
MOST_MIB = 150
TRAIN = """
import json, sys, threading, time
import hasten

def anonymous():
    with open("/proc/self/status") as status:
        line = next(line for line in status if line.startswith("RssAnon"))
    return int(line.split()[1]) * 1024

highest, running = 0, True
def watch():
    global highest
    while running:
        highest = max(highest, anonymous())
        time.sleep(0.002)

threading.Thread(target=watch, daemon=True).start()
options = dict(epochs=0.02, batch=64, plan=False, threads=1, near_copies=True, clean=True, keep=0.5)
found = []
for path in sys.argv[1:]:
    highest = 0
    run = hasten.train("cnn", path, **options)
    found.append({"highest": highest, "n": sum(map(len, run.data.splits.values())),
                  "mean": run.data.normalisation["x"].mean})
print(json.dumps(found))
"""


def stored(path: Path, count: int) -> Path:
    """Random pictures in an ``.npz`` file, written from a map, block by block."""
    rng = np.random.default_rng(0)
    plain = path.with_suffix(".npy")
    x = np.lib.format.open_memmap(plain, "w+", np.uint8, (count, 3, 32, 32))
    for start in range(0, count, 5_000):
        block = x[start : start + 5_000]
        block[:] = rng.integers(0, 256, block.shape, dtype=np.uint8)
    order = np.arange(count)
    parts = {"validation": order[:HELD], "test": order[HELD : 2 * HELD], "train": order[2 * HELD :]}
    np.savez(path, x=x, y=order % 10, **parts)
    plain.unlink()
    return path


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
def test_a_set_larger_than_the_limit_trains_within_it(tmp_path: Path) -> None:
    small = stored(tmp_path / "small.npz", SMALL)
    large = stored(tmp_path / "large.npz", LARGE)
    assert large.stat().st_size > 2.5 * MOST_MIB * MIB
    done = subprocess.run(
        [sys.executable, "-c", TRAIN, small, small, large],
        env={**os.environ, "HASTEN_CACHE": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    _, before, after = json.loads(done.stdout)
    assert after["n"] == pytest.approx(LARGE / 2, rel=0.01), "half of the training part is kept"
    assert after["mean"] == pytest.approx([0.5] * 3, abs=0.01)
    grown = (after["highest"] - before["highest"]) / MIB
    assert grown < MOST_MIB, f"{grown:.0f} MiB more than for {SMALL} samples"


def test_a_batch_of_what_is_not_aligned_is_all_that_is_read(tmp_path: Path) -> None:
    """Numbers in an ``.npz`` begin at any byte; NumPy's ``take`` copies the whole of such a map."""
    count = 50_000
    path = tmp_path / "numbers.bin"
    np.zeros(3 + 4 * 100 * count, np.uint8).tofile(path)
    array = np.memmap(path, np.float32, "r", offset=3, shape=(count, 100))
    assert not array.flags.aligned
    samples = Samples((array,), (None,), np.zeros(count, np.int64), np.arange(count))
    tracemalloc.start()
    samples.batch(np.arange(64))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < array.nbytes / 10
