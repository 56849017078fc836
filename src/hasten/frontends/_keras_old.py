"""What Keras 2 wrote, in the words of Keras 3.

**Source:** Keras 2.15 (tf-keras) and Keras 3.15, whose own reader of old files knows most layers
but stumbles over settings that were dropped since.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hasten.errors import BadModel, Untrusted

DROPPED = {
    "BatchNormalization": ("fused", "renorm", "renorm_clipping", "renorm_momentum", "adjustment",
                           "virtual_batch_size"),
    "Bidirectional": (),
    "ConvLSTM2D": ("time_major",),
    "DepthwiseConv2D": ("groups", "filters", "kernel_initializer_", "kernel_regularizer_"),
    "GRU": ("time_major", "implementation"),
    "InputLayer": ("ragged", "sparse", "type_spec"),
    "LSTM": ("time_major", "implementation"),
    "RNN": ("time_major",),
    "SimpleRNN": ("time_major",),
}  # fmt: skip
"""Settings that layers have no more, by class."""
RENAMED = {"Model": "Functional"}
CODE = ("Lambda", "TFOpLambda", "SlicingOpLambda")


def is_old(path: Path) -> bool:
    """Whether Keras 2 wrote a file."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as kept:
            try:
                version = json.loads(kept.read("metadata.json")).get("keras_version", "3")
            except (KeyError, ValueError) as error:
                raise BadModel(f"Cannot read model '{path}': it is no .keras file.") from error
        return str(version).startswith("2.")
    import h5py

    try:
        with h5py.File(path, "r") as kept:
            version = kept.attrs.get("keras_version", b"3")
    except OSError as error:
        raise BadModel(
            f"Cannot read model '{path}': it is no .keras or .h5 file, or only a part of one."
        ) from error
    version = version.decode() if isinstance(version, bytes) else str(version)
    return not version.startswith("3")


def load(path: Path, trust: bool) -> Any:
    """The model of an ``.h5`` or ``.keras`` file of Keras 2."""
    if zipfile.is_zipfile(path):
        return _from_zip(path, trust)
    import h5py

    with h5py.File(path, "r") as kept:
        if "model_config" not in kept.attrs:
            raise BadModel(
                f"Cannot load '{path}': it holds weights alone. Give the architecture, a .json, "
                f"with --weights {path.name}."
            )
        raw = kept.attrs["model_config"]
        made = _built(json.loads(raw.decode() if isinstance(raw, bytes) else raw), path, trust)
        _fill(made, kept)
    return made


def from_architecture(path: Path, weights: str | None, trust: bool) -> Any:
    """The model of a ``.json`` with the weights of an ``.h5``."""
    import h5py

    if weights is None:
        raise BadModel(
            f"Cannot load '{path}': it holds the architecture alone. Give the weights, an .h5, "
            "with --weights."
        )
    try:
        config = json.loads(path.read_text())
    except ValueError as error:
        raise BadModel(f"Cannot read '{path}': it is no JSON file.") from error
    made = _built(config, path, trust)
    if weights.endswith(".weights.h5") and not _has_layer_names(Path(weights)):
        made.load_weights(weights)
        return made
    with h5py.File(weights, "r") as kept:
        _fill(made, kept)
    return made


def _has_layer_names(path: Path) -> bool:
    import h5py

    with h5py.File(path, "r") as kept:
        return "layer_names" in kept.attrs or "model_weights" in kept


def _built(config: Any, path: Path, trust: bool) -> Any:
    from keras.src.legacy.saving import saving_utils
    from keras.src.saving.serialization_lib import SafeModeScope

    code = sorted({name for name in _classes(config) if name in CODE})
    if code and not trust:
        raise Untrusted(
            f"Cannot load '{path}': it holds Python code ({', '.join(code)}). Pass --trust if you "
            "trust whoever made the file."
        )
    with SafeModeScope(not trust):
        return saving_utils.model_from_config(renewed(config))


def _classes(config: Any) -> Iterator[str]:
    if isinstance(config, dict):
        if isinstance(config.get("class_name"), str):
            yield config["class_name"]
        for value in config.values():
            yield from _classes(value)
    elif isinstance(config, list):
        for value in config:
            yield from _classes(value)


