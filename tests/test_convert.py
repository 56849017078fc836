"""``hasten convert``: from any source to a file of another format, compared."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs torch")

import foreign
import roads
from roads import Said

Command = Callable[..., Said]


@pytest.mark.parametrize(
    ("suffix", "package"), [(".onnx", "onnxscript"), (".xml", "openvino"), (".pt2", "torch")]
)
def test_a_caffe_network_becomes(
    suffix: str, package: str, hasten: Command, workplace: Path
) -> None:
    pytest.importorskip(package)
    foreign.caffe(workplace)
    said = hasten("convert", "net.prototxt", "-o", f"net{suffix}", "--json")
    assert said.code == 0, said.err
    told = json.loads(said.out)
    assert told["difference"] is None or told["difference"] < 1e-5
    assert told["spec"]["inputs"][0]["shape"][0] == "batch"
    assert (workplace / f"net{suffix}").exists()
    assert not list(workplace.glob(".net*"))
    trust = ["--trust"] if suffix == ".pt2" else []
    again = hasten("inspect", f"net{suffix}", *trust, "--json")
    assert again.code == 0, again.err
    assert json.loads(again.out)["spec"]["inputs"][0]["shape"] == ["batch", 3, 9, 9]


def test_an_onnx_model_becomes_pytorchs(hasten: Command, workplace: Path) -> None:
    pytest.importorskip("onnxruntime")
    roads.onnx_model(workplace / "model.onnx")
    said = hasten("convert", "model.onnx", "-o", "model.pt2")
    assert said.code == 0, said.err
    assert "outputs differ by" in said.out
    assert "next  hasten optimize model.pt2 --trust" in said.out


def test_it_is_not_written_over(hasten: Command, workplace: Path) -> None:
    foreign.caffe(workplace)
    (workplace / "net.pt2").write_text("mine")
    said = hasten("convert", "net.prototxt", "-o", "net.pt2")
    assert (said.code, (workplace / "net.pt2").read_text()) == (2, "mine")
    assert "Pass --overwrite" in said.err
    assert hasten("convert", "net.prototxt", "-o", "net.pt2", "--overwrite").code == 0


@pytest.mark.parametrize(
    ("out", "text"),
    [
        ("net.zip", "its name must end in"),
        ("nowhere/net.onnx", "there is no folder 'nowhere'"),
    ],
)
def test_one_line_and_exit_2(out: str, text: str, hasten: Command, workplace: Path) -> None:
    foreign.caffe(workplace)
    said = hasten("convert", "net.prototxt", "-o", out)
    assert said.code == 2
    assert text in said.err
    assert len(said.err.strip().splitlines()) == 1


def test_reference_outputs_that_do_not_fit(hasten: Command, workplace: Path) -> None:
    foreign.caffe(workplace)
    np.savez(workplace / "wrong.npz", data=np.zeros((2, 3, 9, 9), np.float32))
    said = hasten("convert", "net.prototxt", "-o", "net.pt2", "--reference", "wrong.npz")
    assert said.code == 2
    assert "has no array" in said.err
    assert not (workplace / "net.pt2").exists()
