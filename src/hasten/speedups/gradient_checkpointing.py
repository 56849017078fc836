"""Activations computed again in the backward pass, not kept: less memory for more time.

**Source:** Chen et al., arXiv:1604.06174, by ``torch.utils.checkpoint`` of PyTorch 2.13 (not
reentrant). A chain of ``n`` layers is divided into about ``sqrt(n)`` segments of which the inputs
alone are kept. Here batch normalisation takes in every batch once: the second pass leaves the
running statistics alone, so every bit of the result stays.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from hasten.plugin import Facts, Setup, Speedup
from hasten.types import Verdict

if TYPE_CHECKING:
    import torch


class GradientCheckpointing(Speedup):
    """For deep networks, where memory runs out."""

    kind = "system"
    order = 60
    tried = False
    exact = True
    saves_memory = True
    changes = "which activations are kept"
    expected = "activations of about the square root as many layers, for a third more time"

    def supports(self, setup: Setup, target: Facts) -> Verdict:
        if _recompute in setup.prepare:
            return Verdict(False, "it is in use already")
        if next(_chains(setup.module), None) is None:
            return Verdict(False, "the network has no chain of layers (nn.Sequential, ModuleList)")
        return Verdict(True)

    def apply(self, setup: Setup, options: Any) -> Setup:
        return replace(setup, prepare=(*setup.prepare, _recompute))


def _chains(module: torch.nn.Module) -> Iterator[torch.nn.Module]:
    """The outermost chains of layers: those whose parts follow on each other."""
    import torch

    if isinstance(module, torch.nn.Sequential | torch.nn.ModuleList) and len(module) > 2:
        yield module
        return
    for child in module.children():
        yield from _chains(child)


def _recompute(module: torch.nn.Module) -> None:
    """Change how the chains of ``module`` are computed; its weights keep their names."""
    import torch

    for found in list(_chains(module)):
        chain: Any = found
        parts: list[Any] = list(chain.children())
        if isinstance(chain, torch.nn.Sequential):
            size = math.ceil(len(parts) / max(2, math.isqrt(len(parts))))
            segments = [parts[start : start + size] for start in range(0, len(parts), size)]
            chain.forward = partial(_through, chain, segments)
        else:
            for part in parts:
                part.forward = partial(_again, part, part.forward)


def _through(chain: torch.nn.Module, segments: list[list[torch.nn.Module]], x: Any) -> Any:
    """A chain, segment by segment; the last one's activations are needed at once, so they stay."""

    def run(segment: list[torch.nn.Module], x: Any) -> Any:
        for part in segment:
            x = part(x)
        return x

    for segment in segments[:-1]:
        x = _again(chain, partial(run, segment), x)
    return run(segments[-1], x)


def _again(module: torch.nn.Module, run: Callable[..., Any], *given: Any, **named: Any) -> Any:
    """``run``, and once more in the backward pass."""
    import torch
    from torch.utils.checkpoint import checkpoint

    if not (module.training and torch.is_grad_enabled()):
        return run(*given, **named)
    return checkpoint(
        run,
        *given,
        use_reentrant=False,
        context_fn=lambda: (nullcontext(), _statistics_left(module)),
        **named,
    )


@contextmanager
def _statistics_left(module: torch.nn.Module) -> Iterator[None]:
    """Batch normalisation that normalises by the batch, but does not note what it saw."""
    norms: list[Any] = [
        part for part in module.modules() if getattr(part, "track_running_stats", False)
    ]
    usual = [(norm.momentum, norm.num_batches_tracked.clone()) for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, (momentum, batches) in zip(norms, usual, strict=True):
            norm.momentum = momentum
            norm.num_batches_tracked.copy_(batches)
