"""Keras models in files, read by Keras itself; its back end must be PyTorch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hasten.errors import BadModel, Untrusted
from hasten.frontends._torch_files import first_line
from hasten.plugin import Source

FILES = (".keras", ".h5", ".hdf5")
ARCHITECTURE = ".json"


def read(path: Path, source: Source) -> Any:
    """The Keras model in a file; this process' Keras must run on PyTorch."""
    import keras

    from hasten.frontends import _keras_old

    try:
        if path.suffix.lower() == ARCHITECTURE:
            return _keras_old.from_architecture(path, source.weights, source.trust)
        if source.weights is not None:
            raise BadModel(
                f"Cannot load weights '{source.weights}' into '{path}': it brings its own. Leave "
                "--weights out."
            )
        if _keras_old.is_old(path):
            return _keras_old.load(path, source.trust)
        return keras.models.load_model(path, compile=False, safe_mode=not source.trust)
    except (BadModel, Untrusted):
        raise
    except Exception as error:
        raise _explained(path, error) from error


def _explained(path: Path, error: Exception) -> Exception:
    """Our error for what Keras says."""
    text = str(error)
    if "safe_mode" in text or "unsafe" in text.lower():
        return Untrusted(
            f"Cannot load '{path}': it holds Python code (a Lambda layer). Pass --trust if you "
            "trust whoever made the file."
        )
    if "Could not locate" in text or "Unknown layer" in text:
        return BadModel(
            f"Cannot load '{path}': it has a class that Keras does not know "
            f"({first_line(error)[:200]}). Import the class in a factory, "
            "package.module:factory, that gives the Keras model."
        )
    return BadModel(f"Cannot load '{path}': {first_line(error)[:300]}.")
