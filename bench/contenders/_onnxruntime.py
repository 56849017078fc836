"""What the ONNX Runtime contenders share: a session, and calibration samples for its quantiser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from bench.contenders import Contender, Loaded
from bench.jobs import Job
from hasten.types import Arrays


class SessionContender(Contender):
    """An ONNX file of its own (``model.onnx`` in its folder), run in a default session."""

    packages: ClassVar[tuple[str, ...]] = ("onnxruntime", "onnx")

    def load(self, job: Job, folder: Path) -> Loaded:
        return session(folder / "model.onnx")


def session(path: Path, options: Any = None) -> Loaded:
    """A CPU session, called with named arrays."""
    import onnxruntime

    made = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    threads = made.get_session_options().intra_op_num_threads

    def run(feed: Arrays) -> list[np.ndarray]:
        return made.run(None, feed)

    return Loaded(dict, run, list, {"threads": threads or "default"})


def reader(job: Job) -> Any:
    """The calibration samples as ONNX Runtime's quantiser takes them, a batch at a time."""
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.batches: Iterator[Arrays] = iter(job.batches(job.calibration))

        def get_next(self) -> Arrays | None:
            return next(self.batches, None)

    return Reader()


def preprocessed(job: Job, folder: Path) -> Path:
    """The model after the quantiser's own preparation (shape inference, graph optimisation)."""
    from onnxruntime.quantization.shape_inference import quant_pre_process

    ready = folder / "preprocessed.onnx"
    quant_pre_process(job.onnx, ready)
    return ready
