"""The family that makes training faster, and the setup that its members change."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from hasten.errors import Unsupported
from hasten.plugin.base import Facts, Plugin
from hasten.types import Verdict

if TYPE_CHECKING:
    import torch

    Augment = Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]
    """``(inputs, targets) -> (inputs, targets)`` of one batch, on tensors as the model takes them.
    Random numbers come from PyTorch's own generator, which is seeded for every step."""


@dataclass(frozen=True)
class Setup:
    """How a model is trained: every part that a speed-up may replace.

    Nothing in it has run: ``hasten.training.loop.Trainer`` makes it real, and the planner makes two
    of them real to time one against the other.

    ``module`` is the fp32 model, never changed itself. ``loss(outputs, targets)`` gives a scalar.
    ``optimizer`` is made from the prepared module; ``schedule`` gives the factor of its learning
    rates from the share of the run that is done. ``prepare`` changes the copy of the module that
    learns, ``place`` every batch of inputs; ``around`` is entered around forward and loss.
    ``feed`` names how samples become batches: ``"loader"`` (``torch.utils.data.DataLoader``) or
    ``"resident"`` (one tensor, indexed).
    """

    module: torch.nn.Module
    loss: Callable[[Any, Any], torch.Tensor]
    optimizer: Callable[[torch.nn.Module], torch.optim.Optimizer]
    schedule: Callable[[float], float]
    epochs: float
    batch: int
    task: str = "classification"
    traits: frozenset[str] = frozenset()
    feed: Literal["loader", "resident"] = "loader"
    threads: int | None = None
    prepare: tuple[Callable[[torch.nn.Module], None], ...] = ()
    place: tuple[Callable[[torch.Tensor], torch.Tensor], ...] = ()
    around: Callable[[], AbstractContextManager[Any]] = nullcontext
    compiled: Callable[[torch.nn.Module], Callable[..., Any]] | None = None
    augment: tuple[Augment, ...] = ()
    average: Callable[[torch.nn.Module], Any] | None = None
    clip: float | None = None
    accumulate: int = 1


class Speedup(Plugin):
    """One idea that makes training faster: it replaces parts of a ``Setup``.

    ``kind`` is ``"system"`` where the model learns what it would have learned anyway, up to
    rounding, and ``"algorithm"`` where it learns something else: the two are reported apart.
    ``changes`` and ``expected`` are the card: what it changes, and the gain its source claims.
    """

    family = "speedups"
    requires = ("torch>=2.11",)
    extra = "torch"
    kind: ClassVar[Literal["system", "algorithm"]]
    changes: ClassVar[str]
    expected: ClassVar[str]
    order: ClassVar[int] = 50
    """The planner tries the lower first, because others build on it."""
    exact: ClassVar[bool] = False
    """Whether every bit of the result stays as it is."""
    costs: ClassVar[bool] = False
    """Whether it has a price of its own (compiling), which the steps left must pay back."""

    def supports(self, setup: Setup, target: Facts) -> Verdict:
        """Whether it fits this model, data and machine."""
        return Verdict(True)

    @abstractmethod
    def apply(self, setup: Setup, options: Any) -> Setup:
        """The setup with this idea in it."""

    def __call__(
        self, setup: Setup, target: Facts, given: Mapping[str, Any] | None = None
    ) -> Setup:
        """Apply it, or raise ``Unsupported`` with the reason."""
        self._require()
        chosen = self.options(given or {})
        if not (verdict := self.supports(setup, target)):
            raise Unsupported(f"Cannot use speed-up '{self.name}': {verdict.why}. {verdict.fix}")
        return self.apply(setup, chosen)
