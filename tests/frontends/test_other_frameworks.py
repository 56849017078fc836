"""Models of other frameworks: loaded, compared with their source, the batch kept free."""

from __future__ import annotations

import importlib.util
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs torch")

import foreign
from hasten import plugin
from hasten.errors import (
    BadData,
    BadInput,
    BadModel,
    HastenError,
    NumericMismatch,
    Unsupported,
    Untrusted,
)
from hasten.plugin import Source, checking
from hasten.search.build import read_source
from hasten.types import Model, TensorSpec

CLOSE = 1e-5
"""Of the output's range, in fp32."""


def needs(name: str) -> None:
    package = foreign.NEEDED.get(name)
    if package and importlib.util.find_spec(package) is None:
        pytest.skip(f"needs {package}")


def outputs(model: Model, *inputs: np.ndarray) -> list[np.ndarray]:
    engine = checking.yardstick(model.form)
    assert engine is not None
    return checking.outputs(engine, model, inputs)


@pytest.mark.parametrize("name", foreign.MAKERS)
def test_it_is_loaded_and_compared(name: str, tmp_path: Path) -> None:
    needs(name)
    model = read_source(foreign.MAKERS[name](tmp_path))
    assert model.spec.inputs[0].shape[0] == "batch"
    (step,) = (one for one in model.history if one.family == "frontends")
    verified = step.against and step.difference is not None
    assert verified or step.note.startswith("unverified: "), step
    if verified:
        assert step.difference is not None
        assert step.difference <= CLOSE
    elif name not in ("caffe", "mxnet"):
        pytest.fail(f"{name} was not compared with anything: {step.note}")
    for feed in checking.feeds(model.spec.inputs, (5, 1)):
        found = outputs(model, *feed)
        assert len(found[0]) == len(feed[0])


@pytest.mark.parametrize("name", ["cnn.keras", "recurrent.h5", "attention.keras"])
def test_a_keras_model_computes_what_keras_computed(name: str, tmp_path: Path) -> None:
    if importlib.util.find_spec("keras") is None:
        pytest.skip("needs keras")
    source = foreign.keras(tmp_path, name)
    model = plugin.frontends.get("keras")(source)
    assert model.spec.inputs[0].shape[0] == "batch"
    assert model.history[-1].against == "Keras"
    with np.load(Path(source.what).with_suffix(".npz")) as kept:
        (found,) = outputs(model, kept["x"])
        spread = float(np.ptp(kept["y"]))
        assert np.abs(found - kept["y"]).max() <= CLOSE * spread


def test_a_loop_of_pytensor(tmp_path: Path) -> None:
    needs("pytensor")
    made = foreign.pytensor(tmp_path)
    shape = TensorSpec("x", "float32", (4, "batch", 3))
    source = replace(made, what="pytensor:pytensor_net:loop", examples=(shape,))
    model = read_source(source)
    (step,) = (one for one in model.history if one.family == "frontends")
    assert step.against.startswith("pytensor")
    assert step.difference is not None
    assert step.difference <= CLOSE


@pytest.mark.slow
def test_what_tensorflow_writes(tmp_path: Path) -> None:
    """By TensorFlow and tf2onnx, and TFLite's files by OpenVINO."""
    for package in ("tensorflow", "tf2onnx", "openvino", "ai_edge_litert"):
        pytest.importorskip(package)
    foreign.tensorflow(tmp_path)
    for name, form, close in (
        ("saved", "onnx", CLOSE),
        ("frozen.pb", "onnx", CLOSE),
        ("net.tflite", "openvino", CLOSE),
        ("int8.tflite", "openvino", 2e-2),
    ):
        model = read_source(Source(str(tmp_path / name)))
        (step,) = model.history
        assert (model.form, model.spec.inputs[0].shape[0]) == (form, "batch")
        assert step.against
        assert step.difference is not None
        assert step.difference <= close
    with pytest.raises(Untrusted, match="WriteFile"):
        read_source(Source(str(tmp_path / "writes.pb")))


# --- reference outputs ----------------------------------------------------------------------------


