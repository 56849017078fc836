"""Compiled OpenVINO models and their requests: fed with NumPy arrays, timed, profiled.

**Source:** OpenVINO 2026.4 Python API (``CompiledModel``, ``InferRequest``, ``AsyncInferQueue``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from hasten.engines._openvino_profile import Layers, kernels
from hasten.errors import BadData, Unsupported
from hasten.plugin import Runner, forms
from hasten.types import Arrays, Kernel, Spec, TensorSpec


def compiled(model: Any, settings: Mapping[str, Any]) -> Any:
    """The model, ready to run on the CPU with these settings."""
    import openvino

    try:
        return openvino.Core().compile_model(model, "CPU", dict(settings))
    except RuntimeError as error:  # places in OpenVINO's source code stand first
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise Unsupported(f"OpenVINO cannot compile the model: {lines[-1]}") from error


class RequestRunner(Runner):
    """One compiled model with one request for single calls, and a queue once calls overlap."""

    def __init__(self, model: Any, spec: Spec, settings: Mapping[str, Any]) -> None:
        self._model, self._spec, self._settings = model, spec, settings
        self._compiled = compiled(model, settings)
        self._shapes = [port.partial_shape for port in self._compiled.inputs]
        self._request = self._compiled.create_infer_request()
        self._queue: Any = None
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
        infer = self._request.infer
        return lambda: infer(share_outputs=True)

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
        for spec in self._spec.inputs:
            if spec.name not in arrays:
                known = ", ".join(tensor.name for tensor in self._spec.inputs)
                raise BadData(f"Input '{spec.name}' is missing. The model takes {known}.")
        pairs = zip(self._spec.inputs, self._shapes, strict=True)
        return {i: _tensor(arrays[spec.name], spec, shape) for i, (spec, shape) in enumerate(pairs)}

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
        # As user data, the feed's memory lives until its call has finished.
        self._queue.start_async(feed, userdata=feed, share_inputs=True)

    def drain(self) -> None:
        if self._queue is not None:
            self._queue.wait_all()

    def profile(self, feed: dict[int, Any]) -> list[Kernel]:
        form: Any = forms.get("openvino")
        layers = Layers(form.multiply_adds(self._model), form.shown_as(self._model))
        settings = {**self._settings, "PERF_COUNT": True, "NUM_STREAMS": 1}
        return kernels(compiled(self._model, settings), feed, layers)

    def close(self) -> None:
        self.drain()
        self._outputs = self._fed = self._compute = None  # type: ignore[assignment]
        self._request = self._queue = self._compiled = None


def _facts(call: Any) -> dict[str, Any]:
    """The settings in force, as the runtime reports them."""
    precision = call.get_property("INFERENCE_PRECISION_HINT").to_string()
    return {
        "precision": precision,
        "threads": call.get_property("INFERENCE_NUM_THREADS"),
        "streams": call.get_property("NUM_STREAMS"),
        "devices": list(call.get_property("EXECUTION_DEVICES")),
    }


def _tensor(array: np.ndarray, spec: TensorSpec, shape: Any) -> Any:
    """A tensor over the array's own memory, or over that of a copy where it cannot be shared:
    OpenVINO wants it writable and contiguous; alignment to items keeps kernels from splitting."""
    import openvino

    if not shape.compatible(openvino.PartialShape(list(array.shape))):
        raise BadData(
            f"Input '{spec.name}' has shape {list(array.shape)}; "
            f"the model was compiled for {shape}."
        )
    if array.dtype.kind in "UOS":
        return openvino.Tensor(array.astype(str))
    return openvino.Tensor(np.require(array, spec.dtype, ["C", "A", "W"]), shared_memory=True)
