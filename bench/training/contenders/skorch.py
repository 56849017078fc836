"""skorch.

**Source:** skorch's "Callbacks" page: ``NeuralNetClassifier`` with ``LRScheduler`` stepped after
every batch; optimiser, batch and one-cycle schedule of the recipe.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from bench.training.contenders import Answers, Contender
from bench.training.contenders._torch import Pictures, answers
from bench.training.rows import Job


class Skorch(Contender):
    title = "skorch, tuned one-cycle"
    modules = ("torch", "skorch")
    tuned_as = "accelerate"

    def train(self, job: Job, watch: Callable[[float, Answers], None] | None) -> Answers:
        from skorch import NeuralNetClassifier
        from skorch.callbacks import Callback, LRScheduler

        numbers, network, samples = job.numbers(), job.network(), Pictures(job, "train")
        answer: Answers = answers(job, network)

        class Watch(Callback):  # type: ignore[misc]
            def on_train_begin(self, net: Any, **rest: Any) -> None:
                job.begins()

            def on_epoch_end(self, net: Any, **rest: Any) -> None:
                if watch is not None:
                    watch(len(net.history), answer)

        sgd = numbers["optimizer"] == "sgd"
        extra = {"optimizer__momentum": 0.9, "optimizer__nesterov": True} if sgd else {}
        decay = numbers.get("weight_decay", 0.0)
        heavy = [name for name, value in network.named_parameters() if value.ndim > 1]
        steps = int(job.epochs) * (len(samples) // numbers["batch"])
        net = NeuralNetClassifier(
            network,
            max_epochs=int(job.epochs),
            criterion=torch.nn.CrossEntropyLoss(label_smoothing=0.1),
            optimizer=torch.optim.SGD if sgd else torch.optim.AdamW,
            optimizer__param_groups=[(name, {"weight_decay": decay}) for name in heavy],
            optimizer__weight_decay=0.0,
            lr=numbers["learning_rate"],
            batch_size=numbers["batch"],
            iterator_train__shuffle=True,
            iterator_train__drop_last=True,
            train_split=None,
            classes=sorted(set(samples.y.tolist())),
            verbose=0,
            callbacks=[
                LRScheduler(
                    torch.optim.lr_scheduler.OneCycleLR,
                    max_lr=numbers["learning_rate"],
                    total_steps=steps,
                    pct_start=0.2,
                    anneal_strategy="linear",
                    cycle_momentum=False,
                    step_every="batch",
                ),
                Watch(),
            ],
            **extra,
        )
        net.fit(samples, y=None)
        return answers(job, net.module_)
