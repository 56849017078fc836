"""Whether arrays fit together, and whether they fit a model."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from hasten.data._storage import blocks, cast
from hasten.data.labels import fit_labels
from hasten.data.random_inputs import synthetic
from hasten.data.shapes import advice, other_layout, sample_shape
from hasten.errors import BadData
from hasten.types import BATCH, Data, Normalisation, Spec, TensorSpec

__all__ = ["check_finite", "consistent", "fit", "synthetic"]

NUMBERS = "biuf"
"""NumPy's kinds of dtypes that can be samples: bool, integers and floats."""


def consistent(data: Data) -> Data:
    """``data`` itself, once its arrays are numbers, agree in length, and its splits are valid."""
    if not data.inputs:
        raise BadData(f"Cannot use '{data.name}': it holds no input arrays.")
    arrays = dict(data.inputs)
    if data.labels is not None:
        arrays["y"] = data.labels
    for name, array in arrays.items():
        _check_numbers(data, name, array)
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"'{name}' has {length}" for name, length in lengths.items())
        raise BadData(
            f"Cannot use '{data.name}': its arrays differ in length ({listed}). "
            "Axis 0 counts samples; give every array one row per sample."
        )
    if len(data) == 0:
        raise BadData(f"Cannot use '{data.name}': it holds no samples.")
    if data.labels is not None:
        check_finite(data, "y", data.labels)
    if data.groups is not None and data.groups.shape != (len(data),):
        raise BadData(
            f"Cannot use the groups of '{data.name}': they have shape {list(data.groups.shape)}, "
            f"and there are {len(data)} samples. Give one name or number per sample."
        )
    _check_splits(data)
    return data


def _check_numbers(data: Data, name: str, array: np.ndarray) -> None:
    if not isinstance(array, np.ndarray) or array.dtype.kind not in NUMBERS:
        kind = getattr(array, "dtype", type(array).__name__)
        raise BadData(
            f"Cannot use array '{name}' of '{data.name}': it holds {kind}, not numbers. "
            "Store booleans, integers or floats."
        )
    if array.ndim == 0:
        raise BadData(
            f"Cannot use array '{name}' of '{data.name}': it is a single number. "
            "Axis 0 counts samples."
        )


def _check_splits(data: Data) -> None:
    taken = np.zeros(len(data), bool)
    for part, index in data.splits.items():
        if index.ndim != 1 or index.dtype.kind not in "iu":
            raise BadData(
                f"Cannot use split '{part}' of '{data.name}': give a one-dimensional array of "
                f"sample numbers, not {index.dtype} of shape {index.shape}."
            )
        if len(index) and not 0 <= index.min() <= index.max() < len(data):
            raise BadData(
                f"Cannot use split '{part}' of '{data.name}': its sample numbers run from "
                f"{index.min()} to {index.max()}, but there are {len(data)} samples."
            )
        if taken[index].any() or len(np.unique(index)) < len(index):
            raise BadData(
                f"Cannot use split '{part}' of '{data.name}': it names a sample twice, or one "
                "that another split has. Splits must be disjoint."
            )
        taken[index] = True


def fit(data: Data, spec: Spec) -> Data:
    """``data`` as the model takes it, or ``BadData`` that says what does not fit.

    A single input takes an array of any name. Dtypes are changed only where no information the
    model could use is lost. Arrays with a normalisation stay as they are stored.
    """
    data = laid_out(renamed(consistent(data), spec), spec)
    sizes: dict[str, tuple[int, str]] = {BATCH: (1, "")}
    inputs, kept = {}, {}
    for tensor in spec.inputs:
        array = data.inputs[tensor.name]
        _check_shape(data, tensor, spec, sizes)
        normalisation = _normalisation_for(data, tensor, spec)
        if normalisation:
            kept[tensor.name] = normalisation
        else:
            array = _typed(data, tensor)
        check_finite(data, tensor.name, array)
        inputs[tensor.name] = array
    notes = tuple(dict.fromkeys((*data.notes, *_normalisation_notes(data, kept, spec))))
    return fit_labels(replace(data, inputs=inputs, normalisation=kept, notes=notes), spec)


def renamed(data: Data, spec: Spec) -> Data:
    """``data`` with its arrays named and ordered as the model's inputs."""
    wanted = [tensor.name for tensor in spec.inputs]
    given = dict(data.inputs)
    normalisation = dict(data.normalisation)
    if len(wanted) == len(given) == 1 and set(wanted) != set(given):
        (old,), (new,) = given, wanted
        given = {new: given[old]}
        normalisation = {new: normalisation[old]} if old in normalisation else {}
    missing = [name for name in wanted if name not in given]
    extra = [name for name in given if name not in wanted]
    if missing or extra:
        raise BadData(_names_text(data, wanted, missing, extra))
    inputs = {name: given[name] for name in wanted}
    return replace(data, inputs=inputs, normalisation=normalisation)


def laid_out(data: Data, spec: Spec) -> Data:
    """``data`` with the channels of pictures where the model has them; its inputs have their
    names."""
    inputs, scales, notes = dict(data.inputs), dict(data.normalisation), list(data.notes)
    for tensor in spec.inputs:
        name = tensor.name
        if found := other_layout(inputs[name].shape[1:], sample_shape(tensor, spec)):
            axes, told = found
            inputs[name] = inputs[name].transpose(axes)
            notes.append(f"Array '{name}' was transposed from {told}, as the model takes it.")
            if name in scales:
                scales[name] = replace(scales[name], axis=axes.index(scales[name].axis))
    return replace(data, inputs=inputs, normalisation=scales, notes=tuple(dict.fromkeys(notes)))


