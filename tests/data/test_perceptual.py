"""Hashes of pictures: what is near, what is not, and that no near pair is missed."""

from __future__ import annotations

import io
import time

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from hasten.data import perceptual
from hasten.data.perceptual import DISTANCE, hashes, nearest, pictures_of
from hasten.errors import BadData
from hasten.types import Data


def drawn(count: int, side: int = 64, seed: int = 0) -> np.ndarray:
    """Random pictures, coarse things stronger than fine ones, uint8 ``(count, 3, side, side)``."""
    rng = np.random.default_rng(seed)
    made = np.zeros((count, 3, side, side))
    for plane in made.reshape(-1, side, side):
        for cells in (3, 6, 12, 24):
            coarse = Image.fromarray(rng.normal(size=(cells, cells)).astype(np.float32) / cells)
            plane += np.asarray(coarse.resize((side, side), Image.Resampling.BICUBIC))
    return np.clip(120 + 150 * made, 0, 255).astype(np.uint8)


def changed(pictures: np.ndarray, how: str) -> np.ndarray:
    return np.stack([_changed(Image.fromarray(p.transpose(1, 2, 0)), how) for p in pictures])


def _changed(picture: Image.Image, how: str) -> np.ndarray:
    if how == "recompressed":
        stream = io.BytesIO()
        picture.save(stream, "jpeg", quality=75)
        picture = Image.open(stream)
    elif how == "brighter":
        picture = ImageEnhance.Brightness(picture).enhance(1.05)
    elif how == "resized":
        small = picture.resize((40, 40), Image.Resampling.BILINEAR)
        picture = small.resize(picture.size, Image.Resampling.BILINEAR)
    elif how == "grey":
        picture = picture.convert("L").convert("RGB")
    return np.asarray(picture).transpose(2, 0, 1)


def bits(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    both = (one ^ other).view(np.uint8).reshape(-1, 8)
    return np.unpackbits(both, axis=1).sum(axis=1)


@pytest.mark.parametrize("how", ["recompressed", "brighter", "resized", "grey"])
def test_a_changed_picture_is_near(how: str) -> None:
    pictures = drawn(40)
    distance = bits(hashes(pictures), hashes(changed(pictures, how)))
    assert np.mean(distance <= DISTANCE) >= 0.9


def test_other_pictures_and_turned_ones_are_far() -> None:
    one, other = hashes(drawn(200)), hashes(drawn(200, seed=1))
    assert (nearest(one, other) == -1).all()
    assert (nearest(one, hashes(drawn(200)[..., ::-1])) == -1).all()


def test_size_scale_and_type_do_not_matter() -> None:
    pictures = drawn(10)
    small = np.stack(
        [np.asarray(Image.fromarray(p.transpose(1, 2, 0)).resize((32, 32))) for p in pictures]
    ).transpose(0, 3, 1, 2)
    assert (bits(hashes(pictures), hashes(small)) <= DISTANCE).all()
    floats = pictures.astype(np.float32) / 255 * 7 - 3
    assert (bits(hashes(pictures), hashes(floats)) <= 1).all()


def test_pictures_without_structure_are_near_to_none() -> None:
    flat = np.full((3, 1, 20, 20), 90, np.uint8)
    flat[1] = 200
    flat[2, :, :, 10:] = 0  # changes along one direction only
    assert (hashes(flat) == 0).all()
    assert (nearest(hashes(flat), hashes(flat)) == -1).all()


def test_nearest_is_what_comparing_all_pairs_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(perceptual, "PAIRS_AT_ONCE", 50)
    rng = np.random.default_rng(0)
    held = rng.integers(1, 2**63, 300, dtype=np.uint64)
    asked = np.concatenate([held[rng.integers(0, 300, 200)], rng.integers(1, 2**63, 50, np.uint64)])
    for number in range(200):  # 0 to 6 bits turned, anywhere
        for bit in rng.choice(64, number % 7, replace=False):
            asked[number] ^= np.uint64(1) << np.uint64(bit)
    every = np.stack([bits(np.full(len(held), one), held) for one in asked])
    found = nearest(asked, held)
    assert ((found >= 0) == (every.min(axis=1) <= DISTANCE)).all()
    assert (found >= 0).sum() >= 140
    hit = found >= 0
    assert (every[hit, found[hit]] == every[hit].min(axis=1)).all()


def test_bits_are_counted_without_numpy_2(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).integers(0, 2**63, 100, dtype=np.uint64)
    expected = [int(value).bit_count() for value in values]
    assert perceptual._bit_count(values).tolist() == expected
    monkeypatch.delattr(np, "bitwise_count", raising=False)
    assert perceptual._bit_count(values).tolist() == expected


def test_sixty_thousand_small_pictures_take_seconds() -> None:
    rng = np.random.default_rng(0)
    some = rng.integers(0, 256, (64, 1, 28, 28), dtype=np.uint8)
    many = np.broadcast_to(some[None], (1000, *some.shape)).reshape(-1, 1, 28, 28)
    began = time.process_time()
    found = hashes(many)
    assert (nearest(found, found[:10_000]) >= 0).all()
    assert time.process_time() - began < 30, "about 1 s; the limit leaves room for a busy machine"


@pytest.mark.parametrize(
    "shapes", [[(4, 10)], [(4, 3, 8, 8)], [(4, 5, 3, 20, 20)], [(4, 3, 20, 20), (4, 2)]]
)
def test_data_that_are_no_pictures(shapes: list[tuple[int, ...]]) -> None:
    arrays = {str(number): np.zeros(shape) for number, shape in enumerate(shapes)}
    with pytest.raises(BadData, match="are no pictures of 1 or 3 channels and 16 pixels or more"):
        pictures_of(Data("made", arrays))


def test_channels_may_come_last() -> None:
    pictures = drawn(3, 20)
    last = pictures_of(Data("made", {"x": pictures.transpose(0, 2, 3, 1)}))
    assert np.array_equal(hashes(last), hashes(pictures))
