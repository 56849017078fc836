"""Weights and activations in bfloat16, normalisations and the optimiser's state in float32.

**Source:** Micikevicius et al., arXiv:1710.03740, section 3.1 (a float32 master copy of the
weights), with bfloat16 as in Kalamkar et al., arXiv:1905.12322. The optimiser updates the master
copy; what answers is that copy rounded. Unlike autocast nothing is cast inside a step, and what
lies between two products moves half the bytes.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hasten.plugin import Facts, Setup, Speedup
from hasten.types import Verdict

if TYPE_CHECKING:
    import torch

NATIVE = {"avx512_bf16", "amx_bf16", "bf16"}
MASTER = "master"


class Bf16Weights(Speedup):
    """For CPUs that multiply bfloat16 themselves, and for GPUs."""

    kind = "system"
    order = 45
    changes = "the precision of weights and activations"
    expected = "1.3 to 2 times where memory limits; more than autocast where layers are small"

    def supports(self, setup: Setup, target: Facts) -> Verdict:
        if target.get("kind") != "gpu" and not NATIVE & set(target.get("isa", ())):
            return Verdict(False, "this CPU has no bfloat16 products")
        return Verdict(True)

    def apply(self, setup: Setup, options: Any) -> Setup:
        return replace(
            setup,
            prepare=(*setup.prepare, _halved),
            place=(*setup.place, _half),
            optimizer=lambda module: mastered(module, setup.optimizer),
        )


def _halved(module: torch.nn.Module) -> None:
    """All floating-point weights in bfloat16, but for those of normalisations."""
    import torch

    for part in module.modules():
        if not _normalises(part):
            for weight in part.parameters(recurse=False):
                if weight.is_floating_point():
                    weight.data = weight.data.to(torch.bfloat16)
            for name, value in list(part.named_buffers(recurse=False)):
                if value.is_floating_point():
                    part.register_buffer(name, value.to(torch.bfloat16))


def _normalises(part: torch.nn.Module) -> bool:
    return "norm" in type(part).__name__.lower()


def _half(inputs: torch.Tensor) -> torch.Tensor:
    import torch

    return inputs.to(torch.bfloat16) if inputs.is_floating_point() else inputs


def mastered(
    module: torch.nn.Module, make: Callable[[torch.nn.Module], torch.optim.Optimizer]
) -> Any:
    """The optimiser of a float32 copy of ``module``, which gives its weights back rounded."""
    import torch

    masters = copy.deepcopy(module).float()
    inner = make(masters)
    pairs = list(zip(module.parameters(), masters.parameters(), strict=True))

    class WithMasters(torch.optim.Optimizer):
        """Its groups and settings are those of the optimiser inside."""

        def __init__(self) -> None:
            super().__init__([torch.zeros(0)], dict(inner.defaults))
            self.param_groups = inner.param_groups

        def zero_grad(self, set_to_none: bool = True) -> None:
            module.zero_grad(set_to_none)
            inner.zero_grad(set_to_none)

        @torch.no_grad()
        def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
            for weight, master in pairs:
                if weight.grad is not None:
                    master.grad = weight.grad.float()
            inner.step()
            torch._foreach_copy_([w for w, _ in pairs], [m for _, m in pairs])

        def state_dict(self) -> dict[str, Any]:
            found = inner.state_dict()
            first = _count(found)
            own = {first + number: {MASTER: m.detach()} for number, (_, m) in enumerate(pairs)}
            return {**found, "state": {**found["state"], **own}}

        def load_state_dict(self, given: dict[str, Any]) -> None:
            first = _count(given)
            state = {key: value for key, value in given["state"].items() if key < first}
            inner.load_state_dict({**given, "state": state})
            self.param_groups = inner.param_groups
            with torch.no_grad():
                for number, (_, master) in enumerate(pairs):
                    master.copy_(given["state"][first + number][MASTER])

    return WithMasters()


def _count(state: dict[str, Any]) -> int:
    """The first number that no weight of an optimiser's state has."""
    numbers: list[int] = [n for group in state["param_groups"] for n in group["params"]]
    return 1 + max(numbers)
