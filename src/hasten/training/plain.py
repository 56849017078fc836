"""The plain setup: what a tutorial would do, with the recipe's numbers and the user's own."""

from __future__ import annotations

from hasten.plugin import Setup
from hasten.training import choice, losses, optimizers
from hasten.training.checks import check_loss
from hasten.training.choice import Learned
from hasten.training.facts import traits
from hasten.training.settings import TrainSettings
from hasten.training.task import Task


def plain_setup(task: Task, settings: TrainSettings, device: str) -> Learned:
    """The setup before anything is timed, with what changes what is learned."""
    usual, samples = dict(task.recipe.training), task.samples
    name, loss = losses.named(settings.loss or usual.get("loss"), task.data.task)
    extra = {name: usual[name] for name in ("weight_decay", "momentum") if name in usual}
    rate = settings.learning_rate or usual["learning_rate"]
    setup = Setup(
        module=task.module,
        loss=loss,
        optimizer=optimizers.optimizer(settings.optimizer or usual["optimizer"], rate, **extra),
        schedule=optimizers.schedule(settings.schedule or usual.get("schedule", "one-cycle")),
        epochs=settings.epochs or usual["epochs"],
        batch=min(settings.batch or usual["batch"], len(samples)),
        task=task.data.task,
        loss_name=name,
        traits=traits(task.module, task.data),
        threads=settings.threads,
        clip=settings.clip or usual.get("clip"),
        accumulate=settings.accumulate or 1,
        device=device,
        samples=len(samples),
        peek=samples.peek,
        fixed=frozenset(n for n in ("batch", "threads") if getattr(settings, n) is not None),
    )
    check_loss(setup, samples, task.data)
    return choice.learned(setup, task.recipe, settings)
