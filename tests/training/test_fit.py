"""How a training goes and ends: what counts as reached, best, over and told to stop."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch")

import hasten  # noqa: E402
import roads  # noqa: E402
from hasten.errors import BadData, BadInput, BadModel, HastenError  # noqa: E402
from hasten.progress import TrainingProgress  # noqa: E402
from hasten.training.fit import Fit, Stopped  # noqa: E402
from hasten.training.loop import NotFinite  # noqa: E402


def vectors(folder: Path, **changed: Any) -> str:
    """400 vectors of two classes that a straight line parts."""
    x = np.random.default_rng(0).standard_normal((400, 3)).astype(np.float32)
    arrays: dict[str, Any] = {"x": x, "y": (x[:, 0] > 0).astype(np.int64), **changed}
    np.savez(folder / "vectors.npz", **arrays)
    return str(folder / "vectors.npz")


def quick(what: Any, data: Any, **options: Any) -> Any:
    return hasten.train(what, data, **{"epochs": 1, "batch": 32, "plan": False, **options})


# --- what counts ----------------------------------------------------------------------------------


def test_answers_that_are_no_numbers_reach_nothing(tmp_path: Path) -> None:
    """One step an epoch: the loss is a number, the weights after it are none."""
    with pytest.raises(NotFinite, match="After step 1 of 1 the model's answers to"):
        quick(
            "mlp", vectors(tmp_path), batch=100_000, learning_rate=1e30, optimizer="sgd", target=0.9
        )


def test_another_target_is_measured_anew(tmp_path: Path) -> None:
    data, out = vectors(tmp_path), tmp_path / "run"
    first = quick("mlp", data, epochs=20, target=0.6, out=out)
    assert first.record["reached_seconds"] is not None
    taken = len(first.epochs)
    again = quick("mlp", data, epochs=20, target=2.0, out=out, resume=True)
    assert again.record["reached_seconds"] is None
    assert len(again.epochs) == 20 > taken
    assert again.record["seconds"] > again.epochs[-1]["seconds"] > first.epochs[-1]["seconds"]


def test_the_budget_ends_an_epoch_under_way(tmp_path: Path) -> None:
    x = np.random.default_rng(0).standard_normal((60_000, 200)).astype(np.float32)
    data = vectors(tmp_path, x=x, y=(x[:, 0] > 0).astype(np.int64))
    run = quick("mlp", data, batch=4, budget=2.0)
    assert len(run.epochs) == 1
    assert run.epochs[0]["step"] < 60_000 * 0.75 // 4


def test_what_may_change_is_remembered_where_nothing_is_said(tmp_path: Path) -> None:
    data, out = vectors(tmp_path), tmp_path / "run"
    quick("mlp", data, epochs=2, budget=500.0, out=out)
    quick(None, None, epochs=2, out=out, resume=True)
    assert json.loads((out / "run.json").read_text())["asked"]["budget_seconds"] == 500.0


def test_told_to_stop_while_a_folds_last_epoch_is_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge = Fit._judge

    def told(self: Fit) -> None:
        judge(self)
        if self.trainer.done == self.trainer.total:
            signal.raise_signal(signal.SIGTERM)

    data, out = vectors(tmp_path), tmp_path / "run"
    monkeypatch.setattr(Fit, "_judge", told)
    with pytest.raises(Stopped):
        quick("mlp", data, folds=2, out=out)
    assert not (out / "fold-2" / "metrics.jsonl").exists()
    monkeypatch.undo()
    run = quick("mlp", data, folds=2, out=out, resume=True)
    assert len(run.record["folds"]) == 2


def test_damaged_checkpoints_are_told_of(tmp_path: Path) -> None:
    class Notes(TrainingProgress):
        def __init__(self) -> None:
            self.told: list[str] = []

        def note(self, text: str) -> None:
            self.told.append(text)

    data, out, notes = vectors(tmp_path), tmp_path / "run", Notes()
    quick("mlp", data, out=out)
    for path in (out / "checkpoints").rglob("state.safetensors"):
        path.write_bytes(path.read_bytes()[:100])
    quick("mlp", data, out=out, resume=True, progress=notes)
    assert "no whole checkpoint was found: the run begins anew" in notes.told


# --- losses, models and recipes of one's own ------------------------------------------------------


LOSSES = """
from torch.nn import functional

