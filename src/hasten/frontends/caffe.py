"""Caffe networks: ``.prototxt`` with ``.caffemodel``, read without Caffe.

**Source:** ``caffe.proto`` of BVLC Caffe 1.0 and its SSD branch. The network becomes a PyTorch
module; what SSD does with its boxes (DetectionOutput) stays behind it. Where the file says how
bytes become what the network takes, the specification has it.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from hasten.errors import BadInput, BadModel
from hasten.frontends._torch import called, from_specs
from hasten.frontends._torch_probe import probe
from hasten.plugin import Frontend, Source
from hasten.plugin.checking import compared, computed, unverified
from hasten.types import BATCH, Model, TensorSpec

TEXT, WEIGHTS = ".prototxt", ".caffemodel"
INSTALL = "pip install 'opencv-python-headless<5'"


class Caffe(Frontend):
    """Gives a model in form ``"torch"``."""

    requires = ("torch>=2.11",)
    extra = "torch"
    order = 25
    compared_with = "OpenCV 4, where it is installed"

    def sniff(self, what: Any) -> bool:
        return isinstance(what, str | Path) and Path(what).suffix.lower() in (TEXT, WEIGHTS)

    def load(self, source: Source) -> Model:
        from hasten.graphs.caffe.build import build
        from hasten.graphs.caffe.wire import weights

        text, binary = _pair(Path(source.what), source.weights)
        network = build(_read(text).decode(errors="replace"), weights(_read(binary)))
        shapes = _shapes(network.inputs, source.examples)
        specs = [TensorSpec(name, "float32", shape) for name, shape in shapes.items()]
        module = network.module.eval().requires_grad_(False)
        probed = probe(module, called(from_specs(module, specs), network.outputs))
        notes = [*network.notes]
        if network.left:
            notes.append(f"weights of layers that the network has not: {', '.join(network.left)}")
        if network.behind is not None:
            kinds = ", ".join(node.kind for node in network.behind.nodes)
            notes.append(f"left to you, behind the network: {kinds}")
        model = probed.model(self.name, notes=notes)
        model = replace(model, spec=replace(model.spec, normalisation=network.normalisation))
        return _checked(model, self.name, text, binary, network.layers)


def _checked(model: Model, name: str, text: Path, binary: Path, layers: tuple[str, ...]) -> Model:
    """Compared with OpenCV 4, an independent reader of these files, where that is installed."""
    try:
        import cv2
    except ImportError:
        return unverified(model, name, f"nothing here runs Caffe networks; {INSTALL} would")
    if not hasattr(cv2.dnn, "readNetFromCaffe"):
        why = f"OpenCV {cv2.__version__} reads no Caffe networks any more; {INSTALL} would"
        return unverified(model, name, why)

    def run(*inputs: np.ndarray) -> Any:
        for tensor, value in zip(model.spec.inputs, inputs, strict=True):
            network.setInput(np.ascontiguousarray(value), tensor.name)
        return [_each(found, len(inputs[0])) for found in network.forward(list(layers))]

    try:
        network = cv2.dnn.readNetFromCaffe(str(text), str(binary))
        cases = computed(model.spec.inputs, run)
    except cv2.error as error:
        return unverified(model, name, f"OpenCV {cv2.__version__} cannot run it ({error.err})")
    return compared(model, name, f"OpenCV {cv2.__version__}", cases)


def _each(found: np.ndarray, batch: int) -> np.ndarray:
    """An output for every sample: boxes that are the same for all are given once by OpenCV."""
    return found if len(found) == batch else np.broadcast_to(found, (batch, *found.shape[1:]))


def _pair(given: Path, weights: str | None) -> tuple[Path, Path]:
    """The two files: the other one is named, or lies beside the first under the same name."""
    if weights is not None:
        pair = given, Path(weights)
    else:
        other = TEXT if given.suffix.lower() == WEIGHTS else WEIGHTS
        pair = given, given.with_suffix(other)
    text, binary = pair if pair[0].suffix.lower() == TEXT else pair[::-1]
    if text.suffix.lower() != TEXT or binary.suffix.lower() != WEIGHTS:
        raise BadInput(
            f"Cannot load '{given}' with weights '{weights}': a Caffe network is a .prototxt and a "
            ".caffemodel."
        )
    for path, option in ((text, "the network"), (binary, "its weights")):
        if not path.is_file():
            raise BadModel(
                f"Cannot load '{given}': {option} should be in '{path}', which is not there. Give "
                "the file with --weights."
            )
    return text, binary


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadModel(f"Cannot read '{path}': {error.strerror}.") from error


def _shapes(
    declared: dict[str, tuple[int, ...]], examples: tuple[TensorSpec, ...]
) -> dict[str, tuple[int | str, ...]]:
    """The shapes of the file with a free batch, or those that the user gave."""
    given = {spec.name: spec.shape for spec in examples}
    if len(given) == len(declared) == 1:
        given = {next(iter(declared)): next(iter(given.values()))}
    return {name: given.get(name, (BATCH, *shape[1:])) for name, shape in declared.items()}
