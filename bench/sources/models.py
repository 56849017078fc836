"""The models: where their files come from, what runs them at home, and what they are given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench import assets, samples
from bench.sources import zoo
from hasten.types import Arrays

Shapes = dict[str, tuple[int, ...]]
"""Each input's shape without the batch."""


@dataclass(frozen=True)
class Model:
    """``runtime`` is the file in ``bench/sources/runtimes`` that runs the model at home; ``files``
    are assets, or names of the zoo, the model first. ``draw`` makes so many samples from a number
    on. ``shape`` is what the files leave open."""

    name: str
    title: str
    runtime: str
    files: tuple[str, ...]
    draw: Callable[[Shapes, int, int], Arrays]
    shape: str = ""
    given: int = 192

    def paths(self) -> list[Path]:
        """Its files, fetched or made if need be."""
        if self.runtime == "mxnet":
            return [zoo.path(file) for file in self.files]
        return [assets.path(file) for file in self.files]

    def asked(self) -> list[str]:
        """The model as arguments of Hasten's command line."""
        first, *rest = self.paths()
        asked = [str(first), *(["--weights", str(rest[0])] if rest else [])]
        asked += ["--shape", self.shape] if self.shape else []
        return asked + (["--python", str(zoo.python())] if self.runtime == "mxnet" else [])


def pictures(low: float, high: float, last: bool = False) -> Callable[[Shapes, int, int], Arrays]:
    """Pictures between two values, of the shape that the model takes; grey ones where it takes one
    channel."""

    def draw(shapes: Shapes, count: int, start: int) -> Arrays:
        ((name, shape),) = shapes.items()
        channels, height, width = (shape[2], *shape[:2]) if last else shape
        square = samples.unit_pictures(count, max(height, width), start)[:, :, :height, :width]
        found = square.mean(1, keepdims=True) if channels == 1 else square
        found = np.moveaxis(found, 1, -1) if last else found
        return {name: np.ascontiguousarray(low + (high - low) * found, np.float32)}

    return draw


def lines(shapes: Shapes, count: int, start: int) -> Arrays:
    """Lines of digits from 0 to 1."""
    ((name, (_, height, width)),) = shapes.items()
    return {name: samples.text_lines(count, height, width, start) / 2 + 0.5}


def bgr(shapes: Shapes, count: int, start: int) -> Arrays:
    """Blue, green, red, less their means."""
    ((name, _),) = shapes.items()
    return {name: np.ascontiguousarray(np.moveaxis(samples.caffe_pictures(count, start), -1, 1))}


def volumes(shapes: Shapes, count: int, start: int) -> Arrays:
    """Stacks of pictures that drift, in place of scans."""
    ((name, (depth, height, width, _)),) = shapes.items()
    found = np.empty((count, depth, height, width, 1), np.float32)
    for index in range(count):
        wide = samples.unit_pictures(1, height + depth, start + index)[0].mean(0)
        for layer in range(depth):
            at = layer // 2
            found[index, layer, :, :, 0] = wide[at : at + height, layer : layer + width]
    return {name: found}


def sequences(shapes: Shapes, count: int, start: int) -> Arrays:
    """Digits in turn."""
    ((name, (steps, _)),) = shapes.items()
    return {name: samples.digit_sequences(count, start)[:, :steps]}


def _caffe(name: str, title: str, draw: Callable[[Shapes, int, int], Arrays]) -> Model:
    return Model(name, title, "opencv", (name, f"{name}-weights"), draw)


def _mxnet(name: str, title: str, shape: str, draw: Callable[[Shapes, int, int], Arrays]) -> Model:
    return Model(name, title, "mxnet", (f"{name}-symbol.json", f"{name}-0000.params"), draw, shape)


PICTURE = "data=batch,3,224,224"
MODELS = (
    _caffe("opennsfw-caffe", "OpenNSFW, ResNet-50 thin", bgr),
    _caffe("plate-edges", "HyperLPR edges", lines),
    _caffe("plate-letters", "HyperLPR letters, Inception", lines),
    _caffe("plate-corners", "HyperLPR corners", lines),
    _caffe("plate-finder", "HyperLPR finder, SSD 512 px", pictures(-1, 1)),
    _caffe("code-finder", "WeChat code finder, SSD", pictures(0, 1)),
    _caffe("code-enlarger", "WeChat super-resolution", pictures(0, 1)),
    _mxnet("cnn", "Gluon CNN", "data=batch,3,32,32", pictures(0, 1)),
    _mxnet("bilstm", "Gluon BiLSTM", "data=batch,32,64", sequences),
    _mxnet("resnet18", "Gluon ResNet-18 v1", PICTURE, pictures(0, 1)),
    _mxnet("mobilenetv2", "Gluon MobileNetV2", PICTURE, pictures(0, 1)),
    _mxnet("squeezenet", "Gluon SqueezeNet 1.1", PICTURE, pictures(0, 1)),
    _mxnet("mlp", "Module MLP", "data=batch,1,28,28", pictures(0, 1)),
    Model("facenet", "FaceNet", "tensorflow", ("facenet",), pictures(-1.5, 1.5, last=True)),
    Model(
        "brain-unet", "Brain segmentation, 3-D U-net", "keras", ("brain-unet",), volumes, given=48
    ),
)


def named(name: str) -> Model:
    """The model called so."""
    return {model.name: model for model in MODELS}[name]
