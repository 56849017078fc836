"""What every plug-in promises, tested on every plug-in there is: a new file is tested by itself.

The models are tiny; each plug-in gets the first that it supports. Whatever is not installed here
is skipped with the reason.
"""

from __future__ import annotations

import ast
import functools
import importlib
import importlib.metadata
import inspect
import itertools
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import pytest

from hasten import plugin
from hasten.errors import BadInput, HastenError, NotInstalled, UnknownName, Unsupported
from hasten.plugin import Engine, Plugin, Runner, Source, Technique
from hasten.search import build
from hasten.types import Arrays, Kernel, Model, Normalisation, Step, Use, Verdict, Workload

HEAVY = {
    "torch",
    "onnx",
    "onnxruntime",
    "openvino",
    "nncf",
    "onnxscript",
    "jinja2",
    "PIL",
    "jax",
    "av",
}
LAZY_SECONDS = 10.0
"""Plug-ins slower than this are tried with their first setting only."""
TARGET = {
    "present": True,
    "name": "an x86 CPU",
    "arch": "x86_64",
    "isa": ["avx2", "avx512f", "avx512_vnni", "avx512_bf16"],
    "cores": 2,
    "memory_bytes": 2**33,
    "compute_capability": 8.0,
}
OLD_TARGET = {**TARGET, "isa": ["sse4_2"], "cores": 1, "compute_capability": 6.1}
TRAITS = ("attention", "convolution", "recurrent", "quantized", "control-flow", "uint8-input")


def _names(*families: str) -> list[Any]:
    chosen = [plugin.FAMILIES[name] for name in families or plugin.FAMILIES]
    return [pytest.param(f.name, n, id=f"{f.name}-{n}") for f in chosen for n in f.names()]


def _installed(family: str, name: str) -> Any:
    found = plugin.FAMILIES[family].get(name)
    if not (verdict := found.installed()):
        pytest.skip(f"{name}: {verdict.why} ({verdict.fix})")
    return found


every_plugin = pytest.mark.parametrize(("family", "name"), _names())


# --- how it is written ----------------------------------------------------------------------------


@every_plugin
def test_the_file_says_what_it_is(family: str, name: str) -> None:
    kind = type(plugin.FAMILIES[family].get(name))
    text = inspect.getdoc(importlib.import_module(kind.__module__)) or ""
    assert text.splitlines()[0].rstrip().endswith((".", ":", "``")) or text.splitlines()[1]
    assert "**Source:**" in text, "a plug-in's file names its paper, section or API version"
    assert inspect.getdoc(kind), "a plug-in's class says what it does"
    assert kind.__name__ != name
    assert kind().name == name == Path(inspect.getfile(kind)).stem


@every_plugin
def test_the_file_is_of_a_size_to_be_read(family: str, name: str) -> None:
    path = Path(inspect.getfile(type(plugin.FAMILIES[family].get(name))))
    assert len(path.read_text().splitlines()) <= 210


@every_plugin
def test_what_it_needs_can_be_had(family: str, name: str) -> None:
    found = plugin.FAMILIES[family].get(name)
    known = importlib.metadata.metadata("hasten").get_all("Provides-Extra") or []
    for requirement in found.requires:
        assert plugin.requirement_name(requirement)
        assert found.extra in known, f"no extra '{found.extra}' installs {requirement}"
    assert found.typical_seconds > 0
    verdict = found.installed()
    assert isinstance(verdict, Verdict)
    assert verdict.ok or (verdict.why and verdict.fix)


@every_plugin
def test_versions_of_what_is_installed(family: str, name: str) -> None:
    found = _installed(family, name)
    assert set(found.versions()) == {plugin.requirement_name(r) for r in found.requires}


# --- options --------------------------------------------------------------------------------------


@every_plugin
def test_options_are_frozen_data(family: str, name: str) -> None:
    options = plugin.FAMILIES[family].get(name).Options
    assert is_dataclass(options)
    assert options.__dataclass_params__.frozen, "options are hashed and compared"
    assert hash(options()) == hash(options()), "every option has a default that can be hashed"
    hints = get_type_hints(options)
    assert set(hints) == {field.name for field in fields(options)}
    assert all(field.kw_only for field in fields(options))


@every_plugin
def test_options_are_checked(family: str, name: str) -> None:
    found = plugin.FAMILIES[family].get(name)
    with pytest.raises(UnknownName, match=f"option of '{name}' 'no_such_option'"):
        found.options({"no_such_option": 1})
    for field in fields(found.Options):
        with pytest.raises(BadInput, match=f"'{field.name}' of '{name}'"):
            found.options({field.name: object()})


