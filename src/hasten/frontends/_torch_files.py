"""Reading PyTorch modules and weights: from importable factories, and from files."""

from __future__ import annotations

import importlib
import logging
import pickle
import sys
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hasten.errors import BadModel, UnknownName, Untrusted

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram

INSTEAD = (
    "Give the module as 'package.module:factory' with --weights FILE (.safetensors or a state "
    "dict), or pass --trust if you trust whoever made the file."
)
WITH_WEIGHTS = "Give the module too: package.module:factory --weights {}"
SHOWN_NAMES = 3


def first_line(error: BaseException) -> str:
    """The type of an error and the first line of its text."""
    text = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


# --- factories -----------------------------------------------------------------------------------


def find_factory(name: str, paths: Sequence[str]) -> Any:
    """The object that ``"package.module:attribute"`` names. ``paths`` are searched first."""
    module_name, _, attribute = name.partition(":")
    sys.path[:0] = [path for path in paths if path not in sys.path]
    importlib.invalidate_caches()
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and f"{module_name}.".startswith(f"{error.name}."):
            where = ", ".join(paths) or "the Python path"
            raise BadModel(
                f"Cannot import '{name}': there is no module '{error.name}' in {where}."
            ) from error
        raise BadModel(f"Cannot import '{name}': {first_line(error)}.") from error
    except Exception as error:
        raise BadModel(f"Cannot import '{name}': {first_line(error)}.") from error
    for part in attribute.split("."):
        if not hasattr(found, part):
            public = [known for known in vars(found) if not known.startswith("_")]
            raise UnknownName.among(f"factory in '{module_name}'", part, public)
        found = getattr(found, part)
    return found


def build(name: str, paths: Sequence[str]) -> tuple[torch.nn.Module, Any]:
    """``(module, example inputs or None)`` from a factory, or from a module kept under a name."""
    made = find_factory(name, paths)
    import torch

    if not isinstance(made, torch.nn.Module) and callable(made):
        try:
            made = made()
        except Exception as error:
            raise BadModel(
                f"Cannot build the model: '{name}' raised {first_line(error)}."
            ) from error
    module, examples = made if isinstance(made, tuple) and len(made) == 2 else (made, None)
    if not isinstance(module, torch.nn.Module):
        raise BadModel(
            f"Cannot use '{name}': it gives a {type(module).__name__}. It must give an nn.Module, "
            "or a tuple (nn.Module, example inputs)."
        )
    return module, examples


# --- weights -------------------------------------------------------------------------------------


def load_weights(module: torch.nn.Module, path: Path, trust: bool) -> None:
    """Put the weights of a file into ``module``; every name and shape must agree."""
    state = _state(path, trust)
    wanted = module.state_dict()
    prefix = "module."  # what DataParallel and DistributedDataParallel put before every name
    if all(key.startswith(prefix) for key in state) and not any(
        k.startswith(prefix) for k in wanted
    ):
        state = {key.removeprefix(prefix): value for key, value in state.items()}
    problems = {
        "lacks": [key for key in wanted if key not in state],
        "has unknown": [key for key in state if key not in wanted],
        "has other shapes for": [
            f"{key} ({list(state[key].shape)}, not {list(wanted[key].shape)})"
            for key in wanted
            if key in state and state[key].shape != wanted[key].shape
        ],
    }
    if any(problems.values()):
        text = "; ".join(f"it {what} {_some(names)}" for what, names in problems.items() if names)
        raise BadModel(f"The weights in '{path}' do not fit the model: {text}.")
    module.load_state_dict(state)


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN_NAMES} more" if len(names) > SHOWN_NAMES else ""
    return ", ".join(names[:SHOWN_NAMES]) + more


