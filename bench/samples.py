"""Real inputs for the races, made from small public pictures; sample ``i`` never changes.

Pictures are Fashion-MNIST images (``digits`` where those cannot be had), enlarged, coloured and
tiled, so that a model sees edges, textures and flat parts of several sizes; clips move such a
picture; lines of text are handwritten digits in a row; files are those of Python's own library.
Only token ids are random. Every function takes ``count`` and ``start`` (the number of the first
sample), and gives an array ``(count, ...)``.
"""

from __future__ import annotations

import functools
import sysconfig
from itertools import pairwise
from pathlib import Path

import numpy as np
from PIL import Image

from hasten.errors import HastenError
from hasten.types import Arrays, Data

IMAGENET_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
IMAGENET_STD = np.array([0.229, 0.224, 0.225], np.float32)
VOCABULARY, SENTENCE = 30522, 128
"""How many tokens there are, and how long a padded sentence is."""
PADDING_BYTE = 256
"""What Magika puts where a file is too short."""


@functools.cache
def dataset(name: str) -> Data:
    """A built-in dataset of Hasten."""
    from hasten import data

    return data.load(name)


@functools.cache
def _greys() -> tuple[str, np.ndarray]:
    """A dataset's name and its pictures ``(n, side, side)``, uint8."""
    try:
        source = dataset("fashion-mnist")
    except (HastenError, OSError):
        source = dataset("digits")
    pictures = next(iter(source.inputs.values()))
    pictures = pictures.reshape(len(pictures), *pictures.shape[-2:])
    return source.name, _stretched(pictures)


@functools.cache
def _digits() -> np.ndarray:
    """The handwritten digits ``(n, 8, 8)``, uint8 from 0 to 255."""
    pictures = next(iter(dataset("digits").inputs.values()))
    return _stretched(pictures.reshape(len(pictures), 8, 8))


def _stretched(pictures: np.ndarray) -> np.ndarray:
    return (pictures.astype(np.float32) * (255 / pictures.max())).astype(np.uint8)


def picture_source() -> str:
    """The dataset that the pictures are made from."""
    return _greys()[0]


def _resized(picture: np.ndarray, width: int, height: int) -> np.ndarray:
    size = (width, height)
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BILINEAR))


def _coloured(grey: np.ndarray, back: np.ndarray, front: np.ndarray) -> np.ndarray:
    """``(height, width)`` to ``(height, width, 3)``, from the back to the front colour."""
    share = grey[..., None].astype(np.float32) / 255
    return (back + share * (front - back)).astype(np.uint8)


def _picture(number: int, size: int) -> np.ndarray:
    """Picture ``number``: 1 to 16 tiles of one background colour, ``(size, size, 3)``, uint8."""
    rng = np.random.default_rng([1, number])
    greys = _greys()[1]
    tiles = int(rng.integers(1, 5))
    edges = np.linspace(0, size, tiles + 1).astype(int)
    back = rng.integers(0, 256, 3)
    canvas = np.empty((size, size, 3), np.uint8)
    for top, bottom in pairwise(edges):
        for left, right in pairwise(edges):
            grey = _resized(greys[rng.integers(len(greys))], right - left, bottom - top)
            canvas[top:bottom, left:right] = _coloured(grey, back, rng.integers(0, 256, 3))
    return canvas


def pictures(count: int, size: int = 224, start: int = 0) -> np.ndarray:
    """RGB pictures ``(count, size, size, 3)``, uint8."""
    return np.stack([_picture(number, size) for number in range(start, start + count)])


