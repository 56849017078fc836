"""``docs/frameworks.md`` as a newcomer would try it: every command, on files of those names.

``optimize`` is asked for its plans alone: the model is read and compared as for a search.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs torch")

import torch

import foreign
from roads import Said

PAGE = Path(__file__).parents[1] / "docs" / "frameworks.md"
ELSEWHERE = ("/path/to/old/python", "model.json")
"""Needs an interpreter with a framework that is dead, or files that only such a one writes."""

TORCH = """
import torch

def factory():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU(),
                               torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(),
                               torch.nn.Linear(8, 5)).eval()
"""
JAX = """
import jax
import numpy as np

def factory():
    kernel = np.random.default_rng(0).standard_normal((3, 3, 3, 8)).astype(np.float32) * 0.2
    def network(x):
        y = jax.lax.conv_general_dilated(x, kernel, (2, 2), "SAME",
                                         dimension_numbers=("NHWC", "HWIO", "NHWC"))
        return jax.nn.relu(y).mean((1, 2))
    return network
"""
PYTENSOR = """
import numpy as np
import pytensor
import pytensor.tensor as pt

def factory():
    x = pt.matrix("x", dtype="float32")
    weight = np.random.default_rng(0).standard_normal((100, 8)).astype(np.float32)
    return [x], [pt.tanh(x @ pytensor.shared(weight))]
"""


def commands() -> Iterator[tuple[str, str]]:
    """Every command of the page with its section's title."""
    for section in PAGE.read_text().split("\n## "):
        for block in re.findall(r"```\n(.*?)```", section, flags=re.DOTALL):
            for line in block.splitlines():
                if line.startswith("hasten ") and not any(one in line for one in ELSEWHERE):
                    yield section.partition("\n")[0], re.split(r" {2,}", line)[0]


def module(code: str) -> None:
    Path("package").mkdir()
    Path("package/module.py").write_text(code)


def pytorch(here: Path) -> None:
    import safetensors.torch

    module(TORCH)
    made: dict[str, object] = {}
    exec(TORCH, made)
    network: torch.nn.Module = made["factory"]()  # type: ignore[operator]
    safetensors.torch.save_file(network.state_dict(), "weights.safetensors")
    example = torch.zeros(2, 3, 224, 224)
    batch = {0: torch.export.Dim("batch")}
    torch.export.save(
        torch.export.export(network, (example,), dynamic_shapes=(batch,)), "model.pt2"
    )
    torch.jit.script(network).save("scripted.pt")


def keras(here: Path) -> None:
    made = foreign.keras_files()
    shutil.copy(made / "digits.keras", "model.keras")
    shutil.copy(made / "recurrent.h5", "model.h5")


def tensorflow(here: Path) -> None:
    foreign.tensorflow(here)
    shutil.copytree("saved", "saved_model")
    shutil.copy("net.tflite", "model.tflite")


def mxnet(here: Path) -> None:
    foreign.mxnet(here)
    symbol = Path("net-symbol.json").read_text()
    Path("resnet-symbol.json").write_text(symbol)
    Path("net-0000.params").rename("resnet-0000.params")


READY: dict[str, tuple[str, Callable[[Path], object]]] = {
    "# Models of other frameworks": ("keras", keras),
    "PyTorch": ("torch", pytorch),
    "Keras": ("keras", keras),
    "TensorFlow and TFLite": ("tensorflow", tensorflow),
    "JAX and Flax": ("jax2onnx", lambda here: module(JAX)),
    "Caffe": ("torch", foreign.caffe),
    "MXNet": ("torch", mxnet),
    "Theano, Aesara, PyTensor": ("pytensor", lambda here: module(PYTENSOR)),
}
"""By section: the package it needs here, and what makes its files."""


@pytest.mark.slow
@pytest.mark.parametrize(("section", "line"), list(commands()))
def test_a_command_of_the_page(
    section: str, line: str, hasten: Callable[..., Said], workplace: Path
) -> None:
    package, make = READY[section]
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"needs {package}")
    make(workplace)
    _, verb, *rest = line.split()
    said = hasten(verb, *rest, *(["--dry-run"] if verb == "optimize" else []))
    assert said.code == 0, said.err
    assert said.out