def doubled(outputs, targets):
    return 2 * functional.cross_entropy(outputs, targets)

def logistic(outputs, targets):
    return functional.binary_cross_entropy_with_logits(outputs.reshape(-1), targets.float())
"""


@pytest.fixture
def losses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "losses_of_mine.py").write_text(LOSSES)
    monkeypatch.chdir(tmp_path)
    return "losses_of_mine"


def test_a_loss_of_ones_own_is_not_replaced_by_the_recipe(losses: str) -> None:
    run = quick("cnn", "digits", loss=f"{losses}:doubled")
    assert [use["name"] for use in run.record["learned"]["used"]] == ["muon"]
    assert "it is for cross-entropy" in run.record["learned"]["left"]["label_smoothing"]
    plain = quick("cnn", "digits", without=["label_smoothing"])
    assert run.epochs[0]["loss"] > 1.5 * plain.epochs[0]["loss"]


def test_pictures_with_several_labels(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (200, 1, 8, 8), dtype=np.uint8)
    labels = np.stack([x.mean((1, 2, 3)) > 127, x[:, 0, 0, 0] > 100], 1)
    for y in (labels.astype(np.int64), labels.astype(np.float32)):
        run = quick(None, vectors(tmp_path, x=x, y=y))
        assert (run.record["recipe"]["name"], run.record["loss"]) == ("cnn", "bce")
        assert "labels" in run.record


def test_one_output_and_a_loss_of_ones_own(tmp_path: Path, losses: str) -> None:
    run = quick(
        torch.nn.Linear(3, 1),
        vectors(tmp_path),
        loss=f"{losses}:logistic",
        epochs=5,
        learning_rate=0.1,
    )
    assert run.value > 0.8
    assert "confusion" not in run.record


FACTORY = """
import torch

def make():
    model = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
    model[0].requires_grad_(False)
    return model

def loss(outputs, targets):
    return torch.nn.functional.cross_entropy(outputs, targets)
