"""The order of calls on a CUDA device, on a stand-in that notes them and computes on the CPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from hasten.engines import _torch
from hasten.engines._torch_cuda import Cuda, CudaRunner
from hasten.errors import BadData
from hasten.plugin import engines
from hasten.types import Model, Spec, TensorSpec, Workload

SPEC = Spec(
    (TensorSpec("x", "float32", ("batch", 3)), TensorSpec("n", "int64", ("batch",))),
    (TensorSpec("y", "float32", ("batch", 3)), TensorSpec("m", "int64", ("batch",))),
)


class Double(nn.Module):
    def forward(self, x: torch.Tensor, n: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return (x * 2).bfloat16(), n + 1


class StandIn(Cuda):
    """Notes what is asked of the device."""

    def __init__(self) -> None:
        self.log: list[str] = []

    def pinned(self, tensor: torch.Tensor) -> torch.Tensor:
        self.log.append("pin")
        return tensor.clone()

    def buffer(self, tensor: torch.Tensor) -> torch.Tensor:
        self.log.append("buffer")
        return tensor.clone()

    def wait(self) -> None:
        self.log.append("wait")

    def captured(self, step: Callable[[], Any]) -> tuple[Callable[[], None], Any]:
        self.log.append("capture")
        outputs = [tensor.clone() for tensor in step()]

        def replay() -> None:
            self.log.append("replay")
            for kept, new in zip(outputs, step(), strict=True):
                kept.copy_(new)

        return replay, outputs


def runner(graph: bool) -> tuple[CudaRunner, StandIn]:
    device = StandIn()
    facts = {"threads": 1, "device": "cuda"}
    made = CudaRunner(
        Double(), Model("torch", None, SPEC), Workload(batch=2, target="gpu"), torch.no_grad, facts,
        graph=graph, device=device,
    )  # fmt: skip
    return made, device


def feed(value: float) -> dict[str, np.ndarray]:
    return {"x": np.full((2, 3), value, np.float32), "n": np.arange(2)}


@pytest.mark.parametrize("graph", [False, True])
def test_a_call_copies_computes_copies_and_waits(graph: bool) -> None:
    compiled, device = runner(graph)
    assert device.log == ["buffer"] * 2 + ["pin"] * 2 + ["capture"] * graph
    device.log.clear()
    one, two = compiled.bind(feed(1)), compiled.bind(feed(2))
    assert device.log == ["pin"] * 4
    device.log.clear()
    for bound, value in ((one, 1), (two, 2), (one, 1)):
        outputs = compiled.run(bound)
        np.testing.assert_array_equal(outputs["y"], np.full((2, 3), 2 * value))
        np.testing.assert_array_equal(outputs["m"], [1, 2])
        assert outputs["y"].dtype == np.float32
    assert device.log == (["replay", "wait"] if graph else ["wait"]) * 3


def test_submitted_calls_wait_once() -> None:
    compiled, device = runner(graph=True)
    bound = compiled.bind(feed(1))
    device.log.clear()
    for _ in range(3):
        compiled.submit(bound)
    compiled.drain()
    assert device.log == ["replay"] * 3 + ["wait"]


def test_the_profile_runs_without_the_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled, device = runner(graph=True)
    bound = compiled.bind(feed(1))
    device.log.clear()
    seen = []
    monkeypatch.setattr(
        "hasten.engines._torch_profile.record", lambda call, kind: seen.append((call(), kind)) or []
    )
    assert compiled.profile(bound) == []
    assert (seen, device.log) == ([(None, "cuda")], ["wait"])


def test_feeds_are_checked_before_they_are_pinned() -> None:
    compiled, device = runner(graph=False)
    device.log.clear()
    with pytest.raises(BadData):
        compiled.bind({"x": np.zeros((2, 3), np.float32)})
    assert device.log == []


def test_constants_of_an_exported_graph_move_to_the_device() -> None:
    class Fills(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + torch.zeros(3, device=x.device) + torch.arange(3, device="cpu")

    graph = torch.export.export(Fills(), (torch.ones(2, 3),)).module(check_guards=False)
    moved = _torch.retargeted(graph, "meta")
    assert moved(torch.ones(2, 3, device="meta")).device.type == "meta"


def test_f32_means_f32_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nn.Module, "to", lambda self, device: self)
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    model = Model("torch", Double(), SPEC)
    try:
        for precision, rounds in (("tf32", True), ("f32", False), ("bf16", True)):
            _torch.prepared(model, "cuda", False, precision)
            assert torch.backends.cudnn.allow_tf32 is rounds
            assert torch.backends.cuda.matmul.allow_tf32 is rounds
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before
    assert not engines.get("torch_eager").exact({"precision": "tf32"})


@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device here")
@pytest.mark.parametrize("options", [{}, {"cuda_graph": True}, {"precision": "bf16"}])
def test_on_a_real_device(options: dict[str, Any]) -> None:
    from hasten.types import Use

    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 3)).eval()
    spec = Spec(SPEC.inputs[:1], SPEC.outputs[:1])
    work = Workload(batch=2, target="gpu")
    x = np.ones((2, 3), np.float32)
    with engines.get("torch_eager")(
        Model("torch", module, spec), work, Use.of("torch_eager", **options)
    ) as compiled:
        found = compiled.run(compiled.bind({"x": x}))["y"]
    with torch.no_grad():
        np.testing.assert_allclose(found, module(torch.from_numpy(x)).numpy(), 0.02, 0.02)