def _spaces(found: Engine | Technique) -> Iterator[tuple[dict[str, Any], Any]]:
    """Every setting that the plug-in offers anywhere, with where it offers it."""
    sets = [frozenset(c) for n in range(3) for c in itertools.combinations(TRAITS, n)]
    if isinstance(found, Technique):
        for traits, target in itertools.product(sets, (TARGET, OLD_TARGET)):
            for options in found.space(traits, target):
                yield dict(options), None
        return
    workloads = [
        Workload(1, (), threads, objective, target)
        for threads in (None, 1, 4)
        for objective in ("latency", "throughput", "size")
        for target in found.targets
    ]
    for traits, target, workload in itertools.product(sets, (TARGET, OLD_TARGET), workloads):
        for options in found.space(traits, target, workload):
            yield dict(options), (target, workload)


@pytest.mark.parametrize(("family", "name"), _names("engines", "techniques"))
def test_the_space_holds_valid_settings(family: str, name: str) -> None:
    found = plugin.FAMILIES[family].get(name)
    seen = set()
    for options, where in _spaces(found):
        found.options(options)
        use = Use.of(name, **options)
        assert Use.from_json(json.loads(json.dumps(use.to_json()))) == use
        seen.add(use)
        if where is None:
            continue
        assert isinstance(found.exact(options), bool)
        for finer in found.refine(options, *where):
            found.options({**options, **finer})
    assert seen, "a plug-in without any setting is never tried"


@pytest.mark.parametrize(("family", "name"), _names("engines", "techniques"))
def test_the_space_holds_each_setting_once(family: str, name: str) -> None:
    found = plugin.FAMILIES[family].get(name)
    if isinstance(found, Technique):
        offered = [list(found.space(frozenset({t}), TARGET)) for t in TRAITS]
    else:
        offered = [list(found.space(frozenset({t}), TARGET, Workload())) for t in TRAITS]
    for settings in offered:
        uses = [Use.of(name, **options) for options in settings]
        assert len(uses) == len(set(uses))


def test_planning_imports_nothing_heavy() -> None:
    """All plug-ins, asked everything that the planner asks, in a fresh interpreter."""
    code = f"""
import sys
from hasten import plugin
from hasten.plugin import Technique
from hasten.types import Spec, TensorSpec, Workload
tensor = TensorSpec("x", "float32", ("batch", 4))
spec, target = Spec((tensor,), (tensor,)), {TARGET!r}
for family in plugin.FAMILIES.values():
    for found in family.all():
        found.installed(), found.options({{}})
        if family.name in ("engines", "techniques"):
            technique = isinstance(found, Technique)
            about = spec if technique else Workload()
            for form in plugin.forms.names():
                found.supports(form, frozenset({TRAITS!r}), about)
            more = (target,) if technique else (target, Workload())
            for options in found.space(frozenset(), *more):
                technique or (found.exact(options), list(found.refine(options, *more)))
        if family.name in ("frontends", "data.sources"):
            for what in ("model.onnx", "a.b:c", "digits", "images:a", "videos:a", object(), 3.5):
                found.sniff(what)
        if family.name == "frontends":
            found.describes("a.b:c")
print(*sorted({HEAVY!r} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.split() == []


# --- tiny models ----------------------------------------------------------------------------------


def _onnx_samples() -> Iterator[tuple[str, Any]]:
    import onnx_zoo

    yield "images", onnx_zoo.cnn(softmax=False)
    yield "tokens", onnx_zoo.transformer()
    yield "series", onnx_zoo.lstm()


def _torch_samples() -> Iterator[tuple[str, Any]]:

    yield "images", "torch_zoo:skip_with_examples"


@functools.cache
def _sources() -> dict[str, dict[str, Model]]:
    """Models straight from their front ends, by form and kind."""
    made: dict[str, dict[str, Model]] = {}
    for form, samples in (("onnx", _onnx_samples), ("torch", _torch_samples)):
        if plugin.forms.get(form).installed():
            found = {
                kind: build.read_source(Source(what, paths=(str(Path(__file__).parent),)))
                for kind, what in samples()
            }
            images = found["images"]
            image = images.spec.inputs[0].name
            scale = Normalisation(1 / 255, (0.5,), (0.25,))
            declared = replace(images.spec, normalisation={image: scale})
            made[form] = {**found, "pixels": replace(images, spec=declared)}
    return made


def _route(form: str) -> tuple[str, list[Any]]:
    """The nearest form that a sample starts in, and the converters from there."""
    frontier: list[tuple[str, list[Any]]] = [(start, []) for start in _sources()]
    seen = set(_sources())
    while frontier:
        here, edges = frontier.pop(0)
        if here == form:
            return here if not edges else edges[0].takes, edges
        for edge in plugin.converters.available():
            if edge.takes == here and edge.gives not in seen:
                seen.add(edge.gives)
                frontier.append((edge.gives, [*edges, edge]))
    pytest.skip(f"no sample model can be brought into form '{form}'")


@functools.cache
def _sample(form: str, kind: str) -> Model | None:
    """A tiny model in a form; ``None`` where there is none of this kind."""
    start, edges = _route(form)
    model = _sources()[start].get(kind)
    for edge in edges:
        if model is not None:
            model = edge(model, Workload(2))
            model = replace(model, traits=plugin.forms.get(model.form).traits(model.handle))
    return model


def _samples(form: str) -> Iterator[Model]:
    for kind in ("images", "tokens", "series", "pixels"):
        if (model := _sample(form, kind)) is not None:
            yield model


def _inputs(model: Model, count: int = 8) -> Arrays:
    """Stored inputs: integers within the model's bounds, bytes where there is a normalisation."""
    rng = np.random.default_rng(0)
    bounds = plugin.forms.get(model.form).bounds(model.handle)
    made = {}
    for tensor in model.spec.inputs:
        shape = (count, *(dim if isinstance(dim, int) else 4 for dim in tensor.shape[1:]))
        if tensor.name in model.spec.normalisation:
            made[tensor.name] = rng.integers(0, 256, shape, np.uint8)
        elif tensor.dtype.startswith("int"):
            whole = rng.integers(0, bounds.get(tensor.name, 2), shape)
            made[tensor.name] = whole.astype(tensor.dtype)
        else:
            made[tensor.name] = rng.standard_normal(shape).astype(tensor.dtype)
    return made


