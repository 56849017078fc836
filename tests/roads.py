"""Tiny models and data for whole searches, and the command line as a user runs it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil

import hasten

OUTSIDE = Path(__file__).parent / "outside"
"""A package of plug-ins that Hasten finds by its entry points: see ``hasten_outside``."""
PROGRESS = re.compile(r"\s*\d+\.\d s  ")
COMMAND = (sys.executable, "-c", "from hasten.cli import main; main()")
PATIENCE = 240.0
"""Seconds that a step may take on a machine that others use; nothing is judged by it."""


# --- models and data ------------------------------------------------------------------------------


def linear_model(folder: Path) -> Path:
    """A file that only the package outside can read: three classes from four numbers."""
    weight = np.random.default_rng(0).standard_normal((4, 3)).round(3)
    path = folder / "model.linear"
    path.write_text(json.dumps({"weight": weight.tolist()}))
    return path


def linear_data(folder: Path, count: int = 400, **changed: np.ndarray | None) -> Path:
    """Samples for ``linear_model``; ``changed`` replaces or removes (``None``) arrays."""
    weight = np.array(json.loads(linear_model(folder).read_text())["weight"])
    x = np.random.default_rng(1).standard_normal((count, 4)).astype(np.float32)
    arrays = {"x": x, "y": (x @ weight).argmax(axis=1), **changed}
    path = folder / "samples.npz"
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    return path


def onnx_model(path: Path, classes: int = 10) -> Path:
    """A classifier of 8 x 8 images with a free batch, made without torch."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    kernel = rng.standard_normal((4, 1, 3, 3)).astype(np.float32)
    weight = rng.standard_normal((4 * 36, classes)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["image", "kernel"], ["seen"], name="seen"),
        helper.make_node("Relu", ["seen"], ["kept"], name="kept"),
        helper.make_node("Flatten", ["kept"], ["row"], name="row"),
        helper.make_node("MatMul", ["row", "weight"], ["scores"], name="scores"),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 1, 8, 8])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", classes])],
        [numpy_helper.from_array(kernel, "kernel"), numpy_helper.from_array(weight, "weight")],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(made, path)
    return path


# --- the command line -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Said:
    """What a command answered."""

    code: int
    out: str
    err: str

    @property
    def told(self) -> str:
        """Its one line on standard error; progress does not count."""
        lines = [line for line in self.err.splitlines() if not PROGRESS.match(line)]
        assert len(lines) == 1, self.err
        assert lines[0].startswith("hasten: "), self.err
        return lines[0].removeprefix("hasten: ")


def environment(folder: Path, **more: str) -> dict[str, str]:
    """The environment of a command that keeps everything below ``folder``."""
    # The code under test, wherever it lies, and the plug-in from outside.
    code = f"{OUTSIDE}{os.pathsep}{Path(hasten.__file__).parents[1]}"
    places = {"HASTEN_CACHE": folder / "cache", "TMPDIR": folder / "tmp", "PYTHONPATH": code}
    (folder / "tmp").mkdir(exist_ok=True)
    return {**os.environ, **{key: str(value) for key, value in places.items()}, **more}


@dataclass
class Running:
    """A command in a process of its own, with what it said so far."""

    process: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as stream:
            for line in stream:
                self.lines.append(line)

    def wait_for(self, text: str) -> None:
        """Until it has said ``text``."""
        deadline = time.monotonic() + PATIENCE
        while not any(text in line for line in list(self.lines)):
            assert self.process.poll() is None, "".join(self.lines)
            assert time.monotonic() < deadline, "".join(self.lines)
            time.sleep(0.01)

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def children(self) -> list[psutil.Process]:
        """Every process that it started, directly or not."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def end(self) -> Said:
        """Wait for its end."""
        assert self.process.stdout is not None
        out = self.process.stdout.read()
        code = self.process.wait(timeout=PATIENCE)
        self.reader.join(timeout=PATIENCE)
        self.process.stdout.close()
        return Said(code, out, "".join(self.lines))


def start(arguments: Sequence[str | Path], folder: Path, **more: str) -> Running:
    """Start ``hasten ...`` in ``folder``, with the package outside installed."""
    return Running(
        subprocess.Popen(
            [*COMMAND, *map(str, arguments)],
            cwd=folder,
            env=environment(folder, **more),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # A test run in the background ignores SIGINT, and a child would inherit that.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
    )


def gone(processes: Sequence[psutil.Process]) -> bool:
    """Whether all of them end, soon."""
    _, alive = psutil.wait_procs(processes, timeout=PATIENCE / 8)
    return not [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]
