"""ONNX Runtime: the reference runtime of ONNX graphs, on CPU (MLAS) or CUDA.

**Source:** onnxruntime Python API 1.20 to 1.31. Its CPU provider computes in f32 (and int8 where
the graph is quantised); it has no bf16. Free dimensions are bound when the session is made, so
that it plans memory and fuses as for a fixed shape. Repeated calls on one feed write into the
same output arrays through an I/O binding, which costs less than ``run`` and allocates nothing.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from hasten.engines._onnxruntime import SessionRunner, Settings
from hasten.errors import BadInput
from hasten.plugin import Engine, Facts, Runner, distribution
from hasten.types import Model, Verdict, Workload

_FLAVOURS = ("onnxruntime>=1.20", "onnxruntime-gpu>=1.20")


class OnnxRuntime(Engine):
    """Runs ``onnx.ModelProto`` handles."""

    accepts = ("onnx",)
    targets = ("cpu", "gpu")
    requires = ("onnxruntime>=1.20",)
    extra = "onnxruntime"
    yardstick = 100
    typical_seconds = 1.0

    @dataclass(frozen=True, kw_only=True)
    class Options(Settings):
        """``threads`` per call (``None``: what the workload grants, else the runtime's choice),
        ``inter_op`` threads for branches (with ``execution="parallel"``), ``streams`` of calls at
        once for throughput; ``spinning``: idle threads wait busily, which answers sooner and costs
        CPU time."""

    def installed(self) -> Verdict:
        verdicts = [distribution(flavour) for flavour in _FLAVOURS]
        chosen = next((verdict for verdict in verdicts if verdict), verdicts[0])
        return chosen if chosen else super().installed()

    def versions(self) -> dict[str, str]:
        names = (flavour.partition(">")[0] for flavour in _FLAVOURS)
        return {n: importlib.metadata.version(n) for n in names if distribution(n)}

    def space(
        self, traits: frozenset[str], target: Facts, workload: Workload
    ) -> Iterable[Mapping[str, Any]]:
        yield {}
        granted = workload.threads or int(target.get("cores", 1))
        if workload.objective == "throughput" and workload.target == "cpu" and granted > 1:
            yield {"streams": granted, "threads": 1}

    def refine(
        self, options: Mapping[str, Any], target: Facts, workload: Workload
    ) -> Iterable[Mapping[str, Any]]:
        granted = workload.threads or int(target.get("cores", 1))
        if workload.target != "cpu":
            return
        if workload.objective == "throughput" and granted > 3:
            yield {"streams": granted // 2, "threads": 2}
        elif workload.objective == "latency" and granted > 1:
            yield from ({"threads": count} for count in dict.fromkeys((granted // 2, 1)))

    def compile(self, model: Model, workload: Workload, options: Options) -> Runner:
        for name in ("threads", "inter_op", "streams"):
            value = getattr(options, name)
            if value is not None and value < 1:
                raise BadInput(f"Cannot run ONNX Runtime with {name}={value}: it takes 1 or more.")
        return SessionRunner(model, workload, options)
