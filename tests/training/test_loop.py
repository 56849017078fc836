"""The loop: it learns, it can be left and entered, and it names what went wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch")

from hasten.plugin import Setup  # noqa: E402
from hasten.training import losses, optimizers  # noqa: E402
from hasten.training.loop import NotFinite, Trainer  # noqa: E402
from hasten.training.on_device import seeded  # noqa: E402
from hasten.training.samples import Samples  # noqa: E402


def samples(count: int = 96) -> Samples:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((count, 6)).astype(np.float32)
    y = (x @ rng.standard_normal((6, 3))).argmax(1)
    return Samples((x,), (None,), y, np.arange(count))


def module(dropout: float = 0.2) -> Any:
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Linear(6, 16),
        torch.nn.BatchNorm1d(16),
        torch.nn.ReLU(),
        torch.nn.Dropout(dropout),
        torch.nn.Linear(16, 3),
    )


def setup(**changed: Any) -> Setup:
    given: dict[str, Any] = {
        "module": module(),
        "loss": losses.cross_entropy(),
        "optimizer": optimizers.optimizer("adamw", 0.01),
        "schedule": optimizers.one_cycle,
        "epochs": 4,
        "batch": 16,
        "feed": "resident",
        **changed,
    }
    return Setup(**given)


def trained(trainer: Trainer, steps: int) -> list[float]:
    found: list[float] = []
    while len(found) < steps and trainer.done < trainer.total:
        for read in trainer.epoch():
            found += read
            if len(found) >= steps:
                break
    return found


def same(a: Trainer, b: Trainer) -> bool:
    other = b.module.state_dict()
    return all(torch.equal(value, other[name]) for name, value in a.module.state_dict().items())


def test_it_learns() -> None:
    trainer = Trainer(setup(epochs=30, module=module(0)), samples(), 0)
    found = trained(trainer, trainer.total)
    assert np.mean(found[-6:]) < 0.5 * np.mean(found[:6])
    answers = trainer.predict(samples())
    assert (answers.argmax(1) == samples().targets).mean() > 0.9


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
@pytest.mark.parametrize("left_at", [1, 6, 9])
def test_a_run_left_and_entered_is_the_same_to_the_last_bit(name: str, left_at: int) -> None:
    made = setup(optimizer=optimizers.optimizer(name, 0.01, momentum=0.9))
    whole, first = Trainer(made, samples(), 3), Trainer(made, samples(), 3)
    losses_whole = trained(whole, 20)
    before = trained(first, left_at)
    tensors, facts = first.state()
    tensors = {key: value.clone() for key, value in tensors.items()}
    second = Trainer(made, samples(), 3)
    second.enter(tensors, facts)
    assert before + trained(second, 20 - left_at) == losses_whole
    assert same(whole, second)


def test_both_feeds_give_the_same_batches() -> None:
    a, b = (Trainer(setup(feed=feed), samples(), 0) for feed in ("resident", "loader"))
    assert trained(a, 8) == pytest.approx(trained(b, 8), rel=1e-5)


def test_a_batch_in_parts_gives_the_gradient_of_the_whole() -> None:
    plain = torch.nn.Sequential(torch.nn.Linear(6, 3))
    grads = []
    for parts in (1, 4):
        trainer = Trainer(setup(module=plain, accumulate=parts), samples(), 0)
        inputs, targets = samples().batch(np.arange(16))
        trainer._gradients(inputs, targets, None)
        grads.append([p.grad.clone() for p in trainer.module.parameters()])
    for one, four in zip(*grads, strict=True):
        assert torch.allclose(one, four, atol=1e-6)


def test_nan_names_step_and_layer() -> None:
    broken = module(0)
    with torch.no_grad():
        broken[4].weight[0, 0] = torch.nan
    trainer = Trainer(setup(module=broken), samples(), 0)
    with pytest.raises(NotFinite, match=r"at step 0 of 24 .* layer '4' gives the first value"):
        trained(trainer, 1)


def turns_bad(count: int) -> Any:
    """A module whose last layer gives infinities from step ``count`` on, and where to put its
    trainer."""

    class Bad(torch.nn.Linear):
        def forward(self, x: Any) -> Any:
            return super().forward(x) * (np.inf if step() >= count else 1.0)

    trainers: list[Trainer] = []

    def step() -> int:
        return trainers[-1].done if trainers else 0

    torch.manual_seed(0)
    made = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.ReLU(), Bad(8, 3))
    return made, trainers


@pytest.mark.parametrize("at", [0, 1, 7, 9])
def test_losses_read_late_still_name_step_and_layer(at: int) -> None:
    made, trainers = turns_bad(at)
    trainer = Trainer(setup(module=made), samples(), 0)
    trainer.read_every = 4
    trainers.append(trainer)
    with pytest.raises(NotFinite, match=rf"at step {at} of 24 .* layer '2' gives the first"):
        trained(trainer, 24)


@pytest.mark.parametrize("every", [4, 50])
def test_losses_read_late_are_the_same(every: int) -> None:
    at_once, late = (Trainer(setup(), samples(), 0) for _ in range(2))
    late.read_every = every
    assert trained(late, 24) == trained(at_once, 24)
    assert same(at_once, late)


def test_a_run_left_between_two_readings_loses_no_loss() -> None:
    trainer = Trainer(setup(), samples(), 0)
    trainer.read_every = 4
    found: list[float] = []
    for read in trainer.epoch():
        found += read
        if trainer.done == 5:
            break
    assert len(found) == 4
    assert len(trainer.read()) == 1
    assert trainer.read() == []


def test_memory_is_saved_by_what_is_made_for_it_then_by_parts() -> None:
    deep = torch.nn.Sequential(*[torch.nn.Linear(6, 6) for _ in range(8)], torch.nn.Linear(6, 3))
    trainer = Trainer(setup(module=deep), samples(), 0)
    plain = Trainer(setup(module=deep), samples(), 0)
    assert trainer.save_memory() == "gradient_checkpointing"
    assert trained(trainer, 6) == trained(plain, 6)
    assert same(trainer, plain)
    tensors, facts = trainer.state()
    second = Trainer(setup(module=deep), samples(), 0)
    second.enter(tensors, facts)
    assert second.saving == ["gradient_checkpointing"]
    assert trainer.save_memory() == "batches in 2 parts"
    assert [trainer.save_memory() for _ in range(6)][-1] == ""


def test_what_moves_to_another_device_is_asked_for_nothing() -> None:
    """On the meta device there are no values: whatever asks for one in a step fails."""
    trainer = Trainer(setup(device="meta", clip=1.0), samples(), 0)
    steps = trainer.epoch()
    for _ in range(3):
        assert next(steps) == []
    assert {p.device.type for p in trainer.module.parameters()} == {"meta"}
    with pytest.raises((RuntimeError, NotImplementedError)):
        trainer.read()


def test_every_step_is_seeded_as_by_pytorch_itself() -> None:
    seeded(123, "cpu")
    found = torch.rand(4)
    torch.manual_seed(123)
    assert torch.equal(torch.rand(4), found)


def test_the_users_module_stays_as_it_is() -> None:
    own = module()
    before = {name: value.clone() for name, value in own.state_dict().items()}
    trained(Trainer(setup(module=own), samples(), 0), 5)
    assert all(torch.equal(value, before[name]) for name, value in own.state_dict().items())


def test_clipping_bounds_the_gradient() -> None:
    trainer = Trainer(setup(clip=1e-3), samples(), 0)
    trained(trainer, 1)
    norms = [p.grad.norm() for p in trainer.module.parameters()]
    assert torch.stack(norms).norm() <= 1.01e-3
