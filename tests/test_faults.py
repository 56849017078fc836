"""Faults: what goes wrong costs one candidate, is named, and never the search or what was kept.

The engines that misbehave are those of ``tests/outside``; they run in children as any other.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

import hasten as package
import roads
from hasten import plugin as package_plugin
from hasten.errors import Unsupported
from hasten.plugin import Source
from hasten.search import candidates
from hasten.search.worker import Worker
from roads import Said

if not hasattr(signal, "SIGSTOP"):
    pytest.skip("needs POSIX signals", allow_module_level=True)

Command = Callable[..., Said]
pytestmark = pytest.mark.usefixtures("outside")


def _search(*engines: str, budget: str = "20s", out: str = "fast.hasten") -> list[str]:
    """The arguments of a short search over the tiny model and its data in the working folder."""
    chosen = [part for engine in engines for part in ("--engine", engine)]
    place = ["--target", "testbed", "--budget", budget, "-o", out]
    return ["optimize", "model.linear", "--data", "samples.npz", *place, *chosen]


def _prepared(folder: Path) -> Path:
    roads.linear_data(folder)
    return folder


def _strict(text: str) -> dict[str, Any]:
    """A JSON document, which knows no NaN and no infinity."""

    def unknown(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    found: dict[str, Any] = json.loads(text, parse_constant=unknown)
    return found


def _evidence(bundle: Path) -> dict[str, Any]:
    found: dict[str, Any] = _strict((bundle / "manifest.json").read_text())["evidence"]
    return found


def _outcomes(evidence: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {trial["name"]: (trial["status"], trial["error"]) for trial in evidence["trials"]}


def _answers(bundle: Path) -> None:
    """The bundle loads and computes."""
    with package.load(bundle) as loaded:
        assert loaded(np.ones((5, 4), np.float32)).shape == (5, 3)


# --- candidates -----------------------------------------------------------------------------------


def test_a_fault_costs_one_candidate(
    hasten: Command, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(candidates, "LEAST_BUILD_SECONDS", 5.0)
    _prepared(workplace)
    engines = ("careless", "chatty", "collapses", "crashes", "hangs", "hungry", "poisoned", "swift")
    said = hasten(*_search(*engines, budget="30s"), "--memory", "0.4", "--json")
    assert said.code == 0, said.err
    evidence = _strict(said.out)  # what the chatty one printed is not in it
    found = _outcomes(evidence)
    assert found["careless"][0] == "broken"
    assert "the limit is 0.01" in found["careless"][1]
    assert found["poisoned"][0] == "broken"
    assert "it gives NaN or infinity on" in found["poisoned"][1]
    assert found["crashes"] == (
        "failed",
        "the process ended (killed by SIGSEGV). Last line of its log: about to fail",
    )
    assert found["collapses"] == ("failed", "the process ended (killed by SIGKILL).")
    assert found["hangs"][0] == "failed"
    assert found["hangs"][1].startswith("it hung: no answer within")
    assert found["hungry"][0] == "failed"
    assert "over the limit of 0.4 GiB" in found["hungry"][1]
    winner = next(t for t in evidence["trials"] if t["key"] == evidence["winner"])
    assert winner["name"] == "swift"
    assert found["chatty"][0] in ("built", "dominated")
    page = (workplace / "fast.hasten" / "report.html").read_text()
    for reason in ("SIGSEGV", "it hung", "NaN or infinity", "over the limit of 0.4 GiB"):
        assert reason in page
    _answers(workplace / "fast.hasten")


def test_without_data_another_answer_is_wrong(workplace: Path) -> None:
    roads.linear_model(workplace)
    result = package.optimize(
        "model.linear", target="testbed", engines=["careless", "poisoned"], budget=10
    )
    found = _outcomes(dict(result.evidence))
    assert found["careless"][0] == found["poisoned"][0] == "wrong"
    assert "NaN or infinity" in found["poisoned"][1]
    assert result.evidence["verdict"]["kept_original"]


def test_a_budget_too_short_for_anything(hasten: Command, workplace: Path) -> None:
    _prepared(workplace)
    said = hasten(*_search("swift", budget="0.1s"))
    assert said.code == 0
    assert "The original is kept: the budget was too short" in " ".join(said.out.split())
    evidence = _evidence(workplace / "fast.hasten")
    assert next(skipped["plan"] for skipped in evidence["skipped"]) == "swift"
    _answers(workplace / "fast.hasten")


def test_unreadable_images_are_counted(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxruntime", reason="needs onnxruntime")
    from PIL import Image

    from hasten.targets.cpu import Cpu

    monkeypatch.setattr(Cpu, "measure", lambda self: {})
    rng = np.random.default_rng(0)
    for name in ("cats", "dogs"):
        (workplace / "photos" / name).mkdir(parents=True)
        for number in range(20):
            pixels = rng.integers(0, 256, (8, 8), np.uint8)
            Image.fromarray(pixels).save(workplace / "photos" / name / f"{number:02}.png")
    (workplace / "photos" / "dogs" / "07.png").write_bytes(b"not a picture")
    model = roads.onnx_model(workplace / "model.onnx", classes=2)
    result = package.optimize(model, "images:photos", engines=["onnxruntime"], budget=0.1)
    notes = " ".join(result.evidence["data"]["notes"])
    assert "1 unreadable images were skipped (dogs/07.png: " in notes
    counted = result.evidence["data"]["n"]
    assert counted["selection"] + counted["test"] == 39


# --- interruptions --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("engines", "moment"),
    [
        (("swift", "hangs"), "built swift"),
        (("swift",), "racing"),
        (("swift",), "proving the winner"),
        (("swift",), "packing"),
    ],
    ids=["building", "racing", "final", "packing"],
)
def test_ctrl_c_packs_the_best_so_far(
    engines: tuple[str, ...], moment: str, workplace: Path
) -> None:
    running = roads.start(_search(*engines), _prepared(workplace))
    running.wait_for(moment)
    children = running.children()
    running.signal(signal.SIGINT)
    said = running.end()
    assert said.code == 130, said.err
    assert "Interrupted: packing the best so far" in said.err
    assert "Traceback" not in said.err
    evidence = _evidence(workplace / "fast.hasten")
    assert evidence["verdict"]["interrupted"]
    assert _outcomes(evidence)["swift"][0] == "winner"
    _answers(workplace / "fast.hasten")
    assert roads.gone(children)


def test_ctrl_c_before_anything_was_found(workplace: Path) -> None:
    running = roads.start(_search("swift"), _prepared(workplace))
    running.wait_for("reading the model")
    running.signal(signal.SIGINT)
    said = running.end()
    assert said.code == 130, said.err
    assert "Traceback" not in said.err
    assert sorted(path.name for path in workplace.iterdir() if path.name != "cache") == [
        "model.linear",
        "samples.npz",
        "tmp",
    ]


def test_a_second_ctrl_c_stops_at_once(workplace: Path) -> None:
    running = roads.start(_search("swift", "hangs"), _prepared(workplace))
    running.wait_for("built swift")
    children = running.children()
    running.signal(signal.SIGINT)
    running.wait_for("Interrupted")
    running.signal(signal.SIGINT)
    said = running.end()
    assert said.code == 130, said.err
    assert "Traceback" not in said.err
    assert not list(workplace.glob("*fast.hasten*"))
    assert not list((workplace / "tmp").glob("hasten*"))
    assert roads.gone(children)


def test_kill_leaves_no_child_and_the_next_search_goes_on(workplace: Path) -> None:
    running = roads.start(_search("swift"), _prepared(workplace))
    running.wait_for("racing")
    stopped = _stopped_child(running)
    children = running.children()
    running.signal(signal.SIGKILL)
    assert running.end().code == -signal.SIGKILL
    assert roads.gone([*children, stopped])
    assert not (workplace / "fast.hasten").exists()
    again = roads.start(_search("swift"), workplace).end()
    assert again.code == 0, again.err
    trials = _evidence(workplace / "fast.hasten")["trials"]
    assert [trial["cached"] for trial in trials] == [True, True]


def _stopped_child(running: roads.Running) -> psutil.Process:
    """A contender that stands still between its turns."""
    while True:
        assert running.process.poll() is None, "".join(running.lines)
        for child in running.children():
            if child.status() == psutil.STATUS_STOPPED:
                return child


# --- the store ------------------------------------------------------------------------------------


def test_two_searches_at_once(workplace: Path) -> None:
    _prepared(workplace)
    both = [roads.start(_search("swift", out=f"{n}.hasten"), workplace) for n in ("one", "two")]
    for name, said in zip(("one", "two"), [running.end() for running in both], strict=True):
        assert said.code == 0, said.err
        assert _outcomes(_evidence(workplace / f"{name}.hasten"))["swift"][0] == "winner"
        _answers(workplace / f"{name}.hasten")


def test_a_damaged_store_is_rebuilt(hasten: Command, workplace: Path, tmp_path: Path) -> None:
    _prepared(workplace)
    assert hasten(*_search("swift", budget="0.1s")).code == 0
    files = [path for path in (tmp_path / "cache" / "store").rglob("*") if path.is_file()]
    for number, path in enumerate(sorted(files)):
        raw = bytearray(path.read_bytes())
        raw[number % len(raw)] ^= 0x55
        path.write_bytes(raw)
    said = hasten(*_search("swift", budget="0.1s"))
    assert said.code == 0, said.err
    trials = _evidence(workplace / "fast.hasten")["trials"]
    assert [trial["cached"] for trial in trials] == [False]
    _answers(workplace / "fast.hasten")


@pytest.mark.parametrize("change", ["another version", "another CPU"])
def test_what_was_made_elsewhere_is_not_used(
    change: str, hasten: Command, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cached() -> list[bool]:
        assert hasten(*_search("swift", budget="0.1s")).code == 0
        return [trial["cached"] for trial in _evidence(workplace / "fast.hasten")["trials"]]

    _prepared(workplace)
    assert cached() == [False]
    assert cached() == [True]
    if change == "another version":
        monkeypatch.setattr("hasten.search.workshop.code", lambda: "99.0")
    else:
        testbed = type(package_plugin.targets.get("testbed"))
        facts = {**testbed().probe(), "isa": ["abacus"]}
        monkeypatch.setattr(testbed, "probe", lambda self: facts)
    assert cached() == [False]


def test_a_model_that_cannot_be_kept_is_never_mistaken_for_another(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its weights may have changed since: nothing learned about it may be used again."""

    def refuses(*_: object) -> None:
        raise Unsupported("no")

    monkeypatch.setattr(type(package_plugin.forms.get("linear")), "save", refuses)
    source = Source(str(roads.linear_model(workplace))).to_json()
    request = {"do": "ingest", "store": str(workplace / "store"), "source": source, "sizes": {}}
    answers = [Worker().handle(request) for _ in range(2)]
    assert [answer["held"] for answer in answers] == ["source", "source"]
    assert answers[0]["model"] != answers[1]["model"]


