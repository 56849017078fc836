"""MXNet networks against the same computation written in PyTorch."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch")

from torch.nn import functional as F  # noqa: E402

from hasten.errors import BadModel, Unsupported  # noqa: E402
from hasten.graphs.mxnet.build import build  # noqa: E402
from hasten.graphs.mxnet.operators import OPERATORS  # noqa: E402
from hasten.graphs.mxnet.params import read  # noqa: E402
from mxnet_files import params, symbol  # noqa: E402

RNG = np.random.default_rng(0)


def some(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


ARRAYS = {
    "arg:conv_weight": some(4, 3, 3, 3),
    "arg:conv_bias": some(4),
    "arg:bn_gamma": some(4),
    "arg:bn_beta": some(4),
    "aux:bn_moving_mean": some(4),
    "aux:bn_moving_var": np.abs(some(4)) + 0.5,
    "arg:fc_weight": some(5, 64),
    "arg:fc_bias": some(5),
}
NODES = [
    ("null", "data", {}, []),
    ("null", "conv_weight", {}, []),
    ("null", "conv_bias", {}, []),
    ("Convolution", "conv", {"kernel": (3, 3), "pad": (1, 1), "num_filter": 4},
     ["data", "conv_weight", "conv_bias"]),
    ("null", "bn_gamma", {}, []),
    ("null", "bn_beta", {}, []),
    ("null", "bn_moving_mean", {}, []),
    ("null", "bn_moving_var", {}, []),
    ("BatchNorm", "bn", {"fix_gamma": False, "eps": 1e-5},
     ["conv", "bn_gamma", "bn_beta", "bn_moving_mean", "bn_moving_var"]),
    ("Activation", "act", {"act_type": "relu"}, ["bn"]),
    ("Pooling", "pool", {"kernel": (2, 2), "stride": (2, 2), "pool_type": "max"}, ["act"]),
    ("null", "fc_weight", {}, []),
    ("null", "fc_bias", {}, []),
    ("FullyConnected", "fc", {"num_hidden": 5}, ["pool", "fc_weight", "fc_bias"]),
    ("null", "softmax_label", {}, []),
    ("SoftmaxOutput", "softmax", {}, ["fc", "softmax_label"]),
]  # fmt: skip


def picture(batch: int = 2) -> torch.Tensor:
    return torch.from_numpy(some(batch, 3, 8, 8))


def expected(x: torch.Tensor) -> torch.Tensor:
    named = {name.partition(":")[2]: torch.from_numpy(one) for name, one in ARRAYS.items()}
    x = F.conv2d(x, named["conv_weight"], named["conv_bias"], padding=1)
    x = F.batch_norm(
        x, named["bn_moving_mean"], named["bn_moving_var"], named["bn_gamma"], named["bn_beta"]
    )
    x = F.max_pool2d(x.relu(), 2)
    return F.linear(x.flatten(1), named["fc_weight"], named["fc_bias"]).softmax(1)


@pytest.mark.parametrize("layout", ["v3", "v2", "v1", "first"])
def test_arrays_are_read_bit_for_bit(layout: str) -> None:
    found = read(params(ARRAYS, layout))
    assert [name.partition(":")[2] for name in ARRAYS] == list(found)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found[name.partition(":")[2]], array)


def test_a_network_computes_what_mxnet_says() -> None:
    network, x = build(symbol(NODES), read(params(ARRAYS))), picture()
    assert network.inputs == ("data",)
    assert network.outputs == ("softmax",)
    assert network.left == ()
    torch.testing.assert_close(network.module(x), expected(x))


def test_the_batch_stays_free() -> None:
    network = build(symbol(NODES), read(params(ARRAYS)))
    dynamic = (({0: torch.export.Dim.DYNAMIC},),)
    program = torch.export.export(network.module.eval(), (picture(2),), dynamic_shapes=dynamic)
    x = picture(5)
    torch.testing.assert_close(program.module()(x), expected(x))


def test_a_bidirectional_lstm_keeps_its_weights_in_order() -> None:
    cells = torch.nn.LSTM(6, 7, num_layers=2, bidirectional=True)
    names = [
        f"{kind}_{part}_l{layer}{side}"
        for kind in ("weight", "bias")
        for layer in (0, 1)
        for side in ("", "_reverse")
        for part in ("ih", "hh")
    ]
    vector = np.concatenate([getattr(cells, name).detach().numpy().ravel() for name in names])
    nodes = [
        ("null", "data", {}, []),
        ("null", "weights", {}, []),
        ("RNN", "rnn", {"mode": "lstm", "state_size": 7, "num_layers": 2, "bidirectional": True},
         ["data", "weights"]),
    ]  # fmt: skip
    network = build(symbol(nodes), {"weights": vector})
    x = torch.from_numpy(some(5, 3, 6))
    torch.testing.assert_close(network.module(x), cells(x)[0])


def test_at_least_eighty_operators() -> None:
    assert len(OPERATORS) >= 80


def test_what_cannot_be_read_is_said() -> None:
    arrays = read(params(ARRAYS))
    with pytest.raises(BadModel, match=r"it is no -symbol\.json file"):
        build("{", arrays)
    strange = [*NODES[:4], ("Strange", "odd", {}, ["conv"])]
    with pytest.raises(Unsupported, match="operators Strange are not supported"):
        build(symbol(strange), arrays)
    lacking = {name: array for name, array in arrays.items() if name != "fc_bias"}
    with pytest.raises(BadModel, match="the weights fc_bias are missing"):
        build(symbol(NODES), lacking)
    with pytest.raises(BadModel, match="the file ends too early"):
        read(params(ARRAYS)[:-5])
    with pytest.raises(BadModel, match=r"they are no \.params file"):
        read(b"x" * 40)


def test_a_shape_of_one_number() -> None:
    """Gluon's recurrent layers export their weights' as ``-1``."""
    nodes = [
        ("null", "data", {}, []),
        ("null", "w", {}, []),
        ("Reshape", "flat", {"shape": -1}, ["w"]),
        ("broadcast_add", "sum", {}, ["data", "flat"]),
    ]
    network = build(symbol(nodes), read(params({"arg:w": some(2, 3)})))
    assert network.module(torch.zeros(4, 6)).shape == (4, 6)
