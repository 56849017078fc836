"""``hasten train`` from the data to the run's folder, as a user runs it."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch")

from safetensors.torch import load_file  # noqa: E402

import hasten  # noqa: E402
import roads  # noqa: E402
from hasten.errors import BadData, BadInput  # noqa: E402
from hasten.progress import TrainingProgress  # noqa: E402
from hasten.training.fit import Stopped  # noqa: E402

STRICT = ("--deterministic", "--seed", "5", "--epochs", "6", "--batch", "32")


def spirals(folder: Path, count: int = 600, **changed: Any) -> Path:
    """Vectors of two classes that no straight line parts."""
    rng = np.random.default_rng(0)
    angle = rng.uniform(0.5, 3 * np.pi, count)
    label = np.arange(count) % 2
    x = np.stack([angle * np.cos(angle + np.pi * label), angle * np.sin(angle + np.pi * label)], 1)
    x = (x + rng.normal(0, 0.2, x.shape)).astype(np.float32)
    path = folder / "spirals.npz"
    np.savez(path, **{"x": x, "y": label, **changed})
    return path


def told(folder: Path, *arguments: str | Path) -> roads.Said:
    return roads.start(["train", *arguments], folder).end()


def test_it_learns_and_keeps_everything(tmp_path: Path) -> None:
    run = hasten.train(
        "mlp", str(spirals(tmp_path)), out=tmp_path / "run", epochs=30, batch=32, plan=False
    )
    assert run.value > 0.9
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["test"]["value"] == run.value
    assert record["data"]["parts"]["test"] == 90
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == list(range(1, 31))
    kept = load_file(tmp_path / "run" / "model.safetensors")
    assert all(torch.equal(kept[k], v) for k, v in run.model.state_dict().items())
    assert sum(map(sum, record["confusion"])) == 90


def test_the_recipe_is_chosen_by_the_data(tmp_path: Path) -> None:
    run = hasten.train(data="digits", epochs=1, plan=False)
    assert run.record["recipe"]["name"] == "cnn"
    run = hasten.train(data=str(spirals(tmp_path)), epochs=1, plan=False)
    assert run.record["recipe"]["name"] == "mlp"


def test_a_module_of_ones_own(tmp_path: Path) -> None:
    own = torch.nn.Sequential(torch.nn.Linear(2, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
    before = own[0].weight.clone()
    run = hasten.train(own, str(spirals(tmp_path)), epochs=2, plan=False)
    assert torch.equal(own[0].weight, before)
    assert not torch.equal(run.model[0].weight, before)


def test_the_target_ends_it(tmp_path: Path) -> None:
    run = hasten.train("mlp", str(spirals(tmp_path)), epochs=60, batch=32, target=0.7, plan=False)
    assert run.record["reached_seconds"] is not None
    assert len(run.epochs) < 60


def test_the_budget_ends_it(tmp_path: Path) -> None:
    run = hasten.train("mlp", str(spirals(tmp_path)), epochs=1e5, target=1.1, budget=2, plan=False)
    assert run.record["reached_seconds"] is None
    assert run.record["seconds"] < 20


def test_regression(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((400, 3)).astype(np.float32)
    path = tmp_path / "line.npz"
    np.savez(path, x=x, y=(x @ [1.0, -2.0, 0.5])[:, None].astype(np.float32))
    run = hasten.train("mlp", str(path), epochs=40, batch=32, plan=False)
    assert run.record["metric"] == "mse"
    assert run.value < 0.3


# --- left and entered -----------------------------------------------------------------------------


def test_killed_and_resumed_is_the_same_to_the_last_bit(tmp_path: Path) -> None:
    asked = ["mlp", "--data", spirals(tmp_path), *STRICT, "--epochs", "300"]
    whole = told(tmp_path, *asked, "-o", "whole")
    assert whole.code == 0, whole.err
    running = roads.start(["train", *asked, "-o", "killed"], tmp_path)
    deadline = time.monotonic() + roads.PATIENCE
    while not list((tmp_path / "killed" / "checkpoints").glob("step-*")):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(0.5)
    running.signal(signal.SIGKILL)
    running.end()
    assert not (tmp_path / "killed" / "model.safetensors").exists()
    resumed = told(tmp_path, "--resume", "-o", "killed")
    assert resumed.code == 0, resumed.err
    a, b = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "killed"))
    assert all(torch.equal(a[name], b[name]) for name in a)
    lines = [
        [
            {k: v for k, v in json.loads(line).items() if "second" not in k}
            for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()
        ]
        for name in ("whole", "killed")
    ]
    assert lines[0] == lines[1]


class StopAfter(TrainingProgress):
    """Tells the run to stop after one of its steps."""

    def __init__(self, step: int) -> None:
        self.at = step

    def step(self, done: int, total: int, loss: float, per_second: float) -> None:
        if done == self.at:
            signal.raise_signal(signal.SIGTERM)


@pytest.mark.parametrize("at", [7, 14, 28], ids=["within", "end of an epoch", "end of the run"])
def test_wherever_it_is_stopped_every_epoch_is_judged(tmp_path: Path, at: int) -> None:
    data = str(spirals(tmp_path))
    asked: dict[str, Any] = {"epochs": 2, "batch": 32, "deterministic": True}
    whole = hasten.train("mlp", data, **asked)
    with pytest.raises(Stopped, match=f"Stopped at step {at} of 28"):
        hasten.train("mlp", data, out=tmp_path / "run", progress=StopAfter(at), **asked)
    run = hasten.train("mlp", data, out=tmp_path / "run", resume=True, **asked)
    assert [line["step"] for line in run.epochs] == [14, 28]
    assert [line["loss"] for line in run.epochs] == [line["loss"] for line in whole.epochs]
    state = whole.model.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in run.model.state_dict().items())


def test_resume_begins_where_there_is_no_run_yet(tmp_path: Path) -> None:
    """One command serves for the start and for every restart, as a cluster wants it."""
    asked = ("mlp", "--data", spirals(tmp_path), *STRICT, "--resume", "-o", "run")
    first = told(tmp_path, *asked)
    assert first.code == 0, first.err
    weights = (tmp_path / "run" / "model.safetensors").read_bytes()
    again = told(tmp_path, *asked)
    assert again.code == 0, again.err
    assert "going on from step 84 of 84" in again.err
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == weights


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_told_to_stop_it_keeps_what_it_has(tmp_path: Path, number: signal.Signals) -> None:
    asked = ["train", "mlp", "--data", spirals(tmp_path), *STRICT, "--epochs", "5000", "-o", "run"]
    running = roads.start(asked, tmp_path)
    running.wait_for("epoch ")
    running.signal(number)
    said = running.end()
    assert said.code == 130
    assert "Go on with --resume -o run." in said.err
    assert list((tmp_path / "run" / "checkpoints").glob("step-*"))


# --- bad input ------------------------------------------------------------------------------------


def test_resume_with_other_settings_is_refused(tmp_path: Path) -> None:
    data = str(spirals(tmp_path))
    hasten.train("mlp", data, out=tmp_path / "run", epochs=2, plan=False)
    with pytest.raises(BadInput, match="seed was 0, is 1"):
        hasten.train("mlp", data, out=tmp_path / "run", epochs=2, seed=1, resume=True)
    assert (tmp_path / "run" / "model.safetensors").exists()


def test_resume_with_other_data_is_refused(tmp_path: Path) -> None:
    hasten.train("mlp", str(spirals(tmp_path)), out=tmp_path / "run", epochs=2, plan=False)
    with pytest.raises(BadInput, match="data was"):
        hasten.train(
            "mlp", str(spirals(tmp_path, 500)), out=tmp_path / "run", epochs=2, resume=True
        )


def test_a_folder_with_a_run_is_not_overwritten(tmp_path: Path) -> None:
    data = str(spirals(tmp_path))
    hasten.train("mlp", data, out=tmp_path / "run", epochs=1, plan=False)
    with pytest.raises(BadInput, match="it holds a run"):
        hasten.train("mlp", data, out=tmp_path / "run", epochs=1, plan=False)


def test_two_runs_in_one_folder(tmp_path: Path) -> None:
    from hasten.training.folder import RunFolder

    data = str(spirals(tmp_path))
    with RunFolder(tmp_path / "run").held(), pytest.raises(BadInput, match="another run"):
        hasten.train("mlp", data, out=tmp_path / "run", epochs=1, plan=False)


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        (("mlq", "--data", "spirals.npz"), "Did you mean 'mlp'"),
        (("mlp",), "Cannot train without data"),
        (("mlp", "--data", "spirals.npz", "--epochs", "0"), "--epochs 0.0: it must be above 0"),
        (("mlp", "--data", "spirals.npz", "--batch", "0"), "--batch 0: it must be a whole number"),
        (("mlp", "--data", "spirals.npz", "--loss", "hinge"), "Unknown loss 'hinge'"),
        (("mlp", "--resume"), "there is no run in it"),
        (("mlp", "--data", "nothing.npz"), "nothing.npz"),
    ],
)
def test_one_line_and_exit_2(tmp_path: Path, asked: tuple[str, ...], text: str) -> None:
    spirals(tmp_path)
    said = told(tmp_path, *asked, "-o", "run")
    assert said.code == 2
    assert text in said.told


def test_negative_labels(tmp_path: Path) -> None:
    path = spirals(tmp_path, y=np.arange(600) % 2 - 1)
    with pytest.raises(BadData, match="is negative"):
        hasten.train("mlp", str(path), epochs=1, plan=False)


def test_one_class_only(tmp_path: Path) -> None:
    path = spirals(tmp_path, y=np.zeros(600, np.int64))
    with pytest.raises(BadData, match="one class only"):
        hasten.train("mlp", str(path), epochs=1, plan=False)


# --- straight on ----------------------------------------------------------------------------------


def test_a_run_goes_into_optimize_as_it_is(tmp_path: Path) -> None:
    pytest.importorskip("openvino", reason="needs openvino")
    hasten.train("mlp", str(spirals(tmp_path)), out=tmp_path / "run", epochs=20, plan=False)
    found = hasten.optimize(str(tmp_path / "run"), budget="10s", engines=["openvino"])
    assert found.evidence["data"]["name"] == "spirals.npz"
    assert found.evidence["limit"]["metric"] == "accuracy"


def test_environment_is_left_as_it_was(tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    hasten.train("mlp", str(spirals(tmp_path)), epochs=1, threads=1, deterministic=True, plan=False)
    assert torch.get_num_threads() == threads
    assert not torch.are_deterministic_algorithms_enabled()
    assert os.environ.get("CUBLAS_WORKSPACE_CONFIG") is None
