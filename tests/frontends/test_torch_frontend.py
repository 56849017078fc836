"""The front end "torch": what users hand in, and what they are told when it does not fit."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import torch_zoo
from hasten.errors import BadInput, BadModel, UnknownName, Unsupported, Untrusted
from hasten.plugin import Source, frontends
from hasten.types import Model, TensorSpec

FRONTEND = frontends.get("torch")
IMAGE = TensorSpec("image", "float32", ("batch", 3, 16, 16))


def load(what: Any, examples: Any = None, **options: Any) -> Model:
    if examples is not None:
        what.example_input_array = examples
    return FRONTEND(Source(what, **options))


def shown(specs: tuple[TensorSpec, ...]) -> list[str]:
    return [str(spec) for spec in specs]


# --- specifications ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "inputs", "outputs"),
    [
        ("skip", ["image: float32[batch, 3, 16, 16]"], ["output: float32[batch, 5]"]),
        ("reader", ["tokens: int64[batch, 7]"], ["output: float32[batch, 4]"]),
        (
            "encoder",
            ["tokens: int64[batch, 7]", "mask: int64[batch, 7]"],
            ["logits: float32[batch, 4]", "states: float32[batch, 7, 32]"],
        ),
        (
            "two inputs",
            ["a: float32[batch, 6]", "b: float32[batch, 4]"],
            ["mean: float32[batch, 3]", "spread: int64[batch]"],
        ),
        (
            "mixed",
            ["x: float32[batch, 3]"],
            [f"{name}: float32[batch, 3]" for name in ("twice", "parts", "parts_2_last")],
        ),
    ],
)
def test_specifications_are_found_by_calling(
    name: str, inputs: list[str], outputs: list[str]
) -> None:
    model = load(*torch_zoo.cases()[name])
    assert model.form == "torch"
    assert shown(model.spec.inputs) == inputs
    assert shown(model.spec.outputs) == outputs
    assert not model.traits
    assert len(model.history) == 1


def test_the_handle_takes_the_inputs_by_position_and_gives_plain_tensors() -> None:
    module, examples = torch_zoo.cases()["two inputs"]
    model = load(module, examples)
    given = model.handle(examples["a"], examples["b"])
    torch.testing.assert_close(given[0], module(examples["a"], b=examples["b"])[0])
    twice, first, last = load(*torch_zoo.cases()["mixed"]).handle(torch.ones(2, 3))
    assert (float(twice[0, 0]), float(first[0, 0]), float(last[0, 0])) == (2, 2, 0)


def test_a_live_module_stays_as_it_was() -> None:
    module = torch_zoo.skip().train()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    model = load(module, torch.randn(2, 3, 16, 16))
    assert module.training
    assert all(parameter.requires_grad for parameter in module.parameters())
    assert not hasattr(module, "hasten")
    assert not model.handle.training
    assert not any(parameter.requires_grad for parameter in model.handle.parameters())
    for name, tensor in module.state_dict().items():
        torch.testing.assert_close(tensor, before[name])


def test_other_free_dimensions_are_followed_into_the_outputs() -> None:
    class Pixels(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3, 1, 1)

        def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return self.conv(image), image.mean((1, 2))

    free = TensorSpec("image", "float32", ("batch", 3, "height", "width"))
    model = FRONTEND(Source(Pixels(), examples=(free,)))
    assert shown(model.spec.outputs) == [
        "output: float32[batch, 4, height, width]",
        "output_1: float32[batch, width]",
    ]


def test_free_dimensions_that_cannot_stay_free_are_named() -> None:
    class Short(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.reshape(len(x), 2, 16)

    free = TensorSpec("x", "float32", ("batch", "length"))
    with pytest.raises(Unsupported, match=r"Cannot keep length free: .*--shape x=batch,128"):
        FRONTEND(Source(Short(), examples=(free,)))


@pytest.mark.parametrize(
    ("module", "example", "batch", "why"),
    [
        (torch_zoo.Centred(), torch.randn(2, 3), 2, "a smaller batch of the same samples"),
        (torch_zoo.FixedBatch(), torch.randn(4, 6), 4, "invalid for input of size 18"),
        (nn.Flatten(0), torch.randn(2, 3), 2, "does not lead with the batch"),
    ],
)
def test_a_batch_that_cannot_be_free_is_fixed_and_the_history_says_why(
    module: nn.Module, example: torch.Tensor, batch: int, why: str
) -> None:
    model = load(module, example)
    assert model.spec.inputs[0].shape[0] == batch
    assert not model.spec.batched
    assert "live" not in model.traits
    note = model.history[0].note
    assert note.startswith("the batch is fixed: ")
    assert why in note


def test_a_batch_of_one_is_taken_where_no_example_gives_another() -> None:
    x = TensorSpec("x", "float32", ("batch", 3))
    assert FRONTEND(Source(torch_zoo.Centred(), examples=(x,))).spec.inputs[0].shape == (1, 3)


def test_a_model_that_cannot_be_exported_stays_live_with_its_free_batch(
    capfd: pytest.CaptureFixture[str],
) -> None:
    model = load(torch_zoo.DataDependent(), torch.randn(2, 3))
    assert model.traits == {"live"}
    assert model.spec.batched
    assert "torch.export cannot capture the model" in model.history[0].note
    assert capfd.readouterr() == ("", "")


# --- sources -------------------------------------------------------------------------------------


def test_sniff_knows_modules_factories_and_files() -> None:
    for what in (torch_zoo.skip(), "pkg.module:factory", "m.pt2", Path("a/m.pth"), "w.safetensors"):
        assert FRONTEND.sniff(what)
    for what in ("model.onnx", "digits", "images:folder/of/images", object(), Path("m.onnx")):
        assert not FRONTEND.sniff(what)


def test_describes_only_what_declares_its_inputs() -> None:
    module = torch_zoo.skip()
    assert not FRONTEND.describes(module)
    module.example_input_array = torch.randn(2, 3, 16, 16)
    assert FRONTEND.describes(module)
    assert FRONTEND.describes("m.pt2")
    assert not FRONTEND.describes("pkg:factory")


@pytest.mark.parametrize("name", ["skip", "instance", "Skip"])
def test_factories_modules_and_classes_can_be_named(name: str) -> None:
    model = FRONTEND(Source(f"torch_zoo:{name}", examples=(IMAGE,)))
    assert shown(model.spec.inputs) == ["image: float32[batch, 3, 16, 16]"]


def test_a_factory_can_bring_its_examples() -> None:
    model = FRONTEND(Source("torch_zoo:skip_with_examples"))
    assert shown(model.spec.inputs) == ["image: float32[batch, 3, 16, 16]"]


def test_given_shapes_beat_the_factory_s_examples() -> None:
    wider = TensorSpec("image", "float32", ("batch", 3, 20, 20))
    model = FRONTEND(Source("torch_zoo:skip_with_examples", examples=(wider,)))
    assert model.spec.inputs == (wider,)


def test_paths_are_searched_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    code = "import torch\ndef make():\n    return torch.nn.Linear(2, 3), torch.ones(4, 2)\n"
    (tmp_path / "found_by_path.py").write_text(code)
    model = FRONTEND(Source("found_by_path:make", paths=(str(tmp_path),)))
    assert shown(model.spec.outputs) == ["output: float32[batch, 3]"]


@pytest.mark.parametrize(
    ("what", "error", "text"),
    [
        ("torch_zoo:skipp", UnknownName, "Did you mean 'skip'"),
        ("torch_zoo:failing", BadModel, "'torch_zoo:failing' raised RuntimeError: no such width"),
        ("torch_zoo:words", BadModel, "it gives a str. It must give an nn.Module"),
        (
            "no_such_pkg.models:make",
            BadModel,
            "there is no module 'no_such_pkg' in the",
        ),
        ("torch_zoo:Block", UnknownName, "Unknown factory in 'torch_zoo' 'Block'"),
    ],
)
def test_factories_that_do_not_work_are_explained(
    what: str, error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        FRONTEND(Source(what))


def test_an_import_error_inside_the_factory_s_module_is_passed_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "needs_more.py").write_text("import not_installed_anywhere\n")
    with pytest.raises(BadModel, match="No module named 'not_installed_anywhere'"):
        FRONTEND(Source("needs_more:make", paths=(str(tmp_path),)))


# --- inputs that do not fit ----------------------------------------------------------------------


def test_missing_shapes_are_asked_for_by_name() -> None:
    with pytest.raises(BadInput, match=r"Cannot tell .*--shape tokens=batch,.* --shape mask=batch"):
        FRONTEND(Source(torch_zoo.Encoder()))


def test_an_unknown_or_missing_input_is_named() -> None:
    x = TensorSpec("x", "float32", ("batch", 6))
    with pytest.raises(BadInput, match="No input is called 'x': forward takes a, scale, b"):
        FRONTEND(Source(torch_zoo.TwoInputs(), examples=(x,)))
    with pytest.raises(BadInput, match="Input 'b' has no shape"):
        FRONTEND(Source(torch_zoo.TwoInputs(), examples=(TensorSpec("a", "float32", (2, 6)),)))


def test_a_single_input_needs_no_name() -> None:
    picture = TensorSpec("picture", "float32", IMAGE.shape)
    model = FRONTEND(Source(torch_zoo.skip(), examples=(picture,)))
    assert model.spec.inputs == (IMAGE,)


def test_a_shape_that_the_model_cannot_take_is_shown_with_its_error() -> None:
    wrong = TensorSpec("image", "float32", ("batch", 4, 16, 16))
    with pytest.raises(BadModel, match=r"Cannot run the model on image: float32\[1, 4, 16, 16\]: .*"
                       "expected input"):  # fmt: skip
        FRONTEND(Source(torch_zoo.skip(), examples=(wrong,)))


@pytest.mark.parametrize(
    ("example", "text"),
    [("text", "it is a str, not a tensor"), (torch.ones(2, 3).bfloat16(), "has no torch.bfloat16")],
)
def test_examples_that_are_no_arrays_are_refused(example: Any, text: str) -> None:
    with pytest.raises(BadInput, match=text):
        load(nn.Identity(), [example])


# --- weights -------------------------------------------------------------------------------------


@pytest.fixture
def state() -> dict[str, torch.Tensor]:
    torch.manual_seed(7)
    return torch_zoo.Skip().state_dict()


def with_weights(path: Path, **options: Any) -> Model:
    return FRONTEND(Source("torch_zoo:skip", str(path), examples=(IMAGE,), **options))


@pytest.mark.parametrize("kind", ["safetensors", "state dict", "checkpoint", "parallel"])
def test_weights_are_loaded_without_running_code(
    kind: str, state: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    path = tmp_path / ("w.safetensors" if kind == "safetensors" else "w.pt")
    if kind == "safetensors":
        save_file(state, path)
    elif kind == "checkpoint":
        torch.save({"epoch": 3, "state_dict": state}, path)
    else:
        prefix = "module." if kind == "parallel" else ""
        torch.save({prefix + key: value for key, value in state.items()}, path)
    model = with_weights(path)
    torch.testing.assert_close(model.handle.stem.weight.data, state["stem.weight"])


def test_weights_that_do_not_fit_are_listed(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    state["head.bias"] = torch.ones(6)
    state["tail.bias"] = state.pop("norm.bias")
    save_file(state, path)
    with pytest.raises(
        BadModel,
        match=r"lacks norm\.bias; it has unknown tail\.bias; "
        r"it has other shapes for head\.bias \(\[6\], not \[5\]\)",
    ):
        with_weights(path)
    save_file({"x": torch.ones(1)}, path)
    with pytest.raises(BadModel, match=r"lacks .* and \d+ more"):
        with_weights(path)


def test_weights_that_are_no_state_dict_are_refused(tmp_path: Path) -> None:
    torch.save({"epoch": 3}, tmp_path / "w.pt")
    with pytest.raises(BadModel, match="it holds no state dict"):
        with_weights(tmp_path / "w.pt")


# --- files that can hold code, and files that hold nothing ---------------------------------------


class Bomb:
    """Makes a folder when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize("place", ["model", "weights"])
