"""The page: complete, self-contained, well formed, and deaf to hostile names."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from reader import Reader, width_on_a_phone

from hasten import report
from hasten.errors import NotInstalled
from hasten.report import frame, page

Evidence = dict[str, Any]
Cases = dict[str, Callable[[], Evidence]]

SECTIONS = ("speed-and-quality", "steps", "kernels", "quality", "lost", "candidates", "conditions")


def test_every_case_is_well_formed(case: Evidence) -> None:
    text = report.html(case)
    reader = Reader(text)
    assert reader.open == []
    assert text.count("<h1") == 1
    ids = [value for name, value in reader.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    targets = {value[1:] for name, value in reader.attributes if name == "href"}
    assert targets <= set(ids), "a link in the contents leads nowhere"
    assert text.isprintable() or "\x00" not in text
    text.encode("utf-8")


def test_every_case_names_every_trial(case: Evidence) -> None:
    text = Reader(report.html(case)).text
    for raw in page.Record(case).trials:
        assert " ".join(raw.plan.name.split()) in text


def test_nothing_is_fetched(case: Evidence) -> None:
    text = report.html(case)
    reader = Reader(text)
    fetching = {"src", "href", "action", "data", "poster", "srcset", "xlink:href", "background"}
    for name, value in reader.attributes:
        assert name not in fetching or value.startswith("#"), f"{name}={value}"
    assert not {"link", "img", "iframe", "object", "embed", "base", "form"} & set(reader.tags)
    style = "".join(re.findall(r"<style>.*?</style>", text, re.DOTALL))
    assert "url(" not in style
    assert "@import" not in style
    assert "default-src &#39;none&#39;" in text or "default-src 'none'" in text


def test_hostile_names_stay_text(cases: Cases) -> None:
    text = report.html(cases["hostile"]())
    reader = Reader(text)
    assert reader.tags.count("script") == 1
    assert "<script>alert" not in text
    assert "<script>alert(1)</script>&" in reader.text
    assert "{{ 7*7 }}" in reader.text
    assert not any(name.startswith("on") for name, _ in reader.attributes)
    assert "\u202e" not in text, "a name must not turn the direction of the text"
    assert "\x07" not in text


def test_sections_in_order(evidence: Evidence) -> None:
    text = report.html(evidence)
    places = [text.index(f'id="{name}"') for name in SECTIONS]
    assert places == sorted(places)
    assert text.index("<h1") < text.index('class="tiles"') < places[0]


def test_what_the_reader_must_find(evidence: Evidence) -> None:
    text = Reader(report.html(evidence)).text
    for wanted in (
        evidence["verdict"]["sentence"],
        evidence["verdict"]["warnings"][0],
        evidence["command"],
        evidence["data"]["licence"],
        "15.72×",
        "95 % interval 15.43–16.01",
        "5.39×",
        "(grew)",
        "The child process used more than 8.0 GB of memory",
        "outputs differ by 42 % of their range",
        "accuracy dropped by 4.38 pp, limit 1.00 pp",
        "9,400",
        "layer3.0.conv1",
        "Ankle boot",
        "AMD EPYC 9655",
        "openvino 2026.2.0",
        "Disturbed rounds",
        "1.90 Top/s",
    ):
        assert wanted in text


def test_waterfall_tells_links_together_where_nothing_lies_between(evidence: Evidence) -> None:
    text = Reader(report.html(evidence)).text
    assert "fold_normalisation + threads=2 (no candidate was measured between them)" in text


def test_long_class_lists_fold(cases: Cases) -> None:
    text = report.html(cases["many_classes"]())
    assert "The 20 classes that changed for the worse most, of 100." in Reader(text).text
    first, _, rest = text.partition("All 100 classes")
    assert first.count(">class 0") == 20
    assert rest.count(">class 0") == 100


def test_kept_original_says_so(cases: Cases) -> None:
    text = Reader(report.html(cases["kept_original"]())).text
    assert "The original was kept" in text
    assert "What each step gained" not in text
    assert "faster than the original" not in text.split("All candidates")[0]


def test_without_data_says_so(cases: Cases) -> None:
    text = Reader(report.html(cases["without_data"]())).text
    assert "No candidate differs in quality" in text
    assert "None were given." in text
    assert "outputs, no decision changed they differ by at most 1.9 · 10⁻⁶ of their range" in text


def test_unknown_figures_never_show_as_nan(cases: Cases) -> None:
    text = Reader(report.html(cases["with_unknowns"]())).text
    assert not re.search(r"\b(nan|inf)\b", text, re.IGNORECASE)


def test_a_kernel_above_the_peak_is_called_out(evidence: Evidence) -> None:
    assert "Above the measured peak" not in report.html(evidence)
    evidence["machine"]["peaks"]["int8"] = 1e12
    text = Reader(report.html(evidence)).text
    assert "the measured peak is too low" in text


def test_a_page_survives_json(evidence: Evidence) -> None:
    assert report.html(json.loads(json.dumps(evidence))) == report.html(evidence)


def test_missing_jinja_is_named(evidence: Evidence, monkeypatch: pytest.MonkeyPatch) -> None:
    frame._environment.cache_clear()
    monkeypatch.setitem(__import__("sys").modules, "jinja2", None)
    with pytest.raises(NotInstalled, match=r"jinja2 is not installed.*hasten\[report\]"):
        report.html(evidence)


@pytest.mark.parametrize("name", ["make_evidence", "long_names", "hostile", "single"])
def test_a_phone_need_not_scroll_sideways(cases: Cases, name: str, tmp_path: Path) -> None:
    assert width_on_a_phone(report.html(cases[name]()), tmp_path) <= 390


def test_layers_of_a_broken_candidate_are_named(cases: Cases) -> None:
    text = Reader(report.html(cases["rescued"]())).text
    assert "each layer's output in dynamic_int8 + onnxruntime, in the model's order" in text
    assert "The search was interrupted." in text


def test_what_was_left_out_is_told(evidence: Evidence) -> None:
    text = Reader(report.html(evidence)).text
    assert "2 left out before anything was built" in text
    assert "torch_compile(threads=1) the budget was used up before it" in text


def test_an_error_metric_rises(cases: Cases) -> None:
    text = Reader(report.html(cases["with_error"]())).text
    assert "The limit is a rise of at most 5.00 %" in text
    assert "Quality by MSE (change, per cent)" in text
    assert "e+30" not in text
    assert "0" * 60 not in text
