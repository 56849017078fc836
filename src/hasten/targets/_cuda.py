"""What ``torch.cuda`` says and reaches: facts of the device, peaks of products, memory traffic.

**Source:** PyTorch ``torch.cuda`` and ``torch.backends``; ``set_float32_matmul_precision("high")``
is TF32. Works on ROCm builds too, which answer through the same names.
``python -m hasten.targets._cuda`` prints the facts as JSON.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from hasten.targets._jobs import Job, Jobs, Request
from hasten.targets._torch import product

SIDES = (4096, 8192)
CALLS = 10
"""Calls per timing: waiting for the device costs microseconds, which ten calls make small."""
MOST_STREAM_BYTES = 1 << 30


def describe(torch: Any) -> dict[str, Any]:
    """Facts of the first device; ``present`` is false, with the reason, where there is none."""
    told = {"torch": torch.__version__, "cuda": torch.version.cuda}
    if not torch.cuda.is_available():
        build = torch.version.cuda or getattr(torch.version, "hip", None)
        why = "torch finds no device it can use" if build else "this torch is built for CPUs only"
        return {**told, "present": False, "reason": f"{why} (torch {torch.__version__})"}
    device = torch.cuda.get_device_properties(0)
    return {
        **told,
        "present": True,
        "torch_cuda": True,
        "vendor": "amd" if getattr(torch.version, "hip", None) else "nvidia",
        "name": device.name,
        "count": torch.cuda.device_count(),
        "memory_bytes": device.total_memory,
        "compute_capability": f"{device.major}.{device.minor}",
        "multiprocessors": device.multi_processor_count,
        "cudnn": torch.backends.cudnn.version(),
    }


def products(dtype: str, request: Request) -> Iterator[Job]:
    import torch

    names = {"f16": torch.float16, "bf16": torch.bfloat16, "int8": torch.int8}
    torch.set_float32_matmul_precision("high" if dtype == "tf32" else "highest")
    for side in SIDES:
        call = product(side, names.get(dtype, torch.float32), "cuda")
        yield Job(f"matrix product {side}", 2.0 * side**3 * CALLS, _repeated(call))


def traffic(request: Request) -> Iterator[Job]:
    import torch

    free, _ = torch.cuda.mem_get_info()
    size = min(MOST_STREAM_BYTES, free // 8)
    source, target = (torch.ones(size // 4, device="cuda") for _ in "st")
    yield Job("read", float(size * CALLS), _repeated(partial(torch.sum, source)))
    yield Job("copy", 2.0 * size * CALLS, _repeated(partial(target.copy_, source)))


def _repeated(call: Callable[[], object]) -> Callable[[], object]:
    import torch

    def calls() -> None:
        for _ in range(CALLS):
            call()
        torch.cuda.synchronize()

    return calls


QUANTITIES: dict[str, Jobs] = {
    "bandwidth": traffic,
    **{dtype: partial(products, dtype) for dtype in ("f32", "tf32", "f16", "bf16", "int8")},
}

if __name__ == "__main__":
    import torch

    print(json.dumps(describe(torch)))
