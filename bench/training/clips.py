"""Clips made from real pictures: an item of Fashion-MNIST that moves or turns; the class is how.

Nothing in a single frame tells the class: every clip begins at a random place and angle.
"""

from __future__ import annotations

import hashlib

import numpy as np
from PIL import Image

from hasten import data as sources
from hasten.search.store import cache_folder
from hasten.types import Data

FRAMES, SIZE, COUNT = 8, 32, 12_000
CLASSES = ("left", "right", "up", "down", "clockwise", "anticlockwise", "grows", "shrinks")
SHARES = {"train": 0.75, "validation": 0.1, "test": 0.15}
VERSION = "2"


def data() -> Data:
    """12,000 clips ``(8, 1, 32, 32)`` uint8 of 8 classes, made once and kept in the cache.

    Clips of one item stand in one part only: items are divided first.
    """
    code = hashlib.sha256(f"{VERSION}{FRAMES}{SIZE}{COUNT}{CLASSES}".encode()).hexdigest()[:12]
    place = cache_folder() / "data" / f"motion-{code}.npy"
    if not place.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        aside = place.with_suffix(".part")
        with aside.open("wb") as file:
            np.save(file, _made())
        aside.rename(place)
    clips = np.load(place, mmap_mode="r")
    edges = np.cumsum([round(share * COUNT) for share in SHARES.values()])
    parts = np.split(np.arange(COUNT), edges[:-1])
    return Data(
        "motion",
        {"x": clips},
        np.arange(COUNT) % len(CLASSES),
        task="classification",
        classes=CLASSES,
        splits=dict(zip(SHARES, parts, strict=True)),
        source="Fashion-MNIST, moved",
        licence="MIT",
    )


def _made() -> np.ndarray:
    items = sources.load("fashion-mnist").inputs
    ((_, pictures),) = items.items()
    rng = np.random.default_rng(7)
    chosen = rng.permutation(len(pictures))[:COUNT]
    clips = np.empty((COUNT, FRAMES, 1, SIZE, SIZE), np.uint8)
    for number, picture in enumerate(chosen):
        clips[number, :, 0] = _clip(pictures[picture][0], CLASSES[number % len(CLASSES)], rng)
    return clips


def _clip(picture: np.ndarray, kind: str, rng: np.random.Generator) -> np.ndarray:
    """One clip: place, angle and size begin at random, and one of them changes evenly."""
    image = Image.fromarray(np.asarray(picture))
    x, y = rng.uniform(-4, 4, 2)
    angle, scale = rng.uniform(0, 360), rng.uniform(0.55, 0.8)
    speed = rng.uniform(0.6, 1.4)
    frames = np.empty((FRAMES, SIZE, SIZE), np.uint8)
    for frame in range(FRAMES):
        way = speed * (frame - (FRAMES - 1) / 2)
        dx = {"left": -way, "right": way}.get(kind, 0.0)
        dy = {"up": -way, "down": way}.get(kind, 0.0)
        turned = angle + {"clockwise": 12 * way, "anticlockwise": -12 * way}.get(kind, 0.0)
        size = scale * (1 + {"grows": 0.08 * way, "shrinks": -0.08 * way}.get(kind, 0.0))
        frames[frame] = _placed(image, x + dx, y + dy, turned, size)
    return frames


def _placed(image: Image.Image, x: float, y: float, angle: float, scale: float) -> np.ndarray:
    """The picture on an empty frame, its middle at ``(x, y)`` from the frame's middle."""
    cos, sin = np.cos(np.deg2rad(angle)) / scale, np.sin(np.deg2rad(angle)) / scale
    half, middle = SIZE / 2, image.width / 2
    # From a pixel of the frame back to the picture's.
    shift_x, shift_y = half + x, half + y
    matrix = (
        cos,
        sin,
        middle - cos * shift_x - sin * shift_y,
        -sin,
        cos,
        middle + sin * shift_x - cos * shift_y,
    )
    placed = image.transform(
        (SIZE, SIZE), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR
    )
    return np.asarray(placed)
