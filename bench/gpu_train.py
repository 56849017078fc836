"""Check and measure training on a CUDA device, in one file: numerics first, then speed.

    python bench/gpu_train.py --out gpu-train.json
    python bench/gpu_train.py --ways loader,resident,bf16,compile --batches 512
    python bench/gpu_train.py --dry-run-cpu

Needs Python >= 3.11, torch >= 2.11 and NumPy; nothing else. The pictures are made here: ten classes
of coloured patterns, moved and under noise, so that accuracy means something and nothing is
downloaded. Each way adds one idea to the one before it; all train the same network with the same
order of samples from the same weights. Where ``hasten`` can be imported (or lies in ``../src``),
its own loop runs beside them, planned there and in an order of its own.

First every way takes the same steps and its losses are compared with plain fp32. Then ways take
turns of some steps in shuffled rounds; a ratio is the median over rounds of (plain / this way),
with a 95 % bootstrap interval. Last, each trains for ``--epochs`` and is tested: time with and
without what came before the first step. ``--out`` grows batch by batch.
Exit code 0: all checks passed, 1: one failed, 2: no CUDA device.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import json
import math
import platform
import random
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

ROOT = Path(__file__).resolve().parents[1]
CLASSES, SIDE = 10, 32
CHECKED_STEPS = 20
LOSS_APART = 0.05
"""How far the mean loss of the checked steps may be from plain fp32's, relative to it."""
ACCURACY_APART = 0.02
PEAK_RATE, MOMENTUM, DECAY = 0.2, 0.9, 5e-4
TURN_STEPS = 20


# --- data and network -----------------------------------------------------------------------------


def pictures(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """``(count, 3, 32, 32)`` uint8 and labels: a smooth pattern per class, rolled, with noise."""
    patterns = torch.randn(CLASSES, 3, 6, 6, generator=torch.Generator().manual_seed(1))
    smooth = functional.interpolate(patterns, (SIDE, SIDE), mode="bicubic").numpy()
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, CLASSES, count)
    found = np.empty((count, 3, SIDE, SIDE), np.uint8)
    for number, label in enumerate(labels):
        picture = np.roll(smooth[label], tuple(rng.integers(-6, 7, 2)), (1, 2))
        picture = picture * rng.uniform(0.3, 0.8) + rng.standard_normal(picture.shape)
        found[number] = np.clip(128 + 40 * picture, 0, 255)
    return found, labels


def network(width: int) -> nn.Module:
    """Seven convolutions of 3 x 3 in three stages, and a linear layer."""

    def unit(inputs: int, outputs: int) -> list[nn.Module]:
        conv = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        return [conv, nn.BatchNorm2d(outputs), nn.ReLU()]

    torch.manual_seed(0)
    layers, before = unit(3, width), width
    for stage in (2 * width, 4 * width, 4 * width):
        layers += [nn.MaxPool2d(2), *unit(before, stage), *unit(stage, stage)]
        before = stage
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, CLASSES))


def order(seed: int, epoch: int, count: int) -> np.ndarray:
    return np.random.default_rng([seed, epoch]).permutation(count)


@dataclass(frozen=True)
class Lesson:
    """What every way learns: stored pictures, labels, batch and length."""

    train: tuple[np.ndarray, np.ndarray]
    test: tuple[np.ndarray, np.ndarray]
    batch: int
    epochs: int
    width: int
    device: str

    @property
    def steps(self) -> int:
        return self.epochs * self.per_epoch

    @property
    def per_epoch(self) -> int:
        return len(self.train[1]) // self.batch

    def rate(self, step: int) -> float:
        """Up in the first fifth, then down to nothing."""
        share = (step + 0.5) / self.steps
        return PEAK_RATE * (share / 0.2 if share < 0.2 else (1 - share) / 0.8)

    def numbers(self, step: int) -> np.ndarray:
        epoch, place = divmod(step, self.per_epoch)
        whole = order(0, epoch, len(self.train[1]))
        return whole[place * self.batch : (place + 1) * self.batch]


