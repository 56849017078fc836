"""The training example learns, keeps its weights, and its factories load them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bench import rows
from hasten.errors import HastenError

torch = pytest.importorskip("torch")

from examples import fashion_cnn, train_fashion  # noqa: E402  (need torch)

pytestmark = pytest.mark.usefixtures("one_thread")


def test_untrained_says_what_to_run(cache: Path) -> None:
    with pytest.raises(HastenError, match=r"Run: python examples/train_fashion.py --data digits"):
        fashion_cnn.digits_cnn()


def test_digits_are_learnt_and_kept(
    cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["train_fashion.py", "--data", "digits", "--epochs", "10"])
    train_fashion.main()
    told = capsys.readouterr().out
    assert float(told.partition("test accuracy ")[2].split()[0]) > 0.9
    module, examples = fashion_cnn.digits_cnn()
    assert not module.training
    assert module(*examples).shape == (1, 10)
    held_out = fashion_cnn.digits_held_out()
    assert len(held_out) == 1797 - fashion_cnn.DIGITS_FOR_TRAINING
    assert train_fashion.accuracy(module, "digits") > 0.9


def test_the_race_is_given_what_training_held_out() -> None:
    assert rows.HELD_OUT == train_fashion.HELD_OUT


def test_half_of_the_pictures_are_mirrored() -> None:
    images = torch.rand(200, 1, 3, 3)
    made = train_fashion.mirrored(images)
    kept = (made == images).all((1, 2, 3))
    turned = (made == images.flip(-1)).all((1, 2, 3))
    assert (kept | turned).all()
    assert 60 < kept.sum() < 140
