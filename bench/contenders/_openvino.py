"""What the OpenVINO contenders share: conversion, files, and calls without copies."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from bench.contenders import Contender, Loaded
from bench.jobs import Job
from hasten.types import Arrays


class IrContender(Contender):
    """OpenVINO IR in its folder, compiled for the CPU with ``settings``."""

    packages: ClassVar[tuple[str, ...]] = ("openvino",)
    settings: ClassVar[dict[str, str]] = {}

    def build(self, job: Job, folder: Path) -> dict[str, Any]:
        save(converted(job), folder)
        return {}

    def load(self, job: Job, folder: Path) -> Loaded:
        import openvino

        core = openvino.Core()
        compiled = core.compile_model(folder / "model.xml", "CPU", self.settings)
        request = compiled.create_infer_request()

        def run(feed: list[np.ndarray]) -> Any:
            return request.infer(feed, share_inputs=True, share_outputs=True)

        def bind(arrays: Arrays) -> list[np.ndarray]:
            return list(arrays.values())

        def arrays(answer: Any) -> list[np.ndarray]:
            return [np.array(answer[port]) for port in compiled.outputs]

        precision = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
        threads = compiled.get_property("INFERENCE_NUM_THREADS")
        return Loaded(bind, run, arrays, {"precision": precision, "threads": threads})


def converted(job: Job) -> Any:
    """The model with every dimension fixed: an ONNX file read, a module converted."""
    import openvino

    if job.row.asset:
        return openvino.convert_model(job.onnx)
    import torch

    arrays = job.batches(job.part("test"))[0]
    example = tuple(torch.from_numpy(array) for array in arrays.values())
    shapes = [list(array.shape) for array in arrays.values()]
    return openvino.convert_model(job.module(), input=shapes, example_input=example)


def save(model: Any, folder: Path) -> None:
    """Write ``model.xml`` and its weights, uncompressed: nothing is rounded to fp16."""
    import openvino

    openvino.save_model(model, folder / "model.xml", compress_to_fp16=False)
