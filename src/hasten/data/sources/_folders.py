"""What folders of images or videos hold, and the file that they are kept in once decoded."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from hasten.data._storage import BLOCK_BYTES
from hasten.errors import BadData
from hasten.search.store import cache_folder, file_hash, write_aside
from hasten.types import canonical, digest

PARTS = {
    "train": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
}
AT_ONCE = 256
"""The most files that are decoded before they are written; fewer where they are large."""
LISTED = 5
"""Unreadable files that are named."""


@dataclass(frozen=True)
class Files:
    """Files in a fixed order, each with its class and its part (empty: no parts).

    ``what`` names them: ``"images"`` or ``"videos"``.
    """

    what: str
    folder: Path
    paths: tuple[Path, ...]
    labels: tuple[int, ...]
    parts: tuple[str, ...]
    classes: tuple[str, ...]
    ignored: int


def find(folder: Path, what: str, endings: frozenset[str]) -> Files:
    """All such files of a folder with sub-folders per class, or per part and class."""
    if not folder.is_dir():
        raise BadData(f"Cannot load {what}: '{folder}' is no folder. Check the path.")
    inside = _folders(folder)
    roots = {"": folder}
    if inside and all(name in PARTS and _folders(path) for name, path in inside.items()):
        roots = inside
    classes = sorted({name for root in roots.values() for name in _folders(root)})
    if len(classes) < 2:
        found = f"only one, '{classes[0]}'" if classes else "none"
        raise BadData(
            f"Cannot load {what} from '{folder}': it needs a sub-folder for each of two classes "
            f"or more, and there is {found}. Sort the {what} into FOLDER/CLASS/ or "
            "FOLDER/train/CLASS/ and FOLDER/val/CLASS/."
        )
    paths, labels, parts, ignored = [], [], [], 0
    for (part, root), (number, name) in itertools.product(roots.items(), enumerate(classes)):
        files = [path for path in sorted((root / name).rglob("*")) if _visible_file(path, root)]
        known = [path for path in files if path.suffix.lower() in endings]
        paths += known
        labels += [number] * len(known)
        parts += [PARTS.get(part, "")] * len(known)
        ignored += len(files) - len(known)
    filled = set(labels)
    if len(filled) < 2:
        raise BadData(
            f"Cannot load {what} from '{folder}': {what} of two classes or more are needed, and "
            f"{len(filled)} of its {len(classes)} class folders hold any. Known endings: "
            f"{', '.join(sorted(endings))}."
        )
    return Files(what, folder, tuple(paths), tuple(labels), tuple(parts), tuple(classes), ignored)


def _folders(folder: Path) -> dict[str, Path]:
    """The visible sub-folders by name, in order."""
    entries = sorted(entry for entry in folder.iterdir() if entry.is_dir())
    return {entry.name: entry for entry in entries if not entry.name.startswith(".")}


def _visible_file(path: Path, root: Path) -> bool:
    hidden = any(part.startswith(".") for part in path.relative_to(root).parts)
    return not hidden and path.is_file()


@dataclass(frozen=True)
class Decoded:
    """The readable files in order, ``(n, ...)`` mapped from disk, and what could not be read."""

    array: np.ndarray
    readable: np.ndarray
    unreadable: tuple[str, ...]


Decode = Callable[[Path], "np.ndarray | str"]
"""A file's pixels, or why there are none."""


def decoded(
    files: Files, shape: tuple[int, ...], recipe: str, decode: Decode, limit: float
) -> Decoded:
    """All files as uint8 ``shape``: from the cache, or decoded into it in threads.

    ``recipe`` names everything but the files that the pixels depend on. More than ``limit``
    (a share) of unreadable files is ``BadData``.
    """
    entry = cache_folder() / "data" / files.what / _key(files, shape, recipe)
    kept = _read(entry, files)
    if kept is None:
        with write_aside(entry) as folder:
            place = folder / f"{files.what}.npy"
            with place.open("wb") as file:
                reasons = _write(file, files, shape, decode, limit)
            record = {"sha256": file_hash(place), "unreadable": reasons}
            (folder / "record.json").write_text(canonical(record))
        kept = _read(entry, files)
    if kept is None:
        raise BadData(
            f"Cannot read the {files.what} just written to {entry}: the disk or another program "
            "changed them. Point HASTEN_CACHE to another disk."
        )
    _check_limit(files, list(kept.unreadable), limit)
    return kept


