"""The content-addressed store: builds and accuracy survive between searches; timings do not.

An entry is a folder named by its key. It is written beside its final place, synced and renamed,
so a reader never sees half an entry and two writers of the same key cannot harm each other. The
hashes in ``entry.json`` are checked on every read; a damaged entry is removed and rebuilt.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import glob
import hashlib
import importlib.metadata
import json
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from hasten.errors import BadInput, HastenError, OutOfSpace
from hasten.types import canonical, digest

RECORD = "entry.json"
DEFAULT_BYTES = 20 * 2**30
ABANDONED_SECONDS = 86400.0
"""From this age on, a folder that was never finished belongs to a search that was killed."""
NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
RUST_ERROR = re.compile(r"\(os error (\d+)\)")
NO_ACCESS = frozenset({errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.ENAMETOOLONG})
LEAST_FREE_BYTES = 2**16
SWEPT_SECONDS = 60.0
"""From this age on, a half-written folder that nobody works in is removed by the next writer."""
ATTEMPTS = 3
TAKEN = frozenset({errno.EEXIST, errno.ENOTEMPTY})
"""What a system says when a folder is renamed to where one is already."""


def cache_folder() -> Path:
    """Where Hasten keeps what it can rebuild: ``$HASTEN_CACHE``, else the user's cache folder."""
    if given := os.environ.get("HASTEN_CACHE"):
        return Path(given)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "hasten"


@functools.cache
def version() -> str:
    """The installed version of Hasten."""
    return importlib.metadata.version("hasten")


@functools.cache
def code() -> str:
    """The version, and a hash of Hasten's source: part of the store's keys.

    So neither an upgrade nor an edit is served what older code made.
    """
    package = Path(__file__).parents[1]
    sha = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        sha.update(f"{path.relative_to(package).as_posix()}\0{file_hash(path)}\n".encode())
    return f"{version()}+{sha.hexdigest()[:16]}"


