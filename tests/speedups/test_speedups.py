"""Every speed-up: its card, that a model learns with it, and what it promises."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch")

from hasten import plugin  # noqa: E402
from hasten.errors import Unsupported  # noqa: E402
from hasten.plugin import Moment, Setup  # noqa: E402
from hasten.recipes import named  # noqa: E402
from hasten.speedups.alternating_flip import alternated  # noqa: E402
from hasten.speedups.flip import flipped  # noqa: E402
from hasten.speedups.lookahead import Pulling  # noqa: E402
from hasten.speedups.mixup import mixed  # noqa: E402
from hasten.speedups.muon import orthogonal  # noqa: E402
from hasten.speedups.shift_crop import moved  # noqa: E402
from hasten.speedups.whitening import filters  # noqa: E402
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


PIXELS = {"progressive_resizing": 64}
NEEDED: dict[str, dict[str, Any]] = {
    "batch_size": {"epochs": 24},
    "mixup": {"epochs": 12},
    "gradient_checkpointing": {"epochs": 6},
}
"""What a speed-up needs to be tried with, where it is not what all are."""


def samples(count: int = 64, pixels: int = 8) -> Samples:
    rng = np.random.default_rng(0)
    labels = np.arange(count) % 2
    pictures = rng.integers(0, 120, (count, 1, pixels, pixels), dtype=np.uint8)
    pictures[labels == 1, :, pixels // 4 : -pixels // 4, pixels // 4 : -pixels // 4] += 120
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


def fitting(name: str, **changed: Any) -> Setup:
    """A setup that a speed-up takes."""
    options = dict(plugin.speedups.get(name).network)
    recipe = replace(named("cnn"), options={**named("cnn").options, **options})
    pixels = PIXELS.get(name, 8)
    torch.manual_seed(0)
    return setup(
        module=recipe.module((1, pixels, pixels), 2),
        peek=samples(pixels=pixels).peek,
        **{**NEEDED.get(name, {}), **changed},
    )


def trained(made: Setup, steps: int | None = None, pixels: int = 8) -> Trainer:
    trainer = Trainer(made, samples(pixels=pixels), 0)
    while trainer.done < (steps or trainer.total):
        for _ in trainer.epoch():
            if steps and trainer.done >= steps:
                break
    return trainer


def right(trainer: Trainer, pixels: int = 8) -> float:
    given = samples(pixels=pixels)
    return float((trainer.predict(given).argmax(1) == given.targets).mean())


@pytest.mark.parametrize("name", plugin.speedups.names())
def test_its_card_is_whole(name: str) -> None:
    speedup = plugin.speedups.get(name)
    assert speedup.kind in ("system", "algorithm")
    assert speedup.changes
    assert speedup.expected


@pytest.mark.parametrize("name", NAMES)
def test_a_model_learns_with_it(name: str) -> None:
    made, pixels = plugin.speedups.get(name)(fitting(name), TARGET), PIXELS.get(name, 8)
    assert right(trained(made, pixels=pixels), pixels) > 0.9


@pytest.mark.parametrize("name", NAMES)
def test_a_run_left_and_entered_with_it_is_the_same(name: str) -> None:
    made, pixels = plugin.speedups.get(name)(fitting(name), TARGET), PIXELS.get(name, 8)
    whole, first = trained(made, 8, pixels), trained(made, 3, pixels)
    second = Trainer(made, samples(pixels=pixels), 0)
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
    made = plugin.speedups.get(name)(fitting(name), TARGET)
    weights = trained(made, 2, PIXELS.get(name, 8)).weights()
    own = fitting(name).module
    own.load_state_dict(weights)
    assert all(v.dtype == own.state_dict()[k].dtype for k, v in weights.items())


@pytest.mark.parametrize("name", [s.name for s in plugin.speedups.all() if s.exact])
def test_what_is_exact_changes_no_bit(name: str) -> None:
    speedup = plugin.speedups.get(name)
    plain, fast = (
        trained(fitting(name, feed="loader"), 6),
        trained(speedup(fitting(name, feed="loader"), TARGET), 6),
    )
    for key, value in plain.module.state_dict().items():
        assert torch.equal(value, fast.module.state_dict()[key])


@pytest.mark.parametrize(
    "name", ["flip", "alternating_flip", "shift_crop", "cutout", "progressive_resizing"]
)
def test_what_is_for_pictures_says_so(name: str) -> None:
    with pytest.raises(Unsupported, match="it is for pictures"):
        plugin.speedups.get(name)(setup(traits=frozenset()), TARGET)


def at(epoch: int, share: float = 0.0, count: int = 400) -> Moment:
    return Moment(share, epoch, torch.arange(count))


def test_half_of_the_pictures_are_mirrored() -> None:
    torch.manual_seed(0)
    pictures = torch.rand(400, 1, 4, 5)
    found, _ = flipped(pictures, torch.zeros(400), at(0))
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


def test_every_picture_is_mirrored_in_every_other_epoch() -> None:
    torch.manual_seed(0)
    pictures = torch.rand(400, 1, 4, 5)
    first, second, third = (alternated(pictures, None, at(epoch))[0] for epoch in range(3))
    assert torch.equal(second, first.flip(-1))
    assert torch.equal(third, first)
    assert 150 < int((first == pictures).flatten(1).all(1).sum()) < 250


def test_a_pictures_turn_does_not_depend_on_its_place_in_the_batch() -> None:
    pictures = torch.rand(400, 1, 4, 5)
    order = torch.randperm(400)
    whole = alternated(pictures, None, at(1))[0]
    assert torch.equal(alternated(pictures[order], None, Moment(0, 1, order))[0], whole[order])


def test_mixed_samples_and_their_loss_share_alike() -> None:
    torch.manual_seed(0)
    made = plugin.speedups.get("mixup")(setup(), TARGET, {"strength": 1.0})
    inputs, targets = torch.eye(8), torch.arange(8)
    found, both = made.augment[-1](inputs, targets, at(0))
    share = float(both.share)
    expected = share * torch.eye(8) + (1 - share) * torch.eye(8)[both.other]
    assert torch.allclose(found, expected, atol=1e-6)
    outputs = torch.randn(8, 8)
    one, other = (losses.cross_entropy()(outputs, side) for side in (both.one, both.other))
    assert torch.allclose(made.loss(outputs, both), share * one + (1 - share) * other)


def test_what_is_learned_from_mixed_samples_differs() -> None:
    plain, mixed_up = (
        trained(made, 6).module[0].weight
        for made in (setup(), plugin.speedups.get("mixup")(setup(), TARGET))
    )
    assert not torch.allclose(plain, mixed_up, atol=1e-4)


def test_indices_cannot_be_mixed() -> None:
    with pytest.raises(Unsupported, match="the inputs are indices"):
        mixed(torch.arange(4), torch.arange(4), 0.2)


def test_whitened_patches_are_independent() -> None:
    torch.manual_seed(0)
    pictures = torch.rand(300, 2, 9, 9).cumsum(-1).cumsum(-2) / 9
    pictures -= pictures.mean((0, 2, 3), keepdim=True)
    found = filters(pictures, (3, 3), 1e-8)
    assert found.shape == (36, 2, 3, 3)
    assert torch.equal(found[:18], -found[18:])
    seen = torch.nn.functional.conv2d(pictures, found[:18]).transpose(0, 1).flatten(1)
    assert torch.allclose(seen @ seen.T / seen.shape[1], torch.eye(18), atol=0.02)


def test_the_whitening_stays_as_it_is_while_the_rest_learns() -> None:
    made = plugin.speedups.get("whitening")(fitting("whitening"), TARGET)
    first, last = trained(made, 1).module[0], trained(made, 8).module[0]
    assert torch.equal(first.weight, last.weight)
    assert not torch.equal(first.bias, last.bias)


def test_whitening_needs_its_stem() -> None:
    with pytest.raises(Unsupported, match="stem = 'whitening'"):
        plugin.speedups.get("whitening")(setup(peek=samples().peek), TARGET)


def test_pictures_grow_to_their_whole_size() -> None:
    (resize,) = plugin.speedups.get("progressive_resizing")(
        fitting("progressive_resizing"), TARGET
    ).augment
    pictures = torch.rand(2, 1, 64, 96)

    def size(share: float) -> tuple[int, ...]:
        return tuple(resize(pictures, None, at(0, share))[0].shape[-2:])

    assert [size(share) for share in (0.0, 0.49, 0.65, 0.8, 0.99)] == [
        (32, 48),
        (32, 48),
        (48, 72),
        (64, 96),
        (64, 96),
    ]


def test_lookahead_pulls_the_weights_to_their_average() -> None:
    layer = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.zeros_(layer.weight)
    pulling = Pulling(layer, decay=0.5, steps=2)
    for _ in range(2):
        with torch.no_grad():
            layer.weight += 1
        pulling.update(layer, 1.0 if layer.weight > 1 else 0.5)
    # 0 -> 1 -> 2, then half of the way back to the average, which was 0.
    assert layer.weight.item() == 1.0


def test_two_averages_are_refused() -> None:
    made = plugin.speedups.get("ema")(setup(), TARGET)
    with pytest.raises(Unsupported, match="another average"):
        plugin.speedups.get("lookahead")(made, TARGET)
