"""CPU facts, read from ``/proc`` and ``/sys`` as other machines have them, and from this one."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import psutil
import pytest

from hasten import plugin
from hasten.targets import _desktop, _linux
from hasten.targets.cpu import with_cores

XEON = """processor\t: 0
model name\t: Example Xeon 8480
flags\t\t: fpu sse4_2 fma avx2 avx512f avx512_vnni amx_tile amx_int8 smep hypervisor

processor\t: 1
model name\t: Example Xeon 8480
"""
ARM = """processor\t: 0
BogoMIPS\t: 2100.00
Features\t: fp asimd asimdhp asimddp sve i8mm bf16 crc32
CPU implementer\t: 0x41
CPU part\t: 0xd40
"""


def lay(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def server(root: Path) -> Path:
    """Two cores of two threads each, two memory nodes, one L3 for all, L2 per core."""
    files = {
        "proc/cpuinfo": XEON,
        "proc/meminfo": "MemTotal:       16777216 kB\nMemFree: 1 kB\n",
        "proc/self/cgroup": "0::/box\n",
        "sys/devices/system/cpu/online": "0-3\n",
        "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "powersave\n",
        "sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq": "3800000\n",
        "sys/devices/system/node/node0/cpulist": "0-1",
        "sys/devices/system/node/node1/cpulist": "2-3",
    }
    for cpu in range(4):
        base = f"sys/devices/system/cpu/cpu{cpu}"
        core = cpu // 2
        files[f"{base}/topology/physical_package_id"] = "0\n"
        files[f"{base}/topology/core_id"] = f"{core}\n"
        rows = (
            ("1", "Data", "48K", core),
            ("2", "Unified", "2048K", core),
            ("3", "Unified", "64M", 9),
        )
        for index, (level, kind, size, shared) in enumerate(rows):
            cache = f"{base}/cache/index{index}"
            files |= {f"{cache}/level": level, f"{cache}/type": kind, f"{cache}/size": f"{size}\n"}
            files[f"{cache}/shared_cpu_list"] = str(shared)
    return lay(root, files)


def test_server_with_hyper_threads(tmp_path: Path) -> None:
    facts = _linux.facts(server(tmp_path))
    assert facts["name"] == "Example Xeon 8480"
    assert facts["isa"] == [
        "amx_int8",
        "amx_tile",
        "avx2",
        "avx512_vnni",
        "avx512f",
        "fma",
        "sse4_2",
    ]
    assert (facts["physical_cores"], facts["logical_cores"], facts["numa_nodes"]) == (2, 4, 2)
    assert facts["caches"] == {"L1d": 48 << 10, "L2": 2 << 20, "L3": 64 << 20}
    assert facts["cache_totals"] == {"L1d": 96 << 10, "L2": 4 << 20, "L3": 64 << 20}
    assert (facts["governor"], facts["frequency_hertz"]) == ("powersave", 3_800_000_000)
    assert facts["memory_bytes"] == 16 << 30
    assert facts["memory_limit_bytes"] is None
    assert facts["virtual"] is True
    assert facts["container"] is False


@pytest.mark.parametrize(("allowed", "cores"), [({0, 1}, 1), ({0, 2}, 2), ({0, 1, 2, 3}, 2)])
def test_threads_of_one_core_count_once(tmp_path: Path, allowed: set[int], cores: int) -> None:
    facts = _linux.facts(server(tmp_path), allowed)
    assert facts["allowed_physical_cores"] == cores
    assert with_cores(facts)["cores"] == cores


def test_limits_of_a_control_group_and_its_parents(tmp_path: Path) -> None:
    server(tmp_path)
    lay(
        tmp_path,
        {
            "proc/self/cgroup": "0::/pod/box\n",
            "sys/fs/cgroup/pod/cpu.max": "150000 100000\n",
            "sys/fs/cgroup/pod/box/cpu.max": "max 100000\n",
            "sys/fs/cgroup/pod/memory.max": "max\n",
            "sys/fs/cgroup/pod/box/memory.max": f"{4 << 30}\n",
        },
    )
    facts = with_cores(_linux.facts(tmp_path))
    assert facts["quota_cores"] == pytest.approx(1.5)
    assert facts["cores"] == 1
    assert facts["memory_bytes"] == facts["memory_limit_bytes"] == 4 << 30
    assert facts["memory_physical_bytes"] == 16 << 30


def test_limits_of_version_1_control_groups(tmp_path: Path) -> None:
    lay(
        tmp_path,
        {
            "proc/self/cgroup": "4:memory:/box\n3:cpu,cpuacct:/\n1:name=systemd:/\n",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "400000\n",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
            "sys/fs/cgroup/memory/box/memory.limit_in_bytes": "1073741824\n",
        },
    )
    assert _linux.cgroup_cores(tmp_path) == pytest.approx(4.0)
    assert _linux.cgroup_memory(tmp_path) == 1 << 30


def test_unlimited_is_none(tmp_path: Path) -> None:
    lay(
        tmp_path,
        {
            "proc/self/cgroup": "3:cpu:/\n4:memory:/\n",
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
        },
    )
    assert _linux.cgroup_cores(tmp_path) is None
    assert _linux.cgroup_memory(tmp_path) is None


def test_arm_has_numbers_for_a_name() -> None:
    info = _linux.cpuinfo(ARM)
    assert info["name"] == "Arm implementer 0x41 part 0xd40"
    assert info["isa"] == ["asimd", "asimddp", "asimdhp", "bf16", "i8mm", "sve"]
    assert info["logical"] == 1


def test_an_empty_tree_says_unknown_and_does_not_fail(tmp_path: Path) -> None:
    facts = _linux.facts(tmp_path)
    assert facts["name"] == "unknown"
    assert facts["isa_complete"] is False
    assert facts["caches"] == {}


def test_kernel_lists() -> None:
    assert list(_linux.ranges("0-2,5,7-8")) == [0, 1, 2, 5, 7, 8]


def test_macos_names_are_translated() -> None:
    facts = _desktop.from_sysctl(
        {
            "machdep.cpu.brand_string": "Apple M4",
            "hw.memsize": str(32 << 30),
            "hw.logicalcpu": "10",
            "hw.physicalcpu": "10",
            "hw.l1dcachesize": "65536",
            "hw.l2cachesize": "4194304",
            "hw.optional.arm.FEAT_BF16": "1",
            "hw.optional.arm.FEAT_I8MM": "1",
            "hw.optional.arm.FEAT_SME": "0",
        }
    )
    assert (facts["name"], facts["isa"]) == ("Apple M4", ["bf16", "i8mm"])
    assert facts["caches"] == {"L1d": 65536, "L2": 4 << 20}
    assert with_cores(facts)["cores"] == 10


def test_macos_on_intel() -> None:
    facts = _desktop.from_sysctl(
        {"machdep.cpu.features": "FPU AVX1.0 FMA", "machdep.cpu.leaf7_features": "AVX2 AVX512F"}
    )
    assert facts["isa"] == ["avx", "avx2", "avx512f", "fma"]


def test_every_system_gives_the_same_facts(tmp_path: Path) -> None:
    kinds = [_linux.facts(server(tmp_path)), _desktop.from_sysctl({}), _desktop.unknown()]
    assert set(kinds[0]) == set(kinds[1]) == set(kinds[2])


def test_this_machine() -> None:
    facts = plugin.targets.get("cpu").probe()
    assert facts["present"] is True
    assert 1 <= facts["cores"] <= facts["logical_cores"]
    if platform.system() == "Linux":
        assert facts["allowed_logical_cores"] == len(os.sched_getaffinity(0))
        assert facts["memory_physical_bytes"] == pytest.approx(
            psutil.virtual_memory().total, rel=0.01
        )
        assert facts["logical_cores"] == psutil.cpu_count()
