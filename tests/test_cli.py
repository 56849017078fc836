"""The command line: help, versions, documents on standard output, and how fast it is there."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hasten as package
import roads
from roads import Said

Command = Callable[..., Said]
VERBS = ("bench", "doctor", "inspect", "optimize", "report", "verify")
HEAVY = (
    "torch",
    "onnx",
    "onnxruntime",
    "openvino",
    "nncf",
    "jinja2",
    "PIL",
    "psutil",
    "tensorflow",
)


# --- help -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_names_every_verb(flag: str, hasten: Command) -> None:
    said = hasten(flag)
    assert said.code == 0
    assert said.err == ""
    for verb in VERBS:
        assert verb in said.out
    assert "Start with: hasten doctor" in said.out


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(verb: str, hasten: Command) -> None:
    said = hasten(verb, "--help")
    assert said.code == 0
    assert said.err == ""
    assert f"hasten {verb}" in said.out
    assert "Examples: " in said.out
    assert "--json" in said.out


def test_no_arguments_show_the_help(hasten: Command) -> None:
    said = hasten()
    assert said.code == 2
    assert "Usage: hasten" in said.out + said.err
    assert "Traceback" not in said.err


def test_the_version(hasten: Command) -> None:
    import importlib.metadata

    assert hasten("--version").out == f"hasten {importlib.metadata.version('hasten')}\n"


# --- public names ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", package.__all__)
def test_public_names(name: str) -> None:
    assert getattr(package, name) is getattr(package, name)
    assert name in dir(package)
    assert not isinstance(getattr(package, name), type(os))


def test_a_verb_is_the_function_whatever_was_imported_first() -> None:
    code = (
        "import hasten.verify, hasten.optimize, hasten.bench, hasten\n"
        "from hasten import optimize\n"
        "assert all(map(callable, (hasten.verify, hasten.optimize, hasten.bench, optimize)))\n"
        "from hasten import *\n"
        "assert callable(verify) and callable(load)\n"
        "try: hasten.nothing\n"
        "except AttributeError: pass\n"
        "else: raise SystemExit('nothing is something')"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


def test_a_verb_can_be_patched(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(package, "bench", len)
        assert package.bench is len
    assert package.bench is not len


# --- how fast it is there -------------------------------------------------------------------------


def _cpu_seconds(*command: str) -> float:
    """CPU time of a process and all it waited for: what a busy machine changes least."""
    before = os.times()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after = os.times()
    return (
        after.children_user + after.children_system - before.children_user - before.children_system
    )


def _fastest(commands: dict[str, tuple[str, ...]], tries: int) -> dict[str, float]:
    """The least CPU time of each, run in turns."""
    found = {name: float("inf") for name in commands}
    for _ in range(tries):
        for name, command in commands.items():
            found[name] = min(found[name], _cpu_seconds(*command))
    return found


def test_importing_costs_what_numpy_costs() -> None:
    commands = {m: (sys.executable, "-c", f"import {m}") for m in ("numpy", "hasten")}
    spent = _fastest(commands, tries=4)
    assert spent["hasten"] < spent["numpy"] + 0.05


def test_help_is_there_at_once() -> None:
    spent = _fastest({"help": (*roads.COMMAND, "--help")}, tries=3)
    assert spent["help"] < 0.4


@pytest.mark.parametrize(
    "code",
    [
        "import hasten",
        "import hasten; hasten.optimize, hasten.load, hasten.bench, hasten.verify, hasten.Data",
        "import hasten.cli; hasten.cli._register()",
        "import hasten.search.worker",
    ],
)
def test_nothing_heavy_is_imported_before_it_is_needed(code: str) -> None:
    """An ONNX user needs no torch, and the parent of a search stays small."""
    check = f"{code}; import sys; print(*(name for name in {HEAVY!r} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", check], check=True, capture_output=True, text=True)
    assert done.stdout.split() == []


TELL = """
import atexit, sys
from hasten.cli import main

def told():
    engines = [name for name in ("torch", "onnxruntime", "openvino", "nncf") if name in sys.modules]
    with open("/proc/self/status") as status:
        peak, = (line for line in status if line.startswith("VmHWM"))
    print("engines:", *engines, file=sys.stderr)
    print(peak, file=sys.stderr)

