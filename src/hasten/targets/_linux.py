"""CPU facts on Linux, from ``/proc`` and ``/sys``; no library and no subprocess.

**Source:** the kernel's documentation: admin-guide/cputopology, ABI sysfs-devices-system-cpu,
admin-guide/cgroup-v1 and cgroup-v2. Every reader takes the root folder, so that a test can lay
out another machine.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

#: Flags that decide which kernels a runtime picks; the other hundred are noise in a report.
ISA = re.compile(
    r"sse4_[12]|avx|f16c|fma|avx2|avx_\w+|avx512\w+|avx10\w*|amx_\w+"
    r"|neon|asimd|asimddp|asimdhp|fphp|i8mm|bf16|sve\w*|sme2?"
)
CPUS = "sys/devices/system/cpu"


def facts(root: Path = Path("/"), allowed: Iterable[int] | None = None) -> dict[str, Any]:
    """Everything about the CPU; ``allowed`` are the processors this process may run on."""
    info = cpuinfo(_text(root / "proc/cpuinfo"))
    cpus = _online(root, info["logical"])
    mine = sorted(set(allowed) & set(cpus)) if allowed is not None else cpus
    memory = _meminfo(root)
    limit = cgroup_memory(root)
    return {
        "name": info["name"],
        "isa": info["isa"],
        "isa_complete": bool(info["isa"]),
        "physical_cores": len(_cores(root, cpus)),
        "logical_cores": len(cpus),
        "allowed_physical_cores": len(_cores(root, mine)),
        "allowed_logical_cores": len(mine),
        "quota_cores": cgroup_cores(root),
        "numa_nodes": len(list((root / "sys/devices/system/node").glob("node[0-9]*"))) or None,
        **_caches(root, cpus),
        "memory_physical_bytes": memory,
        "memory_bytes": min(memory, limit) if limit else memory,
        "memory_limit_bytes": limit if limit and limit < memory else None,
        "governor": _text(root / CPUS / "cpu0/cpufreq/scaling_governor").strip() or None,
        "frequency_hertz": _frequency(root),
        **_virtual(root, info["hypervisor"]),
    }


def cpuinfo(text: str) -> dict[str, Any]:
    """Name, ISA flags, number of processors and hypervisor flag in ``/proc/cpuinfo``."""
    pairs = [line.partition(":") for line in text.splitlines() if ":" in line]
    fields: dict[str, str] = {}
    for key, _, value in pairs:
        fields.setdefault(key.strip().lower(), value.strip())
    flags = (fields.get("flags") or fields.get("features") or "").split()
    return {
        "name": _name(fields),
        "isa": sorted({flag for flag in flags if ISA.fullmatch(flag)}),
        "logical": sum(key.strip() == "processor" for key, _, _ in pairs),
        "hypervisor": "hypervisor" in flags,
    }


def _name(fields: dict[str, str]) -> str:
    for key in ("model name", "hardware", "cpu", "uarch"):
        if fields.get(key):
            return fields[key]
    if "cpu part" in fields:  # 64-bit Arm kernels print numbers only
        return f"Arm implementer {fields.get('cpu implementer')} part {fields['cpu part']}"
    return "unknown"


def _online(root: Path, count: int) -> list[int]:
    text = _text(root / CPUS / "online").strip()
    return list(ranges(text)) if text else list(range(count or os.cpu_count() or 1))


def ranges(text: str) -> Iterator[int]:
    """The numbers in a kernel list such as ``"0-3,8"``."""
    for part in text.split(","):
        first, _, last = part.partition("-")
        yield from range(int(first), int(last or first) + 1)


def _cores(root: Path, cpus: Iterable[int]) -> set[tuple[str, ...]]:
    """Distinct physical cores: processors that share a core have equal topology numbers."""
    cores = set()
    for cpu in cpus:
        topology = root / CPUS / f"cpu{cpu}/topology"
        place = [_text(topology / name).strip() for name in ("physical_package_id", "core_id")]
        # Some virtual machines leave core_id out: then each processor counts as a core.
        cores.add((*place,) if place[1] else (str(cpu),))
    return cores


def _caches(root: Path, cpus: Iterable[int]) -> dict[str, dict[str, int]]:
    """Sizes in bytes: of the instance that one core sees, and of all instances together."""
    one: dict[str, int] = {}
    instances: dict[str, dict[str, int]] = {}
    for cpu in cpus:
        for index in sorted((root / CPUS / f"cpu{cpu}/cache").glob("index[0-9]*")):
            kind = {"Data": "d", "Instruction": "i"}.get(_text(index / "type").strip(), "")
            level = f"L{_text(index / 'level').strip()}{kind}"
            size = _size(_text(index / "size"))
            if size:
                one.setdefault(level, size)
                instances.setdefault(level, {})[_text(index / "shared_cpu_list").strip()] = size
    totals = {level: sum(found.values()) for level, found in instances.items()}
    return {"caches": dict(sorted(one.items())), "cache_totals": dict(sorted(totals.items()))}


def _size(text: str) -> int:
    match = re.fullmatch(r"(\d+)([KMG]?)", text.strip())
    return int(match[1]) << {"": 0, "K": 10, "M": 20, "G": 30}[match[2]] if match else 0


def _meminfo(root: Path) -> int:
    match = re.search(r"^MemTotal:\s+(\d+) kB", _text(root / "proc/meminfo"), re.M)
    return int(match[1]) << 10 if match else 0


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """Folders of this process's control group and its parents, for one controller."""
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, names, path = line.split(":", 2)
        if names and controller not in names.split(","):
            continue
        base = root / "sys/fs/cgroup" / (names and _mount(root, names, controller))
        group = base / path.lstrip("/")
        yield from (folder for folder in (group, *group.parents) if folder.is_relative_to(base))


