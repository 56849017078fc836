"""Weights for models that nobody trained: seeded, then settled on real pictures.

With BatchNorm's initial statistics (0 and 1) activations grow or vanish from block to block, as
in no trained network, and a quantised copy would be judged on that. One pass over real samples
gives every BatchNorm the statistics of what reaches it. The result is kept in the cache, so that
each process that builds the model gets the same numbers, and gets them fast.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn

import bench.samples
from hasten.search.store import cache_folder
from hasten.types import digest

SETTLING_SAMPLES = 32


def seeded(make: Callable[[], nn.Module], seed: int) -> nn.Module:
    """The module that ``make`` builds, in eval mode; the caller's random state stays as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make().eval()


def settled(
    make: Callable[[], nn.Module], seed: int, sample: Callable[[int], np.ndarray]
) -> nn.Module:
    """A seeded module whose BatchNorm statistics come from ``sample(count)``."""
    module = seeded(make, seed)
    kept = _kept(module, seed)
    if kept.exists():
        module.load_state_dict(load_file(kept))
        return module
    settle(module, torch.from_numpy(sample(SETTLING_SAMPLES)))
    kept.parent.mkdir(parents=True, exist_ok=True)
    aside = kept.with_suffix(f".{os.getpid()}")
    save_file(module.state_dict(), aside)
    aside.replace(kept)
    return module


def settle(module: nn.Module, inputs: torch.Tensor) -> None:
    """Give every BatchNorm the mean and variance of what reaches it in one pass."""
    norms = [part for part in module.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain average, so that one pass is enough
        norm.train()
    with torch.no_grad():
        module(inputs)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
        norm.eval()


def _kept(module: nn.Module, seed: int) -> Path:
    """Where these weights are kept: the name changes with the code, the samples and the seed."""
    source = inspect.getsource(inspect.getmodule(type(module)) or type(module))
    samples = inspect.getsource(bench.samples)
    with torch.no_grad():
        drawn = b"".join(p.flatten()[:64].numpy().tobytes() for p in module.parameters())
    key = digest(source, samples, drawn, torch.__version__)
    return (
        cache_folder()
        / "bench"
        / "weights"
        / f"{type(module).__name__}-{seed}-{key[:16]}.safetensors"
    )
