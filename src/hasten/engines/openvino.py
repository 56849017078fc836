"""OpenVINO's CPU plug-in: fused graphs, int8 and bf16 kernels, threads and streams.

**Source:** OpenVINO 2026.4, "CPU Device" and "High-level Performance Hints" of its documentation.
Its default arithmetic is bf16 where the CPU has it, so the precision is always set, and read back.
The profile comes from its execution graph (``PERF_COUNT``, ``get_runtime_model``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from hasten.engines._openvino_profile import Layers, kernels
from hasten.errors import BadInput, Unsupported
from hasten.plugin import Engine, Facts, Runner, forms
from hasten.types import Arrays, Kernel, Model, Spec, TensorSpec, Workload

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
        if granted > 1 and workload.objective == "throughput":
            yield {"streams": 1}
        elif granted > 1:
            yield {"threads": 1}

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
        return _Runner(_sized(model, workload), model.spec, settings)


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


class _Runner(Runner):
    """One compiled model with one request for single calls, and a queue once calls overlap."""

    def __init__(self, model: Any, spec: Spec, settings: Mapping[str, Any]) -> None:
        import openvino

        self._core = openvino.Core()
        self._model, self._spec, self._settings = model, spec, settings
        self._compiled = self._core.compile_model(model, "CPU", dict(settings))
        self._request = self._compiled.create_infer_request()
        self._queue: Any = None
        self._profiled: Any = None
        self._fed: Any = None
        self.facts = _facts(self._compiled)
        if self.facts["precision"] != settings["INFERENCE_PRECISION_HINT"]:
            raise Unsupported(
                f"Cannot run OpenVINO in {settings['INFERENCE_PRECISION_HINT']}: on this CPU it "
                f"falls back to {self.facts['precision']}. Use precision 'f32'."
            )
        self._compute = self._waiting() if self.facts["threads"] == 1 else self._handing_over()
        self._outputs = self._views() if self._fixed() else None

    # A call on this thread saves the hand-over to the stream's thread, 10 of 20 µs for a tiny
    # model; with more threads this thread then competes with the stream's pinned ones.

    def _waiting(self) -> Callable[[], object]:
        infer = super(type(self._request), self._request).infer
        return lambda: infer({}, share_outputs=True, decode_strings=False)

    def _handing_over(self) -> Callable[[], object]:
        start, wait = self._request.start_async, self._request.wait

        def compute() -> None:
            start()
            wait()

        return compute

    def _fixed(self) -> bool:
        """Whether outputs stay where they are from call to call."""
        return all(
            port.partial_shape.is_static and port.element_type.to_string() != "string"
            for port in self._compiled.outputs
        )

    def _views(self) -> Arrays:
        tensors = [self._request.get_output_tensor(i) for i in range(len(self._spec.outputs))]
        return {
            spec.name: tensor.str_data
            if tensor.element_type.to_string() == "string"
            else tensor.data
            for spec, tensor in zip(self._spec.outputs, tensors, strict=True)
        }

    def bind(self, arrays: Arrays) -> dict[int, Any]:
        return {i: _tensor(arrays[spec.name], spec) for i, spec in enumerate(self._spec.inputs)}

    def run(self, feed: dict[int, Any]) -> Arrays:
        if feed is not self._fed:
            for index, tensor in feed.items():
                self._request.set_input_tensor(index, tensor)
            self._fed = feed
        self._compute()
        return self._outputs or self._views()

    def submit(self, feed: dict[int, Any]) -> None:
        if self._queue is None:
            import openvino

            jobs = self._compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")
            self._queue = openvino.AsyncInferQueue(self._compiled, jobs)
        self._queue.start_async(feed, share_inputs=True)

    def drain(self) -> None:
        if self._queue is not None:
            self._queue.wait_all()

    def profile(self, feed: dict[int, Any]) -> list[Kernel]:
        if self._profiled is None:
            settings = {**self._settings, "PERF_COUNT": True, "NUM_STREAMS": 1}
            self._profiled = self._core.compile_model(self._model, "CPU", settings)
        form: Any = forms.get("openvino")
        layers = Layers(form.multiply_adds(self._model), form.shown_as(self._model))
        return kernels(self._profiled, feed, layers)

    def close(self) -> None:
        self.drain()
        self._outputs = self._fed = self._compute = None  # type: ignore[assignment]
        self._request = self._queue = self._compiled = self._profiled = None


def _facts(compiled: Any) -> dict[str, Any]:
    """The settings in force, as the runtime reports them."""
    precision = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
    return {
        "precision": precision,
        "threads": compiled.get_property("INFERENCE_NUM_THREADS"),
        "streams": compiled.get_property("NUM_STREAMS"),
        "devices": list(compiled.get_property("EXECUTION_DEVICES")),
    }


def _tensor(array: np.ndarray, spec: TensorSpec) -> Any:
    """A tensor that shares the array's memory, which OpenVINO allows where it is writable,
    contiguous and aligned to its items; else of a copy."""
    import openvino

    if array.dtype.kind in "UOS":
        return openvino.Tensor(array.astype(str))
    array = array.astype(spec.dtype, copy=False)
    if not (array.flags.carray and array.flags.aligned):
        array = array.copy()
    return openvino.Tensor(array, shared_memory=True)
