"""Hugging Face Accelerate with bf16.

**Source:** Accelerate's "Quicktour": ``prepare``, ``backward``, ``mixed_precision="bf16"``;
optimiser, batch and one-cycle schedule of the recipe.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.utils.data import DataLoader

from bench.training.contenders import Answers, Contender
from bench.training.contenders._torch import Pictures, answers, one_cycle, tuned
from bench.training.rows import Job


class Accelerate(Contender):
    title = "Accelerate, bf16, tuned one-cycle"
    modules = ("torch", "accelerate")

    def train(self, job: Job, watch: Callable[[float, Answers], None] | None) -> Answers:
        from accelerate import Accelerator

        accelerator = Accelerator(mixed_precision="bf16", cpu=True)
        network, size = job.network(), job.numbers()["batch"]
        loader = DataLoader(Pictures(job, "train"), size, shuffle=True, drop_last=True)
        optimizer = tuned(job, network)
        scheduler = one_cycle(job, optimizer, int(job.epochs) * len(loader))
        model, optimizer, loader, scheduler = accelerator.prepare(
            network, optimizer, loader, scheduler
        )
        loss_fn = torch.nn.CrossEntropyLoss(label_smoothing=0.1)
        answer: Answers = answers(job, model)
        job.begins()
        model.train()
        for epoch in range(int(job.epochs)):
            for x, y in loader:
                optimizer.zero_grad()
                loss = loss_fn(model(x), y)
                accelerator.backward(loss)
                optimizer.step()
                scheduler.step()
            if watch is not None:
                watch(epoch + 1, answer)
        return answer
