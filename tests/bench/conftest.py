"""What the tests of the races share: a cache of their own, and a made-up result."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder."""
    monkeypatch.setenv("HASTEN_CACHE", str(tmp_path))
    return tmp_path


@pytest.fixture
def one_thread() -> Iterator[None]:
    """PyTorch on one thread: threads that wait for each other are slow on a busy machine."""
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def result() -> Callable[..., dict[str, Any]]:
    """A result as ``bench.race`` writes one, with a ratio of its own."""

    def make(race: str = "lstm-b1", ratio: float = 1.2, verdict: str = "win") -> dict[str, Any]:
        row, _, batch = race.rpartition("-b")
        interval = {"value": ratio, "low": ratio - 0.01, "high": ratio + 0.01, "rounds": 15}
        return {
            "race": race,
            "title": row.upper(),
            "batch": int(batch),
            "weights": "random weights",
            "limit": "SQNR >= 30 dB",
            "verdict": verdict,
            "plan": "int8_static + openvino",
            "selection": {"rounds": 15, "best": "openvino_f32"},
            "comparison": {
                "rounds": 15,
                "disturbed": 2,
                "ratio": interval,
                "versus_reference": {**interval, "value": 5.0},
            },
            "contenders": {
                "hasten_bundle": {
                    "title": "Hasten",
                    "status": "raced",
                    "seconds_per_call": 0.00123456,
                    "quality": {"sqnr": 41.5},
                },
                "openvino_f32": {
                    "title": "OpenVINO f32",
                    "status": "raced",
                    "seconds_per_call": 0.002,
                },
                "nncf_int8": {"title": "NNCF int8", "status": "out", "reason": "21.4 dB"},
                "pruna": {"title": "Pruna", "status": "not applicable", "reason": "no torchvision"},
            },
            "machine": {"target": {"name": "Test CPU", "cores": 2}},
        }

    return make
