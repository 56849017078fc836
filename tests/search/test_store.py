"""The store: whole entries or none, whatever happens to the disk or comes at the same time."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import threading
import time
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hasten.errors import BadInput, HastenError, OutOfSpace
from hasten.search import store as module
from hasten.search.store import (
    RECORD,
    Store,
    cache_folder,
    folder_hash,
    save_array,
    write_aside,
)

KEY, OTHER = "ab" * 32, "ac" * 32


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def _put(store: Store, key: str = KEY, text: str = "weights") -> None:
    with store.put(key, {"answer": 42}) as folder:
        (folder / "deep").mkdir()
        (folder / "deep" / "w.bin").write_text(text)


# --- entries --------------------------------------------------------------------------------------


def test_what_is_put_can_be_got(store: Store) -> None:
    assert store.get(KEY) is None
    assert store.note(KEY) is None
    _put(store)
    folder = store.get(KEY)
    assert folder is not None
    assert (folder / "deep" / "w.bin").read_text() == "weights"
    assert store.note(KEY) == {"answer": 42}


def test_the_note_may_be_filled_while_writing(store: Store) -> None:
    note: dict[str, object] = {}
    with store.put(KEY, note):
        note["size"] = 7
    assert store.note(KEY) == {"size": 7}


notes = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner),
)


@given(st.dictionaries(st.text(), notes, max_size=4))
@settings(max_examples=60, deadline=None)
def test_any_note_survives(
    tmp_path_factory: pytest.TempPathFactory, note: dict[str, object]
) -> None:
    store = Store(tmp_path_factory.mktemp("store"))
    try:
        json.dumps(note, sort_keys=True)
    except TypeError:
        return  # keys of several kinds cannot be sorted; nobody writes such notes
    store.put_note(KEY, note)
    found = store.note(KEY)
    assert json.dumps(found, sort_keys=True) == json.dumps(
        json.loads(json.dumps(note)), sort_keys=True
    )


def test_an_entry_is_private_to_the_user(store: Store) -> None:
    assert store.folder.stat().st_mode & 0o077 == 0


def _put_half(store: Store, error: BaseException) -> None:
    with store.put(KEY, {}) as folder:
        (folder / "half").write_text("written")
        raise error


def test_a_failure_leaves_nothing(store: Store) -> None:
    with pytest.raises(ZeroDivisionError):
        _put_half(store, ZeroDivisionError())
    assert store.get(KEY) is None
    assert not [path for path in store.folder.rglob("*") if path.is_file()]


def test_an_interruption_leaves_nothing(store: Store) -> None:
    with pytest.raises(KeyboardInterrupt):
        _put_half(store, KeyboardInterrupt())
    assert not [path for path in store.folder.rglob("*") if path.is_file()]


def test_the_first_writer_of_a_key_wins(store: Store) -> None:
    """Another search may be reading the entry; equal keys mean equal content anyway."""
    _put(store, text="first")
    folder = store.get(KEY)
    assert folder is not None
    there = (folder / "deep" / "w.bin").stat().st_ino
    _put(store, text="second")
    assert (folder / "deep" / "w.bin").stat().st_ino == there


def test_a_new_key_for_an_entry(store: Store) -> None:
    _put(store)
    store.rename(KEY, OTHER)
    assert store.get(KEY) is None
    assert store.note(OTHER) == {"answer": 42}
    _put(store)
    store.rename(KEY, OTHER)  # one is there already: the draft goes
    assert store.get(KEY) is None
    assert store.note(OTHER) == {"answer": 42}


# --- damage ---------------------------------------------------------------------------------------


def test_any_altered_byte_makes_it_unusable(store: Store) -> None:
    _put(store)
    files = sorted(path for path in store.path(KEY).rglob("*") if path.is_file())
    sizes = {path: path.stat().st_size for path in files}
    assert len(sizes) == 2
    for path, size in sizes.items():
        for place in range(size):
            _put(store)
            raw = bytearray(path.read_bytes())
            raw[place] ^= 1
            path.write_bytes(raw)
            assert store.get(KEY) is None, f"byte {place} of {path.name}"
            assert not store.path(KEY).exists()


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "3", '{"files": 1, "note": {}}'])
def test_a_damaged_record(text: str, store: Store) -> None:
    _put(store)
    (store.path(KEY) / RECORD).write_text(text)
    assert store.note(KEY) is None
    _put(store)
    assert store.note(KEY) == {"answer": 42}


def test_a_missing_file(store: Store) -> None:
    _put(store)
    (store.path(KEY) / "deep" / "w.bin").unlink()
    assert store.get(KEY) is None


def test_a_damaged_entry_gives_way_to_a_new_one(store: Store) -> None:
    _put(store)
    (store.path(KEY) / "deep" / "w.bin").write_text("garbage")
    _put(store)
    assert store.note(KEY) == {"answer": 42}


def test_something_else_in_the_place_of_an_entry(store: Store) -> None:
    store.path(KEY).parent.mkdir(parents=True)
    store.path(KEY).write_text("a file")
    assert store.get(KEY) is None
    with pytest.raises(HastenError, match="Remove it by hand"):
        _put(store)


# --- several at once ------------------------------------------------------------------------------


def test_many_writers_and_readers_of_one_key(store: Store) -> None:
    wrong: list[object] = []
    start = threading.Barrier(8)

    def write() -> None:
        start.wait()
        for _ in range(20):
            _put(store)

    def read() -> None:
        start.wait()
        for _ in range(60):
            if (note := store.note(KEY)) not in (None, {"answer": 42}):
                wrong.append(note)

    def guarded(work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:
            wrong.append(error)

    jobs = [threading.Thread(target=guarded, args=(job,)) for job in (write, read) * 4]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    assert wrong == []
    assert [path.name for path in store.folder.glob("??/*")] == [KEY]


def test_an_entry_that_another_search_trims_while_it_is_read(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    _put(store)
    folder = store.get(KEY)
    store.trim(1)
    monkeypatch.setattr(store, "get", lambda key: folder)
    assert store.note(KEY) is None


# --- trimming -------------------------------------------------------------------------------------


def test_trim_removes_what_was_unused_for_longest(store: Store) -> None:
    keys = [letter * 64 for letter in "abcd"]
    for age, key in enumerate(keys):
        _put(store, key, "x" * 1000)
        os.utime(store.path(key), (1000.0 - age, 1000.0 - age))
    store.get(keys[3])  # the oldest is used now
    one = sum(path.stat().st_size for path in store.path(keys[0]).rglob("*") if path.is_file())
    assert store.trim(2 * one) == 2 * one
    assert [key for key in keys if store.get(key)] == [keys[0], keys[3]]
    assert store.trim(2 * one) == 0


def test_trim_removes_what_a_killed_search_left(store: Store) -> None:
    _put(store)
    old, fresh = (store.path(KEY).parent / f".{KEY}-{name}" for name in ("old", "fresh"))
    for folder in (old, fresh):
        folder.mkdir()
        (folder / "half").write_text("half")
    os.utime(old, (1000.0, 1000.0))
    assert store.trim() == 4
    assert fresh.is_dir()  # somebody may be writing it
    assert store.get(KEY)


def test_the_limit_of_the_environment(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    _put(store)
    monkeypatch.setenv("HASTEN_STORE_BYTES", "1")
    store.trim()
    assert store.get(KEY) is None


# --- replacing a folder ---------------------------------------------------------------------------


def _bundle(place: Path, text: str, error: Exception | None = None) -> None:
    with write_aside(place) as folder:
        (folder / "file").write_text(text)
        if error is not None:
            raise error


def test_a_folder_is_replaced_whole(tmp_path: Path) -> None:
    place = tmp_path / "new" / "fast.hasten"
    _bundle(place, "old")
    (place / "left").write_text("over")
    _bundle(place, "new")
    assert [path.name for path in place.iterdir()] == ["file"]
    assert (place / "file").read_text() == "new"
    assert [path.name for path in place.parent.iterdir()] == ["fast.hasten"]


def test_a_failure_keeps_the_old_folder(tmp_path: Path) -> None:
    _bundle(tmp_path / "fast", "old")
    with pytest.raises(ZeroDivisionError):
        _bundle(tmp_path / "fast", "new", ZeroDivisionError())
    assert (tmp_path / "fast" / "file").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["fast"]


@pytest.mark.parametrize("renames", [1, 2])
@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(errno.EIO, "broken")])
def test_whenever_replacing_stops_one_of_them_is_there(
    renames: int, error: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _bundle(tmp_path / "fast", "old")
    done = []
    rename = Path.rename

    def fails(self: Path, target: Path) -> Path:
        done.append(self)
        if len(done) == renames:
            raise error
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fails)
    with pytest.raises(type(error)):
        _bundle(tmp_path / "fast", "new")
    monkeypatch.undo()
    assert (tmp_path / "fast" / "file").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["fast"]


def test_what_a_killed_writer_left_goes_with_the_next(tmp_path: Path) -> None:
    final = tmp_path / "x.hasten"
    long_ago = time.time() - 3600
    for name in (".x.hasten-dead", ".x.hasten-held", ".x.hasten-young", ".other.hasten-dead"):
        (tmp_path / name).mkdir()
        if "young" not in name:
            os.utime(tmp_path / name, (long_ago, long_ago))
    with module._claimed(tmp_path / ".x.hasten-held") as mine:
        assert mine
        with write_aside(final) as folder:
            (folder / "new").touch()
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"x.hasten", ".x.hasten-held", ".x.hasten-young", ".other.hasten-dead"}


WRITING = """
import sys, time
from pathlib import Path
from hasten.search.store import Store
with Store(Path(sys.argv[1])).put("ab" * 32, {}) as folder:
    (folder / "half").touch()
    print("writing", flush=True)
    time.sleep(600)