def _answers(model: Model, inputs: Arrays) -> list[Arrays]:
    """What the form's yardstick gives, at two batch sizes."""
    found = build.faithful_outputs(model, inputs, Workload(2))
    if found is None:
        pytest.skip(f"no engine here runs form '{model.form}' faithfully")
    return found


def _decibel(expected: list[Arrays], found: list[Arrays]) -> float:
    """SQNR of the worst output."""
    return min(
        build.sqnr_decibel(array, other[name])
        for one, other in zip(expected, found, strict=True)
        for name, array in one.items()
    )


# --- forms ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("family", "name"), _names("forms"))
def test_a_form_keeps_models_as_data(family: str, name: str, tmp_path: Path) -> None:
    form = _installed(family, name)
    for number, model in enumerate(_samples(name)):
        folder = tmp_path / str(number)
        folder.mkdir()
        form.save(model, folder)
        files = [path for path in folder.rglob("*") if path.is_file()]
        assert files
        for path in files:
            head = path.read_bytes()[:4]
            assert not head.startswith(b"PK"), f"{path.name} is a zip, which may hold a pickle"
            assert not (head[:1] == b"\x80" and head[1] <= 5), f"{path.name} is a pickle"
        again = replace(model, handle=form.load(folder, model.spec))
        assert again.handle is not model.handle
        inputs = _inputs(model)
        assert build.difference(_answers(model, inputs), _answers(again, inputs)) <= 1e-5
        assert form.traits(again.handle) == form.traits(model.handle)
        assert form.size(again.handle)[0] == form.size(model.handle)[0]


@pytest.mark.parametrize(("family", "name"), _names("forms"))
def test_a_form_tells_what_it_holds(family: str, name: str) -> None:
    form = _installed(family, name)
    told = set()
    for model in _samples(name):
        traits = form.traits(model.handle)
        assert isinstance(traits, frozenset)
        told |= traits
        parameters, macs = form.size(model.handle)
        assert parameters > 0
        assert macs >= 0
        layers = form.layers(model.handle, build.ready(_inputs(model, 2), model.spec, traits))
        assert layers, "the tiny models all have layers with multiply-adds"
        assert all(array.dtype.kind == "f" and array.size for array in layers.values())
        for tensor, bound in form.bounds(model.handle).items():
            assert bound > 0
            assert tensor in {spec.name for spec in model.spec.inputs}
    assert "convolution" in told


