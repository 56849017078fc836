"""The engine "torch_eager", and what all PyTorch engines share."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils._pytree import tree_leaves

import torch_zoo
from hasten.errors import BadData, BadInput, Unsupported
from hasten.plugin import Source, engines, forms, frontends
from hasten.types import Arrays, Model, Spec, TensorSpec, Use, Workload

ENGINE = engines.get("torch_eager")
CASES = sorted(torch_zoo.cases())


@functools.cache
def imported(name: str) -> Model:
    module, examples = torch_zoo.cases()[name]
    module.example_input_array = examples
    return frontends.get("torch")(Source(module))


def feed(spec: Spec, batch: int) -> Arrays:
    generator = np.random.default_rng(batch)
    arrays = {t.name: generator.standard_normal(t.bound({"batch": batch})) for t in spec.inputs}
    return {
        t.name: arrays[t.name].astype("float32")
        if t.dtype == "float32"
        else (arrays[t.name] > -1).astype(t.dtype)
        for t in spec.inputs
    }


def expected(model: Model, arrays: Arrays) -> list[np.ndarray]:
    with torch.no_grad():
        return [t.numpy() for t in tree_leaves(model.handle(*map(torch.tensor, arrays.values())))]


def runner(model: Model, batch: int = 2, **options: Any) -> Any:
    return ENGINE(model, Workload(batch=batch), Use.of("torch_eager", **options))


@pytest.mark.parametrize("name", CASES)
def test_outputs_are_those_of_the_module(name: str) -> None:
    model = imported(name)
    arrays = feed(model.spec, 3)
    with runner(model, 3) as compiled:
        outputs = compiled.run(compiled.bind(arrays))
    assert list(outputs) == [spec.name for spec in model.spec.outputs]
    for spec, wanted in zip(model.spec.outputs, expected(model, arrays), strict=True):
        found = outputs[spec.name]
        assert (str(found.dtype), found.shape) == (spec.dtype, spec.bound({"batch": 3}))
        np.testing.assert_allclose(found, wanted, 1e-5, 1e-6)


def test_a_model_read_back_from_disk_runs_the_same(tmp_path: Any) -> None:
    model = imported("encoder")
    forms.get("torch").save(model, tmp_path)
    loaded = Model("torch", forms.get("torch").load(tmp_path, model.spec), model.spec)
    arrays = feed(model.spec, 2)
    with runner(model) as one, runner(loaded) as other:
        first, second = (r.run(r.bind(arrays)) for r in (one, other))
    assert all(np.array_equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize(
    "options", [{"channels_last": True}, {"threads": 1}, {"streams": 2, "threads": 1}]
)
def test_settings_change_no_number(options: dict[str, Any]) -> None:
    model = imported("skip")
    arrays = feed(model.spec, 2)
    with runner(model, **options) as compiled:
        outputs = compiled.run(compiled.bind(arrays))
        np.testing.assert_allclose(outputs["output"], expected(model, arrays)[0], 1e-4, 1e-5)
        assert {key: compiled.facts[key] for key in options} == options
    weight = model.handle.stem.weight
    assert weight.is_contiguous(), "the model's own weights must keep their layout"


def test_channels_last_turns_weights_not_inputs() -> None:
    with runner(imported("skip"), channels_last=True) as compiled:
        weights = [p for p in compiled._call.parameters() if p.dim() == 4 and p.shape[2] > 1]
        assert weights
        assert all(w.is_contiguous(memory_format=torch.channels_last) for w in weights)
        feed_ = compiled.bind(feed(imported("skip").spec, 2))
        assert feed_[0].is_contiguous()


def test_low_precision_computes_in_it_and_answers_in_float32() -> None:
    model = imported("skip")
    arrays = feed(model.spec, 2)
    with runner(model, precision="bf16") as compiled:
        bound = compiled.bind(arrays)
        outputs = compiled.run(bound)
        layers = [kernel for kernel in compiled.profile(bound) if kernel.macs]
    wanted = expected(model, arrays)[0]
    assert outputs["output"].dtype == np.float32
    assert 1e-6 < np.abs(outputs["output"] - wanted).max() < 0.05
    assert {kernel.precision for kernel in layers} == {"bf16"}
    assert not ENGINE.exact({"precision": "bf16"})
    assert ENGINE.exact({"threads": 1})


def test_arrays_are_taken_and_given_without_a_copy() -> None:
    spec = Spec(
        (TensorSpec("x", "float32", ("batch", 3)),), (TensorSpec("y", "float32", ("batch", 3)),)
    )
    with runner(Model("torch", nn.Identity(), spec)) as compiled:
        x = np.ones((2, 3), np.float32)
        out = compiled.run(compiled.bind({"x": x}))["y"]
        assert np.shares_memory(out, x)
        read_only = np.broadcast_to(np.float32(1), (2, 3))
        np.testing.assert_array_equal(compiled.run(compiled.bind({"x": read_only}))["y"], x)


def test_feeds_that_do_not_fit_are_refused() -> None:
    with runner(imported("encoder")) as compiled:
        arrays = feed(imported("encoder").spec, 2)
        with pytest.raises(BadData, match=r"'mask' is missing\. The model takes tokens, mask"):
            compiled.bind({"tokens": arrays["tokens"]})
        with pytest.raises(BadData, match=r"shape \[3, 7\]; the model was compiled for \[2, 7\]"):
            compiled.bind(feed(imported("encoder").spec, 3))


def test_submitted_calls_run_at_once_and_their_errors_come_with_drain() -> None:
    spec = Spec((TensorSpec("x", "float32", (1,)),), (TensorSpec("y", "float32", (1,)),))

    class Picky(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if x[0] > 0:
                raise ValueError("too large")
            return x

    with runner(Model("torch", Picky(), spec), streams=2, threads=1) as compiled:
        good, bad = (compiled.bind({"x": np.full(1, v, np.float32)}) for v in (0, 1))
        for _ in range(20):
            compiled.submit(good)
        compiled.drain()
        compiled.submit(bad)
        with pytest.raises(ValueError, match="too large"):
            compiled.drain()


def test_every_runner_keeps_its_own_threads() -> None:
    model = imported("two inputs")
    arrays = feed(model.spec, 2)
    with runner(model, threads=2) as two, runner(model, threads=1) as one:
        for compiled, threads in ((two, 2), (one, 1), (two, 2)):
            compiled.run(compiled.bind(arrays))
            assert torch.get_num_threads() == threads


def test_the_workload_s_threads_are_shared_among_streams() -> None:
    model = imported("two inputs")
    with ENGINE(model, Workload(threads=4), Use.of("torch_eager", streams=2)) as compiled:
        assert compiled.facts["threads"] == 2


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"threads": 0}, "both start at 1"),
        ({"streams": 0}, "both start at 1"),
        ({"cuda_graph": True}, "on target cpu"),
        ({"precision": "tf32"}, "only GPUs have it"),
        ({"precision": "int4"}, "it takes one of 'f32'"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], text: str) -> None:
    with pytest.raises(BadInput, match=text):
        runner(imported("skip"), **options)


def test_a_module_that_gives_other_tensors_than_specified_is_refused() -> None:
    spec = Spec((TensorSpec("x", "float32", (2,)),), ())
    with pytest.raises(Unsupported, match="gives 1 tensors, its specification names 0"):
        runner(Model("torch", nn.Identity(), spec))


def test_a_closed_runner_says_so() -> None:
    compiled = runner(imported("two inputs"))
    bound = compiled.bind(feed(imported("two inputs").spec, 2))
    compiled.close()
    with pytest.raises(Unsupported, match="closed"):
        compiled.run(bound)


def test_space_and_refinement_follow_model_and_machine() -> None:
    plain, conv = frozenset[str](), frozenset({"convolution"})
    machine = {"isa": ["avx2"], "cores": 4}
    assert list(ENGINE.space(plain, machine, Workload())) == [{}]
    assert list(ENGINE.space(conv, machine, Workload())) == [{}, {"channels_last": True}]
    gpu = Workload(target="gpu")
    first = next(iter(ENGINE.space(conv, {"compute_capability": "7.5"}, gpu)))
    assert first == {"cuda_graph": True, "precision": "f16", "channels_last": True}
    first = next(iter(ENGINE.space(plain, {"compute_capability": "9.0"}, gpu)))
    assert first == {"cuda_graph": True, "precision": "bf16"}
    assert list(ENGINE.refine({}, machine, Workload())) == [{"threads": 2}, {"threads": 1}]
    assert list(ENGINE.refine({}, machine, Workload(threads=1))) == []
    busy = Workload(objective="throughput")
    assert list(ENGINE.refine({}, machine, busy)) == [{"streams": 4, "threads": 1}]
    assert list(ENGINE.refine({}, machine, gpu)) == []
