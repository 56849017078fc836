"""Writes small ``.caffemodel`` files, as Caffe's protobuf would."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

import numpy as np


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def field(number: int, content: bytes) -> bytes:
    """A field of bytes: a text, a message, or packed numbers."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def blob(array: np.ndarray, kind: str = "new") -> bytes:
    """``"new"``: with a shape; ``"old"``: four sizes; ``"half"``: fp16; ``"single"``: unpacked."""
    if kind == "old":
        sizes = [1] * (4 - array.ndim) + list(array.shape)
        shape = b"".join(varint(n << 3) + varint(size) for n, size in enumerate(sizes, 1))
    else:
        shape = field(7, field(1, b"".join(map(varint, array.shape))))
    if kind == "half":
        return shape + field(12, array.astype("<f2").tobytes())
    if kind == "single":
        values = array.astype("<f4").flatten()
        return shape + b"".join(varint(5 << 3 | 5) + struct.pack("<f", one) for one in values)
    return shape + field(5, array.astype("<f4").tobytes())


def caffemodel(layers: Mapping[str, Sequence[np.ndarray]], kind: str = "new") -> bytes:
    """The weights of layers by name; ``kind`` as for ``blob``, and ``"old"`` also writes layers of
    before 2015."""
    name_field, blob_field, layer_field = (4, 6, 2) if kind == "old" else (1, 7, 100)
    out = b""
    for name, arrays in layers.items():
        inner = field(name_field, name.encode())
        inner += b"".join(field(blob_field, blob(array, kind)) for array in arrays)
        out += field(layer_field, inner)
    return out
