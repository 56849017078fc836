from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from hasten import metrics
from hasten.errors import BadData, BadInput, BadModel, UnknownName
from hasten.metrics import Limit
from hasten.types import Arrays, Spec, TensorSpec

SPEC = Spec(
    (TensorSpec("x", "float32", ("batch", 4)),), (TensorSpec("y", "float32", ("batch", 3)),)
)


def value(name: str, outputs: Arrays, labels: np.ndarray | None = None, **options: object) -> float:
    """A metric of outputs, from rows made in two batches."""
    metric = metrics.named(name, **options)  # type: ignore[arg-type]
    half = len(next(iter(outputs.values()))) // 2
    rows = [
        metric.statistics(
            {key: array[part] for key, array in outputs.items()},
            None,
            None if labels is None else labels[part],
        )
        for part in (slice(half), slice(half, None))
    ]
    return float(metric.value(np.concatenate(rows).sum(axis=0)))


def scores(decisions: list[int], classes: int = 3) -> Arrays:
    return {"y": np.eye(classes, dtype=np.float32)[decisions]}


# --- values ---------------------------------------------------------------------------------------


def test_accuracy_counts_right_decisions() -> None:
    assert value("accuracy", scores([0, 1, 2, 2]), np.array([0, 1, 2, 0])) == 0.75
    assert value("accuracy", scores([0, 1, 2, 2]), np.array([[0], [1], [2], [0]])) == 0.75


def test_accuracy_of_pixels_and_tokens() -> None:
    labels = np.array([[[0, 1, 1], [1, 1, 0]], [[0, 0, 1], [1, 0, 0]]])
    decided = labels.copy()
    decided[0, 1, :2] = 0
    channels_last = np.eye(2)[decided]
    assert value("accuracy", {"y": channels_last}, labels) == pytest.approx(10 / 12)
    assert value("accuracy", {"y": channels_last.transpose(0, 3, 1, 2)}, labels) == pytest.approx(
        10 / 12
    )


@pytest.mark.parametrize("column", [[0.9, 0.2, 0.6, 0.1], [3.0, -1.0, 0.2, -2.0]])
@pytest.mark.parametrize("shape", [(4,), (4, 1)])
def test_accuracy_of_one_yes_no_column(column: list[float], shape: tuple[int, ...]) -> None:
    answers = {"y": np.array(column).reshape(shape)}
    metric = metrics.named("accuracy")
    rows = metric.statistics(answers, answers, np.array([1, 0, 0, 0]))
    assert rows[:, 0].tolist() == [1, 1, 0, 1]


def test_accuracy_reads_the_first_output_that_fits() -> None:
    outputs = {"features": np.ones((4, 5, 5)), **scores([0, 1, 2, 0])}
    assert value("accuracy", outputs, np.array([0, 1, 2, 0])) == 1
    assert value("accuracy", outputs, np.array([0, 1, 2, 0]), output="y") == 1


def test_top_k_counts_labels_among_the_first() -> None:
    ranked = {"y": np.array([[4, 3, 2, 1, 0, -1]] * 4, float)}
    labels = np.array([0, 2, 4, 5])
    assert [value(f"top{k}", ranked, labels) for k in (1, 3, 5)] == [0.25, 0.5, 0.75]


def test_f1_is_the_mean_over_classes() -> None:
    labels, decided = [0, 0, 0, 1, 1, 2], [0, 0, 1, 1, 1, 0]
    per_class = [2 * 2 / (3 + 3), 2 * 2 / (2 + 3), 0]
    assert value("f1", scores(decided), np.array(labels)) == pytest.approx(np.mean(per_class))


def test_f1_leaves_out_classes_that_nobody_names() -> None:
    assert value("f1", scores([0, 1, 0, 1], classes=9), np.array([0, 1, 0, 1])) == 1


def test_f1_of_many_labels_per_sample() -> None:
    labels = np.array([[1, 0], [1, 1], [0, 1], [0, 0]])
    answers = {"y": np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.9], [0.1, 0.0]])}
    wanted = np.mean([2 * 2 / (2 + 3), 2 * 1 / (2 + 1)])
    assert value("f1", answers, labels) == pytest.approx(wanted)


def test_mean_errors() -> None:
    targets = np.array([[1.0, 2.0], [3.0, 4.0]])
    answers = {"y": targets + np.array([[1.0, -1.0], [3.0, 0.0]])}
    assert value("mse", answers, targets) == pytest.approx((1 + 1 + 9 + 0) / 4)
    assert value("mae", answers, targets) == pytest.approx((1 + 1 + 3 + 0) / 4)
    assert value("mae", {"y": np.ones((4, 1))}, np.zeros(4)) == 1


