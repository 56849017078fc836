"""Where the time of a step goes: data, forward, backward, optimizer."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from hasten.errors import HastenError
from hasten.training.loop import Trainer
from hasten.training.samples import FEEDS

WARM_UP, STEPS, LEAST_STEPS = 1, 20, 3
MOST_SECONDS = 2.0


def time_split(trainer: Trainer) -> dict[str, Any]:
    """Mean seconds of a step by part, from steps that a trainer takes as it is.

    Compiled code, arithmetic and division of the batch are those that it trained with. It learns
    from these steps, so nothing may be read off it afterwards. The parts add up to the step:
    ``data`` is the wait for a batch, ``forward`` augmentation, network and loss, ``backward`` the
    gradients, ``optimizer`` all the rest.
    """
    done = trainer.done
    trainer.done = max(0, min(done, trainer.total - WARM_UP - STEPS))  # within its schedule
    try:
        return _measured(trainer)
    except (HastenError, RuntimeError, MemoryError) as error:
        return {"error": str(error).partition("\n")[0]}
    finally:
        trainer.done = done


def _measured(trainer: Trainer) -> dict[str, Any]:
    size = min(trainer.setup.batch, len(trainer.samples))
    order = np.random.default_rng(trainer.seed).permutation(len(trainer.samples))
    whole = [order[start : start + size] for start in range(0, len(order) - size + 1, size)]
    batches = [whole[number % len(whole)] for number in range(WARM_UP + STEPS)]
    trainer.module.train()
    feed = FEEDS[trainer.setup.feed](trainer.samples, batches)
    with _clock(trainer, "_loss") as forward, _clock(trainer, "_gradients") as gradients:
        for _ in range(WARM_UP):
            trainer.step(*next(feed))
        forward.clear()
        gradients.clear()
        data: list[float] = []
        stepped: list[float] = []
        ends = time.perf_counter() + MOST_SECONDS
        while len(data) < LEAST_STEPS or (len(data) < STEPS and time.perf_counter() < ends):
            began = time.perf_counter()
            batch = next(feed)
            loaded = _now(trainer)
            trainer.step(*batch)
            data.append(loaded - began)
            stepped.append(_now(trainer) - loaded)
    sums = {
        "data": sum(data),
        "forward": sum(forward),
        "backward": sum(gradients) - sum(forward),
        "optimizer": sum(stepped) - sum(gradients),
    }
    seconds = {name: value / len(data) for name, value in sums.items()}
    return {"steps": len(data), "batch": size, "seconds": seconds}


def _now(trainer: Trainer) -> float:
    """The time, when the device has done what it was given."""
    if trainer.setup.device.startswith("cuda"):
        import torch

        torch.cuda.synchronize(trainer.setup.device)
    return time.perf_counter()


@contextmanager
def _clock(trainer: Trainer, name: str) -> Iterator[list[float]]:
    """The seconds of every call of one of the trainer's methods, inside the block."""
    method, found = getattr(trainer, name), []

    def timed(*arguments: Any) -> Any:
        began = time.perf_counter()
        answer = method(*arguments)
        found.append(_now(trainer) - began)
        return answer

    setattr(trainer, name, timed)
    try:
        yield found
    finally:
        delattr(trainer, name)
