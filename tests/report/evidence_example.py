"""A realistic evidence record to render: 14 plans tried on a ResNet-18 for Fashion-MNIST."""

from __future__ import annotations

import random
from typing import Any

from hasten.types import (
    Kernel,
    Normalisation,
    Plan,
    Ratio,
    Score,
    Spec,
    Step,
    TensorSpec,
    Trial,
    Use,
    Workload,
)

CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
REFERENCE_SECONDS = 9.81e-3
INT8 = ("techniques", Use.of("nncf_int8", preset="mixed", samples=300))
MIXED = ("techniques", Use.of("nncf_int8", keep=("conv1", "fc"), preset="mixed", samples=300))
QDQ = ("techniques", Use.of("onnxruntime_int8", per_channel=True))
FOLD = ("techniques", Use.of("fold_normalisation"))
TO_ONNX = ("converters", Use.of("onnx_from_torch"))
TO_OPENVINO = ("converters", Use.of("openvino_from_torch"))


def make_evidence(**changes: Any) -> dict[str, Any]:
    """The record as the road writes it; ``changes`` replace top-level entries."""
    trials = make_trials()
    record = {
        "hasten": "0.1.0",
        "created": "2026-05-04T09:30:12+00:00",
        "command": "hasten optimize shop.models:resnet18 --weights resnet18.safetensors "
        "--data fashion-mnist --max-drop 0.01 --threads 2 --budget 5m -o fast.hasten",
        "verdict": {
            "kept_original": False,
            "interrupted": False,
            "sentence": "15.7 times faster than the original (95 % interval 15.4 to 16.0), and "
            "accuracy is proven to drop by at most 0.38 percentage points.",
            "reason": "the fastest candidate within the limit",
            "warnings": ["Cold start grew from 0.41 s to 0.97 s: compiled at the first load."],
        },
        "model": {
            "name": "shop.models:resnet18",
            "form": "torch",
            "hash": "9f2c1d".ljust(64, "0"),
            "spec": _spec().to_json(),
            "traits": ["convolution"],
            "parameters": 11_175_370,
            "macs": 456_000_000,
            "size_bytes": 44_762_312,
        },
        "data": {
            "name": "fashion-mnist",
            "source": "Zalando Research, https://github.com/zalandoresearch/fashion-mnist",
            "licence": "MIT",
            "n": {"calibration": 300, "selection": 5000, "test": 10000},
            "read": {"selection": 8192, "test": 16384},
            "duplicates": 43,
            "notes": ["43 exact duplicates of training images were removed from selection."],
        },
        "limit": {
            "metric": "accuracy",
            "mode": "drop",
            "limit": 0.01,
            "why": "labels are given, so accuracy is compared; --max-drop 0.01",
        },
        "workload": Workload(1, (), 2).to_json(),
        "budget_seconds": 300.0,
        "machine": machine(),
        "reference": trials[0].key,
        "baseline": trials[3].key,
        "winner": trials[8].key,
        "trials": [trial.to_json() for trial in trials],
        "final": final(trials),
        "skipped": [
            {"plan": "int8_dynamic", "why": "needs a model with recurrent"},
            {"plan": "torch_compile(threads=1)", "why": "the budget was used up before it"},
        ],
        "per_class": per_class(CLASSES),
        "test_readings": 1,
        "duration": {"import": 4.2, "build": 148.0, "race": 71.5, "final": 29.3, "total": 253.0},
    }
    return {**record, **changes}


def _spec() -> Spec:
    return Spec(
        (TensorSpec("images", "float32", ("batch", 1, 28, 28)),),
        (TensorSpec("logits", "float32", ("batch", 10)),),
        "classification",
        CLASSES,
        {"images": Normalisation(1 / 255, (0.286,), (0.353,))},
    )


