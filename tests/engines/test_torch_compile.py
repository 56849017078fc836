"""The engine "torch_compile": real compilation where a C++ compiler is, and a reason where not."""

from __future__ import annotations

import shutil
import sysconfig
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import torch_zoo
from hasten.errors import NotInstalled, Unsupported
from hasten.plugin import Source, engines, frontends
from hasten.types import Model, Spec, TensorSpec, Use, Workload

ENGINE = engines.get("torch_compile")
needs_compiler = pytest.mark.skipif(
    not ENGINE.installed(), reason=f"Inductor cannot compile here: {ENGINE.installed().why}"
)


def imported(name: str) -> Model:
    module, examples = torch_zoo.cases()[name]
    module.example_input_array = examples
    return frontends.get("torch")(Source(module))


@needs_compiler
@pytest.mark.parametrize(("precision", "tolerance"), [("f32", 1e-5), ("bf16", 0.05)])
def test_a_frozen_network_computes_what_the_module_does(precision: str, tolerance: float) -> None:
    model = imported("skip")
    x = np.random.default_rng(0).standard_normal((2, 3, 16, 16), np.float32)
    with torch.no_grad():
        wanted = model.handle(torch.from_numpy(x)).numpy()
    use = Use.of("torch_compile", precision=precision)
    with ENGINE(model, Workload(batch=2), use) as compiled:
        bound = compiled.bind({"image": x})
        found = compiled.run(bound)["output"]
        kernels = compiled.profile(bound)
        compiled.submit(bound)
        compiled.drain()
    np.testing.assert_allclose(found, wanted, 0, tolerance)
    assert found.dtype == np.float32
    layers = [kernel for kernel in kernels if kernel.macs]
    assert {kernel.precision for kernel in layers} == {precision}
    assert sum(kernel.macs for kernel in layers) == 2 * 36392
    names = {kernel.op for kernel in kernels}
    assert "fused loops" in names
    assert not any("batch_norm" in name for name in names), "freezing folds BatchNorm"
    assert compiled.facts["freezing"]


@needs_compiler
def test_a_model_that_cannot_be_compiled_is_explained() -> None:
    class Fails(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.reshape(7)

    spec = Spec((TensorSpec("x", "float32", (2,)),), (TensorSpec("y", "float32", (7,)),))
    with pytest.raises(Unsupported, match=r"Cannot compile the model with 'torch_compile': .+"):
        ENGINE(Model("torch", Fails(), spec), Workload(), Use("torch_compile"))


def test_without_a_compiler_it_says_how_to_get_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    verdict = ENGINE.installed()
    assert (verdict.ok, verdict.fix) == (False, "apt-get install g++")
    with pytest.raises(NotInstalled, match=r"no C\+\+ compiler is found \(g\+\+, clang\+\+\)"):
        ENGINE(Model("torch", None, Spec((), ())), Workload(), Use("torch_compile"))


def test_a_named_compiler_is_the_one_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "icpx-nowhere")
    assert "icpx-nowhere" in ENGINE.installed().why


def test_without_python_s_headers_it_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}")
    monkeypatch.setattr(sysconfig, "get_paths", lambda: {"include": str(tmp_path)})
    assert "C headers are missing" in ENGINE.installed().why


def test_a_gpu_needs_triton() -> None:
    verdict: Any = ENGINE.supports("torch", frozenset(), Workload(target="gpu"))
    assert verdict or verdict.why == "needs triton on a GPU"
    assert ENGINE.supports("torch", frozenset(), Workload())
    assert not ENGINE.supports("onnx", frozenset(), Workload())


def test_space_follows_the_machine() -> None:
    plain, conv = frozenset[str](), frozenset({"convolution"})
    new, old = {"isa": ["avx512_bf16"], "cores": 2}, {"isa": ["avx2"], "cores": 2}
    assert list(ENGINE.space(plain, new, Workload())) == [{"precision": "bf16"}, {}]
    assert list(ENGINE.space(conv, old, Workload())) == [{}]
    busy = Workload(objective="throughput")
    assert list(ENGINE.space(conv, old, busy)) == [{}, {"streams": 2, "threads": 1}]
    gpu = list(ENGINE.space(conv, {"compute_capability": "9.0"}, Workload(target="gpu")))
    assert gpu[0] == {"mode": "reduce-overhead", "precision": "bf16", "channels_last": True}
    assert {"mode": "reduce-overhead", "channels_last": True} in gpu
    for options in (*gpu, *ENGINE.space(plain, new, busy)):
        ENGINE.options(options)
