"""Convolutions that begin by passing their input on.

**Source:** airbench (arXiv:2404.00498, section 3.3) after Zagoruyko and Komodakis,
arXiv:1706.00388: the first ``inputs`` filters of a layer are the identity (``nn.init.dirac_``);
1.18 times fewer epochs on CIFAR-10 there.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hasten.plugin import Facts, Setup, Speedup
from hasten.types import Verdict

if TYPE_CHECKING:
    import torch


class IdentityInit(Speedup):
    """For convolutions with at least as many outputs as inputs, the first layer left out."""

    kind = "algorithm"
    changes = "the initial weights"
    expected = "1.2 times fewer epochs on CIFAR-10"

    def supports(self, setup: Setup, target: Facts) -> Verdict:
        if "convolution" not in setup.traits:
            return Verdict(False, "it is for convolutions over pictures")
        return Verdict(True)

    def apply(self, setup: Setup, options: Any) -> Setup:
        return replace(setup, prepare=(_begin, *setup.prepare))


def _begin(module: torch.nn.Module) -> None:
    import torch

    layers = [part for part in module.modules() if isinstance(part, torch.nn.Conv2d)]
    for layer in layers[1:]:
        if layer.groups == 1 and layer.out_channels >= layer.in_channels:
            with torch.no_grad():
                torch.nn.init.dirac_(layer.weight[: layer.in_channels])
