"""What the documentation says is so: code runs, links lead somewhere, lists are whole."""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import roads
from bench import readme, reference
from hasten import plugin
from hasten.plugin import Source
from hasten.targets.cpu import Cpu
from hasten.types import Model, Use, Workload
from roads import Said

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("*/**/README.md")])
PAGES = [page for page in dict.fromkeys(PAGES) if ".venv" not in page.parts]
READMES = tuple((ROOT / name).read_text() for name in readme.READMES)
EVIDENCE = (ROOT / "docs" / "evidence.md").read_text()
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
FILLED = re.compile(r"<!-- begin:(\w+) -->.*?<!-- end:\1 -->", re.DOTALL)


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(text: str, language: str = "python") -> list[str]:
    """Fenced blocks of one language."""
    return [body for kind, body in FENCE.findall(text) if kind == language]


def block_with(text: str, words: str) -> str:
    (found,) = [block for block in blocks(text) if words in block]
    return found


# --- the code -------------------------------------------------------------------------------------


def test_every_python_block_is_run_by_a_test_below() -> None:
    run = ("hasten.optimize(model, ", "class OnnxReference(Engine)", "class HalfWeights(Technique)")
    for page in PAGES:
        for block in blocks(page.read_text()):
            assert any(words in block for words in run), f"{named(page)}: nothing runs\n{block}"


