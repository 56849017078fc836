"""Operators on every value by itself."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from hasten.graphs.mxnet.operators import OPERATORS, Call, operator

UNARY: dict[str, Callable[[Tensor], Tensor]] = {
    "abs": torch.abs,
    "arccos": torch.acos,
    "arcsin": torch.asin,
    "arctan": torch.atan,
    "ceil": torch.ceil,
    "cos": torch.cos,
    "cosh": torch.cosh,
    "erf": torch.erf,
    "exp": torch.exp,
    "expm1": torch.expm1,
    "floor": torch.floor,
    "log": torch.log,
    "log10": torch.log10,
    "log1p": torch.log1p,
    "log2": torch.log2,
    "logical_not": lambda x: (x == 0).to(x.dtype),
    "negative": torch.neg,
    "ones_like": torch.ones_like,
    "reciprocal": torch.reciprocal,
    "relu": torch.relu,
    "rsqrt": torch.rsqrt,
    "sigmoid": torch.sigmoid,
    "sign": torch.sign,
    "sin": torch.sin,
    "sinh": torch.sinh,
    "softsign": F.softsign,
    "sqrt": torch.sqrt,
    "square": torch.square,
    "tan": torch.tan,
    "tanh": torch.tanh,
    "trunc": torch.trunc,
    "fix": torch.trunc,
    "zeros_like": torch.zeros_like,
}
SAME = ("identity", "_copy", "BlockGrad", "stop_gradient", "make_loss", "MakeLoss", "Dropout")
Both = Callable[[Any, Any], Any]
BINARY: dict[str, Both] = {
    "add": lambda a, b: a + b,
    "plus": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "minus": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "mod": torch.remainder,
    "power": lambda a, b: a**b,
    "maximum": torch.maximum,
    "minimum": torch.minimum,
    "hypot": torch.hypot,
    "equal": lambda a, b: (a == b).to(a.dtype),
    "not_equal": lambda a, b: (a != b).to(a.dtype),
    "greater": lambda a, b: (a > b).to(a.dtype),
    "greater_equal": lambda a, b: (a >= b).to(a.dtype),
    "lesser": lambda a, b: (a < b).to(a.dtype),
    "lesser_equal": lambda a, b: (a <= b).to(a.dtype),
    "logical_and": lambda a, b: ((a != 0) & (b != 0)).to(a.dtype),
    "logical_or": lambda a, b: ((a != 0) | (b != 0)).to(a.dtype),
    "logical_xor": lambda a, b: ((a != 0) ^ (b != 0)).to(a.dtype),
}
OLD = {"_Plus": "add", "_Minus": "sub", "_Mul": "mul", "_Div": "div", "_Power": "power"}
OLD |= {"_Maximum": "maximum", "_Minimum": "minimum", "_plus": "add", "_minus": "sub"}
OLD |= {"_mul": "mul", "_div": "div", "_grad_add": "add"}
SCALAR: dict[str, Callable[[Tensor, float], Tensor]] = {
    "_plus_scalar": lambda x, s: x + s,
    "_minus_scalar": lambda x, s: x - s,
    "_rminus_scalar": lambda x, s: s - x,
    "_mul_scalar": lambda x, s: x * s,
    "_div_scalar": lambda x, s: x / s,
    "_rdiv_scalar": lambda x, s: s / x,
    "_mod_scalar": lambda x, s: torch.remainder(x, s),
    "_power_scalar": lambda x, s: x**s,
    "_rpower_scalar": lambda x, s: torch.pow(s, x),
    "_maximum_scalar": lambda x, s: x.clamp(min=s),
    "_minimum_scalar": lambda x, s: x.clamp(max=s),
    "_equal_scalar": lambda x, s: (x == s).to(x.dtype),
    "_not_equal_scalar": lambda x, s: (x != s).to(x.dtype),
    "_greater_scalar": lambda x, s: (x > s).to(x.dtype),
    "_greater_equal_scalar": lambda x, s: (x >= s).to(x.dtype),
    "_lesser_scalar": lambda x, s: (x < s).to(x.dtype),
    "_lesser_equal_scalar": lambda x, s: (x <= s).to(x.dtype),
}
OLD_SCALAR = {"_PlusScalar": "_plus_scalar", "_MinusScalar": "_minus_scalar"}
OLD_SCALAR |= {"_RMinusScalar": "_rminus_scalar", "_MulScalar": "_mul_scalar"}
OLD_SCALAR |= {"_DivScalar": "_div_scalar", "_RDivScalar": "_rdiv_scalar"}
OLD_SCALAR |= {"_PowerScalar": "_power_scalar", "_RPowerScalar": "_rpower_scalar"}
OLD_SCALAR |= {"_MaximumScalar": "_maximum_scalar", "_MinimumScalar": "_minimum_scalar"}
KINDS = {
    "float16": torch.float16,
    "float32": torch.float32,
    "float64": torch.float64,
    "int8": torch.int8,
    "int32": torch.int32,
    "int64": torch.int64,
    "uint8": torch.uint8,
    "bool": torch.bool,
}


def _register() -> None:
    for kind, step in UNARY.items():
        OPERATORS[kind] = functools.partial(_unary, step)
    for kind in SAME:
        OPERATORS[kind] = lambda call, x: x
    for kind, both in BINARY.items():
        for name in (f"elemwise_{kind}", f"broadcast_{kind}", f"_{kind}"):
            OPERATORS[name] = functools.partial(_binary, both)
    for kind, name in OLD.items():
        OPERATORS[kind] = functools.partial(_binary, BINARY[name])
    for kind, scalar in SCALAR.items():
        OPERATORS[kind] = functools.partial(_with_scalar, scalar)
    for kind, name in OLD_SCALAR.items():
        OPERATORS[kind] = functools.partial(_with_scalar, SCALAR[name])


def _unary(step: Callable[[Tensor], Tensor], call: Call, x: Tensor) -> Tensor:
    return step(x)


def _binary(both: Both, call: Call, a: Tensor, b: Tensor) -> Any:
    return both(a, b)


def _with_scalar(step: Callable[[Tensor, float], Tensor], call: Call, x: Tensor) -> Tensor:
    return step(x, float(call.get("scalar", 0.0))).to(x.dtype)


_register()


@operator("add_n", "ElementWiseSum", "_sum")
def add_n(call: Call, *values: Tensor) -> Tensor:
    return functools.reduce(torch.add, values)


@operator("Activation")
def activation(call: Call, x: Tensor) -> Tensor:
    steps: dict[str, Callable[[Tensor], Tensor]] = {
        "relu": F.relu,
        "sigmoid": torch.sigmoid,
        "tanh": torch.tanh,
        "softrelu": F.softplus,
        "softsign": F.softsign,
        "log_sigmoid": F.logsigmoid,
        "mish": F.mish,
    }
    kind = call.get("act_type")
    if kind not in steps:
        raise call.refuse(f"its act_type is '{kind}'")
    return steps[kind](x)


@operator("LeakyReLU")
def leaky_relu(call: Call, x: Tensor, slopes: Tensor | None = None) -> Tensor:
    kind, slope = call.get("act_type", "leaky"), float(call.get("slope", 0.25))
    if kind == "prelu" and slopes is not None:
        return F.prelu(x, slopes.flatten())
    if kind == "rrelu":  # answering, its mean slope
        slope = (float(call.get("lower_bound", 0.125)) + float(call.get("upper_bound", 0.334))) / 2
        kind = "leaky"
    steps: dict[str, Callable[[], Tensor]] = {
        "leaky": lambda: F.leaky_relu(x, slope),
        "elu": lambda: F.elu(x, slope),
        "selu": lambda: F.selu(x),
        "gelu": lambda: F.gelu(x),
    }
    if kind not in steps:
        raise call.refuse(f"its act_type is '{kind}'")
    return steps[kind]()


@operator("hard_sigmoid")
def hard_sigmoid(call: Call, x: Tensor) -> Tensor:
    return (x * float(call.get("alpha", 0.2)) + float(call.get("beta", 0.5))).clamp(0, 1)


@operator("clip")
def clip(call: Call, x: Tensor) -> Tensor:
    return x.clamp(float(call.get("a_min")), float(call.get("a_max")))


@operator("Cast", "cast", "amp_cast")
def cast(call: Call, x: Tensor) -> Tensor:
    kind = call.get("dtype")
    if kind not in KINDS:
        raise call.refuse(f"its dtype is '{kind}'")
    return x.to(KINDS[kind])


@operator("where")
def where(call: Call, condition: Tensor, a: Tensor, b: Tensor) -> Tensor:
    if condition.ndim == 1 and a.ndim > 1:  # it picks rows
        condition = condition.reshape([-1, *[1] * (a.ndim - 1)])
    return torch.where(condition != 0, a, b)


@operator("smooth_l1")
def smooth(call: Call, x: Tensor) -> Tensor:
    square = float(call.get("scalar", 1.0)) ** 2
    near = 0.5 * square * x.square()
    return torch.where(x.abs() < 1 / square, near, x.abs() - 0.5 / square)


@operator("softmax", "SoftmaxActivation", "log_softmax", "softmin")
def softmax(call: Call, x: Tensor, length: Tensor | None = None) -> Tensor:
    if length is not None or call.flag("use_length", False):
        raise call.refuse("it has lengths")
    axis = call.get("axis", -1)
    if call.kind == "SoftmaxActivation":
        if call.get("mode", "instance") == "channel":
            return x.softmax(1)
        return x.flatten(1).softmax(1).reshape(x.shape)
    temperature = call.get("temperature")
    x = x if temperature in (None, "None") else x / float(temperature)
    if call.kind == "log_softmax":
        return x.log_softmax(axis)
    return (-x if call.kind == "softmin" else x).softmax(axis)


@operator("SoftmaxOutput", "Softmax")
def softmax_output(call: Call, x: Tensor, label: Any = None) -> Tensor:
    if call.flag("multi_output", False):
        return x.softmax(1)
    if call.flag("preserve_shape", False):
        return x.softmax(-1)
    return x.flatten(1).softmax(1).reshape(x.shape)


@operator("LogisticRegressionOutput")
def logistic(call: Call, x: Tensor, label: Any = None) -> Tensor:
    return x.sigmoid()


@operator("LinearRegressionOutput", "MAERegressionOutput")
def linear_output(call: Call, x: Tensor, label: Any = None) -> Tensor:
    return x