def file_hash(path: Path) -> str:
    """SHA-256 of a file's bytes, as 64 hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def folder_files(folder: Path) -> list[Path]:
    """All plain files below ``folder``, relative to it, in a fixed order."""
    return sorted(p.relative_to(folder) for p in folder.rglob("*") if p.is_file())


def folder_hash(folder: Path) -> str:
    """One hash over the names and contents of all files below ``folder``."""
    sha = hashlib.sha256()
    for name in folder_files(folder):
        sha.update(f"{name.as_posix()}\0{file_hash(folder / name)}\n".encode())
    return sha.hexdigest()


def sync_folder(folder: Path) -> None:
    """Force every file below ``folder`` to the disk."""
    for name in folder_files(folder):
        with (folder / name).open("rb") as stream:
            os.fsync(stream.fileno())


def save_array(path: Path, array: np.ndarray) -> None:
    """Write ``array`` as ``.npy``, or fail.

    ``numpy.save`` writes through C and does not look at the last flush: on a full disk it leaves
    a short file behind and says nothing. It does so only to real files.
    """
    with path.open("wb") as file:
        plain: Any = SimpleNamespace(write=file.write)
        np.lib.format.write_array(plain, np.asarray(array, order="C"), allow_pickle=False)


@contextlib.contextmanager
def write_aside(final: Path) -> Iterator[Path]:
    """A new folder beside ``final`` that takes its place only if the block succeeds.

    An existing ``final`` is replaced whole. A full disk is ``OutOfSpace``, and nothing is left.
    """
    with _aside(final) as folder:
        yield folder
        sync_folder(folder)
        _replace(folder, final)
        _sweep(final)


@contextlib.contextmanager
def _aside(final: Path) -> Iterator[Path]:
    """A folder beside ``final`` that is gone after the block, unless it was renamed there."""
    with explained(final):
        final.parent.mkdir(parents=True, exist_ok=True)
        prefix = f".{final.name}-{os.getpid()}-"
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=final.parent))
        folder.chmod(0o755)
        try:
            with _claimed(folder):
                yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _sweep(final: Path) -> None:
    """Remove what processes that were killed left beside ``final``, which is in its place."""
    for left in final.parent.glob(f".{glob.escape(final.name)}-*"):
        with contextlib.suppress(OSError):
            if left.is_dir() and time.time() - left.stat().st_mtime > SWEPT_SECONDS:
                with _claimed(left) as mine:
                    if mine:
                        shutil.rmtree(left, ignore_errors=True)


@contextlib.contextmanager
def _claimed(folder: Path) -> Iterator[bool]:
    """Whether this process alone works in ``folder``; the claim ends with the process."""
    if sys.platform == "win32":
        yield False
        return
    import fcntl

    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)


def _replace(folder: Path, final: Path) -> None:
    """Put ``folder`` in the place of ``final``; whatever interrupts it, one of them is there."""
    while not _renamed(folder, final):
        old = Path(tempfile.mkdtemp(prefix=f".{final.name}-old-", dir=final.parent))
        try:
            with contextlib.suppress(FileNotFoundError):
                final.rename(old / final.name)
            folder.rename(final)
            return
        except BaseException as error:
            with contextlib.suppress(OSError):
                (old / final.name).rename(final)
            if not (isinstance(error, OSError) and error.errno in TAKEN):
                raise
        finally:
            shutil.rmtree(old, ignore_errors=True)


def _renamed(folder: Path, final: Path) -> bool:
    """Rename ``folder``; ``False`` where something has the name already."""
    if final.exists():
        return False
    try:
        folder.rename(final)
    except OSError as error:
        if error.errno not in TAKEN:
            raise
        return False
    return True


@contextlib.contextmanager
def explained(place: Path) -> Iterator[None]:
    """Say of a full disk, or of a place that may not be written, what a user can do about it."""
    try:
        yield
    except HastenError:
        raise
    except Exception as error:
        if is_full(error) or _no_room_left(place):
            raise no_room(place, error) from error
        if isinstance(error, OSError) and error.errno in NO_ACCESS:
            raise BadInput(
                f"Cannot write {place}: {error.strerror} ({error.filename or place}). Choose "
                "another place with -o, or with HASTEN_CACHE for what Hasten keeps for itself."
            ) from error
        raise


def is_full(error: Exception) -> bool:
    """Whether a write failed for want of room. Libraries in Rust tell the number in words alone."""
    told = RUST_ERROR.search(str(error))
    number = int(told[1]) if told else getattr(error, "errno", None)
    return number in NO_ROOM


def _no_room_left(place: Path) -> bool:
    """Whether the disk is as good as full; libraries in other languages do not say so."""
    there = next((folder for folder in place.absolute().parents if folder.exists()), None)
    return there is not None and shutil.disk_usage(there).free < LEAST_FREE_BYTES


def no_room(place: object, error: Exception) -> OutOfSpace:
    """What a full disk, or a quota, means to a user."""
    why = getattr(error, "strerror", None) or error
    return OutOfSpace(
        f"Cannot write {place}: the disk is full ({why}). Older results are untouched. Free some "
        "space, or point HASTEN_CACHE and -o to another disk."
    )


class Store:
    """Entries by key below one folder, private to the user."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or cache_folder() / "store"
        with explained(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def path(self, key: str) -> Path:
        return self.folder / key[:2] / key

    def get(self, key: str) -> Path | None:
        """The entry's folder if it is there and whole; a damaged one is removed."""
        folder = self.path(key)
        if not folder.is_dir():
            return None
        if _intact(folder):
            with contextlib.suppress(OSError):
                os.utime(folder)
            return folder
        shutil.rmtree(folder, ignore_errors=True)
        return None

    def note(self, key: str) -> dict[str, Any] | None:
        """The JSON that was put with the entry, or ``None``."""
        folder = self.get(key)
        if folder is None:
            return None
        try:
            note: dict[str, Any] = json.loads((folder / RECORD).read_text())["note"]
        except OSError:  # another search trimmed it just now
            return None
        return note

    @contextlib.contextmanager
    def put(self, key: str, note: dict[str, Any]) -> Iterator[Path]:
        """A folder to write the entry's files into; ``note`` may be filled until the block ends.

        An entry that is there already stays: another search may be reading it.
        """
        with _aside(self.path(key)) as folder:
            yield folder
            files = {p.as_posix(): file_hash(folder / p) for p in folder_files(folder)}
            record = json.loads(canonical({"files": files, "note": note}))
            (folder / RECORD).write_text(canonical({**record, "seal": digest(canonical(record))}))
            sync_folder(folder)
            self._place(folder, key)

    def rename(self, key: str, final: str) -> None:
        """Give an entry another key. Where that has an entry already, the old one is dropped."""
        self.path(final).parent.mkdir(parents=True, exist_ok=True)
        self._place(self.path(key), final)
        shutil.rmtree(self.path(key), ignore_errors=True)

    def _place(self, folder: Path, key: str) -> None:
        """Give a finished entry its name, unless a whole one has it; damaged ones give way."""
        final = self.path(key)
        for _ in range(ATTEMPTS):
            if _renamed(folder, final) or self.get(key):
                return
        raise HastenError(f"Cannot write {final}: something else is there. Remove it by hand.")

    def put_note(self, key: str, note: dict[str, Any]) -> None:
        """An entry without files."""
        with self.put(key, note):
            pass

    def sweep(self, pid: int) -> None:
        """Remove what the process ``pid``, which has ended, was writing when it was killed."""
        for left in self.folder.glob(f"??/.*-{pid}-*"):
            with contextlib.suppress(OSError), _claimed(left) as mine:
                if mine:  # nobody with the same number, on another machine, works there
                    shutil.rmtree(left, ignore_errors=True)

    def trim(self, limit_bytes: int | None = None) -> int:
        """Remove the entries unused for longest until the rest fits. Returns bytes removed.

        What a killed search left unfinished goes first.
        """
        limit = limit_bytes or int(os.environ.get("HASTEN_STORE_BYTES", DEFAULT_BYTES))
        used = {e: at for e in self.folder.glob("??/*") if (at := _last_used(e)) is not None}
        removed = 0
        for entry in [e for e in used if e.name.startswith(".")]:
            if time.time() - used.pop(entry) > ABANDONED_SECONDS:
                removed += _remove(entry)
        sizes = {entry: _bytes(entry) for entry in used}
        excess = sum(sizes.values()) - limit
        for entry in sorted(used, key=used.__getitem__):
            if excess <= 0:
                break
            excess -= sizes[entry]
            removed += _remove(entry)
        return removed


def _last_used(entry: Path) -> float | None:
    """Seconds since the epoch; ``None`` for what another search removed meanwhile."""
    try:
        return entry.stat().st_mtime
    except FileNotFoundError:
        return None


def _bytes(entry: Path) -> int:
    """What the entry's files take, as far as they are still there."""
    total = 0
    for name in folder_files(entry):
        with contextlib.suppress(FileNotFoundError):
            total += (entry / name).stat().st_size
    return total


def _remove(entry: Path) -> int:
    """Remove an entry; returns the bytes it had."""
    freed = _bytes(entry)
    shutil.rmtree(entry, ignore_errors=True)
    return freed


def _intact(folder: Path) -> bool:
    """Whether the record is as it was written and every file it lists has its hash."""
    try:
        record = json.loads((folder / RECORD).read_text())
        seal = record.pop("seal")
        if seal != digest(canonical(record)):
            return False
        return all(file_hash(folder / name) == sha for name, sha in record["files"].items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False
