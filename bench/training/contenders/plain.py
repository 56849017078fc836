"""The plain loop.

**Source:** PyTorch's "Quickstart" and "Training with PyTorch" tutorials: a Dataset, a DataLoader
with 64 samples per batch, cross-entropy, Adam at its default learning rate, one loop.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.utils.data import DataLoader

from bench.training.contenders import Answers, Contender
from bench.training.contenders._torch import Pictures, answers
from bench.training.rows import Job


class Plain(Contender):
    title = "plain PyTorch loop"
    scheduled = False

    def train(self, job: Job, watch: Callable[[float, Answers], None] | None) -> Answers:
        model = job.network()
        loader = DataLoader(Pictures(job, "train"), batch_size=64, shuffle=True)
        loss_fn = torch.nn.CrossEntropyLoss()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        answer: Answers = answers(job, model)
        job.begins()
        model.train()
        for epoch in range(int(job.epochs)):
            for x, y in loader:
                loss = loss_fn(model(x), y)
                loss.backward()
                optimizer.step()
                optimizer.zero_grad()
            if watch is not None:
                watch(epoch + 1, answer)
        return answer
