"""Protobuf's binary format, as far as ``.caffemodel`` files need it: names and weights of layers.

**Source:** the encoding guide of Protocol Buffers; field numbers of ``caffe.proto``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from hasten.errors import BadModel

LAYER, OLD_LAYER = 100, 2
NAME_AND_BLOBS = {LAYER: (1, 7), OLD_LAYER: (4, 6)}
OLD_SIZES = (1, 2, 3, 4)
"""``num``, ``channels``, ``height`` and ``width`` of a blob without ``shape``."""
DATA, SHAPE, DOUBLES, HALVES = 5, 7, 8, 12
VARINT, EIGHT, LENGTH, FOUR = 0, 1, 2, 5
_AGAIN = "Download it again."


def weights(data: bytes) -> dict[str, list[np.ndarray]]:
    """The arrays (fp32) of every layer that has some, by its name."""
    found: dict[str, list[np.ndarray]] = {}
    for field, value in fields(memoryview(data)):
        if field not in NAME_AND_BLOBS or not isinstance(value, memoryview):
            continue
        name, blobs = _layer(value, *NAME_AND_BLOBS[field])
        if blobs:
            found[name] = blobs
    return found


def _layer(data: memoryview, name_field: int, blob_field: int) -> tuple[str, list[np.ndarray]]:
    name, blobs = "", []
    for field, value in fields(data):
        if not isinstance(value, memoryview):
            continue
        if field == name_field:
            name = bytes(value).decode(errors="replace")
        elif field == blob_field:
            blobs.append(_blob(value))
    return name, blobs


def _blob(data: memoryview) -> np.ndarray:
    old = dict.fromkeys(OLD_SIZES, 1)
    shape: list[int] | None = None
    single: list[bytes] = []
    values: np.ndarray | None = None
    for field, value in fields(data):
        if field in OLD_SIZES and isinstance(value, int):
            old[field] = value
        elif field == SHAPE and isinstance(value, memoryview):
            shape = _shape(value)
        elif isinstance(value, memoryview) and field in (DATA, DOUBLES, HALVES):
            if field == DATA and len(value) == 4:
                single.append(bytes(value))
            else:
                values = _numbers(value, {DATA: "<f4", DOUBLES: "<f8", HALVES: "<f2"}[field])
    if values is None:
        values = _numbers(memoryview(b"".join(single)), "<f4")
    sizes = list(old.values()) if shape is None else shape
    wrong = any(not 0 <= size < 1 << 31 for size in sizes)
    if wrong or math.prod(sizes) != values.size:
        raise BadModel(
            f"Cannot read the weights: {values.size} numbers do not fill {sizes}. {_AGAIN}"
        )
    return values.astype(np.float32).reshape(sizes)


def _numbers(data: memoryview, kind: str) -> np.ndarray:
    if len(data) % np.dtype(kind).itemsize:
        raise BadModel(f"Cannot read the weights: an array ends within a number. {_AGAIN}")
    return np.frombuffer(data, kind)


def _shape(data: memoryview) -> list[int]:
    sizes: list[int] = []
    for field, value in fields(data):
        if field != 1:
            continue
        if isinstance(value, int):
            sizes.append(value)
        else:
            place = 0
            while place < len(value):
                size, place = _varint(value, place)
                sizes.append(size)
    if len(sizes) > 32:
        raise BadModel(f"Cannot read the weights: an array has {len(sizes)} dimensions. {_AGAIN}")
    return sizes


def fields(data: memoryview) -> Iterator[tuple[int, Any]]:
    """Field numbers with their values: whole numbers as such, all others as bytes."""
    place = 0
    while place < len(data):
        key, place = _varint(data, place)
        field, kind = key >> 3, key & 7
        if kind == VARINT:
            number, place = _varint(data, place)
            yield field, number
            continue
        if kind == LENGTH:
            size, place = _varint(data, place)
        elif kind in (EIGHT, FOUR):
            size = 8 if kind == EIGHT else 4
        else:
            raise BadModel(f"Cannot read the weights: they are no .caffemodel file. {_AGAIN}")
        if place + size > len(data):
            raise BadModel(f"Cannot read the weights: the file ends too early. {_AGAIN}")
        yield field, data[place : place + size]
        place += size


def _varint(data: memoryview, place: int) -> tuple[int, int]:
    found = shift = 0
    while shift < 70:
        if place >= len(data):
            raise BadModel(f"Cannot read the weights: the file ends too early. {_AGAIN}")
        byte = data[place]
        place += 1
        found |= (byte & 127) << shift
        if byte < 128:
            return found, place
        shift += 7
    raise BadModel(f"Cannot read the weights: they are no .caffemodel file. {_AGAIN}")
