"""Keras models as modules that learn: Keras' own layers on its PyTorch back end.

**Source:** a ``keras.Model`` of Keras 3.12 and later is an ``nn.Module`` there. Dropout and
normalisations follow the module's mode, as they follow ``training`` in Keras.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hasten.errors import BadInput, BadModel, Unsupported, Untrusted
from hasten.frontends import _keras_files
from hasten.plugin import Source

if TYPE_CHECKING:
    from torch import nn

GENERATOR = re.compile(r"seed_generator(_\d+)?")
LEAST = 1e-7
"""Keras' own bound where it takes the logarithm of a share."""
KEPT = "model.keras"
"""The trained model in a run's folder."""
PICTURES = 4
"""Dimensions of a batch of them: Keras has channels last, samples in training have them first."""


def saved(shape: Sequence[int], outputs: int, *, file: str, logits: bool) -> nn.Module:
    """The model of a file, with its weights, for samples of ``shape``; channels come first.

    With ``logits`` it answers these where it ends with a softmax or a sigmoid, which losses for
    classes take, and two of them where one sigmoid tells two classes apart. Raises ``Unsupported``
    where Keras runs on another back end in this process, ``BadInput`` for samples that the model
    does not take.
    """
    import torch
    from torch import nn

    keras = _on_torch()
    keras.utils.set_random_seed(torch.initial_seed() % (1 << 32))
    made = read(Path(file))
    taken = first_channels(made.inputs[0].shape)[1:] if getattr(made, "inputs", None) else None
    if taken is not None and not _alike(taken, shape):
        raise BadInput(
            f"Cannot train '{file}' on samples of shape {list(shape)}: it takes {list(taken)}."
        )
    ending = _ending(made) if logits else ""

    class KerasModel(nn.Module):
        """``keep`` gives what a run's folder holds besides the weights, by name."""

        def __init__(self) -> None:
            super().__init__()
            self.model = made
            self._register_state_dict_hook(_numbered)
            self.register_load_state_dict_pre_hook(_named)

        def forward(self, *inputs: Any) -> Any:
            given = [x.movedim(1, -1) if x.ndim == PICTURES else x for x in inputs]
            place = given[0].device
            with keras.device(f"{place.type}:{place.index or 0}"):
                found = self.model(given if len(given) > 1 else given[0], training=self.training)
            return _logits(found, ending, outputs)

        def keep(self) -> dict[str, bytes]:
            with tempfile.TemporaryDirectory(prefix="hasten-keras-") as folder:
                path = Path(folder) / KEPT
                self.model.save(path)
                return {KEPT: path.read_bytes()}

    module = KerasModel()
    held = set(map(id, module.parameters()))
    if any(id(variable.value) not in held for variable in made.variables):
        raise Unsupported(
            f"Cannot train '{file}': layers of it share a name, and Keras would lose the weights "
            "of one. Name them apart."
        )
    return module


def first_channels(shape: Sequence[Any]) -> tuple[Any, ...]:
    """The shape of a batch with the channels of pictures first."""
    size = tuple(shape)
    return (size[0], size[-1], *size[1:-1]) if len(size) == PICTURES else size


def read(path: Path) -> Any:
    """The Keras model in a file, in this process."""
    if not path.is_file():
        raise BadModel(f"Cannot train '{path}': there is no such file. Check the path.")
    _on_torch()
    try:
        return _keras_files.read(path, Source(str(path)))
    except Untrusted:
        raise Untrusted(
            f"Cannot train '{path}': it holds Python code (a Lambda layer), which is not run. Put "
            "a layer of your own in its place."
        ) from None


def _on_torch() -> Any:
    """Keras, which chooses its back end when it is imported first."""
    if "keras" not in sys.modules:
        os.environ["KERAS_BACKEND"] = "torch"
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # which Keras imports where it is there
    import keras

    if keras.backend.backend() != "torch":
        raise Unsupported(
            f"Cannot train a Keras model here: Keras runs on {keras.backend.backend()} in this "
            "process. Set KERAS_BACKEND=torch before Keras is imported."
        )
    return keras


def _logits(found: Any, ending: str, outputs: int) -> Any:
    """What losses for classes take, from the shares that a model ends with."""
    import torch

    if not ending:
        return found
    logits = found.clamp(min=LEAST).log()
    if ending == "sigmoid":
        logits = logits - (1 - found).clamp(min=LEAST).log()
        if outputs == 2 and logits.shape[-1] == 1:
            return torch.cat([torch.zeros_like(logits), logits], dim=-1)
    return logits


def _numbered(module: nn.Module, state: dict[str, Any], *_: Any) -> None:
    """Keras counts the generators of a process in their names: copies of a model differ in them."""
    for name, number in _generators(state).items():
        state[number] = state.pop(name)


def _named(module: nn.Module, state: dict[str, Any], *_: Any) -> None:
    own = dict(module.named_parameters(remove_duplicate=False))
    for name, number in _generators(own).items():
        if number in state:
            state[name] = state.pop(number)


def _generators(names: Iterable[str]) -> dict[str, str]:
    """The names of generators' states, with numbers in place of what Keras counted."""
    counted: dict[str, int] = {}
    found: dict[str, str] = {}
    for name in names:
        if match := GENERATOR.search(name):
            number = counted.setdefault(match[0], len(counted))
            found[name] = f"{name[: match.start()]}generator_{number}{name[match.end() :]}"
    return found


def _ending(made: Any) -> str:
    """``"softmax"`` or ``"sigmoid"`` where a model with one output ends with it, else empty."""
    outputs = getattr(made, "outputs", None) or ()
    while len(outputs) == 1:
        last = outputs[0]._keras_history.operation
        name = str(getattr(getattr(last, "activation", None), "__name__", ""))
        if type(last).__name__ == "Softmax" or name == "softmax":
            return "softmax"
        if name == "sigmoid":
            return "sigmoid"
        if getattr(last, "layers", None):  # a model inside
            outputs = last.outputs
        elif type(last).__name__ == "Activation" and name == "linear":
            outputs = [last.input]
        else:
            break
    return ""


def _alike(taken: Sequence[int | None], shape: Sequence[int]) -> bool:
    return len(taken) == len(shape) and all(
        size is None or size == given for size, given in zip(taken, shape, strict=True)
    )
