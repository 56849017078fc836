"""Bundles: whole or refused, called in every way, checked and timed where they stand."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hasten as package
from hasten.errors import BadData, BadInput, BrokenBundle, NotInstalled, Untrusted
from hasten.manifest import read_manifest, sealed
from roads import Said

Command = Callable[..., Said]


@pytest.fixture
def bundle(shared_bundle: Path, workplace: Path) -> Path:
    """A copy of the shared bundle that may be harmed."""
    return Path(shutil.copytree(shared_bundle, workplace / "fast.hasten"))


def _edited(bundle: Path, **changed: Any) -> Path:
    """The bundle with other values in its manifest, under a seal that fits."""
    manifest = json.loads((bundle / "manifest.json").read_text())
    (bundle / "manifest.json").write_text(sealed({**manifest, **changed}))
    return bundle


# --- calling --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def loaded(shared_bundle: Path) -> package.Bundle:
    return package.load(shared_bundle)


def _images(count: int) -> np.ndarray:
    return np.random.default_rng(3).standard_normal((count, 1, 8, 8)).astype(np.float32)


def _direct(shared_bundle: Path, images: np.ndarray) -> np.ndarray:
    """What ONNX Runtime itself gives for the model that was optimised."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(shared_bundle.parent / "tiny.onnx"))
    scores: np.ndarray = session.run(None, {"image": images})[0]
    return scores


def test_it_answers_in_kind(loaded: package.Bundle, shared_bundle: Path) -> None:
    images = _images(1)
    wanted = _direct(shared_bundle, images)
    np.testing.assert_allclose(loaded(images), wanted, rtol=1e-4, atol=1e-4)
    by_name = loaded({"image": images})
    assert list(by_name) == ["scores"]
    np.testing.assert_allclose(by_name["scores"], wanted, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(loaded(image=images)["scores"], by_name["scores"])


@pytest.mark.parametrize("count", [2, 5, 16])
def test_it_takes_any_number_of_samples(
    count: int, loaded: package.Bundle, shared_bundle: Path
) -> None:
    images = _images(count)
    found = loaded(images)
    np.testing.assert_allclose(found, _direct(shared_bundle, images), rtol=1e-4, atol=1e-4)


def test_what_it_gives_is_the_callers_own(loaded: package.Bundle) -> None:
    first = loaded(_images(1))
    kept = first.copy()
    loaded(2 * _images(1))
    np.testing.assert_array_equal(first, kept)


def test_lists_and_wider_floats_are_taken(loaded: package.Bundle) -> None:
    images = _images(1)
    wanted = loaded(images)
    np.testing.assert_array_equal(loaded(images.astype(np.float64)), wanted)
    np.testing.assert_array_equal(loaded(images.tolist()), wanted)


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda b: b(_images(1)[:, :, :7]), r"\(1, 1, 7, 8\), it must be image: float32\[batch"),
        (lambda b: b(_images(1)[0]), r"shape \(1, 8, 8\)"),
        (lambda b: b(_images(1)[:0]), "0 samples"),
        (lambda b: b(_images(1) * 1j), "complex"),
        (lambda b: b(np.array([["a"]])), "shape"),
        (lambda b: b(), "input 'image' is missing"),
        (lambda b: b({}), "input 'image' is missing"),
        (lambda b: b(_images(1), _images(1)), "2 arrays: it takes 1"),
        (lambda b: b({"image": _images(1), "mask": _images(1)}), "'mask': its inputs are image"),
        (lambda b: b({"picture": _images(1)}), "input 'image' is missing"),
    ],
)
def test_what_does_not_fit_is_refused(
    call: Callable[[package.Bundle], object], expected: str, loaded: package.Bundle
) -> None:
    with pytest.raises(BadData, match=expected):
        call(loaded)


