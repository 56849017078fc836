"""``.params`` files: arrays by name.

**Source:** ``NDArray::Load`` of MXNet 1.9.1: a list of arrays in one of three layouts, then their
names.
"""

from __future__ import annotations

import math
import struct

import numpy as np

from hasten.errors import BadModel, Unsupported

MAGIC = 0x112
V1, V2, V3 = 0xF993FAC8, 0xF993FAC9, 0xF993FACA
KINDS = {0: "<f4", 1: "<f8", 2: "<f2", 3: "u1", 4: "<i4", 5: "i1", 6: "<i8", 7: "?"}
DENSE = (-1, 0)
MOST_DIMENSIONS = 32
MOST_VALUES = 1 << 40
_AGAIN = "Download it again."


def read(data: bytes) -> dict[str, np.ndarray]:
    """Arrays by name, without the ``arg:`` and ``aux:`` before it."""
    reader = _Reader(data)
    if reader.take("Q") != MAGIC:
        raise BadModel(f"Cannot read the weights: they are no .params file of MXNet. {_AGAIN}")
    reader.take("Q")
    arrays = [reader.array() for _ in range(reader.count(4))]
    names = [reader.text() for _ in range(reader.count(8))]
    if len(names) != len(arrays):
        raise BadModel(
            f"Cannot read the weights: {len(arrays)} arrays have {len(names)} names. {_AGAIN}"
        )
    pairs = zip(names, arrays, strict=True)
    return {name.partition(":")[2] or name: one for name, one in pairs if one is not None}


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data, self.place = data, 0

    def take(self, kind: str) -> int:
        """One whole number."""
        size = struct.calcsize("<" + kind)
        if self.place + size > len(self.data):
            raise BadModel(f"Cannot read the weights: the file ends too early. {_AGAIN}")
        (value,) = struct.unpack_from("<" + kind, self.data, self.place)
        self.place += size
        return int(value)

    def count(self, least: int) -> int:
        """How many follow; each takes ``least`` bytes or more."""
        found = self.take("Q")
        if found * least > len(self.data) - self.place:
            raise BadModel(f"Cannot read the weights: the file ends too early. {_AGAIN}")
        return found

    def text(self) -> str:
        size = self.take("Q")
        return self._bytes(size).decode(errors="replace")

    def _bytes(self, size: int) -> bytes:
        if size < 0 or self.place + size > len(self.data):
            raise BadModel(f"Cannot read the weights: the file ends too early. {_AGAIN}")
        self.place += size
        return self.data[self.place - size : self.place]

    def array(self) -> np.ndarray | None:
        """The next array; ``None`` for one without a shape."""
        magic = self.take("I")
        if magic in (V2, V3):
            if self.take("i") not in DENSE:
                raise Unsupported("Cannot read the weights: sparse arrays are not supported.")
            shape = self._shape(self.take("i"), "q")
        elif magic == V1:
            shape = self._shape(self.take("I"), "q")
        else:  # the first layout: the number of dimensions stands here
            shape = self._shape(magic, "I")
        if not shape and magic != V3:
            return None
        self.take("i")  # the device, and its number
        self.take("i")
        kind = self.take("i")
        if kind not in KINDS:
            raise BadModel(f"Cannot read the weights: an array has kind {kind}. {_AGAIN}")
        if math.prod(size for size in shape if size) > MOST_VALUES:
            raise BadModel(f"Cannot read the weights: an array has the shape {shape}. {_AGAIN}")
        size = math.prod(shape) * np.dtype(KINDS[kind]).itemsize
        return np.frombuffer(self._bytes(size), KINDS[kind]).reshape(shape)

    def _shape(self, rank: int, kind: str) -> list[int]:
        if not 0 <= rank <= MOST_DIMENSIONS:
            raise BadModel(f"Cannot read the weights: an array has {rank} dimensions. {_AGAIN}")
        sizes = [self.take(kind) for _ in range(rank)]
        if any(not 0 <= size < 1 << 40 for size in sizes):
            raise BadModel(f"Cannot read the weights: an array has the shape {sizes}. {_AGAIN}")
        return sizes