@pytest.mark.parametrize(("family", "name"), _names("forms"))
def test_a_form_refuses_what_is_damaged(family: str, name: str, tmp_path: Path) -> None:
    form = _installed(family, name)
    model = next(_samples(name))
    form.save(model, tmp_path)
    for path in [path for path in tmp_path.rglob("*") if path.is_file()]:
        whole = path.read_bytes()
        path.write_bytes(b"")
        with pytest.raises(HastenError):
            form.load(tmp_path, model.spec)
        path.write_bytes(whole)


# --- front ends and converters --------------------------------------------------------------------


@pytest.mark.parametrize(("family", "name"), _names("frontends"))
def test_a_front_end_takes_only_its_own(family: str, name: str) -> None:
    found = plugin.FAMILIES[family].get(name)
    for what in ("", "digits", "photo.jpg", "folder/", object(), 3.5, None, b"bytes", {}, []):
        assert found.sniff(what) is False
    others = [one.order for one in plugin.frontends.all() if one.name != name]
    assert found.order not in others, "who is asked first must not depend on chance"


@pytest.mark.parametrize("form", ["onnx", "torch"])
def test_a_front_end_writes_down_where_a_model_comes_from(form: str) -> None:
    model = _sample(form, "images")
    assert model is not None
    step = model.history[0]
    assert step.family == "frontends"
    assert step.use.name in plugin.frontends.names()
    assert model.spec.batched
    assert json.loads(json.dumps(step.to_json())) == step.to_json()


@pytest.mark.parametrize(("family", "name"), _names("converters"))
def test_a_converter_keeps_what_is_computed(family: str, name: str) -> None:
    converter = _installed(family, name)
    assert converter.takes in plugin.forms.names()
    assert converter.gives in plugin.forms.names()
    tried = 0
    for model in _samples(converter.takes):
        inputs = _inputs(model)
        before = _answers(model, inputs)
        made = converter(model, Workload(2))
        assert (made.form, made.spec) == (converter.gives, model.spec)
        assert made.history[:-1] == model.history
        assert _recorded(made.history[-1], family, name)
        assert build.difference(before, _answers(made, inputs)) <= build.CONVERSION_TOLERANCE
        assert build.difference(before, _answers(model, inputs)) == 0, "its source was changed"
        tried += 1
    assert tried


def _recorded(step: Step, family: str, name: str) -> bool:
    return (step.family, step.use.name) == (family, name) and step.seconds > 0


# --- techniques -----------------------------------------------------------------------------------


def _fit(technique: Technique) -> tuple[Model, Arrays]:
    """The first tiny model that a technique supports, with stored inputs."""
    for form in technique.accepts:
        for model in _samples(form):
            if technique.supports(form, model.traits, model.spec):
                return model, _inputs(model, 32)
    pytest.skip(f"none of the tiny models fits '{technique.name}'")


def _settings(found: Engine | Technique, *about: Any) -> list[dict[str, Any]]:
    offered = [dict(options) for options in found.space(*about)]
    return offered[:1] if found.typical_seconds > LAZY_SECONDS else offered


@pytest.mark.parametrize(("family", "name"), _names("techniques"))
def test_a_technique_keeps_its_promises(family: str, name: str) -> None:
    technique = _installed(family, name)
    model, inputs = _fit(technique)
    before = _answers(model, inputs)
    ready = build.ready(inputs, model.spec, model.traits)
    for options in _settings(technique, model.traits, TARGET):
        made = technique(model, ready, Use.of(name, **options))
        assert made.form == model.form
        assert made.handle is not model.handle
        assert technique.gives <= made.traits
        assert made.history[:-1] == model.history
        assert _recorded(made.history[-1], family, name)
        after = _answers(made, inputs)
        if technique.exact:
            assert build.difference(before, after) <= build.CONVERSION_TOLERANCE
        else:
            assert 8 < _decibel(before, after) < 150, "lossy, but still the same model"
        assert build.difference(before, _answers(model, inputs)) == 0, "its source was changed"
        again = technique.supports(made.form, made.traits, made.spec)
        assert technique.forbids & technique.gives == frozenset() or not again


