"""What a run leaves to read: the page, the worst mistakes, the time of a step, TensorBoard."""

from __future__ import annotations

import base64
import io
import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch")
pytest.importorskip("jinja2", reason="needs jinja2")

from PIL import Image  # noqa: E402

import hasten  # noqa: E402
from hasten.errors import BadInput  # noqa: E402
from hasten.plugin import Setup  # noqa: E402
from hasten.progress import TrainingProgress  # noqa: E402
from hasten.training import losses, optimizers, pictures  # noqa: E402
from hasten.training.fit import Stopped  # noqa: E402
from hasten.training.folder import RunFolder  # noqa: E402
from hasten.training.loop import Trainer  # noqa: E402
from hasten.training.profile import time_split  # noqa: E402
from hasten.training.samples import Samples  # noqa: E402
from roads import Said  # noqa: E402

Command = Callable[..., Said]
CLASSES = 4


def photos(folder: Path, count: int = 400, channels: int = 3) -> Path:
    """Noise with a bright corner; every tenth has a wrong label, so mistakes remain."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, 120, (count, channels, 12, 12), np.uint8)
    y = np.arange(count) % CLASSES
    for n, label in enumerate(y):
        x[n, :, 6 * (label // 2) : 6 * (label // 2) + 6, 6 * (label % 2) :][..., :6] += 100
    y = np.where(np.arange(count) % 10 == 0, (y + 1) % CLASSES, y)
    path = folder / "photos.npz"
    np.savez(path, x=x, y=y)
    return path


def trained(folder: Path, data: Path, **options: Any) -> hasten.Run:
    asked = {"epochs": 3, "batch": 32, "plan": False, "out": folder / "run", **options}
    return hasten.train(asked.pop("recipe", None), str(data), **asked)


def answers(run: hasten.Run) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Outputs, targets and sample numbers of the test part, by PyTorch alone."""
    rows = np.asarray(run.data.splits["test"])
    (name, array), *_ = run.data.inputs.items()
    stored = torch.from_numpy(run.data.normalisation[name](array[rows]))
    with torch.no_grad():
        return run.model(stored).numpy(), np.asarray(run.data.labels)[rows], rows


def test_the_page_tells_what_the_model_answers(tmp_path: Path) -> None:
    run = trained(tmp_path, photos(tmp_path))
    outputs, truth, rows = answers(run)
    answered = outputs.argmax(1)
    table = run.record["confusion"]
    assert table == [
        [int(((truth == n) & (answered == k)).sum()) for k in range(CLASSES)]
        for n in range(CLASSES)
    ]
    page = (tmp_path / "run" / "report.html").read_text()
    assert f"Accuracy {100 * (answered == truth).mean():.2f} % on 60 test samples" in page
    found = json.loads((tmp_path / "run" / "examples.json").read_text())["mistakes"]
    wrong = np.flatnonzero(answered != truth)
    assert 0 < len(wrong) <= 24
    assert sorted(one["sample"] for one in found) == sorted(rows[wrong].tolist())
    shares = [one["share"] for one in found]
    assert shares == sorted(shares, reverse=True)
    for one in found:
        pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(one["png"]))))
        stored = run.data.inputs["x"][one["sample"]]
        assert np.array_equal(np.moveaxis(pixels, -1, 0), stored)
        assert one["png"] in page
    assert (tmp_path / "run" / "examples.json").stat().st_size < 200_000


def test_regression_and_its_page(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((300, 4)).astype(np.float32)
    y = np.stack([x @ [1.0, -2.0, 0.5, 0.0], 9 * x[:, 3]], 1) + rng.normal(0, 0.1, (300, 2))
    np.savez(tmp_path / "lines.npz", x=x, y=y.astype(np.float32))
    run = trained(tmp_path, tmp_path / "lines.npz", epochs=10)
    outputs, truth, _ = answers(run)
    errors = outputs - truth
    for k, row in enumerate(run.record["values"]):
        assert row["mae"] == pytest.approx(np.abs(errors[:, k]).mean(), rel=1e-4)
        assert row["r2"] == pytest.approx(1 - errors[:, k].var() / truth[:, k].var(), abs=0.05)
    page = (tmp_path / "run" / "report.html").read_text()
    assert "The largest errors" in page
    assert f"{run.record['values'][1]['rmse']:.4g}" in page
    found = json.loads((tmp_path / "run" / "examples.json").read_text())
    assert len(found["points"]) == 45
    size = np.abs(errors / truth.std(axis=0)).max(axis=1)
    assert found["mistakes"][0]["true"] == pytest.approx(truth[size.argmax()], rel=1e-4)


def test_several_labels_and_their_page(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((300, 4)).astype(np.float32)
    y = (x[:, :3] + rng.normal(0, 0.5, (300, 3)) > [0, 0.5, 1]).astype(np.int64)
    np.savez(tmp_path / "labels.npz", x=x, y=y)
    run = trained(tmp_path, tmp_path / "labels.npz")
    outputs, truth, _ = answers(run)
    wanted = [
        [int(v.sum()) for v in ((truth[:, k] == 1) & (outputs[:, k] > 0), truth[:, k] == 1)]
        for k in range(3)
    ]
    assert [row[:2] for row in run.record["labels"]] == wanted
    assert "How good each label is" in (tmp_path / "run" / "report.html").read_text()


def test_clips_and_series_can_be_shown() -> None:
    clip = np.zeros((5, 1, 8, 6), np.uint8)
    clip[2] = 200
    shown = pictures.drawn(clip)
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(shown["png"]))))
    assert pixels.shape == (8, 6)
    assert (pixels == 200).all()
    shown = pictures.drawn(np.arange(1000.0).reshape(500, 2))
    assert [len(column) for column in shown["series"]] == [120, 120]
    assert shown["series"][1][-1] == 999
    assert pictures.drawn(np.zeros(7)) == {}
    large = pictures.drawn(np.random.default_rng(0).random((3, 300, 200)).astype(np.float32))
    assert (large["width"], large["height"]) == (48, 72)


