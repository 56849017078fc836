"""Kinds of numbers: ONNX's codes, NumPy's and PyTorch's."""

from __future__ import annotations

import numpy as np
import torch
from onnx import TensorProto

from hasten.graphs.onnx import Call

TORCH = {
    TensorProto.FLOAT: torch.float32,
    TensorProto.UINT8: torch.uint8,
    TensorProto.INT8: torch.int8,
    TensorProto.UINT16: torch.uint16,
    TensorProto.INT16: torch.int16,
    TensorProto.INT32: torch.int32,
    TensorProto.INT64: torch.int64,
    TensorProto.BOOL: torch.bool,
    TensorProto.FLOAT16: torch.float16,
    TensorProto.DOUBLE: torch.float64,
    TensorProto.UINT32: torch.uint32,
    TensorProto.UINT64: torch.uint64,
    TensorProto.COMPLEX64: torch.complex64,
    TensorProto.COMPLEX128: torch.complex128,
    TensorProto.BFLOAT16: torch.bfloat16,
}
WHOLE = {
    TensorProto.UINT8: np.uint8,
    TensorProto.INT8: np.int8,
    TensorProto.INT16: np.int16,
    TensorProto.INT32: np.int32,
    TensorProto.INT64: np.int64,
    TensorProto.BOOL: np.bool_,
}
FRACTIONS = {TensorProto.FLOAT: np.float32, TensorProto.DOUBLE: np.float64}
"""What host arrays may hold."""


def torch_kind(call: Call, code: int) -> torch.dtype:
    """PyTorch's kind for ONNX's code."""
    if code not in TORCH:
        raise call.refuse(f"it gives {TensorProto.DataType.Name(code)}")
    return TORCH[code]