def _state(path: Path, trust: bool) -> dict[str, torch.Tensor]:
    """The tensors of a ``.safetensors`` file, or of a checkpoint read without running code."""
    import torch

    _require_file(path)
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return dict(load_file(path))
        except (SafetensorError, OSError) as error:
            raise BadModel(f"Cannot read '{path}': {first_line(error)}.") from error
    held = load_pickle(path, trust)
    if isinstance(held, Mapping) and isinstance(held.get("state_dict"), Mapping):
        held = held["state_dict"]
    if isinstance(held, torch.nn.Module):
        held = held.state_dict()
    if not isinstance(held, Mapping) or not all(
        isinstance(value, torch.Tensor) for value in held.values()
    ):
        raise BadModel(f"Cannot use '{path}' as weights: it holds no state dict.")
    return dict(held)


# --- files that can hold code --------------------------------------------------------------------


def _require_file(path: Path) -> None:
    if not path.is_file():
        raise BadModel(f"Cannot read '{path}': there is no such file.")
    if path.stat().st_size == 0:
        raise BadModel(f"Cannot read '{path}': the file is empty.")


def load_pickle(path: Path, trust: bool) -> Any:
    """What ``torch.save`` wrote; more than tensors and plain containers only with trust."""
    _require_file(path)
    import torch

    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        if "TorchScript" in str(error):
            return _load_script(path, trust)
        if not isinstance(error, pickle.UnpicklingError) or not _is_pickle(path):
            raise BadModel(
                f"Cannot read '{path}': it is damaged, or torch.save did not write it "
                f"({first_line(error)})."
            ) from error
    if not trust:
        raise Untrusted(f"Cannot read '{path}': the pickle in it can run code. {INSTEAD}")
    try:
        return torch.load(path, map_location="cpu", weights_only=False)
    except Exception as error:
        raise BadModel(f"Cannot read '{path}': {first_line(error)}.") from error


def _load_script(path: Path, trust: bool) -> torch.jit.ScriptModule:
    """What ``torch.jit.save`` wrote."""
    if not trust:
        raise Untrusted(f"Cannot read '{path}': TorchScript in it is code. {INSTEAD}")
    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # TorchScript is deprecated, which its users know
            return torch.jit.load(path, map_location="cpu")
    except Exception as error:
        raise BadModel(f"Cannot read '{path}': {first_line(error)}.") from error


def _is_pickle(path: Path) -> bool:
    """Whether a file begins as what ``torch.save`` writes: a zip archive, or a bare pickle."""
    with path.open("rb") as file:
        return file.read(2).startswith((b"PK", b"\x80"))


def load_module(path: Path, trust: bool) -> torch.nn.Module:
    """A whole module that ``torch.save`` wrote."""
    import torch

    if path.suffix == ".safetensors":
        raise BadModel(f"'{path}' holds weights without a model. {WITH_WEIGHTS.format(path)}")
    held = load_pickle(path, trust)
    if isinstance(held, torch.nn.Module):
        return held
    if isinstance(held, Mapping):
        raise BadModel(f"'{path}' holds weights without a model. {WITH_WEIGHTS.format(path)}")
    raise BadModel(f"Cannot use '{path}': it holds a {type(held).__name__}, not an nn.Module.")


def load_program(path: Path, trust: bool) -> ExportedProgram:
    """A ``.pt2`` file. ``torch.export.load`` unpickles parts of it: only with trust."""
    _require_file(path)
    if not zipfile.is_zipfile(path):
        raise BadModel(
            f"Cannot read '{path}': it is damaged, or torch.export.save did not write it."
        )
    if not trust:
        raise Untrusted(
            f"Cannot read '{path}': torch.export.load runs what is pickled in the file. {INSTEAD}"
        )
    import torch

    before = logging.root.manager.disable
    logging.disable(logging.WARNING)  # a damaged file is logged with its traceback
    try:
        return torch.export.load(path)
    except Exception as error:
        raise BadModel(
            f"Cannot read '{path}': it is damaged, or another PyTorch than {torch.__version__} "
            f"wrote it ({first_line(error)})."
        ) from error
    finally:
        logging.disable(before)
