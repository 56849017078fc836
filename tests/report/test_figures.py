"""The figures: valid SVG and PNG, readable colours, labels that keep out of each other's way."""

from __future__ import annotations

import io
import random
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from itertools import combinations
from typing import Any

import pytest
from PIL import Image, ImageFont

from hasten import report
from hasten.report.figures import layers, marks, palette, png, rounds, tradeoff
from hasten.report.figures.labels import Area, Request, place
from hasten.report.figures.scene import Axis, Line, Scene, Text, shorten, spanning, text_width
from hasten.report.record import Record

Evidence = dict[str, Any]
Cases = dict[str, Callable[[], Evidence]]
SVG = "{http://www.w3.org/2000/svg}"


def test_every_case_gives_an_svg(case: Evidence) -> None:
    root = ElementTree.fromstring(report.figure_svg(case))
    assert root.tag == f"{SVG}svg"
    assert root.find(f"{SVG}title") is not None
    assert "nan" not in ElementTree.tostring(root, "unicode").lower().split("<style>")[0]
    assert not [value for node in root.iter() for value in node.attrib.values() if value == "nan"]


def test_every_case_gives_a_png(case: Evidence) -> None:
    with Image.open(io.BytesIO(report.figure_png(case))) as image:
        image.load()
        assert image.format == "PNG"
        assert image.size[0] == 1920
        assert len(set(image.convert("L").tobytes())) > 20, "the picture is empty"


