"""PyTorch Lightning with bf16.

**Source:** Lightning's "Trainer" page: ``Trainer(precision="bf16-mixed")``, bar, checkpoints and
loggers off; optimiser, batch and one-cycle schedule of the recipe (``interval: "step"``).
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch.utils.data import DataLoader

from bench.training.contenders import Answers, Contender
from bench.training.contenders._torch import Pictures, answers, one_cycle, tuned
from bench.training.rows import Job


class Lightning(Contender):
    title = "Lightning, bf16, tuned one-cycle"
    modules = ("torch", "lightning")
    tuned_as = "accelerate"

    def train(self, job: Job, watch: Callable[[float, Answers], None] | None) -> Answers:
        import lightning

        logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
        warnings.filterwarnings("ignore")
        size, network = job.numbers()["batch"], job.network()
        loader = DataLoader(Pictures(job, "train"), size, shuffle=True, drop_last=True)
        answer: Answers = answers(job, network)

        class Module(lightning.LightningModule):  # type: ignore[misc]
            def __init__(self) -> None:
                super().__init__()
                self.network = network

            def training_step(self, batch: Any, number: int) -> torch.Tensor:
                x, y = batch
                return torch.nn.functional.cross_entropy(self.network(x), y, label_smoothing=0.1)

            def configure_optimizers(self) -> Any:
                optimizer = tuned(job, self.network)
                scheduler = one_cycle(job, optimizer, int(job.epochs) * len(loader))
                return [optimizer], [{"scheduler": scheduler, "interval": "step"}]

            def on_train_start(self) -> None:
                job.begins()

            def on_train_epoch_end(self) -> None:
                if watch is not None:
                    watch(self.current_epoch + 1, answer)

        lightning.Trainer(
            max_epochs=int(job.epochs),
            accelerator="cpu",
            precision="bf16-mixed",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        ).fit(Module(), loader)
        return answer
