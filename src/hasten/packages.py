"""Which packages are here, and whether they really work: versions, clashes, imports.

A package that is installed but cannot be imported is broken, not missing. Imports are tried in
child processes, so that a crash, a hang or a bad library cannot take the doctor along.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from hasten.types import Verdict

AT_ONCE = 2
LIMIT_SECONDS = 28.0
QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3", "OPENVINO_TELEMETRY": "0", "DO_NOT_TRACK": "1"}


@dataclass(frozen=True)
class Package:
    """A package worth knowing about.

    ``distributions`` may give the same module; the first that is installed counts. ``install``
    is what to give to ``pip install``; empty where Hasten does not recommend it.
    """

    module: str
    serves: str
    install: str = ""
    distributions: tuple[str, ...] = ()

    @property
    def distribution(self) -> str:
        """The installed distribution's name (empty: none is)."""
        return next(filter(version, self.distributions or (self.module,)), "")


PACKAGES = (
    Package("torch", "models, eager and compiled engines, training", "'hasten[torch]'"),
    Package(
        "onnxruntime",
        "engine, int8 quantisation",
        "'hasten[onnxruntime]'",
        ("onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino"),
    ),
    Package("openvino", "engine", "'hasten[openvino]'"),
    Package("nncf", "int8 quantisation", "'hasten[openvino]'"),
    Package("onnx", "reading and writing ONNX files", "'hasten[onnxruntime]'"),
    Package("onnxscript", "export from torch to ONNX", "'hasten[export]'"),
    Package("jinja2", "HTML reports", "'hasten[report]'"),
    Package("av", "videos as data", "'hasten[video]'"),
    Package(
        "tensorflow",
        "TensorFlow models",
        "tensorflow",
        ("tensorflow", "tensorflow-cpu", "tf-nightly"),
    ),
    Package("keras", "Keras models", "keras"),
    Package("jax", "JAX models, the road to TPUs", "jax"),
    Package("mxnet", "MXNet models (no release since 2023; Hasten reads its files without it)"),
    Package("torchvision", "nothing in Hasten; listed because it often breaks"),
)

#: (module or "", pattern in the error's last line, what it means, command that mends it)
KNOWN_BREAKS = (
    (
        "torchvision",
        r"operator torchvision::nms does not exist",
        "its wheel was built for another torch (CUDA) than the one installed (CPU)",
        "pip uninstall -y torchvision",
    ),
    (
        "mxnet",
        r"module 'numpy' has no attribute",
        "MXNet uses names that NumPy 1.24 removed",
        "pip uninstall -y mxnet",
    ),
    (
        "keras",
        r"No module named 'tensorflow'",
        "Keras takes TensorFlow unless told otherwise",
        "export KERAS_BACKEND=torch",
    ),
    (
        "",
        r"numpy\.core\.multiarray failed to import|numpy\.dtype size changed|_ARRAY_API not found",
        "it was built for another NumPy than the one installed",
        "pip install --upgrade --force-reinstall --no-deps {distribution}",
    ),
    (
        "onnxruntime",
        r"lib(cudart|cudnn|cublas|cublasLt|cufft|curand|nvinfer)",
        "this build needs CUDA libraries that are not here",
        "pip uninstall -y {distribution} && pip install onnxruntime",
    ),
)


def version(distribution: str) -> str:
    """The installed version; empty where it is not installed."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return ""


def clashes(distribution: str) -> Iterator[tuple[str, str]]:
    """Its requirements that the installed packages break: ``(what is wrong, what to install)``."""
    from packaging.requirements import Requirement

    for text in importlib.metadata.requires(distribution) or ():
        wanted = Requirement(text)
        if wanted.marker and not wanted.marker.evaluate({"extra": ""}):
            continue
        found = version(wanted.name)
        if not found:
            yield f"needs {wanted.name}, which is not installed", f"{wanted.name}{wanted.specifier}"
        elif not wanted.specifier.contains(found, prereleases=True):
            named = f"{wanted.name}{wanted.specifier}"
            yield f"needs {named}, but {wanted.name} {found} is installed", named


def cuda_build(distribution: str) -> bool:
    """Whether it brings NVIDIA's libraries along."""
    return any("nvidia-" in text for text in importlib.metadata.requires(distribution) or ())


def try_import(module: str, deadline: float) -> Verdict:
    """Import ``module`` in a fresh interpreter; ``why`` is the error's last line.

    ``fix`` is ``"slow"`` where time ran out, which says nothing about the package.
    """
    left = deadline - time.monotonic()
    if left <= 0:
        return Verdict(False, "not tried: the time was spent on other packages", "slow")
    command = [sys.executable, "-P", "-c", f"import {module}"]
    try:
        child = subprocess.run(
            command, capture_output=True, text=True, timeout=left, env={**os.environ, **QUIET}
        )
    except subprocess.TimeoutExpired:
        return Verdict(False, f"its import did not end within {left:.0f} s", "slow")
    if child.returncode == 0:
        return Verdict(True)
    lines = child.stderr.strip().splitlines() or [f"the interpreter ended with {child.returncode}"]
    return Verdict(False, lines[-1] if child.returncode > 0 else _crash(child.returncode))


def _crash(code: int) -> str:
    return f"its import crashed the interpreter (signal {-code})"


def try_imports(
    modules: Iterable[str], limit_seconds: float = LIMIT_SECONDS
) -> Mapping[str, Verdict]:
    """``try_import`` for all of them, two at a time, within one time limit."""
    names = list(modules)
    deadline = time.monotonic() + limit_seconds
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return dict(
            zip(names, pool.map(partial(try_import, deadline=deadline), names), strict=True)
        )


def advice(distribution: str, isa: Set[str], device: bool) -> tuple[str, str]:
    """What to know of a working package on a machine with these ISA flags and with or without a
    CUDA device, and a command where one helps."""
    if distribution == "torch" and cuda_build("torch") and not device:
        release = version("torch").partition("+")[0]
        fix = f"pip install uv && uv pip install --reinstall torch=={release} --torch-backend=cpu"
        return "a CUDA build on a machine without CUDA: works, but is gigabytes larger", fix
    if distribution == "openvino" and isa & {"avx512_bf16", "amx_bf16"}:
        return "computes in bf16 on this CPU unless told f32 (Hasten always says which)", ""
    return "", ""


def explain(package: Package, error: str) -> tuple[str, str]:
    """What an import error means, and the command that mends it."""
    distribution = package.distribution
    for module, pattern, meaning, fix in KNOWN_BREAKS:
        if module in ("", package.module) and re.search(pattern, error):
            return f"{error}: {meaning}", fix.format(distribution=distribution)
    again = f"'{distribution}=={version(distribution)}'"
    return error, f"pip install --force-reinstall --no-deps {again}"
