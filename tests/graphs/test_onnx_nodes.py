"""Every operator against ONNX's own cases: right, or refused by name; never wrong in silence."""

from __future__ import annotations

import warnings
from functools import cache
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch")
onnx = pytest.importorskip("onnx", reason="needs onnx")

from onnx import inliner  # noqa: E402

from hasten.errors import HastenError  # noqa: E402
from hasten.graphs.module import GraphModule, outward, tensor  # noqa: E402
from hasten.graphs.onnx.build import build  # noqa: E402

LEAST_RIGHT = 0.75
"""Of all cases; the rest is refused."""


@cache
def cases() -> list[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnx.backend.test.case.node import collect_testcases

        return sorted(collect_testcases(None), key=lambda case: case.name)


def values(module: GraphModule, feed: dict[str, Any]) -> dict[str, Any]:
    """Inputs as the module takes them: those that stand where settings stand as constants."""
    settings = {
        node.inputs[place]
        for node in module.nodes
        for place in node.host
        if place < len(node.inputs)
    }
    given: dict[str, Any] = {}
    for name, value in feed.items():
        if name in settings and isinstance(value, np.ndarray):
            module.host[name] = value
        elif isinstance(value, list):
            given[name] = [tensor(np.asarray(one)) for one in value]
        else:
            given[name] = None if value is None else tensor(np.asarray(value))
    return {**given, **{name: module.host[name] for name in feed if name in module.host}}


def same(found: Any, expected: Any, case: Any) -> bool:
    if isinstance(expected, list):
        return len(found) == len(expected) and all(
            same(one, other, case) for one, other in zip(found, expected, strict=True)
        )
    if expected is None:
        return found is None
    if isinstance(expected, onnx.TensorProto):
        expected = onnx.numpy_helper.to_array(expected)
    expected = np.asarray(expected)
    rough = expected.dtype.name in ("bfloat16", "float16")
    found = found.detach()
    found = found.float() if found.dtype is torch.bfloat16 else found
    array = found.numpy()
    if array.shape != expected.shape:
        return False
    if expected.dtype.kind in "iubf" and not rough and array.dtype != expected.dtype:
        return False
    kind = np.complex128 if expected.dtype.kind == "c" else np.float64
    return np.allclose(
        array.astype(kind),
        expected.astype(kind),
        rtol=max(case.rtol, 1e-2 if rough else 1e-4),
        atol=max(case.atol, 8e-3 if rough else 1e-5),  # of bfloat16, which has eight bits
        equal_nan=True,
    )


def outcome(case: Any) -> str:
    """``"right"``, ``"refused"``, or what is wrong."""
    model = case.model
    if model.functions:
        model = inliner.inline_local_functions(model)
    names = [one.name for one in model.graph.input]
    try:
        for inputs, expected in case.data_sets:
            module = build(model).eval()
            with torch.no_grad():
                found = module.run(values(module, dict(zip(names, inputs, strict=True))))
            for one, other in zip(found, expected, strict=True):
                if not same(outward(one), other, case):
                    return "wrong"
    except HastenError:
        return "refused"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "right"


def test_every_case_is_right_or_refused() -> None:
    told = {case.name: outcome(case) for case in cases()}
    wrong = {name: what for name, what in told.items() if what not in ("right", "refused")}
    assert not wrong, wrong
    right = sum(what == "right" for what in told.values())
    assert right >= LEAST_RIGHT * len(told), f"{right} of {len(told)}"