def test_agreement_is_with_the_reference() -> None:
    rows = metrics.named("agreement").statistics(scores([0, 1, 2]), scores([0, 1, 1]), None)
    assert rows[:, 0].tolist() == [1, 1, 0]


def test_sqnr_in_decibel_by_the_worst_output() -> None:
    reference = {"a": np.full((5, 2), 10.0), "b": np.full((5, 3), 1.0), "i": np.arange(5)}
    candidate = {"a": np.full((5, 2), 10.1), "b": np.full((5, 3), 1.1), "i": np.arange(5)}
    metric = metrics.named("sqnr")
    rows = metric.statistics(candidate, reference, None)
    assert float(metric.value(rows.sum(axis=0))) == pytest.approx(20)
    same = metric.statistics(reference, reference, None)
    assert float(metric.value(same.sum(axis=0))) == 200


def test_users_own_function(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_metric.py").write_text(
        "def score(outputs, labels):\n    return 1 - abs(outputs['y'][:, 0] - labels)\n"
        "def wrong(outputs, labels):\n    return 3.0\n"
    )
    monkeypatch.chdir(tmp_path)
    answers = {"y": np.array([[0.5], [1.0]])}
    assert value("own_metric:score", answers, np.array([1.0, 1.0])) == 0.75
    with pytest.raises(BadInput, match=r"one number per sample: float\[1\]"):
        value("own_metric:wrong", answers, np.array([1.0, 1.0]))
    with pytest.raises(BadInput, match="'own_metric' has no such function"):
        metrics.named("own_metric:scores")
    with pytest.raises(BadInput, match="Cannot load metric 'no_such_module:f'"):
        metrics.named("no_such_module:f")


# --- bad input ------------------------------------------------------------------------------------


def test_unknown_metric_names_the_known_ones() -> None:
    with pytest.raises(UnknownName, match=r"'accuraci'. Did you mean 'accuracy'.*sqnr"):
        metrics.named("accuraci")


@pytest.mark.parametrize(
    ("name", "outputs", "labels", "message"),
    [
        ("accuracy", scores([0, 1]), None, "Cannot compute accuracy without labels"),
        ("accuracy", scores([0, 1]), np.array([0, 3]), "0 to 3, but .* has 3 classes"),
        ("accuracy", scores([0, 1]), np.array([0, -1]), "-1 to 0, but"),
        ("accuracy", scores([0, 1]), np.array([0.5, 1]), "not whole numbers"),
        (
            "accuracy",
            {"y": np.ones((2, 4, 4))},
            np.array([0, 1]),
            r"\[2\] fit no output \(y \[2, 4",
        ),
        ("accuracy", scores([0, 1]), np.array([0, 1, 2]), "3 labels for 2 samples"),
        ("top5", scores([0, 1]), np.array([0, 1]), "Cannot compute top5 of 3 classes"),
        ("f1", scores([0, 1]), np.array([[0, 1, 2], [0, 0, 0]]), "has 2 classes"),
        ("mse", scores([0, 1]), np.zeros((2, 5)), r"\[2, 5\] fit no output"),
        ("sqnr", {"y": np.arange(2)}, None, "no output of floating-point type"),
    ],
)
def test_labels_that_do_not_fit(
    name: str, outputs: Arrays, labels: np.ndarray | None, message: str
) -> None:
    with pytest.raises(BadData, match=message):
        metrics.named(name).statistics(outputs, outputs, labels)


def test_unknown_output_names_the_known_ones() -> None:
    with pytest.raises(BadData, match=r"no output 'z' to read\. Known: y"):
        value("accuracy", scores([0, 1]), np.array([0, 1]), output="z")


# --- choosing -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("task", "labels", "wanted"),
    [
        ("classification", np.array([0, 1]), ("accuracy", "drop", 0.01)),
        ("", np.array([0, 1]), ("accuracy", "drop", 0.01)),
        ("multilabel", np.array([[0, 1], [1, 1]]), ("f1", "drop", 0.01)),
        ("", np.array([[0, 1], [1, 1]]), ("f1", "drop", 0.01)),
        ("regression", np.array([1, 2]), ("mse", "drop", 0.01)),
        ("", np.array([0.5, 2.0]), ("mse", "drop", 0.01)),
        ("classification", None, ("agreement", "floor", 0.99)),
        ("", None, ("sqnr", "floor", 30.0)),
        ("regression", None, ("sqnr", "floor", 30.0)),
    ],
)
def test_default_limits(
    task: str, labels: np.ndarray | None, wanted: tuple[str, str, float]
) -> None:
    limit = metrics.choose(SPEC, labels, task=task)
    assert (limit.metric.name, limit.mode, limit.limit) == wanted
    assert limit.why.startswith(limit.metric.name)
    assert Limit.from_json(json.loads(json.dumps(limit.to_json()))) == limit


