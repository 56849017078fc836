"""The content-addressed store: builds and accuracy survive between searches; timings do not.

An entry is a folder named by its key. It is written beside its final place, synced and renamed,
so a reader never sees half an entry and two writers of the same key cannot harm each other. The
hashes in ``entry.json`` are checked on every read; a damaged entry is removed and rebuilt.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hasten.errors import OutOfSpace
from hasten.types import canonical

RECORD = "entry.json"
DEFAULT_BYTES = 20 * 2**30


def cache_folder() -> Path:
    """Where Hasten keeps what it can rebuild: ``$HASTEN_CACHE``, else the user's cache folder."""
    if given := os.environ.get("HASTEN_CACHE"):
        return Path(given)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "hasten"


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


@contextlib.contextmanager
def write_aside(final: Path) -> Iterator[Path]:
    """A new folder beside ``final`` that takes its place only if the block succeeds.

    An existing ``final`` is replaced whole. A full disk is ``OutOfSpace``, and nothing is left.
    """
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=f".{final.name}-", dir=final.parent))
    except OSError as error:
        raise _disk_error(error, final) from error
    try:
        yield aside
        sync_folder(aside)
        _swap(aside, final)
    except OSError as error:
        raise _disk_error(error, final) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _swap(aside: Path, final: Path) -> None:
    """Put ``aside`` in the place of ``final``."""
    aside.chmod(0o755)
    if not final.exists():
        with contextlib.suppress(FileExistsError):
            aside.rename(final)
            return
    old = Path(tempfile.mkdtemp(prefix=f".{final.name}-old-", dir=final.parent))
    final.rename(old / "old")
    aside.rename(final)
    shutil.rmtree(old, ignore_errors=True)


def _disk_error(error: OSError, place: Path) -> Exception:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return OutOfSpace(
            f"Cannot write {place}: the disk is full. Older results are untouched. "
            "Free some space, or point HASTEN_CACHE and -o to another disk."
        )
    return error


class Store:
    """Entries by key below one folder, private to the user."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or cache_folder() / "store"
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise _disk_error(error, self.folder) from error

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
        return json.loads((folder / RECORD).read_text())["note"] if folder else None

    @contextlib.contextmanager
    def put(self, key: str, note: dict[str, Any]) -> Iterator[Path]:
        """A folder to write the entry's files into; ``note`` may be filled until the block ends."""
        with write_aside(self.path(key)) as folder:
            yield folder
            files = {p.as_posix(): file_hash(folder / p) for p in folder_files(folder)}
            (folder / RECORD).write_text(canonical({"files": files, "note": note}))

    def put_note(self, key: str, note: dict[str, Any]) -> None:
        """An entry without files."""
        with self.put(key, note):
            pass

    def trim(self, limit_bytes: int | None = None) -> int:
        """Remove the entries unused for longest until the rest fits. Returns bytes removed."""
        limit = limit_bytes or int(os.environ.get("HASTEN_STORE_BYTES", DEFAULT_BYTES))
        entries = sorted(
            (e for e in self.folder.glob("??/*") if e.is_dir()), key=lambda e: e.stat().st_mtime
        )
        sizes = {e: sum((e / f).stat().st_size for f in folder_files(e)) for e in entries}
        excess, removed = sum(sizes.values()) - limit, 0
        for entry in entries:
            if removed >= excess:
                break
            shutil.rmtree(entry, ignore_errors=True)
            removed += sizes[entry]
        return removed


def _intact(folder: Path) -> bool:
    """Whether the record can be read and every file it lists has its hash."""
    try:
        files = json.loads((folder / RECORD).read_text())["files"]
        return all(file_hash(folder / name) == sha for name, sha in files.items())
    except (OSError, ValueError, KeyError, AttributeError):
        return False