def _names_text(data: Data, wanted: list[str], missing: list[str], extra: list[str]) -> str:
    lacks = f"it has no {_quoted(missing)}" if missing else ""
    more = f"the model has no input {_quoted(extra)}" if extra else ""
    pairs = [(name, difflib.get_close_matches(name, missing, 1)) for name in extra]
    guesses = [f"rename '{name}' to '{near[0]}'" for name, near in pairs if near]
    todo = "; ".join(guesses) or "name the arrays as the model's inputs, and the labels 'y'"
    return (
        f"Cannot use the arrays of '{data.name}': {' and '.join(filter(None, (lacks, more)))}. "
        f"The model's inputs are {_quoted(wanted)}: {todo}."
    )


def _quoted(names: list[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)


def _check_shape(
    data: Data, tensor: TensorSpec, spec: Spec, sizes: dict[str, tuple[int, str]]
) -> None:
    """Every dimension as fixed, and free ones alike over all inputs; ``sizes`` remembers them."""
    array = data.inputs[tensor.name]
    wanted = sample_shape(tensor, spec)
    if not _matches(array.shape[1:], wanted):
        raise BadData(
            f"Cannot use array '{tensor.name}' of '{data.name}': it has shape {array.shape}, the "
            f"model takes {('samples', *wanted)}. {advice(tensor.name, array.shape, wanted)}"
        )
    for size, dim in zip(array.shape[1:], wanted, strict=True):
        if isinstance(dim, str):
            known, owner = sizes.setdefault(dim, (size, tensor.name))
            if known != size:
                where = f"in input '{owner}'" if owner else "without a free batch"
                raise BadData(
                    f"Cannot use array '{tensor.name}' of '{data.name}': dimension '{dim}' is "
                    f"{size} there and {known} {where}. It must be the same everywhere."
                )


def _matches(given: tuple[int, ...], wanted: tuple[int | str, ...]) -> bool:
    return len(given) == len(wanted) and all(
        isinstance(dim, str) or size == dim for size, dim in zip(given, wanted, strict=True)
    )


def _normalisation_for(data: Data, tensor: TensorSpec, spec: Spec) -> Normalisation | None:
    """What turns stored values into this float input: the data's own; for integers, else the
    model's."""
    if _wanted_dtype(data, tensor).kind != "f":
        return None
    stored = data.inputs[tensor.name].dtype.kind in "iu"
    usual = spec.normalisation.get(tensor.name) if stored else None
    return data.normalisation.get(tensor.name) or usual


def _normalisation_notes(data: Data, kept: Mapping[str, Normalisation], spec: Spec) -> list[str]:
    return [
        f"Input '{name}' is normalised as the data declare, not as the model does."
        for name, used in kept.items()
        if spec.normalisation.get(name, used) != used
    ]


def _typed(data: Data, tensor: TensorSpec) -> np.ndarray:
    """The array in the input's dtype, if that loses nothing that matters."""
    array = data.inputs[tensor.name]
    have, want = array.dtype, _wanted_dtype(data, tensor)
    if have == want:
        return array
    why = _why_not(array, want)
    if why:
        raise BadData(
            f"Cannot use array '{tensor.name}' of '{data.name}': it holds {have}, the model takes "
            f"{want}, and {why}"
        )
    return cast(array, want)


def _wanted_dtype(data: Data, tensor: TensorSpec) -> np.dtype:
    try:
        want = np.dtype(tensor.dtype)
    except TypeError:
        want = np.dtype(object)
    if want.kind not in NUMBERS:
        raise BadData(
            f"Cannot use '{data.name}' for input '{tensor.name}': the model takes {tensor.dtype} "
            "there, which is not a kind of number that NumPy holds."
        )
    return want


def _why_not(array: np.ndarray, want: np.dtype) -> str:
    """Why a cast would lose something, with what to do; empty if it would not."""
    have = array.dtype.kind
    if have == "f" and want.kind != "f":
        return f"floats would be cut off. Store whole numbers: x.astype('{want}')."
    if have == "f" or have == "b":
        return ""
    low, high = _bounds(array)
    if want.kind == "b":
        limits = (0, 1)
    elif want.kind == "f":
        if array.dtype == np.uint8:
            return (
                "no normalisation is declared. Store floats as the model takes them, or declare "
                "it: add '?mean=0.5&std=0.5' to a .npz file's name (scale 1/255 comes first)."
            )
        exact = 2 ** (np.finfo(want).nmant + 1)
        limits = (-exact, exact)
    else:
        limits = (int(np.iinfo(want).min), int(np.iinfo(want).max))
    if limits[0] <= low and high <= limits[1]:
        return ""
    return f"its values run from {low} to {high}, beyond {limits[0]} to {limits[1]}. Reduce them."


def _bounds(array: np.ndarray) -> tuple[int, int]:
    lows, highs = zip(*((array[b].min(), array[b].max()) for b in blocks(array)), strict=True)
    return int(min(lows)), int(max(highs))


def check_finite(data: Data, name: str, array: np.ndarray) -> None:
    """Refuse NaN and infinities, naming the first."""
    if array.dtype.kind != "f":
        return
    for block in blocks(array):
        finite = np.isfinite(array[block])
        if finite.all():
            continue
        place = np.unravel_index(int(np.argmin(finite)), finite.shape)
        where = (int(place[0]) + block.start, *map(int, place[1:]))
        raise BadData(
            f"Cannot use array '{name}' of '{data.name}': value {array[where]} at index {where}"
            f"{_overflow(data, name, where)}. Remove or mend such samples."
        )


def _overflow(data: Data, name: str, where: tuple[int, ...]) -> str:
    """Says so where the stored value is finite and only the model's dtype cannot hold it."""
    stored = data.inputs.get(name)
    if stored is None or not np.isfinite(stored[where]):
        return ""
    return f" ({stored[where]} as stored is beyond what the model's dtype holds)"
