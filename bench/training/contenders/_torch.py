"""What contenders on PyTorch share: a data set as tutorials have it, and answers."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from bench.training.rows import Job


class Pictures(Dataset[Any]):
    """Sample by sample: stored bytes to a float tensor, normalised."""

    def __init__(self, job: Job, part: str) -> None:
        self.x, self.y = job.part(part)
        self.scale, self.shift = (torch.from_numpy(value)[0] for value in job.affine())

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, number: int) -> tuple[torch.Tensor, int]:
        stored = torch.from_numpy(np.asarray(self.x[number])).float()
        return stored * self.scale + self.shift, int(self.y[number])


def answers(job: Job, module: torch.nn.Module) -> Any:
    """The class with the largest output, 512 samples at a time."""
    scale, shift = (torch.from_numpy(value) for value in job.affine())

    def answer(stored: np.ndarray) -> np.ndarray:
        module.eval()
        found = []
        with torch.inference_mode():
            for start in range(0, len(stored), 512):
                batch = torch.from_numpy(np.asarray(stored[start : start + 512])).float()
                found.append(module(batch * scale + shift).argmax(1).numpy())
        module.train()
        return np.concatenate(found)

    return answer


def groups(module: torch.nn.Module, decay: float) -> list[dict[str, Any]]:
    """Weight decay on matrices and filters alone, as ours has it."""
    heavy = [p for p in module.parameters() if p.ndim > 1]
    light = [p for p in module.parameters() if p.ndim <= 1]
    return [{"params": heavy, "weight_decay": decay}, {"params": light, "weight_decay": 0.0}]


def tuned(job: Job, module: torch.nn.Module) -> torch.optim.Optimizer:
    """The recipe's own optimiser and numbers."""
    numbers = job.numbers()
    decay, rate = numbers.get("weight_decay", 0.0), numbers["learning_rate"]
    if numbers["optimizer"] == "sgd":
        return torch.optim.SGD(groups(module, decay), lr=rate, momentum=0.9, nesterov=True)
    return torch.optim.AdamW(groups(module, decay), lr=rate)


def one_cycle(job: Job, optimizer: torch.optim.Optimizer, steps: int) -> Any:
    """PyTorch's own one-cycle schedule up to the recipe's learning rate."""
    return torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        max_lr=job.numbers()["learning_rate"],
        total_steps=steps,
        pct_start=0.2,
        anneal_strategy="linear",
        cycle_momentum=False,
    )
