"""The loop: one setup made real, step by step, with nothing in between that costs time."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from hasten.errors import HastenError
from hasten.plugin.training import Setup
from hasten.training.answers import answers
from hasten.training.order import batch_count, epoch_order, step_seed
from hasten.training.samples import FEEDS, Samples

if TYPE_CHECKING:
    import torch

    State = tuple[dict[str, torch.Tensor], dict[str, Any]]


class NotFinite(HastenError):
    """The loss became NaN or infinite."""


class Trainer:
    """A model that learns as a ``Setup`` says.

    Step ``k`` depends on the state after step ``k - 1``, on the seed and on ``k`` alone, so a run
    can be left and entered at any step.
    """

    def __init__(self, setup: Setup, samples: Samples, seed: int) -> None:
        self.setup, self.samples, self.seed = setup, samples, seed
        self.module = copy.deepcopy(setup.module).train()
        for change in setup.prepare:
            change(self.module)
        self.optimizer = setup.optimizer(self.module)
        for group in self.optimizer.param_groups:
            group.setdefault("initial_lr", group["lr"])
        self.forward = setup.compiled(self.module) if setup.compiled else self.module
        self.average = setup.average(self.module) if setup.average else None
        self.accumulate = setup.accumulate
        self._count()
        self.done = 0

    def _count(self) -> None:
        """The steps of an epoch and of the run."""
        self.per_epoch = batch_count(len(self.samples), self.setup.batch)
        self.total = max(1, math.ceil(self.setup.epochs * self.per_epoch))

    @property
    def epoch_ended(self) -> bool:
        """Whether the last step was the last of an epoch, or of the run."""
        return self.done == self.total or self.done % self.per_epoch == 0

    # --- learning ---

    def epoch(self) -> Iterator[float]:
        """The steps left of the epoch that ``done`` stands in; yields the loss of each."""
        number, first = divmod(self.done, self.per_epoch)
        last = min(self.per_epoch, self.total - number * self.per_epoch)
        order = epoch_order(self.seed, number, len(self.samples))
        size = min(self.setup.batch, len(self.samples))
        batches = [order[step * size : (step + 1) * size] for step in range(first, last)]
        self.module.train()
        for inputs, targets in FEEDS[self.setup.feed](self.samples, batches):
            yield self.step(inputs, targets)

    def step(self, inputs: list[torch.Tensor], targets: torch.Tensor) -> float:
        """One step on one batch; returns its loss."""
        import torch

        torch.manual_seed(step_seed(self.seed, self.done))
        factor = self.setup.schedule(min(1.0, (self.done + 0.5) / self.total))
        for group in self.optimizer.param_groups:
            group["lr"] = group["initial_lr"] * factor
        self.optimizer.zero_grad(set_to_none=True)
        loss = self._gradients(inputs, targets)
        if not math.isfinite(loss):
            raise NotFinite(self._where(inputs, loss))
        if self.setup.clip is not None:
            torch.nn.utils.clip_grad_norm_(self.module.parameters(), self.setup.clip)
        self.optimizer.step()
        self.done += 1
        if self.average is not None:
            self.average.update(self.module, self.done / self.total)
        return loss

    def _gradients(self, inputs: list[torch.Tensor], targets: torch.Tensor) -> float:
        """Gradients of the mean loss over the batch, part by part if it is divided; the loss."""
        size, total = len(targets), 0.0
        part = -(-size // self.accumulate)
        for start in range(0, size, part):
            rows = slice(start, start + part)
            share = len(targets[rows]) / size
            loss = self._loss([tensor[rows] for tensor in inputs], targets[rows]) * share
            loss.backward()  # type: ignore[no-untyped-call]
            total += loss.item()
        return total

    def _loss(self, inputs: list[torch.Tensor], targets: torch.Tensor) -> torch.Tensor:
        for change in self.setup.augment:
            inputs[0], targets = change(inputs[0], targets)
        for place in self.setup.place:
            inputs[0] = place(inputs[0])
        with self.setup.around():
            return self.setup.loss(self.forward(*inputs), targets)

    def _where(self, inputs: list[torch.Tensor], loss: float) -> str:
        """The first layer whose output is not finite, found by a run of its own."""
        import torch

        found: list[str] = []

        def look(name: str) -> Any:
            def hook(module: Any, given: Any, output: Any) -> None:
                if isinstance(output, torch.Tensor) and not output.isfinite().all():
                    found.append(name)

            return hook

        handles = [
            module.register_forward_hook(look(name))
            for name, module in self.module.named_modules()
            if name and not list(module.children())
        ]
        with torch.no_grad(), self.setup.around():
            self.module(*inputs)
        for handle in handles:
            handle.remove()
        layer = (
            f"layer '{found[0]}' gives the first value that is not finite"
            if found
            else ("every layer's output is finite, so it comes from the loss itself")
        )
        rate = max(group["lr"] for group in self.optimizer.param_groups)
        return (
            f"The loss became {loss} at step {self.done} of {self.total} (learning rate "
            f"{rate:.3g}): {layer}. Lower the learning rate, or look at the inputs."
        )

    # --- answering ---

    def predict(self, samples: Samples) -> np.ndarray:
        """The model's outputs for some samples, float32 ``(n, ...)``, with averaged weights."""
        with self._answering() as module:
            return answers(module, samples, self.setup.place, self.setup.around)

    @contextmanager
    def _answering(self) -> Iterator[torch.nn.Module]:
        """The module in evaluation mode; with averaged weights where there are any."""
        held = self.average.swap(self.module) if self.average is not None and self.done else None
        self.module.eval()
        try:
            yield self.module
        finally:
            self.module.train()
            if self.average is not None and held is not None:
                self.average.restore(self.module, held)

    def weights(self) -> dict[str, torch.Tensor]:
        """The weights that answer, fp32, under the names of the setup's own module."""
        with self._answering() as module:
            return {
                name: (value.float() if value.is_floating_point() else value).clone().contiguous()
                for name, value in module.state_dict().items()
            }

    def schedule(self, points: int = 100) -> list[float]:
        """The first group's learning rate from the first step to the last, evenly spaced."""
        largest = self.optimizer.param_groups[0]["initial_lr"]
        return [largest * self.setup.schedule(n / points) for n in range(points + 1)]

    # --- coming and going ---

    def begin_again(self, samples: Samples, fresh: State) -> None:
        """Learn from other samples, from a copy of the state there was before the first step.

        What was compiled stays.
        """
        self.samples = samples
        self._count()
        self.enter(*fresh)

    def state(self) -> State:
        """Everything that the next step depends on: tensors by name, and plain values."""
        learned = self.optimizer.state_dict()
        tensors = {f"model/{name}": value for name, value in self.module.state_dict().items()}
        values: dict[str, Any] = {}
        for index, kept in learned["state"].items():
            for name, value in kept.items():
                place = f"optimizer/{index}/{name}"
                (tensors if _is_tensor(value) else values)[place] = value
        if self.average is not None:
            kept = self.average.state()
            tensors |= {f"average/{name}": value for name, value in kept.items()}
        facts = {"done": self.done, "accumulate": self.accumulate, "optimizer": values}
        return _apart(tensors), facts

    def enter(self, tensors: Mapping[str, torch.Tensor], facts: Mapping[str, Any]) -> None:
        """Go on from a state that ``state`` gave."""
        self.module.load_state_dict(_below("model/", tensors))
        kept: dict[int, dict[str, Any]] = {}
        found = {**_below("optimizer/", tensors), **_below("optimizer/", facts["optimizer"])}
        for place, value in found.items():
            index, _, name = place.partition("/")
            kept.setdefault(int(index), {})[name] = value
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": kept, "param_groups": groups})
        if self.average is not None:
            self.average.enter(_below("average/", tensors))
        self.done, self.accumulate = facts["done"], facts["accumulate"]


def _apart(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Contiguous tensors of which no two share their memory, as safetensors wants them."""
    seen: set[int] = set()
    found = {}
    for name, value in tensors.items():
        one = value.detach().contiguous()
        found[name] = one.clone() if one.data_ptr() in seen else one
        seen.add(one.data_ptr())
    return found


def _is_tensor(value: Any) -> bool:
    import torch

    return isinstance(value, torch.Tensor)


def _below(prefix: str, named: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name.removeprefix(prefix): value for name, value in named.items() if name.startswith(prefix)
    }
