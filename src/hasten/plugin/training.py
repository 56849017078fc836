"""The family that makes training faster, and the setup that its members change."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from hasten.errors import Unsupported
from hasten.plugin.base import Facts, Plugin
from hasten.types import Verdict

if TYPE_CHECKING:
    import torch

    Peek = Callable[[int], torch.Tensor]
    Augment = Callable[[torch.Tensor, Any, "Moment"], tuple[torch.Tensor, Any]]
    """``(inputs, targets, moment) -> (inputs, targets)`` of one batch, on tensors as the model
    takes them. Random numbers come from PyTorch's own generator, which is seeded for every step."""


@dataclass(frozen=True)
class Moment:
    """Where in the run a batch is learned from: what augmentation may depend on besides chance.

    ``share`` of the run is done, ``epoch`` counts from 0, and ``numbers`` ``(batch,)`` are the
    samples' own, the same in every epoch.
    """

    share: float
    epoch: int
    numbers: torch.Tensor


@dataclass(frozen=True)
class Setup:
    """How a model is trained: every part that a speed-up may replace.

    Nothing in it has run: ``hasten.training.loop.Trainer`` makes it real, and the planner makes two
    of them real to time one against the other.

    ``module`` is the fp32 model, never changed itself. ``loss(outputs, targets)`` gives a scalar;
    ``loss_name`` is what users call it.
    ``optimizer`` is made from the prepared module; ``schedule`` gives the factor of its learning
    rates from the share of the run that is done. ``prepare`` changes the copy of the module that
    learns, ``fills`` before that what is computed from the training samples (of every fold anew),
    ``place`` every batch of inputs; ``around`` is entered around forward and loss.
    ``feed`` names how samples become batches: ``"loader"`` (``torch.utils.data.DataLoader``) or
    ``"resident"`` (one tensor, indexed). ``average(module)`` gives what follows the weights:
    ``hasten.speedups._average.Average`` is its protocol. ``states`` are what the whole process is
    in while it trains: entered before the first step, left after the last.

    ``device`` is a name of PyTorch's. ``samples`` counts those learned from, and ``peek(n)`` gives
    the inputs of ``n`` of them, as the model takes them. ``fixed`` names what the user decided
    himself (``"batch"``, ``"threads"``): no speed-up changes it.
    """

    module: torch.nn.Module
    loss: Callable[[Any, Any], torch.Tensor]
    optimizer: Callable[[torch.nn.Module], torch.optim.Optimizer]
    schedule: Callable[[float], float]
    epochs: float
    batch: int
    task: str = "classification"
    loss_name: str = ""
    traits: frozenset[str] = frozenset()
    feed: Literal["loader", "resident"] = "loader"
    threads: int | None = None
    prepare: tuple[Callable[[torch.nn.Module], None], ...] = ()
    fills: tuple[Callable[[torch.nn.Module, Peek], None], ...] = ()
    place: tuple[Callable[[torch.Tensor], torch.Tensor], ...] = ()
    around: Callable[[], AbstractContextManager[Any]] = nullcontext
    compiled: Callable[[torch.nn.Module], Callable[..., Any]] | None = None
    augment: tuple[Augment, ...] = ()
    average: Callable[[torch.nn.Module], Any] | None = None
    states: tuple[Callable[[], AbstractContextManager[Any]], ...] = ()
    clip: float | None = None
    accumulate: int = 1
    device: str = "cpu"
    samples: int = 0
    peek: Peek | None = None
    fixed: frozenset[str] = frozenset()


class Speedup(Plugin):
    """One idea that makes training faster: it replaces parts of a ``Setup``.

    ``kind`` is ``"system"`` where the model learns what it would have learned anyway, up to
    rounding, and ``"algorithm"`` where it learns something else: the two are reported apart.
    ``changes`` and ``expected`` are the card: what it changes, and the gain its source claims;
    ``bench/speedups.py`` measures what it gains here.
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
    tried: ClassVar[bool | None] = None
    """Whether the planner times it; ``None``: if it is a systems one. Others are used on request
    or where a recipe lists them."""
    needs_whole_batches: ClassVar[bool] = False
    """Whether what it gains depends on the size of the batch."""
    worth: ClassVar[float] = 1.02
    """The least gain, at the interval's lower end, for which the planner keeps it."""
    saves_memory: ClassVar[bool] = False
    """Whether it is used where memory runs out; it then acts through ``prepare`` alone."""
    network: ClassVar[Mapping[str, Any]] = {}
    """The options that a recipe's network must be made with for it."""

    def supports(self, setup: Setup, target: Facts) -> Verdict:
        """Whether it fits this model, data and machine."""
        return Verdict(True)

    def space(self, setup: Setup, target: Facts) -> Iterable[Mapping[str, Any]]:
        """The options that the planner tries; it keeps the best. Usually the defaults alone."""
        return ({},)

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