def test_reference_outputs_are_compared(tmp_path: Path) -> None:
    source = foreign.caffe(tmp_path)
    model = read_source(source)
    x = np.random.default_rng(0).standard_normal((4, 3, 9, 9)).astype(np.float32)
    (y,) = outputs(model, x)
    (given,), (made,) = model.spec.inputs, model.spec.outputs
    path = tmp_path / "reference.npz"
    np.savez(path, **{given.name: x, made.name: y})
    step = read_source(replace(source, reference=str(path))).history[0]
    assert "the reference in" in step.against
    np.savez(path, **{given.name: x, made.name: y + 0.01})
    with pytest.raises(NumericMismatch, match="differs from the reference"):
        read_source(replace(source, reference=str(path)))
    np.savez(path, **{given.name: x})
    with pytest.raises(BadData, match="has no array"):
        read_source(replace(source, reference=str(path)))
    path.write_bytes(b"nothing")
    with pytest.raises(BadData, match="Cannot read the reference"):
        read_source(replace(source, reference=str(path)))


# --- what is refused ------------------------------------------------------------------------------


def test_code_in_a_keras_file_is_refused_without_trust(tmp_path: Path) -> None:
    if importlib.util.find_spec("keras") is None:
        pytest.skip("needs keras")
    source = foreign.keras(tmp_path, "code.keras")
    with pytest.raises(Untrusted, match=r"--trust"):
        read_source(source)
    assert read_source(replace(source, trust=True)).form == "torch"


def test_a_damaged_keras_file(tmp_path: Path) -> None:
    if importlib.util.find_spec("keras") is None:
        pytest.skip("needs keras")
    path = tmp_path / "model.keras"
    path.write_bytes(b"PK\x03\x04nothing")
    with pytest.raises(BadModel, match=r"model\.keras"):
        read_source(Source(str(path)))
    with pytest.raises(BadModel, match="no such file"):
        read_source(Source(str(tmp_path / "none.keras")))


def test_torchscript_is_code(tmp_path: Path) -> None:
    source = foreign.torchscript(tmp_path)
    with pytest.raises(Untrusted, match="TorchScript in it is code"):
        read_source(replace(source, trust=False))


def test_a_serialised_jax_program_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.jaxexport"
    path.write_bytes(b"x")
    with pytest.raises(HastenError, match=r"serialised JAX program|pip install"):
        read_source(Source(str(path)))


def test_a_pickled_graph_needs_trust(tmp_path: Path) -> None:
    path = tmp_path / "graph.pkl"
    path.write_bytes(b"x")
    with pytest.raises(Untrusted, match="the pickle in it can run code"):
        read_source(Source(f"theano:{path}"))
    with pytest.raises(BadModel, match="no such file"):
        read_source(Source(f"theano:{tmp_path / 'none.pkl'}"))
    with pytest.raises(BadInput, match=r"give theano:package\.module:factory"):
        read_source(Source(f"theano:{tmp_path}"))


def test_an_interpreter_that_is_not_there(tmp_path: Path) -> None:
    source = replace(foreign.mxnet(tmp_path), python="no-such-python")
    with pytest.raises(BadInput, match="there is no such program"):
        read_source(source)


def test_mxnet_needs_shapes(tmp_path: Path) -> None:
    source = replace(foreign.mxnet(tmp_path), examples=())
    with pytest.raises(BadInput, match=r"--shape data=batch,3,224,224"):
        read_source(source)


def test_a_wrong_pair_of_files(tmp_path: Path) -> None:
    source = foreign.caffe(tmp_path)
    with pytest.raises(BadInput, match=r"a \.prototxt and a \.caffemodel"):
        read_source(replace(source, weights=str(tmp_path / "net.prototxt")))
    (tmp_path / "net.caffemodel").unlink()
    with pytest.raises(BadModel, match="its weights should be in"):
        read_source(source)


def test_a_traced_recurrent_network_says_that_its_length_is_kept(tmp_path: Path) -> None:
    import torch

    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cells = torch.nn.LSTM(4, 5, batch_first=True)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.cells(x)[0][:, -1]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a length is kept is what the tracer warns of
        traced = torch.jit.trace(Net().eval(), torch.zeros(2, 6, 4))
    traced.save(str(tmp_path / "rnn.pt"))
    shape = TensorSpec("x", "float32", ("batch", 6, 4))
    try:
        model = read_source(Source(str(tmp_path / "rnn.pt"), trust=True, examples=(shape,)))
    except Unsupported as error:
        pytest.skip(str(error))
    assert "may have kept the length" in model.history[0].note
