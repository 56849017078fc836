"""Keras models: ``.keras`` and ``.h5`` of Keras 3 and 2, ``.json`` with weights, live ones.

**Source:** Keras 3.15 on its PyTorch back end, in a process of its own; TensorFlow is not needed.
The model is called there, exported, and compared with its exported graph. What Keras 2 wrote is
read with the names of today (``_keras_old``).
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from hasten.errors import BadModel, Unsupported
from hasten.frontends import _apart
from hasten.frontends._keras_files import ARCHITECTURE, FILES, read
from hasten.frontends._torch import from_specs
from hasten.frontends._torch_probe import probe
from hasten.plugin import Frontend, Learner, Source
from hasten.types import BATCH, Model, TensorSpec


class Keras(Frontend):
    """Gives a model in form ``"torch"``; pictures keep the layout that the model takes."""

    requires = ("keras>=3.12", "torch>=2.11", "h5py>=3")
    extra = "keras"
    order = 24
    compared_with = "Keras"

    def sniff(self, what: Any) -> bool:
        if isinstance(what, str | Path):
            path = Path(what)
            if path.suffix.lower() in FILES:
                return True
            return path.suffix.lower() == ARCHITECTURE and _is_keras(path)
        loaded = sys.modules.get("keras")
        return loaded is not None and isinstance(what, loaded.Model)

    def load(self, source: Source) -> Model:
        if isinstance(source.what, str | Path):
            if not Path(source.what).is_file():
                raise BadModel(
                    f"Cannot read model '{source.what}': there is no such file. Check the path."
                )
            return _apart.load(self.name, source, {"KERAS_BACKEND": "torch"})
        with tempfile.TemporaryDirectory(prefix="hasten-keras-") as folder:
            path = Path(folder) / "model.keras"
            source.what.save(path)
            there = replace(source, what=str(path), trust=True)  # it is the caller's own object
            return _apart.load(self.name, there, {"KERAS_BACKEND": "torch"})

    def learner(self, what: Any) -> Learner | None:
        from hasten.frontends import _keras_learning

        path = Path(what)
        if path.suffix.lower() not in FILES:
            return None
        self._require()
        made = _keras_learning.read(path)
        if not getattr(made, "inputs", None):
            raise Unsupported(
                f"Cannot train '{what}': a subclassed model does not tell its inputs."
            )
        inputs = tuple(
            replace(spec, shape=_keras_learning.first_channels(spec.shape))
            for spec in _specs(made, Source(what))
        )
        place = f"{_keras_learning.__name__}:saved"
        return Learner(place, {"file": str(path.absolute())}, inputs)

    def here(self, source: Source) -> Model:
        """The model, loaded in this process, whose Keras must have PyTorch as its back end."""
        import keras

        if keras.backend.backend() != "torch":
            raise Unsupported("Cannot load Keras models here: Keras runs on another back end.")
        made = read(Path(str(source.what)), source)
        specs = _specs(made, source)
        module = _positional(made)
        return probe(module, from_specs(module, specs)).model(self.name, "Keras")


def _is_keras(path: Path) -> bool:
    """Whether a JSON file holds an architecture of Keras."""
    try:
        head = path.read_bytes()[:400]
    except OSError:
        return False
    return b'"class_name"' in head


def _specs(made: Any, source: Source) -> list[TensorSpec]:
    """What the model takes, as it says itself or as the user does."""
    if source.examples:
        return list(source.examples)
    if not getattr(made, "inputs", None):
        raise BadModel(
            "Cannot tell the inputs of a subclassed Keras model. Give their shapes, such as "
            "--shape input_0=batch,224,224,3."
        )
    return [
        TensorSpec(_name(tensor, n), _dtype(tensor), _shape(tensor, _name(tensor, n)))
        for n, tensor in enumerate(made.inputs)
    ]


def _name(tensor: Any, number: int) -> str:
    name = str(getattr(tensor, "name", "") or f"input_{number}")
    return name.partition(":")[0].replace("/", "_")


def _dtype(tensor: Any) -> str:
    name = str(tensor.dtype)
    return {"bfloat16": "float32", "float16": "float32"}.get(name, name)


def _shape(tensor: Any, name: str) -> tuple[int | str, ...]:
    first, *rest = tensor.shape
    sizes = [f"{name}_{n}" if size is None else int(size) for n, size in enumerate(rest, 1)]
    return (BATCH if first is None else int(first), *sizes)


def _positional(made: Any) -> Any:
    """The model as a module that takes its inputs one by one."""
    import torch

    class Positional(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = made

        def forward(self, *inputs: torch.Tensor) -> Any:
            return self.model(inputs[0] if len(inputs) == 1 else list(inputs), training=False)

    return Positional().eval().requires_grad_(False)