@pytest.mark.parametrize(("family", "name"), _names("techniques"))
def test_a_technique_refuses_what_it_does_not_support(family: str, name: str) -> None:
    technique = _installed(family, name)
    model, inputs = _fit(technique)
    assert not technique.supports("papyrus", model.traits, model.spec)
    other = replace(model, form="papyrus")
    with pytest.raises(Unsupported, match=name):
        technique(other, inputs, Use(name))
    for trait in technique.forbids:
        verdict = technique.supports(model.form, model.traits | {trait}, model.spec)
        assert not verdict
        assert verdict.why


KEEPING = [t.name for t in plugin.techniques.all() if hasattr(t.Options(), "keep")]


@pytest.mark.parametrize("name", KEEPING)
def test_layers_that_are_kept_stay_in_float(name: str) -> None:
    technique = _installed("techniques", name)
    model, inputs = _fit(technique)
    form = plugin.forms.get(model.form)
    ready = build.ready(inputs, model.spec, model.traits)
    two = {key: array[:2] for key, array in ready.items()}
    layers = list(form.layers(model.handle, two))
    before = _answers(model, inputs)
    lossy = _decibel(before, _answers(technique(model, ready, Use(name)), inputs))
    # One layer alone in int8; which one costs least is the technique's own affair.
    made = [
        technique(model, ready, Use.of(name, keep=tuple(sorted(kept))))
        for kept in (layers[1:], layers[:-1])
    ]
    assert max(_decibel(before, _answers(one, inputs)) for one in made) > lossy + 3
    assert set(form.layers(made[0].handle, two)) & set(layers), "layers keep their names"


# --- engines --------------------------------------------------------------------------------------


def _runnable(engine: Engine, workload: Workload) -> Model:
    for form in engine.accepts:
        for model in _samples(form):
            if engine.supports(form, model.traits, workload):
                return model
    pytest.skip(f"none of the tiny models runs on '{engine.name}'")


@pytest.mark.parametrize(("family", "name"), _names("engines"))
def test_an_engine_keeps_its_promises(family: str, name: str) -> None:
    engine = _installed(family, name)
    if "cpu" not in engine.targets:
        pytest.skip(f"'{name}' does not run on a CPU")
    workload = Workload(2, threads=1)
    model = _runnable(engine, workload)
    inputs = build.ready(_inputs(model, 4), model.spec, model.traits)
    feeds = [{key: array[at : at + 2] for key, array in inputs.items()} for at in (0, 2)]
    wanted = [_answers(model, feed)[0] for feed in feeds]
    for options in _settings(engine, model.traits, TARGET, workload):
        with engine(model, workload, Use.of(name, **options)) as runner:
            _computes(runner, feeds, wanted, engine.exact(options))
            _profiles(runner, feeds[0], model)
            json.dumps(runner.facts)
            assert runner.facts["precision"] == options.get("precision", "f32")


def _computes(runner: Runner, feeds: list[Arrays], wanted: list[Arrays], exact: bool) -> None:
    """Two bound feeds give their own answers, as often as they are run, alone or overlapping."""
    bound = [runner.bind(feed) for feed in feeds]
    for _ in range(2):
        for feed, expected in zip(bound, wanted, strict=True):
            found = {key: np.array(value) for key, value in runner.run(feed).items()}
            assert list(found) == list(expected)
            assert all(found[key].shape == array.shape for key, array in expected.items())
            if exact:
                assert build.difference([expected], [found]) <= 1e-4
            else:
                assert _decibel([expected], [found]) > 20
    for _ in range(3):
        runner.submit(bound[0])
    runner.drain()
    runner.drain()


def _profiles(runner: Runner, feed: Arrays, model: Model) -> None:
    """The kernels of one call, with what they computed in, and all of the work."""
    kernels = runner.profile(runner.bind(feed))
    assert kernels
    assert all(isinstance(kernel, Kernel) and kernel.precision for kernel in kernels)
    assert all(kernel.seconds >= 0 and kernel.macs >= 0 for kernel in kernels)
    assert json.loads(json.dumps([kernel.to_json() for kernel in kernels]))
    macs = plugin.forms.get(model.form).size(model.handle)[1]
    assert sum(kernel.macs for kernel in kernels) == pytest.approx(2 * macs, rel=0.02)


@pytest.mark.parametrize(("family", "name"), _names("engines"))
def test_an_engine_refuses_what_it_does_not_support(family: str, name: str) -> None:
    engine = _installed(family, name)
    model = _runnable(engine, Workload(target=engine.targets[0]))
    verdict = engine.supports("papyrus", frozenset(), Workload())
    assert not verdict
    assert verdict.why
    assert not engine.supports(model.form, model.traits, Workload(target="abacus"))
    with pytest.raises(Unsupported, match=name):
        engine(replace(model, form="papyrus"), Workload(), Use(name))
    with pytest.raises(UnknownName):
        engine(model, Workload(), Use.of(name, no_such_option=1))


