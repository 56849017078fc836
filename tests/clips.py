"""Videos that tests write themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np


def counted(count: int, colour: int = 0, height: int = 24, width: int = 32) -> np.ndarray:
    """Frames that tell their number by the brightness of one colour: ``(count, h, w, 3)``."""
    frames = np.zeros((count, height, width, 3), np.uint8)
    frames[..., colour] = (10 * np.arange(1, count + 1))[:, None, None]
    return frames


def write(path: Path, frames: np.ndarray, codec: str = "ffv1", **options: Any) -> Path:
    """Encode frames ``(n, h, w, 3)``, without loss unless another codec is named."""
    import av

    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=8)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = {"ffv1": "bgr0", "mjpeg": "yuvj420p"}.get(codec, "yuv420p")
        if turned := options.pop("turned", 0):
            stream.set_display_rotation(turned)
        for pixels in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def folder(place: Path, each: int = 6, count: int = 12) -> Path:
    """Two classes of videos that any model can tell apart."""
    rng = np.random.default_rng(0)
    for colour, name in enumerate(("green", "red")):
        for number in range(each):
            frames = counted(count, 1 - colour)
            frames = frames + rng.integers(0, 60, frames.shape, dtype=np.uint8)
            write(place / name / f"{number}.mkv", frames)
    return place
