"""Fashion-MNIST: 70,000 grey pictures of clothes, 28 x 28, in 10 classes.

**Source:** Xiao, Rasul, Vollgraf, "Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine
Learning Algorithms", 2017, arXiv:1708.07747; MIT licence. The hashes are those of the
uncompressed files: Debian's package holds the authors' data compressed anew.
"""

from __future__ import annotations

import gzip
import shutil
import zlib
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from hasten.data.sources._fetch import FetchError, check, command, download, obtain
from hasten.plugin import DataSource
from hasten.types import Data, Normalisation, Spec

FILES = {
    "train-images-idx3-ubyte.gz": (
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888"
    ),
    "train-labels-idx1-ubyte.gz": (
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9"
    ),
    "t10k-images-idx3-ubyte.gz": (
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b"
    ),
    "t10k-labels-idx1-ubyte.gz": (
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"
    ),
}
"""SHA-256 of every file's content, uncompressed."""
SYSTEM = Path("/usr/share/datasets/fashion-mnist")
ADDRESS = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
PACKAGE = "dataset-fashion-mnist"
MOST_BYTES = 64 * 2**20
CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
NORMALISATION = Normalisation(1 / 255, (0.2860,), (0.3530,))
"""Mean and standard deviation of the training pixels."""


class FashionMnist(DataSource):
    """Fashion-MNIST with its official training and test samples."""

    order = 11
    spelling = "fashion-mnist"

    def sniff(self, what: Any) -> bool:
        return isinstance(what, str) and what in ("fashion-mnist", "fashion_mnist")

    def load(self, what: Any, spec: Spec | None, options: Any) -> Data:
        arrays = obtain(
            "fashion-mnist",
            read,
            [SYSTEM],
            [
                (ADDRESS, from_authors),
                (f"apt-get download {PACKAGE}", partial(from_debian, package=PACKAGE)),
            ],
        )
        train, test = len(arrays[1]), len(arrays[3])
        return Data(
            "fashion-mnist",
            {"images": np.concatenate([arrays[0], arrays[2]])[:, None]},
            np.concatenate([arrays[1], arrays[3]]).astype(np.int64),
            "classification",
            CLASSES,
            {"train": np.arange(train), "test": np.arange(train, train + test)},
            {"images": NORMALISATION},
            "https://github.com/zalandoresearch/fashion-mnist",
            "MIT",
        )


def read(folder: Path) -> list[np.ndarray]:
    """Training images and labels, test images and labels, out of a folder with all four files."""
    return [_array(folder / name, sha256) for name, sha256 in FILES.items()]


def _array(path: Path, sha256: str) -> np.ndarray:
    """One IDX file: two zero bytes, 8 (uint8), the rank, big-endian sizes, then the values."""
    try:
        with gzip.open(path) as stream:
            raw = stream.read(MOST_BYTES)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise FetchError(f"{path.name} is damaged ({error})") from error
    check(raw, sha256, path.name)
    rank = raw[3]
    sizes = np.frombuffer(raw, ">i4", rank, offset=4)
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * rank).reshape(sizes)


def from_authors(folder: Path) -> None:
    """Download the four files from the authors' address."""
    for name in FILES:
        download(ADDRESS + name, folder / name, MOST_BYTES)


def from_debian(folder: Path, package: str) -> None:
    """Take the four files out of Debian's package. Needs no root: nothing is installed."""
    try:
        command("apt-get", "-o", "Acquire::Retries=0", "download", package, folder=folder)
    except FetchError as error:
        lists = "; its lists may be missing: run 'apt-get update'" if "locate" in str(error) else ""
        raise FetchError(f"{error}{lists}") from error
    archives = list(folder.glob(f"{package}_*.deb"))
    if len(archives) != 1:
        raise FetchError("apt-get left no package file")
    command("dpkg-deb", "--extract", archives[0].name, "unpacked", folder=folder)
    for name in FILES:
        source = folder / "unpacked" / SYSTEM.relative_to("/") / name
        source.rename(folder / name)
    shutil.rmtree(folder / "unpacked")
    archives[0].unlink()