def test_another_batch(shared_bundle: Path) -> None:
    with package.load(shared_bundle, batch=4) as wider:
        assert wider.workload.batch == 4
        images = _images(6)
        wanted = _direct(shared_bundle, images)
        np.testing.assert_allclose(wider(images), wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("batch", [0, -1, 2.5, True])
def test_a_batch_that_is_none(batch: Any, shared_bundle: Path) -> None:
    with pytest.raises(BadInput, match="batch"):
        package.load(shared_bundle, batch=batch)


def test_a_free_dimension_keeps_its_measured_size(workplace: Path) -> None:
    onnx = pytest.importorskip("onnx", reason="needs onnx")
    pytest.importorskip("onnxruntime", reason="needs onnxruntime")
    from hasten.bundle import Bundle
    from hasten.plugin import Source
    from hasten.search.build import read_source
    from hasten.types import Plan, Use, Workload

    nodes = [
        onnx.helper.make_node("ReduceSum", ["x", "axes"], ["y"], keepdims=0),
        onnx.helper.make_node("ReduceSum", ["y"], ["all"], keepdims=0),
    ]
    real = onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        nodes,
        "sums",
        [onnx.helper.make_tensor_value_info("x", real, ["batch", "steps"])],
        [
            onnx.helper.make_tensor_value_info("y", real, ["batch"]),
            onnx.helper.make_tensor_value_info("all", real, []),
        ],
        [onnx.numpy_helper.from_array(np.array([1]), "axes")],
    )
    opset = [onnx.helper.make_opsetid("", 17)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=8), "sums.onnx")
    model = read_source(Source("sums.onnx"))
    workload = Workload(2, (("steps", 3),))
    with Bundle(model, Plan((), Use("onnxruntime")), workload, {"evidence": {}}) as sums:
        rows, total = sums(np.ones((2, 3), np.float32))
        assert (rows.tolist(), total) == ([3, 3], 6)
        with pytest.raises(
            BadData, match=r"shape \(2, 5\), it must be x: float32\[batch, 3\].*--size"
        ):
            sums(np.ones((2, 5), np.float32))
        with pytest.raises(BadData, match=r"'all' does not lead with the batch.*batch=4"):
            sums(np.ones((4, 3), np.float32))


# --- damage ---------------------------------------------------------------------------------------


def _files(bundle: Path) -> list[Path]:
    return sorted(path for path in bundle.rglob("*") if path.is_file())


def test_an_altered_byte_in_any_file(bundle: Path) -> None:
    rng = np.random.default_rng(0)
    for path in _files(bundle):
        whole = path.read_bytes()
        for place in rng.integers(0, len(whole), 4):
            path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x20]) + whole[place + 1 :])
            with pytest.raises(BrokenBundle):
                read_manifest(bundle)
        path.write_bytes(whole)
    read_manifest(bundle)


def test_a_missing_file(bundle: Path) -> None:
    for path in _files(bundle):
        whole = path.read_bytes()
        path.unlink()
        with pytest.raises(BrokenBundle, match=r"is missing|has no manifest\.json"):
            package.load(bundle)
        path.write_bytes(whole)


@pytest.mark.parametrize("place", ["extra.txt", "model/extra.bin", ".hidden", "deep/er/still"])
def test_an_unlisted_file(place: str, bundle: Path) -> None:
    (bundle / place).parent.mkdir(parents=True, exist_ok=True)
    (bundle / place).touch()
    with pytest.raises(BrokenBundle, match=rf"'{place}' is not in its manifest"):
        package.load(bundle)


def test_a_link(bundle: Path, tmp_path: Path) -> None:
    page = bundle / "report.html"
    shutil.move(page, tmp_path / "page.html")
    page.symlink_to(tmp_path / "page.html")
    with pytest.raises(BrokenBundle, match=r"'report.html' is a link"):
        package.load(bundle)


def test_a_linked_folder(bundle: Path, tmp_path: Path) -> None:
    shutil.move(bundle / "model", tmp_path / "model")
    (bundle / "model").symlink_to(tmp_path / "model")
    with pytest.raises(BrokenBundle, match="'model' is a link"):
        package.load(bundle)


