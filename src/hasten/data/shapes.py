"""What shape a model wants of one sample, and what to do with an array that differs."""

from __future__ import annotations

import math

from hasten.types import Spec, TensorSpec

Shape = tuple[int | str, ...]
CHANNELS = (1, 3, 4)
"""Of pictures: grey, colour, colour with transparency."""


def leads_with_samples(tensor: TensorSpec, spec: Spec) -> bool:
    """Whether axis 0 of what the model takes counts samples.

    Where some input has a free batch, only inputs that lead with a free dimension do. Where none
    has, the model was exported for one batch size, and every leading dimension does, if they all
    agree; if not (a state beside a signal, say), one sample is one whole call.
    """
    if any(other.batched for other in spec.inputs):
        return bool(tensor.shape) and isinstance(tensor.shape[0], str)
    return bool(tensor.shape) and len({other.shape[0] for other in spec.inputs if other.shape}) == 1


def sample_shape(tensor: TensorSpec, spec: Spec) -> Shape:
    """The shape of one sample in an array ``(samples, ...)`` for this input.

    An input whose leading axis does not count samples (a scalar, a state) is kept whole.
    """
    return tensor.shape[1:] if leads_with_samples(tensor, spec) else tensor.shape


def other_layout(sample: tuple[int, ...], wanted: Shape) -> tuple[tuple[int, ...], str] | None:
    """The order of axes in which pictures ``(samples, ...)`` are what a model takes, with what is
    done, where they have their channels elsewhere."""
    return None if (found := _turned(sample, wanted)) is None or not found[2] else found[:2]


def _turned(sample: tuple[int, ...], wanted: Shape) -> tuple[tuple[int, ...], str, bool] | None:
    """The same for whatever has three axes; last, whether these are surely pictures."""
    if len(sample) == len(wanted) == 3 and not _same(sample, wanted):
        turns = (((2, 0, 1), "NHWC to NCHW", 2), ((1, 2, 0), "NCHW to NHWC", 0))
        for order, told, channels in turns:
            if _same(tuple(sample[axis] for axis in order), wanted):
                axes = (0, *(axis + 1 for axis in order))
                return axes, told, sample[channels] in CHANNELS
    return None


def advice(name: str, given: tuple[int, ...], wanted: Shape) -> str:
    """What to do with an array of shape ``given`` so that each sample is ``wanted``."""
    sample = given[1:]
    if _same(given, wanted):
        return f"Add the axis that counts samples: {name}[None]."
    if turned := _turned(sample, wanted):
        layout = turned[1].partition(" ")[0]
        return f"The array looks like {layout}; transpose it: {name}.transpose{turned[0]}."
    for axis in range(len(wanted)):
        if wanted[axis] == 1 and _same((*sample[:axis], 1, *sample[axis:]), wanted):
            return f"Add an axis: numpy.expand_dims({name}, {axis + 1})."
    return _colour_advice(name, sample, wanted) or _size_advice(name, sample, wanted)


def _colour_advice(name: str, sample: tuple[int, ...], wanted: Shape) -> str:
    """For images that differ only in the number of channels."""
    differing = [i for i, (a, b) in enumerate(zip(sample, wanted, strict=False)) if not _fits(a, b)]
    if len(sample) != 3 or len(wanted) != 3 or differing not in ([0], [2]):
        return ""
    axis = differing[0]
    if (sample[axis], wanted[axis]) == (1, 3):
        return (
            "The array is grayscale, the model takes colour: "
            f"numpy.repeat({name}, 3, axis={axis + 1})."
        )
    if (sample[axis], wanted[axis]) == (3, 1):
        return (
            "The array is in colour, the model takes grayscale: convert the images, as "
            f"{name}.mean(axis={axis + 1}, keepdims=True) does roughly."
        )
    return ""


def _size_advice(name: str, sample: tuple[int, ...], wanted: Shape) -> str:
    fixed = [size for size in wanted if isinstance(size, int)]
    if len(fixed) == len(wanted) and math.prod(sample) == math.prod(fixed):
        return f"Reshape it: {name}.reshape{(-1, *wanted)}."
    if len(sample) == len(wanted):
        return "Resize, crop or pad the samples to that shape."
    return "Store one row per sample, each of that shape."


def _fits(size: int, dim: int | str) -> bool:
    return isinstance(dim, str) or size == dim


def _same(given: tuple[int, ...], wanted: Shape) -> bool:
    return len(given) == len(wanted) and all(map(_fits, given, wanted))
