"""int8 by NNCF on the OpenVINO form: what is quantised, what is kept, and that it is silent."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("openvino")
pytest.importorskip("nncf")

from hasten.errors import BadData, BadInput, UnknownName, Unsupported
from hasten.plugin import engines, forms, techniques
from hasten.types import Arrays, Kernel, Model, Use, Workload
from openvino_zoo import cnn, decibel, feeds, held, lstm, transformer

INT8 = techniques.get("int8_openvino")
ENGINE = engines.get("openvino")
FORM = forms.get("openvino")
MODELS = {"cnn": cnn, "transformer": transformer, "lstm": lstm}
VNNI = {"arch": "x86_64", "isa": ["avx512_vnni"]}


def quantised(model: Model, **options: object) -> Model:
    return INT8(model, feeds(model, 32), Use.of("int8_openvino", **options))


def first_setting(model: Model) -> dict[str, object]:
    return dict(next(iter(INT8.space(model.traits, VNNI))))


def profiled(model: Model, batch: int = 2) -> list[Kernel]:
    with ENGINE(model, Workload(batch=batch), Use("openvino")) as runner:
        return runner.profile(runner.bind(feeds(model, batch)))


def answers(model: Model, feed: Arrays) -> Arrays:
    batch = len(next(iter(feed.values())))
    with ENGINE(model, Workload(batch=batch), Use("openvino")) as runner:
        found = runner.run(runner.bind(feed))
        return {name: array.copy() for name, array in found.items()}


@pytest.mark.parametrize("name", MODELS)
def test_outputs_stay_close_at_every_batch(name: str) -> None:
    model = MODELS[name]()
    made = quantised(model, **first_setting(model))
    assert "quantized" in made.traits
    feed = feeds(model, 40, seed=9)
    wanted, found = answers(model, feed), answers(made, feed)
    few = answers(made, {key: array[:3] for key, array in feed.items()})
    for output, array in wanted.items():
        assert 15 < decibel(array, found[output]) < 80
        assert decibel(found[output][:3], few[output]) > 25


@pytest.mark.parametrize("name", ["cnn", "transformer"])
def test_most_of_the_work_runs_in_int8(name: str) -> None:
    model = MODELS[name]()
    kernels = profiled(quantised(model, **first_setting(model)))
    total = sum(kernel.macs for kernel in kernels)
    assert total == 2 * FORM.size(model.handle)[1]
    assert sum(k.macs for k in kernels if k.precision == "int8") > 0.9 * total


def test_kept_layers_run_in_float_and_keep_their_names() -> None:
    model = cnn()
    made = quantised(model, keep=("stem", "head"))
    precision = {kernel.name: kernel.precision for kernel in profiled(made) if kernel.macs}
    assert precision["stem"] == precision["head"] == "f32"
    assert precision["depthwise"] == precision["pointwise"] == "int8"
    feed = feeds(model, 4)
    before, after = FORM.layers(model.handle, feed), FORM.layers(made.handle, feed)
    assert list(before) == list(after)
    assert (
        decibel(before["stem"], after["stem"])
        > 100
        > decibel(before["pointwise"], after["pointwise"])
    )


def test_keeping_everything_computes_as_before() -> None:
    model = lstm()
    made = quantised(model, keep=("cell", "head"))
    feed = feeds(model, 2)
    for name, wanted in FORM.layers(model.handle, feed).items():
        assert decibel(wanted, FORM.layers(made.handle, feed)[name]) > 40


def test_unknown_layers_are_named_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'stem'"):
        quantised(cnn(), keep=("stam",))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"smooth_quant": 1.5}, "0 to 1, or -1"),
        ({"samples": 0}, "on 0 samples"),
        ({"preset": "accurate"}, "one of 'performance', 'mixed'"),
        ({"keep": "stem"}, "keep"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, object], text: str) -> None:
    with pytest.raises(BadInput, match=text):
        quantised(cnn(), **options)


def test_it_is_deterministic(tmp_path: Path) -> None:
    weights = []
    for run in ("first", "second"):
        folder = tmp_path / run
        folder.mkdir()
        model = transformer()
        FORM.save(quantised(model, model_type="transformer", preset="mixed"), folder)
        weights.append((folder / "model.bin").read_bytes())
    assert weights[0] == weights[1]


def test_the_given_model_stays_as_it_was() -> None:
    model = cnn()
    before = FORM.size(model.handle), len(model.handle.get_ops())
    quantised(model)
    assert (FORM.size(model.handle), len(model.handle.get_ops())) == before
    assert "quantized" not in FORM.traits(model.handle)


def test_a_quantised_model_is_not_quantised_again() -> None:
    with pytest.raises(Unsupported, match="not for a model with quantized"):
        quantised(quantised(cnn()))


def test_full_bias_correction_runs() -> None:
    model = cnn()
    made = quantised(model, fast_bias_correction=False)
    feed = feeds(model, 40)
    assert decibel(answers(model, feed)["y"], answers(made, feed)["y"]) > 15


def test_smooth_quant_changes_the_result() -> None:
    model = transformer()
    feed = feeds(model, 4)
    found = []
    for options in ({}, {"smooth_quant": -1.0}):
        made = quantised(model, model_type="transformer", preset="mixed", **options)
        found.append(FORM.layers(made.handle, feed)["mix"])
    assert np.abs(found[0] - found[1]).max() > 0


def product(batch: int | str, *more: str) -> Model:
    """``x * more @ weight``: ``x`` leads with the batch, the other inputs have none."""
    import openvino
    from openvino import opset13 as op

    inputs = [op.parameter([batch if isinstance(batch, int) else -1, 8], np.float32)]
    inputs += [op.parameter([8], np.float32) for _ in more]
    weight = np.random.default_rng(0).standard_normal((4, 8)).astype(np.float32)
    total = inputs[0]
    for other in inputs[1:]:
        total = op.multiply(total, other)
    graph = openvino.Model([op.matmul(total, op.constant(weight), False, True)], inputs)
    named = {"x": ("float32", batch, 8)} | dict.fromkeys(more, ("float32", 8))
    return held(graph, named, {"y": ("float32", batch, 4)})


def test_a_fixed_batch_takes_as_many_samples_at_a_time() -> None:
    samples = {"x": np.random.default_rng(0).random((10, 8), np.float32)}
    made = INT8(product(4), samples, Use("int8_openvino"))
    assert "quantized" in FORM.traits(made.handle)
    with pytest.raises(BadData, match="on 3 samples: the model takes 4 at a time"):
        INT8(product(4), {"x": samples["x"][:3]}, Use("int8_openvino"))


def test_inputs_without_a_batch_take_one_sample_each() -> None:
    rng = np.random.default_rng(0)
    samples = {name: rng.random((10, 8), np.float32) for name in ("x", "scale")}
    made = INT8(product("batch", "scale"), samples, Use("int8_openvino"))
    assert "quantized" in FORM.traits(made.handle)


def test_recurrent_cells_may_stay_in_float() -> None:
    kinds = {}
    for cells in ("int8", "float"):
        graph = quantised(lstm(), preset="mixed", cells=cells).handle
        kinds[cells] = [op.get_type_name() for op in graph.get_ops()].count("FakeQuantize")
    assert kinds["float"] < kinds["int8"]


def test_space_follows_traits_and_cpu() -> None:
    def space(*traits: str, **target: object) -> list[dict[str, object]]:
        return [dict(o) for o in INT8.space(frozenset(traits), {**VNNI, **target})]

    assert space("convolution")[0] == {}
    assert space("attention")[0]["model_type"] == "transformer"
    assert space("recurrent") == [{"preset": "mixed"}]
    assert space("recurrent", "convolution")[0] == {"cells": "float"}
    assert all(options["saturates"] for options in space("convolution", isa=["avx2"]))
    assert not any("saturates" in o for o in space("convolution", arch="aarch64", isa=["asimd"]))


def test_every_setting_it_proposes_works() -> None:
    for model in (cnn(), transformer(), lstm()):
        for options in INT8.space(model.traits, {"arch": "x86_64", "isa": ["avx2"]}):
            assert "quantized" in FORM.traits(quantised(model, **options).handle)


def test_nothing_is_printed_and_nothing_reported() -> None:
    """In a process of its own, because NNCF switches its reports off under pytest anyway."""
    here = Path(__file__).parents[1]
    code = (
        f"import sys; sys.path.insert(0, {str(here)!r})\n"
        "from openvino_zoo import cnn, feeds\n"
        "from hasten.plugin import techniques\n"
        "from hasten.types import Use\n"
        "model = cnn()\n"
        "techniques.get('int8_openvino')(model, feeds(model, 8), Use('int8_openvino'))\n"
        "import nncf.telemetry.wrapper as wrapper\n"
        "assert isinstance(wrapper.telemetry, wrapper.NNCFTelemetryStub)\n"
        "assert sys.modules.get('openvino_telemetry', 0) is not None\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