def test_a_pickle_is_never_run_without_trust(place: str, tmp_path: Path) -> None:
    path, mark = tmp_path / "m.pt", tmp_path / "ran"
    torch.save({"w": Bomb(mark)}, path)
    with pytest.raises(Untrusted, match=r"the pickle in it can run code.*--weights FILE .*--trust"):
        FRONTEND(Source(str(path))) if place == "model" else with_weights(path)
    assert not mark.exists()


def test_a_pickled_module_needs_trust(tmp_path: Path) -> None:
    path = tmp_path / "whole.pt"
    torch.save(torch_zoo.skip(), path)
    with pytest.raises(Untrusted, match="--trust"):
        FRONTEND(Source(str(path), examples=(IMAGE,)))
    model = FRONTEND(Source(str(path), trust=True, examples=(IMAGE,)))
    assert shown(model.spec.outputs) == ["output: float32[batch, 5]"]


@pytest.mark.parametrize("name", ["w.pt", "w.safetensors"])
def test_weights_alone_are_no_model(
    name: str, state: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    path = tmp_path / name
    (save_file if name.endswith("safetensors") else torch.save)(state, path)
    with pytest.raises(BadModel, match=r"weights without a model\. Give the module too: package"):
        FRONTEND(Source(str(path)))


def test_torchscript_is_refused_with_a_way_out(tmp_path: Path) -> None:
    torch.jit.trace(nn.Linear(2, 2), torch.ones(1, 2)).save(tmp_path / "m.pt")
    with pytest.raises(Untrusted, match="TorchScript in it is code"):
        FRONTEND(Source(str(tmp_path / "m.pt")))


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    module, examples = torch_zoo.cases()["encoder"]
    path = tmp_path_factory.mktemp("program") / "m.pt2"
    free = {name: {0: torch.export.Dim.DYNAMIC} for name in ("tokens", "mask")}
    torch.export.save(torch.export.export(module, (), examples, dynamic_shapes=free), path)
    return path


def test_an_exported_program_needs_trust(program: Path) -> None:
    with pytest.raises(Untrusted, match=r"torch\.export\.load runs what is pickled in the file"):
        FRONTEND(Source(str(program)))


def test_a_trusted_program_keeps_names_and_free_batch(program: Path) -> None:
    model = FRONTEND(Source(str(program), trust=True))
    assert sorted(shown(model.spec.inputs)) == ["mask: int64[batch, 7]", "tokens: int64[batch, 7]"]
    assert shown(model.spec.outputs) == [
        "logits: float32[batch, 4]",
        "states: float32[batch, 7, 32]",
    ]


def test_a_program_brings_its_weights(program: Path) -> None:
    with pytest.raises(BadInput, match="it holds its own"):
        FRONTEND(Source(str(program), "w.pt", trust=True))


@pytest.mark.parametrize("trust", [False, True])
@pytest.mark.parametrize("suffix", [".pt2", ".pt"])
@pytest.mark.parametrize(
    ("damage", "text"),
    [
        ("missing", "there is no such file"),
        ("empty", "the file is empty"),
        ("cut", "it is damaged"),
        ("noise", "it is damaged"),
    ],
)
def test_damaged_files_are_told_apart_from_untrusted_ones(
    program: Path, suffix: str, damage: str, text: str, trust: bool, tmp_path: Path
) -> None:
    path = tmp_path / f"m{suffix}"
    whole = program.read_bytes()
    if damage != "missing":
        path.write_bytes({"empty": b"", "cut": whole[:1500], "noise": b"no model " * 50}[damage])
    with pytest.raises(BadModel, match=text):
        FRONTEND(Source(str(path), trust=trust))


def test_a_damaged_program_is_named_in_one_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    import zipfile

    path = tmp_path / "m.pt2"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("m/nothing", "nothing")
    with pytest.raises(BadModel, match=r"it is damaged, or another PyTorch than"):
        FRONTEND(Source(str(path), trust=True))
    assert capfd.readouterr() == ("", "")
