"""Check and measure inference on a CUDA device, in one file: numerics first, then speed.

    python bench/gpu_inference.py --out gpu.json
    python bench/gpu_inference.py --models resnet50,vit --batches 1,64 --ways eager,hasten
    python bench/gpu_inference.py --dry-run-cpu

Needs Python >= 3.11, torch >= 2.11 and NumPy; nothing else. Where ``hasten`` can be imported (or
lies in ``../src``), its own engines run beside the hand-written ways, so that the product's GPU
path is what is checked. Weights are random and seeded: speed is real, accuracy is a SQNR in dB
against fp32 without TF32.

A call starts with float32 inputs in (pinned) host memory and ends with float32 outputs there, as
in Hasten's own runners. Ways take turns in shuffled rounds; a ratio is the median over rounds of
(torch's defaults / this way), with a 95 % bootstrap interval. ``--out`` grows row by row, and a
row that is there is not run again.
Exit code 0: all checks passed, 1: one failed, 2: no CUDA device.
"""

from __future__ import annotations

import argparse
import copy
import json
import platform
import random
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

ROOT = Path(__file__).resolve().parents[1]
FLOOR_DB = 30.0
REFERENCE, BASE = "eager f32", "eager default"
ARITHMETIC = {"f32": (False, False), "default": (False, True), "tf32": (True, True)}
"""Whether matrix products and cuDNN may use TF32; "default" is what torch does unasked."""
DTYPES = {"f16": torch.float16, "bf16": torch.bfloat16}


# --- models: plain modules with random weights ---------------------------------------------------


def unit(
    inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1
) -> list[nn.Module]:
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return [conv, nn.BatchNorm2d(outputs)]


class Residual(nn.Module):
    """``relu(branch(x) + shortcut(x))``, or ``branch(x) + x`` without activation."""

    def __init__(
        self, branch: list[nn.Module], shortcut: list[nn.Module], relu: bool = True
    ) -> None:
        super().__init__()
        self.branch, self.shortcut = nn.Sequential(*branch), nn.Sequential(*shortcut)
        self.last = nn.ReLU() if relu else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.branch(x) + self.shortcut(x))


def head(channels: int) -> list[nn.Module]:
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 1000)]


