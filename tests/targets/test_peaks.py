"""Peaks: the arithmetic of the counting, what is refused, and that no kernel lies above them."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from hasten.targets import _numpy, _openvino, _peaks
from hasten.targets._jobs import CONVOLUTIONS, Convolution, Job, Request

TINY = Request(threads=2, seconds=0.02, cache_bytes=1 << 20)


def spin(seconds: float) -> None:
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


def test_operations_of_chained_convolutions_equal_a_count_by_hand() -> None:
    form = Convolution(channels=3, kernel=3, image=8, layers=2)
    by_hand = sum(2 * 4 * 3 * 3 * 9 * side * side for side in (6, 4))
    assert form.operations(batch=4) == by_hand


@pytest.mark.skipif(not importlib.util.find_spec("torch"), reason="torch is not installed")
def test_operations_agree_with_the_shapes_torch_computes() -> None:
    import torch

    form = CONVOLUTIONS[0]
    x = torch.zeros(1, form.channels, form.image, form.image)
    w = torch.zeros(form.channels, form.channels, form.kernel, form.kernel)
    total = 0
    for _ in range(form.layers):
        x = torch.nn.functional.conv2d(x, w)
        total += 2 * x.numel() * form.channels * form.kernel**2
    assert form.operations(1) == total


def test_the_fastest_job_wins_and_rates_are_amount_per_second() -> None:
    jobs = [Job("slow", 1e6, lambda: spin(4e-3)), Job("fast", 1e6, lambda: spin(1e-3))]
    won = _peaks.race(jobs, "f32", 0.1)
    assert won["what"] == "fast"
    assert 0.5e9 < won["value"] <= 1e9
    assert won["value"] >= won["median"]
    assert won["n"] >= _peaks.LEAST_CALLS


def test_a_job_in_other_arithmetic_than_asked_is_refused_and_named() -> None:
    fake = Job("emulated", 1e12, lambda: None, ran=lambda: "f32")
    real = Job("true", 1.0, lambda: None, ran=lambda: "bf16")
    won = _peaks.race([fake, real], "bf16", 0.01)
    assert won["what"] == "true"
    assert won["refused"] == ["emulated ran in f32"]
    assert _peaks.race([fake], "bf16", 0.01) == {"error": "emulated ran in f32"}


def test_a_slow_job_does_not_overrun_its_share_for_long() -> None:
    calls: list[int] = []

    def slow() -> None:
        calls.append(1)
        spin(0.02)

    _peaks.clock(Job("slow", 1.0, slow), 0.01)
    assert len(calls) <= 4


def test_openvino_kernels_tell_their_arithmetic() -> None:
    convolution = [("Reorder", "jit_uni_f32"), ("Convolution", "brgconv_avx512_I8")]
    assert _openvino.arithmetic(convolution) == "int8"
    assert _openvino.arithmetic([("FullyConnected", "brgemm_avx512_bf16")]) == "bf16"
    assert _openvino.arithmetic([("FullyConnectedQuantizedLegacy", "brgemm_avx512_U8")]) == "int8"
    assert _openvino.arithmetic([("Reorder", "jit_uni_f32")]) == ""


def test_summary_takes_the_best_and_skips_errors() -> None:
    records = [
        {"quantity": "f32", "value": 2.0},
        {"quantity": "f32", "value": 3.0},
        {"quantity": "int8", "error": "no"},
        {"quantity": "bandwidth", "value": 7.0},
    ]
    told = _peaks.summary(records)
    assert told == {"peaks": {"f32": 3.0}, "bandwidth_bytes_per_second": 7.0}


def test_streams_are_larger_than_the_caches_and_the_chunks_cover_them() -> None:
    request = Request(threads=2, seconds=1.0, cache_bytes=100 << 20)
    source, target, chunk = request.streams()
    assert source.nbytes == target.nbytes == 400 << 20
    assert chunk * 4 == 50 << 20
    assert source.size % chunk == 0
    assert float(source.min()) == 1.0


def test_copy_copies() -> None:
    copy = {job.what: job for job in _numpy.traffic(TINY)}["copy"]
    assert copy.amount == 2 * (16 << 20)
    copy.call()


def test_a_child_that_prints_and_dies_loses_only_the_rest(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    child = tmp_path / "child"
    child.write_text(
        f"#!{sys.executable}\nimport sys\n"
        'print(\'{"quantity": "f32", "value": 5.0}\', flush=True)\n'
        'print(\'{"quantity": "int8", "va\', end="")\n'
        'sys.stderr.write("Traceback\\nOSError: library gone\\n")\nsys.exit(3)\n'
    )
    child.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(child))
    told = _peaks.collect(["numpy"], TINY, 30.0)
    assert told["peaks"] == {"f32": 5.0}
    assert told["missing"] == {"numpy": "it ended with code 3: OSError: library gone"}


def test_a_child_that_hangs_is_stopped_and_its_lines_are_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    child = tmp_path / "child"
    child.write_text(
        f"#!{sys.executable}\nimport time\n"
        'print(\'{"quantity": "f32", "value": 5.0}\', flush=True)\ntime.sleep(60)\n'
    )
    child.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(child))
    told = _peaks.collect(["numpy", "numpy"], TINY, 2.0)
    assert told["peaks"] == {"f32": 5.0}
    assert told["seconds"] < 10


def test_a_library_that_is_not_installed_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(_peaks.MEANS, "torch", ("no-such-distribution", "none"))
    assert _peaks.collect(["torch"], TINY, 5.0)["missing"] == {}


def test_numpy_in_a_real_child() -> None:
    records, why = _peaks.ask("numpy", TINY, 60.0)
    assert why == ""
    assert {record["quantity"] for record in records} == {"f32", "bandwidth"}
    for record in records:
        assert record["value"] >= record["median"] > 0
        assert record["version"] == np.__version__
        assert json.loads(json.dumps(record)) == record


@pytest.mark.skipif(not importlib.util.find_spec("openvino"), reason="openvino is not installed")
def test_no_openvino_kernel_lies_above_the_roofline_of_openvino() -> None:
    """A convolution that the peaks were not taken from stays below the measured peak."""
    records, why = _peaks.ask("openvino", Request(2, 0.6, 1 << 20), 120.0)
    assert why == ""
    peaks = _peaks.summary(records)["peaks"]
    assert peaks["f32"] > 1e9
    code = (
        "import json, numpy as np, openvino\n"
        "from openvino import opset13 as op\n"
        "x = op.parameter([1, 64, 40, 40], np.float32)\n"
        "y = op.convolution(x, op.constant(np.ones((96, 64, 3, 3), np.float32)),"
        " [1, 1], [0, 0], [0, 0], [1, 1])\n"
        "c = openvino.Core().compile_model(openvino.Model([y], [x]), 'CPU',"
        " {'INFERENCE_PRECISION_HINT': 'f32', 'PERF_COUNT': True, 'INFERENCE_NUM_THREADS': 2})\n"
        "r = c.create_infer_request()\n"
        "times = []\n"
        "for _ in range(100):\n"
        "    r.infer()\n"
        "    times += [p.real_time.total_seconds() for p in r.profiling_info"
        " if p.node_type == 'Convolution']\n"
        "print(json.dumps(times))\n"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    fastest = min(json.loads(told.stdout))
    rate = 2 * 96 * 64 * 9 * 38 * 38 / fastest
    assert rate < 1.4 * peaks["f32"], "a kernel above the roofline is a bug of the roofline"
    if "int8" in peaks:
        assert peaks["int8"] > 0.8 * peaks["f32"]
