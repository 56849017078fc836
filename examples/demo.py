"""The main job on real data: train a small CNN, make it faster within a limit, prove it, use it.

    make demo                   installs what is needed first
    python examples/demo.py     with --data digits: the embedded digits, no download

Three commands that anyone could type, and then a few lines of Python; everything else here is
printing. It leaves ``demo/fast.hasten`` with its report, and takes about five minutes on 2 cores.
"""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))  # so that it runs as a plain script

import hasten
from examples.fashion_cnn import weights_path
from hasten.data import load

ROOT = Path(__file__).parents[1]
BUNDLE = Path("demo/fast.hasten")
BUDGET = "3m"
FACTORY = {"fashion-mnist": "examples.fashion_cnn:cnn", "digits": "examples.fashion_cnn:digits_cnn"}
JUDGED_ON = {"fashion-mnist": "fashion-mnist", "digits": "examples.fashion_cnn:digits_held_out"}
"""What ``--data`` gets: of the digits, only those that training never saw."""


def available(asked: str) -> str:
    """``asked``, or the embedded digits where it cannot be had."""
    try:
        load(asked)
    except hasten.HastenError as error:
        print(f"{error}\nGoing on with the embedded digits.", flush=True)
        return "digits"
    return asked


def run(*command: str, **variables: str) -> None:
    """Show a command and run it; Ctrl-C is left to the command, which packs the best so far."""
    print(f"\n$ {shlex.join([Path(command[0]).name, *command[1:]])}", flush=True)
    child = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **variables})
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        code = child.wait()
    finally:
        signal.signal(signal.SIGINT, before)
    if code:
        sys.exit(code)


def train(data: str) -> None:
    """Train the CNN, unless its weights are kept from last time."""
    if weights_path(data).exists():
        print(f"The CNN for {data} is trained already: {weights_path(data)}", flush=True)
    else:
        # Threads that wait asleep: beside other work, spinning ones make training crawl.
        script = ("examples/train_fashion.py", "--data", data)
        run(sys.executable, *script, OMP_WAIT_POLICY="PASSIVE")


def optimize(data: str) -> None:
    """The main job, as a user types it."""
    (ROOT / BUNDLE.parent).mkdir(exist_ok=True)
    tool = str(Path(sys.executable).with_name("hasten"))
    options = ("--data", JUDGED_ON[data], "--budget", BUDGET, "--out", str(BUNDLE))
    run(tool, "optimize", FACTORY[data], *options)


def use(data: str) -> None:
    """Load the bundle and classify pictures, as they are stored, that training never saw."""
    samples = load(JUDGED_ON[data])
    rows = samples.splits.get("test", np.arange(len(samples)))
    images, labels = samples.inputs["images"][rows], samples.labels
    if labels is None:
        raise ValueError(f"{data} has no labels")
    with hasten.load(ROOT / BUNDLE) as fast:
        answers = fast(images).argmax(1)
    right = float((answers == labels[rows]).mean())
    print(f"\n>>> fast = hasten.load('{BUNDLE}'); fast(images)")
    print(f"{right:.2%} of {len(rows):,} test pictures right, computed anew from the bundle.")


def main() -> None:
    """Data, training, the main job, and the result in use."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", choices=tuple(FACTORY), default="fashion-mnist")
    began = time.monotonic()
    data = available(parser.parse_args().data)
    train(data)
    optimize(data)
    use(data)
    print(f"\nOpen {BUNDLE / 'report.html'} in a browser: it works offline.")
    print(f"The demo took {(time.monotonic() - began) / 60:.1f} minutes.")


if __name__ == "__main__":
    main()