@pytest.mark.parametrize("form", plugin.forms.names())
def test_every_form_has_one_yardstick(form: str) -> None:
    marks = [e.yardstick for e in plugin.engines.all() if form in e.accepts and e.yardstick > 0]
    assert marks, f"no engine checks conversions into form '{form}'"
    assert len(set(marks)) == len(marks), "which one counts must not depend on chance"


# --- targets and data -----------------------------------------------------------------------------


@pytest.mark.parametrize(("family", "name"), _names("targets"))
def test_a_target_tells_plain_facts(family: str, name: str) -> None:
    facts = plugin.FAMILIES[family].get(name).probe()
    assert json.loads(json.dumps(dict(facts))) == dict(facts)
    assert isinstance(facts["present"], bool)
    if not facts["present"]:
        assert facts["reason"]
        return
    assert facts["name"]
    assert plugin.FAMILIES[family].get(name).probe() == facts, "keys of the store hang on them"


@pytest.mark.parametrize(("family", "name"), _names("data.sources"))
def test_a_source_of_data_says_how_it_is_written(family: str, name: str) -> None:
    source = plugin.FAMILIES[family].get(name)
    assert isinstance(source.spelling, str)
    for what in ("", "no such thing", "..", "?"):
        assert source.sniff(what) is False
    others = [one.spelling for one in plugin.sources.all() if one.name != name and one.spelling]
    assert source.spelling not in others


# --- packages from outside ------------------------------------------------------------------------


@pytest.mark.usefixtures("outside")
def test_plug_ins_of_other_packages_are_found() -> None:
    assert {"steady", "swift", "absent"} <= set(plugin.engines.names())
    assert plugin.engines.get("swift").name == "swift"
    assert "absent" not in {engine.name for engine in plugin.engines.available()}
    with pytest.raises(NotInstalled, match=r"engine 'absent': hasten-nothing is not installed"):
        plugin.engines.get("absent")(None, Workload(), Use("absent"))


def test_an_unknown_plug_in_is_told_with_the_nearest() -> None:
    for family in plugin.FAMILIES.values():
        known = family.names()[0]
        with pytest.raises(UnknownName, match=rf"Did you mean '{known}'\? Known: "):
            family.get(known + "x")


BROKEN = {
    "raises": "raise RuntimeError('at import')",
    "empty": "",
    "no_syntax": "def (",
    "missing": "import no_such_package_at_all",
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_package_does_not_stop_the_others(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / f"broken_{kind}.py").write_text(BROKEN[kind])
    info = tmp_path / f"broken_{kind}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: broken-{kind}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[hasten.engines]\nbroken_{kind} = broken_{kind}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert f"broken_{kind}" in plugin.engines.names()
    found = {engine.name for engine in plugin.engines.all()}
    assert "onnxruntime" in found
    assert f"broken_{kind}" not in found


def test_a_plug_in_under_another_name_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "alias-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: alias\nVersion: 1.0\n")
    point = "quick = hasten.engines.torch_eager:TorchEager"
    (info / "entry_points.txt").write_text(f"[hasten.engines]\n{point}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(HastenError, match=r"'quick' lies in a file called 'torch_eager'"):
        plugin.engines.get("quick")


# --- the base classes hold authors to it ----------------------------------------------------------


def test_no_plug_in_overrides_what_the_base_class_checks() -> None:
    """``__call__`` belongs to the base class: what is promised there holds for everyone."""
    for family in plugin.FAMILIES.values():
        for found in family.all():
            for kind in type(found).__mro__:
                if kind.__module__.startswith("hasten.plugin") or kind is object:
                    continue
                owned = {"__call__", "options", "name"} & set(vars(kind))
                assert not (owned and issubclass(kind, Plugin)), f"{kind} overrides {owned}"


def test_every_family_names_its_abstract_methods() -> None:
    for family in plugin.FAMILIES.values():
        assert inspect.isabstract(family.base)
        tree = ast.parse(inspect.getsource(importlib.import_module(family.base.__module__)))
        documented = [n for n in ast.walk(tree) if isinstance(n, ast.ClassDef)]
        assert all(ast.get_docstring(node) for node in documented)
