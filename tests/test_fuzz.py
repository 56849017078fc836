"""Damaged files end in a named error, soon and without much memory: see ``fuzzing.py``.

``make fuzz`` reads 100,000 for every reader, the tests fewer.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs torch")
pytest.importorskip("onnx", reason="needs onnx")

import foreign
import fuzzing
from hasten.errors import HastenError
from hasten.plugin import Source
from hasten.search.store import Store
from hasten.search.workshop import Workshop

COUNT = int(os.environ.get("HASTEN_FUZZ", "2000"))


@pytest.mark.skipif(sys.platform != "linux", reason="needs limits on memory")
@pytest.mark.parametrize("reader", fuzzing.READERS)
def test_damaged_files_end_in_a_named_error(reader: str) -> None:
    script = Path(fuzzing.__file__)
    found = subprocess.run(
        [sys.executable, str(script), reader, str(COUNT)], capture_output=True, text=True
    )
    assert found.returncode == 0, found.stderr[-4000:]
    told = json.loads(found.stdout)
    assert told["refused"] > 0.1 * COUNT  # files are damaged enough to matter
    assert told["read"] > 0  # and not all beyond recognition


def h5(folder: Path) -> Path:
    pytest.importorskip("keras", reason="needs keras")
    return foreign.keras_files() / "recurrent.h5"


def tflite(folder: Path) -> Path:
    pytest.importorskip("tensorflow", reason="needs tensorflow")
    foreign.tensorflow(folder)
    return folder / "net.tflite"


def frozen(folder: Path) -> Path:
    pytest.importorskip("tensorflow", reason="needs tensorflow")
    foreign.tensorflow(folder)
    return folder / "frozen.pb"


@pytest.mark.slow
@pytest.mark.parametrize("made", [h5, tflite, frozen])
def test_where_a_library_reads_its_crash_is_our_error(
    made: Callable[[Path], Path], tmp_path: Path
) -> None:
    """The library is in a process of its own, with limits on time and memory."""
    whole = made(tmp_path)
    workshop = Workshop(Store(tmp_path / "store"), {}, build_seconds=120.0)
    refused: list[str] = []
    for seed in range(COUNT // 100):
        damaged = tmp_path / f"damaged{whole.suffix}"
        damaged.write_bytes(fuzzing.damaged_bytes(whole.read_bytes(), random.Random(seed)))
        try:
            workshop.ingest(Source(str(damaged)), {})
        except HastenError as error:
            refused.append(str(error))
    workshop.close()
    assert refused
    assert not [error for error in refused if "\n" in error]
