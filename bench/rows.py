"""The rows of the race: which models, on which inputs, at which batches, under which limit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bench import samples
from hasten.types import Arrays

Draw = Callable[[str], tuple[Arrays, np.ndarray | None]]
"""Inputs and labels of the part ``"given"`` or ``"test"``."""

SQNR_FLOOR_DECIBEL = 30.0
ACCURACY_DROP = 0.01
HELD_OUT = 5_000
"""How many training pictures ``examples/train_fashion.py`` never learns from."""


@dataclass(frozen=True)
class Row:
    """One model of the race.

    ``model`` is ``package.module:factory``, or ``asset:name`` for a real ONNX model. ``family``
    (``cnn``, ``transformer``, ``recurrent``) is what the contenders' documentation tells apart.
    ``training`` is the script that makes the weights which the factory loads, where there is one.
    The given samples may be used to build a contender; the test samples judge it.
    """

    name: str
    title: str
    model: str
    family: str
    draw: Draw
    weights: str = "random weights"
    training: str = ""
    accuracy: bool = False
    batches: tuple[int, ...] = (1, 16)

    @property
    def asset(self) -> str:
        """The real ONNX model's name, empty for a PyTorch model."""
        kind, _, name = self.model.partition(":")
        return name if kind == "asset" else ""

    @property
    def limit(self) -> str:
        """The limit that every contender must keep, in words."""
        if self.accuracy:
            return f"accuracy drop <= {ACCURACY_DROP:g}"
        return f"SQNR >= {SQNR_FLOOR_DECIBEL:g} dB"


def fashion(part: str) -> tuple[Arrays, np.ndarray | None]:
    """Normalised pictures with labels: what training held out is given, the test split judges."""
    data = samples.dataset("fashion-mnist")
    rows = data.splits["test"] if part == "test" else data.splits["train"][-HELD_OUT:]
    ((name, pictures),) = data.inputs.items()
    labels = None if data.labels is None else data.labels[rows]
    return {name: data.normalisation[name](np.asarray(pictures[rows]))}, labels


def sentences(part: str) -> tuple[Arrays, np.ndarray | None]:
    """Token ids with their mask."""
    return samples.sentences(*_range(part, 384, 128)), None


def _range(part: str, given: int, test: int) -> tuple[int, int]:
    """Count and first number of a part's samples."""
    return (given, 0) if part == "given" else (test, given)


def _one(
    name: str, make: Callable[..., np.ndarray], *fixed: int, given: int = 384, test: int = 128
) -> Draw:
    """Samples for a model with the one input ``name``, made by ``make(count, *fixed, start=…)``."""

    def draw(part: str) -> tuple[Arrays, np.ndarray | None]:
        count, start = _range(part, given, test)
        return {name: make(count, *fixed, start=start)}, None

    return draw


def _torch(name: str, title: str, place: str, family: str, draw: Draw) -> Row:
    return Row(name, title, f"bench.models.{place}", family, draw)


def _real(name: str, title: str, draw: Draw, *batches: int) -> Row:
    return Row(name, title, f"asset:{name}", "cnn", draw, "published weights", batches=batches)


_imagenet = _one("image", samples.imagenet_pictures)

ROWS = (
    _torch("resnet18", "ResNet-18", "resnet:resnet18", "cnn", _imagenet),
    _torch("resnet50", "ResNet-50", "resnet:resnet50", "cnn", _imagenet),
    _torch(
        "mobilenet-v3-small", "MobileNetV3-small", "mobilenet:mobilenet_v3_small", "cnn", _imagenet
    ),
    _torch("efficientnet-b0", "EfficientNet-B0", "efficientnet:efficientnet_b0", "cnn", _imagenet),
    _torch("vit-tiny", "ViT-tiny/16", "vit:vit_tiny", "transformer", _imagenet),
    _torch("convnext-atto", "ConvNeXt-atto", "convnext:convnext_atto", "cnn", _imagenet),
    _torch(
        "cnn-lstm",
        "CNN+LSTM, 16 frames",
        "recurrent:cnn_lstm",
        "recurrent",
        _one("clip", samples.clips, given=192, test=64),
    ),
    _torch(
        "lstm",
        "LSTM, 128 steps",
        "recurrent:lstm",
        "recurrent",
        _one("sequence", samples.digit_sequences),
    ),
    _torch(
        "text-encoder", "BERT-like encoder, 6 layers", "text:text_encoder", "transformer", sentences
    ),
    Row(
        "fashion-cnn",
        "Fashion-MNIST CNN",
        "examples.fashion_cnn:cnn",
        "cnn",
        fashion,
        "trained weights",
        "examples/train_fashion.py",
        accuracy=True,
    ),
    _real(
        "ppocr-det",
        "PP-OCRv4 detector, 320 px",
        _one("x", samples.text_pages, 320, given=192, test=64),
        1,
        16,
    ),
    _real(
        "ppocr-rec",
        "PP-OCRv4 recogniser, 48x320",
        _one("x", samples.text_lines, 48, 320, given=192, test=64),
        1,
        16,
    ),
    _real("ppocr-cls", "PP-OCR direction, 48x192", _one("x", samples.text_lines, 48, 192), 1, 16),
    _real("magika", "Magika v3.3, 2048 bytes", _one("bytes", samples.file_bytes), 1, 16),
    _real(
        "nudenet",
        "NudeNet (YOLOv8n), 320 px",
        _one("images", samples.unit_pictures, 320, given=192, test=64),
        1,
        16,
    ),
    _real("opennsfw", "OpenNSFW (ResNet-50 thin)", _one("input:0", samples.caffe_pictures), 1, 16),
    _real(
        "yolov8n",
        "YOLOv8n COCO, 640 px",
        _one("images", samples.unit_pictures, 640, given=64, test=32),
        1,
    ),
    _real(
        "esrgan-x2",
        "Real-ESRGAN x2, 64 px",
        _one("input", samples.unit_pictures, 64, given=192, test=64),
        1,
    ),
    _real(
        "mushroom-yolo",
        "Mushroom YOLOv8n, 320 px",
        _one("images", samples.unit_pictures, 320, given=192, test=64),
        1,
        16,
    ),
)
