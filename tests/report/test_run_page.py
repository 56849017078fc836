"""The page of a training run: its figures, from 2 classes to 100, and that nothing is fetched."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path

import pytest
import run_example as made
from reader import Reader, width_on_a_phone
from run_example import Run

from hasten import report
from hasten.report.figures import confusion
from hasten.report.figures.scene import Text

CASES = {
    "ten classes": made.classified(),
    "two classes": made.classified(2),
    "a hundred": made.classified(100),
    "no pictures": made.classified(3, pictures=False),
    "all right": (*made.classified(4, wrong=0.0)[:2], {"mistakes": []}),
    "regression": made.measured(),
    "three outputs": made.measured(3),
    "labels": made.labelled(),
    "one epoch": (made.classified()[0], made.epochs(count=1), {}),
    "many epochs": (made.classified()[0], made.epochs(count=900), {}),
}


@pytest.fixture(params=list(CASES))
def case(request: pytest.FixtureRequest) -> Run:
    return CASES[request.param]


def text_of(run: Run) -> str:
    return Reader(report.run_html(*run)).text


def test_every_case_is_well_formed_and_fetches_nothing(case: Run) -> None:
    page = report.run_html(*case)
    reader = Reader(page)
    assert reader.open == []
    ids = [value for name, value in reader.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    assert {v[1:] for name, v in reader.attributes if name == "href"} <= set(ids)
    for name, value in reader.attributes:
        assert name not in {"srcset", "action", "data", "poster"}
        assert name != "src" or value.startswith("data:image/png;base64,")
    assert not {"link", "iframe", "object", "embed", "base", "form"} & set(reader.tags)
    assert "url(" not in page
    assert "default-src 'none'; img-src data:; style-src" in page
    assert not re.search(r"\b(nan|inf|None)\b", reader.text)
    assert len(page) < 1_500_000
    assert report.run_html(*json.loads(json.dumps(case))) == page


def test_what_the_reader_must_find() -> None:
    text = text_of(made.classified())
    for wanted in (
        "Accuracy 88.00 % on 400 test samples, read once, after 16.2 s",
        "95 % interval 84.41–91.02 %",
        "Trained by recipe cnn on 2,560 samples of photos, 200 steps in 5 epochs; the weights of",
        "12.4 s to accuracy 85.00 %",
        "7 training samples are exact copies",
        "data 6 %, 1.00 ms forward 25 %, 4.00 ms backward 56 %, 9.00 ms optimizer 12 %, 2.00 ms",
        "Mean of 20 steps of 64 samples",
        "resident 1.72× 1.61–1.83 kept saves about 5 s of 12 s",
        "inductor – – left out it takes about 30 s, the whole run 7 s",
        "label_smoothing(share=0.1)",
        "mean 0.286; spread 0.353; of the training part",
        "A processor",
        "hasten train cnn --data photos -o run",
    ):
        assert wanted in text, wanted


def test_shares_by_class() -> None:
    """Of 40, 35 are right and 5 taken for the next; as many come from the one before."""
    text = text_of(made.classified())
    assert "kind 3 40 87.5 % 87.5 % 87.5 % kind 4 (5)" in text
    record, epochs, examples = made.classified(3)
    record["confusion"] = [[8, 2, 0], [0, 5, 5], [0, 0, 0]]
    text = text_of((record, epochs, examples))
    assert "kind 0 10 100.0 % 80.0 % 88.9 % kind 1 (2)" in text
    assert "kind 1 10 71.4 % 50.0 % 58.8 % kind 2 (5)" in text
    assert "kind 2 0 0.0 % – 0.0 %" in text
    assert "kind 1 kind 2 5 50.0 %" in text


def test_mistakes_are_shown_with_their_pictures() -> None:
    page = report.run_html(*made.classified())
    assert page.count("<img ") == 6
    assert f"base64,{made.png()}" in page
    text = Reader(page).text
    assert "kind 1 99 % is kind 0 (0.5 %) sample 100" in text


def test_a_long_list_of_classes_folds() -> None:
    page = report.run_html(*made.classified(100))
    assert "The 20 with the lowest F1, of 100." in Reader(page).text
    assert "All 100" in page


@pytest.mark.parametrize("classes", [2, 10, 30, 100])
@pytest.mark.parametrize("width", [960.0, 350.0])
def test_the_matrix_stays_readable(classes: int, width: float) -> None:
    record = made.classified(classes)[0]
    drawn = confusion.scene(record["confusion"], record["classes"], width)
    assert drawn.width == width
    rows = [item for item in drawn.items if isinstance(item, Text) and item.anchor == "end"]
    assert rows
    heights = sorted(item.y for item in rows)
    assert all(b - a >= 11 for a, b in pairwise(heights))
    across = [item for item in drawn.items if isinstance(item, Text) and item.text.isdigit()]
    assert all(0 <= item.x <= width for item in across)
    counts = [item for item in drawn.items if isinstance(item, Text) and item.text == "35"]
    assert len(counts) == (classes if classes <= 10 else len(counts))


def test_regression() -> None:
    text = text_of(made.measured())
    assert "MSE 0.8800 on 400 test samples" in text
    assert "value 0.1612 0.2034 −0.01230 0.9871" in text
    assert "The largest errors" in text
    assert "Confusion" not in text
    assert "Which class" not in text


def test_labels() -> None:
    page = report.run_html(*made.labelled())
    text = Reader(page).text
    assert "walking 100 88.9 % 80.0 % 84.2 %" in text
    assert "neither <b> 10 – 0.0 % 0.0 %" in text
    assert "none 97 % is walking, talking" in text
    assert "<b>" not in page.replace("</b>", "").replace("<b class", "")


def test_hostile_names_stay_text() -> None:
    record, epochs, examples = made.classified(3)
    record["classes"] = ["<script>alert(1)</script>", "{{ 7*7 }}", "a\u202eb"]
    page = report.run_html(record, epochs, examples)
    assert Reader(page).tags.count("script") == 1
    assert "{{ 7*7 }}" in Reader(page).text
    assert "\u202e" not in page


def test_older_runs_and_what_could_not_be_measured() -> None:
    record, epochs, _ = made.classified()
    for name in ("time_split", "schedule", "machine", "created"):
        del record[name]
    for line in epochs:
        del line["samples_per_second"]
    assert "It was not measured." in text_of((record, epochs, {}))
    record["time_split"] = {"error": "The loss became nan"}
    assert "It could not be measured: The loss became nan" in text_of((record, epochs, {}))


def test_a_call_from_python_can_be_repeated() -> None:
    record, epochs, _ = made.classified()
    record["command"] = ""
    record["settings"] = {"seed": 3, "batch": None, "deterministic": False, "epochs": 5}
    text = text_of((record, epochs, {}))
    assert "hasten.train('cnn', 'photos', seed=3, epochs=5, target=0.85)" in text


def test_pictures_alone() -> None:
    record, epochs, _ = made.classified()
    assert report.run_svg(record, epochs).startswith("<svg xmlns=")
    assert report.run_png(record, epochs).startswith(b"\x89PNG")


@pytest.mark.parametrize("name", ["ten classes", "a hundred", "three outputs", "labels"])
def test_a_phone_need_not_scroll_sideways(name: str, tmp_path: Path) -> None:
    assert width_on_a_phone(report.run_html(*CASES[name]), tmp_path) <= 390