def _planes(channels_last: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(np.moveaxis(channels_last, -1, 1))


def imagenet_pictures(count: int, start: int = 1_000_000) -> np.ndarray:
    """Pictures normalised with ImageNet's mean and deviation, ``(count, 3, 224, 224)``.

    The default start is far from any sample that a race uses.
    """
    scaled = pictures(count, 224, start).astype(np.float32) / 255
    return _planes((scaled - IMAGENET_MEAN) / IMAGENET_STD)


def unit_pictures(count: int, size: int, start: int = 0) -> np.ndarray:
    """Pictures from 0 to 1, ``(count, 3, size, size)``."""
    return _planes(pictures(count, size, start).astype(np.float32) / 255)


def caffe_pictures(count: int, start: int = 0) -> np.ndarray:
    """Pictures as Caffe networks take them: BGR less its mean, ``(count, 224, 224, 3)``."""
    mean = np.array([104, 117, 123], np.float32)
    return np.ascontiguousarray(pictures(count, 224, start)[..., ::-1] - mean)


def clips(count: int, start: int = 1_000_000) -> np.ndarray:
    """A picture that drifts, 16 frames from -1 to 1, ``(count, 16, 3, 64, 64)``."""
    out = np.empty((count, 16, 3, 64, 64), np.float32)
    for index in range(count):
        rng = np.random.default_rng([2, start + index])
        wide = _picture(start + index, 96)
        (top, left), (down, right) = rng.integers(0, 17, 2), rng.integers(0, 2, 2)
        for frame in range(16):
            y, x = top + down * frame, left + right * frame
            out[index, frame] = wide[y : y + 64, x : x + 64].transpose(2, 0, 1) / 127.5 - 1
    return out


def digit_sequences(count: int, start: int = 0) -> np.ndarray:
    """128 handwritten digits in turn, 64 standardised pixels each, ``(count, 128, 64)``."""
    digits = _digits().reshape(-1, 64).astype(np.float32)
    digits = (digits - digits.mean()) / digits.std()
    drawn = [
        np.random.default_rng([3, number]).integers(0, len(digits), 128)
        for number in range(start, start + count)
    ]
    return digits[np.stack(drawn)]


def text_lines(count: int, height: int, width: int, start: int = 0) -> np.ndarray:
    """Lines of handwritten digits from -1 to 1, ``(count, 3, height, width)``."""
    digits = _digits()
    out = np.empty((count, 3, height, width), np.float32)
    for index in range(count):
        rng = np.random.default_rng([4, start + index])
        row = np.hstack(255 - digits[rng.integers(0, len(digits), max(2, width // 32))])
        line = _coloured(_resized(row, width, height), *rng.integers(0, 256, (2, 3)))
        out[index] = line.transpose(2, 0, 1) / 127.5 - 1
    return out


def text_pages(count: int, size: int, start: int = 0) -> np.ndarray:
    """Pages of such lines, normalised as for ImageNet, ``(count, 3, size, size)``."""
    digits = _digits()
    pages = np.empty((count, size, size, 3), np.float32)
    for index in range(count):
        rng = np.random.default_rng([5, start + index])
        back, ink = rng.integers(128, 256, 3), rng.integers(0, 128, 3)
        page = np.zeros((size, size), np.uint8)
        top = int(rng.integers(4, 24))
        while top < size - 48:
            height, width = int(rng.integers(16, 40)), int(rng.integers(size // 3, size - 16))
            row = np.hstack(digits[rng.integers(0, len(digits), max(2, width // height))])
            left = int(rng.integers(0, size - width))
            page[top : top + height, left : left + width] = _resized(row, width, height)
            top += height + int(rng.integers(8, 32))
        pages[index] = _coloured(page, back, ink)
    return _planes((pages / 255 - IMAGENET_MEAN) / IMAGENET_STD)


def sentences(count: int, start: int = 0) -> Arrays:
    """Random ids of sentences of 16 to 128 tokens with their 0/1 mask, ``(count, 128)``, int64."""
    ids = np.zeros((count, SENTENCE), np.int64)
    mask = np.zeros((count, SENTENCE), np.int64)
    for index in range(count):
        rng = np.random.default_rng([6, start + index])
        used = int(rng.integers(16, SENTENCE + 1))
        ids[index, :used] = rng.integers(1, VOCABULARY, used)
        mask[index, :used] = 1
    return {"input_ids": ids, "attention_mask": mask}


@functools.cache
def _library_files() -> tuple[Path, ...]:
    """Files of Python's own library, in a fixed random order."""
    folder = Path(sysconfig.get_paths()["stdlib"])
    unwanted = {"__pycache__", "site-packages"}
    found = sorted(
        path
        for path in folder.rglob("*")
        if not unwanted & set(path.parts) and path.is_file() and path.stat().st_size >= 64
    )
    shuffled = np.random.default_rng(7).permutation(len(found))
    return tuple(found[number] for number in shuffled)


def file_bytes(count: int, start: int = 0) -> np.ndarray:
    """The first and last 1024 bytes of files, stripped and padded, ``(count, 2048)``, int32."""
    files = _library_files()
    out = np.full((count, 2048), PADDING_BYTE, np.int32)
    for index in range(count):
        raw = files[(start + index) % len(files)].read_bytes()
        first, last = raw[:4096].lstrip()[:1024], raw[-4096:].rstrip()[-1024:]
        out[index, : len(first)] = np.frombuffer(first, np.uint8)
        out[index, 2048 - len(last) :] = np.frombuffer(last, np.uint8)
    return out
