"""What the profile of a PyTorch call says: multiply-adds, precision and time of every kernel."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import nn

import torch_zoo
from hasten.engines import _torch_profile as profiler
from hasten.engines._torch_profile import Event, kernels
from hasten.types import Kernel


def profiled(module: nn.Module, *inputs: torch.Tensor) -> list[Kernel]:
    module = module.eval()

    def call() -> None:
        with torch.inference_mode():
            module(*inputs)

    return profiler.record(call, "cpu")


@pytest.mark.parametrize(
    ("module", "shape", "macs"),
    [
        (nn.Conv2d(4, 6, 3, 2, 1, groups=2), (2, 4, 9, 9), 2 * 6 * 5 * 5 * 2 * 9),
        (nn.Conv2d(4, 6, (1, 3), dilation=2), (1, 4, 9, 9), 6 * 9 * 5 * 4 * 3),
        (nn.Conv2d(4, 6, 3, padding="same"), (1, 4, 9, 9), 6 * 81 * 4 * 9),
        (nn.Conv1d(4, 6, 3), (2, 4, 9), 2 * 6 * 7 * 4 * 3),
        (nn.ConvTranspose2d(4, 6, 3, 2, groups=2), (1, 4, 5, 5), 4 * 25 * 3 * 9),
        (nn.Linear(7, 3), (2, 5, 7), 2 * 5 * 7 * 3),
        (nn.Linear(7, 3, bias=False), (2, 7), 2 * 7 * 3),
        (nn.LSTM(8, 16, 2, batch_first=True), (2, 5, 8), 2 * 5 * 64 * (8 + 16 + 16 + 16)),
        (nn.GRU(8, 16, batch_first=True), (2, 5, 8), 2 * 5 * 48 * (8 + 16)),
        (torch_zoo.Handmade(), (2, 5, 8), 2 * 5 * 8 * (24 + 5 + 5)),
    ],
    ids=str,
)
def test_multiply_adds_of_real_layers(module: nn.Module, shape: tuple[int, ...], macs: int) -> None:
    found = profiled(module, torch.randn(shape))
    assert sum(kernel.macs for kernel in found) == macs
    assert {kernel.precision for kernel in found if kernel.macs} == {"f32"}
    assert all(kernel.seconds >= 0 for kernel in found)


def test_attention_counts_both_products() -> None:
    class Attend(nn.Module):
        def forward(self, q: torch.Tensor, kv: torch.Tensor) -> torch.Tensor:
            return nn.functional.scaled_dot_product_attention(q, kv, kv)

    found = profiled(Attend(), torch.randn(2, 3, 5, 8), torch.randn(2, 3, 7, 8))
    assert sum(kernel.macs for kernel in found) == 2 * 3 * 5 * 7 * 16


def call(name: str, start: int, end: int, *arguments: tuple[Any, str, Any], **more: Any) -> Event:
    shapes, dtypes, values = zip(*arguments, strict=True) if arguments else ((), (), ())
    return Event(name, start, end, shapes, dtypes, values, **more)


X, OTHER = ([2, 4], "float", None), ([2, 3], "float", None)
WEIGHT, BIAS, TEXT = ([3, 4], "float", None), ([3], "float", None), ([], "", None)
IMAGE, KERNEL = ([1, 4, 8, 8], "c10::BFloat16", None), ([6, 4, 3, 3], "c10::BFloat16", None)
SUM = ([1, 6, 8, 8], "c10::BFloat16", None)
ONES = ([], "ScalarList", [1, 1])
HOW = (BIAS, ONES, ONES, ONES)


@pytest.mark.parametrize(
    ("event", "macs"),
    [
        (call("mkldnn::_linear_pointwise", 0, 9, X, WEIGHT, BIAS, TEXT, TEXT, TEXT), 24),
        (call("mkldnn::_linear_pointwise", 0, 9, X, OTHER, WEIGHT, BIAS, TEXT), 24),
        (call("mkl::_mkl_linear", 0, 9, X, ([99, 1], "float", None), WEIGHT, BIAS), 24),
        (
            call("mkldnn::_convolution_pointwise", 0, 9, IMAGE, KERNEL, *HOW),
            6 * 64 * 36,
        ),
        (
            call(
                "mkldnn::_convolution_pointwise", 0, 9, IMAGE, SUM, KERNEL, BIAS, ONES, ONES, ONES
            ),
            6 * 64 * 36,
        ),
        (
            call(
                "mkldnn::_convolution_pointwise_", 0, 9, SUM, IMAGE, KERNEL, BIAS, ONES, ONES, ONES
            ),
            6 * 64 * 36,
        ),
        (call("onednn::qlinear_pointwise", 0, 9, X, TEXT, TEXT, WEIGHT), 24),
        (call("mkldnn::_linear_pointwise", 0, 9, X, TEXT, TEXT, TEXT, TEXT, TEXT), 0),
    ],
)
def test_multiply_adds_of_fused_kernels(event: Event, macs: int) -> None:
    (kernel,) = kernels([event])
    assert kernel.macs == macs


def test_int8_inputs_are_int8_kernels() -> None:
    x = ([2, 4], "unsigned char", None)
    (kernel,) = kernels([call("onednn::qlinear_pointwise", 0, 9, x, TEXT, TEXT, WEIGHT)])
    assert kernel.precision == "int8"


def test_the_innermost_call_tells_the_precision_and_the_outermost_the_shapes() -> None:
    low = ([2, 4], "c10::BFloat16", None), ([3, 4], "c10::BFloat16", None)
    events = [
        call("aten::linear", 0, 100, X, WEIGHT),
        call("aten::to", 5, 15, X),
        call("aten::linear", 20, 90, *low),
        call("aten::addmm", 30, 80, ([3], "c10::BFloat16", None), low[0], low[1]),
    ]
    (kernel,) = kernels(reversed(events))
    assert (kernel.op, kernel.precision, kernel.macs) == ("linear", "bf16", 24)
    assert kernel.seconds == pytest.approx(100e-9)
    assert kernel.name == "linear [2, 4] x [3, 4]"


def test_time_is_counted_once_whatever_calls_what() -> None:
    events = [
        call("Torch-Compiled Region: 0/0", 0, 100),
        call("## Call CompiledFxGraph None ##", 10, 90),
        call("mkldnn::_linear_pointwise", 20, 50, X, WEIGHT, BIAS, TEXT, TEXT, TEXT),
        call("aten::empty", 25, 30),
        call("aten::add", 60, 70, X),
        call("aten::add", 0, 40, X, thread=2),
    ]
    found = {kernel.op: kernel.seconds * 1e9 for kernel in kernels(events)}
    assert found == pytest.approx(
        {"linear_pointwise": 30, "framework": 20, "fused loops": 40, "add": 50}
    )


# --- GPU events ----------------------------------------------------------------------------------


@dataclass
class Raw:
    """A Kineto event, as far as it is read."""

    title: str
    begin: int
    length: int
    kind: str = "DeviceType.CPU"
    correlation: int = 0
    linked: int = 0
    described: dict[str, Any] = field(default_factory=dict)

    def name(self) -> str:
        return self.title

    def start_ns(self) -> int:
        return self.begin

    def duration_ns(self) -> int:
        return self.length

    def device_type(self) -> str:
        return self.kind

    def correlation_id(self) -> int:
        return self.correlation

    def linked_correlation_id(self) -> int:
        return self.linked

    def start_thread_id(self) -> int:
        return 1

    def shapes(self) -> list[Any]:
        return self.described.get("shapes", [])

    def dtypes(self) -> list[str]:
        return self.described.get("dtypes", [])

    def concrete_inputs(self) -> list[Any]:
        return self.described.get("values", [])


def test_gpu_time_goes_to_the_operator_that_launched_it() -> None:
    described = {"shapes": [[3], [2, 4], [4, 3]], "dtypes": ["c10::Half"] * 3, "values": [None] * 3}
    raw = [
        Raw("aten::addmm", 0, 10, correlation=7, described=described),
        Raw("sgemm", 5, 400, "DeviceType.CUDA", linked=7),
        Raw("reduce", 405, 100, "DeviceType.CUDA", linked=7),
        Raw("replayed kernel", 600, 50, "DeviceType.CUDA", linked=99),
    ]
    layer, rest = kernels(profiler._events(raw))
    assert (layer.precision, layer.macs) == ("f16", 24)
    assert math.isclose(layer.seconds, 500e-9)
    assert (rest.op, rest.precision) == ("replayed kernel", "unknown")
    assert math.isclose(rest.seconds, 50e-9)
