"""``fit``: arrays against a model's inputs and outputs; ``synthetic`` inputs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import hasten.data._storage as storage
from hasten.data import fit, load, synthetic
from hasten.errors import BadData
from hasten.types import Data, Normalisation, Spec, TensorSpec

IMAGE = TensorSpec("image", "float32", ("batch", 3, 8, 6))
LOGITS = TensorSpec("logits", "float32", ("batch", 4))
SPEC = Spec((IMAGE,), (LOGITS,))
HALF = Normalisation(1 / 255, (0.5,), (0.5,))


def spec_of(
    *inputs: TensorSpec, outputs: tuple[TensorSpec, ...] = (LOGITS,), **more: object
) -> Spec:
    return replace(Spec(inputs, outputs), **more)


def one(dtype: str, *shape: int | str) -> Spec:
    return spec_of(TensorSpec("x", dtype, shape))


def images(n: int = 5, dtype: str = "float32") -> np.ndarray:
    return np.random.default_rng(0).random((n, 3, 8, 6)).astype(dtype)


# --- names -------------------------------------------------------------------------------------


def test_a_single_input_takes_any_name() -> None:
    found = fit(Data("d", {"x": images()}, normalisation={"x": HALF}), SPEC)
    assert list(found.inputs) == ["image"]
    assert found.normalisation == {"image": HALF}


def test_several_inputs_are_matched_by_name_and_put_in_order() -> None:
    spec = spec_of(TensorSpec("a", "float32", ("batch", 2)), TensorSpec("b", "int64", ("batch",)))
    found = fit(load({"b": np.arange(3), "a": np.ones((3, 2), np.float32)}), spec)
    assert list(found.inputs) == ["a", "b"]


def test_names_that_do_not_fit() -> None:
    spec = spec_of(
        TensorSpec("input_ids", "int64", ("batch", 2)), TensorSpec("mask", "int64", ("batch", 2))
    )
    ids = np.ones((3, 2), np.int64)
    with pytest.raises(BadData, match="has no 'input_ids' and the model has no input 'inputids'"):
        fit(load({"inputids": ids, "mask": ids}), spec)
    with pytest.raises(BadData, match="rename 'inputids' to 'input_ids'"):
        fit(load({"inputids": ids, "mask": ids}), spec)
    with pytest.raises(BadData, match="has no 'mask'"):
        fit(load({"input_ids": ids}), spec)
    with pytest.raises(BadData, match=r"no input 'labels'.* and the labels 'y'"):
        fit(load({"image": images(), "labels": np.zeros(5, int)}), SPEC)


# --- dtypes ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("have", "want"),
    [
        ("float64", "float32"),
        ("float16", "float32"),
        (">f4", "float32"),
        ("float32", "float16"),
        ("int64", "int32"),
        ("int32", "int64"),
        ("uint8", "int64"),
        ("bool", "int64"),
        ("bool", "float32"),
        ("int64", "bool"),
        ("int64", "float32"),
    ],
)
def test_casts_that_lose_nothing(have: str, want: str) -> None:
    values = np.array([[0, 1], [1, 0]]).astype(have)
    found = fit(Data("d", {"x": values}), one(want, "batch", 2))
    assert found.inputs["x"].dtype == want
    np.testing.assert_array_equal(found.inputs["x"].astype(int), [[0, 1], [1, 0]])


@pytest.mark.parametrize(
    ("values", "want", "text"),
    [
        (np.array([[0.5]]), "int64", r"holds float64, the model takes int64.*x.astype\('int64'\)"),
        (
            np.array([[2**40]]),
            "int32",
            "run from 1099511627776 to 1099511627776, beyond -2147483648",
        ),
        (np.array([[-1]]), "uint8", "beyond 0 to 255"),
        (np.array([[2**25]]), "float32", "beyond -16777216 to 16777216"),
        (np.array([[2]]), "bool", "beyond 0 to 1"),
        (np.array([[7]], np.uint8), "float32", "no normalisation is declared"),
        (np.array([[1e300]]), "float32", "value inf at index .*1e\\+300 as stored is beyond"),
        (np.array([[1.0]]), "string", "the model takes string there"),
    ],
)
def test_casts_that_would_lose_something(values: np.ndarray, want: str, text: str) -> None:
    with pytest.raises(BadData, match=text), np.errstate(over="ignore"):
        fit(Data("d", {"x": values}), one(want, "batch", 1))


def test_stored_integers_with_a_normalisation_stay() -> None:
    stored = images(dtype="uint8")
    for data, spec in (
        (Data("d", {"image": stored}, normalisation={"image": HALF}), SPEC),
        (Data("d", {"image": stored}), replace(SPEC, normalisation={"image": HALF})),
    ):
        found = fit(data, spec)
        assert found.inputs["image"] is stored
        assert found.normalisation == {"image": HALF}


def test_a_model_of_uint8_takes_them_as_they_are() -> None:
    spec = spec_of(replace(IMAGE, dtype="uint8"))
    data = Data("d", {"image": images(dtype="uint8")}, normalisation={"image": HALF})
    assert fit(data, spec).normalisation == {}


def test_two_normalisations_that_differ_are_noted() -> None:
    other = Normalisation(1 / 255, (0.1,), (0.2,))
    data = Data("d", {"image": images(dtype="uint8")}, normalisation={"image": HALF})
    found = fit(data, replace(SPEC, normalisation={"image": other}))
    assert found.normalisation == {"image": HALF}
    assert any("as the data declare" in note for note in found.notes)


def test_large_arrays_are_cast_on_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "LARGE_BYTES", 1000)
    monkeypatch.setattr(storage, "BLOCK_BYTES", 2000)
    wide = images(50, "float64")
    found = fit(Data("d", {"image": wide}), SPEC).inputs["image"]
    assert isinstance(found, np.memmap)
    np.testing.assert_array_equal(found, wide.astype(np.float32))


# --- shapes ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "text"),
    [
        ((5, 1, 8, 6), r"grayscale, the model takes colour: numpy.repeat\(image, 3, axis=1\)"),
        ((3, 8, 6), r"counts samples: image\[None\]"),
        ((5, 144), r"image.reshape\(-1, 3, 8, 6\)"),
        ((5, 3, 9, 6), "Resize, crop or pad"),
        ((5, 7), "Store one row per sample"),
    ],
)
def test_image_shapes_that_do_not_fit(shape: tuple[int, ...], text: str) -> None:
    data = Data("d", {"image": np.zeros(shape, np.float32)})
    with pytest.raises(BadData, match=text) as caught:
        fit(data, SPEC)
    assert str(shape) in str(caught.value)


def test_channels_are_put_where_the_model_has_them() -> None:
    last = one("float32", "batch", 8, 6, 3)
    scale = Normalisation(1 / 255, (0.1, 0.2, 0.3), (1.0, 2.0, 3.0))
    stored = np.random.default_rng(0).integers(0, 256, (5, 3, 8, 6)).astype(np.uint8)
    found = fit(Data("d", {"x": stored}, normalisation={"x": scale}), last)
    np.testing.assert_array_equal(found.inputs["x"], stored.transpose(0, 2, 3, 1))
    np.testing.assert_allclose(
        found.normalisation["x"](found.inputs["x"]), scale(stored).transpose(0, 2, 3, 1)
    )
    assert found.notes == ("Array 'x' was transposed from NCHW to NHWC, as the model takes it.",)
    back = fit(Data("d", {"image": found.inputs["x"].astype(np.float32)}), SPEC)
    np.testing.assert_array_equal(back.inputs["image"], stored)
    assert not fit(Data("d", {"image": images()}), SPEC).notes


def test_other_layouts_that_do_not_fit() -> None:
    joints = one("float32", "batch", 17, 8, 6)  # no picture has 17 channels
    with pytest.raises(BadData, match=r"looks like NHWC; transpose it: x.transpose\(0, 3, 1, 2\)"):
        fit(Data("d", {"x": np.zeros((5, 8, 6, 17), np.float32)}), joints)
    grey = one("float32", "batch", 1, 8, 6)
    with pytest.raises(BadData, match=r"in colour, the model takes grayscale.*x.mean\(axis=1"):
        fit(Data("d", {"x": images()}), grey)
    with pytest.raises(BadData, match=r"Add an axis: numpy.expand_dims\(x, 1\)"):
        fit(Data("d", {"x": np.zeros((5, 8, 6), np.float32)}), grey)


def test_free_dimensions_agree_over_inputs() -> None:
    spec = spec_of(
        TensorSpec("ids", "int64", ("batch", "tokens")),
        TensorSpec("mask", "int64", ("batch", "tokens")),
    )
    ids = np.ones((3, 7), np.int64)
    fit(Data("d", {"ids": ids, "mask": ids}), spec)
    with pytest.raises(BadData, match="dimension 'tokens' is 6 there and 7 in input 'ids'"):
        fit(Data("d", {"ids": ids, "mask": ids[:, :6]}), spec)


def test_a_model_of_a_fixed_batch_takes_rows_as_samples() -> None:
    found = fit(Data("d", {"x": images(5)}), one("float32", 1, 3, 8, 6))
    assert found.inputs["x"].shape == (5, 3, 8, 6)


def test_inputs_that_do_not_lead_with_samples_are_kept_whole() -> None:
    spec = spec_of(
        TensorSpec("sound", "float32", ("batch", "time")),
        TensorSpec("state", "float32", (2, "batch", 4)),
        TensorSpec("rate", "int64", ()),
    )
    arrays = {
        "sound": np.zeros((3, 160), np.float32),
        "state": np.zeros((3, 2, 1, 4), np.float32),
        "rate": np.full(3, 16000),
    }
    found = fit(Data("d", arrays), spec)
    assert {k: v.shape for k, v in found.inputs.items()} == {k: v.shape for k, v in arrays.items()}
    arrays["state"] = np.zeros((3, 2, 3, 4), np.float32)
    with pytest.raises(BadData, match="dimension 'batch' is 3 there and 1 without a free batch"):
        fit(Data("d", arrays), spec)


# --- values ------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_the_first_value_that_is_not_finite_is_named(
    bad: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "BLOCK_BYTES", 1200)  # two samples at a time
    array = images(7)
    array[5, 1, 2, 3] = bad
    array[6] = np.nan
    with pytest.raises(BadData, match=rf"value {bad} at index \(5, 1, 2, 3\)"):
        fit(Data("d", {"image": array}), SPEC)


# --- labels ------------------------------------------------------------------------------------


def labelled(labels: object, **more: object) -> Data:
    return load(replace(Data("d", {"image": images()}, np.array(labels)), **more))


@pytest.mark.parametrize(
    ("labels", "text"),
    [
        ([0, 1, 2, 3, 4], "label 4 of sample 4 is beyond the model's output of 4 columns"),
        ([0, -1, 2, 3, 1], "label -1 of sample 1 is negative"),
        ([[1, 1, 0]] * 5, "3 columns of 0/1, the model's output has 4"),
        ([[0.5, 0.5, 0.5]] * 5, r"each target has shape \(3,\), the model's output \(4,\)"),
    ],
)
def test_labels_that_do_not_fit_the_outputs(labels: object, text: str) -> None:
    with pytest.raises(BadData, match=text):
        fit(labelled(labels), SPEC)


def test_labels_that_fit() -> None:
    assert fit(labelled([0, 1, 2, 3, 0]), SPEC).task == "classification"
    assert fit(labelled([[1, 1, 0, 0]] * 5), SPEC).task == "multilabel"
    assert fit(labelled([[0.1, 0.2, 0.3, 0.4]] * 5), SPEC).task == "regression"
    single = replace(SPEC, outputs=(TensorSpec("p", "float32", ("batch", 1)),))
    assert fit(labelled([0, 1, 0, 1, 1]), single).task == "classification"
    with pytest.raises(BadData, match=r"beyond the model's output of 1 column.*targets as floats"):
        fit(labelled([0, 1, 2, 1, 1]), single)
    found = fit(labelled([0, 1, 2, 1, 1]), replace(single, task="regression"))
    assert (found.task, found.labels.dtype) == ("regression", np.float32)


def test_declared_classes_are_checked() -> None:
    with pytest.raises(BadData, match=r"float64 of shape.*one whole number per sample"):
        fit(labelled([0.5] * 5, task="classification"), SPEC)
    with pytest.raises(BadData, match="label 2 has no name among the 2 classes"):
        fit(labelled([0, 1, 2, 1, 0], classes=("a", "b")), SPEC)


def test_class_numbers_follow_the_names_of_the_model() -> None:
    data = labelled([0, 1, 0, 1, 1], classes=("cat", "dog"))
    named = replace(SPEC, labels=("dog", "cow", "cat", "hen"))
    found = fit(data, named)
    assert found.labels.tolist() == [2, 0, 2, 0, 0]
    assert found.classes == named.labels
    other = fit(data, replace(SPEC, labels=("a", "b", "c", "d")))
    assert other.labels.tolist() == [0, 1, 0, 1, 1]
    assert fit(labelled([0] * 5), named).classes == named.labels


# --- synthetic inputs --------------------------------------------------------------------------


def test_synthetic_inputs() -> None:
    spec = spec_of(
        TensorSpec("pixels", "float32", ("batch", 3, "side")),
        TensorSpec("bytes", "uint8", ("batch", 500)),
        TensorSpec("input_ids", "int64", ("batch", 500)),
        TensorSpec("kind", "int32", ("batch", 500)),
        TensorSpec("attention_mask", "int64", ("batch", 4)),
        TensorSpec("flag", "bool", ("batch", 50)),
        TensorSpec("rate", "int64", ()),
    )
    made = synthetic(spec, 20, seed=1, bounds={"input_ids": 30}, sizes={"side": 9})
    assert made.inputs["pixels"].shape == (20, 3, 9)
    assert abs(made.inputs["pixels"].std() - 1) < 0.2
    assert made.inputs["bytes"].max() == 255
    assert (made.inputs["input_ids"].min(), made.inputs["input_ids"].max()) == (0, 29)
    assert set(np.unique(made.inputs["kind"])) == {0, 1}
    assert (made.inputs["attention_mask"] == 1).all()
    assert set(np.unique(made.inputs["flag"])) == {False, True}
    assert made.inputs["rate"].shape == (20,)
    assert made.source == "synthetic"
    assert "synthetic" in made.notes[0]
    fitted = fit(made, spec)
    assert {k: v.dtype for k, v in fitted.inputs.items()} == {
        t.name: np.dtype(t.dtype) for t in spec.inputs
    }


def test_synthetic_inputs_are_the_same_every_time() -> None:
    first, again = synthetic(SPEC, 4, seed=7), synthetic(SPEC, 4, seed=7)
    np.testing.assert_array_equal(first.inputs["image"], again.inputs["image"])
    assert not np.array_equal(first.inputs["image"], synthetic(SPEC, 4, seed=8).inputs["image"])


def test_synthetic_inputs_that_cannot_be_made() -> None:
    with pytest.raises(BadData, match=r"dimension 'time' is free.*time=SIZE"):
        synthetic(one("float32", "batch", "time"), 4)
    with pytest.raises(BadData, match="not numbers"):
        synthetic(one("string", "batch"), 4)
    with pytest.raises(BadData, match="Ask for at least 1"):
        synthetic(SPEC, 0)
