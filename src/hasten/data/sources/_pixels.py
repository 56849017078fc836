"""The normalisation of stored pixels, as options of a source."""

from __future__ import annotations

from dataclasses import dataclass

from hasten.errors import BadData
from hasten.types import Normalisation

Numbers = float | tuple[float, ...] | None


@dataclass(frozen=True, kw_only=True)
class PixelOptions:
    """``(x * scale - mean) / std``, as numbers or one number per channel."""

    mean: Numbers = None
    std: Numbers = None
    scale: float | None = None
    """``None``: 1/255."""


def declared(options: PixelOptions, channels: int, axis: int) -> Normalisation | None:
    """The normalisation that the options ask for; ``None`` if none of them is given."""
    if options.mean is None and options.std is None and options.scale is None:
        return None
    mean = _per_channel("mean", 0.0 if options.mean is None else options.mean, channels)
    std = _per_channel("std", 1.0 if options.std is None else options.std, channels)
    if min(std) <= 0:
        raise BadData(f"Cannot normalise with std={_listed(std)}: it must be above 0.")
    return Normalisation(1 / 255 if options.scale is None else options.scale, mean, std, axis)


def _per_channel(key: str, value: Numbers, channels: int) -> tuple[float, ...]:
    values = tuple(map(float, value)) if isinstance(value, tuple | list) else (float(value or 0),)
    if len(values) not in (1, channels):
        raise BadData(
            f"Cannot normalise with {key}={_listed(values)}: give one number, or one for each of "
            f"the {channels} channels."
        )
    return values


def _listed(values: tuple[float, ...]) -> str:
    return ",".join(map(str, values))
