"""``.npz`` files: mapped where possible, refused where they are damaged or hold code."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from hasten.data import _storage, load
from hasten.data.sources import npz
from hasten.errors import BadData

X = np.random.default_rng(0).random((20, 3, 4), np.float32)
Y = np.arange(20) % 3


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "samples.npz"
    np.savez(path, x=X, y=Y)
    return path


def test_arrays_and_labels(file: Path) -> None:
    found = load(str(file))
    np.testing.assert_array_equal(found.inputs["x"], X)
    np.testing.assert_array_equal(found.labels, Y)
    assert (found.name, found.source, found.task) == ("samples.npz", str(file), "classification")


def test_a_path_object_and_inputs_alone(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=X)
    assert load(tmp_path / "a.npz").labels is None


def test_uncompressed_arrays_are_mapped_and_others_read(file: Path, tmp_path: Path) -> None:
    assert isinstance(load(file).inputs["x"], np.memmap)
    np.savez_compressed(tmp_path / "b.npz", x=X, y=Y)
    packed = load(tmp_path / "b.npz").inputs["x"]
    assert not isinstance(packed, np.memmap)
    np.testing.assert_array_equal(packed, X)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_column_order_scalars_and_other_dtypes(tmp_path: Path, save: object) -> None:
    arrays = {
        "f": np.asfortranarray(X.reshape(20, 12)),
        "big": X.astype(">f8"),
        "flags": Y > 1,
        "bytes": Y.astype(np.uint8),
    }
    save(tmp_path / "a.npz", **arrays)
    found = load(tmp_path / "a.npz").inputs
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)


def test_splits_and_class_names(tmp_path: Path) -> None:
    train, test = np.arange(15), np.arange(15, 20)
    np.savez(tmp_path / "a.npz", x=X, y=Y, train=train, test=test, classes=["a", "b", "c"])
    found = load(tmp_path / "a.npz")
    assert found.classes == ("a", "b", "c")
    np.testing.assert_array_equal(found.splits["test"], test)


def test_a_normalisation_for_stored_pixels(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.full((2, 3, 4, 4), 255, np.uint8), extra=X[:2])
    found = load(f"{tmp_path}/a.npz?mean=0.5,0.4,0.3&std=0.5")
    assert set(found.normalisation) == {"x"}
    normal = found.normalisation["x"](found.inputs["x"])
    np.testing.assert_allclose(normal[0, :, 0, 0], [1.0, 1.2, 1.4], rtol=1e-6)
    last = load(f"{tmp_path}/a.npz?scale=1&axis=3").normalisation["x"]
    assert (last.scale, last.axis, last.mean, last.std) == (1.0, 3, (0.0,), (1.0,))
    with pytest.raises(BadData, match=r"mean=0.1,0.2: give one number, or one for each of the 3"):
        load(f"{tmp_path}/a.npz?mean=0.1,0.2")
    with pytest.raises(BadData, match=r"std=0.0: it must be above 0"):
        load(f"{tmp_path}/a.npz?std=0")
    with pytest.raises(BadData, match="along axis 4: it has axes 1 to 3"):
        load(f"{tmp_path}/a.npz?mean=0&axis=4")


def test_python_objects_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.array([{"a": 1}, None], object))
    with pytest.raises(BadData, match=r"'x.npy' holds Python objects, and reading those runs code"):
        load(tmp_path / "a.npz")


def test_files_that_are_missing_empty_truncated_or_damaged(file: Path, tmp_path: Path) -> None:
    with pytest.raises(BadData, match="there is no such file"):
        load(tmp_path / "none.npz")
    raw = file.read_bytes()
    flipped = bytearray(raw)
    flipped[300] ^= 255
    for content in (b"", raw[: len(raw) // 2], b"x" * 100, bytes(flipped)):
        file.write_bytes(content)
        with pytest.raises(BadData, match=r"empty, truncated or damaged .* Write it again"):
            load(file)


def test_archives_of_something_else(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("readme.txt", "no array at all")
    with pytest.raises(BadData, match=r"damaged .*magic string"):
        load(tmp_path / "a.npz")
    record = np.zeros(3, [("漢", "f4")])
    np.savez(tmp_path / "b.npz", x=record)
    with pytest.raises(BadData, match=r"format version \(3, 0\)"):
        load(tmp_path / "b.npz")


def test_large_compressed_arrays_are_unpacked_to_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    arrays = {
        "x": rng.normal(size=(50, 7)).astype(np.float32),
        "f": np.asfortranarray(rng.integers(0, 9, (50, 3))),
        "y": np.arange(50) % 2,
    }
    path = tmp_path / "packed.npz"
    np.savez_compressed(path, **arrays)
    monkeypatch.setattr(_storage, "LARGE_BYTES", 500)
    monkeypatch.setattr(npz, "BLOCK_BYTES", 100)
    found = load(str(path))
    assert isinstance(found.inputs["x"], np.memmap)
    for name in ("x", "f"):
        np.testing.assert_array_equal(found.inputs[name], arrays[name])
