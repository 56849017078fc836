"""OpenVINO's CPU plug-in: fused graphs, int8 and bf16 kernels, threads and streams.

**Source:** OpenVINO 2026.4, "CPU Device" and "High-level Performance Hints" of its documentation.
Its default arithmetic is bf16 where the CPU has it, so the precision is always set, and read back.
The profile comes from its execution graph (``PERF_COUNT``, ``get_runtime_model``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from hasten.engines._openvino import RequestRunner
from hasten.errors import BadInput, Unsupported
from hasten.plugin import Engine, Facts, Runner
from hasten.types import Model, Workload

#: Which CPU flags let a precision run natively; one of them is enough.
_NATIVE: Mapping[str, frozenset[str]] = {
    "bf16": frozenset({"avx512_bf16", "amx_bf16"}),
    "f16": frozenset({"avx512_fp16", "amx_fp16", "asimdhp"}),
}


class OpenVINO(Engine):
    """Runs OpenVINO models on the CPU."""

    requires = ("openvino>=2025.2",)
    extra = "openvino"
    accepts = ("openvino",)
    yardstick = 10

    @dataclass(frozen=True, kw_only=True)
    class Options:
        """``streams``: calls computed side by side. ``threads``: ``None`` is the workload's."""

        precision: Literal["f32", "bf16", "f16"] = "f32"
        threads: int | None = None
        streams: int = 1

    def space(
        self, traits: frozenset[str], target: Facts, workload: Workload
    ) -> Iterable[Mapping[str, Any]]:
        flags = set(target.get("isa", ()))
        narrow = [name for name, native in _NATIVE.items() if flags & native]
        streams = _granted(target, workload) if workload.objective == "throughput" else 1
        for precision in (*narrow, "f32"):
            yield {"precision": precision} | ({"streams": streams} if streams > 1 else {})

    def refine(
        self, options: Mapping[str, Any], target: Facts, workload: Workload
    ) -> Iterable[Mapping[str, Any]]:
        granted = _granted(target, workload)
        setting = "streams" if workload.objective == "throughput" else "threads"
        for fewer in sorted({granted // 2, 1} - {0, granted}, reverse=True):
            yield {setting: fewer}

    def compile(self, model: Model, workload: Workload, options: Any) -> Runner:
        for name in ("threads", "streams"):
            value = getattr(options, name)
            if value is not None and value < 1:
                raise BadInput(f"Cannot run OpenVINO with {name}={value}: it takes 1 or more.")
        threads = options.threads or workload.threads
        settings: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": options.precision,
            "PERFORMANCE_HINT": "LATENCY" if options.streams == 1 else "THROUGHPUT",
            "NUM_STREAMS": options.streams,
        }
        if threads:
            settings["INFERENCE_NUM_THREADS"] = threads
        return RequestRunner(_sized(model, workload), model.spec, settings)


def _granted(target: Facts, workload: Workload) -> int:
    return workload.threads or int(target.get("cores", 1))


def _sized(model: Model, workload: Workload) -> Any:
    """A copy of the graph with the workload's shapes; free where the graph cannot take them."""
    import openvino

    if len(model.handle.inputs) != len(model.spec.inputs):
        raise Unsupported(
            f"Cannot run the model with OpenVINO: its graph has {len(model.handle.inputs)} inputs, "
            f"its specification {len(model.spec.inputs)}. Convert it again."
        )
    sized = model.handle.clone()
    shapes = [tensor.bound(workload.bound) for tensor in model.spec.inputs]
    try:
        sized.reshape({i: openvino.PartialShape(list(s)) for i, s in enumerate(shapes)})
    except RuntimeError:  # some graphs fix what their inputs leave free; compiling tells
        return model.handle.clone()
    return sized
