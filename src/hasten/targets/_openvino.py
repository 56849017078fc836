"""Peaks through OpenVINO's CPU plug-in, whose own profile proves the arithmetic of the kernels.

**Source:** OpenVINO 2026.4 Python API; ``INFERENCE_PRECISION_HINT`` decides bf16 or f32, int8
comes from ``FakeQuantize`` in front of a product with int8 weights.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

import numpy as np

from hasten.targets._jobs import CONVOLUTIONS, Job, Jobs, Request


def products(dtype: str, request: Request) -> Iterator[Job]:
    for side in request.sides:
        model = _model((side, side), [_weight((side, side), dtype)], dtype)
        yield _job(f"matrix product {side}", 2.0 * side**3, model, dtype, request)
    batch = request.threads
    for form in CONVOLUTIONS:
        weights = [_weight((form.channels,) * 2 + (form.kernel,) * 2, dtype)] * form.layers
        model = _model((batch, form.channels, form.image, form.image), weights, dtype)
        yield _job(form.name(batch), form.operations(batch), model, dtype, request)


def _weight(shape: tuple[int, ...], dtype: str) -> Any:
    """Weights as OpenVINO holds them: float, or int8 with one scale per output channel."""
    from openvino import opset13 as op

    rng = np.random.default_rng(0)
    if dtype != "int8":
        return op.constant(rng.random(shape, dtype=np.float32))
    stored = op.constant(rng.integers(-127, 128, shape, dtype=np.int8))
    scale = np.full((shape[0],) + (1,) * (len(shape) - 1), 1e-2, np.float32)
    return op.multiply(op.convert(stored, "f32"), op.constant(scale))


def _model(shape: tuple[int, ...], weights: list[Any], dtype: str) -> Any:
    """Products one after another; in int8 each input is quantised to 256 steps."""
    import openvino
    from openvino import opset13 as op

    x = op.parameter(list(shape), np.float32)
    y: Any = x
    for weight in weights:
        if dtype == "int8":
            low, high = op.constant(np.float32(0)), op.constant(np.float32(1))
            y = op.fake_quantize(y, low, high, low, high, 256)
        if len(shape) == 2:
            y = op.matmul(y, weight, False, True)
        else:
            y = op.convolution(y, weight, [1, 1], [0, 0], [0, 0], [1, 1])
    return openvino.Model([y], [x])


def _job(what: str, amount: float, model: Any, dtype: str, request: Request) -> Job:
    import openvino

    settings = {
        "INFERENCE_PRECISION_HINT": "bf16" if dtype == "bf16" else "f32",
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": request.threads,
    }
    shape = tuple(model.inputs[0].shape)
    x = openvino.Tensor(np.random.default_rng(0).random(shape, dtype=np.float32))

    def compiled(**more: Any) -> Any:
        call = openvino.Core().compile_model(model, "CPU", {**settings, **more})
        call = call.create_infer_request()
        call.set_input_tensor(x)
        return call

    def ran() -> str:
        call = compiled(PERF_COUNT=True)
        call.infer()
        return arithmetic((p.node_type, p.exec_type) for p in call.profiling_info)

    return Job(what, amount, compiled().infer, ran)


def arithmetic(kernels: Iterable[tuple[str, str]]) -> str:
    """The arithmetic of the first product among ``(node type, "brgconv_avx512_I8")`` pairs."""
    for node, kernel in kernels:
        if node.startswith(("Convolution", "FullyConnected", "MatMul")):
            suffix = kernel.rpartition("_")[2].lower()
            return {"i8": "int8", "u8": "int8"}.get(suffix, suffix)
    return ""


QUANTITIES: dict[str, Jobs] = {dtype: partial(products, dtype) for dtype in ("f32", "bf16", "int8")}
