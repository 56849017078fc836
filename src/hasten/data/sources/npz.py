"""NumPy's ``.npz`` files: arrays named as the model's inputs, and labels in ``y``.

**Source:** NumPy's format version 1.0 and 2.0 inside an uncompressed or deflated zip archive,
https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html. Differs from ``np.load``:
the archive's checksums are verified first, and arrays may be larger than memory: those written by
``np.savez`` are mapped from the file, large compressed ones are unpacked to the cache's disk.
Pickled objects are refused.

Sample numbers in ``train``, ``validation`` and ``test`` declare splits; ``classes`` names classes,
``groups`` what each sample belongs to.
Integer pixels need a normalisation: ``photos.npz?mean=0.5&std=0.25`` (after scale 1/255).
"""

from __future__ import annotations

import math
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np

from hasten.data._storage import BLOCK_BYTES, empty
from hasten.data.sources._arrays import from_arrays
from hasten.data.sources._pixels import PixelOptions, declared
from hasten.errors import BadData
from hasten.plugin import DataSource
from hasten.types import Data, Spec

LOCAL_HEADER_BYTES = 30
UNREADABLE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    OSError,
    ValueError,
    RuntimeError,
)
"""What a damaged or encrypted archive makes the standard library raise."""
HEADERS: dict[tuple[int, int], Callable[[IO[bytes]], tuple[tuple[int, ...], bool, np.dtype]]] = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


class Npz(DataSource):
    """Arrays in one ``.npz`` file."""

    order = 30
    spelling = "FILE.npz"

    @dataclass(frozen=True, kw_only=True)
    class Options(PixelOptions):
        axis: int = 1
        """The channel axis of the array."""

    def sniff(self, what: Any) -> bool:
        return isinstance(what, str) and what.lower().endswith(".npz")

    def load(self, what: Any, spec: Spec | None, options: Any) -> Data:
        path = Path(what).expanduser()
        data = from_arrays(path.name, read(path), spec, source=str(path))
        pixels = {k: a for k, a in data.inputs.items() if a.dtype.kind in "iu" and a.ndim > 1}
        found = {k: self._normalisation(k, a, options) for k, a in pixels.items()}
        return replace(data, normalisation={k: n for k, n in found.items() if n})

    def _normalisation(self, name: str, array: np.ndarray, options: Any) -> Any:
        if not 0 < options.axis < array.ndim:
            raise BadData(
                f"Cannot normalise array '{name}' along axis {options.axis}: it has axes 1 to "
                f"{array.ndim - 1} beside the samples'."
            )
        return declared(options, array.shape[options.axis], options.axis)


def read(path: Path) -> dict[str, np.ndarray]:
    """Every array of the file by name, mapped where the file holds it uncompressed."""
    if not path.is_file():
        raise BadData(f"Cannot load data '{path}': there is no such file. Check the path.")
    try:
        with zipfile.ZipFile(path) as archive:
            if damaged := archive.testzip():
                raise BadData(_damaged(path, f"'{damaged}' fails its checksum"))
            return {
                member.filename.removesuffix(".npy"): _array(path, archive, member)
                for member in archive.infolist()
            }
    except UNREADABLE as error:
        raise BadData(_damaged(path, str(error) or type(error).__name__)) from error


def _damaged(path: Path, why: str) -> str:
    return (
        f"Cannot load data '{path}': the file is empty, truncated or damaged ({why}). "
        "Write it again with numpy.savez."
    )


def _array(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    with archive.open(member) as stream:
        version = np.lib.format.read_magic(stream)
        if version not in HEADERS:
            raise BadData(
                f"Cannot load data '{path}': array '{member.filename}' has format version "
                f"{version}. Store plain numbers with numpy.savez."
            )
        shape, fortran, dtype = HEADERS[version](stream)
        if dtype.hasobject:
            raise BadData(
                f"Cannot load data '{path}': array '{member.filename}' holds Python objects, and "
                "reading those runs code. Store numbers: numpy.savez(path, x=x.astype('float32'))."
            )
        header_bytes = stream.tell()
        order: Literal["F", "C"] = "F" if fortran else "C"
        if member.compress_type == zipfile.ZIP_STORED and 0 not in shape and shape:
            offset = _content_offset(path, member) + header_bytes
            return np.memmap(path, dtype, "r", offset, shape, order)
        return _unpacked(stream, math.prod(shape), dtype).reshape(shape, order=order)


def _unpacked(stream: IO[bytes], count: int, dtype: np.dtype) -> np.ndarray:
    """``count`` numbers of a compressed member; many of them go to the disk, not to memory."""
    out = empty((count,), dtype)
    content, done = out.view(np.uint8), 0
    while done < len(content):
        piece = stream.read(min(BLOCK_BYTES, len(content) - done))
        if not piece:
            raise EOFError(f"{len(content) - done} bytes are missing")
        content[done : done + len(piece)] = np.frombuffer(piece, np.uint8)
        done += len(piece)
    return out


def _content_offset(path: Path, member: zipfile.ZipInfo) -> int:
    """Where a member's bytes begin: behind its local header, whose last two fields are the
    lengths of its name and of its extra field."""
    with path.open("rb") as file:
        file.seek(member.header_offset)
        header = file.read(LOCAL_HEADER_BYTES)
    name_bytes, extra_bytes = struct.unpack_from("<HH", header, LOCAL_HEADER_BYTES - 4)
    return int(member.header_offset + LOCAL_HEADER_BYTES + name_bytes + extra_bytes)