"""


def test_what_a_killed_child_was_writing_is_swept(store: Store) -> None:
    command = [sys.executable, "-c", WRITING, str(store.folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "writing\n"
        (left,) = store.folder.glob("??/.*")
        store.sweep(child.pid)
        assert left.exists()  # it still works there
        child.kill()
        child.wait()
        store.sweep(child.pid + 1)
        assert left.exists()
        store.sweep(child.pid)
    assert not left.exists()


def test_two_writers_of_one_place(tmp_path: Path) -> None:
    def write(text: str) -> None:
        for _ in range(20):
            _bundle(tmp_path / "fast", text)

    writers = [threading.Thread(target=write, args=(text,)) for text in ("one", "two")]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert (tmp_path / "fast" / "file").read_text() in ("one", "two")
    assert [path.name for path in tmp_path.iterdir()] == ["fast"]


# --- a full disk ----------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk(number: int, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    _put(store)

    def full(_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutOfSpace, match=r"the disk is full.*Free some space.*HASTEN_CACHE"):
        _put(store, OTHER)
    assert store.get(OTHER) is None
    assert store.note(KEY) == {"answer": 42}
    assert not [path for path in store.folder.rglob(".*") if path.is_dir()]


def test_a_full_disk_that_a_library_does_not_name(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: usage(10**9, 10**9, 100))
    with pytest.raises(OutOfSpace, match="iostream error"), store.put(KEY, {}):
        raise RuntimeError("basic_ios::clear: iostream error")


def test_a_short_write_of_an_array_is_no_success(tmp_path: Path) -> None:
    """``numpy.save`` leaves a short file behind where the last flush finds the disk full."""
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("needs /dev/full")
    with pytest.raises(OSError, match="No space left"):
        save_array(full, np.zeros(10))


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6).reshape(2, 3),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.zeros((0, 4), np.float16),
        np.array([True, False]),
        np.arange(20)[::3],
    ],
    ids=str,
)
def test_arrays_come_back(array: np.ndarray, tmp_path: Path) -> None:
    save_array(tmp_path / "a.npy", array)
    found = np.load(tmp_path / "a.npy", mmap_mode="r" if array.size else None)
    np.testing.assert_array_equal(found, array)
    assert (found.dtype, found.flags.c_contiguous) == (array.dtype, True)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS])
def test_a_place_that_may_not_be_written(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(self: Path, *_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number), str(self))

    monkeypatch.setattr(Path, "mkdir", refused)
    with pytest.raises(BadInput, match=r"Choose another place with -o, or with HASTEN_CACHE"):
        Store(tmp_path / "store")


# --- where ----------------------------------------------------------------------------------------


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HASTEN_CACHE", str(tmp_path / "mine"))
    assert cache_folder() == tmp_path / "mine"
    monkeypatch.delenv("HASTEN_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "hasten"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "hasten"


def test_a_folders_hash_knows_names_and_contents(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    one = folder_hash(tmp_path)
    (tmp_path / "a").rename(tmp_path / "b")
    two = folder_hash(tmp_path)
    (tmp_path / "b").write_text("2")
    assert len({one, two, folder_hash(tmp_path)}) == 3
