"""Windows and Fourier transforms."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from hasten.graphs.module import number
from hasten.graphs.onnx import Call, operator
from hasten.graphs.onnx.kinds import torch_kind

WINDOWS = {
    "HannWindow": (0.5, 0.5, 0.0),
    "HammingWindow": (25 / 46, 21 / 46, 0.0),
    "BlackmanWindow": (0.42, 0.5, 0.08),
}


@operator(*WINDOWS, host=(0,))
def window(call: Call, size: Any) -> Tensor:
    count = int(number(size))
    period = count if call.get("periodic", 1) else count - 1
    angle = torch.arange(count, dtype=torch.float64) * (2 * math.pi / period)
    a, b, c = WINDOWS[call.kind]
    values = a - b * torch.cos(angle) + c * torch.cos(2 * angle)
    return values.to(torch_kind(call, call.get("output_datatype", 1)))


@operator("DFT", host=(1, 2))
def fourier(call: Call, x: Tensor, length: Any = None, axis: Any = None) -> Tensor:
    along = (
        int(number(axis)) if axis is not None else call.get("axis", 1 if call.opset < 20 else -2)
    )
    inverse, one_sided = call.get("inverse", 0), call.get("onesided", 0)
    along %= x.ndim
    count = int(number(length)) if length is not None else None
    if inverse and one_sided:
        raise call.refuse("it is inverse and one-sided")
    values = torch.view_as_complex(x.contiguous()) if x.shape[-1] == 2 else x[..., 0]
    if inverse:
        found = torch.fft.ifft(values, count, along)
    else:
        found = torch.fft.fft(values, count, along)
        if one_sided:
            found = found.narrow(along, 0, found.shape[along] // 2 + 1)
    return torch.view_as_real(found).to(x.dtype)


@operator("STFT", host=(1, 3))
def short_time(
    call: Call, x: Tensor, step: Any, shape: Tensor | None = None, length: Any = None
) -> Tensor:
    size = int(number(length)) if length is not None else shape.shape[0]  # type: ignore[union-attr]
    values = x if x.ndim == 2 else x[..., 0] if x.shape[-1] == 1 else torch.view_as_complex(x)
    frames = values.unfold(1, size, int(number(step)))
    frames = frames if shape is None else frames * shape
    found = torch.fft.fft(frames)
    if call.get("onesided", 1):
        found = found[..., : size // 2 + 1]
    return torch.view_as_real(found).to(x.dtype)
