"""Caffe networks against the same computation written in PyTorch."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch")

from torch.nn import functional as F  # noqa: E402

from caffe_files import caffemodel  # noqa: E402
from hasten.errors import BadModel, Unsupported  # noqa: E402
from hasten.graphs.caffe.build import Network, build  # noqa: E402
from hasten.graphs.caffe.wire import weights  # noqa: E402

RNG = np.random.default_rng(0)
CONV, BIAS = RNG.standard_normal((4, 3, 3, 3)), RNG.standard_normal(4)
MEAN, SPREAD = RNG.standard_normal(4), RNG.random(4) + 0.5
SCALE, SHIFT = RNG.standard_normal(4), RNG.standard_normal(4)
FULL, REST = RNG.standard_normal((5, 64)), RNG.standard_normal(5)
WEIGHTS = {
    "conv": [CONV, BIAS],
    "bn": [2 * MEAN, 2 * SPREAD, np.array([2.0])],
    "scale": [SCALE, SHIFT],
    "fc": [FULL, REST],
}
NET = """
name: "small"  # a comment
layer { name: "data" type: "Input" top: "data"
        input_param { shape { dim: 1 dim: 3 dim: 8 dim: 8 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
        convolution_param { num_output: 4 kernel_size: 3 pad: 1 stride: 1 } }
layer { name: "bn" type: "BatchNorm" bottom: "conv" top: "conv" }
layer { name: "scale" type: "Scale" bottom: "conv" top: "conv" scale_param { bias_term: true } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool"
        pooling_param { pool: MAX kernel_size: 3 stride: 2 } }
layer { name: "fc" type: "InnerProduct" bottom: "pool" top: "fc"
        inner_product_param { num_output: 5 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "label" include { phase: TRAIN } }
layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" }
"""
OLD = """
name: "old"
input: "data" input_dim: 1 input_dim: 3 input_dim: 8 input_dim: 8
layers { name: "conv" type: CONVOLUTION bottom: "data" top: "conv"
         convolution_param { num_output: 4 kernel_size: 3 pad: 1 } }
layers { name: "relu" type: RELU bottom: "conv" top: "conv" }
layers { name: "pool" type: POOLING bottom: "conv" top: "pool"
         pooling_param { pool: AVE kernel_size: 3 stride: 2 pad: 1 } }
"""


def picture(batch: int = 2) -> torch.Tensor:
    return torch.from_numpy(RNG.standard_normal((batch, 3, 8, 8)).astype(np.float32))


def tensors(*arrays: np.ndarray) -> list[torch.Tensor]:
    return [torch.from_numpy(array.astype(np.float32)) for array in arrays]


def expected(x: torch.Tensor) -> torch.Tensor:
    conv, bias, mean, spread, scale, shift = tensors(CONV, BIAS, MEAN, SPREAD, SCALE, SHIFT)
    full, rest = tensors(FULL, REST)
    x = F.conv2d(x, conv, bias, padding=1)
    x = F.batch_norm(x, mean, spread, scale, shift)
    x = F.max_pool2d(x.relu(), 3, 2, ceil_mode=True)
    return F.linear(x.flatten(1), full, rest).softmax(1)


def small(kind: str = "new") -> Network:
    return build(NET, weights(caffemodel(WEIGHTS, kind)))


@pytest.mark.parametrize("kind", ["new", "single"])
def test_a_network_computes_what_caffe_says(kind: str) -> None:
    network, x = small(kind), picture()
    assert network.inputs == {"data": (1, 3, 8, 8)}
    assert network.outputs == ("prob",)
    torch.testing.assert_close(network.module(x), expected(x))


def test_half_precision_weights_are_read() -> None:
    x = picture()
    assert float((small("half").module(x) - expected(x)).abs().max()) < 1e-2


def test_layers_of_before_2015() -> None:
    network, x = build(OLD, weights(caffemodel({"conv": WEIGHTS["conv"]}, "old"))), picture()
    conv, bias = tensors(CONV, BIAS)
    wanted = F.avg_pool2d(F.conv2d(x, conv, bias, padding=1).relu(), 3, 2, 1, ceil_mode=True)
    torch.testing.assert_close(network.module(x), wanted)


def test_the_batch_stays_free() -> None:
    network = small()
    dynamic = (({0: torch.export.Dim.DYNAMIC},),)
    program = torch.export.export(network.module.eval(), (picture(2),), dynamic_shapes=dynamic)
    x = picture(5)
    torch.testing.assert_close(program.module()(x), expected(x))


def test_weights_that_are_missing_or_left_over() -> None:
    lacking = {name: arrays for name, arrays in WEIGHTS.items() if name != "fc"}
    with pytest.raises(BadModel, match=r"the weights of layer 'fc' \(InnerProduct\) are missing"):
        build(NET, weights(caffemodel(lacking)))
    more = {**WEIGHTS, "other": [BIAS]}
    assert build(NET, weights(caffemodel(more))).left == ("other",)


@pytest.mark.parametrize(
    ("text", "kind", "match"),
    [
        ("layer { name: 'a' ", BadModel, "not closed by }, in line 1"),
        ("layer { name: 'a' type: 'Python' bottom: 'data' top: 'b' }", Unsupported, "Python code"),
        ("layer { name: 'a' type: 'ReLU' bottom: 'b' top: 'b' }", BadModel, "no inputs"),
        ("a: {" * 100, BadModel, "more than 64 deep"),
        ("input: 'x' input_dim: 0", BadModel, "is no size"),
        ("", BadModel, "no layers"),
    ],
)
def test_what_cannot_be_read_is_said(text: str, kind: type[Exception], match: str) -> None:
    with pytest.raises(kind, match=match):
        build(text, {})


TRAINING = NET.replace(
    """type: "Input" top: "data"
        input_param { shape { dim: 1 dim: 3 dim: 8 dim: 8 } } }""",
    """type: "Data" top: "data" top: "label" include { phase: TRAIN }
        transform_param { mirror: true crop_size: 6 } }
layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TEST }
        transform_param { scale: 0.5 crop_size: 8 mean_value: 104 mean_value: 117 mean_value: 123 }
        data_param { source: "somewhere" batch_size: 4 } }""",
)


def test_a_file_for_training_says_what_its_data_are() -> None:
    network, x = build(TRAINING, weights(caffemodel(WEIGHTS))), picture()
    assert network.inputs == {"data": (1, 3, 8, 8)}
    torch.testing.assert_close(network.module(x), expected(x))
    stored = RNG.integers(0, 256, (2, 3, 8, 8)).astype(np.uint8)
    mean = np.reshape([104, 117, 123], (1, 3, 1, 1))
    np.testing.assert_allclose(network.normalisation["data"](stored), (stored - mean) * 0.5)


def test_what_a_file_says_only_in_part() -> None:
    unsized = TRAINING.replace("crop_size: 8", "")
    with pytest.raises(BadModel, match="no inputs with shapes"):
        build(unsized, weights(caffemodel(WEIGHTS)))
    mean = TRAINING.replace("mean_value: 104", 'mean_file: "mean.binaryproto"')
    assert build(mean, weights(caffemodel(WEIGHTS))).notes == (
        "the mean picture 'mean.binaryproto' is not subtracted: do so beforehand",
    )
    old = OLD.replace('input: "data" input_dim: 1 input_dim: 3 input_dim: 8 input_dim: 8', "")
    old += """layers { name: "memory" type: MEMORY_DATA top: "data" top: "label" memory_data_param
              { batch_size: 1 channels: 3 height: 8 width: 8 } transform_param { scale: 0.004 } }"""
    read = build(old, weights(caffemodel({"conv": WEIGHTS["conv"]}, "old")))
    assert read.inputs == {"data": (1, 3, 8, 8)}
    assert read.normalisation["data"].scale == 0.004


def test_a_layer_that_takes_what_comes_later() -> None:
    text = NET.replace('bottom: "pool"', 'bottom: "prob"')
    with pytest.raises(BadModel, match="takes 'prob', which no layer before it gives"):
        build(text, weights(caffemodel(WEIGHTS)))
