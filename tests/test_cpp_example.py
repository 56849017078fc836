"""The C++ example builds against the openvino wheel and computes what Python computes."""

from __future__ import annotations

import math
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

import hasten
import roads
from hasten import plugin
from hasten.bundle import packing
from hasten.plugin import Source
from hasten.search.build import save_model
from hasten.search.store import Store
from hasten.types import Normalisation, Plan, Use, Workload

EXAMPLE = Path(__file__).parents[1] / "examples" / "cpp"
TALE = {"text": 'µs \u2028 "quoted" \\ \n', "nan": math.nan, "none": None, "empty": [{}, []]}
"""Evidence that a careless JSON reader would stumble over."""
BuildBundle = Callable[..., Path]


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built program."""
    found = find_spec("openvino")
    if found is None or not found.submodule_search_locations:
        pytest.skip("openvino is not installed")
    if not (Path(found.submodule_search_locations[0]) / "include").is_dir():
        pytest.skip("this openvino package has no C++ headers")
    if not shutil.which("make") or not (shutil.which("c++") or shutil.which("g++")):
        pytest.skip("no make or no C++ compiler")
    folder = tmp_path_factory.mktemp("cpp")
    words = ["make", "--silent", f"PYTHON={sys.executable}", f"BUILD={folder}", "CXXFLAGS=-O0"]
    built = subprocess.run([*words, "-C", str(EXAMPLE)], capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    assert "warning" not in built.stderr, built.stderr
    return folder / "run_bundle"


@pytest.fixture
def bundle(tmp_path: Path) -> BuildBundle:
    """A bundle of a tiny model in the form that the example runs, packed without a search."""

    def pack(engine: str = "openvino", normalised: bool = False, **options: object) -> Path:
        workload = Workload()
        model = plugin.frontends.get("onnx")(Source(str(roads.onnx_model(tmp_path / "m.onnx"))))
        model = plugin.converters.get("openvino_from_onnx")(model, workload)
        if normalised:
            stored = {"image": Normalisation(1 / 16, (0.3,), (0.4,))}
            model = replace(model, spec=replace(model.spec, normalisation=stored))
        store = Store(tmp_path / "store")
        note = save_model(store, "model", model)
        plan = Plan((("converters", Use("openvino_from_onnx")),), Use.of(engine, **options))
        place = tmp_path / "tiny.hasten"
        with packing(
            place,
            model_folder=store.path("model"),
            note=note,
            plan=plan,
            workload=workload,
            evidence=TALE,
            pages={},
        ):
            pass
        return place

    return pack


def run(program: Path, *words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([program, *map(str, words)], capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("normalised", [False, True])
def test_it_computes_what_python_computes(
    program: Path, bundle: BuildBundle, tmp_path: Path, normalised: bool
) -> None:
    place = bundle(normalised=normalised, precision="f32")
    images = np.random.default_rng(0).integers(0, 17, (3, 1, 8, 8)).astype(np.uint8)
    given = images if normalised else images.astype(np.float32)
    np.save(tmp_path / "image.npy", given)
    said = run(
        program, place, f"image={tmp_path / 'image.npy'}", "--save", tmp_path, "--seconds", 0.01
    )
    assert said.returncode == 0, said.stderr
    assert "ms per call (median of" in said.stdout
    assert "scores: f32[3,10]" in said.stdout
    with hasten.load(place) as loaded:
        expected = loaded(given)
    np.testing.assert_allclose(np.load(tmp_path / "scores.npy"), expected, rtol=1e-4, atol=1e-4)


def test_without_arrays_it_takes_zeros_of_the_measured_batch(
    program: Path, bundle: BuildBundle
) -> None:
    said = run(program, bundle(threads=1), "--seconds", 0.01)
    assert said.returncode == 0, said.stderr
    assert said.stdout.startswith("scores: f32[1,10] 0 0 0")


def test_it_says_what_is_wrong(program: Path, bundle: BuildBundle, tmp_path: Path) -> None:
    place = bundle()
    np.save(tmp_path / "double.npy", np.zeros((1, 1, 8, 8)))
    np.save(tmp_path / "wide.npy", np.zeros((1, 1, 8, 9), np.float32))
    (tmp_path / "text.npy").write_text("not numbers")
    for words, why in (
        ((), "usage: run_bundle BUNDLE"),
        ((tmp_path,), "has no manifest.json"),
        ((place, "picture=x.npy"), "the model has no input 'picture'"),
        ((place, "image=nowhere.npy"), "cannot open 'nowhere.npy'"),
        ((place, f"image={tmp_path / 'text.npy'}"), "is no .npy file"),
        ((place, f"image={tmp_path / 'double.npy'}"), "holds <f8, it must hold <f4"),
        ((place, f"image={tmp_path / 'wide.npy'}"), "has the shape [1,1,8,9]"),
    ):
        said = run(program, *words)
        assert said.returncode == 2
        assert why in said.stderr, said.stderr


def test_it_refuses_what_it_cannot_run(program: Path, bundle: BuildBundle) -> None:
    place = bundle("onnxruntime")
    assert "the bundle runs on 'onnxruntime'" in run(program, place).stderr
    manifest = place / "manifest.json"
    manifest.write_text(manifest.read_text()[:500])
    said = run(program, place)
    assert said.returncode == 2
    assert "cannot read the manifest at byte 500: it ends too early" in said.stderr
