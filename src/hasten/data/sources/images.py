"""Folders of images: one sub-folder per class, or ``train``, ``val`` and ``test`` of such.

**Source:** the folder layout of torchvision's ``ImageFolder``; resizing as Pillow's
``ImageOps.fit`` does it in one step: the shorter side fills the size, the rest is cut off around
the centre, bilinear with antialiasing. EXIF orientation is applied first.

    images:photos                           size and channels as the model takes them; without a
                                            model as the files have them, at most 224
    images:photos?size=160&unreadable=0.1   up to a tenth of the files may be unreadable
    images:photos?size=192,256              height and width
    images:photos?crop=0.875                the central 7/8 only, as ImageNet models are tested
    images:photos?mean=0.5&std=0.5          (x / 255 - 0.5) / 0.5 instead of ImageNet's figures

Pictures are decoded once into a file that is mapped from then on. It is found again by the names,
sizes and dates of all files, and by the options.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from hasten.data.sources._folders import Files, decoded, find, left_out, parts_of
from hasten.data.sources._pictures import FolderOptions, checked, fitted, normalisation_of
from hasten.errors import BadData
from hasten.plugin import DataSource
from hasten.types import Data, Spec, TensorSpec

PREFIX = "images:"
ENDINGS = frozenset(
    (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
)
DEFAULT_SIZE = 224
LOOKED_AT = 64
"""Files whose size is looked at where no model asks for one."""


@dataclass(frozen=True)
class Layout:
    """The array a picture becomes: ``channels`` 1 (grey) or 3 (RGB), first or last."""

    name: str
    height: int
    width: int
    channels: int
    axis: int

    @property
    def shape(self) -> tuple[int, ...]:
        plane = [self.height, self.width]
        plane.insert(self.axis - 1, self.channels)
        return tuple(plane)


class Images(DataSource):
    """A folder of labelled images."""

    order = 20
    spelling = "images:FOLDER"

    @dataclass(frozen=True, kw_only=True)
    class Options(FolderOptions):
        pass

    def sniff(self, what: Any) -> bool:
        return isinstance(what, str) and what.startswith(PREFIX)

    def load(self, what: Any, spec: Spec | None, options: Any) -> Data:
        size = checked(what, options)
        folder = Path(what.removeprefix(PREFIX)).expanduser()
        files = find(folder, "images", ENDINGS)
        layout = _layout(what, spec, size, files)
        decode = partial(_decode, layout=layout, crop=options.crop)
        recipe = f"crop {options.crop}, Pillow {_pillow_version()}"
        made = decoded(files, layout.shape, recipe, decode, options.unreadable)
        normalisation, why = normalisation_of(
            layout.name, layout.channels, layout.axis, spec, options
        )
        return Data(
            str(what),
            {layout.name: made.array},
            np.array(files.labels, np.int64)[made.readable],
            "classification",
            files.classes,
            parts_of(files, made),
            {layout.name: normalisation},
            str(folder.resolve()),
            notes=(why, *left_out(files, made)),
        )


def _layout(what: str, spec: Spec | None, size: tuple[int, int] | None, files: Files) -> Layout:
    """What the model's image input asks for, else the files, with ``size`` put over it."""
    layout = _layout_of(what, spec) if spec else _natural(files)
    return replace(layout, height=size[0], width=size[1]) if size else layout


def _natural(files: Files) -> Layout:
    """Squares as large as the middle one of some files is wide, grey if all of these are."""
    from PIL import Image

    sides, grey = [], True
    for path in files.paths[:: max(1, len(files.paths) // LOOKED_AT)]:
        with contextlib.suppress(Exception), Image.open(path) as image:
            sides.append(min(image.size))
            grey = grey and image.mode in ("1", "L", "I;16")
    side = min(int(np.median(sides)), DEFAULT_SIZE) if sides else DEFAULT_SIZE
    return Layout("images", side, side, 1 if grey and sides else 3, 1)


def _layout_of(what: str, spec: Spec) -> Layout:
    for tensor in spec.inputs:
        for axis in (1, 3):
            if len(tensor.shape) == 4 and tensor.shape[axis] in (1, 3):
                return _layout_along(tensor, axis)
    raise BadData(
        f"Cannot load '{what}' for this model: none of its inputs takes images of 1 or 3 channels "
        f"({'; '.join(map(str, spec.inputs))}). Give arrays in a .npz file."
    )


def _layout_along(tensor: TensorSpec, axis: int) -> Layout:
    plane = [dim for place, dim in enumerate(tensor.shape) if place not in (0, axis)]
    height, width = (dim if isinstance(dim, int) else DEFAULT_SIZE for dim in plane)
    channels = tensor.shape[axis]
    return Layout(tensor.name, height, width, 1 if channels == 1 else 3, axis)


def _pillow_version() -> str:
    import PIL

    return PIL.__version__


def _decode(path: Path, layout: Layout, crop: float) -> np.ndarray | str:
    """One file as ``layout`` wants it, or why it cannot be read."""
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as image:
            upright = ImageOps.exif_transpose(image)
            coloured = _eight_bit(upright).convert("L" if layout.channels == 1 else "RGB")
            picture = fitted(coloured, layout.height, layout.width, crop)
    except Exception as error:  # a decoder may raise anything; the file is counted and named
        return f"{type(error).__name__}: {error}".splitlines()[0]
    pixels = np.asarray(picture).reshape(layout.height, layout.width, layout.channels)
    return pixels.transpose(2, 0, 1) if layout.axis == 1 else pixels


def _eight_bit(image: Any) -> Any:
    """Pictures of 16 bits brought to 8; Pillow's own conversion would clip them to white."""
    if not image.mode.startswith("I"):
        return image
    from PIL import Image

    return Image.fromarray((np.asarray(image).clip(0, 65535) // 257).astype(np.uint8))
