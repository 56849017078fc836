"""Finding a published data set: several ways are tried in order, each result is verified."""

from __future__ import annotations

import hashlib
import http.client
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from hasten.errors import BadData
from hasten.search.store import cache_folder, write_aside

T = TypeVar("T")

CONNECT_SECONDS = 10.0
DOWNLOAD_SECONDS = 300.0
PIECE_BYTES = 2**20


class FetchError(Exception):
    """One way of getting the data does not work, and why."""


Fill = Callable[[Path], None]
"""Puts the data set's files into an empty folder."""


def obtain(
    name: str,
    read: Callable[[Path], T],
    places: Sequence[Path],
    fetches: Sequence[tuple[str, Fill]],
) -> T:
    """What ``read`` makes of the first folder that it accepts.

    ``read`` verifies as it reads and raises ``FetchError``. The cache is looked at first, then
    ``places``; each of ``fetches`` then fills a new cache folder, which is kept only if ``read``
    accepts it. The error names all that was tried.
    """
    cache = cache_folder() / "data" / name
    failures = []
    for place in (cache, *places):
        try:
            return read(place)
        except (FetchError, OSError) as error:
            failures.append(f"{place}: {_reason(error)}")
    for label, fill in fetches:
        try:
            with write_aside(cache) as folder:
                fill(folder)
                return read(folder)
        except (FetchError, OSError) as error:
            failures.append(f"{label}: {_reason(error)}")
    raise BadData(
        f"Cannot load data '{name}': it is not here and could not be fetched. Tried "
        f"{'; '.join(failures)}. Put its files into {cache}, or use 'digits', which is built in."
    )


def _reason(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "not there"
    return str(getattr(error, "reason", "") or error)


def verified(path: Path, sha256: str) -> bytes:
    """The file's bytes, or ``FetchError`` if they are not the published ones."""
    raw = path.read_bytes()
    check(raw, sha256, path.name)
    return raw


def check(raw: bytes | memoryview, sha256: str, name: str) -> None:
    """Refuse bytes that are not the published ones."""
    found = hashlib.sha256(raw).hexdigest()
    if found != sha256:
        raise FetchError(f"{name} is damaged or altered (SHA-256 {found[:12]}, not {sha256[:12]})")


def download(address: str, to: Path, most_bytes: int) -> None:
    """Copy what is at ``address`` into the file ``to``; slow or oversized answers are given up."""
    deadline = time.monotonic() + DOWNLOAD_SECONDS
    try:
        with urllib.request.urlopen(address, timeout=CONNECT_SECONDS) as answer, to.open("wb") as f:
            while piece := answer.read(PIECE_BYTES):
                if time.monotonic() > deadline:
                    raise FetchError(f"took more than {DOWNLOAD_SECONDS:.0f} seconds")
                if f.tell() + len(piece) > most_bytes:
                    raise FetchError(f"{to.name} is larger than the {most_bytes} bytes expected")
                f.write(piece)
    except http.client.HTTPException as error:
        raise FetchError(f"the transfer broke off ({type(error).__name__})") from error


def command(*words: str, folder: Path) -> None:
    """Run a program in ``folder``; ``FetchError`` with its last words if it fails."""
    if shutil.which(words[0]) is None:
        raise FetchError(f"there is no {words[0]} here")
    try:
        done = subprocess.run(
            words, cwd=folder, capture_output=True, text=True, timeout=DOWNLOAD_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise FetchError(f"took more than {DOWNLOAD_SECONDS:.0f} seconds") from error
    if done.returncode:
        said = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        raise FetchError(said[-1].strip() if said else f"exit status {done.returncode}")
