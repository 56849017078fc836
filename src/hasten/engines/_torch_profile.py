"""What PyTorch really ran: kernels, their arithmetic, time and multiply-adds.

**Source:** ``torch.profiler`` with ``record_shapes`` in PyTorch 2.13: the Kineto events carry the
shapes, dtypes and plain values of an operator's arguments. Operators call operators; the
multiply-adds come from the outermost one that is known here, the precision from the innermost
(autocast calls ``linear`` in f32, which calls ``linear`` in bf16).
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from hasten.types import Kernel

WARM_UP_CALLS = 2
BINARY_ARGUMENTS = 5
"""Arguments of ``mkldnn::_linear_pointwise`` where it also adds or multiplies a second input."""
_PRECISIONS = {
    "float": "f32",
    "c10::BFloat16": "bf16",
    "c10::Half": "f16",
    "double": "f64",
    "signed char": "int8",
    "unsigned char": "int8",
    "int": "int32",
    "long int": "int64",
    "long": "int64",
    "bool": "bool",
}
#: Regions in which the compiler's own loops run, and regions of Python around them.
_COMPILED = "Call CompiledFxGraph"
_AROUND = ("Torch-Compiled", "TorchDynamo", "Pregraph", "AOTDispatcher")

Shape = Sequence[int]


@dataclass
class Event:
    """One operator call; times in nanoseconds. ``device`` is the time of its GPU kernels.

    ``shapes``, ``dtypes`` and ``values`` describe its arguments in order; what does not apply to
    one is empty or ``None``.
    """

    name: str
    start: int
    end: int
    shapes: Sequence[Shape] = ()
    dtypes: Sequence[str] = ()
    values: Sequence[Any] = ()
    thread: int = 0
    device: int = 0
    parts: list[Event] = field(default_factory=list)

    @property
    def precision(self) -> str:
        """That of its first tensor: layers compute in the type of their input."""
        known = [_PRECISIONS[dtype] for dtype in self.dtypes if dtype in _PRECISIONS]
        return known[0] if known else "unknown"

    @property
    def seconds(self) -> float:
        """On the device if it used one, else on the CPU, its parts included."""
        device = self.device + sum(part.device for part in self.descendants())
        return (device or self.end - self.start) * 1e-9

    def descendants(self) -> Iterable[Event]:
        """All operators called by this one."""
        for part in self.parts:
            yield part
            yield from part.descendants()


def record(call: Callable[[], Any], device: str) -> list[Kernel]:
    """The kernels of one call of ``call``."""
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # it prints when it starts and stops
    from torch.profiler import ProfilerActivity, profile

    for _ in range(WARM_UP_CALLS):
        call()
    activities = [ProfilerActivity.CPU]
    activities += [ProfilerActivity.CUDA] if device == "cuda" else []
    with profile(activities=activities, record_shapes=True) as profiler:
        call()
    return kernels(_events(profiler.profiler.kineto_results.events()))


def _events(raw: Iterable[Any]) -> list[Event]:
    """Kineto's CPU events, with the time of the GPU kernels that each of them launched."""
    found: list[Event] = []
    by_correlation: dict[int, Event] = {}
    launched = []
    for item in raw:
        if str(item.device_type()).endswith("CPU"):
            event = Event(
                item.name(),
                item.start_ns(),
                item.start_ns() + item.duration_ns(),
                item.shapes(),
                item.dtypes(),
                item.concrete_inputs(),
                item.start_thread_id(),
            )
            by_correlation[item.correlation_id()] = event
            found.append(event)
        else:
            launched.append(item)
    for item in launched:
        owner = by_correlation.get(item.linked_correlation_id())
        if owner is None:
            begin = item.start_ns()
            owner = Event(item.name(), begin, begin + item.duration_ns(), thread=-1)
            found.append(owner)
        owner.device += item.duration_ns()
    return found


def kernels(events: Iterable[Event]) -> list[Kernel]:
    """Layers one by one in order, everything else summed by operator, the slowest first."""
    layers: list[Kernel] = []
    rest: dict[tuple[str, str], float] = {}
    for event in _nested(events):
        _collect(event, layers, rest)
    summed = [Kernel(op, op, precision, seconds) for (op, precision), seconds in rest.items()]
    return layers + sorted(summed, key=lambda kernel: -kernel.seconds)


def _nested(events: Iterable[Event]) -> list[Event]:
    """The outermost events, each holding those that ran inside it on the same thread."""
    top: list[Event] = []
    open_: list[Event] = []
    for event in sorted(events, key=lambda e: (e.thread, e.start, -e.end)):
        while open_ and (open_[-1].thread != event.thread or open_[-1].end < event.end):
            open_.pop()
        (open_[-1].parts if open_ else top).append(event)
        open_.append(event)
    return top


def _collect(event: Event, layers: list[Kernel], rest: dict[tuple[str, str], float]) -> None:
    if _operator(event) in _COUNTS:
        layers.append(_layer(event))
        return
    for part in event.parts:
        _collect(part, layers, rest)
    own = event.seconds - sum(part.seconds for part in event.parts)
    key = (_label(event), event.precision)
    rest[key] = rest.get(key, 0.0) + max(own, 0.0)


def _operator(event: Event) -> str:
    """``"aten::conv2d"`` is ``conv2d``; PyTorch names mkldnn's in-place forms with a last ``_``."""
    return event.name.rpartition("::")[2]


