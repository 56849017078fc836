"""Puts this folder on the import path, for the models that several tests share; and the fixtures
of tests that run whole searches."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import roads
from roads import Said


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder; the store and temporary files lie in folders beside it."""
    folder = tmp_path / "work"
    for place in (folder, tmp_path / "tmp", tmp_path / "cache"):
        place.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HASTEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    return folder


@pytest.fixture
def outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """The package of plug-ins in ``tests/outside``, for this process and its children."""
    monkeypatch.syspath_prepend(str(roads.OUTSIDE))
    monkeypatch.setenv("PYTHONPATH", str(roads.OUTSIDE))


@pytest.fixture
def hasten(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., Said]:
    """The command line in this process: ``hasten("optimize", "model.onnx", ...)``."""
    from hasten.cli import main

    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "100")

    def call(*arguments: Any) -> Said:
        capfd.readouterr()
        monkeypatch.setattr(sys, "argv", ["hasten", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        return Said(int(ended.value.code or 0), *capfd.readouterr())

    return call


@pytest.fixture(scope="session")
def shared_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real bundle: a tiny ONNX model after a whole, short search. Copy it to change it."""
    pytest.importorskip("onnxruntime", reason="needs onnxruntime")
    import hasten
    from hasten.targets.cpu import Cpu

    folder = tmp_path_factory.mktemp("shared")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("HASTEN_CACHE", str(folder / "cache"))
        patched.setattr(Cpu, "measure", lambda self: {})  # the roofline has tests of its own
        hasten.optimize(
            roads.onnx_model(folder / "tiny.onnx"),
            out=folder / "tiny.hasten",
            engines=["onnxruntime"],
            budget="3s",
            zip=True,
            command="hasten optimize tiny.onnx",
        )
    return folder / "tiny.hasten"
