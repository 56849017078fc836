"""The GPU bench without a GPU: its arithmetic, its dry run, and how it calls Hasten's engines."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from hasten import plugin, types
from hasten.plugin import Engine, Runner
from hasten.types import Arrays, Kernel

pytestmark = pytest.mark.skipif(
    not importlib.util.find_spec("torch"), reason="torch is not installed"
)
FILE = Path(__file__).parents[1] / "bench" / "gpu_inference.py"


@pytest.fixture(scope="module")
def bench() -> Iterator[ModuleType]:
    spec = importlib.util.spec_from_file_location("gpu_inference", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["gpu_inference"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["gpu_inference"]


def test_sqnr(bench: ModuleType) -> None:
    signal = np.array([3.0, 4.0])
    assert bench.sqnr(signal, signal) == float("inf")
    assert bench.sqnr(signal, np.array([3.5, 4.0])) == pytest.approx(20.0)
    assert bench.sqnr(signal, np.array([np.nan, 4.0])) == float("-inf")


def way(bench: ModuleType, name: str, medians: list[float]) -> Any:
    made = bench.Way(name, lambda: np.ones(2, np.float32))
    made.rounds = [[value] * 3 for value in medians]
    return made


def test_ratio_is_paired_by_round(bench: ModuleType) -> None:
    drift = [1.0, 2.0, 4.0, 8.0, 16.0]
    base, fast = way(bench, "base", drift), way(bench, "fast", [value / 2 for value in drift])
    assert bench.ratio(base, fast) == (2.0, 2.0, 2.0)


def test_judge_sorts_by_time_and_needs_the_reference(bench: ModuleType) -> None:
    names = (bench.REFERENCE, bench.BASE, "quick")
    ways = [way(bench, n, [v] * 3) for n, v in zip(names, (2.0, 1.0, 0.5), strict=True)]
    cells = bench.judge(ways)
    assert [cell["way"] for cell in cells] == ["quick", bench.BASE, bench.REFERENCE]
    assert cells[0]["ratio"] == 2.0
    assert not bench.failed(cells[0])
    assert all(bench.failed(cell) for cell in bench.judge(ways[1:]))


def test_a_wrong_answer_fails(bench: ModuleType) -> None:
    ways = [way(bench, name, [1.0] * 3) for name in (bench.REFERENCE, bench.BASE, "wrong")]
    ways[2].call = lambda: np.array([1.0, -1.0], np.float32)
    assert {cell["way"]: bench.failed(cell) for cell in bench.judge(ways)}["wrong"]


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "mobilenet", "vit", "lstm"])
def test_models_answer_with_finite_logits(bench: ModuleType, name: str) -> None:
    import torch

    subject = bench.MODELS[name]
    model = subject.make(True)
    with torch.no_grad():
        bench.settle(model, torch.randn(4, *subject.tiny))
        y = model(torch.randn(2, *subject.tiny))
    assert y.shape[0] == 2
    assert bool(torch.isfinite(y).all())
    assert float(y.std()) > 0


class EagerRunner(Runner):
    def __init__(self, model: Any) -> None:
        self.model, self.facts = model, {"threads": 1}

    def bind(self, arrays: Arrays) -> Any:
        import torch

        return torch.from_numpy(arrays["x"])

    def run(self, feed: Any) -> Arrays:
        return {"y": self.model(feed).numpy()}

    def profile(self, feed: Any) -> list[Kernel]:
        return [Kernel("a", "conv", "f32", 3.0), Kernel("b", "conv", "bf16", 1.0)]


class EagerEngine(Engine):
    accepts = ("torch",)

    def compile(self, model: Any, workload: Any, options: Any) -> Runner:
        assert workload.batch == 2
        assert model.spec.inputs[0].shape[0] == types.BATCH
        return EagerRunner(model.handle)


def test_the_engines_of_hasten_are_run_and_profiled(bench: ModuleType) -> None:
    modules = (
        SimpleNamespace(
            engines=SimpleNamespace(available=lambda: [EagerEngine()]), targets=plugin.targets
        ),
        types,
    )
    given = bench.arguments(["--dry-run-cpu", "--rounds", "2", "--seconds", "0.001"])
    given.ways = "eager,hasten"
    cells = bench.run_row(bench.MODELS["lstm"], 2, given, modules)
    (own,) = [cell for cell in cells if cell["way"].startswith("hasten")]
    assert own["time_by_precision"] == {"f32": 0.75, "bf16": 0.25}
    assert own["settings"] == {"threads": "1"}
    assert own["sqnr"] > 100
    assert not any(bench.failed(cell) for cell in cells)


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(FILE), *words], capture_output=True, text=True)


def test_without_cuda_it_says_so_in_one_line_and_exits_with_2() -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    told = run()
    assert told.returncode == 2
    assert told.stdout.startswith("No CUDA device")
    assert len(told.stdout.splitlines()) == 1


def test_an_unknown_model_or_way_is_named() -> None:
    for words, text in ((["--models", "vgg"], "vgg"), (["--ways", "magic"], "magic")):
        told = run("--dry-run-cpu", *words)
        assert told.returncode == 2
        assert f"'{text}'; known:" in told.stderr


def test_a_dry_run_writes_rows_and_does_not_repeat_them(tmp_path: Path) -> None:
    out = tmp_path / "gpu.json"
    words = ["--dry-run-cpu", "--models", "lstm", "--batches", "2", "--rounds", "2"]
    words += ["--seconds", "0.001", "--ways", "eager,graph", "--out", str(out)]
    told = run(*words)
    assert told.returncode == 0, told.stdout + told.stderr
    cells = json.loads(out.read_text())["rows"]["lstm, batch 2"]
    assert {cell["way"] for cell in cells} >= {"eager f32", "eager default", "eager bf16"}
    for cell in cells:
        assert cell["n"] >= 6
        assert cell["sqnr"] > 30
    again = run(*words)
    assert "lstm, batch 2: done before" in again.stdout


def test_plug_ins_and_targets_need_no_more_than_numpy() -> None:
    """What a CUDA machine with torch and NumPy alone must be able to import."""
    code = (
        "import sys\n"
        "absent = 'psutil', 'packaging', 'rich', 'typer', 'safetensors', 'PIL'\n"
        "class Block:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in absent:\n"
        "            raise ImportError(f'{name} is not installed')\n"
        "sys.meta_path.insert(0, Block())\n"
        "from hasten import plugin, types\n"
        "import hasten.targets._peaks, hasten.targets._cuda\n"
        "print(plugin.targets.get('gpu').probe()['present'], plugin.engines.names() != [])\n"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert told.returncode == 0, told.stderr
    assert told.stdout.split()[1] == "True"
