"""Every speed-up: its card, that a model learns with it, and what it promises."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch")

from hasten import plugin  # noqa: E402
from hasten.errors import Unsupported  # noqa: E402
from hasten.plugin import Setup  # noqa: E402
from hasten.recipes import named  # noqa: E402
from hasten.speedups.flip import flipped  # noqa: E402
from hasten.speedups.muon import orthogonal  # noqa: E402
from hasten.speedups.shift_crop import moved  # noqa: E402
from hasten.training import losses, optimizers  # noqa: E402
from hasten.training.loop import Trainer  # noqa: E402
from hasten.training.samples import Samples  # noqa: E402
from hasten.types import Normalisation  # noqa: E402

TARGET = {"isa": ["avx512_bf16"]}
SLOW = {"inductor"}
NAMES = [
    pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name
    for name in plugin.speedups.names()
]


def samples(count: int = 64) -> Samples:
    rng = np.random.default_rng(0)
    labels = np.arange(count) % 2
    pictures = rng.integers(0, 120, (count, 1, 8, 8), dtype=np.uint8)
    pictures[labels == 1, :, 2:6, 2:6] += 120
    scale = Normalisation(1 / 255, (0.3,), (0.2,))
    return Samples((pictures,), (scale,), labels, np.arange(count))


def setup(**changed: Any) -> Setup:
    torch.manual_seed(0)
    given: dict[str, Any] = {
        "module": named("cnn").module((1, 8, 8), 2),
        "loss": losses.cross_entropy(),
        "optimizer": optimizers.optimizer("sgd", 0.05),
        "schedule": optimizers.one_cycle,
        "epochs": 6,
        "batch": 16,
        "feed": "resident",
        "traits": frozenset({"convolution", "pictures"}),
        **changed,
    }
    return Setup(**given)


def trained(made: Setup, steps: int | None = None) -> Trainer:
    trainer = Trainer(made, samples(), 0)
    while trainer.done < (steps or trainer.total):
        for _ in trainer.epoch():
            if steps and trainer.done >= steps:
                break
    return trainer


def right(trainer: Trainer) -> float:
    return float((trainer.predict(samples()).argmax(1) == samples().targets).mean())


@pytest.mark.parametrize("name", plugin.speedups.names())
def test_its_card_is_whole(name: str) -> None:
    speedup = plugin.speedups.get(name)
    assert speedup.kind in ("system", "algorithm")
    assert speedup.changes
    assert speedup.expected


@pytest.mark.parametrize("name", NAMES)
def test_a_model_learns_with_it(name: str) -> None:
    made = plugin.speedups.get(name)(setup(), TARGET)
    assert right(trained(made)) > 0.9


@pytest.mark.parametrize("name", NAMES)
def test_a_run_left_and_entered_with_it_is_the_same(name: str) -> None:
    made = plugin.speedups.get(name)(setup(), TARGET)
    whole, first = trained(made, 8), trained(made, 3)
    second = Trainer(made, samples(), 0)
    second.enter(*first.state())
    while second.done < 8:
        for _ in second.epoch():
            if second.done >= 8:
                break
    other = second.state()[0]
    for key, value in whole.state()[0].items():
        assert torch.equal(value, other[key]), key


@pytest.mark.parametrize("name", NAMES)
def test_the_weights_fit_the_users_module(name: str) -> None:
    made = plugin.speedups.get(name)(setup(), TARGET)
    weights = trained(made, 2).weights()
    own = setup().module
    own.load_state_dict(weights)
    assert all(v.dtype == own.state_dict()[k].dtype for k, v in weights.items())


@pytest.mark.parametrize("name", [s.name for s in plugin.speedups.all() if s.exact])
def test_what_is_exact_changes_no_bit(name: str) -> None:
    speedup = plugin.speedups.get(name)
    plain, fast = (
        trained(setup(feed="loader"), 6),
        trained(speedup(setup(feed="loader"), TARGET), 6),
    )
    for key, value in plain.module.state_dict().items():
        assert torch.equal(value, fast.module.state_dict()[key])


@pytest.mark.parametrize("name", ["flip", "shift_crop", "cutout"])
def test_what_is_for_pictures_says_so(name: str) -> None:
    with pytest.raises(Unsupported, match="it is for pictures"):
        plugin.speedups.get(name)(setup(traits=frozenset()), TARGET)


def test_half_of_the_pictures_are_mirrored() -> None:
    torch.manual_seed(0)
    pictures = torch.rand(400, 1, 4, 5)
    found, _ = flipped(pictures, torch.zeros(400))
    same = (found == pictures).flatten(1).all(1)
    mirrored = (found == pictures.flip(-1)).flatten(1).all(1)
    assert bool((same | mirrored).all())
    assert 150 < int(mirrored.sum()) < 250


def test_moved_pictures_hold_what_was_there() -> None:
    torch.manual_seed(0)
    picture = torch.arange(36.0).view(1, 1, 6, 6).repeat(300, 1, 1, 1)
    found = moved(picture, 2)
    assert found.shape == picture.shape
    centres = {tuple(map(int, divmod(int(value), 6))) for value in found[:, 0, 3, 3]}
    assert centres == {(row, column) for row in range(1, 6) for column in range(1, 6)}


def test_muons_update_has_singular_values_near_one() -> None:
    torch.manual_seed(0)
    for shape in ((32, 64), (64, 32), (16, 16)):
        values = torch.linalg.svdvals(orthogonal(torch.randn(shape)).float())
        assert values.min() > 0.4
        assert values.max() < 1.4