# --- a full disk ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("room", "where"),
    [(3_000, "store"), (13_000, "fast.hasten")],
    ids=["while searching", "while packing"],
)
def test_a_full_disk(
    room: int, where: str, hasten: Command, workplace: Path, tmp_path: Path
) -> None:
    """No file may grow beyond ``room`` bytes: what a full disk does, to every process alike."""
    _prepared(workplace)
    assert hasten(*_search("swift", budget="0.1s")).code == 0
    before = {p: p.read_bytes() for p in (workplace / "fast.hasten").rglob("*") if p.is_file()}
    if where == "store":
        shutil.rmtree(tmp_path / "cache" / "store")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        said = hasten(*_search("swift", budget="0.1s"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert said.code == 2, said.err
    assert where in said.told
    assert "the disk is full" in said.told
    assert "Free some space" in said.told
    after = {p: p.read_bytes() for p in (workplace / "fast.hasten").rglob("*") if p.is_file()}
    assert after == before
    assert [path.name for path in workplace.glob(".*")] == []
    _answers(workplace / "fast.hasten")
    assert hasten(*_search("swift", budget="0.1s")).code == 0


def test_a_disk_that_is_full_for_a_child(hasten: Command, workplace: Path, tmp_path: Path) -> None:
    weight = np.ones((64, 64)).tolist()
    (workplace / "model.linear").write_text(json.dumps({"weight": weight}))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8_000, hard))
    try:
        said = hasten("optimize", "model.linear", "--target", "testbed", "--budget", "0.1s")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert said.code == 2, said.err
    assert "the disk is full" in said.told
    assert not [path for path in (tmp_path / "cache").rglob(".*") if path.is_dir()]


def test_a_cache_that_cannot_be_written(
    hasten: Command, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _prepared(workplace)
    monkeypatch.setenv("HASTEN_CACHE", os.devnull)
    said = hasten(*_search("swift"))
    assert said.code == 2, said.err
    assert os.devnull in said.told
    assert "HASTEN_CACHE" in said.told
