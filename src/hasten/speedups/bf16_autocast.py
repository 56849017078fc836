"""Products in bfloat16, weights and sums in float32.

**Source:** ``torch.autocast`` of PyTorch 2.13 on the CPU; 1.3 to 1.7 times where convolutions
dominate, less than 1 where channels are few (notes of Intel and Meta on Cooper Lake).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hasten.plugin import Facts, Setup, Speedup
from hasten.types import Verdict

NATIVE = {"avx512_bf16", "amx_bf16", "bf16"}


class Bf16Autocast(Speedup):
    """For CPUs that multiply bfloat16 themselves, and for GPUs."""

    kind = "system"
    order = 30
    changes = "the precision of products"
    expected = "1.3 to 2 times on convolutions and matrix products"

    def supports(self, setup: Setup, target: Facts) -> Verdict:
        if target.get("kind") != "gpu" and not NATIVE & set(target.get("isa", ())):
            return Verdict(False, "this CPU has no bfloat16 products")
        return Verdict(True)

    def apply(self, setup: Setup, options: Any) -> Setup:
        import torch

        def around() -> Any:
            return torch.autocast(setup.device.partition(":")[0], torch.bfloat16)

        return replace(setup, around=around)
