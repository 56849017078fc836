"""Sessions of ONNX Runtime: made for one workload, fed with NumPy arrays.

**Source:** onnxruntime Python API 1.20 to 1.31 (``SessionOptions``, ``IOBinding``).
"""

from __future__ import annotations

import os
import re
import textwrap
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np

from hasten.engines import _onnxruntime_profile as profiler
from hasten.errors import BadData, Unsupported
from hasten.plugin import Runner, forms
from hasten.types import Arrays, Kernel, Model, Workload

MESSAGE_BYTES = 2_000_000_000
"""Larger models reach the runtime through a file: protobuf stops at 2 GiB."""
_PROVIDERS = {"cpu": "CPUExecutionProvider", "gpu": "CUDAExecutionProvider"}
_SILENT = 4


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a session can be told; the engine's options explain each."""

    threads: int | None = None
    inter_op: int = 1
    streams: int = 1
    spinning: bool = True
    optimisation: Literal["all", "extended", "basic", "none"] = "all"
    execution: Literal["sequential", "parallel"] = "sequential"


class _Feed:
    """Inputs of one call; from the second call on with outputs of its own to write into."""

    __slots__ = ("arrays", "binding", "outputs")

    def __init__(self, arrays: Arrays) -> None:
        self.arrays = arrays
        self.binding: Any = None
        self.outputs: Arrays | None = None


class SessionRunner(Runner):
    """An inference session for one workload."""

    def __init__(self, model: Model, workload: Workload, options: Settings) -> None:
        self._model = model
        self._workload = workload
        self._options = options
        self._threads = options.threads or _share(workload.threads, options.streams)
        self._sizes = workload.bound
        self._session = self._bound_session()
        self._dtypes = {t.name: _numpy_type(t.type) for t in self._session.get_inputs()}
        outputs = self._session.get_outputs()
        self._names = [tensor.name for tensor in outputs]
        self._fixed = all(isinstance(size, int) for tensor in outputs for size in tensor.shape)
        self._pool = ThreadPoolExecutor(options.streams) if options.streams > 1 else None
        self._room = threading.Semaphore(2 * options.streams)
        self._waiting: list[Future[Any]] = []
        self.facts = self._in_force()

    def _bound_session(self) -> Any:
        """The session that computes. A model whose branches need different shapes (``If`` on a
        rate, say) is refused once its dimensions are bound: then they stay free."""
        try:
            return self._make(None, {})
        except Unsupported:
            self._sizes = {}
            return self._make(None, {})

    def _in_force(self) -> dict[str, Any]:
        import onnxruntime

        used = self._session.get_session_options()
        return {
            "threads": used.intra_op_num_threads or _cores(logical=False),
            "inter_op": used.inter_op_num_threads,
            "streams": self._options.streams,
            "precision": "f32",
            "provider": self._session.get_providers()[0],
            "shapes": "bound" if self._sizes else "free",
            "optimisation": used.graph_optimization_level.name,
            "version": onnxruntime.__version__,
        }

    def _make(self, trace: str | None, config: Mapping[str, str]) -> Any:
        """A session; with ``trace`` one that profiles itself into files of that prefix."""
        import onnxruntime

        onnxruntime.set_default_logger_severity(_SILENT)
        provider = _PROVIDERS[self._workload.target]
        if provider not in onnxruntime.get_available_providers():
            raise Unsupported(
                f"Cannot run with 'onnxruntime' on target {self._workload.target}: this build has "
                "no CUDA. Install it: pip install onnxruntime-gpu."
            )
        settings = self._settings(config)
        if trace is not None:
            settings.enable_profiling = True
            settings.profile_file_prefix = trace
        chain = list(dict.fromkeys([provider, _PROVIDERS["cpu"]]))
        with _serialised(self._model) as source, _explained():
            session = onnxruntime.InferenceSession(source, settings, chain)
        if session.get_providers()[0] != provider:
            raise Unsupported(
                f"Cannot run with 'onnxruntime' on target {self._workload.target}: its CUDA "
                "libraries cannot be loaded. Check the driver with: hasten doctor."
            )
        return session

    def _settings(self, config: Mapping[str, str]) -> Any:
        import onnxruntime

        levels = onnxruntime.GraphOptimizationLevel
        made = onnxruntime.SessionOptions()
        made.log_severity_level = _SILENT
        made.intra_op_num_threads = self._threads
        made.inter_op_num_threads = self._options.inter_op
        made.graph_optimization_level = {
            "all": levels.ORT_ENABLE_ALL,
            "extended": levels.ORT_ENABLE_EXTENDED,
            "basic": levels.ORT_ENABLE_BASIC,
            "none": levels.ORT_DISABLE_ALL,
        }[self._options.optimisation]
        if self._options.execution == "parallel":
            made.execution_mode = onnxruntime.ExecutionMode.ORT_PARALLEL
        spin = "1" if self._options.spinning else "0"
        for key, value in {"session.intra_op.allow_spinning": spin, **config}.items():
            made.add_session_config_entry(key, value)
        for name, size in self._sizes.items():
            made.add_free_dimension_override_by_name(name, size)
        return made

    def bind(self, arrays: Arrays) -> _Feed:
        try:
            return _Feed(
                {
                    name: np.ascontiguousarray(arrays[name], dtype)
                    for name, dtype in self._dtypes.items()
                }
            )
        except KeyError as error:
            raise BadData(
                f"Cannot run the model: input {error} is missing. It takes "
                f"{', '.join(self._dtypes)}."
            ) from error

    def run(self, feed: _Feed) -> Arrays:
        if feed.binding is not None:
            self._session.run_with_iobinding(feed.binding)
            return feed.outputs  # type: ignore[return-value]  # set with the binding
        if feed.outputs is not None and self._fixed:
            self._give_buffers(feed)
            return self.run(feed)
        with _explained():
            answer = self._session.run(self._names, feed.arrays)
        feed.outputs = dict(zip(self._names, answer, strict=True))
        return feed.outputs

    def _give_buffers(self, feed: _Feed) -> None:
        """Outputs that every further call on this feed writes into, without allocating."""
        from onnxruntime import OrtValue

        feed.outputs = {name: np.empty_like(made) for name, made in (feed.outputs or {}).items()}
        binding = self._session.io_binding()
        for name, array in feed.arrays.items():
            binding.bind_ortvalue_input(name, OrtValue.ortvalue_from_numpy(array))
        for name, array in feed.outputs.items():
            binding.bind_ortvalue_output(name, OrtValue.ortvalue_from_numpy(array))
        feed.binding = binding

    def submit(self, feed: _Feed) -> None:
        if self._pool is None:
            self.run(feed)
            return
        self._room.acquire()
        future = self._pool.submit(self._session.run, self._names, feed.arrays)
        future.add_done_callback(lambda _: self._room.release())
        self._waiting = [other for other in self._waiting if not other.done() or other.exception()]
        self._waiting.append(future)

    def drain(self) -> None:
        waiting, self._waiting = self._waiting, []
        with _explained():
            for future in waiting:
                future.result()

    def profile(self, feed: _Feed) -> list[Kernel]:
        with _explained():
            return profiler.kernels(self._make, self._model.handle.graph, feed.arrays)

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown()
        self._session = None


