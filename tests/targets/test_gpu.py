"""The GPU target without a GPU: what it makes of ``nvidia-smi`` and of a stand-in for torch."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hasten import plugin
from hasten.targets import _cuda, gpu

TWO = "NVIDIA H200, 570.86.10, 143771, 9.0\nNVIDIA H200, 570.86.10, 143771, 9.0\n"


def fake_torch(available: bool = True, cuda: str | None = "13.0", hip: str | None = None) -> Any:
    device = SimpleNamespace(
        name="NVIDIA H200", total_memory=150 << 30, major=9, minor=0, multi_processor_count=132
    )
    return SimpleNamespace(
        __version__="2.13.0",
        version=SimpleNamespace(cuda=cuda, hip=hip),
        cuda=SimpleNamespace(
            is_available=lambda: available,
            get_device_properties=lambda index: device,
            device_count=lambda: 1,
        ),
        backends=SimpleNamespace(cudnn=SimpleNamespace(version=lambda: 91300)),
    )


def script(folder: Path, name: str, body: str) -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


def test_devices_of_nvidia_smi() -> None:
    facts = gpu.parse_smi(TWO)
    assert (facts["name"], facts["count"], facts["driver"]) == ("NVIDIA H200", 2, "570.86.10")
    assert facts["memory_bytes"] == 143771 << 20
    assert facts["compute_capability"] == "9.0"


@pytest.mark.parametrize("text", ["", "No devices were found\n", "\n\n"])
def test_no_device_in_nvidia_smi(text: str) -> None:
    assert gpu.parse_smi(text) == {}


def test_fields_that_nvidia_smi_cannot_tell() -> None:
    facts = gpu.parse_smi("Orin, 540.4.0, [N/A], [N/A]\n")
    assert facts["memory_bytes"] is None
    assert facts["compute_capability"] is None


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-in is a shell script")
def test_an_old_driver_is_asked_again_without_the_field_it_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse = 'case "$1" in *compute_cap*) echo \'Field "compute_cap" is not valid\'; exit 2;; esac'
    script(tmp_path, "nvidia-smi", f"{refuse}\necho 'Tesla V100, 450.80.02, 16160'")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    facts = gpu.nvidia_smi()
    assert (facts["name"], facts["compute_capability"]) == ("Tesla V100", None)


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-in is a shell script")
def test_a_failing_nvidia_smi_says_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script(tmp_path, "nvidia-smi", "echo 'driver/library version mismatch'; exit 18")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert gpu.nvidia_smi() == {}


def test_what_torch_says() -> None:
    facts = _cuda.describe(fake_torch())
    assert facts["present"] is True
    assert facts["torch_cuda"] is True
    assert (facts["vendor"], facts["compute_capability"]) == ("nvidia", "9.0")
    assert (facts["cuda"], facts["cudnn"]) == ("13.0", 91300)


def test_amd_devices_answer_through_the_same_names() -> None:
    assert _cuda.describe(fake_torch(cuda=None, hip="7.0"))["vendor"] == "amd"


def test_torch_without_a_device_says_why() -> None:
    assert "finds no device" in _cuda.describe(fake_torch(available=False))["reason"]
    assert "built for CPUs" in _cuda.describe(fake_torch(available=False, cuda=None))["reason"]


def test_torch_goes_first_and_the_driver_is_kept() -> None:
    facts = gpu.combine(gpu.parse_smi(TWO), _cuda.describe(fake_torch()))
    assert facts["memory_bytes"] == 150 << 30
    assert facts["driver"] == "570.86.10"
    assert facts["torch_cuda"] is True


def test_a_device_that_torch_cannot_use_is_present_with_the_reason() -> None:
    torch = {"present": False, "torch": "2.13.0+cpu", "reason": "built for CPUs only"}
    facts = gpu.combine(gpu.parse_smi(TWO), torch)
    assert facts["present"] is True
    assert facts["torch_cuda"] is False
    assert facts["reason"] == "built for CPUs only"


def test_no_device_anywhere() -> None:
    facts = gpu.combine({}, {"present": False, "reason": "torch is not installed"})
    assert facts == {"present": False, "reason": "torch is not installed"}


def test_a_machine_without_a_driver_is_not_asked_further(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "SIGNS", ())
    monkeypatch.setattr(gpu, "nvidia_smi", dict)
    monkeypatch.setattr(gpu, "ask_torch", lambda: pytest.fail("torch was asked"))
    target = plugin.targets.get("gpu")
    assert target.probe()["present"] is False
    assert target.probe()["reason"]
    assert target.measure() == {}


def fake_install(folder: Path, monkeypatch: pytest.MonkeyPatch, cuda: str) -> None:
    (folder / "torch").mkdir()
    (folder / "torch/__init__.py").write_text("raise OSError('libcudart.so.13: cannot open')\n")
    (folder / "torch/version.py").write_text(f"cuda: Optional[str] = {cuda}\nhip = None\n")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("PYTHONPATH", str(folder))
    monkeypatch.setattr(gpu.importlib.metadata, "version", lambda name: "2.13.0")
    monkeypatch.delitem(sys.modules, "torch", raising=False)


def test_the_build_of_torch_is_read_without_importing_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_install(tmp_path, monkeypatch, "'13.0'")
    assert gpu.torch_build() == ("2.13.0", "13.0")
    assert "torch" not in sys.modules


def test_a_torch_that_cannot_be_imported_is_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_install(tmp_path, monkeypatch, "'13.0'")
    assert "libcudart.so.13: cannot open" in gpu.ask_torch()["reason"]


def test_a_cpu_build_of_torch_is_not_even_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_install(tmp_path, monkeypatch, "None")
    assert gpu.ask_torch()["reason"] == "torch 2.13.0 is built for CPUs only"


def test_facts_are_json() -> None:
    facts = plugin.targets.get("gpu").probe()
    assert json.loads(json.dumps(facts)) == facts
