"""What a run is made of: the model, the machine, the settings that change what is learned."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING, Any

from hasten.evidence import versions
from hasten.plugin import Facts
from hasten.types import Data

if TYPE_CHECKING:
    import torch

PACKAGES = ("hasten", "numpy", "torch")


def machine(target: Facts, threads: int) -> dict[str, Any]:
    """Where and with what it was trained."""
    return {
        "name": target.get("name"),
        "cores": target.get("cores"),
        "threads": threads,
        "os": platform.platform(terse=True),
        "python": platform.python_version(),
        "versions": {name: version for name, version in versions().items() if name in PACKAGES},
    }


def traits(module: torch.nn.Module, data: Data) -> frozenset[str]:
    """What speed-ups ask for."""
    import torch

    kinds = {type(part) for part in module.modules()}
    found = set()
    if torch.nn.Conv2d in kinds:
        found.add("convolution")
    if kinds & {torch.nn.LSTM, torch.nn.GRU, torch.nn.RNN}:
        found.add("recurrent")
    ranks = {array.ndim for array in data.inputs.values()}
    if ranks == {4}:
        found.add("pictures")
    if ranks == {5}:
        found.add("clips")
    return frozenset(found)
