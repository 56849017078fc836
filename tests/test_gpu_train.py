"""The GPU training bench without a GPU: its arithmetic, and its dry run."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

pytestmark = pytest.mark.skipif(
    not importlib.util.find_spec("torch"), reason="torch is not installed"
)
FILE = Path(__file__).parents[1] / "bench" / "gpu_train.py"


@pytest.fixture(scope="module")
def bench() -> Iterator[ModuleType]:
    spec = importlib.util.spec_from_file_location("gpu_train", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["gpu_train"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["gpu_train"]


def test_losses_apart_from_fp32_are_found(bench: ModuleType) -> None:
    plain = bench.Way("loader", lambda: None, facts={"losses": [2.0, 1.9, 1.8]})
    near = bench.Way("bf16", lambda: None, facts={"losses": [2.01, 1.91, 1.82]})
    far = bench.Way("captured", lambda: None, facts={"losses": [2.0, 2.2, 2.4]})
    lost = bench.Way("compile", lambda: None, facts={"losses": [2.0, np.nan, np.nan]})
    assert bench.check(near, plain) == ""
    assert "15.8 % apart" in bench.check(far, plain)
    assert "inf % apart" in bench.check(lost, plain)


def test_the_pictures_can_be_learned_and_are_the_same_each_time(bench: ModuleType) -> None:
    x, y = bench.pictures(64, 2)
    again, _ = bench.pictures(64, 2)
    assert x.shape == (64, 3, 32, 32)
    assert np.array_equal(x, again)
    assert len(np.unique(y)) == 10


def test_dry_run(tmp_path: Path) -> None:
    words = ["--dry-run-cpu", "--ways", "loader,bf16,captured,hasten", "--batches", "64"]
    words += ["--rounds", "2", "--out", str(tmp_path / "found.json")]
    said = subprocess.run(
        [sys.executable, str(FILE), *words], capture_output=True, text=True, check=False
    )
    assert said.returncode == 0, said.stdout + said.stderr
    found = json.loads((tmp_path / "found.json").read_text())["batches"]["64"]
    assert set(found) == {"loader", "bf16", "captured", "hasten"}
    assert found["hasten"]["plan"]
    assert all(facts["cold_seconds"] >= facts["warm_seconds"] > 0 for facts in found.values())