def resnet(depths: tuple[int, ...], growth: int, small: bool) -> nn.Module:
    """ResNet-18-like (growth 1) or ResNet-50-like (growth 4)."""
    layers = [*unit(3, 64, 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    channels = 64
    for stage, depth in enumerate(depths[:1] if small else depths):
        width = 64 * 2**stage
        for index in range(depth):
            stride = 2 if stage and not index else 1
            if growth == 1:
                branch = [*unit(channels, width, 3, stride), nn.ReLU(), *unit(width, width, 3)]
            else:
                branch = [*unit(channels, width, 1), nn.ReLU(), *unit(width, width, 3, stride)]
                branch += [nn.ReLU(), *unit(width, width * growth, 1)]
            same = stride == 1 and channels == width * growth
            layers.append(
                Residual(branch, [] if same else unit(channels, width * growth, 1, stride))
            )
            channels = width * growth
    return nn.Sequential(*layers, *head(channels))


def mobilenet(small: bool) -> nn.Module:
    """Inverted residuals with depthwise convolutions, as MobileNetV2."""
    layers, channels = [*unit(3, 32, 3, 2), nn.Hardswish()], 32
    plan = ((16, 1, 1), (24, 2, 2), (40, 3, 2), (80, 3, 2), (112, 2, 1), (192, 3, 2), (320, 1, 1))
    for outputs, depth, stride in plan[:2] if small else plan:
        for index in range(depth):
            step, wide = stride if not index else 1, 6 * channels
            branch = [*unit(channels, wide, 1), nn.Hardswish(), *unit(wide, wide, 3, step, wide)]
            branch += [nn.Hardswish(), *unit(wide, outputs, 1)]
            same = step == 1 and channels == outputs
            layers += [Residual(branch, [], relu=False)] if same else branch
            channels = outputs
    return nn.Sequential(*layers, *unit(channels, 1280, 1), nn.Hardswish(), *head(1280))


class ViT(nn.Module):
    """ViT-tiny-like: 16 x 16 patches, width 192, 3 heads, mean of the tokens."""

    def __init__(self, side: int, depth: int) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, 192, 16, 16)
        self.place = nn.Parameter(torch.randn(1, (side // 16) ** 2, 192) * 0.02)
        make = partial(nn.TransformerEncoderLayer, 192, 3, 768, 0.0, "gelu", batch_first=True)
        self.layers = nn.ModuleList(make(norm_first=True) for _ in range(depth))
        self.head = nn.Linear(192, 1000)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.patch(x).flatten(2).transpose(1, 2) + self.place
        for layer in self.layers:
            x = layer(x)
        return self.head(x.mean(1))


class Lstm(nn.Module):
    """Two LSTM layers and a classifier on the last step."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(64, width, num_layers=2, batch_first=True)
        self.head = nn.Linear(width, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.lstm(x)[0][:, -1])


@dataclass(frozen=True)
class Subject:
    """A model with the shape of one sample and the traits that engines ask for."""

    make: Callable[[bool], nn.Module]
    shape: tuple[int, ...]
    tiny: tuple[int, ...]
    traits: frozenset[str]

    @property
    def pictures(self) -> bool:
        return "convolution" in self.traits


CNN, PICTURE, TINY = frozenset({"convolution"}), (3, 224, 224), (3, 64, 64)
MODELS = {
    "resnet18": Subject(partial(resnet, (2, 2, 2, 2), 1), PICTURE, TINY, CNN),
    "resnet50": Subject(partial(resnet, (3, 4, 6, 3), 4), PICTURE, TINY, CNN),
    "mobilenet": Subject(mobilenet, PICTURE, TINY, CNN),
    "vit": Subject(
        lambda small: ViT(64, 2) if small else ViT(224, 12), PICTURE, TINY, frozenset({"attention"})
    ),
    "lstm": Subject(
        lambda small: Lstm(32 if small else 512), (128, 64), (16, 64), frozenset({"recurrent"})
    ),
}


# --- ways to run ---------------------------------------------------------------------------------


@dataclass
class Way:
    """One way, built and ready: ``call`` computes and gives float32 outputs on the host."""

    name: str
    call: Callable[[], np.ndarray]
    build_seconds: float = 0.0
    memory_bytes: int = 0
    arithmetic: tuple[bool, bool] = (False, True)
    facts: dict[str, Any] = field(default_factory=dict)
    rounds: list[list[float]] = field(default_factory=list)


Step = Callable[[], torch.Tensor]
Builder = Callable[[nn.Module, torch.Tensor], Step]
"""A builder gets the module and its input buffer on the device, which every call fills anew."""


def get_arithmetic() -> tuple[bool, bool]:
    return torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32


def set_arithmetic(state: tuple[bool, bool]) -> None:
    # The older of two interfaces: torch refuses a mixture, and Inductor still reads this one.
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = state


class Typed(nn.Module):
    """``model`` in another type and layout: takes and gives contiguous float32."""

    def __init__(self, model: nn.Module, dtype: torch.dtype, layout: torch.memory_format) -> None:
        super().__init__()
        self.model = copy.deepcopy(model).to(dtype=dtype, memory_format=layout)
        self.dtype, self.layout = dtype, layout

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.model(x.to(dtype=self.dtype, memory_format=self.layout)).float()


def eager(model: nn.Module, x: torch.Tensor) -> Step:
    return lambda: model(x)


def compiled(mode: str, model: nn.Module, x: torch.Tensor) -> Step:
    fast = torch.compile(model, mode=mode, dynamic=False)

    def step() -> torch.Tensor:
        torch.compiler.cudagraph_mark_step_begin()
        return fast(x)

    return step


def graph(model: nn.Module, x: torch.Tensor) -> Step:
    """Our own capture: warm up on a side stream, capture once, replay."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            model(x)
    torch.cuda.current_stream().wait_stream(side)
    captured = torch.cuda.CUDAGraph()
    with torch.cuda.graph(captured):
        y = model(x)

    def step() -> torch.Tensor:
        captured.replay()
        return y

    return step


BUILDERS: dict[str, Builder] = {
    "eager": eager,
    "eager-last": eager,
    "graph": graph,
    "graph-last": graph,
    "compile": partial(compiled, "default"),
    "compile-overhead": partial(compiled, "reduce-overhead"),
    "compile-autotune": partial(compiled, "max-autotune-no-cudagraphs"),
}
"""Those that end in ``-last`` hold pictures channels-last."""
GRID = {
    "eager": ("f32", "default", "tf32", "f16", "bf16"),
    "eager-last": ("tf32", "f16", "bf16"),
    "graph": ("f32", "tf32", "bf16"),
    "graph-last": ("f16", "bf16"),
    "compile": ("f32", "tf32", "f16", "bf16"),
    "compile-overhead": ("f32", "f16", "bf16"),
    "compile-autotune": ("f16", "bf16"),
}


def build(name: str, make: Callable[[], Callable[[], np.ndarray]], tf32: tuple[bool, bool]) -> Way:
    """Build one way and call it until nothing is compiled any more; says what that took."""
    set_arithmetic(tf32)
    gpu = torch.cuda.is_available()
    before = torch.cuda.memory_allocated() if gpu else 0
    began = time.perf_counter()
    call = make()
    for _ in range(3):
        call()
    way = Way(name, call, time.perf_counter() - began, arithmetic=get_arithmetic())
    way.memory_bytes = torch.cuda.memory_allocated() - before if gpu else 0
    return way


def hand_written(
    model: nn.Module, x: torch.Tensor, subject: Subject, kinds: set[str]
) -> Iterator[tuple[str, Callable[[], Way]]]:
    for kind, precisions in GRID.items():
        fits = subject.pictures or not kind.endswith("-last")
        fits &= x.is_cuda or not kind.startswith("graph")
        if kind not in kinds or not fits:
            continue
        for precision in precisions:
            name = f"{kind} {precision}"
            yield name, partial(_hand_written, name, kind, precision, model, x)


def _hand_written(name: str, kind: str, precision: str, model: nn.Module, x: torch.Tensor) -> Way:
    layout = torch.channels_last if kind.endswith("-last") else torch.preserve_format
    typed = Typed(model, DTYPES.get(precision, torch.float32), layout).eval()
    host = x.cpu().pin_memory() if x.is_cuda else x
    buffer = x.clone()

    def make() -> Callable[[], np.ndarray]:
        step = BUILDERS[kind](typed, buffer)

        def call() -> np.ndarray:
            buffer.copy_(host, non_blocking=True)
            return step().cpu().numpy()

        return call

    return build(name, make, ARITHMETIC.get(precision, ARITHMETIC["default"]))


# --- Hasten's own engines ------------------------------------------------------------------------


def hasten_modules() -> Any:
    """``hasten.plugin`` and ``hasten.types``, or ``None`` with a line that says why not."""
    if (ROOT / "src/hasten").is_dir():
        sys.path.insert(0, str(ROOT / "src"))
    try:
        _borrow_packaging()
        from hasten import plugin, types
    except ImportError as error:
        print(f"Hasten's engines are left out: {error}")
        return None
    return plugin, types


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


def own_engines(
    modules: Any, model: nn.Module, x: torch.Tensor, subject: Subject
) -> Iterator[tuple[str, Callable[[], Way]]]:
    """Every engine of Hasten that runs torch models on this target, with all it would try."""
    plugin, types = modules
    target = "gpu" if x.device.type == "cuda" else "cpu"
    facts = plugin.targets.get(target).probe()
    work = types.Workload(batch=len(x), target=target)
    for engine in plugin.engines.available():
        if not engine.supports("torch", subject.traits, work):
            continue
        for options in engine.space(subject.traits, facts, work):
            use = types.Use.of(engine.name, **options)
            yield f"hasten {use}", partial(_own, types, engine, use, work, model, x, subject)


def _own(
    types: Any,
    engine: Any,
    use: Any,
    work: Any,
    model: nn.Module,
    x: torch.Tensor,
    subject: Subject,
) -> Way:
    classes = model(x[:1]).shape[1]
    spec = types.Spec(
        (types.TensorSpec("x", "float32", (types.BATCH, *x.shape[1:])),),
        (types.TensorSpec("y", "float32", (types.BATCH, classes)),),
    )
    held = types.Model("torch", copy.deepcopy(model).cpu(), spec, subject.traits)
    runner = engine(held, work, use)
    feed = runner.bind({"x": x.cpu().numpy()})
    way = build(
        f"hasten {use}", lambda: lambda: runner.run(feed)["y"].astype(np.float32), get_arithmetic()
    )
    shares: dict[str, float] = {}
    for kernel in runner.profile(feed):
        shares[kernel.precision] = shares.get(kernel.precision, 0.0) + kernel.seconds
    total = sum(shares.values()) or 1.0
    way.facts = {
        "settings": {key: str(value) for key, value in runner.facts.items()},
        "time_by_precision": {key: value / total for key, value in shares.items()},
    }
    return way


# --- the race ------------------------------------------------------------------------------------


def sqnr(reference: np.ndarray, value: np.ndarray) -> float:
    """10 log10 of signal over error, in dB; minus infinity where a value is not finite."""
    if not np.isfinite(value).all():
        return float("-inf")
    error = float(np.square(reference - value, dtype=np.float64).sum())
    signal = float(np.square(reference, dtype=np.float64).sum())
    return 10 * float(np.log10(signal / error)) if error else float("inf")


def turn(way: Way, seconds: float) -> list[float]:
    """Seconds per call, after two uncounted calls; a call ends when its outputs are on the host."""
    set_arithmetic(way.arithmetic)
    way.call()
    way.call()
    taken: list[float] = []
    end = time.perf_counter() + seconds
    while len(taken) < 3 or time.perf_counter() < end:
        began = time.perf_counter()
        way.call()
        taken.append(time.perf_counter() - began)
    return taken


def ratio(base: Way, way: Way, seed: int = 0) -> tuple[float, float, float]:
    """Median over rounds of base / way, with its 95 % bootstrap interval."""
    medians = [np.array([np.median(r) for r in w.rounds]) for w in (base, way)]
    each = medians[0] / medians[1]
    picks = np.random.default_rng(seed).integers(0, len(each), (2000, len(each)))
    low, high = np.quantile(np.median(each[picks], axis=1), (0.025, 0.975))
    return float(np.median(each)), float(low), float(high)


@torch.no_grad()
def run_row(
    subject: Subject, batch: int, given: argparse.Namespace, modules: Any
) -> list[dict[str, Any]]:
    """Build, check and race all ways for one model at one batch."""
    torch.manual_seed(0)
    device = "cpu" if given.dry_run_cpu else "cuda"
    model = subject.make(given.dry_run_cpu).to(device)
    shape = subject.tiny if given.dry_run_cpu else subject.shape
    settle(model, torch.randn(max(batch, 16), *shape, device=device))
    x = torch.randn(batch, *shape, device=device)
    kinds = set(given.ways.split(","))
    makers = list(hand_written(model, x, subject, kinds | {"eager"}))
    if modules and "hasten" in kinds:
        makers += own_engines(modules, model, x, subject)
    ways, cells = [], []
    for name, make in makers:
        try:
            ways.append(make())
        except Exception as error:  # one way that fails is a row of the table, not the end
            cells.append({"way": name, "error": f"{type(error).__name__}: {error}".splitlines()[0]})
    for _ in range(given.rounds):
        for way in random.sample(ways, len(ways)):
            way.rounds.append(turn(way, given.seconds))
    return judge(ways) + cells


def settle(model: nn.Module, x: torch.Tensor) -> None:
    """Give BatchNorm the statistics of one batch, so that activations keep a sane size."""
    for part in model.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.momentum = None
    model.train()(x)
    model.eval()


def judge(ways: Iterable[Way]) -> list[dict[str, Any]]:
    """One record per way: time, ratio with interval, and SQNR against fp32."""
    named = {way.name: way for way in ways}
    if not named.keys() >= {REFERENCE, BASE}:
        return [
            {"way": name, "error": "eager did not run: nothing to compare with"} for name in named
        ]
    expected = _answer(named[REFERENCE])
    cells = []
    for way in named.values():
        value, low, high = ratio(named[BASE], way)
        calls = np.concatenate(way.rounds)
        cells.append(
            {
                "way": way.name,
                "seconds": float(np.median(calls)),
                "p95_seconds": float(np.quantile(calls, 0.95)),
                "n": len(calls),
                "ratio": value,
                "low": low,
                "high": high,
                "sqnr": sqnr(expected, _answer(way)),
                "build_seconds": way.build_seconds,
                "memory_bytes": way.memory_bytes,
                **way.facts,
            }
        )
    return sorted(cells, key=lambda cell: cell["seconds"])


def _answer(way: Way) -> np.ndarray:
    set_arithmetic(way.arithmetic)
    return np.array(way.call(), np.float32)


def failed(cell: dict[str, Any]) -> bool:
    return "error" in cell or cell["sqnr"] < FLOOR_DB


def show(title: str, cells: Iterable[dict[str, Any]]) -> None:
    print(
        f"\n{title}\n{'way':44s} {'ms':>9s} {'ratio':>7s} {'95 %':>15s} {'dB':>6s} {'build s':>8s}"
    )
    for cell in cells:
        if "error" in cell:
            print(f"{cell['way']:44s} FAILED: {cell['error'][:110]}")
            continue
        interval = f"[{cell['low']:.2f}, {cell['high']:.2f}]"
        wrong = "  WRONG" if failed(cell) else ""
        print(
            f"{cell['way']:44s} {cell['seconds'] * 1e3:9.3f} {cell['ratio']:6.2f}x {interval:>15s} "
            f"{cell['sqnr']:6.1f} {cell['build_seconds']:8.1f}{wrong}",
            flush=True,
        )


def machine(modules: Any, cpu: bool) -> dict[str, Any]:
    """The device and the versions; with Hasten at hand, its own facts and measured peaks."""
    told = {
        "torch": torch.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }
    told |= {"cuda": torch.version.cuda, "os": platform.platform(terse=True)}
    if not cpu:
        told |= {"name": torch.cuda.get_device_name(), "cudnn": torch.backends.cudnn.version()}
        if modules:
            target = modules[0].targets.get("gpu")
            told |= {"target": dict(target.probe()), "measured": dict(target.measure())}
    return told


def arguments(words: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--batches", default="1,64")
    parser.add_argument("--ways", default=",".join([*BUILDERS, "hasten"]))
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=0.03, help="per turn of one way")
    parser.add_argument("--limit-minutes", type=float, default=60.0, help="start no row after this")
    parser.add_argument("--out", type=Path, help="a JSON file that grows row by row")
    parser.add_argument("--dry-run-cpu", action="store_true", help="tiny shapes on the CPU")
    given = parser.parse_args(words)
    for name in given.models.split(","):
        if name not in MODELS:
            parser.error(f"unknown model '{name}'; known: {', '.join(MODELS)}")
    for kind in given.ways.split(","):
        if kind not in {*BUILDERS, "hasten"}:
            parser.error(f"unknown way '{kind}'; known: {', '.join([*BUILDERS, 'hasten'])}")
    return given


def main(words: list[str] | None = None) -> int:
    given = arguments(words)
    if not given.dry_run_cpu and not torch.cuda.is_available():
        print(
            f"No CUDA device: torch {torch.__version__} finds none. Nothing was measured. "
            "Try the logic with --dry-run-cpu."
        )
        return 2
    # Every way compiles the same code objects; at the usual limit torch would go back to eager.
    torch._dynamo.config.recompile_limit = 256
    torch._dynamo.config.fail_on_recompile_limit_hit = True
    modules = hasten_modules()
    record = {"machine": {}, "rows": {}}
    if given.out and given.out.exists():
        record = json.loads(given.out.read_text())
    record["machine"] = record["machine"] or machine(modules, given.dry_run_cpu)
    print(json.dumps(record["machine"], default=str)[:2000])
    end = time.monotonic() + 60 * given.limit_minutes
    for name in given.models.split(","):
        for batch in map(int, given.batches.split(",")):
            title = f"{name}, batch {batch}"
            if title in record["rows"] or time.monotonic() > end:
                print(f"\n{title}: {'done before' if title in record['rows'] else 'no time left'}")
                continue
            record["rows"][title] = run_row(MODELS[name], batch, given, modules)
            torch._dynamo.reset()
            torch.cuda.empty_cache()
            show(title, record["rows"][title])
            if given.out:
                given.out.write_text(json.dumps(record, indent=1, default=str))
    return int(any(failed(cell) for cells in record["rows"].values() for cell in cells))


if __name__ == "__main__":
    sys.exit(main())
