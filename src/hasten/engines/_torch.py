"""What the PyTorch engines share: preparing a module, and running it on NumPy arrays."""

from __future__ import annotations

import copy
import functools
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import numpy as np

from hasten.engines import _torch_profile as profiler
from hasten.errors import BadData, BadInput, Unsupported
from hasten.plugin import Facts, Runner
from hasten.types import Arrays, Kernel, Model, TensorSpec, Workload

if TYPE_CHECKING:
    import torch

DEVICES = {"cpu": "cpu", "gpu": "cuda"}
DTYPES = {"bf16": "bfloat16", "f16": "float16"}
BF16_FLAGS = ("avx512_bf16", "amx_bf16", "bf16")
BF16_CAPABILITY = 8.0

Guard = Callable[[], AbstractContextManager[Any]]


# --- settings ------------------------------------------------------------------------------------


def low_precision(target: Facts, workload: Workload) -> str | None:
    """The 16-bit arithmetic that the machine has units for; ``None`` if it has none."""
    if workload.target == "gpu":
        capability = float(target.get("compute_capability") or 0)
        return "bf16" if capability >= BF16_CAPABILITY else "f16"
    return "bf16" if set(BF16_FLAGS) & set(target.get("isa", ())) else None


def granted_threads(target: Facts, workload: Workload) -> int:
    """Threads that a plan may use."""
    return workload.threads or int(target.get("cores", 1))


