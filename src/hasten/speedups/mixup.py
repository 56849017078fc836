"""Every sample mixed with another one of its batch, and its targets likewise.

**Source:** Zhang et al., arXiv:1710.09412, in the form of its authors: one share for the whole
batch, drawn from Beta(strength, strength), and the two losses in that share. It pays in long runs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from hasten.errors import BadInput, Unsupported
from hasten.plugin import Facts, Moment, Setup, Speedup
from hasten.types import Verdict

if TYPE_CHECKING:
    import torch


class Mixed(NamedTuple):
    """The targets of both samples, and the share of the first."""

    one: Any
    other: Any
    share: Any


class Mixup(Speedup):
    """For inputs that can be mixed: pictures, vectors, series; not for indices."""

    kind = "algorithm"
    order = 70  # it wraps the loss that others choose
    changes = "the samples, their targets and the loss"
    expected = "higher accuracy from many epochs; with few it costs some"

    @dataclass(frozen=True, kw_only=True)
    class Options:
        """``strength``: near 0 hardly mixes, 1 draws every share alike."""

        strength: float = 0.2

        def __post_init__(self) -> None:
            if not self.strength > 0:
                raise BadInput(f"Cannot mix with strength {self.strength}: it must be above 0.")

    def supports(self, setup: Setup, target: Facts) -> Verdict:
        if setup.task not in ("classification", "multilabel"):
            return Verdict(False, "it is for classes and labels")
        return Verdict(True)

    def apply(self, setup: Setup, options: Any) -> Setup:
        def mix(inputs: torch.Tensor, targets: Any, moment: Moment) -> tuple[torch.Tensor, Any]:
            return mixed(inputs, targets, options.strength)

        def loss(outputs: Any, targets: Any) -> Any:
            if not isinstance(targets, Mixed):
                return setup.loss(outputs, targets)
            one, other = (setup.loss(outputs, side) for side in (targets.one, targets.other))
            return targets.share * one + (1 - targets.share) * other

        return replace(setup, augment=(*setup.augment, mix), loss=loss)


def mixed(inputs: torch.Tensor, targets: Any, strength: float) -> tuple[torch.Tensor, Mixed]:
    """``(batch, ...)`` mixed with itself in another order."""
    import torch

    if not inputs.is_floating_point():
        raise Unsupported("Cannot use speed-up 'mixup': the inputs are indices. Leave it out.")
    share = torch.distributions.Beta(strength, strength).sample()
    order = torch.randperm(len(inputs), device=inputs.device)
    both = inputs.lerp(inputs[order], (1 - share).to(inputs.device))
    return both, Mixed(targets, targets[order], share)
