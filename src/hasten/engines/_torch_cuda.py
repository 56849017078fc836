"""Running a PyTorch module on CUDA from NumPy arrays and back.

**Source:** PyTorch 2.13, "CUDA semantics": pinned memory, asynchronous copies, CUDA graphs.
A call copies its inputs from pinned memory into fixed buffers, computes, copies the outputs into
pinned memory and waits, all on one stream: what is timed is what a caller waits for.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hasten.engines import _torch_profile as profiler
from hasten.engines._torch import Guard, TorchRunner
from hasten.types import Arrays, Kernel, Model, Workload

if TYPE_CHECKING:
    import torch

WARM_UPS = 3
"""Calls before a graph is captured, so that libraries have chosen their algorithms."""

Tensors = Sequence["torch.Tensor"]


class Cuda:
    """The calls on the device, apart from their order, so that the order can be tested."""

    def pinned(self, tensor: torch.Tensor) -> torch.Tensor:
        """A copy in page-locked memory, which the device reads without a detour."""
        return tensor.pin_memory()

    def buffer(self, tensor: torch.Tensor) -> torch.Tensor:
        """A copy on the device."""
        return tensor.to("cuda")

    def wait(self) -> None:
        import torch

        torch.cuda.synchronize()

    def captured(self, step: Callable[[], Tensors]) -> tuple[Callable[[], None], Tensors]:
        """``(replay, outputs)``: ``step`` as one CUDA graph over its fixed buffers."""
        import torch

        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(WARM_UPS):
                step()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            outputs = step()
        return graph.replay, outputs


class CudaRunner(TorchRunner):
    """As the CPU's runner, with the copies to and from the device in every call."""

    def __init__(
        self,
        call: Callable[..., Any],
        model: Model,
        workload: Workload,
        guard: Guard,
        facts: Mapping[str, Any],
        *,
        graph: bool = False,
        device: Cuda | None = None,
    ) -> None:
        self._device = device or Cuda()
        self._graph = graph
        super().__init__(call, model, workload, guard, facts)

    def _start(self) -> None:
        import torch

        self._slots = [self._device.buffer(tensor) for tensor in super().bind(self._zeros())]
        tensors = self._first_tensors(self._slots)
        pairs = zip(tensors, self._outputs, strict=True)
        self._hosts = [
            self._device.pinned(torch.empty(tensor.shape, dtype=getattr(torch, spec.dtype)))
            for tensor, spec in pairs
        ]
        hosts = zip(self._outputs, self._hosts, strict=True)
        self._arrays = {spec.name: host.numpy() for spec, host in hosts}
        self._step = self._plain_step
        if self._graph:
            with self._guard():
                replay, outputs = self._device.captured(self._plain_step)
            self._step = functools.partial(_replayed, replay, outputs)

    def _plain_step(self) -> Tensors:
        return self._take(self._call(*self._slots))

    def bind(self, arrays: Arrays) -> Any:
        return [self._device.pinned(tensor) for tensor in super().bind(arrays)]

    def _launch(self, feed: Any, step: Callable[[], Tensors]) -> None:
        """Queue one call on the stream: copies in, work, copies out."""
        with self._guard():
            for slot, host in zip(self._slots, feed, strict=True):
                slot.copy_(host, non_blocking=True)
            for host, output in zip(self._hosts, step(), strict=True):
                host.copy_(output, non_blocking=True)

    def run(self, feed: Any) -> Arrays:
        self._launch(feed, self._step)
        self._device.wait()
        return self._arrays

    def submit(self, feed: Any) -> None:
        self._launch(feed, self._step)

    def drain(self) -> None:
        self._device.wait()

    def profile(self, feed: Any) -> list[Kernel]:
        """Without the graph, whose kernels no longer know which operator they belong to."""

        def call() -> None:
            self._launch(feed, self._plain_step)
            self._device.wait()

        return profiler.record(call, "cuda")


def _replayed(replay: Callable[[], None], outputs: Tensors) -> Tensors:
    replay()
    return outputs