def machine() -> dict[str, Any]:
    return {
        "target": {
            "present": True,
            "name": "AMD EPYC 9655",
            "arch": "x86_64",
            "isa": ["avx2", "avx512f", "avx512_vnni", "avx512_bf16"],
            "cores": 2,
            "memory_bytes": 25_200_000_000,
            "caches": {"L1d": 49152, "L2": 1048576, "L3": 33554432},
        },
        "peaks": {"f32": 4.6e11, "bf16": 9.3e11, "int8": 1.9e12},
        "bandwidth_bytes_per_second": 4.1e10,
        "versions": {"torch": "2.13.0", "openvino": "2026.2.0", "onnxruntime": "1.24.1"},
        "os": "Linux 6.12 (Debian 13)",
        "python": "3.11.9",
        "load": [0.31, 0.42, 0.40],
    }


def final(trials: list[Trial]) -> dict[str, Any]:
    """Twelve fresh rounds of reference and winner that drift together."""
    noise = random.Random(5)
    rounds: dict[str, list[list[float]]] = {trials[0].key: [], trials[8].key: []}
    for turn in range(12):
        drift = 1 + 0.03 * noise.random() + (0.12 if turn == 7 else 0)
        for key, seconds in ((trials[0].key, REFERENCE_SECONDS), (trials[8].key, 0.624e-3)):
            calls = [seconds * drift * (1 + 0.015 * noise.random()) for _ in range(6)]
            rounds[key].append(calls)
    return {
        "ratio": Ratio(15.72, 15.43, 16.01, 12).to_json(),
        "baseline_ratio": Ratio(5.39, 5.28, 5.49, 12).to_json(),
        "rounds": rounds,
        "scores": [accuracy(0.9268, "test", 10000, 0.9281, "proven", 0.0025).to_json()],
        "disturbed_rounds": 1,
        "repeated_rounds": 1,
    }


def accuracy(
    value: float,
    split: str = "selection",
    n: int = 5000,
    reference: float = 0.9310,
    verdict: str = "proven",
    margin: float = 0.0031,
    needed: int = 0,
) -> Score:
    """A score whose bound lies ``margin`` beyond the drop."""
    drop = reference - value
    bound = drop + margin
    return Score("accuracy", split, n, reference, value, drop, bound, 0.01, verdict, needed)


def trial(
    name: str,
    engine: Use,
    *steps: tuple[str, Use],
    ms: float | None = None,
    spread: float = 0.02,
    status: str = "finalist",
    score: Score | None = None,
    **more: Any,
) -> Trial:
    """One trial whose ratio follows from ``ms`` and whose interval from ``spread``."""
    seconds = None if ms is None else ms / 1e3
    ratio = None
    if seconds and status != "reference":
        value = REFERENCE_SECONDS / seconds
        ratio = Ratio(value, value * (1 - spread), value * (1 + spread), 8)
    return Trial(
        Plan(steps, engine),
        key=name.ljust(16, "0"),
        status=status,
        spent=round(8 + 3.1 * len(name), 1),
        scores=[score] if score else [],
        ratio=ratio,
        seconds_per_call=seconds,
        p95_seconds=None if seconds is None else 1.09 * seconds,
        **more,
    )