def _label(event: Event) -> str:
    if _COMPILED in event.name:
        return "fused loops"
    return "framework" if event.name.startswith(_AROUND) else _operator(event).strip("_")


def _layer(event: Event) -> Kernel:
    known = [event, *(part for part in event.descendants() if _operator(part) in _COUNTS)]
    shown = " x ".join(str(list(shape)) for shape in event.shapes[:3] if len(shape) > 1)
    op = _label(event)
    macs = next(filter(None, map(_multiply_adds, known)), 0)
    return Kernel(f"{op} {shown}", op, known[-1].precision, event.seconds, macs)


def _multiply_adds(event: Event) -> int:
    """0 where the arguments do not tell: packed weights, padding given as text."""
    try:
        return _COUNTS[_operator(event)](event)
    except (IndexError, TypeError, ValueError, StopIteration):
        return 0


# --- multiply-adds of operators, from their arguments --------------------------------------------


def _convolution(source: Shape, kernel: Shape, settings: Sequence[Any]) -> int:
    """``settings`` are stride, padding and dilation, each one number or one per axis."""
    space = source[2:]
    stride, padding, dilation = settings
    each = (_spread(value, space) for value in (padding, dilation, stride))
    out = [
        (size + 2 * pad - gap * (taps - 1) - 1) // step + 1
        for size, taps, pad, gap, step in zip(space, kernel[2:], *each, strict=True)
    ]
    return source[0] * math.prod(kernel) * math.prod(out)


def _spread(value: Any, space: Shape) -> list[int]:
    """One number for all axes, or one per axis, as one per axis."""
    given = value if isinstance(value, list) else [value]
    return given if len(given) == len(space) else given * len(space)


def _transposed(event: Event) -> int:
    """Every input value meets its whole kernel: ``(in, out / groups, *size)``."""
    return math.prod(event.shapes[0]) * math.prod(event.shapes[1][1:])


def _plain_convolution(event: Event) -> int:
    return _convolution(event.shapes[0], event.shapes[1], event.values[3:6])


def _aten_convolution(event: Event) -> int:
    return _transposed(event) if event.values[6] else _plain_convolution(event)


def _mkldnn_convolution(event: Event) -> int:
    """``([sum,] x, [other,] weight, bias, padding, stride, dilation, …)``; the last ``_`` of the
    name says that it adds to its first argument."""
    place = next(i for i, value in enumerate(event.values) if isinstance(value, list))
    padding, stride, dilation = event.values[place : place + 3]
    source = event.shapes[1 if event.name.endswith("_") else 0]
    return _convolution(source, event.shapes[place - 2], (stride, padding, dilation))


def _quantised_convolution(event: Event) -> int:
    """``(x, scale, zero, weight, scales, zeros, bias, stride, padding, dilation, …)``."""
    return _convolution(event.shapes[0], event.shapes[3], event.values[7:10])


def _linear(weight: int) -> Callable[[Event], int]:
    """``x @ weight.T``: every input value meets every row of the weight."""
    return lambda event: math.prod(event.shapes[0]) * event.shapes[weight][0]


def _product(left: int, right: int) -> Callable[[Event], int]:
    def count(event: Event) -> int:
        a, b = event.shapes[left], event.shapes[right]
        columns = b[-1] if len(b) > 1 else 1
        shared = math.prod(a[:-2]) if len(a) >= len(b) else math.prod(b[:-2])
        return shared * math.prod(a[-2:]) * columns

    return count


def _attention(event: Event) -> int:
    query, key, value = event.shapes[:3]
    return math.prod(query[:-1]) * key[-2] * (query[-1] + value[-1])


def _recurrent(event: Event) -> int:
    """One layer in one direction over ``(time, batch, features)``."""
    steps = math.prod(event.shapes[0][:2])
    return steps * (math.prod(event.shapes[1]) + math.prod(event.shapes[2]))


def _linear_pointwise(event: Event) -> int:
    """``(x, weight, bias, and three more)``, or ``(x, other, weight, bias, how)``."""
    return _linear(1 if len(event.shapes) > BINARY_ARGUMENTS else 2)(event)


_COUNTS: dict[str, Callable[[Event], int]] = {
    **dict.fromkeys(("conv1d", "conv2d", "conv3d"), _plain_convolution),
    **dict.fromkeys(("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"), _transposed),
    **dict.fromkeys(("convolution", "_convolution"), _aten_convolution),
    "mkldnn_convolution": _mkldnn_convolution,
    "_convolution_pointwise": _mkldnn_convolution,
    "_convolution_pointwise_": _mkldnn_convolution,
    "qconv_pointwise": _quantised_convolution,
    "linear": _linear(1),
    "_linear_pointwise": _linear_pointwise,
    "_mkl_linear": _linear(2),
    "qlinear_pointwise": _linear(3),
    **dict.fromkeys(("mm", "bmm", "matmul"), _product(0, 1)),
    **dict.fromkeys(("addmm", "baddbmm", "addbmm"), _product(1, 2)),
    "scaled_dot_product_attention": _attention,
    "_scaled_dot_product_flash_attention_for_cpu": _attention,
    "_scaled_dot_product_flash_attention": _attention,
    "_scaled_dot_product_efficient_attention": _attention,
    "_scaled_dot_product_cudnn_attention": _attention,
    "mkldnn_rnn_layer": _recurrent,
}
