"""Made-up inputs for models that come without data."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from hasten.data.shapes import sample_shape
from hasten.errors import BadData
from hasten.types import BATCH, Data, Spec, TensorSpec

NOTE = (
    "The inputs are synthetic: floats are standard normal, integers uniform within their bounds, "
    "masks all ones. They say nothing about accuracy on real data."
)
SAFE_BOUND = 2
"""Integers without a known bound are 0 or 1: valid in any table of two rows or more."""


def synthetic(
    spec: Spec,
    n: int,
    seed: int = 0,
    bounds: Mapping[str, int] | None = None,
    sizes: Mapping[str, int] | None = None,
) -> Data:
    """``n`` made-up samples for every input of ``spec``; equal arguments give equal samples.

    ``bounds`` gives integer inputs their exclusive upper limit (the rows of the table they look
    up), ``sizes`` the free dimensions other than the batch.
    """
    if n < 1:
        raise BadData(f"Cannot make {n} synthetic samples. Ask for at least 1.")
    known = {BATCH: 1, **(sizes or {})}
    inputs = {}
    for number, tensor in enumerate(spec.inputs):
        shape = (n, *_bound_shape(tensor, spec, known))
        rng = np.random.default_rng([seed, number])
        inputs[tensor.name] = _values(tensor, shape, rng, (bounds or {}).get(tensor.name))
    return Data("synthetic", inputs, source="synthetic", notes=(NOTE,))


def _bound_shape(tensor: TensorSpec, spec: Spec, sizes: Mapping[str, int]) -> tuple[int, ...]:
    shape = sample_shape(tensor, spec)
    for dim in shape:
        if isinstance(dim, str) and dim not in sizes:
            raise BadData(
                f"Cannot make inputs for '{tensor}': dimension '{dim}' is free and no size is "
                f"given. Give one ({dim}=SIZE), or give data."
            )
    return tuple(sizes[dim] if isinstance(dim, str) else dim for dim in shape)


def _values(
    tensor: TensorSpec, shape: tuple[int, ...], rng: np.random.Generator, bound: int | None
) -> np.ndarray:
    try:
        dtype = np.dtype(tensor.dtype)
    except TypeError:
        dtype = np.dtype(object)
    if dtype.kind not in "biuf":
        raise BadData(f"Cannot make inputs for '{tensor}': its values are not numbers. Give data.")
    if "mask" in tensor.name.lower():
        return np.ones(shape, dtype)
    if dtype.kind == "f":
        return rng.standard_normal(shape, np.float32).astype(dtype)
    if dtype.kind == "b":
        return rng.integers(0, 2, shape).astype(bool)
    pixels = 256 if dtype == np.uint8 else SAFE_BOUND
    return rng.integers(0, bound or pixels, shape).astype(dtype)
