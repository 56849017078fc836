"""Folders of videos: one sub-folder per class, or ``train``, ``val`` and ``test`` of such.

**Source:** the folder layout of torchvision's ``DatasetFolder``; decoding by PyAV (FFmpeg) 12 and
later. Frames at equal distances, the first and the last among them, become RGB pictures; each is
resized and cut as ``images:`` does it, after it was turned as the camera says.

    videos:clips                        as the model takes them, else 16 frames of 64 x 64
    videos:clips?frames=8&size=112      other figures; size=96,128 is height and width
    videos:clips?crop=0.875             the central 7/8 only
    videos:clips?unreadable=0.1         up to a tenth of the files may be unreadable or too short
    videos:clips?mean=0.5&std=0.5       (x / 255 - 0.5) / 0.5 instead of ImageNet's figures

A file with fewer frames than are taken is too short. Clips are decoded once into a file that is
mapped from then on. It is found again by the names, sizes and dates of all files, and by the
options.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from hasten.data.sources._folders import decoded, find, left_out, parts_of
from hasten.data.sources._pictures import FolderOptions, checked, fitted, normalisation_of
from hasten.errors import BadData
from hasten.plugin import DataSource
from hasten.types import Data, Spec

PREFIX = "videos:"
ENDINGS = frozenset((".avi", ".gif", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm"))
CHANNEL_AXIS = 2
USUAL_FRAMES, USUAL_SIZE = 16, 64


@dataclass(frozen=True)
class Clip:
    """The array a video becomes: ``(frames, 3, height, width)``."""

    name: str = "clips"
    frames: int = USUAL_FRAMES
    height: int = USUAL_SIZE
    width: int = USUAL_SIZE

    @property
    def shape(self) -> tuple[int, ...]:
        return self.frames, 3, self.height, self.width


class Videos(DataSource):
    """A folder of labelled videos."""

    order = 21
    spelling = "videos:FOLDER"
    requires = ("av>=12",)
    extra = "video"

    @dataclass(frozen=True, kw_only=True)
    class Options(FolderOptions):
        frames: int | None = None
        """Frames taken from every file. ``None``: the model's, else 16."""

    def sniff(self, what: Any) -> bool:
        return isinstance(what, str) and what.startswith(PREFIX)

    def load(self, what: Any, spec: Spec | None, options: Any) -> Data:
        size = checked(what, options)
        if options.frames is not None and options.frames < 1:
            raise BadData(f"Cannot load '{what}': frames={options.frames} must be 1 or more.")
        folder = Path(what.removeprefix(PREFIX)).expanduser()
        files = find(folder, "videos", ENDINGS)
        asked = _clip_of(what, spec) if spec else Clip()
        height, width = size or (asked.height, asked.width)
        clip = Clip(asked.name, options.frames or asked.frames, height, width)
        decode = partial(_decode, clip=clip, crop=options.crop)
        recipe = f"crop {options.crop}, {_versions()}"
        made = decoded(files, clip.shape, recipe, decode, options.unreadable)
        normalisation, why = normalisation_of(clip.name, 3, CHANNEL_AXIS, spec, options)
        return Data(
            str(what),
            {clip.name: made.array},
            np.array(files.labels, np.int64)[made.readable],
            "classification",
            files.classes,
            parts_of(files, made),
            {clip.name: normalisation},
            str(folder.resolve()),
            notes=(why, *left_out(files, made)),
        )


def _clip_of(what: str, spec: Spec) -> Clip:
    """What the model's input for clips asks for."""
    for tensor in spec.inputs:
        if len(tensor.shape) == 5 and tensor.shape[CHANNEL_AXIS] == 3:
            usual = (USUAL_FRAMES, USUAL_SIZE, USUAL_SIZE)
            given = (tensor.shape[1], *tensor.shape[3:])
            sizes = [n if isinstance(n, int) else u for n, u in zip(given, usual, strict=True)]
            return Clip(tensor.name, *sizes)
    raise BadData(
        f"Cannot load '{what}' for this model: none of its inputs takes clips of shape (batch, "
        f"frames, 3, height, width) ({'; '.join(map(str, spec.inputs))}). Give arrays in a .npz "
        "file."
    )


def _versions() -> str:
    import av
    import PIL

    return f"PyAV {av.__version__}, Pillow {PIL.__version__}"


def _decode(path: Path, clip: Clip, crop: float) -> np.ndarray | str:
    """The frames of one file as ``clip`` wants them, or why there are none."""
    try:
        found = _frames(path, _packet_count(path), clip, crop)
        if isinstance(found, int):  # fewer frames came out than the file says: divide those
            found = _frames(path, found, clip, crop)
    except Exception as error:  # a decoder may raise anything; the file is counted and named
        return f"{type(error).__name__}: {error}".splitlines()[0]
    if isinstance(found, int):
        return f"it is too short: {found} of the {clip.frames} frames that are taken"
    return found


def _packet_count(path: Path) -> int:
    """How many frames a file should give: its packets, which are counted without decoding.

    The number in a file's header is missing or wrong too often.
    """
    import av

    with av.open(str(path)) as container:
        if not container.streams.video:
            raise ValueError("it holds no video")
        stream = container.streams.video[0]
        return sum(packet.size > 0 for packet in container.demux(stream))


def _frames(path: Path, count: int, clip: Clip, crop: float) -> np.ndarray | int:
    """Of ``count`` frames those that are taken; or how many there are, if that is fewer."""
    import av

    if count < clip.frames:
        return count
    wanted = np.linspace(0, count - 1, clip.frames).round().astype(int)
    pixels = np.empty(clip.shape, np.uint8)
    place = number = 0
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1  # files are decoded side by side
        for number, frame in enumerate(container.decode(stream), 1):
            if number - 1 == wanted[place]:
                pixels[place] = _picture(frame, clip, crop)
                place += 1
            if place == clip.frames:
                return pixels
    return number


def _picture(frame: Any, clip: Clip, crop: float) -> np.ndarray:
    """A frame ``(3, height, width)``, upright."""
    picture = frame.to_image()
    if turned := getattr(frame, "rotation", 0):  # PyAV 12 does not know it yet
        picture = picture.rotate(turned, expand=True)
    return np.asarray(fitted(picture, clip.height, clip.width, crop)).transpose(2, 0, 1)