def finer_threads(target: Facts, workload: Workload) -> list[dict[str, Any]]:
    """Numbers of threads worth trying once an engine proved good."""
    granted = granted_threads(target, workload)
    if workload.target != "cpu" or granted < 2:
        return []
    if workload.objective == "throughput":
        return [{"streams": granted, "threads": 1}]
    return [{"threads": threads} for threads in dict.fromkeys((granted // 2, 1))]


@functools.cache
def _default_threads() -> int:
    """PyTorch's own choice, read before anything here changes it."""
    import torch

    return torch.get_num_threads()


def set_threads(threads: int | None, streams: int, workload: Workload) -> int:
    """Give every call its share of the threads. The setting holds for the whole process."""
    import torch

    if streams < 1 or (threads is not None and threads < 1):
        raise BadInput(f"Cannot run with {threads} threads and {streams} streams: both start at 1.")
    default = _default_threads()
    share = threads or max(1, (workload.threads or default) // streams)
    torch.set_num_threads(share)
    return share


# --- modules -------------------------------------------------------------------------------------


def prepared(model: Model, device: str, channels_last: bool, precision: str) -> torch.nn.Module:
    """The model's module on ``device``; the model's own stays as it is.

    ``channels_last`` concerns weights only: a convolution takes the layout of its weight, so that
    inputs in NCHW are turned inside the call, where the turning is timed.
    """
    import torch

    module = model.handle
    if channels_last or device != "cpu":
        held = getattr(module, "hasten", None)
        module = copy.deepcopy(module, {id(held): held})
        module = retargeted(module, device).to(device)
    if channels_last:
        for part in module.parameters():
            if part.dim() == 4:
                part.data = part.data.contiguous(memory_format=torch.channels_last)
    if device == "cuda":
        # PyTorch rounds to TF32 in convolutions unless it is told not to.
        torch.backends.cudnn.allow_tf32 = precision != "f32"
        torch.backends.cuda.matmul.allow_tf32 = precision != "f32"
    elif precision == "tf32":
        raise BadInput("Cannot set option 'precision' to 'tf32' on target cpu: only GPUs have it.")
    return _autocast(module, device, precision) if precision in DTYPES else module


def retargeted(module: torch.nn.Module, device: str) -> torch.nn.Module:
    """Point every constant that an exported graph makes (``zeros``, ``arange``) to ``device``."""
    import torch

    for part in module.modules():
        if not isinstance(part, torch.fx.GraphModule):
            continue
        for node in part.graph.nodes:
            if isinstance(node.kwargs.get("device"), torch.device):
                node.update_kwarg("device", torch.device(device))
        part.recompile()
    return module


def _autocast(module: torch.nn.Module, device: str, precision: str) -> torch.nn.Module:
    """``module`` in 16-bit arithmetic where PyTorch holds it safe."""
    import torch

    dtype = getattr(torch, DTYPES[precision])

    class Autocast(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.module = module

        def forward(self, *tensors: torch.Tensor) -> Any:
            with torch.autocast(device, dtype, cache_enabled=False):
                return self.module(*tensors)

    return Autocast().eval()


# --- running -------------------------------------------------------------------------------------


class TorchRunner(Runner):
    """Calls a compiled module with NumPy arrays that share memory with its tensors."""

    def __init__(
        self,
        call: Callable[..., Any],
        model: Model,
        workload: Workload,
        guard: Guard,
        facts: Mapping[str, Any],
    ) -> None:
        import torch

        self._call = call
        self._guard = guard
        self._threads = int(facts["threads"])
        self._threads_now, self._set_threads = torch.get_num_threads, torch.set_num_threads
        self._inputs = model.spec.inputs
        self._shapes = [spec.bound(workload.bound) for spec in model.spec.inputs]
        self._outputs = model.spec.outputs
        self.facts = dict(facts)
        streams = int(self.facts.get("streams", 1))
        self._pool = ThreadPoolExecutor(streams) if streams > 1 else None
        self._room = threading.Semaphore(2 * streams)
        self._waiting: list[Future[Any]] = []
        self._start()

    def _start(self) -> None:
        """The first call: compiles where compiling is lazy, and shows how outputs come."""
        tensors = self._first_tensors(self.bind(self._zeros()))
        pairs = zip(tensors, self._outputs, strict=True)
        self._readers = [(spec.name, _reader(tensor, spec)) for tensor, spec in pairs]

    def _zeros(self) -> Arrays:
        pairs = zip(self._inputs, self._shapes, strict=True)
        return {spec.name: np.zeros(shape, spec.dtype) for spec, shape in pairs}

    def _first_tensors(self, feed: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
        with self._guard():
            out = self._call(*feed)
        self._take = _taker(out)
        tensors = self._take(out)
        if len(tensors) != len(self._outputs):
            raise Unsupported(
                f"Cannot run the model: it gives {len(tensors)} tensors, its specification "
                f"names {len(self._outputs)}."
            )
        return tensors

    def bind(self, arrays: Arrays) -> Any:
        import torch

        feed = []
        for spec, shape in zip(self._inputs, self._shapes, strict=True):
            if spec.name not in arrays:
                known = ", ".join(s.name for s in self._inputs)
                raise BadData(f"Input '{spec.name}' is missing. The model takes {known}.")
            array = np.require(arrays[spec.name], spec.dtype, ["C", "W"])
            if array.shape != shape:
                raise BadData(
                    f"Input '{spec.name}' has shape {list(array.shape)}; the model was compiled "
                    f"for {list(shape)}."
                )
            feed.append(torch.from_numpy(array))
        return feed

    def run(self, feed: Any) -> Arrays:
        # Another runner may have changed it; compiled code would even be compiled anew for it.
        if self._threads_now() != self._threads:
            self._set_threads(self._threads)
        with self._guard():
            out = self._call(*feed)
        tensors = self._take(out)
        return {name: read(t) for (name, read), t in zip(self._readers, tensors, strict=True)}

    def submit(self, feed: Any) -> None:
        if self._pool is None:
            self.run(feed)
            return
        self._room.acquire()
        future = self._pool.submit(self.run, feed)
        future.add_done_callback(lambda _: self._room.release())
        self._waiting = [other for other in self._waiting if not other.done() or other.exception()]
        self._waiting.append(future)

    def drain(self) -> None:
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            future.result()

    def profile(self, feed: Any) -> list[Kernel]:
        return profiler.record(lambda: self.run(feed), str(self.facts["device"]))

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown()
        self._call = _closed


def _closed(*_: Any) -> Any:
    raise Unsupported("Cannot run a closed model. Compile it again.")


def _taker(out: Any) -> Callable[[Any], Sequence[torch.Tensor]]:
    """How the tensors are got out of what this module returns, without looking more than needed."""
    import torch
    from torch.utils._pytree import tree_leaves

    if isinstance(out, torch.Tensor):
        return lambda found: (found,)
    if isinstance(out, list | tuple) and all(isinstance(item, torch.Tensor) for item in out):
        return lambda found: found
    return tree_leaves


def _reader(tensor: torch.Tensor, spec: TensorSpec) -> Callable[[Any], np.ndarray]:
    """How this output becomes a NumPy array: without a copy where NumPy has the type."""
    if str(tensor.dtype).removeprefix("torch.") == spec.dtype and not tensor.is_complex():
        return lambda found: found.numpy()
    if tensor.is_floating_point() and spec.dtype == "float32":
        return lambda found: found.float().numpy()
    return lambda found: np.asarray(found.numpy(force=True), spec.dtype)
