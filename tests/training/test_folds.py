"""Cross-validation: folds, their mean, and a run of them."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hasten import stats
from hasten.errors import BadData, BadInput
from hasten.training.folds import divide_folds, mean
from hasten.training.parts import Parts, divide
from hasten.types import Data


def data(count: int = 230, **changed: Any) -> Data:
    rng = np.random.default_rng(0)
    given = {"labels": np.arange(count) % 3, "task": "classification", **changed}
    return Data("made", {"x": rng.standard_normal((count, 4)).astype(np.float32)}, **given)


def folds(found: Data, count: int = 5, seed: int = 0) -> list[Parts]:
    return divide_folds(found, divide(found, seed), count, seed)


def test_every_sample_but_the_tests_validates_once() -> None:
    found = data()
    test = divide(found, 0).test
    every = folds(found)
    assert sorted(np.concatenate([f.validation for f in every])) == sorted(
        set(range(230)) - set(test)
    )
    for fold in every:
        assert not set(fold.train) & set(fold.validation)
        assert len(fold.train) + len(fold.validation) + len(test) == 230
        assert np.array_equal(fold.test, test)
    assert np.ptp([len(fold.validation) for fold in every]) <= 1


def test_folds_have_every_classs_share() -> None:
    found = data(labels=(np.arange(230) % 10 == 0).astype(np.int64))
    shares = [np.bincount(found.labels[f.validation], minlength=2)[1] for f in folds(found)]  # type: ignore[index]
    assert np.ptp(shares) <= 1


def test_the_same_seed_gives_the_same_folds() -> None:
    found = data()
    first, again, other = folds(found), folds(found), folds(found, seed=1)
    assert all(np.array_equal(a.train, b.train) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0].train, other[0].train)


def test_groups_stay_together() -> None:
    groups = np.repeat(np.arange(46), 5)
    for fold in folds(data(groups=groups)):
        assert not set(groups[fold.train]) & set(groups[fold.validation])
        assert abs(len(fold.validation) - 195 / 5) <= 5


def test_exact_copies_stay_together() -> None:
    found = data()
    array = found.inputs["x"]
    array[115:] = array[:115]
    digests = [row.tobytes() for row in array]
    for fold in folds(found):
        assert not {digests[i] for i in fold.train} & {digests[i] for i in fold.validation}


def test_a_class_with_fewer_samples_than_folds() -> None:
    labels = np.zeros(230, np.int64)
    labels[:4] = 1
    with pytest.raises(BadData, match="class 'rare' has 3 different samples"):
        folds(data(labels=labels, classes=("usual", "rare")))


def test_fewer_groups_than_folds() -> None:
    with pytest.raises(BadData, match="has 3 groups outside the test part"):
        divide_folds(data(groups=np.arange(230) % 3), divide(data(), 0), 5, 0)


# --- the mean -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("freedom", "quantile"), [(1, 12.7062), (4, 2.77645), (9, 2.26216), (100, 1.98397)]
)
def test_students_quantile(freedom: int, quantile: float) -> None:
    assert stats.student_quantile(0.95, freedom) == pytest.approx(quantile, rel=1e-4)


def test_the_interval_allows_for_training_sets_that_overlap() -> None:
    values = [0.90, 0.92, 0.91, 0.89, 0.93]
    middle, low, high = mean(values)
    assert middle == pytest.approx(0.91)
    wide = 2.77645 * np.std(values, ddof=1) * np.sqrt(1 / 5 + 1 / 4)
    assert (high - low) / 2 == pytest.approx(wide, rel=1e-4)


# --- a run ----------------------------------------------------------------------------------------


torch = pytest.importorskip("torch", reason="needs torch")

import hasten  # noqa: E402
from hasten.progress import TrainingProgress  # noqa: E402
from hasten.speedups.whitening import filters  # noqa: E402
from hasten.training.fit import Stopped  # noqa: E402
from hasten.training.samples import Samples  # noqa: E402

ASKED: dict[str, Any] = {"folds": 3, "epochs": 4, "batch": 16, "deterministic": True}


def table(folder: Path) -> str:
    rng = np.random.default_rng(0)
    y = np.arange(300) % 2
    x = (rng.standard_normal((300, 4)) + y[:, None]).astype(np.float32)
    np.savez(folder / "table.npz", x=x, y=y)
    return str(folder / "table.npz")


class StopInFold(TrainingProgress):
    """Tells the run to stop in its second fold."""

    def __init__(self) -> None:
        self.fold = 0

    def doing(self, text: str) -> None:
        self.fold += text.startswith("fold ")

    def step(self, done: int, total: int, loss: float, per_second: float) -> None:
        if self.fold == 2 and done == 20:
            signal.raise_signal(signal.SIGTERM)


def test_a_run_of_folds(tmp_path: Path) -> None:
    run = hasten.train("mlp", table(tmp_path), out=tmp_path / "run", **ASKED)
    record = run.record
    assert [fold["n"] for fold in record["folds"]] == [85, 86, 85]
    values = [fold["best"] for fold in record["folds"]]
    assert record["cross_validation"]["mean"] == pytest.approx(np.mean(values))
    assert record["fold"] == int(np.argmax(values)) + 1
    assert record["test"]["value"] == record["folds"][record["fold"] - 1]["test"]
    # The kept model answers with its own fold's normalisation and parts.
    told = hasten.data.load(str(tmp_path / "run"))
    assert np.array_equal(told.splits["validation"], run.data.splits["validation"])
    assert told.normalisation == run.data.normalisation


def test_every_fold_learns_from_the_beginning(tmp_path: Path) -> None:
    """A fold's first loss is that of fresh weights, whatever was learned before."""
    run = hasten.train("mlp", table(tmp_path), out=tmp_path / "run", **ASKED)
    first = [
        (tmp_path / "run" / f"fold-{n}" / "metrics.jsonl").read_text().split("\n")[0]
        for n in (1, 2, 3)
    ]
    import json

    losses = [json.loads(line)["loss"] for line in first]
    assert np.ptp(losses) < 0.15
    assert len(run.record["folds"]) == 3