def test_another_schema(bundle: Path) -> None:
    with pytest.raises(BrokenBundle, match=r"schema 99, this Hasten reads 1.*pip install hasten=="):
        package.load(_edited(bundle, schema=99))


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '"text"', "1", "{}", '{"schema": 1}', "\x00", "[" * 100_000]
)
def test_a_manifest_that_is_none(text: str, bundle: Path) -> None:
    (bundle / "manifest.json").write_text(text)
    with pytest.raises(BrokenBundle, match="damaged"):
        package.load(bundle)


@pytest.mark.parametrize(
    "changed",
    [
        {"files": []},
        {"files": {"model/model.onnx": "a hash"}},
        {"files": {"../../etc/passwd": {"sha256": "0" * 64, "bytes": 1}}},
        {"plan": {}},
        {"plan": {"steps": [["techniques"]], "engine": {"name": "onnxruntime", "options": {}}}},
        {"workload": {"batch": 1}},
        {"model": {}},
        {"model": None},
        {"evidence": {}, "model": {"spec": {"inputs": [3]}}},
    ],
)
def test_a_manifest_made_to_deceive(changed: dict[str, Any], bundle: Path) -> None:
    """Its seal fits, since anybody can make one; its content does not."""
    with pytest.raises(BrokenBundle):
        package.load(_edited(bundle, **changed))


def test_a_plug_in_that_nobody_has(bundle: Path) -> None:
    plan = {"steps": [], "engine": {"name": "abacus", "options": {}}}
    with pytest.raises(BadInput, match="Unknown engine 'abacus'"):
        package.load(_edited(bundle, plan=plan))


def test_an_engine_that_is_not_installed(bundle: Path, outside: None) -> None:
    plan = {"steps": [], "engine": {"name": "absent", "options": {}}}
    with pytest.raises(NotInstalled, match=r"Install it: pip install .*measured with onnxruntime"):
        package.load(_edited(bundle, plan=plan))


def test_a_bundle_that_runs_code_needs_trust(bundle: Path) -> None:
    source = {
        "what": "wild:build",
        "weights": None,
        "trust": True,
        "examples": [],
        "paths": [],
    }
    with pytest.raises(Untrusted, match=r"wild:build.*trust=True"):
        package.load(_edited(bundle, source=source))


def test_a_place_without_a_bundle(workplace: Path) -> None:
    with pytest.raises(BrokenBundle, match="there is nothing"):
        package.load(workplace / "nothing.hasten")
    with pytest.raises(BrokenBundle, match=r"has no manifest\.json"):
        package.load(workplace)


# --- as one file ----------------------------------------------------------------------------------


@pytest.fixture
def archive(shared_bundle: Path, workplace: Path) -> Path:
    return Path(shutil.copy(f"{shared_bundle}.zip", workplace / "fast.hasten.zip"))


def test_a_zip_is_loaded_and_leaves_nothing(archive: Path, tmp_path: Path) -> None:
    with package.load(archive) as loaded:
        assert loaded(_images(2)).shape == (2, 10)
    del loaded
    assert not list((tmp_path / "tmp").iterdir())


def _with_member(archive: Path, name: str) -> None:
    with zipfile.ZipFile(archive, "a") as packed:
        packed.writestr(name, "surprise")


