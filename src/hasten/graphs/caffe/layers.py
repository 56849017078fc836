"""The layers: each takes its parameters, the values of its bottoms, and its weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from hasten.errors import Unsupported
from hasten.graphs.caffe.text import Message

Function = Callable[["Layer", Sequence[Tensor], Sequence[Tensor]], Any]
LAYERS: dict[str, Function] = {}


@dataclass(frozen=True)
class Layer:
    """One layer: its name, its type as of today, and its parameters."""

    name: str
    kind: str
    message: Message
    tops: int = 1

    def parameters(self, name: str) -> Parameters:
        """The message of that name, empty where it is left out."""
        found = self.message.get(name, [{}])[-1]
        return Parameters(found if isinstance(found, dict) else {})

    def refuse(self, why: str) -> Unsupported:
        """The error for what this layer does not do here."""
        return Unsupported(f"Layer '{self.name}' ({self.kind}) is not supported: {why}.")


class Parameters:
    """A message with Caffe's defaults."""

    def __init__(self, message: Message) -> None:
        self.message = message

    def one(self, name: str, default: Any = None) -> Any:
        return self.message.get(name, [default])[-1]

    def all(self, name: str, default: Sequence[Any] = ()) -> list[Any]:
        return list(self.message.get(name, default))

    def both(self, name: str, default: int, repeated: str | None = None) -> tuple[int, int]:
        """Height and width: ``NAME_h`` and ``NAME_w``, or one or two numbers."""
        if f"{name}_h" in self.message or f"{name}_w" in self.message:
            return self.one(f"{name}_h", default), self.one(f"{name}_w", default)
        found = self.all(repeated or name, [default])
        return (found[0], found[0]) if len(found) == 1 else (found[0], found[1])


def layer(*kinds: str) -> Callable[[Function], Function]:
    """Registers the function for these types."""

    def register(function: Function) -> Function:
        LAYERS.update(dict.fromkeys(kinds, function))
        return function

    return register


# --- with weights ---------------------------------------------------------------------------------


@layer("Convolution", "ConvolutionDepthwise", "DepthwiseConvolution")
def convolution(own: Layer, x: Sequence[Tensor], w: Sequence[Tensor]) -> Any:
    p = own.parameters("convolution_param")
    outputs, kernel = p.one("num_output"), p.both("kernel", 1, "kernel_size")
    group = p.one("group", 1) if own.kind == "Convolution" else x[0].shape[1]
    weight, bias = w[0].reshape(outputs, -1, *kernel), w[1].flatten() if len(w) > 1 else None
    settings = p.both("stride", 1), p.both("pad", 0), p.both("dilation", 1)
    found = tuple(F.conv2d(one, weight, bias, *settings, group) for one in x)
    return found if len(found) > 1 else found[0]


