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

from hasten.errors import BadInput, BadModel, Unsupported
from hasten.frontends import _keras_files
from hasten.plugin import Source

if TYPE_CHECKING:
    from torch import nn

GENERATOR = re.compile(r"seed_generator(_\d+)?")
LEAST = 1e-7
"""Keras' own bound where it takes the logarithm of a share."""
KEPT = "model.keras"
"""The trained model in a run's folder."""


def _log(shares: Any) -> Any:
    return shares.clamp(min=LEAST).log()


def _log_odds(shares: Any) -> Any:
    return _log(shares) - _log(1 - shares)


LOGITS = {"softmax": _log, "sigmoid": _log_odds}
"""Losses take logits: what makes them of shares, by what a model ends with."""


def saved(shape: Sequence[int], outputs: int, *, file: str) -> nn.Module:
    """The model of a file, with its weights, for samples of ``shape`` as it declares them.

    Raises ``Unsupported`` where Keras runs on another back end in this process, ``BadInput`` for
    samples that the model does not take.
    """
    from torch import nn

    made = read(Path(file))
    taken = tuple(made.inputs[0].shape[1:]) if getattr(made, "inputs", None) else None
    if taken is not None and not _alike(taken, shape):
        raise BadInput(
            f"Cannot train '{file}' on samples of shape {list(shape)}: it takes {list(taken)}."
        )

    logits = LOGITS.get(_ending(made), lambda outputs: outputs)

    class KerasModel(nn.Module):
        """Answers logits. ``keep`` gives what a run's folder holds besides the weights, by name."""

        def __init__(self) -> None:
            super().__init__()
            self.model = made
            self._register_state_dict_hook(_numbered)
            self.register_load_state_dict_pre_hook(_named)

        def forward(self, *inputs: Any) -> Any:
            given = inputs[0] if len(inputs) == 1 else list(inputs)
            return logits(self.model(given, training=self.training))

        def keep(self) -> dict[str, bytes]:
            with tempfile.TemporaryDirectory(prefix="hasten-keras-") as folder:
                path = Path(folder) / KEPT
                self.model.save(path)
                return {KEPT: path.read_bytes()}

    return KerasModel()


def read(path: Path) -> Any:
    """The Keras model in a file, in this process."""
    if not path.is_file():
        raise BadModel(f"Cannot train '{path}': there is no such file. Check the path.")
    if "keras" not in sys.modules:  # its back end is chosen when it is imported
        os.environ["KERAS_BACKEND"] = "torch"
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # which Keras imports where it is there
    import keras

    if keras.backend.backend() != "torch":
        raise Unsupported(
            f"Cannot train a Keras model here: Keras runs on {keras.backend.backend()} in this "
            "process. Set KERAS_BACKEND=torch before Keras is imported."
        )
    return _keras_files.read(path, Source(str(path)))


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
    found: dict[str, str] = {}
    for name in names:
        if match := GENERATOR.search(name):
            numbers = found.setdefault(match[0], f"generator_{len(found)}")
            found[name] = name.replace(match[0], numbers)
    return {name: number for name, number in found.items() if "." in name}


def _ending(made: Any) -> str:
    """The function that a model with one output ends with."""
    outputs = getattr(made, "outputs", None) or ()
    if len(outputs) != 1:
        return ""
    last = outputs[0]._keras_history.operation
    if type(last).__name__ == "Softmax":
        return "softmax"
    return str(getattr(getattr(last, "activation", None), "__name__", ""))


def _alike(taken: Sequence[int | None], shape: Sequence[int]) -> bool:
    return len(taken) == len(shape) and all(
        size is None or size == given for size, given in zip(taken, shape, strict=True)
    )