atexit.register(told)
main()
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells the most memory ever used")
def test_a_search_leaves_models_and_engines_to_its_children(workplace: Path) -> None:
    """The parent that times the others must not be in their way."""
    pytest.importorskip("onnxruntime", reason="needs onnxruntime")
    roads.onnx_model(workplace / "model.onnx", classes=1000)
    pictures = np.random.default_rng(0).random((600, 1, 8, 8), dtype=np.float32)
    np.savez(workplace / "samples.npz", image=pictures)
    asked = ["optimize", "model.onnx", "--data", "samples.npz", "--budget", "12s"]
    done = subprocess.run(
        [sys.executable, "-c", TELL, *asked, "--engine", "onnxruntime"],
        cwd=workplace,
        env=roads.environment(workplace),
        capture_output=True,
        text=True,
        check=True,
    )
    assert re.search(r"^engines:$", done.stderr, re.MULTILINE), done.stderr
    found = re.search(r"VmHWM:\s+(\d+) kB", done.stderr)
    assert found is not None
    assert int(found[1]) < 600_000


# --- documents ------------------------------------------------------------------------------------


def _document(said: Said) -> dict[str, Any]:
    """The one JSON document on standard output."""
    assert said.code == 0, said.err
    found: dict[str, Any] = json.loads(said.out)
    return found


@pytest.mark.usefixtures("outside")
def test_a_dry_run_does_nothing(hasten: Command, workplace: Path) -> None:
    roads.linear_data(workplace)
    asked = [
        "optimize",
        "model.linear",
        "--data",
        "samples.npz",
        "--target",
        "testbed",
        "--dry-run",
    ]
    found = _document(hasten(*asked, "--json"))
    names = [plan["name"] for plan in found["plans"]]
    assert {"swift", "steady"} <= set(names)
    assert found["minutes"] == pytest.approx(sum(p["seconds"] for p in found["plans"]) / 60)
    assert any(why.startswith("absent: hasten-nothing") for why in found["pruned"])
    said = hasten(*asked)
    assert said.code == 0
    assert f"{len(names)} plans" in said.out
    assert sorted(path.name for path in workplace.iterdir()) == ["model.linear", "samples.npz"]


@pytest.mark.usefixtures("outside")
def test_inspecting_a_model(hasten: Command, workplace: Path) -> None:
    roads.linear_model(workplace)
    found = _document(hasten("inspect", "model.linear", "--json"))
    assert (found["form"], found["parameters"], found["macs"]) == ("linear", 12, 12)
    assert found["spec"]["inputs"] == [{"name": "x", "dtype": "float32", "shape": ["batch", 4]}]
    assert found["operators"] == []  # this form does not tell
    said = hasten("inspect", "model.linear")
    assert "x: float32[batch, 4]" in said.out
    assert "next  hasten optimize model.linear" in said.out


@pytest.mark.usefixtures("outside")
def test_optimize_tells_the_next_step(hasten: Command, workplace: Path) -> None:
    roads.linear_data(workplace)
    said = hasten(
        *("optimize", "model.linear", "--data", "samples.npz", "--target", "testbed"),
        *("--budget", "0.1s", "--zip"),
    )
    assert said.code == 0, said.err
    assert "The original is kept" in said.out
    assert "Next    hasten bench model.hasten" in said.out
    assert sorted(path.name for path in workplace.iterdir()) == [
        "model.hasten",
        "model.hasten.zip",
        "model.linear",
        "samples.npz",
    ]
    evidence = json.loads(hasten("report", "model.hasten", "--json").out)
    assert evidence["command"] == (
        "hasten optimize model.linear --data samples.npz --target testbed --budget 0.1s --zip"
    )
    hasten(
        "report", "model.hasten", "--html", "page.html", "--svg", "plot.svg", "--png", "plot.png"
    )
    assert (workplace / "page.html").read_text().lstrip().startswith("<!doctype html>")
    assert (workplace / "plot.svg").read_text().startswith("<svg")
    assert (workplace / "plot.png").read_bytes().startswith(b"\x89PNG")


def test_a_reader_that_goes_away() -> None:
    """``hasten doctor | head -1`` ends without a traceback."""
    running = subprocess.Popen(
        [*roads.COMMAND, "--help"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert running.stdout is not None
    running.stdout.close()
    _, err = running.communicate()
    assert "Traceback" not in err
