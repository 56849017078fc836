"""Hasten.

**Source:** docs/training.md: ``hasten train``, its planner on, its recipe as it is or as the row
says. Planning counts as cold time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from bench.training.contenders import Answers, Contender
from bench.training.contenders._torch import answers
from bench.training.rows import Job, Row


class Ours(Contender):
    title = "Hasten"
    own = True

    def changed(self, row: Row) -> dict[str, Any]:
        """What is asked for beside the recipe."""
        return dict(row.changed)

    def train(self, job: Job, watch: Callable[[float, Answers], None] | None) -> Answers:
        import hasten

        began = time.perf_counter()
        options = {"recipe": job.row.recipe, **self.changed(job.row)}
        run = hasten.train(data=job.data, seed=job.seed, epochs=job.epochs, **options)
        trained = time.perf_counter() - began - run.record["planned_seconds"]
        job.begins(trained)
        answer: Answers = answers(job, run.model)
        if watch is not None:
            watch(job.epochs, answer)
        return answer
