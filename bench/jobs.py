"""One race's material on disk: the model, the samples, and the fp32 answers to compare with.

A job is a row at one batch. Its folder in the cache holds what ``prepare`` wrote and, for each
contender, a folder of its own. Everything can be rebuilt; deleting the folder is safe.
"""

from __future__ import annotations

import importlib
import json
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from bench import assets, rows, samples
from bench.rows import Row
from hasten.errors import HastenError, UnknownName
from hasten.search.store import cache_folder
from hasten.types import BATCH, Arrays

CALIBRATION_SAMPLES = 300
"""How many given samples a contender may calibrate with: the number NNCF's guide names."""


def row_named(name: str) -> Row:
    """The row called ``name``."""
    known = {row.name: row for row in rows.ROWS}
    if name not in known:
        raise UnknownName.among("row", name, known)
    return known[name]


@dataclass(frozen=True)
class Job:
    """A row at one batch."""

    row: Row
    batch: int

    @classmethod
    def named(cls, name: str) -> Job:
        """The job called ``<row>-b<batch>``."""
        row, _, batch = name.rpartition("-b")
        return cls(row_named(row), int(batch))

    @property
    def name(self) -> str:
        return f"{self.row.name}-b{self.batch}"

    @property
    def samples(self) -> Path:
        """The row's folder, shared by its batches: ``given.npz`` and ``test.npz``."""
        return cache_folder() / "bench" / "inference" / self.row.name

    @property
    def folder(self) -> Path:
        return self.samples / f"b{self.batch}"

    @property
    def model(self) -> str:
        """What a user of Hasten would name: the factory, or the file with a free batch."""
        return str(self.samples / "model.onnx") if self.row.asset else self.row.model

    @property
    def onnx(self) -> Path:
        """The model as ONNX, with every dimension fixed."""
        return self.folder / "model.onnx"

    def part(self, name: str) -> Arrays:
        """Named inputs of ``"given"`` or ``"test"``."""
        with np.load(self.samples / f"{name}.npz", allow_pickle=False) as arrays:
            return {key: arrays[key] for key in arrays.files if key != "y"}

    def labels(self, name: str) -> np.ndarray:
        """Class numbers of a part."""
        with np.load(self.samples / f"{name}.npz", allow_pickle=False) as arrays:
            return arrays["y"]

    @cached_property
    def calibration(self) -> Arrays:
        """The given samples that a contender may calibrate with."""
        return {name: array[:CALIBRATION_SAMPLES] for name, array in self.part("given").items()}

    def batches(self, arrays: Arrays) -> list[Arrays]:
        """``arrays`` cut into whole batches; samples over the last whole batch are left out."""
        count = len(next(iter(arrays.values())))
        return [
            {name: np.ascontiguousarray(a[at : at + self.batch]) for name, a in arrays.items()}
            for at in range(0, count - self.batch + 1, self.batch)
        ]

    def module(self) -> Any:
        """The PyTorch module, in eval mode."""
        place, _, factory = self.row.model.partition(":")
        module, _ = getattr(importlib.import_module(place), factory)()
        return module

    def reference(self) -> list[np.ndarray]:
        """The fp32 outputs on the test samples, in the model's order."""
        with np.load(self.folder / "reference.npz", allow_pickle=False) as arrays:
            return [arrays[key] for key in arrays.files]


def prepare(job: Job) -> dict[str, Any]:
    """Write the job's model and samples; says what they came from. Run in its own process."""
    began = time.perf_counter()
    job.folder.mkdir(parents=True, exist_ok=True)
    _train(job)
    for part in ("given", "test"):
        _write_samples(job, part)
    if job.row.asset:
        _prepare_asset(job)
    else:
        _export(job)
    return {"seconds": time.perf_counter() - began, "pictures": samples.picture_source()}


def _train(job: Job) -> None:
    """Make the weights that the factory misses, where a script can."""
    if not job.row.training:
        return
    try:
        job.module()
    except HastenError:
        subprocess.run([sys.executable, job.row.training], stdout=sys.stderr, check=True)


def _write_samples(job: Job, part: str) -> None:
    final = job.samples / f"{part}.npz"
    if final.exists():
        return
    inputs, labels = job.row.draw(part)
    arrays = inputs if labels is None else {**inputs, "y": labels}
    aside = final.with_suffix(".part.npz")
    np.savez(aside, **arrays, allow_pickle=False)
    aside.replace(final)


def _prepare_asset(job: Job) -> None:
    """The real model twice: with a free batch, and with every dimension fixed."""
    import onnx

    source = assets.path(job.row.asset)
    shapes = {name: array.shape[1:] for name, array in job.part("test").items()}
    for place, batch in ((Path(job.model), None), (job.onnx, job.batch)):
        model = onnx.load(source)
        _fix(model, shapes, batch)
        onnx.checker.check_model(model)
        onnx.save(model, place)


def _fix(model: Any, shapes: dict[str, tuple[int, ...]], batch: int | None) -> None:
    """Give every input its sizes; a leading dimension that is free is named or fixed.

    Shapes of inner and output tensors that were stored for other sizes are dropped: every
    runtime infers them again.
    """
    for tensor in model.graph.input:
        if tensor.name not in shapes:
            continue
        leading, *others = tensor.type.tensor_type.shape.dim
        for dim, size in zip(others, shapes[tensor.name], strict=True):
            dim.dim_value = size
        if leading.dim_value <= 0 and batch is None:
            leading.dim_param = BATCH
        elif leading.dim_value <= 0:
            leading.dim_value = batch
    del model.graph.value_info[:]
    for tensor in model.graph.output:
        for dim in tensor.type.tensor_type.shape.dim:
            if dim.dim_param or dim.dim_value < 0:
                dim.ClearField("value")


def _export(job: Job) -> None:
    """The module as ONNX, as PyTorch's documentation exports one."""
    import torch

    given = tuple(
        torch.from_numpy(array[: job.batch].copy()) for array in job.part("test").values()
    )
    names = list(job.part("test"))
    torch.onnx.export(
        job.module(), given, job.onnx, dynamo=True, input_names=names, external_data=False
    )


def clear(job: Job) -> None:
    """Delete everything that was built for the job, and the row's samples if no batch is left."""
    shutil.rmtree(job.folder, ignore_errors=True)
    if not any(job.samples.glob("b*")):
        shutil.rmtree(job.samples, ignore_errors=True)


def write_json(path: Path, value: Any) -> None:
    """Write JSON aside and put it in place, so that nobody reads half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.part")
    aside.write_text(json.dumps(value, indent=1, default=str) + "\n")
    aside.replace(path)