def _key(files: Files, shape: tuple[int, ...], recipe: str) -> str:
    states = ((path.relative_to(files.folder), path.stat()) for path in files.paths)
    listed = [[path.as_posix(), state.st_size, state.st_mtime_ns] for path, state in states]
    return digest(canonical(listed), canonical(shape), recipe)


def _read(entry: Path, files: Files) -> Decoded | None:
    """The entry if it is there and whole."""
    place = entry / f"{files.what}.npy"
    try:
        record = json.loads((entry / "record.json").read_text())
        if file_hash(place) != record["sha256"]:
            return None
        array = np.load(place, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, KeyError):
        return None
    bad = {int(number): reason for number, reason in record["unreadable"]}
    numbers = [number for number in range(len(files.paths)) if number not in bad]
    readable = np.array(numbers, np.int64)
    return Decoded(array, readable, tuple(bad.values()))


def _write(
    file: IO[bytes], files: Files, shape: tuple[int, ...], decode: Decode, limit: float
) -> list[tuple[int, str]]:
    """Write an ``.npy`` file row by row; returns number and reason of each unreadable file.

    Plain writes, not a map: on a full disk they fail with an error that can be told.
    """
    _header(file, (len(files.paths), *shape))
    start, rows = file.tell(), 0
    unreadable: list[tuple[int, str]] = []
    at_once = max(1, min(AT_ONCE, BLOCK_BYTES // math.prod(shape)))
    for number, pixels in enumerate(_in_threads(files.paths, decode, at_once)):
        if isinstance(pixels, str):
            name = files.paths[number].relative_to(files.folder)
            unreadable.append((number, f"{name}: {pixels}"))
            _check_limit(files, [reason for _, reason in unreadable], limit)
        else:
            file.write(np.ascontiguousarray(pixels).data)
            rows += 1
    file.seek(0)
    _header(file, (rows, *shape))
    if file.tell() != start:
        raise BadData(f"Cannot write {files.what}: this NumPy's .npy header has no room to grow.")
    return unreadable


def _header(file: IO[bytes], shape: tuple[int, ...]) -> None:
    """NumPy pads the header for any length of the first axis, so it can be written again."""
    described = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, described)


def _in_threads(
    paths: tuple[Path, ...], decode: Decode, at_once: int
) -> Iterator[np.ndarray | str]:
    with ThreadPoolExecutor() as pool:
        for start in range(0, len(paths), at_once):
            yield from pool.map(decode, paths[start : start + at_once])


def _check_limit(files: Files, reasons: list[str], limit: float) -> None:
    if len(reasons) > limit * len(files.paths):
        raise BadData(
            f"Cannot load {files.what} from '{files.folder}': {len(reasons)} or more of its "
            f"{len(files.paths)} files are unreadable, above the limit of {limit:.1%} "
            f"({'; '.join(reasons[:LISTED])}). Mend or remove them, or raise the limit: "
            f"{files.what}:FOLDER?unreadable=0.2."
        )


def parts_of(files: Files, made: Decoded) -> dict[str, np.ndarray]:
    """Numbers of the readable samples of each part that the folder declares."""
    parts = np.array(files.parts)[made.readable]
    return {str(part): np.flatnonzero(parts == part) for part in np.unique(parts) if part}


def left_out(files: Files, made: Decoded) -> tuple[str, ...]:
    """What was skipped or ignored, in words."""
    notes = []
    if made.unreadable:
        named = "; ".join(made.unreadable[:LISTED])
        more = " and more" if len(made.unreadable) > LISTED else ""
        notes.append(
            f"{len(made.unreadable)} unreadable {files.what} were skipped ({named}{more})."
        )
    if files.ignored:
        notes.append(
            f"{files.ignored} files that are no {files.what} by their ending were ignored."
        )
    return tuple(notes)
