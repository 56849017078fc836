"""What a user may ask of a search, and how durations and shapes are read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hasten.errors import BadInput, NotInstalled, UnknownName
from hasten.search.settings import Settings, seconds, shape
from hasten.types import TensorSpec, Workload


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90s", 90.0),
        ("90", 90.0),
        ("1.5s", 1.5),
        ("5m", 300.0),
        ("1h", 3600.0),
        ("1h30m", 5400.0),
        ("1h2m3s", 3723.0),
        (" 5m ", 300.0),
        (12, 12.0),
        (0.5, 0.5),
    ],
)
def test_durations(text: str | float, expected: float) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize(
    "text", ["", " ", "0", "0s", "0m", "-5", "-5m", "5x", "m", "1m1h", "5 m", "1e3", "inf", "nan"]
)
def test_durations_that_are_none(text: str) -> None:
    with pytest.raises(BadInput, match="5m"):
        seconds(text)


@pytest.mark.parametrize("value", [0, -1, float("inf"), float("nan")])
def test_numbers_that_are_no_duration(value: float) -> None:
    with pytest.raises(BadInput, match="above 0"):
        seconds(value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x=batch,3,224,224", TensorSpec("x", "float32", ("batch", 3, 224, 224))),
        ("ids=batch,128:int64", TensorSpec("ids", "int64", ("batch", 128))),
        ("batch,4", TensorSpec("", "float32", ("batch", 4))),
        ("net.x=1,steps", TensorSpec("net.x", "float32", (1, "steps"))),
    ],
)
def test_shapes(text: str, expected: TensorSpec) -> None:
    assert shape(text) == expected


@pytest.mark.parametrize("text", ["", "x=", "x=1, 2", "x=(1,2)", "x=1,2:", "a*b"])
def test_shapes_that_are_none(text: str) -> None:
    with pytest.raises(BadInput, match="name=batch,3,224,224"):
        shape(text)


def test_the_defaults_are_valid() -> None:
    settings = Settings()
    assert settings.workload({"steps": 7, "height": 3}) == Workload(
        1, (("height", 3), ("steps", 7)), None, "latency", "cpu"
    )


@pytest.mark.parametrize(
    ("given", "kind", "expected"),
    [
        ({"objective": "speed"}, UnknownName, "objective 'speed'.*latency"),
        ({"target": "tpuu"}, UnknownName, "target 'tpuu'"),
        ({"accept": ("everything",)}, UnknownName, "unproven"),
        ({"engines": ("onnxruntim",)}, UnknownName, "Did you mean 'onnxruntime'"),
        ({"batch": 0}, BadInput, "--batch 0"),
        ({"batch": True}, BadInput, "--batch True"),
        ({"batch": 1.5}, BadInput, "--batch 1.5"),
        ({"threads": 0}, BadInput, "--threads 0"),
        ({"sizes": {"height": 0}}, BadInput, "size height 0"),
        ({"sizes": {"batch": 4}}, BadInput, "Use --batch"),
        ({"max_drop": 1.0}, BadInput, "--max-drop 1.0"),
        ({"max_drop": -0.01}, BadInput, "--max-drop -0.01"),
        ({"max_drop": float("nan")}, BadInput, "--max-drop nan"),
        ({"floor": float("inf")}, BadInput, "--floor inf"),
        ({"max_drop": 0.1, "floor": 0.9}, BadInput, "together"),
        ({"memory_bytes": 0}, BadInput, "--memory 0"),
        ({"seed": -1}, BadInput, "--seed -1"),
    ],
)
def test_what_is_refused(given: dict[str, Any], kind: type[Exception], expected: str) -> None:
    with pytest.raises(kind, match=expected):
        Settings(**given)


def test_an_engine_that_is_not_installed(outside: None) -> None:
    with pytest.raises(NotInstalled, match=r"'absent': hasten-nothing is not installed\. Install"):
        Settings(engines=("absent",))


def test_what_is_accepted(tmp_path: Path, outside: None) -> None:
    settings = Settings(
        max_drop=0.0,
        batch=16,
        threads=3,
        accept=("unproven",),
        engines=("swift",),
        target="testbed",
        objective="throughput",
        out=tmp_path / "x.hasten",
    )
    assert settings.workload({}) == Workload(16, (), 3, "throughput", "testbed")