def test_stopped_in_a_fold_it_goes_on_there(tmp_path: Path) -> None:
    path = table(tmp_path)
    whole = hasten.train("mlp", path, **ASKED)
    with pytest.raises(Stopped, match=r"--resume -o .*run"):
        hasten.train("mlp", path, out=tmp_path / "run", progress=StopInFold(), **ASKED)
    run = hasten.train(out=tmp_path / "run", resume=True)
    for one, other in zip(run.record["folds"], whole.record["folds"], strict=True):
        assert one["best"] == other["best"]
        assert one["test"] == other["test"]
    state = whole.model.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in run.model.state_dict().items())


def test_what_is_computed_from_samples_is_of_the_folds_own() -> None:
    """Filters that whiten come from the pictures that a fold learns from, not from those on which
    it is judged."""
    asked = {"folds": 2, "epochs": 0.1, "plan": False, "speedups": {"whitening": {}}}
    run = hasten.train("cnn", "digits", **asked)
    ((_, array),) = run.data.inputs.items()
    ((_, scale),) = run.data.normalisation.items()
    labels = np.asarray(run.data.labels)
    samples = Samples((array,), (scale,), labels, run.data.splits["train"])
    layer = run.model[0]
    wanted = filters(samples.peek(5000), layer.kernel_size, 5e-4)
    torch.testing.assert_close(layer.weight, wanted, rtol=1e-4, atol=1e-4)


def test_a_share_is_kept_of_every_folds_own_training_part() -> None:
    found = data()
    whole = divide_folds(found, divide(found, 0), 3, 0)
    kept = divide_folds(found, divide(found, 0, keep=0.5), 3, 0, keep=0.5)
    for one, other in zip(whole, kept, strict=True):
        assert np.array_equal(one.validation, other.validation)
        assert other.dropped == len(one.train) - len(other.train) > 0
        assert len(other.train) == pytest.approx(len(one.train) / 2, abs=2)


@pytest.mark.parametrize("count", [1, 0, -2])
def test_too_few_folds(count: int) -> None:
    with pytest.raises(BadInput, match="it must be 2 or more"):
        hasten.train("mlp", "digits", folds=count)