def renewed(config: Any) -> Any:
    """A configuration in the words of today."""
    if isinstance(config, list):
        return [renewed(one) for one in config]
    if not isinstance(config, dict):
        return config
    if config.get("class_name") == "Sequential" and isinstance(config.get("config"), list):
        # Up to Keras 2.2.2 its configuration was the list of its layers.
        config = {**config, "config": {"name": "sequential", "layers": config["config"]}}
    if "class_name" in config and isinstance(config.get("config"), dict):
        config = {**config, "config": dict(config["config"])}
        kind, inner = config["class_name"], config["config"]
        for name in DROPPED.get(kind, ()):
            inner.pop(name, None)
        if kind == "InputLayer" and "batch_input_shape" in inner:
            inner["batch_shape"] = inner.pop("batch_input_shape")
        if kind == "BatchNormalization" and isinstance(inner.get("axis"), list):
            (inner["axis"],) = inner["axis"]
        config["class_name"] = RENAMED.get(kind, kind)
    return {key: renewed(value) for key, value in config.items()}


def _fill(made: Any, kept: Any) -> None:
    from keras.src.legacy.saving import legacy_h5_format

    group = kept.get("model_weights", kept)
    legacy_h5_format.load_weights_from_hdf5_group(group, made)


def _from_zip(path: Path, trust: bool) -> Any:
    """A ``.keras`` file of Keras 2.12 to 2.15: weights lie by layer and number."""
    import io

    import h5py

    with zipfile.ZipFile(path) as kept:
        made = _built(json.loads(kept.read("config.json")), path, trust)
        with h5py.File(io.BytesIO(kept.read("model.weights.h5")), "r") as weights:
            _fill_by_place(made, weights, path)
    return made


def _fill_by_place(made: Any, weights: Any, path: Path) -> None:
    """Layers of one class are numbered in the order of the model, whatever their names are."""
    root = next((weights[n] for n in ("_layer_checkpoint_dependencies", "layers") if n in weights),
                None)  # fmt: skip
    if root is None:
        raise BadModel(f"Cannot load '{path}': its weights are in no order that is known.")
    _fill_layers(made.layers, root, path)


def _fill_layers(layers: Any, group: Any, path: Path) -> None:
    from keras.src.utils.naming import to_snake_case

    seen: dict[str, int] = {}
    for layer in layers:
        base = to_snake_case(type(layer).__name__)
        count = seen.get(base, 0)
        seen[base] = count + 1
        name = f"{base}_{count}" if count else base
        if layer.weights:
            if name not in group:
                raise BadModel(f"Cannot load '{path}': layer '{layer.name}' has no weights in it.")
            _fill_layer(layer, group[name], path)


def _fill_layer(layer: Any, group: Any, path: Path) -> None:
    """The layer's own variables, and those of the layers that it keeps, each under the name of the
    attribute that keeps it: alphabetical order is not theirs."""
    import numpy as np

    own = [*layer._trainable_variables, *layer._non_trainable_variables]
    kept = group.get("vars", {})
    arrays = [np.asarray(kept[key]) for key in sorted(kept, key=int)]
    if arrays:
        if [array.shape for array in arrays] != [tuple(one.shape) for one in own]:
            raise BadModel(
                f"Cannot load '{path}': the weights of layer '{layer.name}' have other shapes than "
                "it."
            )
        for variable, array in zip(own, arrays, strict=True):
            variable.assign(array)
    for name in group:
        if name == "vars" or not hasattr(group[name], "keys"):
            continue
        if name in ("layers", "_layer_checkpoint_dependencies"):
            _fill_layers(layer.layers, group[name], path)
            continue
        inner = getattr(layer, name, None)
        if inner is None and len(group[name]):
            raise BadModel(f"Cannot load '{path}': layer '{layer.name}' has no part '{name}'.")
        if inner is not None and hasattr(inner, "weights") and inner.weights:
            _fill_layer(inner, group[name], path)