@pytest.mark.parametrize(
    ("harm", "expected"),
    [
        (lambda a: a.write_bytes(a.read_bytes()[: a.stat().st_size // 2]), "whole zip file"),
        (lambda a: a.write_bytes(a.read_bytes()[:-10]), "whole zip file"),
        (lambda a: a.write_bytes(b""), "whole zip file"),
        (lambda a: a.write_text("hello"), "whole zip file"),
        (lambda a: _with_member(a, "../outside.txt"), "lies outside"),
        (lambda a: _with_member(a, "/outside.txt"), "lies outside"),
        (lambda a: _with_member(a, "model/../../outside.txt"), "lies outside"),
        (lambda a: _with_member(a, "inside.txt"), "'inside.txt' is not in its manifest"),
    ],
    ids=["half", "cut", "empty", "text", "parent", "absolute", "hidden parent", "unlisted"],
)
def test_a_zip_that_is_no_bundle(
    harm: Callable[[Path], object], expected: str, archive: Path, tmp_path: Path
) -> None:
    harm(archive)
    with pytest.raises(BrokenBundle, match=expected):
        package.load(archive)
    assert not list((tmp_path / "tmp").iterdir())
    assert not (tmp_path / "outside.txt").exists()


def test_a_zip_with_altered_bytes(archive: Path) -> None:
    whole = archive.read_bytes()
    harmless = 0
    for place in np.random.default_rng(0).integers(0, len(whole), 60):
        archive.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        try:
            package.load(archive).close()
        except BrokenBundle:
            continue
        harmless += 1  # a date or another field that nobody reads
    assert harmless < 10


def test_a_zip_that_unpacks_to_more_than_it_may(
    archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hasten.manifest.MAX_UNPACKED_BYTES", 1000)
    with pytest.raises(BrokenBundle, match="unpacks to more"):
        package.load(archive)


# --- saving, verifying, timing --------------------------------------------------------------------


def test_save(shared_bundle: Path, workplace: Path) -> None:
    from hasten.result import Result

    result = Result(shared_bundle, read_manifest(shared_bundle)["evidence"], temporary=True)
    assert result.save(workplace / "kept.hasten") == workplace / "kept.hasten"
    assert read_manifest(workplace / "kept.hasten") == read_manifest(shared_bundle)
    result.save(workplace / "kept.hasten")  # a bundle may be replaced by another
    (workplace / "mine").mkdir()
    (workplace / "mine" / "notes.txt").write_text("keep")
    with pytest.raises(BadInput, match="holds something else"):
        result.save(workplace / "mine")
    assert (workplace / "mine" / "notes.txt").read_text() == "keep"
    np.testing.assert_array_equal(result(_images(1)), result.bundle(_images(1)))
    assert result.to_json()["bundle"] is None


def test_verify(hasten: Command, bundle: Path) -> None:
    said = hasten("verify", bundle, "--json")
    assert (said.code, json.loads(said.out)["ok"]) == (0, True)
    said = hasten("verify", bundle, "--layers")
    assert said.code == 0
    assert all(line.startswith("ok ") for line in said.out.splitlines()[:4])


def test_verify_tells_another_answer(hasten: Command, bundle: Path) -> None:
    samples = dict(np.load(bundle / "samples.npz"))
    samples["out:scores"] = samples["out:scores"] + 1
    np.savez_compressed(bundle / "samples.npz", **samples)
    manifest = json.loads((bundle / "manifest.json").read_text())
    from hasten.search.store import file_hash

    manifest["files"]["samples.npz"]["sha256"] = file_hash(bundle / "samples.npz")
    said = hasten("verify", _edited(bundle, files=manifest["files"]))
    assert said.code == 1
    assert "NO  outputs differ from the packed ones" in said.out


def test_verify_refuses_a_broken_one(hasten: Command, bundle: Path) -> None:
    (bundle / "report.html").write_text("better numbers")
    said = hasten("verify", bundle)
    assert said.code == 2
    assert "'report.html' was changed after it was packed" in said.told


@pytest.mark.parametrize("packed", [False, True], ids=["folder", "zip"])
def test_verbs_take_a_bundle(packed: bool, hasten: Command, bundle: Path, archive: Path) -> None:
    thing = archive if packed else bundle
    timed = json.loads(hasten("bench", thing, "--seconds", "0.3", "--json").out)
    assert timed["calls"] >= timed["rounds"] == 3
    assert 0 < timed["p5_seconds"] <= timed["median_seconds"] <= timed["p95_seconds"]
    assert timed["bundle"] == str(thing)
    shown = json.loads(hasten("inspect", thing, "--json").out)
    assert shown["schema"] == 1
    evidence = json.loads(hasten("report", thing, "--json").out)
    assert evidence == read_manifest(bundle)["evidence"]
    assert "tiny" in hasten("inspect", thing).out or shown["model"]
    assert hasten("report", thing).code == 0
