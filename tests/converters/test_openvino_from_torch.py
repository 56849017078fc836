"""PyTorch to OpenVINO: every kind of layer at two batch sizes, recurrent layers kept whole."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

pytest.importorskip("openvino")
pytest.importorskip("torch")

import torch
from torch import nn
from torch.utils._pytree import tree_leaves

from hasten.errors import Unsupported
from hasten.plugin import converters, engines, forms
from hasten.types import Model, Spec, TensorSpec, Use, Workload

CONVERT = converters.get("openvino_from_torch")
FORM = forms.get("openvino")


class Convolutional(nn.Module):
    """Convolution, BatchNorm, depthwise convolution, pooling; two outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 8, 3, 2, 1, bias=False),
            nn.BatchNorm2d(8),
            nn.Hardswish(),
            nn.Conv2d(8, 8, 3, 1, 1, groups=8),
            nn.BatchNorm2d(8),
            nn.ReLU6(),
        )
        self.head = nn.Linear(8, 5)
        nn.init.uniform_(self.body[1].running_mean, -1, 1)

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        y = self.head(self.body(image).mean((2, 3)))
        return y, y.argmax(1)


class Attentive(nn.Module):
    """A transformer layer over token numbers with a mask; a dictionary out."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(40, 16), nn.Linear(16, 3)
        self.layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True, dropout=0.0)

    def forward(self, tokens: torch.Tensor, hidden: torch.Tensor) -> dict[str, torch.Tensor]:
        states = self.layer(self.embed(tokens), src_key_padding_mask=hidden)
        return {"states": states, "logits": self.head(states.mean(1))}


class Recurrent(nn.Module):
    """Any recurrent layer, all of its results, and initial states if they are given."""

    def __init__(self, kind: str, **settings: Any) -> None:
        super().__init__()
        self.cell = getattr(nn, kind)(6, 5, **settings)

    def forward(
        self, x: torch.Tensor, hidden: torch.Tensor | None = None, cell: torch.Tensor | None = None
    ) -> Any:
        given = [state.transpose(0, 1) for state in (hidden, cell) if state is not None]
        return self.cell(x, tuple(given) or None)


class Scaled(nn.Module):
    """A mean over the last axis, then a scale: OpenVINO alone gets it wrong."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(12)
        nn.init.uniform_(self.norm.running_var, 0.5, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(torch.relu(x).mean(2))


RECURRENT = {
    "lstm": ("LSTM", {"batch_first": True}),
    "lstm deep both ways": ("LSTM", {"num_layers": 2, "bidirectional": True, "batch_first": True}),
    "lstm no bias": ("LSTM", {"bias": False, "batch_first": True}),
    "gru": ("GRU", {"batch_first": True}),
    "gru deep both ways": ("GRU", {"num_layers": 2, "bidirectional": True, "batch_first": True}),
    "gru no bias": ("GRU", {"bias": False, "batch_first": True}),
    "rnn": ("RNN", {"num_layers": 2, "batch_first": True}),
    "rnn relu": ("RNN", {"nonlinearity": "relu", "batch_first": True}),
}


def recurrent(name: str) -> nn.Module:
    kind, settings = RECURRENT[name]
    return Recurrent(kind, **settings)


def model_of(module: nn.Module, *examples: torch.Tensor, batch_axis: int = 0) -> Model:
    """``module`` with its specification; the batch is free."""
    torch.manual_seed(0)
    module.eval()

    def spec(prefix: str, tensors: Any) -> tuple[TensorSpec, ...]:
        return tuple(
            TensorSpec(
                f"{prefix}{index}",
                str(tensor.dtype).removeprefix("torch."),
                tuple("batch" if a == batch_axis else n for a, n in enumerate(tensor.shape)),
            )
            for index, tensor in enumerate(tensors)
        )

    with torch.no_grad():
        outputs = tree_leaves(module(*examples))
    return Model("torch", module, Spec(spec("in", examples), spec("out", outputs)))


def compare(model: Model, made: Model, *inputs: torch.Tensor, batch: int) -> None:
    with torch.no_grad():
        wanted = [tensor.numpy() for tensor in tree_leaves(model.handle(*inputs))]
    with engines.get("openvino")(made, Workload(batch=batch), Use("openvino")) as runner:
        found = runner.run(runner.bind({f"in{i}": x.numpy() for i, x in enumerate(inputs)}))
        assert list(found) == [tensor.name for tensor in model.spec.outputs]
        for expected, array in zip(wanted, found.values(), strict=True):
            assert array.shape == expected.shape
            np.testing.assert_allclose(array, expected, rtol=1e-4, atol=1e-5)


def check(module: nn.Module, *inputs: torch.Tensor) -> Model:
    """Convert with two samples and compare with one and with all of them."""
    model = model_of(module, *(x[:2] for x in inputs))
    made = CONVERT(model, Workload())
    for batch in (1, len(inputs[0])):
        compare(model, made, *(x[:batch] for x in inputs), batch=batch)
    return made


def kinds(made: Model) -> list[str]:
    return [node.get_type_name() for node in FORM.layer_nodes(made.handle)]


def test_convolutions_with_batchnorm_folded() -> None:
    torch.manual_seed(1)
    made = check(Convolutional(), torch.randn(5, 3, 16, 16))
    assert kinds(made) == ["Convolution", "GroupConvolution", "MatMul"]
    assert "BatchNormInference" not in {n.get_type_name() for n in made.handle.get_ops()}
    assert [str(port.partial_shape) for port in made.handle.inputs] == ["[?,3,16,16]"]


def test_transformers_with_attention_whole() -> None:
    torch.manual_seed(1)
    hidden = torch.zeros(4, 7, dtype=torch.bool)
    hidden[1, 5:] = True
    made = check(Attentive(), torch.randint(0, 40, (4, 7)), hidden)
    assert "ScaledDotProductAttention" in kinds(made)
    assert FORM.traits(made.handle) == {"attention"}


@pytest.mark.parametrize("name", RECURRENT)
def test_recurrent_layers_stay_sequences(name: str) -> None:
    torch.manual_seed(1)
    made = check(recurrent(name), torch.randn(4, 7, 6))
    kind, settings = RECURRENT[name]
    assert kinds(made) == [f"{kind}Sequence"] * settings.get("num_layers", 1)
    assert FORM.traits(made.handle) == {"recurrent"}


def test_initial_states_are_used() -> None:
    torch.manual_seed(1)
    module = Recurrent("LSTM", num_layers=2, batch_first=True)
    states = (torch.randn(4, 2, 5), torch.randn(4, 2, 5))
    assert kinds(check(module, torch.randn(4, 7, 6), *states)) == ["LSTMSequence"] * 2


def test_time_first() -> None:
    torch.manual_seed(1)
    model = model_of(Recurrent("GRU", bidirectional=True), torch.randn(7, 2, 6), batch_axis=1)
    made = CONVERT(model, Workload())
    compare(model, made, torch.randn(7, 3, 6), batch=3)


def test_a_projection_falls_apart_but_computes_the_same() -> None:
    torch.manual_seed(1)
    made = check(Recurrent("LSTM", proj_size=3, batch_first=True), torch.randn(3, 4, 6))
    assert set(kinds(made)) == {"MatMul"}


def test_a_scale_after_a_mean_is_right() -> None:
    torch.manual_seed(1)
    check(Scaled(), torch.randn(64, 12, 6))


def test_layer_names_are_unique_and_last() -> None:
    def names() -> list[str]:
        model = model_of(Convolutional(), torch.randn(2, 3, 16, 16))
        handle = CONVERT(model, Workload()).handle
        return [node.friendly_name for node in FORM.layer_nodes(handle)]

    first = names()
    assert len(set(first)) == 3
    assert names() == first
    reader = CONVERT(model_of(recurrent("lstm"), torch.randn(2, 7, 6)), Workload())
    assert [node.friendly_name for node in FORM.layer_nodes(reader.handle)] == ["lstm/layer0"]
    assert names() == first


def test_the_module_stays_as_it_was_and_may_go() -> None:
    """The converted model must not lean on memory that the module owned."""
    torch.manual_seed(1)
    inputs = torch.randn(3, 7, 6)
    model = model_of(recurrent("lstm"), inputs)
    kept = copy.deepcopy(model.handle.state_dict())
    made = CONVERT(model, Workload())
    for name, tensor in model.handle.state_dict().items():
        torch.testing.assert_close(tensor, kept[name])
    compare(model, made, inputs, batch=3)
    with torch.no_grad():
        wanted = [tensor.numpy() for tensor in tree_leaves(model.handle(inputs))]
    del model
    junk = [torch.full((1000,), float(i)) for i in range(200)]
    with engines.get("openvino")(made, Workload(batch=3), Use("openvino")) as runner:
        found = runner.run(runner.bind({"in0": inputs.numpy()}))
    assert len(junk) == 200
    for expected, array in zip(wanted, found.values(), strict=True):
        np.testing.assert_allclose(array, expected, rtol=1e-4, atol=1e-5)


class Strange(nn.Module):
    """Uses an operator that OpenVINO has no conversion for."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.linalg.eigvalsh(x + x.transpose(1, 2))


def test_an_operator_that_openvino_lacks_is_named() -> None:
    model = model_of(Strange(), torch.randn(2, 3, 3))
    with pytest.raises(Unsupported, match=r"eigh.*Use another engine"):
        CONVERT(model, Workload())