def test_users_limits() -> None:
    labels = np.array([0, 1])
    assert metrics.choose(SPEC, labels, max_drop=0.05).limit == 0.05
    assert metrics.choose(SPEC, labels, floor=0.9).mode == "floor"
    assert metrics.choose(SPEC, None, metric="agreement", max_drop=0.02).mode == "drop"
    assert metrics.choose(SPEC, labels, metric="sqnr").limit == 30
    with pytest.raises(BadInput, match="--max-drop with sqnr"):
        metrics.choose(SPEC, None, metric="sqnr", max_drop=0.1)
    with pytest.raises(BadInput, match="--floor with mse, where less is better"):
        metrics.choose(SPEC, np.array([0.5]), floor=0.1)


# --- judging --------------------------------------------------------------------------------------


def yes_no(n: int, wrong: int, first: int = 0) -> np.ndarray:
    rows = np.ones((n, 2))
    rows[first : first + wrong, 0] = 0
    return rows


ACCURACY = metrics.choose(SPEC, np.array([0, 1]))
AGREEMENT = metrics.choose(SPEC, None, task="classification")


@pytest.mark.parametrize(
    ("n", "wrong", "verdict"),
    [(1000, 0, "proven"), (1000, 3, "proven"), (1000, 7, "unproven"), (1000, 11, "broken")],
)
def test_verdicts_of_a_drop(n: int, wrong: int, verdict: str) -> None:
    score = metrics.judge(ACCURACY, yes_no(n, 0), yes_no(n, wrong), split="test")
    assert score.verdict == verdict
    assert score.drop == pytest.approx(wrong / n)
    assert score.drop < score.bound
    assert (score.needed > n) == (verdict == "unproven")


def test_few_samples_prove_nothing_even_without_a_mistake() -> None:
    score = metrics.judge(ACCURACY, yes_no(50, 0), yes_no(50, 0), split="test")
    assert (score.verdict, score.drop) == ("unproven", 0)
    assert score.needed == pytest.approx(299, abs=2)


def test_a_smaller_alpha_asks_for_more() -> None:
    before, after = yes_no(350, 0), yes_no(350, 0)
    verdicts = [
        metrics.judge(ACCURACY, before, after, split="test", alpha=alpha).verdict
        for alpha in (0.05, 0.05 / 3)
    ]
    assert verdicts == ["proven", "unproven"]


@pytest.mark.parametrize(
    ("n", "wrong", "verdict"), [(600, 1, "proven"), (300, 2, "unproven"), (300, 4, "broken")]
)
def test_verdicts_of_a_floor(n: int, wrong: int, verdict: str) -> None:
    score = metrics.judge(AGREEMENT, yes_no(n, 0), yes_no(n, wrong), split="test")
    assert (score.verdict, score.drop, score.reference) == (verdict, None, None)
    assert score.bound < score.value


def noisy(level: float, n: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """Statistics of sqnr whose error has the given share of the signal."""
    rng = np.random.default_rng(0)
    signal = rng.lognormal(0, 0.3, n)
    error = level * signal * rng.lognormal(0, 0.5, n)
    return np.stack([signal, 0 * signal], 1), np.stack([signal, error], 1)


@pytest.mark.parametrize(
    ("level", "verdict"), [(5e-4, "proven"), (8.6e-4, "unproven"), (1.1e-3, "broken")]
)
def test_verdicts_of_sqnr(level: float, verdict: str) -> None:
    limit = metrics.choose(SPEC, None)
    score = metrics.judge(limit, *noisy(level), split="test")
    assert score.verdict == verdict
    assert score.bound < score.value
    assert (score.needed > 400) == (verdict == "unproven")


def test_f1_needs_samples_of_every_class() -> None:
    limit = metrics.choose(SPEC, np.array([0]), metric="f1", max_drop=0.02)
    for copies, verdict in ((20, "unproven"), (2000, "proven")):
        labels = np.repeat([0, 1, 2], copies)
        rows = limit.metric.statistics(scores(labels.tolist()), None, labels)
        assert metrics.judge(limit, rows, rows, split="test").verdict == verdict


def test_mse_may_rise_by_a_share_of_its_value() -> None:
    rng = np.random.default_rng(0)
    before = np.stack([rng.lognormal(0, 0.5, 3000), np.ones(3000)], axis=1)
    limit = metrics.choose(SPEC, np.array([0.5]))
    for rise, verdict in ((1.005, "proven"), (1.02, "broken")):
        score = metrics.judge(limit, before, before * [rise, 1], split="test")
        assert score.verdict == verdict
        assert score.drop == pytest.approx(rise - 1)


def test_a_perfect_reference_bears_no_error() -> None:
    limit = metrics.choose(SPEC, np.array([0.5]))
    perfect, worse = np.array([[0.0, 1.0]] * 9), np.array([[0.1, 1.0]] * 9)
    assert metrics.judge(limit, perfect, worse, split="test").verdict == "broken"
    assert metrics.judge(limit, perfect, perfect, split="test").verdict == "proven"


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["accuracy", "f1", "agreement", "sqnr", "mse", "top2"])
def test_nan_and_infinity_break_every_metric(name: str, bad: float) -> None:
    labels = np.eye(3)[[0, 1, 2, 0]] if name == "mse" else np.array([0, 1, 2, 0])
    reference, candidate = scores([0, 1, 2, 0]), scores([0, 1, 2, 0])
    candidate["y"][2, 1] = bad
    limit = metrics.choose(SPEC, labels, metric=name)
    rows = [limit.metric.statistics(one, reference, labels) for one in (reference, candidate)]
    score = metrics.judge(limit, *rows, split="test")
    assert score.verdict == "broken"
    json.loads(json.dumps(score.to_json(), allow_nan=False))


