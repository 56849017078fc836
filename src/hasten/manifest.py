"""What makes a folder a bundle: the manifest that lists its files, and the zip it may come in.

Everything here distrusts what it reads: names, sizes, types, links and paths are checked before
anything of a bundle is used.
"""

from __future__ import annotations

import json
import os
import shutil
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from hasten.errors import BadInput, BrokenBundle
from hasten.search.store import explained, file_hash, folder_files
from hasten.types import canonical, digest

SCHEMA = 1
MANIFEST = "manifest.json"
MAX_UNPACKED_BYTES = 64 * 2**30
UNREADABLE_ZIP = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, RuntimeError, ValueError)
"""What a damaged or encrypted archive makes the standard library raise."""


def seal(manifest: Mapping[str, Any]) -> str:
    """SHA-256 over everything else in a manifest: shows damage, not who wrote it."""
    return digest(canonical({key: value for key, value in manifest.items() if key != "seal"}))


def sealed(manifest: Mapping[str, Any]) -> str:
    """A manifest's text, with its seal."""
    whole = json.loads(json.dumps(manifest, default=str))
    return json.dumps({**whole, "seal": seal(whole)}, indent=1)


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a bundle whose files all agree with it."""
    with readable(folder):
        try:
            manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text())
        except FileNotFoundError:
            raise BrokenBundle(
                f"Cannot read bundle '{folder}': it has no {MANIFEST}. "
                "Give the folder that hasten optimize wrote with -o."
            ) from None
        if manifest["schema"] != SCHEMA:
            raise BrokenBundle(
                f"Cannot read bundle '{folder}': it has schema {manifest['schema']}, this Hasten "
                f"reads {SCHEMA}. Make it again, or install the version that wrote it: "
                f"pip install hasten=={manifest.get('hasten')}."
            )
        if manifest["seal"] != seal(manifest):
            raise ValueError("it was changed after it was packed")
        _agree(folder, manifest["files"])
    return manifest


@contextmanager
def readable(folder: Path) -> Iterator[None]:
    """Say of a manifest that is not as we write it that it is damaged."""
    try:
        yield
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        why = f"no {error}" if isinstance(error, KeyError) else error
        raise BrokenBundle(
            f"Cannot read bundle '{folder}': its {MANIFEST} is damaged ({why}). Make it again."
        ) from error


def _agree(folder: Path, listed: Mapping[str, Mapping[str, Any]]) -> None:
    """Every listed file is there with its hash, and nothing else is."""
    for link in (p for p in folder.rglob("*") if p.is_symlink()):
        raise BrokenBundle(f"Cannot load bundle '{folder}': '{link.name}' is a link. Remove it.")
    there = {name.as_posix() for name in folder_files(folder)} - {MANIFEST}
    if extra := there - listed.keys():
        raise BrokenBundle(
            f"Cannot load bundle '{folder}': '{min(extra)}' is not in its manifest. "
            "Remove it, or make the bundle again."
        )
    for name, facts in listed.items():
        if name not in there:
            raise BrokenBundle(
                f"Cannot load bundle '{folder}': '{name}' is missing. Make it again."
            )
        if file_hash(folder / name) != facts["sha256"]:
            raise BrokenBundle(
                f"Cannot load bundle '{folder}': '{name}' was changed after it was packed. "
                "Make it again."
            )


# --- as one file ----------------------------------------------------------------------------------


def zipped(folder: Path) -> Path:
    """One file beside a bundle's folder holding all of it, uncompressed: ``<name>.zip``."""
    final = folder.with_name(folder.name + ".zip")
    aside = final.with_name("." + final.name)
    with explained(final):
        try:
            with zipfile.ZipFile(aside, "w", zipfile.ZIP_STORED) as archive:
                for name in folder_files(folder):
                    archive.write(folder / name, name.as_posix())
            aside.replace(final)
        finally:
            aside.unlink(missing_ok=True)
    return final


@contextmanager
def opened(path: str | Path) -> Iterator[Path]:
    """A bundle's folder; that of a ``.zip`` is unpacked, and removed after the block."""
    place = Path(path)
    if not place.exists():
        raise BrokenBundle(f"Cannot load bundle '{path}': there is nothing. Check the path.")
    if place.is_dir():
        yield place
        return
    folder = Path(tempfile.mkdtemp(prefix="hasten-"))
    try:
        _unzip(place, folder)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _unzip(archive: Path, folder: Path) -> None:
    try:
        with explained(folder), zipfile.ZipFile(archive) as packed:
            infos = packed.infolist()
            if sum(info.file_size for info in infos) > MAX_UNPACKED_BYTES:
                raise BrokenBundle(f"Cannot load '{archive}': it unpacks to more than 64 GiB.")
            for info in infos:
                path = PurePosixPath(info.filename)
                if path.is_absolute() or ".." in path.parts:
                    raise BrokenBundle(
                        f"Cannot load '{archive}': it holds the path '{path}', which lies outside. "
                        "Do not trust it."
                    )
            packed.extractall(folder)
    except UNREADABLE_ZIP as error:
        raise BrokenBundle(
            f"Cannot load '{archive}': it is no bundle, and not a whole zip file of one ({error}). "
            "Give the folder that hasten optimize wrote with -o, or copy the file again."
        ) from error


# --- where a bundle may be put --------------------------------------------------------------------


def check_place(place: Path) -> None:
    """Refuse, before any work is done, a place where a bundle cannot be put or would do harm."""
    if place.is_dir() and any(place.iterdir()) and not _is_bundle(place):
        raise BadInput(
            f"Cannot write a bundle to '{place}': this folder holds something else, which would "
            "be replaced. Choose a new name, such as fast.hasten."
        )
    if place.exists() and not place.is_dir():
        raise BadInput(f"Cannot write a bundle to '{place}': a file is there. Choose a new name.")
    there = next(folder for folder in place.absolute().parents if folder.exists())
    if not (there.is_dir() and os.access(there, os.W_OK | os.X_OK)):
        raise BadInput(
            f"Cannot write a bundle to '{place}': '{there}' is no folder that you may write to. "
            "Choose another place."
        )


def _is_bundle(folder: Path) -> bool:
    """Whether the folder holds a manifest of ours, whole or not."""
    try:
        return "schema" in json.loads((folder / MANIFEST).read_text())
    except (OSError, ValueError, TypeError):
        return False