def test_the_python_example_runs(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch", reason="needs torch")
    monkeypatch.setattr(Cpu, "measure", lambda self: {})  # the roofline has tests of its own
    code = block_with(READMES[0], "hasten.optimize(model, ")
    assert len(code.splitlines()) <= 12
    shorter = code.replace('budget="1m"', 'budget="3s"')
    assert shorter != code
    exec(compile(shorter, "README.md", "exec"), {"__name__": "readme"})
    assert (workplace / "fast.hasten" / "manifest.json").exists()


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """``installed(family, name, code)``: a package of one module, found by its entry point."""
    made: list[str] = []

    def install(family: str, name: str, code: str) -> None:
        about = tmp_path / "docs_example-1.0.dist-info"
        about.mkdir()
        (about / "METADATA").write_text("Metadata-Version: 2.1\nName: docs-example\nVersion: 1.0\n")
        (about / "entry_points.txt").write_text(f"[hasten.{family}]\n{name} = {name}\n")
        (tmp_path / f"{name}.py").write_text(code)
        monkeypatch.syspath_prepend(str(tmp_path))
        made.append(name)

    yield install
    for name in made:
        sys.modules.pop(name, None)


@pytest.fixture
def tiny(tmp_path: Path) -> Model:
    pytest.importorskip("onnx", reason="needs onnx")
    return plugin.frontends.get("onnx")(Source(str(roads.onnx_model(tmp_path / "tiny.onnx"))))


def answers(engine: str, model: Model, images: np.ndarray) -> np.ndarray:
    with plugin.engines.get(engine)(model, Workload(len(images)), Use(engine)) as runner:
        return np.array(runner.run(runner.bind({"image": images}))["scores"])


IMAGES = np.random.default_rng(0).standard_normal((2, 1, 8, 8)).astype(np.float32)


def test_the_engine_of_the_readme_is_whole(installed: Callable[..., None], tiny: Model) -> None:
    pytest.importorskip("onnxruntime", reason="needs onnxruntime")
    code = block_with(READMES[0], "class OnnxReference(Engine)")
    installed("engines", "onnx_reference", code)
    assert "onnx_reference" in plugin.engines.names()
    engine = plugin.engines.get("onnx_reference")
    expected = answers("onnxruntime", tiny, IMAGES)
    np.testing.assert_allclose(
        answers("onnx_reference", tiny, IMAGES), expected, rtol=1e-4, atol=1e-4
    )
    with engine(tiny, Workload(2), Use("onnx_reference")) as runner:
        (kernel,) = runner.profile(runner.bind({"image": IMAGES}))
    assert kernel.seconds > 0


def test_the_technique_of_the_docs_is_whole(installed: Callable[..., None], tiny: Model) -> None:
    pytest.importorskip("onnxruntime", reason="needs onnxruntime")
    code = block_with((ROOT / "docs" / "plugins.md").read_text(), "class HalfWeights(Technique)")
    installed("techniques", "half_weights", code)
    technique = plugin.techniques.get("half_weights")
    made = technique(tiny, {}, Use("half_weights"))
    assert made.handle.ByteSize() < 0.6 * tiny.handle.ByteSize()
    assert made.history[-1].use.name == "half_weights"
    expected = answers("onnxruntime", tiny, IMAGES)
    found = answers("onnxruntime", made, IMAGES)
    assert 0 < np.abs(found - expected).max() < 1e-2 * np.abs(expected).max()


# --- links and commands ---------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_links_lead_somewhere(page: Path) -> None:
    text = FENCE.sub("", page.read_text())
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        place, _, anchor = target.partition("#")
        if "://" in place:
            continue
        there = (page.parent / place).resolve() if place else page
        assert there.exists(), f"{named(page)} links to {target}"
        assert not anchor or anchor in anchors(there.read_text()), f"{named(page)}: no {target}"


def anchors(text: str) -> set[str]:
    """The anchors that Markdown renderers give to headings."""
    titles = re.findall(r"^#+ (.+)$", FENCE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_quoted_commands_exist(page: Path) -> None:
    verbs = reference.verbs()
    words = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for line in [line for block in blocks(page.read_text(), "") for line in block.splitlines()]:
        command, _, rest = line.partition("#")[0].strip().partition(" ")
        if command == "hasten" and rest:
            verb, *options = shlex.split(rest)
            if verb.startswith("--"):
                continue
            known = {name for one in verbs[verb].params for name in one.opts}
            unknown = {o for o in options if o.startswith("-") and o not in known}
            assert not unknown, f"{named(page)}: {line}"
        if command == "make" and rest and "=" not in rest.split()[0]:
            assert rest.split()[0] in words, f"{named(page)}: {line}"
        for module in re.findall(r"python -m (bench\.\w+)", line):
            assert importlib.util.find_spec(module), f"{named(page)}: {line}"


# --- lists ----------------------------------------------------------------------------------------


def test_commands_and_catalogue_are_as_the_code_is() -> None:
    assert not reference.outdated(), "run: python -m bench.reference"


def test_every_verb_option_and_plug_in_is_listed() -> None:
    commands = (ROOT / "docs" / "commands.md").read_text()
    for verb, command in reference.verbs().items():
        section = commands.partition(f"## hasten {verb}\n")[2].partition("\n## ")[0]
        for one in command.params:
            for option in one.opts:
                assert f"`{option}`" in section or f"`{option.upper()}`" in section, (verb, option)
    catalogue = (ROOT / "docs" / "catalogue.md").read_text()
    for family in reference.FAMILIES:
        for name in plugin.FAMILIES[family].names():
            assert f"### {name}\n" in catalogue, name


def fields(record: Any) -> set[str]:
    """The names of all fields, at any depth, that are not names of the user's own things."""
    free = {"sizes", "layers", "versions", "facts", "requires", "options", "peaks", "isa", "caches"}
    free |= {"target", "files", "normalisation", "rounds", "missing"}
    found: set[str] = set()
    if isinstance(record, dict):
        for key, value in record.items():
            found |= {key} | (set() if key in free else fields(value))
    if isinstance(record, list):
        found = set().union(*map(fields, record))
    return found


def test_every_field_of_the_evidence_is_described(shared_bundle: Path) -> None:
    manifest = json.loads((shared_bundle / "manifest.json").read_text())
    missing = {name for name in fields(manifest) if f"`{name}`" not in EVIDENCE}
    assert not missing, f"docs/evidence.md says nothing of {sorted(missing)}"


def test_every_field_of_the_other_documents_is_described(
    shared_bundle: Path, hasten: Callable[..., Said]
) -> None:
    model = shared_bundle.parent / "tiny.onnx"
    for words in (
        ("bench", shared_bundle, "--seconds", "0.3"),
        ("verify", shared_bundle),
        ("inspect", shared_bundle),
        ("inspect", model),
        ("doctor", "--fast"),
        ("optimize", model, "--dry-run"),
    ):
        document = json.loads(hasten(*words, "--json").out)
        document.pop("shown", None)
        missing = {name for name in fields(document) if f"`{name}`" not in EVIDENCE}
        assert not missing, f"docs/evidence.md says nothing of {sorted(missing)} of {words[0]}"


# --- the two READMEs ------------------------------------------------------------------------------


def test_both_readmes_say_the_same() -> None:
    english, chinese = (FILLED.sub("", text) for text in READMES)
    for pattern in (r"^#+(?= )", r"\]\((?!README)[^)]*\)", r"^(?:- |\d\. )", r"`[^`\n]+`"):
        ours, theirs = (re.findall(pattern, text, re.MULTILINE) for text in (english, chinese))
        assert sorted(ours) == sorted(theirs), pattern
    assert blocks(english) == blocks(chinese)
    assert commands_of(english) == commands_of(chinese)


def commands_of(text: str) -> list[str]:
    """The commands of the plain blocks, without their comments."""
    lines = [line for block in blocks(text, "") for line in block.splitlines()]
    return [line.partition("  #")[0].rstrip() for line in lines]


def test_the_readmes_show_what_was_recorded() -> None:
    for text in READMES:
        assert [name for name in readme.BLOCKS if f"<!-- begin:{name} -->" not in text] == []
    assert not readme.outdated(), "run: python -m bench.readme"