# --- the time of a step ---------------------------------------------------------------------------


def setup(**changed: Any) -> Setup:
    torch.manual_seed(0)
    given: dict[str, Any] = {
        "module": torch.nn.Sequential(torch.nn.Linear(6, 64), torch.nn.Linear(64, 3)),
        "loss": losses.cross_entropy(),
        "optimizer": optimizers.optimizer("adamw", 0.01),
        "schedule": optimizers.one_cycle,
        "epochs": 4,
        "batch": 16,
        "feed": "resident",
        **changed,
    }
    return Setup(**given)


def samples() -> Samples:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((96, 6)).astype(np.float32)
    return Samples((x,), (None,), np.arange(96) % 3, np.arange(96))


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"accumulate": 3},
        {"around": lambda: torch.autocast("cpu", dtype=torch.bfloat16)},
        {"feed": "loader"},
        {"compiled": lambda module: torch.compile(module, backend="eager")},
        {"epochs": 0.1},
    ],
    ids=["plain", "parts", "bf16", "loader", "compiled", "one step"],
)
def test_a_step_is_divided(changed: dict[str, Any]) -> None:
    trainer = Trainer(setup(**changed), samples(), 0)
    list(trainer.epoch())
    done = trainer.done
    found = time_split(trainer)
    assert set(found["seconds"]) == {"data", "forward", "backward", "optimizer"}
    assert all(value > 0 for value in found["seconds"].values())
    assert found["steps"] >= 3
    assert trainer.done == done
    assert not {"_loss", "_gradients"} & set(vars(trainer)), "the clocks are taken off again"


def test_the_time_goes_where_it_is_spent() -> None:
    import time

    def slow(inputs: Any) -> Any:
        time.sleep(0.02)
        return inputs

    found = time_split(Trainer(setup(place=(slow,)), samples(), 0))["seconds"]
    assert found["forward"] >= 0.02
    assert found["forward"] > sum(found.values()) / 2

    class Slow(torch.optim.SGD):
        def step(self, closure: Any = None) -> Any:
            time.sleep(0.02)
            return super().step(closure)

    made = setup(optimizer=lambda module: Slow(module.parameters(), 0.01))
    found = time_split(Trainer(made, samples(), 0))["seconds"]
    assert found["optimizer"] >= 0.02
    assert found["forward"] + found["backward"] < found["optimizer"]


def test_a_split_that_fails_says_why() -> None:
    made = setup(loss=lambda outputs, targets: outputs.sum() * float("nan"))
    assert "The loss became nan" in time_split(Trainer(made, samples(), 0))["error"]


# --- TensorBoard ----------------------------------------------------------------------------------


def events(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """What TensorBoard's own reader finds, by curve."""
    reader = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator", reason="needs tensorboard"
    )
    found = reader.EventAccumulator(str(folder / "tensorboard"))
    found.Reload()
    return {
        tag: [(event.step, event.value) for event in found.Scalars(tag)]
        for tag in found.Tags()["scalars"]
    }


def test_tensorboard_reads_the_curves(tmp_path: Path) -> None:
    run = trained(tmp_path, photos(tmp_path))
    found = events(tmp_path / "run")
    assert set(found) == {"loss", "accuracy", "best", "learning_rate", "samples_per_second"}
    for name, curve in found.items():
        assert [step for step, _ in curve] == [1, 2, 3]
        assert [value for _, value in curve] == pytest.approx([e[name] for e in run.epochs])


class StopAfter(TrainingProgress):
    def __init__(self, at: int) -> None:
        self.at = at

    def step(self, done: int, total: int, loss: float, per_second: float) -> None:
        if done == self.at:
            signal.raise_signal(signal.SIGTERM)


