"""``torch.compile``: Inductor generates fused kernels for one shape, with weights frozen in.

**Source:** PyTorch 2.13, Inductor with ``freezing`` (constant folding, BatchNorm folded into
convolutions, weights packed for oneDNN) as its inference tutorials say. Freezing needs grad mode
off when the first call compiles. Compiled code is cached by PyTorch itself.
"""

from __future__ import annotations

import os
import shutil
import sysconfig
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from hasten.engines._torch import (
    DEVICES,
    TorchRunner,
    finer_threads,
    granted_threads,
    low_precision,
    prepared,
    set_threads,
)
from hasten.engines._torch_cuda import CudaRunner
from hasten.errors import HastenError, Unsupported
from hasten.plugin import Engine, Facts, Runner, distribution
from hasten.types import Model, Verdict, Workload

COMPILERS = ("g++", "clang++")
RECOMPILES = 256
"""How often one process may compile the same source: once per runner of a class of modules."""


class TorchCompile(Engine):
    """Compiles the module with Inductor."""

    accepts = ("torch",)
    targets = ("cpu", "gpu")
    requires = ("torch>=2.11",)
    extra = "torch"
    typical_seconds = 18.0

    @dataclass(frozen=True, kw_only=True)
    class Options:
        """``threads`` per call (``None``: what the workload grants, else PyTorch's choice);
        ``streams`` of calls at once for throughput; ``precision`` by autocast; ``mode`` as in
        ``torch.compile`` (``"reduce-overhead"``: CUDA graphs)."""

        threads: int | None = None
        streams: int = 1
        channels_last: bool = False
        precision: Literal["f32", "tf32", "bf16", "f16"] = "f32"
        mode: Literal["default", "reduce-overhead", "max-autotune"] = "default"

    def installed(self) -> Verdict:
        verdict = super().installed()
        return verdict if not verdict else _toolchain()

    def supports(self, form: str, traits: frozenset[str], workload: Workload) -> Verdict:
        if workload.target == "gpu" and not distribution("triton"):
            return Verdict(False, "needs triton on a GPU", "pip install triton")
        return super().supports(form, traits, workload)

    def space(
        self, traits: frozenset[str], target: Facts, workload: Workload
    ) -> Iterable[Mapping[str, Any]]:
        low = low_precision(target, workload)
        precisions = [{"precision": low}, {}] if low else [{}]
        if workload.target == "gpu":
            layout = {"channels_last": True} if "convolution" in traits else {}
            precisions.insert(1, {"precision": "tf32"})
            yield from ({"mode": "reduce-overhead", **p, **layout} for p in precisions)
            yield {"mode": "max-autotune", **precisions[0], **layout}
            return
        yield from precisions
        granted = granted_threads(target, workload)
        if workload.objective == "throughput" and granted > 1:
            yield {"streams": granted, "threads": 1, **precisions[0]}

    def refine(
        self, options: Mapping[str, Any], target: Facts, workload: Workload
    ) -> Iterable[Mapping[str, Any]]:
        return finer_threads(target, workload)

    def compile(self, model: Model, workload: Workload, options: Options) -> Runner:
        import torch
        from torch._dynamo import config as dynamo
        from torch._inductor import config as inductor

        device = DEVICES[workload.target]
        threads = set_threads(options.threads, options.streams, workload)
        module = prepared(model, device, options.channels_last, options.precision)
        facts = {
            "threads": threads,
            "streams": options.streams,
            "precision": options.precision,
            "channels_last": options.channels_last,
            "mode": options.mode,
            "freezing": True,
            "device": device,
            "version": torch.__version__,
        }
        kind = TorchRunner if device == "cpu" else CudaRunner
        try:
            # Past the limit, PyTorch would silently go back to eager.
            limits = dynamo.patch(recompile_limit=RECOMPILES, fail_on_recompile_limit_hit=True)
            with inductor.patch(freezing=True), limits:
                compiled = torch.compile(module, dynamic=False, mode=options.mode)
                return kind(compiled, model, workload, torch.no_grad, facts)
        except HastenError:
            raise
        except Exception as error:
            # Dynamo and Inductor raise errors of many unrelated classes.
            reason = str(error).strip().partition("\n")[0] or type(error).__name__
            raise Unsupported(f"Cannot compile the model with 'torch_compile': {reason}") from error


def _toolchain() -> Verdict:
    """Whether Inductor can compile C++ for Python here."""
    wanted = (os.environ["CXX"],) if os.environ.get("CXX") else COMPILERS
    if not any(map(shutil.which, wanted)):
        return Verdict(
            False, f"no C++ compiler is found ({', '.join(wanted)})", "apt-get install g++"
        )
    headers = sysconfig.get_paths()["include"]
    if not (Path(headers) / "Python.h").is_file():
        return Verdict(False, "Python's C headers are missing", "apt-get install python3-dev")
    return Verdict(True)
