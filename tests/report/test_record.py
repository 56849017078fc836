"""The record as it is read: who is who, what it is called, and why it was not taken."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from hasten.report.record import Record, printable
from hasten.report.sections import candidates, headline, quality, speed
from hasten.report.steps import links, longest, parts

Evidence = dict[str, Any]
Cases = dict[str, Callable[[], Evidence]]


def test_trials_are_numbered_fastest_first(evidence: Evidence) -> None:
    record = Record(evidence)
    figures = [record.quantity.of(trial) for trial in record.measured]
    assert figures == sorted(figures)
    assert [record.number(trial) for trial in record.trials] == list(range(1, 15))
    assert record.winner is record.trials[0]
    assert len(record.measured) == 11


def test_throughput_counts_samples_and_more_is_better(cases: Cases) -> None:
    record = Record(cases["throughput"]())
    figures = [record.quantity.of(trial) for trial in record.measured]
    assert figures == sorted(figures, reverse=True)
    assert record.quantity.of(record.trials[0]) == 16 / record.trials[0].seconds_per_call


def test_roles(evidence: Evidence) -> None:
    record = Record(evidence)
    roles = {record.role(trial) for trial in record.trials}
    assert {"winner", "reference", "fp32 baseline", "finalist", "dominated", "failed"} <= roles
    assert record.next_best is not None
    assert record.short(record.next_best) == "nncf_int8 + openvino bf16"


def test_the_winner_is_told_by_the_fresh_rounds_and_test_samples(evidence: Evidence) -> None:
    record = Record(evidence)
    assert record.winner is not None
    ratio, score = record.ratio(record.winner), record.score(record.winner)
    assert ratio is not None
    assert ratio.value == 15.72
    assert score is not None
    assert score.split == "test"


def test_an_unjudged_candidate_has_no_verdict(cases: Cases) -> None:
    record = Record(cases["with_sqnr"]())
    unjudged = next(t for t in record.trials if record.short(t) == "torch_compile bf16")
    assert record.verdict(unjudged) == ""


def test_reasons(evidence: Evidence) -> None:
    record = Record(evidence)
    reasons = {trial.status: record.reason(trial) for trial in record.lost}
    assert reasons["wrong"] == "outputs differ by 42 % of their range"
    assert reasons["broken"] == "accuracy dropped by 4.38 pp, limit 1.00 pp"
    assert "memory" in reasons["failed"]


def test_not_reached_is_told_apart(evidence: Evidence) -> None:
    evidence["trials"][-1].update(status="planned", error="", difference=None)
    rows = candidates.lost(Record(evidence))
    assert rows[-1].reason == "not reached in time"


def test_a_long_reason_keeps_its_rest(evidence: Evidence) -> None:
    evidence["trials"][-1]["error"] = "first line\nsecond line"
    row = candidates.lost(Record(evidence))[-1]
    assert (row.reason, row.more) == ("first line", "second line")


def test_names_that_would_be_equal_get_their_settings(cases: Cases) -> None:
    record = Record(cases["many"]())
    names = list(record.short_names.values())
    assert len(set(names)) == len(names) == 60


def test_links_follow_the_order_of_the_plan(evidence: Evidence) -> None:
    found = links(Record(evidence))
    assert [link.added for link in found] == [
        ("engine openvino",),
        ("bf16 arithmetic",),
        ("nncf_int8(preset=mixed, samples=300)",),
        ("fold_normalisation", "threads=2"),
    ]
    assert found[0].before == pytest.approx(9.81e-3)
    assert found[-1].after == pytest.approx(0.624e-3)
    assert all(a.after == b.before for a, b in pairwise(found))


def test_a_lone_winner_is_one_link(evidence: Evidence) -> None:
    keep = (evidence["reference"], evidence["winner"])
    evidence["trials"] = [raw for raw in evidence["trials"] if raw["key"] in keep]
    (link,) = links(Record(evidence))
    assert len(link.added) == 5
    assert link.added == parts(link.trial)[:1] + link.added[1:]


def test_no_links_without_a_winner(cases: Cases) -> None:
    assert links(Record(cases["kept_original"]())) == []
    assert speed.waterfall(Record(cases["single"]())) == []


def test_the_longest_chain_wins_over_the_first() -> None:
    whole = frozenset("abc")
    stones = [frozenset("c"), frozenset("a"), frozenset("ab"), whole]
    assert longest(stones, ("a", "b", "c")) == [frozenset("a"), frozenset("ab"), whole]


def test_waterfall_bars_join(evidence: Evidence) -> None:
    bars = speed.waterfall(Record(evidence))
    assert [bar.tone for bar in bars] == ["reference", "gain", "gain", "gain", "gain", "winner"]
    for above, below in pairwise(bars[1:-1]):
        assert abs(above.left - (below.left + below.width)) < 1e-9


def test_shares_of_multiply_adds(evidence: Evidence) -> None:
    record = Record(evidence)
    assert record.winner is not None
    by_work, by_time = speed.shares(record.winner)
    assert [part.name for part in by_work.parts] == ["int8", "bf16"]
    assert [part.name for part in by_time.parts] == ["int8", "bf16", "f32"]
    assert abs(sum(part.share for part in by_time.parts) - 1) < 1e-9


def test_growth_is_marked(evidence: Evidence) -> None:
    rows = {row.label: row for row in headline.changes(Record(evidence))}
    assert rows["Cold start"].worse
    assert rows["Cold start"].change == "+137 %"
    assert not rows["Memory"].worse
    assert rows["Size on disk"].change == "−75 %"


def test_classes_fold_to_the_worst(cases: Cases) -> None:
    record = Record(cases["many_classes"]())
    rows = quality.class_rows(record)
    shown, everything = quality.folded(record, rows)
    assert (len(shown), len(everything)) == (20, 100)
    losses = sorted(row["after"] - row["before"] for row in record.raw["per_class"])
    assert shown[0].change == f"−{-100 * losses[0]:.2f} pp"


def test_printable_keeps_lines_and_drops_commands() -> None:
    assert printable({"a\x1b[31m": ["b\u202ec", "d\ne", 3, None]}) == {
        "a [31m": ["b c", "d\ne", 3, None]
    }