def test_infinities_of_the_reference_are_allowed() -> None:
    """Masked scores are minus infinity in both."""
    reference, candidate = scores([0, 1, 2, 0]), scores([0, 1, 2, 0])
    reference["y"][:, 1] = candidate["y"][:, 1] = -np.inf
    rows = metrics.named("sqnr").statistics(candidate, reference, None)
    assert np.isfinite(rows).all()
    assert metrics.equivalent(reference, candidate) == (0.0, 0)


def test_a_reference_with_nan_cannot_be_compared_with() -> None:
    rows = yes_no(10, 0)
    rows[3] = np.nan
    with pytest.raises(BadModel, match="NaN or infinity on 1 of 10 samples"):
        metrics.judge(ACCURACY, rows, yes_no(10, 0), split="test")


# --- equivalence ----------------------------------------------------------------------------------


def test_equivalent_within_rounding() -> None:
    reference = {"y": np.random.default_rng(0).normal(size=(50, 10)).astype(np.float32)}
    candidate = {"y": reference["y"] * np.float32(1 + 1e-6)}
    difference, changed = metrics.equivalent(reference, candidate)
    assert 0 < difference < 1e-5
    assert changed == 0
    assert metrics.equivalent_score("selection", 50, difference).verdict == "equivalent"


def test_difference_is_a_share_of_the_range() -> None:
    reference = {"y": np.array([[-10.0, 90.0]]), "z": np.zeros((1, 1))}
    candidate = {"y": np.array([[-10.0, 91.0]]), "z": np.zeros((1, 1))}
    assert metrics.equivalent(reference, candidate) == (pytest.approx(0.01), 0)


def test_a_changed_decision_is_counted() -> None:
    reference = {"y": np.array([[1.0, 1.0001], [5.0, 0.0]]), "ids": np.array([3, 4])}
    candidate = {"y": np.array([[1.0001, 1.0], [5.0, 0.0]]), "ids": np.array([3, 5])}
    difference, changed = metrics.equivalent(reference, candidate)
    assert difference < metrics.EQUIVALENT
    assert changed == 2


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_or_infinity_where_the_other_has_none_is_never_equivalent(bad: float) -> None:
    reference, candidate = scores([0, 1]), scores([0, 1])
    candidate["y"][0, 2] = bad
    assert metrics.equivalent(reference, candidate)[0] == np.inf
    assert metrics.equivalent(candidate, reference)[0] == np.inf
    assert metrics.equivalent(candidate, candidate)[0] == 0


def test_missing_outputs_and_other_shapes_are_not_equivalent() -> None:
    reference = scores([0, 1])
    assert metrics.equivalent(reference, {})[0] == np.inf
    assert metrics.equivalent(reference, {"y": np.zeros((2, 4))})[0] == np.inf


# --- per class ------------------------------------------------------------------------------------


def test_per_class_before_and_after() -> None:
    labels = np.array([0, 0, 1, 1])
    metric = metrics.named("accuracy")
    before = metric.statistics(scores([0, 0, 1, 0]), None, labels)
    after = metric.statistics(scores([0, 1, 1, 1]), None, labels)
    assert metrics.per_class(labels, before, after, ["cat", "dog"]) == [
        {"label": "cat", "n": 2, "before": 1.0, "after": 0.5},
        {"label": "dog", "n": 2, "before": 0.5, "after": 1.0},
    ]
