"""The loop: it learns, it can be left and entered, and it names what went wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch")

from hasten.plugin import Setup  # noqa: E402
from hasten.training import losses, optimizers  # noqa: E402
from hasten.training.loop import NotFinite, Trainer  # noqa: E402
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
        for loss in trainer.epoch():
            found.append(loss)
            if len(found) == steps:
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
        trainer._gradients(inputs, targets)
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