@layer("Deconvolution")
def deconvolution(own: Layer, x: Sequence[Tensor], w: Sequence[Tensor]) -> Tensor:
    p = own.parameters("convolution_param")
    outputs, group = p.one("num_output"), p.one("group", 1)
    kernel = p.both("kernel", 1, "kernel_size")
    weight = w[0].reshape(-1, outputs // group, *kernel)
    bias = w[1].flatten() if len(w) > 1 else None
    stride, pad, apart = p.both("stride", 1), p.both("pad", 0), p.both("dilation", 1)
    return F.conv_transpose2d(x[0], weight, bias, stride, pad, 0, group, apart)


@layer("InnerProduct")
def inner_product(own: Layer, x: Sequence[Tensor], w: Sequence[Tensor]) -> Tensor:
    p = own.parameters("inner_product_param")
    outputs, bias = p.one("num_output"), w[1].flatten() if len(w) > 1 else None
    weight = w[0].reshape(-1, outputs).T if p.one("transpose", False) else w[0].reshape(outputs, -1)
    return F.linear(x[0].flatten(p.one("axis", 1)), weight, bias)


@layer("Embed")
def embed(own: Layer, x: Sequence[Tensor], w: Sequence[Tensor]) -> Tensor:
    p = own.parameters("embed_param")
    table = w[0].reshape(p.one("input_dim"), p.one("num_output"))
    found = F.embedding(x[0].long(), table)
    return found + w[1].flatten() if len(w) > 1 else found


@layer("BatchNorm")
def batch_norm(own: Layer, x: Sequence[Tensor], w: Sequence[Tensor]) -> Tensor:
    p = own.parameters("batch_norm_param")
    if len(w) not in (2, 3, 5) or p.one("use_global_stats", True) is False:
        raise own.refuse(f"it has {len(w)} blobs, or uses the statistics of the batch")
    # The third blob counts how often the moving sums were added to.
    times = w[2].flatten() if len(w) > 2 else torch.ones(1)
    share = torch.where(times == 0, times, 1 / times).detach()
    mean, variance = (one.flatten().detach() * share for one in w[:2])
    # NVIDIA's Caffe keeps scale and shift behind them.
    scale, shift = (one.flatten() for one in w[3:]) if len(w) == 5 else (None, None)
    return F.batch_norm(x[0], mean, variance, scale, shift, False, 0.0, p.one("eps", 1e-5))


@layer("BN")
def fused_batch_norm(own: Layer, x: Sequence[Tensor], w: Sequence[Tensor]) -> Tensor:
    """Of SegNet and others: scale, shift, mean and variance (or its inverse root) in four blobs."""
    if len(w) != 4:
        raise own.refuse(f"it has {len(w)} blobs, not four")
    scale, shift, mean, variance = (one.flatten() for one in w)
    epsilon = own.parameters("bn_param").one("eps", 1e-5)
    return F.batch_norm(x[0], mean.detach(), variance.detach(), scale, shift, False, 0.0, epsilon)


def _along(x: Tensor, factor: Tensor, axis: int, count: int) -> Tensor:
    """``factor`` in the shape that stands at ``axis`` of ``x``."""
    axis %= x.ndim
    shape = list(factor.shape) if count < 0 else list(factor.shape)[-count:] if count else []
    return factor.reshape([*[1] * axis, *shape, *[1] * (x.ndim - axis - len(shape))])


@layer("Scale")
def scale(own: Layer, x: Sequence[Tensor], w: Sequence[Tensor]) -> Tensor:
    p = own.parameters("scale_param")
    axis, count = p.one("axis", 1), p.one("num_axes", 1)
    if len(x) > 1:
        found, rest = x[0] * _along(x[0], x[1], axis, -1), list(w)
    else:
        found, rest = x[0] * _along(x[0], _vector(w[0], count), axis, count), list(w[1:])
    return found + _along(x[0], _vector(rest[0], count), axis, count) if rest else found


@layer("Bias")
def bias(own: Layer, x: Sequence[Tensor], w: Sequence[Tensor]) -> Tensor:
    p = own.parameters("bias_param")
    axis, count = p.one("axis", 1), p.one("num_axes", 1)
    if len(x) > 1:
        return x[0] + _along(x[0], x[1], axis, -1)
    return x[0] + _along(x[0], _vector(w[0], count), axis, count)


def _vector(blob: Tensor, count: int) -> Tensor:
    """A blob that old files keep as ``(1, 1, 1, n)``."""
    return blob.flatten() if count == 1 else blob


@layer("PReLU")
def prelu(own: Layer, x: Sequence[Tensor], w: Sequence[Tensor]) -> Tensor:
    return F.prelu(x[0], w[0].flatten())


@layer("Normalize")
def normalize(own: Layer, x: Sequence[Tensor], w: Sequence[Tensor]) -> Tensor:
    p = own.parameters("norm_param")
    axes = [1, 2, 3] if p.one("across_spatial", True) else [1]
    norm = (x[0].square().sum(axes, True) + p.one("eps", 1e-10)).sqrt()
    return x[0] / norm * w[0].reshape([1, -1, 1, 1])


# --- value by value -------------------------------------------------------------------------------


@layer("ReLU")
def relu(own: Layer, x: Sequence[Tensor], w: Sequence[Tensor]) -> Tensor:
    slope = own.parameters("relu_param").one("negative_slope", 0.0)
    return F.leaky_relu(x[0], slope) if slope else F.relu(x[0])


@layer("ReLU6")
def relu6(own: Layer, x: Sequence[Tensor], w: Sequence[Tensor]) -> Tensor:
    return F.relu6(x[0])


@layer("ELU")
def elu(own: Layer, x: Sequence[Tensor], w: Sequence[Tensor]) -> Tensor:
    return F.elu(x[0], own.parameters("elu_param").one("alpha", 1.0))


@layer("Sigmoid")
def sigmoid(own: Layer, x: Sequence[Tensor], w: Sequence[Tensor]) -> Tensor:
    return x[0].sigmoid()


@layer("TanH")
def tanh(own: Layer, x: Sequence[Tensor], w: Sequence[Tensor]) -> Tensor:
    return x[0].tanh()


@layer("Swish")
def swish(own: Layer, x: Sequence[Tensor], w: Sequence[Tensor]) -> Tensor:
    return x[0] * torch.sigmoid(x[0] * own.parameters("swish_param").one("beta", 1.0))


@layer("AbsVal")
def absolute(own: Layer, x: Sequence[Tensor], w: Sequence[Tensor]) -> Tensor:
    return x[0].abs()


@layer("BNLL")
def bnll(own: Layer, x: Sequence[Tensor], w: Sequence[Tensor]) -> Tensor:
    return F.softplus(x[0])


@layer("Power")
def power(own: Layer, x: Sequence[Tensor], w: Sequence[Tensor]) -> Tensor:
    p = own.parameters("power_param")
    inside = p.one("shift", 0.0) + p.one("scale", 1.0) * x[0]
    exponent = p.one("power", 1.0)
    return inside if exponent == 1 else inside**exponent


@layer("Exp")
def exponential(own: Layer, x: Sequence[Tensor], w: Sequence[Tensor]) -> Tensor:
    p = own.parameters("exp_param")
    inside = p.one("shift", 0.0) + p.one("scale", 1.0) * x[0]
    base = p.one("base", -1.0)
    return inside.exp() if base <= 0 else torch.pow(float(base), inside)


@layer("Log")
def logarithm(own: Layer, x: Sequence[Tensor], w: Sequence[Tensor]) -> Tensor:
    p = own.parameters("log_param")
    found = (p.one("shift", 0.0) + p.one("scale", 1.0) * x[0]).log()
    base = p.one("base", -1.0)
    return found if base <= 0 else found / torch.log(torch.tensor(float(base)))


@layer("Threshold")
def threshold(own: Layer, x: Sequence[Tensor], w: Sequence[Tensor]) -> Tensor:
    return (x[0] > own.parameters("threshold_param").one("threshold", 0.0)).to(x[0].dtype)


@layer("Clip")
def clip(own: Layer, x: Sequence[Tensor], w: Sequence[Tensor]) -> Tensor:
    p = own.parameters("clip_param")
    return x[0].clamp(p.one("min"), p.one("max"))


@layer("Dropout")
def dropout(own: Layer, x: Sequence[Tensor], w: Sequence[Tensor]) -> Tensor:
    return x[0]


@layer("Split")
def copies(own: Layer, x: Sequence[Tensor], w: Sequence[Tensor]) -> tuple[Tensor, ...]:
    return (x[0],) * own.tops


@layer("Silence")
def silence(own: Layer, x: Sequence[Tensor], w: Sequence[Tensor]) -> tuple[Tensor, ...]:
    return ()


@layer("Softmax")
def softmax(own: Layer, x: Sequence[Tensor], w: Sequence[Tensor]) -> Tensor:
    return x[0].softmax(own.parameters("softmax_param").one("axis", 1))


@layer("Eltwise")
def eltwise(own: Layer, x: Sequence[Tensor], w: Sequence[Tensor]) -> Tensor:
    p = own.parameters("eltwise_param")
    how, factors = p.one("operation", "SUM"), p.all("coeff") or [1] * len(x)
    found = x[0] if how not in ("SUM", 1) or factors[0] == 1 else x[0] * factors[0]
    for value, factor in zip(x[1:], factors[1:], strict=False):
        if how in ("PROD", 0):
            found = found * value
        elif how in ("MAX", 2):
            found = torch.maximum(found, value)
        elif how not in ("SUM", 1):
            raise own.refuse(f"its operation is {how}")
        else:
            found = found + (value if factor == 1 else value * factor)
    return found
