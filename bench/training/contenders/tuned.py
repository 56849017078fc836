"""The plain loop, tuned: the recipe's optimiser, batch and one-cycle schedule.

**Source:** as the plain loop, with ``torch.optim.lr_scheduler.OneCycleLR`` as its documentation
has it, stepped after every batch.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.utils.data import DataLoader

from bench.training.contenders import Answers, Contender
from bench.training.contenders._torch import Pictures, answers, one_cycle, tuned
from bench.training.rows import Job


class Tuned(Contender):
    title = "PyTorch loop, tuned one-cycle"
    tuned_as = "accelerate"

    def train(self, job: Job, watch: Callable[[float, Answers], None] | None) -> Answers:
        model = job.network()
        size = job.numbers()["batch"]
        loader = DataLoader(Pictures(job, "train"), size, shuffle=True, drop_last=True)
        loss_fn = torch.nn.CrossEntropyLoss(label_smoothing=0.1)
        optimizer = tuned(job, model)
        scheduler = one_cycle(job, optimizer, int(job.epochs) * len(loader))
        answer: Answers = answers(job, model)
        job.begins()
        model.train()
        for epoch in range(int(job.epochs)):
            for x, y in loader:
                loss = loss_fn(model(x), y)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                scheduler.step()
            if watch is not None:
                watch(epoch + 1, answer)
        return answer
