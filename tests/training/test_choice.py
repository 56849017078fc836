"""Speed-ups that the user chooses himself, and what else he decides."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch")

import hasten  # noqa: E402
from hasten.errors import BadInput, UnknownName, Unsupported  # noqa: E402
from hasten.progress import TrainingProgress  # noqa: E402
from hasten.training import choice  # noqa: E402
from hasten.training.settings import TrainSettings  # noqa: E402


def kept(run: Any) -> dict[str, bool]:
    return {row["use"]["name"]: row["kept"] for row in run.record["plan"]}


def test_options_as_the_command_line_has_them() -> None:
    assert choice.named(
        ["ema", "muon=momentum:0.8,learning_rate:1e-2", "fewer_threads=count:1"]
    ) == {
        "ema": {},
        "muon": {"momentum": 0.8, "learning_rate": 0.01},
        "fewer_threads": {"count": 1},
    }


@pytest.mark.parametrize(
    ("given", "kind", "text"),
    [
        ({"speedups": {"emma": {}}}, UnknownName, "Did you mean 'ema'"),
        ({"speedups": {"ema": {"decoy": 1}}}, UnknownName, "Did you mean 'decay'"),
        ({"speedups": {"ema": {"decay": "high"}}}, BadInput, "it takes float"),
        ({"without": ["fewer_treads"]}, UnknownName, "Did you mean 'fewer_threads'"),
        ({"speedups": {"ema": {}}, "without": ["ema"]}, BadInput, "give one of them"),
    ],
)
def test_what_is_not_known_is_refused_at_once(given: Any, kind: Any, text: str) -> None:
    with pytest.raises(kind, match=text):
        TrainSettings(**given)


@pytest.mark.parametrize("text", ["ema=decay", "ema=:1", "ema=decay:"])
def test_options_that_cannot_be_read(text: str) -> None:
    with pytest.raises(BadInput, match=r"is not an option\. Write NAME=key:value"):
        choice.named([text])


def test_what_is_asked_for_is_used_and_noted() -> None:
    run = hasten.train(
        "cnn",
        "digits",
        epochs=1,
        plan=False,
        speedups={"ema": {"decay": 0.5}, "channels_last": {}},
        without=["resident", "kept_memory", "label_smoothing"],
    )
    assert kept(run) == {"channels_last": True, "resident": False, "kept_memory": False}
    assert [row["why"] for row in run.record["plan"]] == ["as asked", *2 * ["left out, as asked"]]
    assert run.record["settings"]["speedups"] == {"ema": {"decay": 0.5}, "channels_last": {}}


def test_what_the_recipe_lists_works_with_what_is_asked_for() -> None:
    asked = {"bias_learning_rate": {"times": 2.0}}
    run = hasten.train("cnn", "digits", epochs=4, plan=False, speedups=asked)
    assert run.value > 0.5


def test_a_network_is_made_for_its_speed_up_and_loads_again(tmp_path: Path) -> None:
    run = hasten.train(
        "cnn", "digits", out=tmp_path / "run", epochs=2, plan=False, speedups={"whitening": {}}
    )
    assert run.record["recipe"]["options"]["stem"] == "whitening"
    from hasten.frontends.run import RunFrontend
    from hasten.plugin import Source

    loaded = RunFrontend().load(Source(str(tmp_path / "run"))).handle
    inputs = run.model.example_input_array
    torch.testing.assert_close(loaded(*inputs), run.model(*inputs))


def test_a_network_that_cannot_be_made_for_it_is_refused() -> None:
    with pytest.raises(Unsupported, match=r"hasten.nets.mlp:mlp has none"):
        hasten.train("mlp", "digits", epochs=1, plan=False, speedups={"whitening": {}})


def test_a_resumed_run_keeps_options_and_threads(tmp_path: Path) -> None:
    asked: dict[str, Any] = {
        "epochs": 4,
        "speedups": {"fewer_threads": {"count": 1}},
        "plan": False,
    }
    threads = torch.get_num_threads()
    hasten.train("cnn", "digits", out=tmp_path / "run", **asked)
    seen: list[int] = []

    class Look(TrainingProgress):
        def step(self, *told: Any) -> None:
            seen.append(torch.get_num_threads())

    _, newest = sorted((tmp_path / "run" / "checkpoints").glob("step-*"))
    shutil.rmtree(newest)
    run = hasten.train(out=tmp_path / "run", resume=True, progress=Look())
    assert run.record["plan"][0]["use"] == {"name": "fewer_threads", "options": {"count": 1}}
    assert set(seen) == {1}
    assert torch.get_num_threads() == threads


def test_mirrored_answers_are_reported_apart() -> None:
    plain = hasten.train("cnn", "digits", epochs=2, plan=False)
    both = hasten.train("cnn", "digits", epochs=2, plan=False, tta=True)
    assert both.record["test"]["value"] == plain.record["test"]["value"]
    assert "tta" not in plain.record["test"]
    assert 0 < both.record["test"]["tta"] <= 1


def test_vectors_have_no_mirror_images(tmp_path: Path) -> None:
    x = np.random.default_rng(0).standard_normal((60, 2)).astype(np.float32)
    np.savez(tmp_path / "vectors.npz", x=x, y=(x[:, 0] > 0).astype(np.int64))
    with pytest.raises(BadInput, match="it mirrors pictures"):
        hasten.train("mlp", str(tmp_path / "vectors.npz"), epochs=1, tta=True)
