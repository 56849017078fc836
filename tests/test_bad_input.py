"""Bad input: exit code 2, one line that says what to do, and nothing half-written.

Everything goes through the command line as a user would type it. Data are tried on a model of the
package outside, because its children start fastest.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import roads
from roads import Said

Command = Callable[..., Said]
Prepare = Callable[[Path], object]


def refused(said: Said, *expected: str) -> None:
    """Exit code 2, one line with all of ``expected``, no traceback, nothing on standard output."""
    assert said.code == 2, said.err
    assert said.out == ""
    for text in expected:
        assert text in said.told
    assert "Traceback" not in said.err
    assert said.told.endswith((".", "--help")), f"no whole sentence: {said.told}"


@pytest.fixture(autouse=True)
def nothing_left(workplace: Path, tmp_path: Path) -> object:
    """Whatever a test prepares, the command adds nothing to it, in no temporary place either."""
    yield
    assert not [path for path in workplace.rglob("*") if "hasten" in path.name]
    assert not list((tmp_path / "tmp").glob("hasten*"))
    unfinished = [p for p in (tmp_path / "cache").rglob(".*") if p.is_dir()]
    assert not unfinished


# --- models ---------------------------------------------------------------------------------------


def _whole(folder: Path) -> bytes:
    return roads.onnx_model(folder / "whole.onnx").read_bytes()


def _outside_weights(folder: Path) -> None:
    import onnx

    model = onnx.load(roads.onnx_model(folder / "whole.onnx"))
    onnx.save(
        model, folder / "model.onnx", save_as_external_data=True, location="w.bin", size_threshold=0
    )
    (folder / "w.bin").unlink()


def _altered(raw: bytes, begin: int, end: int) -> bytes:
    """Random bytes over a piece of a file."""
    return raw[:begin] + np.random.default_rng(0).bytes(end - begin) + raw[end:]


MODELS: dict[str, tuple[Prepare, tuple[str, ...]]] = {
    "missing": (lambda f: None, ("no such file", "Check the path")),
    "empty": (lambda f: (f / "model.onnx").write_bytes(b""), ("empty", "again")),
    "truncated": (
        lambda f: (f / "model.onnx").write_bytes(_whole(f)[: len(_whole(f)) // 2]),
        ("only a part of one", "again"),
    ),
    "with a corrupt graph": (
        lambda f: (f / "model.onnx").write_bytes(_altered(_whole(f), 20, 200)),
        ("model.onnx", "again"),
    ),
    "with corrupt weights": (
        lambda f: (f / "model.onnx").write_bytes(_altered(_whole(f), 1500, 4500)),
        ("NaN or infinity on every sample", "Check the model"),
    ),
    "text": (
        lambda f: (f / "model.onnx").write_text("<html>404</html>" * 50),
        ("not an ONNX file", "again"),
    ),
    "a folder": (lambda f: (f / "model.onnx").mkdir(), ("a folder", "Give the .onnx file")),
    "git-lfs": (
        lambda f: (f / "model.onnx").write_text("version https://git-lfs.github.com/spec/v1\n"),
        ("git lfs pull",),
    ),
    "without its weights": (_outside_weights, ("'w.bin'", "missing", "same folder")),
}


@pytest.mark.parametrize("case", MODELS)
def test_an_onnx_file_that_cannot_be_read(case: str, hasten: Command, workplace: Path) -> None:
    pytest.importorskip("onnx", reason="needs onnx")
    prepare, expected = MODELS[case]
    prepare(workplace)
    refused(hasten("optimize", "model.onnx", "-o", "fast.hasten"), *expected)


def _exported(folder: Path) -> bytes:
    import torch

    program = torch.export.export(torch.nn.Linear(3, 2).eval(), (torch.randn(1, 3),))
    torch.export.save(program, folder / "whole.pt2")
    return (folder / "whole.pt2").read_bytes()


def _pickled(folder: Path) -> None:
    import torch

    torch.save(torch.nn.Linear(3, 2), folder / "model.pt")


TORCH_MODELS: dict[str, tuple[str, Prepare, tuple[str, ...]]] = {
    "missing": ("model.pt2", lambda f: None, ("no such file",)),
    "empty": ("model.pt2", lambda f: (f / "model.pt2").touch(), ("empty",)),
    "truncated": (
        "model.pt2",
        lambda f: (f / "model.pt2").write_bytes(_exported(f)[:-400]),
        ("damaged",),
    ),
    "without trust": (
        "model.pt2",
        lambda f: (f / "model.pt2").write_bytes(_exported(f)),
        ("runs what is pickled", "--trust"),
    ),
    "a pickle without trust": ("model.pt", _pickled, ("can run code", "--trust")),
}


@pytest.mark.parametrize("case", TORCH_MODELS)
def test_a_torch_file_that_cannot_be_read(case: str, hasten: Command, workplace: Path) -> None:
    pytest.importorskip("torch", reason="needs torch")
    name, prepare, expected = TORCH_MODELS[case]
    prepare(workplace)
    trust = ["--trust"] if case == "truncated" else []
    refused(hasten("optimize", name, "-o", "fast.hasten", *trust), name, *expected)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("model.xyz", "Give a .onnx, .keras or .pt2 file"),
        ("no_such_module:build", "no module 'no_such_module'"),
        ("json:no_such_factory", "no_such_factory"),
    ],
)
def test_a_model_that_nobody_knows(name: str, expected: str, hasten: Command) -> None:
    if ":" in name:
        pytest.importorskip("torch", reason="needs torch")
    refused(hasten("optimize", name), name.rpartition(":")[2], expected)


@pytest.mark.usefixtures("outside")
def test_a_model_that_brings_its_reader_down(hasten: Command, workplace: Path) -> None:
    (workplace / "model.linear").write_text("abort")
    said = hasten("optimize", "model.linear", "--target", "testbed")
    refused(said, "Cannot read model 'model.linear'", "killed by SIGABRT")


@pytest.mark.usefixtures("outside")
def test_a_memory_limit_too_low_for_anything(hasten: Command, workplace: Path) -> None:
    roads.linear_model(workplace)
    said = hasten("optimize", "model.linear", "--target", "testbed", "--memory", "0.001")
    refused(said, "over the limit of 0.001 GiB", "Raise it with --memory")


# --- data -----------------------------------------------------------------------------------------


def _x(count: int = 400) -> np.ndarray:
    return np.random.default_rng(2).standard_normal((count, 4)).astype(np.float32)


def _broken_at(value: float) -> np.ndarray:
    x = _x()
    x[7, 2] = value
    return x


def _flip_byte(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 0xFF
    path.write_bytes(raw)


def _npz(change: Callable[[Path], object] = lambda path: None, **arrays: object) -> Prepare:
    def prepare(folder: Path) -> None:
        change(roads.linear_data(folder, **arrays))

    return prepare


ARRAYS: dict[str, tuple[Prepare, tuple[str, ...]]] = {
    "missing": (_npz(Path.unlink), ("no such file", "Check the path")),
    "empty": (_npz(lambda p: p.write_bytes(b"")), ("empty, truncated or damaged",)),
    "truncated": (_npz(lambda p: p.write_bytes(p.read_bytes()[:3000])), ("truncated",)),
    "corrupt": (_npz(_flip_byte), ("damaged", "numpy.savez")),
    "an array that is a pickle": (
        _npz(x=np.array([{"a": 1}] * 400, dtype=object)),
        ("holds Python objects", "Store numbers"),
    ),
    "a zip of something else": (
        lambda f: zipfile.ZipFile(f / "samples.npz", "w").writestr("a.txt", "hello"),
        ("damaged", "numpy.savez"),
    ),
    "another name": (
        _npz(x=None, image=_x(), mask=_x()),
        ("it has no 'x'", "name the arrays"),
    ),
    "an input too many": (_npz(extra=_x()), ("no input 'extra'",)),
    "another shape": (_npz(x=np.ones((400, 5), np.float32)), ("(400, 5)", "'samples', 4")),
    "text": (_npz(x=np.array(["a"] * 400)), ("not numbers",)),
    "pixels without a normalisation": (_npz(x=np.ones((400, 4), np.uint8)), ("?mean=",)),
    "another length": (_npz(y=np.zeros(399, np.int64)), ("differ in length",)),
    "no samples": (_npz(x=_x(0), y=np.zeros(0, np.int64)), ("no samples",)),
    "one sample": (_npz(x=_x(1), y=np.zeros(1, np.int64)), ("at least 2",)),
    "a class the model has not": (_npz(y=np.full(400, 9)), ("9", "3")),
    "NaN": (_npz(x=_broken_at(np.nan)), ("nan", "(7, 2)", "Remove or mend")),
    "infinity": (_npz(x=_broken_at(np.inf)), ("inf", "(7, 2)", "Remove or mend")),
    "NaN in the targets": (_npz(y=np.full(400, np.nan)), ("'y'", "nan")),
}


@pytest.mark.usefixtures("outside")
@pytest.mark.parametrize("case", ARRAYS)
def test_arrays_that_cannot_be_used(case: str, hasten: Command, workplace: Path) -> None:
    prepare, expected = ARRAYS[case]
    roads.linear_model(workplace)
    prepare(workplace)
    said = hasten("optimize", "model.linear", "--data", "samples.npz", "--target", "testbed")
    refused(said, "samples.npz", *expected)


def _images(folder: Path, *classes: str, damaged: bool = False) -> None:
    from PIL import Image

    for name in classes:
        (folder / "photos" / name).mkdir(parents=True)
        for number in range(4):
            path = folder / "photos" / name / f"{number}.png"
            Image.new("L", (8, 8), 40 * number).save(path)
            if damaged:
                path.write_bytes(path.read_bytes()[:20])


IMAGES: dict[str, tuple[Prepare, tuple[str, ...]]] = {
    "no folder": (lambda f: None, ("no folder", "Check the path")),
    "nothing": (lambda f: (f / "photos").mkdir(), ("none", "FOLDER/CLASS/")),
    "one class": (lambda f: _images(f, "cats"), ("only one, 'cats'", "FOLDER/CLASS/")),
    "classes without images": (
        lambda f: [(f / "photos" / name).mkdir(parents=True) for name in ("cats", "dogs")],
        ("0 of its 2 class folders",),
    ),
    "nothing readable": (
        lambda f: _images(f, "cats", "dogs", damaged=True),
        ("unreadable", "limit"),
    ),
}


@pytest.mark.parametrize("case", IMAGES)
def test_image_folders_that_cannot_be_used(case: str, hasten: Command, workplace: Path) -> None:
    pytest.importorskip("onnx", reason="needs onnx")
    prepare, expected = IMAGES[case]
    roads.onnx_model(workplace / "model.onnx")
    prepare(workplace)
    refused(hasten("optimize", "model.onnx", "--data", "images:photos"), "photos", *expected)


# --- options --------------------------------------------------------------------------------------

OPTIONS: dict[str, tuple[str, ...]] = {
    "--batch 0": ("--batch 0", "from 1 on"),
    "--batch -3": ("--batch -3", "from 1 on"),
    "--batch many": ("--batch", "integer"),
    "--threads 0": ("--threads 0", "from 1 on"),
    "--threads -2": ("--threads -2", "from 1 on"),
    "--max-drop 2": ("--max-drop 2", "from 0 up to 1"),
    "--max-drop -0.1": ("--max-drop -0.1", "from 0 up to 1"),
    "--max-drop nan": ("--max-drop nan", "from 0 up to 1"),
    "--max-drop 0.1 --floor 0.9": ("together", "one of them"),
    "--floor nan": ("--floor nan", "finite"),
    "--metric sqnr --max-drop 0.1": ("sqnr", "--floor 30"),
    "--metric accurracy": ("accurracy", "Did you mean 'accuracy'"),
    "--metric no_such_module:score": ("no_such_module", "package.module:function"),
    "--budget 0": ("budget of 0", "Try 5m"),
    "--budget 0s": ("budget of 0s", "Try 5m"),
    "--budget soon": ("'soon'", "5m"),
    "--objective speed": ("objective 'speed'", "latency"),
    "--target abacus": ("target 'abacus'", "cpu"),
    "--engine openvinno": ("'openvinno'", "Did you mean 'openvino'"),
    "--engine absent": ("'absent'", "hasten-nothing is not installed", "pip install"),
    "--accept anything": ("'anything'", "unproven"),
    "--size x=0": ("size x", "from 1 on"),
    "--size x": ("'x'", "name=640"),
    "--size height=3": ("'height'", "free dimensions"),
    "--size batch=3": ("--batch",),
    "--shape x=a*b": ("'x=a*b'", "name=batch"),
    "--memory 0": ("--memory 0", "above 0"),
    "--memory -1": ("--memory -1", "above 0"),
    "--seed -1": ("--seed -1", "0 or more"),
    "--data digitz": ("'digitz'", "Did you mean 'digits'"),
    "--data .": ("it is a folder", "images:."),
    "--frobnicate": ("--frobnicate", "hasten optimize --help"),
    "-o precious": ("'precious'", "something else", "new name"),
    "-o model.linear": ("model.linear", "a file is there"),
    "-o model.linear/fast": ("model.linear", "no folder"),
}


@pytest.mark.usefixtures("outside")
@pytest.mark.parametrize("options", OPTIONS)
def test_options_out_of_range(options: str, hasten: Command, workplace: Path) -> None:
    roads.linear_model(workplace)
    (workplace / "precious").mkdir()
    (workplace / "precious" / "thesis.tex").write_text("years of work")
    refused(hasten("optimize", "model.linear", *options.split()), *OPTIONS[options])
    assert (workplace / "precious" / "thesis.tex").read_text() == "years of work"


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("optimize", "argument 'model'"),
        ("optimise model.onnx", "Did you mean 'optimize'"),
        ("report nothing.hasten", "nothing.hasten"),
        ("report photos", "no manifest.json"),
        ("report manifest.txt", "no bundle"),
        ("inspect nothing.hasten", "nothing.hasten"),
        ("verify nothing.hasten", "there is nothing"),
        ("verify photos", "no manifest.json"),
        ("bench nothing.hasten", "there is nothing"),
        ("bench photos --seconds 0", "above 0"),
        ("bench photos --batch 0", "from 1 on"),
    ],
)
def test_verbs_that_cannot_do_what_is_asked(
    command: str, expected: str, hasten: Command, workplace: Path
) -> None:
    (workplace / "photos").mkdir()
    (workplace / "manifest.txt").write_text("{}")
    said = hasten(*command.split())
    assert (said.code, said.out) == (2, "")
    assert expected in said.told


def test_a_target_that_is_not_there(hasten: Command, workplace: Path) -> None:
    from hasten import plugin

    if plugin.targets.get("gpu").probe()["present"]:
        pytest.skip("this machine has a GPU")
    roads.linear_model(workplace)
    refused(hasten("optimize", "model.linear", "--target", "gpu"), "'gpu'", "hasten doctor")


def test_json_keeps_standard_output_clean(hasten: Command, workplace: Path) -> None:
    said = hasten("optimize", "missing.onnx", "--json")
    refused(said, "missing.onnx")


def test_debug_shows_the_traceback(
    hasten: Command, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hasten.errors import BadInput

    monkeypatch.setenv("HASTEN_DEBUG", "")
    with pytest.raises(BadInput):
        hasten("--debug", "optimize", "missing.onnx", "--batch", "0")


def test_a_bug_is_told_in_one_line_too(
    hasten: Command, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import hasten as package

    def fails(*_: object, **__: object) -> None:
        raise ZeroDivisionError("by nought")

    monkeypatch.setattr(package, "optimize", fails)
    said = hasten("optimize", "model.onnx")
    assert said.code == 1
    assert said.told.startswith("Unexpected ZeroDivisionError: by nought.")
    assert "--debug" in said.told


def test_a_manifest_of_something_else_is_no_bundle(hasten: Command, workplace: Path) -> None:
    site = workplace / "site"
    site.mkdir()
    (site / "manifest.json").write_text(json.dumps({"name": "my app"}))
    roads.linear_model(workplace)
    refused(hasten("optimize", "model.linear", "-o", "site"), "'site'", "something else")