"""


def test_a_factory_in_the_working_folder(tmp_path: Path) -> None:
    """It gives the module alone; the seed decides its weights; what it froze stays frozen."""
    (tmp_path / "mine.py").write_text(FACTORY)
    asked = ["train", "mine:make", "--data", vectors(tmp_path), "--loss", "mine:loss"]
    asked += ["--epochs", "1", "--deterministic"]
    for out in ("one", "two"):
        said = roads.start([*asked, "-o", out], tmp_path).end()
        assert said.code == 0, said.err
    kept = [(tmp_path / out / "model.safetensors").read_bytes() for out in ("one", "two")]
    assert kept[0] == kept[1]


def test_tied_weights_are_kept(tmp_path: Path) -> None:
    model = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.ReLU(), torch.nn.Linear(3, 3))
    model[2].weight = model[0].weight
    run = quick(model, vectors(tmp_path), out=tmp_path / "run")
    assert (tmp_path / "run" / "model.safetensors").exists()
    assert run.model[2].weight is run.model[0].weight


def test_what_a_run_gave_can_be_trained_again(tmp_path: Path) -> None:
    run = quick("mlp", vectors(tmp_path))
    assert quick(run.model, vectors(tmp_path)).value > 0.5
    with pytest.raises(BadModel, match="none of its weights may learn"):
        quick(run.model.requires_grad_(False), vectors(tmp_path))


# --- what is refused before anything is learned ---------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"what": "resnet"}, "'resnet', which is for pictures, for samples of shape"),
        ({"loss": "bce"}, "with loss bce: it cannot judge outputs of shape"),
        ({"loss": "mse"}, "with loss mse: it cannot judge outputs of shape"),
        ({"batch": 1}, "does not learn from 1 sample at a time"),
        ({"metric": "agreement"}, "it compares a model with another one"),
        ({"metric": "top5"}, "top5"),
        ({"metric": "mse"}, "mse"),
        ({"speedups": {"mixup": {"strength": 0.0}}}, "it must be above 0"),
    ],
    ids=lambda value: None if isinstance(value, str) else str(value),
)
def test_it_is_refused_in_one_line(tmp_path: Path, asked: dict[str, Any], message: str) -> None:
    options = {"what": "mlp", **asked}
    with pytest.raises(HastenError, match=message) as caught:
        quick(options.pop("what"), vectors(tmp_path), out=tmp_path / "run", **options)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run" / "run.json").exists()


def test_values_are_no_classes(tmp_path: Path) -> None:
    y = np.random.default_rng(0).standard_normal((400, 1)).astype(np.float32)
    with pytest.raises(BadInput, match="its labels are values, not classes"):
        quick("mlp", vectors(tmp_path, y=y), loss="cross-entropy")


def test_a_shift_beyond_the_picture() -> None:
    with pytest.raises(BadInput, match="Cannot shift pictures of 8 pixels by 40"):
        quick("cnn", "digits", speedups={"shift_crop": {"pixels": 40}})


def test_channels_last_are_told(tmp_path: Path) -> None:
    x = np.zeros((50, 12, 12, 3), np.uint8)
    with pytest.raises(BadData, match="look like pictures with their channels last"):
        quick(None, vectors(tmp_path, x=x, y=np.arange(50) % 2))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[training]\nepochs = 1", "its \\[training\\] has no batch"),
        (None, "Cannot find the network 'nowhere:net'"),
    ],
)
def test_recipes_of_ones_own_that_do_not_work(
    tmp_path: Path, text: str | None, message: str
) -> None:
    usual = '[training]\nepochs = 1\nbatch = 32\noptimizer = "sgd"\nlearning_rate = 0.1'
    head = 'title = "mine"\ntakes = "vectors"\nnetwork = "nowhere:net"\n'
    (tmp_path / "mine.toml").write_text(head + (text or usual))
    with pytest.raises(BadInput, match=message):
        hasten.train(str(tmp_path / "mine.toml"), vectors(tmp_path), plan=False)


# --- going on -------------------------------------------------------------------------------------


def test_another_model_of_the_same_class_is_refused(tmp_path: Path) -> None:
    def model(width: int) -> Any:
        return torch.nn.Sequential(torch.nn.Linear(3, width), torch.nn.Linear(width, 2))

    data, out = vectors(tmp_path), tmp_path / "run"
    quick(model(8), data, out=out)
    with pytest.raises(BadInput, match="network"):
        quick(model(16), data, out=out, resume=True)


def test_other_parts_of_the_same_samples_are_refused(tmp_path: Path) -> None:
    out = tmp_path / "run"
    quick("mlp", vectors(tmp_path, test=np.arange(50)), out=out)
    with pytest.raises(BadInput, match="parts"):
        quick("mlp", vectors(tmp_path, test=np.arange(50, 100)), out=out, resume=True)


def test_a_runs_data_must_be_those_it_saw(tmp_path: Path) -> None:
    data, out = vectors(tmp_path), tmp_path / "run"
    quick("mlp", data, out=out)
    assert len(hasten.data.load(str(out)).splits["test"]) == 60
    with np.load(data) as kept:
        x, y = kept["x"], kept["y"]
    vectors(tmp_path, x=np.concatenate([x[:1], x]), y=np.concatenate([y[:1], y]))
    with pytest.raises(BadData, match="holds other samples than it was trained on"):
        hasten.data.load(str(out))
