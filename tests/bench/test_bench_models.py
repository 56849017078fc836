"""The models are the published architectures, seeded, and alive to their inputs."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pytest

from bench.jobs import row_named

torch = pytest.importorskip("torch")

from bench.models import weights  # noqa: E402  (needs torch)

pytestmark = pytest.mark.usefixtures("one_thread")

PARAMETERS = {
    "resnet18": 11_689_512,
    "resnet50": 25_557_032,
    "mobilenet-v3-small": 2_542_856,
    "efficientnet-b0": 5_288_548,
    "vit-tiny": 5_717_416,
    "convnext-atto": 3_695_520,
    "cnn-lstm": 662_405,
    "lstm": 858_634,
    "text-encoder": 22_417_152,
}


def factory(row: str):
    """The row's factory, as Hasten finds it."""
    place, _, name = row_named(row).model.partition(":")
    return getattr(importlib.import_module(place), name)


@pytest.fixture
def quick(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Settle on two samples, in a cache of its own."""
    monkeypatch.setattr(weights, "SETTLING_SAMPLES", 2)
    return cache


@pytest.fixture(autouse=True)
def pictures_of_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures from the embedded digits: no download in a test."""
    from bench import samples

    greys = ("digits", np.kron(samples._digits(), np.ones((1, 3, 3), np.uint8)))
    monkeypatch.setattr(samples, "_greys", lambda: greys)


@pytest.mark.parametrize("row", PARAMETERS)
def test_size_and_life_of_a_model(row: str, quick: Path) -> None:
    module, examples = factory(row)()
    assert sum(part.numel() for part in module.parameters()) == PARAMETERS[row]
    assert not module.training
    inputs = {name: a[:2] for name, a in row_named(row).draw("test")[0].items()}
    assert [a.shape[1:] for a in inputs.values()] == [tuple(e.shape[1:]) for e in examples]
    with torch.inference_mode():
        first = module(*map(torch.from_numpy, inputs.values()))
    assert torch.isfinite(first).all()
    assert (first[0] - first[1]).abs().max() > 1e-3 * first.abs().max()


def test_same_seed_same_weights_and_the_random_state_is_left_alone(cache: Path) -> None:
    torch.manual_seed(5)
    before = torch.rand(1)
    torch.manual_seed(5)
    one, two = (factory("lstm")(seed=3)[0].state_dict() for _ in range(2))
    other = factory("lstm")(seed=4)[0].state_dict()
    assert torch.rand(1) == before
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not torch.equal(one["head.weight"], other["head.weight"])


def test_settled_norms_standardise_what_reaches_them() -> None:
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4)).eval()
    inputs = 5 + 3 * torch.randn(16, 3, 12, 12)
    weights.settle(module, inputs)
    out = module(inputs)
    assert not module[1].training
    assert module[1].momentum == 0.1
    torch.testing.assert_close(out.mean((0, 2, 3)), torch.zeros(4), atol=1e-3, rtol=0)
    torch.testing.assert_close(out.std((0, 2, 3)), torch.ones(4), atol=1e-2, rtol=0)


def test_settled_weights_are_kept_and_read_again(quick: Path) -> None:
    first = factory("cnn-lstm")()[0].state_dict()
    (kept,) = (quick / "bench" / "weights").iterdir()
    written = kept.stat().st_mtime_ns
    again = factory("cnn-lstm")()[0].state_dict()
    assert kept.stat().st_mtime_ns == written
    assert all(torch.equal(first[name], again[name]) for name in first)