def test_png_without_any_font(evidence: Evidence, monkeypatch: pytest.MonkeyPatch) -> None:
    found = ImageFont.truetype

    def none(font: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(font, str):
            raise OSError(font)
        return found(font, *args, **kwargs)

    monkeypatch.setattr(ImageFont, "truetype", none)
    with Image.open(io.BytesIO(report.figure_png(evidence))) as image:
        assert image.size[0] == 1920


def test_every_measured_candidate_is_drawn(evidence: Evidence) -> None:
    text = report.figure_svg(evidence)
    for trial in Record(evidence).measured:
        assert f"{trial.plan.name}: " in text
    assert "3 without a figure, not plotted" in text
    assert "limit −1.00 pp" in text


def test_a_candidate_far_below_the_limit_gets_a_lane(cases: Cases) -> None:
    text = report.figure_svg(cases["with_sqnr"]())
    assert "far below" in text
    assert "(3.1 dB)" in text
    assert "equivalent" in text
    assert "not judged" in text


@pytest.mark.parametrize("width", [350.0, 960.0])
def test_names_in_the_picture_do_not_overlap(cases: Cases, width: float) -> None:
    for name in ("make_evidence", "with_agreement", "many", "long_names", "throughput"):
        record = Record(cases[name]())
        scene = tradeoff.scene(record, width)
        boxes = [_box(item) for item in scene.items if isinstance(item, Text) and item.halo]
        assert len(boxes) > 4
        for one, other in combinations(boxes, 2):
            assert not one.overlap(other), name
        for box in boxes:
            assert box.left >= 0
            assert box.right <= width


def _box(text: Text) -> Area:
    width = text_width(text.text, text.size, text.bold)
    return Area(text.x, text.y - 0.7 * text.size, text.x + width, text.y + 0.2 * text.size)


def test_labels_in_a_crowd_never_touch() -> None:
    noise = random.Random(1)
    points = [(noise.uniform(20, 380), noise.uniform(20, 280)) for _ in range(40)]
    requests = [Request(x, y, (f"candidate {i}", f"#{i}")) for i, (x, y) in enumerate(points)]
    solid = [Area(x - 5, y - 5, x + 5, y + 5) for x, y in points]
    bounds = Area(0, 0, 400, 300)
    found = [label for label in place(requests, solid=solid, soft=(), bounds=bounds) if label]
    assert len(found) > 20
    assert all(label.area.within(bounds) for label in found)
    assert not any(a.area.overlap(b.area) for a, b in combinations(found, 2))
    assert not any(label.area.overlap(area) for label in found for area in solid)


def test_a_label_with_room_sits_beside_its_point() -> None:
    request = Request(50, 50, ("name", "#1"))
    (label,) = place([request], solid=(), soft=(), bounds=Area(0, 0, 400, 100))
    assert label is not None
    assert label.text == "name"
    assert label.leader is None
    assert label.x > 50


def test_text_width_is_on_the_generous_side() -> None:
    font = png._font(100, bold=False)[0]
    for text in ("fold_normalisation + nncf_int8", "torch_eager", "limit −1.00 pp", "WWWiii"):
        estimate = text_width(text, 100)
        assert 0.93 * font.getlength(text) < estimate < 1.35 * font.getlength(text)


def test_shorten_keeps_both_ends() -> None:
    short = shorten("a_rather_long_name_of_a_candidate", 12, 100)
    assert text_width(short, 12) <= 100
    assert short.startswith("a_r")
    assert short.endswith("te")
    assert shorten("short", 12, 100) == "short"


@pytest.mark.parametrize(
    ("low", "high", "log"),
    [(0, 1, False), (-1.3, 0.2, False), (0.5, 12, True), (3e-4, 9e-2, True), (9.7, 9.9, False)],
)
def test_ticks_are_few_and_inside(low: float, high: float, log: bool) -> None:
    axis = Axis(low, high, 0, 100, log)
    ticks = axis.ticks(6)
    assert 2 <= len(ticks) <= 8
    assert all(low - 1e-9 <= value <= high + 1e-9 for value in ticks)
    assert sorted(ticks) == ticks
    assert axis(low) == pytest.approx(0)
    assert axis(high) == pytest.approx(100)


def test_a_wide_range_is_logarithmic() -> None:
    assert spanning([1.0, 10.0], 0, 1).log
    assert not spanning([1.0, 2.0], 0, 1).log
    assert not spanning([0.0, 10.0], 0, 1).log
    assert spanning([5.0], 0, 1).low < 5.0 < spanning([5.0], 0, 1).high


@pytest.mark.parametrize("colours", [palette.LIGHT, palette.DARK], ids=["light", "dark"])
def test_colours_stand_out(colours: dict[str, str]) -> None:
    paper = colours["paper"]
    for role in ("ink", "muted", "winner", "warn", "broken"):
        assert _contrast(colours[role], paper) >= 4.5, role
    for role in ("accepted", "slower", "good", "int8", "bf16", "f16", "other"):
        assert _contrast(colours[role], paper) >= 3.0, role
    assert colours.keys() == palette.LIGHT.keys()


def _contrast(one: str, other: str) -> float:
    """The contrast ratio of WCAG 2."""
    bright, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_every_kind_of_mark_can_be_drawn() -> None:
    scene = Scene(100, 100, "marks")
    for kind in marks.KINDS:
        scene.add(*marks.mark(kind, 50, 50), *marks.whisker(kind, (10, 90), (50, 50)))
    assert png.draw(scene).startswith(b"\x89PNG")


def test_a_dashed_line_has_gaps() -> None:
    pieces = png._dashes(Line(0, 0, 100, 0, dash=(6, 4)))
    assert len(pieces) == 10
    assert pieces[0] == (0, 0, 6, 0)


def test_worst_layers_are_lowest_first() -> None:
    values = {"a": 30.0, "b": float("inf"), "c": 12.0, "d": float("nan"), "e": 20.0, "f": 25.0}
    assert layers.worst(values) == ["c", "e", "f"]
    assert layers.known(values) == ["a", "c", "e", "f"]


def test_rounds_are_paired_and_empty_ones_left_out() -> None:
    assert rounds.paired([[2.0, 4.0], [], [3.0]], [[1.0], [1.0], [1.5]]) == [(3.0, 1.0), (3.0, 1.5)]
