"""``data.load``: every kind of request, and requests that cannot be met."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hasten import data, plugin
from hasten.errors import BadData, BadInput, UnknownName
from hasten.types import Data, Spec, TensorSpec

X = np.arange(12, dtype=np.float32).reshape(6, 2)
Y = np.array([0, 1, 2, 0, 1, 2])
SPEC = Spec(
    (TensorSpec("features", "float32", ("batch", 2)),),
    (TensorSpec("out", "float32", ("batch", 3)),),
)


class Rows:
    """A map-style dataset, as torch's are."""

    classes = ("a", "b", "c")

    def __len__(self) -> int:
        return len(X)

    def __getitem__(self, number: int) -> tuple[np.ndarray, int]:
        return X[number], int(Y[number])


def check_rows(found: Data) -> None:
    (array,) = found.inputs.values()
    np.testing.assert_array_equal(array, X)
    np.testing.assert_array_equal(found.labels, Y)
    assert found.task == "classification"


@pytest.mark.parametrize(
    "what",
    [
        Data("mine", {"x": X}, Y),
        (X, Y),
        ({"x": X}, Y),
        {"x": X, "y": Y},
        Rows(),
        (X, Y[:, None]),
        (X, np.eye(3, dtype=np.int64)[Y]),
    ],
    ids=["Data", "tuple", "tuple of mapping", "mapping", "dataset", "column", "one-hot"],
)
def test_objects_in_python(what: object) -> None:
    check_rows(data.load(what))


def test_a_torch_dataset_and_its_tensors() -> None:
    torch = pytest.importorskip("torch")
    tensors = torch.utils.data.TensorDataset(torch.from_numpy(X), torch.from_numpy(Y))
    check_rows(data.load(tensors))
    check_rows(data.load((torch.from_numpy(X).requires_grad_(), torch.from_numpy(Y))))


def test_inputs_without_labels() -> None:
    for what in (X, (X,), {"x": X}, (X, None)):
        found = data.load(what)
        assert found.labels is None
        assert found.task == ""


def test_positional_inputs_take_the_names_of_the_model() -> None:
    pair = Spec(
        (TensorSpec("a", "float32", ("batch", 2)), TensorSpec("b", "float32", ("batch", 2))),
        SPEC.outputs,
    )
    assert list(data.load((X, X), pair).inputs) == ["a", "b"]
    labelled = data.load((X, X, Y), pair)
    assert list(labelled.inputs) == ["a", "b"]
    assert labelled.labels is not None
    assert list(data.load(((X, X), Y)).inputs) == ["x0", "x1"]
    assert list(data.load((X, Y), SPEC).inputs) == ["features"]


def test_a_mapping_declares_splits_and_class_names() -> None:
    found = data.load(
        {"x": X, "y": Y, "train": [0, 1, 2], "test": [3, 4], "classes": ["a", "b", "c"]}
    )
    assert found.classes == ("a", "b", "c")
    assert {k: v.tolist() for k, v in found.splits.items()} == {"train": [0, 1, 2], "test": [3, 4]}


def test_a_model_input_called_y_is_no_label() -> None:
    spec = Spec(
        (TensorSpec("x", "float32", ("batch", 2)), TensorSpec("y", "int64", ("batch",))),
        SPEC.outputs,
    )
    found = data.load({"x": X, "y": Y}, spec)
    assert list(found.inputs) == ["x", "y"]
    assert found.labels is None


@pytest.mark.parametrize(
    ("labels", "task"),
    [
        (np.array([0.5] * 6), "regression"),
        (np.array([True, False] * 3), "classification"),
        (np.array([[1, 1, 0]] * 6), "multilabel"),
        (np.array([[3, 1, 0]] * 6), "regression"),
        (np.zeros((6, 4, 4), np.int64), ""),
    ],
)
def test_the_task_is_told_from_the_labels(labels: np.ndarray, task: str) -> None:
    assert data.load((X, labels)).task == task


