"""``hasten compare frameworks``: one network in several frameworks, the same answers, in turns."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch")

from hasten import plugin, recipes  # noqa: E402
from hasten.comparing import network  # noqa: E402
from hasten.errors import BadInput, UnknownName, Unsupported  # noqa: E402
from hasten.frameworks._torch_layers import TorchNet  # noqa: E402
from hasten.plugin import Lesson  # noqa: E402
from roads import Said  # noqa: E402

Command = Callable[..., Said]
SHAPES = {"cnn": (3, 12, 12), "tapered": (3, 16, 16), "mlp": (20,), "sequence": (9, 2)}
HERE = [name for name in ("jax",) if importlib.util.find_spec(name)]


def case(name: str, **options: Any) -> tuple[list[Any], np.ndarray, np.ndarray]:
    """The layers of a recipe, and samples with classes."""
    recipe = recipes.named(name)
    recipe = replace(recipe, options={**recipe.options, **options})
    rng = np.random.default_rng(0)
    x = rng.standard_normal((64, *SHAPES[name])).astype(np.float32)
    return network.described(recipe, SHAPES[name], 4, seed=0), x, rng.integers(0, 4, 64)


@pytest.mark.parametrize("name", SHAPES)
def test_the_layers_compute_what_the_recipes_network_does(name: str) -> None:
    layers, x, y = case(name)
    recipe = recipes.named(name)
    torch.manual_seed(0)
    module = recipe.module(SHAPES[name], 4).eval()
    with torch.no_grad():
        wanted = module(torch.from_numpy(x)).numpy()
    net = TorchNet(Lesson(layers, x, y, 0.1, 0.9))
    np.testing.assert_allclose(net.logits(net.ready(x)), wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("framework", HERE)
@pytest.mark.parametrize("name", SHAPES)
def test_frameworks_learn_the_same(framework: str, name: str) -> None:
    """The same weights, batches and rule: after some steps still nearly the same outputs."""
    layers, x, y = case(name)
    rows = np.random.default_rng(1).permuted(np.tile(np.arange(64), (3, 1)), axis=1)[:, :32]
    nets = [
        TorchNet(Lesson(layers, x, y, 0.05, 0.9)),
        plugin.frameworks.get(framework).build(Lesson(layers, x, y, 0.05, 0.9)),
    ]
    found = []
    for net in nets:
        first = np.asarray(net.logits(net.ready(x)))
        loss = net.train(rows)
        found.append((first, loss, np.asarray(net.logits(net.ready(x)))))
    (first, loss, after), (other_first, other_loss, other_after) = found
    np.testing.assert_allclose(other_first, first, rtol=1e-3, atol=1e-4)
    assert other_loss == pytest.approx(loss, rel=1e-2)
    assert not np.allclose(after, first, atol=1e-2)
    np.testing.assert_allclose(other_after, after, rtol=0.05, atol=0.02 * np.ptp(after))


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_recurrent_layers_of_both_kinds(cell: str) -> None:
    layers, x, y = case("sequence", cell=cell, pooled=False)
    assert [layer.kind for layer in layers] == [cell, "last_step", "linear"]
    reference = TorchNet(Lesson(layers, x, y, 0.1, 0.9))
    wanted = reference.logits(reference.ready(x))
    for name in HERE:
        net = plugin.frameworks.get(name).build(Lesson(layers, x, y, 0.1, 0.9))
        np.testing.assert_allclose(net.logits(net.ready(x)), wanted, rtol=1e-3, atol=1e-4)


def test_layers_are_kept_in_files(tmp_path: Path) -> None:
    layers, _, _ = case("cnn")
    network.write(layers, tmp_path)
    again = network.read(tmp_path)
    assert [layer.kind for layer in again] == [layer.kind for layer in layers]
    for one, other in zip(layers, again, strict=True):
        assert dict(one.numbers) == dict(other.numbers)
        assert all(np.array_equal(one.weights[k], other.weights[k]) for k in one.weights)


def test_a_network_that_is_no_row_of_layers() -> None:
    with pytest.raises(Unsupported, match="Take one of the recipes cnn"):
        network.described(recipes.named("resnet"), (3, 96, 96), 4, seed=0)


def test_it_compares_and_keeps_a_page(hasten: Command, workplace: Path) -> None:
    """A whole comparison with few steps: PyTorch alone needs nothing more than the tests have."""
    said = hasten(
        *("compare", "frameworks", "cnn", "--data", "digits", "-o", "found"),
        *("--steps", "12", "--rounds", "2", "--batch", "32"),
        *("--frameworks", ",".join(["pytorch", *HERE])),
    )
    assert said.code == 0, said.err
    record = json.loads((workplace / "found" / "comparison.json").read_text())
    assert [one["status"] for one in record["rivals"]] == ["measured"] * (1 + len(HERE))
    for rival in record["rivals"]:
        assert len(rival["train"]) == 2
        assert rival["accuracy_low"] <= rival["accuracy"] <= rival["accuracy_high"]
        assert rival["memory_bytes"] > 0
    assert record["rivals"][0]["name"] == "pytorch"
    page = (workplace / "found" / "report.html").read_text()
    assert "All figures" in page
    assert "PyTorch" in page


def test_what_cannot_be_compared() -> None:
    import hasten

    with pytest.raises(BadInput, match="without data"):
        hasten.compare_frameworks("cnn")
    with pytest.raises(UnknownName, match="framework"):
        hasten.compare_frameworks("cnn", "digits", frameworks=["torchh"])
    with pytest.raises(BadInput, match="give more --steps"):
        hasten.compare_frameworks("cnn", "digits", steps=3, rounds=3)


def test_one_that_fails_on_the_way_is_not_related() -> None:
    from hasten.compare import TURNS, _relate

    times = {name: [1.0] * 8 for name in TURNS}
    rivals: dict[str, Any] = {
        "pytorch": {"status": "measured", **times},
        "jax": {"status": "failed", **times, "train": [1.0]},
        "keras_jax": {"status": "measured", **{name: [0.5] * 8 for name in TURNS}},
    }
    _relate(rivals)
    assert rivals["keras_jax"]["train_ratio"]["value"] == 2.0
    assert "train_ratio" not in rivals["jax"]
    rivals["pytorch"]["status"] = "failed"
    _relate({"jax": rivals["jax"], "pytorch": rivals["pytorch"]})