def _share(granted: int | None, streams: int) -> int:
    """Threads of one call: what is granted, divided among the streams. 0: the runtime's own
    choice, one per physical core."""
    if granted is None and streams == 1:
        return 0
    return max(1, (granted or _cores(logical=True)) // streams)


def _cores(logical: bool) -> int:
    """Cores that this process may use."""
    import psutil

    affinity = getattr(os, "sched_getaffinity", None)
    usable = len(affinity(0)) if affinity else os.cpu_count() or 1
    return min(psutil.cpu_count(logical) or usable, usable)


def _numpy_type(kind: str) -> np.dtype[Any]:
    """The NumPy type of ONNX Runtime's ``"tensor(float)"``."""
    inner = kind.removeprefix("tensor(").removesuffix(")")
    return np.dtype({"float": "float32", "double": "float64"}.get(inner, inner))


@contextmanager
def _serialised(model: Model) -> Iterator[bytes | str]:
    """The model as a session takes it: bytes, or the path of a file that lives as long."""
    held = sum(len(tensor.raw_data) for tensor in model.handle.graph.initializer)
    if held <= MESSAGE_BYTES:
        yield model.handle.SerializeToString()
        return
    with TemporaryDirectory(prefix="hasten-") as folder:
        forms.get(model.form).save(model, Path(folder))
        yield str(next(Path(folder).glob("*.onnx")))


@contextmanager
def _explained() -> Iterator[None]:
    """Turn the runtime's errors into one line. Its classes share no base but ``Exception``."""
    try:
        yield
    except (Unsupported, BadData):
        raise
    except Exception as error:
        text = _ORIGIN.sub("", str(error)) or type(error).__name__
        why = textwrap.shorten(text, 300, placeholder=" …").rstrip(".")
        raise Unsupported(f"Cannot run the model with 'onnxruntime': {why}.") from error


_ORIGIN = re.compile(r"^\[ONNXRuntimeError\] : \d+ : \w+ : (/\S+:\d+ .*?\) (?=[A-Z]))?", re.DOTALL)
"""The runtime's error number, and the place in its C++ source with the whole signature."""
