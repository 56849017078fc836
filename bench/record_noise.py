"""Record how noisy timing is on this machine: identical models, timed as the search times them.

Several processes hold the same ONNX model and play shuffled rounds (``hasten.measure``); every
so often all of them are replaced by fresh ones. What differs between their turns is noise:
drift, bursts of other programs, and what one process has over another by its place in memory.

    python bench/record_noise.py bench/traces/NAME.npz --note "what else ran meanwhile"

``bench/simulate_search.py`` and ``tests/search/test_race.py`` replay the file.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from hasten.measure import Round, Watch, machine_lock, play_round

TURN_SECONDS = 0.05
PIXELS, CHANNELS, LAYERS = 80, 32, 8


def model_bytes() -> bytes:
    """A small convolutional network with fixed random weights."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    nodes, weights, before, width = [], [], "x", 3
    for layer in range(LAYERS):
        kernel = rng.normal(0, 0.1, (CHANNELS, width, 3, 3)).astype(np.float32)
        weights.append(numpy_helper.from_array(kernel, f"w{layer}"))
        nodes += [
            helper.make_node("Conv", [before, f"w{layer}"], [f"c{layer}"], pads=[1, 1, 1, 1]),
            helper.make_node("Relu", [f"c{layer}"], [f"r{layer}"]),
        ]
        before, width = f"r{layer}", CHANNELS
    shape_in, shape_out = [1, 3, PIXELS, PIXELS], [1, CHANNELS, PIXELS, PIXELS]
    graph = helper.make_graph(
        nodes,
        "noise",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape_in)],
        [helper.make_tensor_value_info(before, TensorProto.FLOAT, shape_out)],
        weights,
    )
    opset = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=8)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def child() -> None:
    """Answer every line on standard input with the seconds of the calls of one turn."""
    import onnxruntime

    session = onnxruntime.InferenceSession(model_bytes(), providers=["CPUExecutionProvider"])
    pixels = np.random.default_rng(1).random((1, 3, PIXELS, PIXELS), dtype=np.float32)
    feed = {"x": pixels}
    session.run(None, feed)
    print("ready", flush=True)
    for _ in sys.stdin:
        session.run(None, feed)
        session.run(None, feed)
        calls: list[float] = []
        end = time.perf_counter() + TURN_SECONDS
        while time.perf_counter() < end or len(calls) < 3:
            began = time.perf_counter()
            session.run(None, feed)
            calls.append(time.perf_counter() - began)
        print(json.dumps(calls), flush=True)


class Process:
    """A contender: one child, stopped between its turns."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.child = subprocess.Popen(
            [sys.executable, __file__, "--child"], stdin=-1, stdout=-1, text=True
        )
        self._read()
        os.kill(self.child.pid, signal.SIGSTOP)

    def turn(self, seconds: float) -> list[float]:
        os.kill(self.child.pid, signal.SIGCONT)
        self.child.stdin.write("go\n")  # type: ignore[union-attr]
        self.child.stdin.flush()  # type: ignore[union-attr]
        calls = json.loads(self._read())
        os.kill(self.child.pid, signal.SIGSTOP)
        return list(calls)

    def close(self) -> None:
        self.child.kill()
        self.child.communicate()

    def _read(self) -> str:
        return str(self.child.stdout.readline())  # type: ignore[union-attr]


def record(processes: int, generations: int, rounds: int) -> list[tuple[int, Round]]:
    """``(generation, round)`` for every round; each generation is a fresh set of processes."""
    rng, watch = np.random.default_rng(), Watch()
    played = []
    for generation in range(generations):
        contenders = [Process(str(index)) for index in range(processes)]
        for _ in range(rounds):
            round_ = play_round(contenders, TURN_SECONDS, rng, watch=watch)
            if round_ is not None:
                played.append((generation, round_))
        for contender in contenders:
            contender.close()
        print(f"{generation + 1}/{generations}: load {os.getloadavg()[0]:.1f}", flush=True)
    return played


def save(path: Path, played: list[tuple[int, Round]], note: str, load: list[float]) -> None:
    """One row per turn in the order played: its calls, its process, whether it was disturbed."""
    turns = [
        (calls, generation, int(name), round_.disturbed)
        for generation, round_ in played
        for name, calls in round_.calls.items()
    ]
    about = {
        "kernel": f"{LAYERS} convolutions, {CHANNELS} channels, {PIXELS} px, ONNX Runtime",
        "turn_seconds": TURN_SECONDS,
        "machine": f"{_cpu()}, {os.cpu_count()} cores",
        "system": f"{platform.system()} {platform.release().partition('-')[0]}",
        "load_average": load,
        "note": note,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        path,
        seconds=np.concatenate([np.asarray(calls, np.float32) for calls, *_ in turns]),
        calls=np.array([len(calls) for calls, *_ in turns], np.uint8),
        generation=np.array([generation for _, generation, *_ in turns], np.uint8),
        process=np.array([process for *_, process, _ in turns], np.uint8),
        disturbed=np.array([disturbed for *_, disturbed in turns]),
        about=np.array(json.dumps(about)),
    )
    print(f"{path}: {len(turns)} turns, {path.stat().st_size / 1000:.0f} kB")


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("path", type=Path, nargs="?")
    parser.add_argument("--processes", type=int, default=6)
    parser.add_argument("--generations", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=48, help="rounds per generation")
    parser.add_argument("--note", default="")
    parser.add_argument("--child", action="store_true")
    given = parser.parse_args()
    if given.child:
        child()
        return
    if given.path is None:
        parser.error("give the file to write")
    before = os.getloadavg()[0]
    with machine_lock(print):
        played = record(given.processes, given.generations, given.rounds)
    save(given.path, played, given.note, [before, os.getloadavg()[0]])


if __name__ == "__main__":
    main()
