"""The main job on real data: train a small CNN, make it faster within a limit, prove it, use it.

    make demo                   installs what is needed first
    python examples/demo.py     with --data digits: the embedded digits, no download

Two commands that anyone could type, and then a few lines of Python; everything else here is
printing. It leaves ``demo/run`` and ``demo/fast.hasten`` with their reports, and takes about six
minutes on 2 cores.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import hasten
from hasten.data import load

ROOT = Path(__file__).parents[1]
RUN, BUNDLE = Path("demo/run"), Path("demo/fast.hasten")
EPOCHS, BUDGET = "5", "3m"
TOOL = str(Path(sys.executable).with_name("hasten"))


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
    """Train a CNN, unless the last demo left one for these data; go on where that was stopped."""
    record = ROOT / RUN / "run.json"
    earlier = json.loads(record.read_text()) if record.exists() else None
    if earlier is not None and earlier["asked"]["data"] != data:
        shutil.rmtree(ROOT / RUN)
        earlier = None
    if earlier is None:
        run(TOOL, "train", "--data", data, "--epochs", EPOCHS, "-o", str(RUN))
    elif not (ROOT / RUN / "model.safetensors").exists():
        run(TOOL, "train", "--resume", "-o", str(RUN))
    else:
        print(f"The CNN is trained already: {RUN}", flush=True)


def optimize() -> None:
    """The main job, as a user types it."""
    run(TOOL, "optimize", str(RUN), "--budget", BUDGET, "--out", str(BUNDLE))


def use() -> None:
    """Load the bundle and classify pictures, as they are stored, that training never saw."""
    samples = load(str(ROOT / RUN))
    rows, labels = samples.splits["test"], samples.labels
    ((_, stored),) = samples.inputs.items()
    if labels is None:
        raise ValueError("the run's data have no labels")
    images = stored[rows]
    with hasten.load(ROOT / BUNDLE) as fast:
        answers = fast(images).argmax(1)
    right = float((answers == labels[rows]).mean())
    print(f"\n>>> fast = hasten.load('{BUNDLE}'); fast(images)")
    print(f"{right:.2%} of {len(rows):,} test pictures right, computed anew from the bundle.")


def main() -> None:
    """Data, training, the main job, and the result in use."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", choices=("fashion-mnist", "digits"), default="fashion-mnist")
    began = time.monotonic()
    train(available(parser.parse_args().data))
    optimize()
    use()
    pages = " and ".join(str(place / "report.html") for place in (RUN, BUNDLE))
    print(f"\nOpen {pages} in a browser: they work offline.")
    print(f"The demo took {(time.monotonic() - began) / 60:.1f} minutes.")


if __name__ == "__main__":
    main()
