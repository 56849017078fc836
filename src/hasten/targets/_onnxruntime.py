"""Peaks through ONNX Runtime's CPU provider (MLAS): ``MatMul`` and ``MatMulInteger``.

**Source:** ONNX operators of opset 17. ONNX Runtime's CPU provider has no bf16 products.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from hasten.targets._jobs import Job, Jobs, Request


def products(dtype: str, request: Request) -> Iterator[Job]:
    for side in request.sides:
        session, x = _session(dtype, side, request.threads)
        call = partial(session.run, None, {"x": x})
        yield Job(f"matrix product {side}", 2.0 * side**3, call)


def _session(dtype: str, side: int, threads: int) -> tuple[Any, np.ndarray]:
    """A session with one product by a constant matrix, and its other factor."""
    import onnx
    import onnxruntime
    from onnx import helper, numpy_helper

    rng = np.random.default_rng(0)
    if dtype == "int8":
        op, gives = "MatMulInteger", onnx.TensorProto.INT32
        x: np.ndarray = rng.integers(0, 256, (side, side), dtype=np.uint8)
        weight: np.ndarray = rng.integers(-127, 128, (side, side), dtype=np.int8)
    else:
        op, gives = "MatMul", onnx.TensorProto.FLOAT
        x, weight = (rng.random((side, side), dtype=np.float32) for _ in "xw")
    kind = helper.np_dtype_to_tensor_dtype(x.dtype)
    graph = helper.make_graph(
        [helper.make_node(op, ["x", "w"], ["y"])],
        "product",
        [helper.make_tensor_value_info("x", kind, x.shape)],
        [helper.make_tensor_value_info("y", gives, x.shape)],
        [numpy_helper.from_array(weight, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    providers = ["CPUExecutionProvider"]
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers), x


QUANTITIES: dict[str, Jobs] = {dtype: partial(products, dtype) for dtype in ("f32", "int8")}