# --- hand-written ways, each with one idea more ---------------------------------------------------


@dataclass(frozen=True)
class Ideas:
    """What a way does beyond the plain loop."""

    resident: bool = True
    last: bool = True
    bf16: bool = True
    fused: bool = True
    compiled: str = ""
    captured: bool = False


WAYS = {
    "loader": Ideas(resident=False, last=False, bf16=False, fused=False),
    "resident": Ideas(last=False, bf16=False, fused=False),
    "channels-last": Ideas(bf16=False, fused=False),
    "bf16": Ideas(fused=False),
    "fused": Ideas(),
    "compile": Ideas(compiled="default"),
    "compile-graphs": Ideas(compiled="reduce-overhead"),
    "captured": Ideas(captured=True),
}
"""``captured`` records forward, backward and update as one CUDA graph by hand."""
PLAIN, OWN = "loader", "hasten"


class Loop:
    """One way: ``step()`` takes the next step and returns its loss, which stays on the device."""

    def __init__(self, lesson: Lesson, ideas: Ideas) -> None:
        self.lesson, self.ideas, self.done = lesson, ideas, 0
        self.model = network(lesson.width).to(lesson.device)
        if ideas.last:
            self.model = self.model.to(memory_format=torch.channels_last)
        gpu = lesson.device == "cuda"
        self.rate = torch.tensor(PEAK_RATE, device=lesson.device) if ideas.captured else PEAK_RATE
        self.optimizer = torch.optim.SGD(
            self.model.parameters(),
            lr=self.rate,
            momentum=MOMENTUM,
            weight_decay=DECAY,
            nesterov=True,
            fused=ideas.fused and (gpu or not ideas.captured),
        )
        mode = ideas.compiled if gpu or ideas.compiled != "reduce-overhead" else "default"
        self.forward = torch.compile(self.model, mode=mode) if mode else self.model
        self.batches = self._resident() if ideas.resident else self._loaded()
        self.graph: Any = None

    def _resident(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        x, y = (torch.from_numpy(part).to(self.lesson.device) for part in self.lesson.train)
        while True:
            rows = torch.from_numpy(self.lesson.numbers(self.done)).to(self.lesson.device)
            yield self._ready(x[rows]), y[rows]

    def _loaded(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        x, y = (torch.from_numpy(part) for part in self.lesson.train)
        gpu = self.lesson.device == "cuda"
        for epoch in range(10**9):
            whole = order(0, epoch, len(y))[: self.lesson.per_epoch * self.lesson.batch]
            sampler: Any = whole.reshape(-1, self.lesson.batch).tolist()
            loader = DataLoader(
                TensorDataset(x, y), batch_sampler=sampler, num_workers=0, pin_memory=gpu
            )
            for inputs, labels in loader:
                yield (
                    self._ready(inputs.to(self.lesson.device, non_blocking=True)),
                    labels.to(self.lesson.device, non_blocking=True),
                )

    def _ready(self, stored: torch.Tensor) -> torch.Tensor:
        inputs = stored.float().sub_(128).div_(64)
        layout = torch.channels_last if self.ideas.last else torch.contiguous_format
        return inputs.contiguous(memory_format=layout)

    def step(self) -> torch.Tensor:
        self._set_rate()
        inputs, labels = next(self.batches)
        if self.ideas.captured and self.lesson.device == "cuda":
            loss = self._replayed(inputs, labels)
        else:
            loss = self._taken(inputs, labels)
        self.done += 1
        return loss

    def _set_rate(self) -> None:
        rate = self.lesson.rate(min(self.done, self.lesson.steps - 1))
        for group in self.optimizer.param_groups:
            if isinstance(group["lr"], torch.Tensor):
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate

    def _taken(self, inputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        self.optimizer.zero_grad(set_to_none=True)
        around = (
            torch.autocast(self.lesson.device, torch.bfloat16)
            if self.ideas.bf16
            else contextlib.nullcontext()
        )
        with around:
            outputs = self.forward(inputs)
        loss = functional.cross_entropy(outputs.float(), labels)
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def _replayed(self, inputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        if self.graph is None:
            self._capture(inputs, labels)
        self.inputs.copy_(inputs)
        self.labels.copy_(labels)
        self.graph.replay()
        return self.loss.clone()

    def _capture(self, inputs: torch.Tensor, labels: torch.Tensor) -> None:
        """Warm up on a side stream and record; what was learned meanwhile is taken back."""
        self.inputs, self.labels = inputs.clone(), labels.clone()
        weights = copy.deepcopy(self.model.state_dict())
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                self._taken(self.inputs, self.labels)
        torch.cuda.current_stream().wait_stream(side)
        self.graph = torch.cuda.CUDAGraph()
        self.optimizer.zero_grad(set_to_none=True)
        with torch.cuda.graph(self.graph):
            self.loss = self._taken(self.inputs, self.labels)
        self.model.load_state_dict(weights)
        for kept in self.optimizer.state.values():
            kept["momentum_buffer"].zero_()

    def accuracy(self) -> float:
        self.model.eval()
        right = 0
        x, y = self.lesson.test
        with torch.inference_mode():
            for start in range(0, len(y), 1000):
                batch = torch.from_numpy(x[start : start + 1000]).to(self.lesson.device)
                found = self.model(self._ready(batch)).argmax(1).cpu().numpy()
                right += int((found == y[start : start + 1000]).sum())
        self.model.train()
        return right / len(y)


# --- Hasten's own loop ----------------------------------------------------------------------------


def hasten_loop() -> Callable[[Lesson], Any] | None:
    """Makes Hasten's trainer, planned on this machine; ``None`` where it cannot be imported."""
    if (ROOT / "src/hasten").is_dir():
        sys.path.insert(0, str(ROOT / "src"))
    try:
        _borrow_packaging()
        from hasten import plugin
        from hasten.plugin import Setup
        from hasten.training import optimizers
        from hasten.training.loop import Trainer
        from hasten.training.plan import Planner
        from hasten.training.samples import Samples
        from hasten.types import Normalisation
    except ImportError as error:
        print(f"Hasten's own loop is left out: {error}")
        return None

    class Own:
        def __init__(self, lesson: Lesson) -> None:
            x, y = lesson.train
            scale = Normalisation(1 / 64, (2.0,) * 3, (1.0,) * 3, 1)
            self.samples = Samples((x,), (scale,), y, np.arange(len(y)))
            self.test = Samples(
                (lesson.test[0],), (scale,), lesson.test[1], np.arange(len(lesson.test[1]))
            )
            setup = Setup(
                module=network(lesson.width),
                loss=lambda outputs, labels: functional.cross_entropy(outputs.float(), labels),
                optimizer=optimizers.optimizer("sgd", PEAK_RATE, weight_decay=DECAY),
                schedule=optimizers.schedule("one-cycle"),
                epochs=lesson.epochs,
                batch=lesson.batch,
                traits=frozenset({"convolution", "pictures"}),
                device=lesson.device,
                samples=len(y),
                fixed=frozenset({"batch"}),
            )
            target = plugin.targets.get("gpu" if lesson.device == "cuda" else "cpu").probe()
            planner = Planner(self.samples, 0, target, lambda text: None)
            self.trainer = Trainer(planner.measured(setup), self.samples, 0)
            self.plan = [row.to_json() for row in planner.rows]
            self.labels = lesson.test[1]
            self.batches = self._batches()

        def _batches(self) -> Iterator[Any]:
            while True:
                yield from self.trainer.epoch()
                if self.trainer.done >= self.trainer.total:
                    self.trainer.done = 0

        def step(self) -> torch.Tensor:
            read = next(self.batches)
            return torch.tensor(read[-1] if read else math.nan)

        def accuracy(self) -> float:
            return float((self.trainer.predict(self.test).argmax(1) == self.labels).mean())

    return Own


def _borrow_packaging() -> None:
    """Hasten asks ``packaging`` for versions; torch brings setuptools, which holds a copy."""
    import importlib

    for name in ("packaging", "setuptools._vendor.packaging", "pip._vendor.packaging"):
        try:
            for part in ("", ".requirements"):
                sys.modules["packaging" + part] = importlib.import_module(name + part)
        except ImportError:
            continue
        return


# --- check, race, train ---------------------------------------------------------------------------


@dataclass
class Way:
    """A loop with what was found out about it."""

    name: str
    make: Callable[[], Any]
    loop: Any = None
    facts: dict[str, Any] = field(default_factory=dict)
    rounds: list[float] = field(default_factory=list)


def wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def opened(way: Way, lesson: Lesson) -> None:
    """Make the loop and take the checked steps: their losses, and what the first took."""
    began = time.perf_counter()
    way.loop = way.make()
    losses = [way.loop.step()]
    wait(lesson.device)
    way.facts["first_step_seconds"] = time.perf_counter() - began
    losses += [way.loop.step() for _ in range(CHECKED_STEPS - 1)]
    way.facts["losses"] = [round(float(loss), 5) for loss in losses]
    if lesson.device == "cuda":
        way.facts["memory_bytes"] = torch.cuda.max_memory_allocated()
        torch.cuda.reset_peak_memory_stats()
    if plan := getattr(way.loop, "plan", None):
        way.facts["plan"] = plan


def waits(way: Way, lesson: Lesson) -> str:
    """Whether a step waits for the device; the loader's copies may."""
    if lesson.device != "cuda" or way.name == PLAIN:
        return ""
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(3):
            way.loop.step()
    except RuntimeError as error:
        return str(error).splitlines()[0]
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return ""


def turn(way: Way, lesson: Lesson) -> float:
    """Seconds per step over one turn."""
    way.loop.step()
    wait(lesson.device)
    began = time.perf_counter()
    for _ in range(TURN_STEPS):
        way.loop.step()
    wait(lesson.device)
    return (time.perf_counter() - began) / TURN_STEPS


def ratio(base: list[float], other: list[float]) -> tuple[float, float, float]:
    """Median over rounds of base / other, with its 95 % bootstrap interval."""
    each = np.array(base) / np.array(other)
    picks = np.random.default_rng(0).integers(0, len(each), (2000, len(each)))
    low, high = np.quantile(np.median(each[picks], axis=1), (0.025, 0.975))
    return float(np.median(each)), float(low), float(high)


def trained(way: Way, lesson: Lesson) -> dict[str, float]:
    """A whole run from fresh weights: seconds with what came before the first step, without it,
    and test accuracy."""
    began = time.perf_counter()
    loop = way.make()
    loop.step()
    wait(lesson.device)
    first = time.perf_counter()
    for _ in range(lesson.steps - 1):
        loop.step()
    wait(lesson.device)
    ended = time.perf_counter()
    return {
        "cold_seconds": ended - began,
        "warm_seconds": ended - first,
        "accuracy": loop.accuracy(),
    }


def check(way: Way, plain: Way) -> str:
    """Why its first losses are not those of plain fp32; empty if they are."""
    if way.name == OWN:
        return ""  # it draws another order, so its accuracy alone is compared
    mine, theirs = (float(np.mean(one.facts["losses"])) for one in (way, plain))
    apart = abs(mine / theirs - 1) if math.isfinite(mine) else math.inf
    return "" if apart <= LOSS_APART else f"its losses are {100 * apart:.1f} % apart from fp32's"


def race(lesson: Lesson, given: argparse.Namespace) -> dict[str, Any]:
    """Check, race and train every way at one batch size."""
    own = hasten_loop() if OWN in given.ways.split(",") else None
    ways = [
        Way(name, lambda ideas=ideas: Loop(lesson, ideas))
        for name, ideas in WAYS.items()
        if name in {PLAIN, *given.ways.split(",")}
    ]
    if own is not None:
        ways.append(Way(OWN, lambda: own(lesson)))
    for way in ways:
        try:
            opened(way, lesson)
            way.facts["waits"] = waits(way, lesson)
        except Exception as error:  # one way that fails is a line of the table, not the end
            way.facts["error"] = f"{type(error).__name__}: {error}".splitlines()[0]
    alive = [way for way in ways if "error" not in way.facts]
    for _ in range(given.rounds):
        for way in random.sample(alive, len(alive)):
            way.rounds.append(turn(way, lesson))
    plain = ways[0]
    for way in alive:
        way.facts["wrong"] = check(way, plain)
        way.facts["samples_per_second"] = lesson.batch / float(np.median(way.rounds))
        way.facts["ratio"] = ratio(plain.rounds, way.rounds)
        way.loop = None
        way.facts |= trained(way, lesson)
        if abs(way.facts["accuracy"] - plain.facts["accuracy"]) > ACCURACY_APART:
            way.facts["wrong"] = way.facts["wrong"] or "its accuracy is apart from fp32's"
    return {way.name: way.facts for way in ways}


def show(title: str, found: dict[str, Any]) -> None:
    print(f"\n{title}\n{'way':16s} {'samples/s':>10s} {'ratio':>7s} {'95 %':>15s} ", end="")
    print(f"{'cold s':>8s} {'warm s':>8s} {'test':>7s}")
    for name, facts in found.items():
        if "error" in facts:
            print(f"{name:16s} FAILED: {facts['error'][:110]}")
            continue
        value, low, high = facts["ratio"]
        notes = " ".join(filter(None, (facts["wrong"], facts["waits"] and "WAITS for the device")))
        print(
            f"{name:16s} {facts['samples_per_second']:10.0f} {value:6.2f}x "
            f"{f'[{low:.2f}, {high:.2f}]':>15s} {facts['cold_seconds']:8.2f} "
            f"{facts['warm_seconds']:8.2f} {100 * facts['accuracy']:6.2f}% {notes}",
            flush=True,
        )


def machine(cpu: bool) -> dict[str, Any]:
    told = {
        "torch": torch.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "cuda": torch.version.cuda,
        "os": platform.platform(terse=True),
    }
    if not cpu:
        told |= {"name": torch.cuda.get_device_name(), "cudnn": torch.backends.cudnn.version()}
    return told


def arguments(words: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--ways", default=",".join([*WAYS, OWN]))
    parser.add_argument("--batches", default="128,1024")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--out", type=Path, help="a JSON file that grows batch by batch")
    parser.add_argument("--dry-run-cpu", action="store_true", help="a tiny lesson on the CPU")
    given = parser.parse_args(words)
    for name in given.ways.split(","):
        if name not in {*WAYS, OWN}:
            parser.error(f"unknown way '{name}'; known: {', '.join([*WAYS, 'hasten'])}")
    return given


def main(words: list[str] | None = None) -> int:
    given = arguments(words)
    if not given.dry_run_cpu and not torch.cuda.is_available():
        print(
            f"No CUDA device: torch {torch.__version__} finds none. Nothing was measured. "
            "Try the logic with --dry-run-cpu."
        )
        return 2
    small = given.dry_run_cpu
    train, test = pictures(1280 if small else 50_000, 2), pictures(256 if small else 10_000, 3)
    record: dict[str, Any] = {"machine": machine(small), "batches": {}}
    if given.out and given.out.exists():
        record = json.loads(given.out.read_text())
    print(json.dumps(record["machine"]))
    for batch in given.batches.split(","):
        if batch not in record["batches"]:
            device, width = ("cpu", 8) if small else ("cuda", 64)
            epochs = 2 if small else given.epochs
            lesson = Lesson(train, test, int(batch), epochs, width, device)
            record["batches"][batch] = race(lesson, given)
            torch._dynamo.reset()
        show(f"batch {batch}", record["batches"][batch])
        if given.out:
            given.out.write_text(json.dumps(record, indent=1))
    ways = [facts for found in record["batches"].values() for facts in found.values()]
    return int(any("error" in facts or facts["wrong"] for facts in ways))


if __name__ == "__main__":
    sys.exit(main())
