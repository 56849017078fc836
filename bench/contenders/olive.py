"""Olive's quantisation and session tuning for ONNX Runtime.

**Source:** https://microsoft.github.io/Olive/how-to/cli/cli-run.html (``olive run``) with the
passes of Olive's own CPU example, examples/resnet/resnet_ptq_cpu.json: ``OnnxQuantization`` with
uint8 weights and activations, then ``OrtSessionParamsTuning``. Differs: dynamic quantisation for
transformers and LSTMs, as the ONNX Runtime guide that it links says; no search, since Olive's
search needs an accuracy on labels. Olive lives in a virtual environment of its own, because its
requirements must not change the versions that are measured; the result runs in the common one.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

from bench.contenders import Contender, Loaded
from bench.contenders._onnxruntime import session
from bench.jobs import Job
from hasten.errors import CandidateFailed
from hasten.search.store import cache_folder

VERSION = "0.13.0"
REQUIREMENTS = (f"olive-ai[tune-session-params]=={VERSION}", "requests")
"""``requests`` is imported by Olive 0.13.0 but missing from its requirements."""
CONSTRAINTS = Path(__file__).parents[2] / "constraints.txt"
SECONDS = 900


class Olive(Contender):
    """An ONNX model that Olive quantised, in a session as Olive tuned it."""

    title: ClassVar[str] = f"Olive {VERSION}"
    packages: ClassVar[tuple[str, ...]] = ("onnxruntime",)

    def build(self, job: Job, folder: Path) -> dict[str, Any]:
        data = _write_samples(job, folder / "samples")
        config = folder / "config.json"
        config.write_text(json.dumps(workflow(job, data, folder), indent=1))
        _run([_environment() / "bin" / "olive", "run", "--config", config], folder, "olive run")
        for leftover in ("samples", "cache"):
            shutil.rmtree(folder / leftover)
        return {"version": VERSION, "session": _session_options(folder)}

    def load(self, job: Job, folder: Path) -> Loaded:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        for name, value in _session_options(folder).items():
            setattr(options, name, value)
        return session(folder / "out" / "model.onnx", options)


def workflow(job: Job, data: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Olive's configuration for one job."""
    quantisation = {"type": "OnnxQuantization", "precision": "uint8", "quant_preprocess": True}
    if job.row.family == "cnn":
        quantisation |= {
            "data_config": data["name"],
            "activation_type": "uint8",
            "calibrate_method": "MinMax",
        }
    else:
        quantisation |= {"quant_mode": "dynamic"}
    tuning = {"type": "OrtSessionParamsTuning", "data_config": data["name"]}
    accelerator = {"device": "cpu", "execution_providers": ["CPUExecutionProvider"]}
    return {
        "input_model": {"type": "ONNXModel", "model_path": str(job.onnx)},
        "systems": {"local": {"type": "LocalSystem", "accelerators": [accelerator]}},
        "data_configs": [data],
        "passes": {"quantization": quantisation, "tuning": tuning},
        "host": "local",
        "target": "local",
        "cache_dir": str(folder / "cache"),
        "output_dir": str(folder / "out"),
    }


def _write_samples(job: Job, folder: Path) -> dict[str, Any]:
    """The calibration samples as raw files, and Olive's description of them."""
    batches = job.batches(job.calibration)
    first = batches[0]
    folders = [f"input{index}" for index in range(len(first))]
    for place in folders:
        (folder / place).mkdir(parents=True)
    for number, arrays in enumerate(batches):
        for place, array in zip(folders, arrays.values(), strict=True):
            array.tofile(folder / place / f"{number:05}.bin")
    described = {
        "data_dir": str(folder),
        "input_names": list(first),
        "input_shapes": [list(array.shape) for array in first.values()],
        "input_types": [str(array.dtype) for array in first.values()],
        "input_dirs": folders,
    }
    return {
        "name": "given",
        "type": "RawDataContainer",
        "load_dataset_config": {"params": described},
    }


def _session_options(folder: Path) -> dict[str, Any]:
    """The session options that Olive's tuning chose."""
    config = json.loads((folder / "out" / "model_config.json").read_text())["config"]
    chosen = (config.get("inference_settings") or {}).get("session_options") or {}
    return {name: value for name, value in chosen.items() if value is not None}


def _environment() -> Path:
    """The virtual environment with Olive in it, made when it is first asked for."""
    place = cache_folder() / "bench" / f"olive-{VERSION}"
    if not (place / "complete").exists():
        _run([sys.executable, "-m", "venv", "--clear", place], None, "making the environment")
        same = [f"{name}=={_public_version(name)}" for name in ("onnxruntime", "torch")]
        install = [place / "bin" / "pip", "install", "--quiet", "-c", CONSTRAINTS]
        _run([*install, *REQUIREMENTS, *same], None, "installing Olive")
        (place / "complete").touch()
    return place


def _public_version(name: str) -> str:
    """The installed version, without a build's own label such as ``+cpu``."""
    return importlib.metadata.version(name).partition("+")[0]


def _run(command: list[Any], folder: Path | None, what: str) -> None:
    """Run a command with Olive's telemetry and the common packages out of its way."""
    environment = {**os.environ, "OLIVE_DISABLE_TELEMETRY": "1", "HF_HUB_OFFLINE": "1"}
    environment.pop("PYTHONPATH", None)
    done = subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        env=environment,
        stdout=sys.stderr,
        timeout=SECONDS,
        check=False,
    )
    if done.returncode:
        raise CandidateFailed(f"{what} ended with exit code {done.returncode}; see its log.")