def test_a_factory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "samples_for_tests.py").write_text(
        "import numpy as np\n"
        "X = np.arange(12, dtype=np.float32).reshape(6, 2)\n"
        "Y = np.array([0, 1, 2, 0, 1, 2])\n"
        "def make(): return X, Y\n"
        "def needs(a): return X\n"
        "def nothing(): return None\n"
        "ready = {'x': X, 'y': Y}\n"
    )
    monkeypatch.chdir(tmp_path)
    check_rows(data.load("samples_for_tests:make"))
    check_rows(data.load("samples_for_tests:ready"))
    assert str(tmp_path) not in sys.path
    with pytest.raises(
        BadData, match=r"needs\(\) missing 1 required .* must work without arguments"
    ):
        data.load("samples_for_tests:needs")
    with pytest.raises(BadData, match="a NoneType is not data"):
        data.load("samples_for_tests:nothing")
    with pytest.raises(BadData, match=r"has no 'made'. It has: .*make"):
        data.load("samples_for_tests:made")
    with pytest.raises(BadData, match="there is no module 'sample_for_tests'"):
        data.load("sample_for_tests:make")


def test_options_stand_in_the_text_or_in_the_call(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.zeros((3, 1, 2, 2), np.uint8))
    written = data.load(f"{tmp_path}/a.npz?mean=0.5&std=0.25")
    called = data.load(tmp_path / "a.npz", mean=0.5, std=0.25)
    assert written.normalisation == called.normalisation
    with pytest.raises(UnknownName, match=r"Unknown option of 'npz' 'meen'. Did you mean 'mean'"):
        data.load(f"{tmp_path}/a.npz?meen=1")
    with pytest.raises(BadInput, match="option 'axis' of 'npz' to 'last'"):
        data.load(f"{tmp_path}/a.npz?axis=last")


def test_unknown_requests_list_what_is_known(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match=r"Did you mean 'fashion-mnist'.*digits.*images:FOLDER"):
        data.load("fashion-minst")
    with pytest.raises(BadData, match=f"Write images:{tmp_path}"):
        data.load(str(tmp_path))
    with pytest.raises(BadData, match="a int is not data"):
        data.load(3)
    with pytest.raises(BadData, match="a list is not data"):
        data.load([X, Y])


@pytest.mark.parametrize(
    ("what", "text"),
    [
        ((X, Y[:4]), r"differ in length \('x' has 6, 'y' has 4\)"),
        ({"a": X, "b": X[:5]}, r"differ in length \('a' has 6, 'b' has 5\)"),
        ((X[:0], Y[:0]), "holds no samples"),
        ({"y": Y}, "holds no input arrays"),
        ((X, np.array([0, 1, np.nan, 1, 0, 1])), r"array 'y'.*value nan at index \(2,\)"),
        (np.array(["a", "b"]), "holds <U1, not numbers"),
        (np.array(3.0), "a single number"),
        ({"x": X, "test": [0, 6]}, "run from 0 to 6, but there are 6 samples"),
        ({"x": X, "train": [0, 1], "test": [1, 2]}, "must be disjoint"),
        ({"x": X, "test": [0.5]}, "one-dimensional array of sample numbers"),
        ([[1, 2], [3]], "is not data"),
        ({"x": [[1, 2], [3]]}, "Cannot make an array of a list"),
    ],
)
def test_arrays_that_do_not_fit_together(what: object, text: str) -> None:
    with pytest.raises(BadData, match=text):
        data.load(what)


class Uneven(Rows):
    def __getitem__(self, number: int) -> tuple[np.ndarray, int]:
        return (X[number], 0) if number < 3 else (np.zeros(3, np.float32), 0)


class Failing(Rows):
    def __getitem__(self, number: int) -> tuple[np.ndarray, int]:
        raise KeyError("lost")


class Hollow(Rows):
    def __len__(self) -> int:
        return 0


@pytest.mark.parametrize(
    ("dataset", "text"),
    [
        (
            Uneven(),
            r"'x' of sample 3 is float32 of shape \(3,\), of sample 0 float32 of shape \(2,\)",
        ),
        (Failing(), "reading sample 0 raised KeyError: 'lost'"),
        (Hollow(), "holds no samples"),
    ],
)
def test_datasets_that_cannot_be_read(dataset: Rows, text: str) -> None:
    with pytest.raises(BadData, match=text):
        data.load(dataset)


def test_every_source_is_documented_and_found_by_its_spelling() -> None:
    for source in plugin.sources.all():
        assert "**Source:**" in (sys.modules[type(source).__module__].__doc__ or "")
        if source.spelling:
            assert source.sniff(source.spelling.replace("FOLDER", "photos").replace("FILE", "a"))


def test_importing_loads_nothing_heavy() -> None:
    code = "import sys, hasten.data; print(*{m.split('.')[0] for m in sys.modules})"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "PIL", "onnx", "openvino"} & set(told.stdout.split())
