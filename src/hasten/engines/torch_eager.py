"""PyTorch as it comes: one kernel per operator, called from Python.

**Source:** PyTorch 2.13, "CPU performance tuning" (channels-last, threads, autocast) and CUDA
graphs. With default options this is the yardstick of the form "torch": f32, PyTorch's threads.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from hasten.engines._torch import (
    DEVICES,
    TorchRunner,
    finer_threads,
    low_precision,
    prepared,
    set_threads,
)
from hasten.engines._torch_cuda import CudaRunner
from hasten.errors import BadInput
from hasten.plugin import Engine, Facts, Runner
from hasten.types import Model, Workload


class TorchEager(Engine):
    """Calls the module in inference mode."""

    accepts = ("torch",)
    targets = ("cpu", "gpu")
    requires = ("torch>=2.11",)
    extra = "torch"
    yardstick = 100
    typical_seconds = 1.0

    @dataclass(frozen=True, kw_only=True)
    class Options:
        """``threads`` per call (``None``: what the workload grants, else PyTorch's choice);
        ``streams`` of calls at once for throughput; ``precision`` by autocast (on a GPU, "tf32"
        is what PyTorch does to convolutions unasked); ``cuda_graph``: replay the kernels on the
        GPU without Python."""

        threads: int | None = None
        streams: int = 1
        channels_last: bool = False
        precision: Literal["f32", "tf32", "bf16", "f16"] = "f32"
        cuda_graph: bool = False

    def space(
        self, traits: frozenset[str], target: Facts, workload: Workload
    ) -> Iterable[Mapping[str, Any]]:
        layout = {"channels_last": True} if "convolution" in traits else {}
        if workload.target == "gpu":
            low = low_precision(target, workload)
            yield {"cuda_graph": True, "precision": low, **layout}
            yield {"cuda_graph": True, "precision": "tf32", **layout}
            yield {"cuda_graph": True, **layout}
        yield {}
        if layout:
            yield layout

    def refine(
        self, options: Mapping[str, Any], target: Facts, workload: Workload
    ) -> Iterable[Mapping[str, Any]]:
        return finer_threads(target, workload)

    def compile(self, model: Model, workload: Workload, options: Options) -> Runner:
        import torch

        device = DEVICES[workload.target]
        if options.cuda_graph and device == "cpu":
            raise BadInput("Cannot set option 'cuda_graph' of 'torch_eager' on target cpu.")
        threads = set_threads(options.threads, options.streams, workload)
        module = prepared(model, device, options.channels_last, options.precision)
        facts = {
            "threads": threads,
            "streams": options.streams,
            "precision": options.precision,
            "channels_last": options.channels_last,
            "device": device,
            "version": torch.__version__,
        }
        if device == "cpu":
            return TorchRunner(module, model, workload, torch.inference_mode, facts)
        return CudaRunner(
            module, model, workload, torch.inference_mode, facts, graph=options.cuda_graph
        )