def make_trials() -> list[Trial]:
    """The reference, ten that were measured, and three that never got so far."""
    openvino, compiled = Use.of("openvino", precision="f32"), Use.of("torch_compile")
    bf16, fast = (
        Use.of("openvino", precision="bf16"),
        Use.of("openvino", precision="bf16", threads=2),
    )
    same = {"facts": {"decisions_changed": 0}}
    sizes = {"memory_bytes": 203_000_000, "size_bytes": 44_800_000, "cold_start_seconds": 0.41}
    small = {"memory_bytes": 171_000_000, "size_bytes": 11_400_000, "cold_start_seconds": 0.97}
    unproven = accuracy(0.9241, verdict="unproven", margin=0.0046, needed=9400)
    broken = accuracy(0.8872, verdict="broken", margin=0.007)
    return [
        trial("reference", Use.of("torch_eager"), ms=9.81, status="reference", **sizes),
        trial("inductor", compiled, ms=5.02, difference=2.1e-6, **same, **sizes),
        trial("ort", Use.of("onnxruntime"), TO_ONNX, ms=4.30, difference=1.4e-6, **same),
        trial("ov", openvino, TO_OPENVINO, ms=3.36, difference=1.9e-6, **same, **sizes),
        trial("ovbf16", bf16, TO_OPENVINO, ms=1.52, score=accuracy(0.9306, margin=0.0012)),
        trial("inductorbf16", Use.of("torch_compile", precision="bf16"), ms=2.35, spread=0.06,
              status="dominated", score=accuracy(0.9304, margin=0.0013)),
        trial("ortint8", Use.of("onnxruntime"), TO_ONNX, QDQ, ms=1.12, spread=0.03, score=unproven),
        trial("int8", openvino, TO_OPENVINO, INT8, ms=0.71, score=accuracy(0.9296), layers=layers(),
              difference=0.031, **small),
        trial("winner", fast, TO_OPENVINO, FOLD, INT8, ms=0.624, status="winner",
              score=accuracy(0.9294), difference=0.034, kernels=kernels(), layers=layers(),
              facts={"INFERENCE_PRECISION_HINT": "bf16", "INFERENCE_NUM_THREADS": 2},
              history=[Step("converters", TO_OPENVINO[1], 2.1, 1.9e-6)], **small),
        trial("int8bf16", bf16, TO_OPENVINO, INT8, ms=0.667, score=accuracy(0.9295)),
        trial("dynamic", Use.of("onnxruntime"), TO_ONNX, ("techniques", Use.of("dynamic_int8")),
              ms=6.9, spread=0.08, status="broken", score=broken),
        trial("smooth", openvino, TO_OPENVINO, ("techniques", Use.of("smooth_quant", alpha=0.5)),
              status="failed", error="Cannot apply 'smooth_quant' to this model: it needs a model "
              "with attention."),
        trial("channels", Use.of("torch_compile", layout="channels-last", max_autotune=True),
              status="failed", error="The child process used more than 8.0 GB of memory and was "
              "stopped. Give it more with --memory, or leave the engine out."),
        trial("ortbf16", Use.of("onnxruntime", precision="bf16"), TO_ONNX, status="wrong",
              error="", difference=0.42),
    ]  # fmt: skip


def kernels() -> list[Kernel]:
    """ResNet-18 at 28 x 28 as a runtime's profile tells it: convolutions and what lies between."""
    noise = random.Random(3)
    found = [Kernel("images/Quantize", "Convert", "int8", 2.4e-6)]
    for stage, (channels, side) in enumerate(((64, 28), (128, 14), (256, 7), (512, 4)), 1):
        for block in (0, 1):
            for conv in (1, 2):
                halved = stage > 1 and block == 0 and conv == 1
                inputs = channels // 2 if halved else channels
                macs = side * side * channels * inputs * 9
                speed = (1.25e12 - 2.2e11 * (stage - 1)) * noise.uniform(0.85, 1.05)
                name = f"layer{stage}.{block}.conv{conv}"
                found.append(Kernel(name, "Convolution", "int8", 2 * macs / speed, macs))
            found.append(Kernel(f"layer{stage}.{block}.add", "Eltwise", "int8", 3.1e-6))
    found.insert(1, Kernel("conv1", "Convolution", "bf16", 9.2e-6, 28 * 28 * 64 * 9))
    found.append(Kernel("avgpool", "Pooling", "f32", 1.9e-6))
    found.append(Kernel("fc", "FullyConnected", "bf16", 2.2e-6, 5120))
    return found


def layers() -> dict[str, float]:
    """SQNR per layer in model order, falling as errors add up; one layer stands out."""
    noise = random.Random(8)
    names = ["conv1"] + [k.name for k in kernels() if k.name.startswith("layer")] + ["fc"]
    found = {name: 41 - 0.55 * i + noise.uniform(-2.5, 2.5) for i, name in enumerate(names)}
    return {**found, "layer3.0.conv1": 17.4}


def per_class(labels: tuple[str, ...]) -> list[dict[str, Any]]:
    """Accuracy of each class before and after; most hardly move."""
    noise = random.Random(2)
    rows = []
    for label in labels:
        before = min(0.995, noise.uniform(0.86, 1.0))
        after = max(0.0, min(1.0, before + noise.gauss(-0.0015, 0.004)))
        rows.append({"label": label, "n": 1000, "before": before, "after": after})
    return rows
