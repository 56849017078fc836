"""Samples small enough to be kept in a run's folder: pictures as PNG, series as numbers."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np

MOST_PIXELS = 72
MOST_STEPS, MOST_FEATURES = 120, 3


def drawn(sample: np.ndarray) -> dict[str, Any]:
    """A stored sample as it can be shown; empty for vectors, which no picture helps.

    Pictures ``(channels, height, width)`` and the middle frame of clips ``(frames, channels,
    height, width)`` become ``{"png", "width", "height"}``; series ``(steps, features)`` become
    ``{"series"}``, one list per feature.
    """
    if sample.ndim == 4:
        sample = sample[len(sample) // 2]
    if sample.ndim == 3:
        return _picture(sample)
    return {"series": _series(sample)} if sample.ndim == 2 and len(sample) > 1 else {}


def _picture(sample: np.ndarray) -> dict[str, Any]:
    from PIL import Image

    pixels = _bytes(sample)
    coloured = len(pixels) == 3
    image = Image.fromarray(np.moveaxis(pixels, 0, -1) if coloured else pixels[0])
    if max(image.size) > MOST_PIXELS:
        image.thumbnail((MOST_PIXELS, MOST_PIXELS))
    kept = io.BytesIO()
    image.save(kept, "PNG", optimize=True)
    text = base64.b64encode(kept.getvalue()).decode("ascii")
    return {"png": text, "width": image.width, "height": image.height}


def _bytes(sample: np.ndarray) -> np.ndarray:
    """Stored values as bytes; floating-point ones from the darkest to the brightest."""
    if sample.dtype == np.uint8:
        return sample
    values = np.nan_to_num(sample.astype(np.float64))
    low, high = values.min(), values.max()
    scaled = np.round(255 * (values - low) / ((high - low) or 1.0))
    return np.asarray(scaled, np.uint8)


def _series(sample: np.ndarray) -> list[list[float]]:
    chosen = np.linspace(0, len(sample) - 1, min(len(sample), MOST_STEPS)).round().astype(int)
    values = np.nan_to_num(sample[chosen, :MOST_FEATURES].astype(np.float64))
    return [[float(f"{value:.4g}") for value in column] for column in values.T]
