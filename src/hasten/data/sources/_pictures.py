"""What folders of images and of videos share: options, one size for all, normalisation."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from hasten.data.sources._pixels import PixelOptions, declared
from hasten.errors import BadData
from hasten.types import Normalisation, Spec

if TYPE_CHECKING:
    from PIL import Image

IMAGENET = Normalisation(1 / 255, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
IMAGENET_GREY = Normalisation(1 / 255, (0.449,), (0.226,))
"""Means over the channels: what single-channel copies of ImageNet models are given."""


@dataclass(frozen=True, kw_only=True)
class FolderOptions(PixelOptions):
    """How files become arrays of one shape."""

    size: int | tuple[int, ...] | None = None
    """Height and width, or one number for both. ``None``: the model's, else the source's own."""
    crop: float = 1.0
    """The share of the shorter side that is kept, above 0 and up to 1."""
    unreadable: float = 0.05
    """The share of files that may be unreadable."""


def checked(what: str, options: FolderOptions) -> tuple[int, int] | None:
    """Height and width as asked for (``None``: not), or ``BadData`` for options out of range."""
    if not 0 < options.crop <= 1 or not 0 <= options.unreadable < 1:
        raise BadData(
            f"Cannot load '{what}' with crop={options.crop} and unreadable="
            f"{options.unreadable}: crop is above 0 and up to 1, unreadable from 0 below 1."
        )
    size: Any = options.size
    given = (size, size) if isinstance(size, int) else size
    if given is None:
        return None
    if len(given) != 2 or not all(isinstance(n, int) for n in given):
        raise BadData(f"Cannot load '{what}': size is HEIGHT,WIDTH or one number, not {size!r}.")
    if min(given) < 1:
        raise BadData(f"Cannot load '{what}': size={size!r} must be 1 or more.")
    return int(given[0]), int(given[1])


def fitted(picture: Image.Image, height: int, width: int, crop: float) -> Image.Image:
    """The picture resized until it fills height and width, and cut around the centre."""
    from PIL import Image, ImageOps

    bilinear = Image.Resampling.BILINEAR
    return ImageOps.fit(picture, (width, height), bilinear, bleed=(1 - crop) / 2)


def normalisation_of(
    name: str, channels: int, axis: int, spec: Spec | None, options: PixelOptions
) -> tuple[Normalisation, str]:
    """The user's, else the model's, else ImageNet's; with a note that says which."""
    if asked := declared(options, channels, axis):
        return asked, "Pixels are normalised as asked for."
    if spec is not None and name in spec.normalisation:
        return spec.normalisation[name], "Pixels are normalised as the model declares."
    usual = IMAGENET if channels == 3 else IMAGENET_GREY
    return replace(usual, axis=axis), (
        "Pixels are normalised with ImageNet's mean and deviation, because nothing else was "
        "declared; set others with ?mean=...&std=..."
    )