def _mount(root: Path, names: str, controller: str) -> str:
    """The folder of a version 1 controller: ``cpu`` or ``cpu,cpuacct``, as the system names it."""
    return names if (root / "sys/fs/cgroup" / names).is_dir() else controller


def cgroup_cores(root: Path = Path("/")) -> float | None:
    """The CPU time granted per second of wall time, in cores; ``None`` where unlimited."""
    found = []
    for folder in _groups(root, "cpu"):
        quota, _, period = _text(folder / "cpu.max").strip().partition(" ")
        quota = quota or _text(folder / "cpu.cfs_quota_us").strip()
        period = period or _text(folder / "cpu.cfs_period_us").strip()
        if quota.isdigit() and period.isdigit() and int(period):
            found.append(int(quota) / int(period))
    return min(found, default=None)


def cgroup_memory(root: Path = Path("/")) -> int | None:
    """The smallest memory limit on this process in bytes; ``None`` where unlimited."""
    names = ("memory.max", "memory.limit_in_bytes")
    texts = (_text(folder / name).strip() for folder in _groups(root, "memory") for name in names)
    found = [int(text) for text in texts if text.isdigit()]
    # Version 1 says "unlimited" with the largest multiple of the page size below 2**63.
    return min((limit for limit in found if limit < 1 << 62), default=None)


def _frequency(root: Path) -> int | None:
    text = _text(root / CPUS / "cpu0/cpufreq/cpuinfo_max_freq").strip()
    return int(text) * 1000 if text.isdigit() else None


def _virtual(root: Path, flag: bool) -> dict[str, Any]:
    """Whether a hypervisor or a container lies between us and the machine."""
    dmi = root / "sys/class/dmi/id"
    product = f"{_text(dmi / 'sys_vendor').strip()} {_text(dmi / 'product_name').strip()}".strip()
    guest = flag or bool(re.search(r"QEMU|KVM|VMware|VirtualBox|Xen|Virtual Machine", product))
    marks = (root / ".dockerenv", root / "run/.containerenv")
    return {
        "virtual": guest,
        "product": product or None,
        "container": any(mark.exists() for mark in marks),
    }


def _text(path: Path) -> str:
    """A file's text; empty where the kernel offers no such file or does not let us read it."""
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
