"""What Elemwise applies to every value: Theano's scalar operators, on tensors and on the host."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

Function = Callable[..., Any]


def _all(step: Function) -> Function:
    return lambda *values: functools.reduce(step, values)


def _compared(step: Function) -> Function:
    return lambda a, b: step(a, b)


TENSORS: dict[str, Function] = {
    "Abs": torch.abs,
    "Abs_": torch.abs,
    "Add": _all(torch.add),
    "AND": torch.bitwise_and,
    "ArcCos": torch.acos,
    "ArcCosh": torch.acosh,
    "ArcSin": torch.asin,
    "ArcSinh": torch.asinh,
    "ArcTan": torch.atan,
    "ArcTan2": torch.atan2,
    "ArcTanh": torch.atanh,
    "Ceil": torch.ceil,
    "Clip": lambda x, low, high: torch.minimum(torch.maximum(x, low), high),
    "Cos": torch.cos,
    "Cosh": torch.cosh,
    "EQ": torch.eq,
    "Erf": torch.erf,
    "Erfc": torch.erfc,
    "Exp": torch.exp,
    "Exp2": torch.exp2,
    "Expm1": torch.expm1,
    "Floor": torch.floor,
    "GE": torch.ge,
    "GT": torch.gt,
    "Identity": lambda x: x,
    "Inv": torch.reciprocal,
    "InRange": lambda x, low, high: (x >= low) & (x <= high),
    "IntDiv": lambda a, b: torch.div(a, b, rounding_mode="floor"),
    "Invert": torch.bitwise_not,
    "IsInf": torch.isinf,
    "IsNan": torch.isnan,
    "LE": torch.le,
    "LT": torch.lt,
    "Log": torch.log,
    "Log10": torch.log10,
    "Log1mexp": lambda x: torch.log(-torch.expm1(x)),
    "Log1p": torch.log1p,
    "Log2": torch.log2,
    "Maximum": _all(torch.maximum),
    "Minimum": _all(torch.minimum),
    "Mod": torch.remainder,
    "Mul": _all(torch.mul),
    "NEQ": torch.ne,
    "Neg": torch.neg,
    "OR": torch.bitwise_or,
    "Pow": torch.pow,
    "Reciprocal": torch.reciprocal,
    "RoundHalfToEven": torch.round,
    "ScalarMaximum": _all(torch.maximum),
    "ScalarMinimum": _all(torch.minimum),
    "ScalarSigmoid": torch.sigmoid,
    "ScalarSoftplus": F.softplus,
    "Second": lambda a, b: b.expand(torch.broadcast_shapes(a.shape, b.shape)),
    "Sgn": torch.sign,
    "Sigmoid": torch.sigmoid,
    "Sign": torch.sign,
    "Sin": torch.sin,
    "Sinh": torch.sinh,
    "Softplus": F.softplus,
    "Sqr": torch.square,
    "Sqrt": torch.sqrt,
    "Sub": torch.sub,
    "Switch": lambda c, a, b: torch.where(c != 0, a, b),
    "Tan": torch.tan,
    "Tanh": torch.tanh,
    "TrueDiv": lambda a, b: a / b,
    "TrueDivide": lambda a, b: a / b,
    "UltraFastScalarSigmoid": lambda x: _fast_sigmoid(x),
    "XOR": torch.bitwise_xor,
}


def _fast_sigmoid(x: Tensor) -> Tensor:
    """Theano's piecewise sigmoid."""
    half = 0.5 * x
    size = half.abs()
    low = 1.5 * size / (1 + size)
    middle = 0.935409070603099 + 0.0458812946797165 * (size - 1.7)
    part = torch.where(size < 1.7, low, torch.where(size < 3, middle, 0.99505475368673))
    return 0.5 * (torch.where(half >= 0, part, -part) + 1)


HOST: dict[str, Function] = {
    "Abs": abs,
    "Abs_": abs,
    "Add": _all(operator.add),
    "AND": lambda a, b: a and b,
    "EQ": operator.eq,
    "GE": operator.ge,
    "GT": operator.gt,
    "Identity": lambda x: x,
    "IntDiv": operator.floordiv,
    "LE": operator.le,
    "LT": operator.lt,
    "Maximum": _all(lambda a, b: a if a >= b else b),
    "Minimum": _all(lambda a, b: a if a <= b else b),
    "Mod": operator.mod,
    "Mul": _all(operator.mul),
    "NEQ": operator.ne,
    "Neg": operator.neg,
    "OR": lambda a, b: a or b,
    "ScalarMaximum": _all(lambda a, b: a if a >= b else b),
    "ScalarMinimum": _all(lambda a, b: a if a <= b else b),
    "Second": lambda a, b: b,
    "Sgn": lambda x: (x > 0) - (x < 0),
    "Sign": lambda x: (x > 0) - (x < 0),
    "Sub": operator.sub,
    "Switch": lambda c, a, b: a if c else b,
}
