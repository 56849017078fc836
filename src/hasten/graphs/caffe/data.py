"""What a network's file says of its data: their size, and how pictures become what it takes.

Caffe computes ``(x - mean_value) * scale`` from stored bytes. The order of the colours stands in no
file: Caffe's own tools read blue, green, red.
"""

from __future__ import annotations

from typing import Any

from hasten.graphs.caffe.layers import Layer, Parameters
from hasten.types import Normalisation

PICTURES = {
    "Data": "data_param",
    "ImageData": "image_data_param",
    "MemoryData": "memory_data_param",
    "WindowData": "window_data_param",
    "HDF5Data": "hdf5_data_param",
}
"""Layers that read data, with their own parameters."""


def shape(own: Layer) -> tuple[int, ...]:
    """``(1, channels, height, width)`` that a layer gives, ``()`` where its file does not say."""
    p = own.parameters(PICTURES[own.kind])
    crop = _transform(own).one("crop_size") or p.one("crop_size")
    sizes = [p.one("height") or p.one("new_height"), p.one("width") or p.one("new_width")]
    sizes = [crop, crop] if crop else sizes
    channels = p.one("channels") or _channels(own)
    wanted = (1, channels, *sizes)
    return wanted if all(isinstance(size, int) and size > 0 for size in wanted) else ()


def _channels(own: Layer) -> int:
    means = _transform(own).all("mean_value")
    return 1 if "true" in str(_transform(own).one("force_gray")).lower() else max(3, len(means))


def normalisation(own: Layer) -> Normalisation | None:
    """How stored bytes become what the network takes; ``None`` where nothing is said."""
    transform = _transform(own)
    means, factor = transform.all("mean_value"), transform.one("scale", 1.0)
    if not (means or factor != 1.0) or not all(map(_number, [*means, factor])) or not factor:
        return None
    mean = tuple(float(value * factor) for value in means or [0.0])
    return Normalisation(float(factor), mean, tuple(1.0 for _ in mean))


def mean_file(own: Layer) -> str:
    """The file with a mean picture that is subtracted, if one is named."""
    return str(
        _transform(own).one("mean_file") or own.parameters("data_param").one("mean_file", "")
    )


def _transform(own: Layer) -> Parameters:
    """Old files have it among the layer's own parameters."""
    told = own.parameters("transform_param")
    return told if told.message else own.parameters(PICTURES.get(own.kind, "input_param"))


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and abs(value) < 1e6
