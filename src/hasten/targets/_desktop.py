"""CPU facts on macOS and Windows: what the system tells without extra packages.

**Source:** macOS ``sysctl`` names ``hw.*`` and ``machdep.cpu.*``; Windows
``IsProcessorFeaturePresent``, and psutil for cores and memory.
Feature names are translated to those of Linux. Windows does not tell of VNNI or bf16 on x86, so
its list is marked incomplete. Not run on either system yet; the translation is tested.
"""

from __future__ import annotations

import ctypes
import os
import platform
import subprocess
from collections.abc import Mapping
from typing import Any

FEATURES = {
    "AVX1.0": "avx",
    "F16C": "f16c",
    "FMA": "fma",
    "AVX2": "avx2",
    "AVX512F": "avx512f",
    "AVX512BW": "avx512bw",
    "AVX512VL": "avx512vl",
    "AVX512VNNI": "avx512_vnni",
    "hw.optional.arm.FEAT_DotProd": "asimddp",
    "hw.optional.arm.FEAT_FP16": "asimdhp",
    "hw.optional.arm.FEAT_BF16": "bf16",
    "hw.optional.arm.FEAT_I8MM": "i8mm",
    "hw.optional.arm.FEAT_SME": "sme",
    "hw.optional.arm.FEAT_SME2": "sme2",
}
CACHES = {"L1d": "hw.l1dcachesize", "L1i": "hw.l1icachesize", "L2": "hw.l2cachesize"}

#: Numbers of ``PF_*`` constants in ``winnt.h``.
WINDOWS_FEATURES = {
    37: "sse4_1",
    38: "sse4_2",
    39: "avx",
    40: "avx2",
    41: "avx512f",
    43: "asimddp",
    46: "sve",
    66: "i8mm",
    67: "asimdhp",
    68: "bf16",
}


def macos() -> dict[str, Any]:
    """Facts on macOS."""
    told = subprocess.run(["sysctl", "-a"], capture_output=True, text=True, timeout=10, check=False)
    pairs = (line.partition(": ") for line in told.stdout.splitlines())
    return from_sysctl({key: value.strip() for key, _, value in pairs})


def from_sysctl(values: Mapping[str, str]) -> dict[str, Any]:
    """Facts from what ``sysctl -a`` prints."""
    listed = (
        f"{values.get('machdep.cpu.features', '')} {values.get('machdep.cpu.leaf7_features', '')}"
    )
    present = {*listed.split(), *(key for key, value in values.items() if value == "1")}
    memory = int(values.get("hw.memsize", 0))
    logical = int(values.get("hw.logicalcpu", os.cpu_count() or 1))
    physical = int(values.get("hw.physicalcpu", logical))
    sizes = {level: int(values.get(key, 0)) for level, key in CACHES.items()}
    sizes["L3"] = int(values.get("hw.l3cachesize", 0))
    return {
        **_plain(physical, logical, memory),
        "name": values.get("machdep.cpu.brand_string", "unknown"),
        "isa": sorted({name for key, name in FEATURES.items() if key in present}),
        "isa_complete": True,
        "caches": {level: size for level, size in sizes.items() if size},
        "virtual": values.get("kern.hv_vmm_present") == "1",
    }


def windows() -> dict[str, Any]:
    """Facts on Windows."""
    kernel32 = ctypes.WinDLL("kernel32")  # type: ignore[attr-defined]
    logical = os.cpu_count() or 1
    import psutil

    physical = psutil.cpu_count(logical=False) or logical
    present = kernel32.IsProcessorFeaturePresent
    return {
        **_plain(physical, logical, psutil.virtual_memory().total),
        "name": platform.processor() or "unknown",
        "isa": sorted(name for number, name in WINDOWS_FEATURES.items() if present(number)),
        "isa_complete": False,
    }


def unknown() -> dict[str, Any]:
    """Facts on any other system: only what Python itself knows."""
    cores = os.cpu_count() or 1
    return {
        **_plain(cores, cores, 0),
        "name": platform.processor() or "unknown",
        "isa": [],
        "isa_complete": False,
    }


def _plain(physical: int, logical: int, memory: int) -> dict[str, Any]:
    """The facts that these systems do not tell, as ``None``, beside those that they do."""
    return {
        "physical_cores": physical,
        "logical_cores": logical,
        "allowed_physical_cores": physical,
        "allowed_logical_cores": logical,
        "quota_cores": None,
        "numa_nodes": None,
        "caches": {},
        "cache_totals": {},
        "memory_physical_bytes": memory,
        "memory_bytes": memory,
        "memory_limit_bytes": None,
        "governor": None,
        "frequency_hertz": None,
        "virtual": None,
        "product": None,
        "container": None,
    }