def test_a_resumed_run_writes_no_epoch_twice(tmp_path: Path) -> None:
    data = photos(tmp_path)
    with pytest.raises(Stopped):
        trained(tmp_path, data, progress=StopAfter(22))
    trained(tmp_path, data, resume=True)
    assert [step for step, _ in events(tmp_path / "run")["accuracy"]] == [1, 2, 3]


def test_without_tensorboard_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "torch.utils.tensorboard", None)
    trained(tmp_path, photos(tmp_path))
    assert not (tmp_path / "run" / "tensorboard").exists()


# --- the verbs ------------------------------------------------------------------------------------


def test_report_rebuilds_the_page_without_the_data(hasten: Command, tmp_path: Path) -> None:
    data = photos(tmp_path)
    said = hasten("train", "--data", data, "--no-plan", "--epochs", "2", "-o", "run")
    assert said.code == 0, said.err
    assert "changes what is learned: label_smoothing(share=0.1)" in said.out
    assert "run/report.html" in said.out
    page = Path("run/report.html")
    before = page.read_text()
    page.unlink()
    data.unlink()
    said = hasten("report", "run")
    assert said.code == 0, said.err
    assert page.read_text() == before
    assert "F1" in said.out
    record = json.loads(hasten("report", "run", "--json").out)
    assert [line["epoch"] for line in record["epochs"]] == [1, 2]
    said = hasten("report", "run", "--svg", "curves.svg")
    assert "wrote curves.svg" in said.out
    assert Path("curves.svg").read_text().startswith("<svg")


def test_the_live_line_says_how_it_goes() -> None:
    from hasten.cli._training import Live

    live = Live(quiet=True)
    live.fitting("accuracy", 40, 10)
    live.step(10, 40, 0.7, 2900.0)
    line = {"epoch": 1, "step": 10, "loss": 0.8, "accuracy": 0.9, "best": 0.92}
    live.epoch({**line, "samples_per_second": 2950.0}, 4)
    live.step(12, 40, 0.5, 3000.0)
    *said, left = live.now.split(" · ")
    assert said == [
        "epoch 2/4",
        "step 12/40",
        "loss 0.5000",
        "accuracy 0.9000, best 0.9200",
        "3,000 samples/s",
    ]
    assert left.endswith(" s left")
    assert "2,950 samples/s" in live.lines[0]


def test_without_jinja_a_line_says_how_to_get_the_page(
    hasten: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hasten.report import frame

    frame._environment.cache_clear()
    monkeypatch.setitem(__import__("sys").modules, "jinja2", None)
    said = hasten("train", "--data", photos(tmp_path), "--no-plan", "--epochs", "1", "-o", "run")
    assert said.code == 0
    assert not Path("run/report.html").exists()
    assert "pip install 'hasten[report]'" in said.out
    said = hasten("report", "run")
    assert said.code == 2
    assert "jinja2 is not installed" in said.err


def test_an_unfinished_run(hasten: Command, tmp_path: Path) -> None:
    with pytest.raises(Stopped):
        trained(tmp_path, photos(tmp_path), progress=StopAfter(12))
    said = hasten("report", tmp_path / "run")
    assert said.code == 2
    assert "has not ended (1 of 3 epochs). Go on with it: hasten train --resume" in said.told
    said = hasten("inspect", tmp_path / "run")
    assert said.code == 0
    assert "not finished: 1 of 3 epochs" in said.out
    assert "next  hasten train --resume -o" in said.out


def test_inspecting_a_run(hasten: Command, tmp_path: Path) -> None:
    run = trained(tmp_path, photos(tmp_path), epochs=1)
    said = hasten("inspect", tmp_path / "run", "--json")
    assert said.code == 0, said.err
    found = json.loads(said.out)
    assert found["test"]["value"] == run.value
    assert found["parameters"] == sum(p.numel() for p in run.model.parameters())
    assert found["next"] == f"hasten optimize {tmp_path / 'run'}"


def test_a_folder_without_a_run() -> None:
    with pytest.raises(BadInput, match=r"it holds no run\.json"):
        RunFolder(Path("nothing")).finished()


def test_a_network_is_built_as_the_record_says(tmp_path: Path) -> None:
    """By its recipe, also where an older record does not say what that takes."""
    from hasten.plugin import Source
    from hasten.search.build import find_frontend

    run = trained(tmp_path, photos(tmp_path), epochs=1)
    place = tmp_path / "run"
    record = json.loads((place / "run.json").read_text())
    assert record["recipe"]["takes"] == "pictures"
    for takes in ("pictures", None):
        if takes is None:
            del record["recipe"]["takes"]
            (place / "run.json").write_text(json.dumps(record))
        loaded = find_frontend(str(place))(Source(str(place))).handle
        ours = run.model.state_dict()
        assert all(torch.equal(value, ours[name]) for name, value in loaded.state_dict().items())
