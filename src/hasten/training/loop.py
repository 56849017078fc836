"""The loop: one setup made real, step by step, with nothing in between that costs time."""

from __future__ import annotations

import contextlib
import copy
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from hasten import plugin
from hasten.errors import BadInput, Unsupported
from hasten.plugin import Moment, Setup
from hasten.training.answers import BATCH, answers
from hasten.training.on_device import moved, placed, seeded
from hasten.training.order import batch_count, epoch_order, step_seed
from hasten.training.samples import FEEDS, Samples

if TYPE_CHECKING:
    import torch

    State = tuple[dict[str, torch.Tensor], dict[str, Any]]

MOST_HALVINGS = 6
LEAST_ANSWERED = 64
"""Samples are answered as many at a time as are learned from, or so many: an answer takes a
fraction of a step's memory."""
READ_EVERY = 50
"""Steps between two readings of the loss on an accelerator: every reading waits for it to end all
that it was given. On a CPU nothing is gained by waiting."""


class NotFinite(BadInput):
    """The loss became NaN or infinite."""


class Trainer:
    """A model that learns as a ``Setup`` says.

    Step ``k`` depends on the state after step ``k - 1``, on the seed and on ``k`` alone, so a run
    can be left and entered at any step.
    """

    def __init__(self, setup: Setup, samples: Samples, seed: int) -> None:
        self.setup, self.seed = setup, seed
        self.samples = placed(samples, setup.device, setup.feed)
        self.module = copy.deepcopy(setup.module).train()
        self._fill()
        for change in setup.prepare:
            change(self.module)
        self.module.to(setup.device)
        self.optimizer = setup.optimizer(self.module)
        for group in self.optimizer.param_groups:
            group.setdefault("initial_lr", group["lr"])
        self.forward = setup.compiled(self.module) if setup.compiled else self.module
        self.average = setup.average(self.module) if setup.average else None
        self.accumulate = setup.accumulate
        self.saving: list[str] = []
        self._count()
        self.done = 0
        self.read_every = 1 if setup.device == "cpu" else READ_EVERY
        self._unread: list[list[torch.Tensor]] = []
        self._mark: Any = None

    def _fill(self) -> None:
        """What is computed from the training samples, put in its place."""
        for fill in self.setup.fills:
            fill(self.module, self.samples.peek)

    def _count(self) -> None:
        """The steps of an epoch and of the run."""
        self.per_epoch = batch_count(len(self.samples), self.setup.batch)
        self.total = max(1, math.ceil(self.setup.epochs * self.per_epoch))

    @property
    def epoch_ended(self) -> bool:
        """Whether the last step was the last of an epoch, or of the run."""
        return self.done == self.total or self.done % self.per_epoch == 0

    @property
    def finite(self) -> bool:
        """Whether every weight is a number: what has none is not worth keeping."""
        return all(bool(weight.isfinite().all()) for weight in self.module.parameters())

    # --- learning ---

    def epoch(self) -> Iterator[list[float]]:
        """The steps left of the epoch that ``done`` stands in.

        Yields after each step the losses that were read: on a CPU that of the step, on an
        accelerator mostly none, and every ``READ_EVERY`` steps all since.
        """
        number, first = divmod(self.done, self.per_epoch)
        last = min(self.per_epoch, self.total - number * self.per_epoch)
        order = epoch_order(self.seed, number, len(self.samples))
        size = min(self.setup.batch, len(self.samples))
        batches = [order[step * size : (step + 1) * size] for step in range(first, last)]
        self.module.train()
        given = FEEDS[self.setup.feed](self.samples, batches)
        for numbers, (inputs, targets) in zip(batches, given, strict=False):
            found = self.step(inputs, targets, numbers)
            # Read by Python's own count, so that nothing waits for the accelerator in between.
            full = len(self._unread) >= self.read_every or self.epoch_ended
            yield found if found or not full else self.read()

    def step(
        self, inputs: list[torch.Tensor], targets: torch.Tensor, numbers: np.ndarray | None = None
    ) -> list[float]:
        """One step on one batch of the samples ``numbers``; returns its loss if it was read."""
        import torch

        self._remember()
        seeded(step_seed(self.seed, self.done), self.setup.device)
        factor = self.setup.schedule(min(1.0, (self.done + 0.5) / self.total))
        for group in self.optimizer.param_groups:
            group["lr"] = group["initial_lr"] * factor
        self.optimizer.zero_grad(set_to_none=True)
        inputs = [moved(tensor, self.setup.device) for tensor in inputs]
        targets = moved(targets, self.setup.device)
        self._unread.append(self._gradients(inputs, targets, numbers))
        found = self._read(inputs) if self.read_every == 1 else []
        if self.setup.clip is not None:
            torch.nn.utils.clip_grad_norm_(self.module.parameters(), self.setup.clip)
        self.optimizer.step()
        self.done += 1
        if self.average is not None:
            self.average.update(self.module, self.done / self.total)
        return found

    def read(self) -> list[float]:
        """The losses that were not read yet; raises ``NotFinite`` if one of them is not finite."""
        return self._read(None) if self._unread else []

    def _read(self, inputs: list[torch.Tensor] | None) -> list[float]:
        """The unread losses, in one transfer; ``inputs`` are those of the only one, if it is."""
        import torch

        unread, self._unread = self._unread, []
        every = [part for parts in unread for part in parts]
        parts = iter(torch.stack(every).tolist() if len(every) > 1 else [every[0].item()])
        found = [sum(next(parts) for _ in step) for step in unread]
        for ago, loss in zip(range(len(found), 0, -1), found, strict=True):
            if not math.isfinite(loss):
                if inputs is not None:
                    raise NotFinite(self._where(inputs, loss))
                raise self._again(self.done - ago, loss)
        return found

    def _remember(self) -> None:
        """The state before a step whose loss is read later than it is used."""
        if self.read_every > 1 and not self._unread:
            tensors, facts = self._state()
            self._mark = {name: value.clone() for name, value in tensors.items()}, facts

    def _again(self, step: int, loss: float) -> NotFinite:
        """The steps since the last reading again, each read, so that step and layer are right."""
        self.enter(*self._mark)
        self.read_every = 1
        try:
            for _ in self.epoch():
                if self.done > step:
                    break
        except NotFinite as found:
            return found
        return NotFinite(
            f"The loss became {loss} at step {step} of {self.total}, but not when the step was "
            "taken again: this device does not compute the same each time. Lower the learning rate."
        )

    def _gradients(
        self, inputs: list[torch.Tensor], targets: torch.Tensor, numbers: np.ndarray | None
    ) -> list[torch.Tensor]:
        """Gradients of the mean loss over the batch, part by part if it is divided; the losses."""
        if self.accumulate == 1:
            loss = self._loss(inputs.copy(), targets, numbers)
            loss.backward()  # type: ignore[no-untyped-call]
            return [loss.detach().reshape(())]
        size, losses = len(targets), []
        part = -(-size // self.accumulate)
        for start in range(0, size, part):
            rows = slice(start, start + part)
            share = len(targets[rows]) / size
            own = None if numbers is None else numbers[rows]
            loss = self._loss([tensor[rows] for tensor in inputs], targets[rows], own) * share
            loss.backward()  # type: ignore[no-untyped-call]
            losses.append(loss.detach().reshape(()))
        return losses

    def _loss(
        self, inputs: list[torch.Tensor], targets: Any, numbers: np.ndarray | None
    ) -> torch.Tensor:
        if self.setup.augment:
            moment = self._moment(len(targets), numbers)
            for change in self.setup.augment:
                inputs[0], targets = change(inputs[0], targets, moment)
        for place in self.setup.place:
            inputs[0] = place(inputs[0])
        with self.setup.around():
            return self.setup.loss(self.forward(*inputs), targets)

    def _moment(self, size: int, numbers: np.ndarray | None) -> Moment:
        import torch

        own = np.arange(size) if numbers is None else np.ascontiguousarray(numbers)
        known = moved(torch.from_numpy(own), self.setup.device)
        return Moment(self.done / self.total, self.done // self.per_epoch, known)

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
            first, *rest = inputs
            for place in self.setup.place:
                first = place(first)
            self.module(first, *rest)
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

    def save_memory(self) -> str:
        """Use less memory from the next step on; says how. ``""``: nothing is left to do.

        First by speed-ups that are made for it (they cost time, no accuracy), then by taking the
        same batch in smaller parts.
        """
        for speedup in plugin.speedups.available():
            if speedup.saves_memory and speedup.name not in self.saving:
                with contextlib.suppress(Unsupported):
                    self._save_by(speedup.name)
                    return speedup.name
        if self.accumulate >= 2**MOST_HALVINGS:
            return ""
        self.accumulate *= 2
        return f"batches in {self.accumulate} parts"

    def _save_by(self, name: str) -> None:
        changed = plugin.speedups.get(name)(self.setup, {})
        for change in changed.prepare[len(self.setup.prepare) :]:
            change(self.module)
        self.setup = changed
        self.saving.append(name)

    # --- answering ---

    def predict(self, samples: Samples) -> np.ndarray:
        """The model's outputs for some samples, float32 ``(n, ...)``, with averaged weights."""
        here = placed(samples, self.setup.device, self.setup.feed, self.samples)
        with self._answering() as module:
            return answers(
                module,
                here,
                self.setup.place,
                self.setup.around,
                device=self.setup.device,
                batch=min(BATCH, max(LEAST_ANSWERED, self.setup.batch)),
            )

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
                name: (value.float() if value.is_floating_point() else value)
                .to("cpu", copy=True)
                .contiguous()
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
        self.samples = placed(samples, self.setup.device, self.setup.feed, self.samples)
        self._count()
        self.enter(*fresh)
        self._fill()
        if self.setup.average is not None:
            self.average = self.setup.average(self.module)

    def state(self) -> State:
        """All that the next step depends on: tensors by name, on the CPU, and plain values."""
        tensors, facts = self._state()
        return apart({name: value.cpu() for name, value in tensors.items()}), facts

    def _state(self) -> State:
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
        facts = {
            "done": self.done,
            "accumulate": self.accumulate,
            "saving": list(self.saving),
            "optimizer": values,
        }
        return tensors, facts

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
        for name in facts.get("saving", ()):
            if name not in self.saving:
                self._save_by(name)
        self._unread = []


def apart(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
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
