"""The GPU: an NVIDIA (or, through ROCm builds of torch, AMD) device, and the rates it reaches.

**Source:** ``torch.cuda`` where torch is built for it, else ``nvidia-smi --query-gpu``. Nothing
heavy is imported here: a child process asks torch, and only where the system shows a device.
Written, not yet run on CUDA: its logic is tested with stand-ins for torch and ``nvidia-smi``.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from hasten.plugin import Facts, Target
from hasten.targets import _peaks
from hasten.targets._jobs import Request

SIGNS = ("/dev/nvidia0", "/dev/nvidiactl", "/dev/dxg", "/dev/kfd", "/proc/driver/nvidia")
"""Files that a driver makes: NVIDIA, WSL 2, ROCm."""
SMI_PLACES = ("/usr/lib/wsl/lib/nvidia-smi",)
SMI_FIELDS = ("name", "driver_version", "memory.total", "compute_cap")
PROBE_SECONDS = 60.0
BUDGET_SECONDS = 60.0
SECONDS_PER_QUANTITY = 1.0


class Gpu(Target):
    """The first CUDA device."""

    def probe(self) -> Facts:
        """Name, memory, compute capability, driver, CUDA and cuDNN versions.

        ``torch_cuda`` says whether torch can use it. Without a device: ``present`` is false and
        ``reason`` says why.
        """
        smi = nvidia_smi()
        if not smi and not any(Path(sign).exists() for sign in SIGNS):
            return {"present": False, "reason": "no GPU driver is loaded on this machine"}
        return combine(smi, ask_torch())

    def measure(self) -> Facts:
        """Peaks of f32, TF32, f16, bf16 and int8 products and of memory bandwidth, through torch.

        As ``Cpu.measure``. Nothing where torch cannot use the device.
        """
        if not self.probe().get("torch_cuda"):
            return {}
        request = Request(os.cpu_count() or 1, SECONDS_PER_QUANTITY, 0)
        return _peaks.collect(["cuda"], request, BUDGET_SECONDS)


def combine(smi: dict[str, Any], torch: dict[str, Any]) -> dict[str, Any]:
    """One set of facts from what both say; torch goes first where it can use the device."""
    if torch.get("present"):
        return {**smi, **torch}
    reason = torch.get("reason", "torch says nothing")
    if not smi:
        return {"present": False, "reason": reason}
    return {**torch, **smi, "present": True, "torch_cuda": False, "reason": reason}


def nvidia_smi() -> dict[str, Any]:
    """What ``nvidia-smi`` says of the first device; empty where it is missing or fails."""
    tool = shutil.which("nvidia-smi") or next(
        (place for place in SMI_PLACES if os.access(place, os.X_OK)), None
    )
    if tool is None:
        return {}
    for fields in (SMI_FIELDS, SMI_FIELDS[:-1]):  # drivers before 2022 do not know compute_cap
        query = [tool, f"--query-gpu={','.join(fields)}", "--format=csv,noheader,nounits"]
        try:
            told = subprocess.run(query, capture_output=True, text=True, timeout=PROBE_SECONDS)
        except (OSError, subprocess.TimeoutExpired):
            return {}
        if told.returncode == 0:
            return parse_smi(told.stdout)
    return {}


def parse_smi(text: str) -> dict[str, Any]:
    """Facts from the CSV lines of ``nvidia-smi``, one line per device; memory is in MiB."""
    rows = [[field.strip() for field in line.split(",")] for line in text.strip().splitlines()]
    rows = [row for row in rows if len(row) >= len(SMI_FIELDS) - 1]
    if not rows:
        return {}
    name, driver, memory, capability = (*rows[0], "")[: len(SMI_FIELDS)]
    return {
        "present": True,
        "vendor": "nvidia",
        "name": name,
        "count": len(rows),
        "driver": driver,
        "memory_bytes": int(memory) << 20 if memory.isdigit() else None,
        "compute_capability": capability if re.fullmatch(r"\d+\.\d+", capability) else None,
    }


def ask_torch() -> dict[str, Any]:
    """What torch says of the device, in a child process; ``reason`` where it cannot use one."""
    version, cuda = torch_build()
    if not version:
        return {"present": False, "reason": "torch is not installed"}
    if not cuda:
        reason = f"torch {version} is built for CPUs only"
        return {"present": False, "torch": version, "cuda": None, "reason": reason}
    command = [sys.executable, "-m", "hasten.targets._cuda"]
    environment = _peaks.environment(os.cpu_count() or 1)
    try:
        told = subprocess.run(
            command, capture_output=True, text=True, env=environment, timeout=PROBE_SECONDS
        )
    except subprocess.TimeoutExpired:
        reason = f"torch {version} did not answer within {PROBE_SECONDS:.0f} s"
        return {"present": False, "torch": version, "reason": reason}
    if told.returncode:
        last = (told.stderr.strip().splitlines() or ["it said nothing"])[-1]
        reason = f"torch {version} cannot be used: {last}"
        return {"present": False, "torch": version, "reason": reason}
    return dict(json.loads(told.stdout.splitlines()[-1]))


def torch_build() -> tuple[str, str]:
    """Version of torch and the CUDA (or ROCm) it is built for, read without importing it.

    Both empty where torch is not installed; the second empty for a CPU build.
    """
    try:
        version = importlib.metadata.version("torch")
        found = importlib.util.find_spec("torch")
    except (importlib.metadata.PackageNotFoundError, ValueError):
        return "", ""
    if found is None or found.origin is None:
        return "", ""
    text = Path(found.origin).with_name("version.py").read_text()
    match = re.search(r"^(?:cuda|hip)\b[^=]*=\s*'([^']+)'", text, re.M)
    return version, match[1] if match else ""
