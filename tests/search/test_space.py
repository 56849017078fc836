"""The space of plans, on a made-up house: three forms, two engines, four techniques."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest

from hasten import plugin
from hasten.plugin import Converter, Engine, Facts, Technique
from hasten.search import space
from hasten.search.space import Situation
from hasten.types import Plan, Spec, TensorSpec, Use, Verdict, Workload


class Named:
    """A plug-in whose name is told instead of taken from its file."""

    name = ""

    def apply(self, *_: object) -> None: ...
    def compile(self, *_: object) -> None: ...
    def convert(self, *_: object) -> None: ...


class Edge(Named, Converter):
    def __init__(self, takes: str, gives: str, seconds: float = 1.0) -> None:
        self.takes, self.gives, self.typical_seconds = takes, gives, seconds
        self.name = f"{gives}_from_{takes}"


class Slow(Named, Engine):
    name, accepts, yardstick, typical_seconds = "slow", ("clay",), 100, 1.0


class Fast(Named, Engine):
    """Two settings for clay's child form; the first is not exact."""

    name, accepts, yardstick, typical_seconds = "fast", ("brick",), 10, 2.0

    @dataclass(frozen=True, kw_only=True)
    class Options:
        precision: str = "f32"
        threads: int | None = None

    def space(
        self, traits: frozenset[str], target: Facts, workload: Workload
    ) -> Iterable[Mapping[str, Any]]:
        return [{"precision": "bf16"}, {}]

    def refine(
        self, options: Mapping[str, Any], target: Facts, workload: Workload
    ) -> Iterable[Mapping[str, Any]]:
        return [{"threads": n} for n in range(1, target["cores"] + 1)]


class Missing(Slow):
    name = "missing"

    def installed(self) -> Verdict:
        return Verdict(False, "nothing is there", "pip install something")


class Clean(Named, Technique):
    name, accepts, stage, exact, typical_seconds = "clean", ("brick",), "clean", True, 0.5
    gives = frozenset({"tidy"})


class Quantise(Named, Technique):
    name, accepts, calibrates, typical_seconds = "quantise", ("brick",), True, 8.0
    forbids, gives = frozenset({"quantized"}), frozenset({"quantized"})

    @dataclass(frozen=True, kw_only=True)
    class Options:
        mode: str = "usual"
        keep: tuple[str, ...] = ()

    def space(self, traits: frozenset[str], target: Facts) -> Iterable[Mapping[str, Any]]:
        return [{}, {"mode": "odd"}]


class Attend(Named, Technique):
    name, accepts, needs, typical_seconds = "attend", ("brick",), frozenset({"attention"}), 3.0


class Finish(Named, Technique):
    name, accepts, stage = "finish", ("brick",), "finish"
    needs = frozenset({"quantized"})


class House:
    """A family of given plug-ins."""

    def __init__(self, *plugins: Any) -> None:
        self.plugins = {one.name: one for one in plugins}

    def all(self) -> Iterator[Any]:
        yield from self.plugins.values()

    def available(self) -> Iterator[Any]:
        return (one for one in self.all() if one.installed())

    def get(self, name: str) -> Any:
        return self.plugins[name]


@pytest.fixture(autouse=True)
def house(monkeypatch: pytest.MonkeyPatch) -> None:
    converters = House(
        Edge("clay", "brick", 5.0),
        Edge("brick", "wall"),
        Edge("clay", "sand"),
        Edge("dust", "clay"),
    )
    families = {
        "converters": converters,
        "engines": House(Slow(), Fast(), Missing()),
        "techniques": House(Quantise(), Attend(), Clean(), Finish()),
    }
    for name, family in families.items():
        monkeypatch.setattr(plugin, name, family)
    monkeypatch.setattr(plugin, "FAMILIES", families)


def _situation(**changed: Any) -> Situation:
    tensor = TensorSpec("x", "float32", ("batch", 4))
    usual = Situation(
        "clay", frozenset(), Spec((tensor,), (tensor,)), {"cores": 2, "isa": []}, Workload()
    )
    return replace(usual, **changed)


def _names(plans: Iterable[Plan]) -> list[str]:
    return [plan.name for plan in plans]


# --- routes ---------------------------------------------------------------------------------------


def test_every_form_is_reached_over_the_fewest_steps() -> None:
    found = space.routes("clay", frozenset())
    assert {form: [use.name for _, use in steps] for form, steps in found.items()} == {
        "clay": [],
        "sand": ["sand_from_clay"],
        "brick": ["brick_from_clay"],
        "wall": ["brick_from_clay", "wall_from_brick"],
    }


def test_a_broken_edge_is_not_used() -> None:
    assert set(space.routes("clay", frozenset({"brick_from_clay"}))) == {"clay", "sand"}


def test_what_cannot_be_exported_stays_where_it_is() -> None:
    assert set(space.routes("clay", frozenset(), exportable=False)) == {"clay"}


# --- the reference --------------------------------------------------------------------------------


def test_the_reference_is_the_models_own_framework() -> None:
    assert space.reference_plan(_situation()) == Plan((), Use("slow"))


def test_a_model_without_an_engine_of_its_own_is_converted_first() -> None:
    plan = space.reference_plan(_situation(form="dust"))
    assert plan == Plan((("converters", Use("clay_from_dust")),), Use("slow"))


def test_nothing_runs_a_form_that_leads_nowhere() -> None:
    assert space.reference_plan(_situation(form="wall")) is None


# --- plans ----------------------------------------------------------------------------------------


def test_plans_likely_ones_first_and_each_once() -> None:
    plans = space.plans(_situation())
    assert _names(plans) == [
        "slow",
        "fast(precision=bf16)",
        "clean + fast(precision=bf16)",
        "clean + quantise + fast(precision=bf16)",
        "fast",
        "clean + fast",
        "clean + quantise + fast",
        "clean + quantise(mode=odd) + fast(precision=bf16)",
        "clean + quantise(mode=odd) + fast",
    ]
    assert len(set(plans)) == len(plans)


def test_without_data_nothing_may_change_the_outputs() -> None:
    plans = space.plans(_situation(exact_only=True))
    assert _names(plans) == ["slow", "fast", "clean + fast"]
    assert all(space.is_exact(plan) for plan in plans)


def test_only_the_engines_asked_for() -> None:
    assert {plan.engine.name for plan in space.plans(_situation(only=("fast",)))} == {"fast"}


def test_traits_open_and_close_techniques() -> None:
    plans = _names(space.plans(_situation(traits=frozenset({"attention", "quantized"}))))
    assert "clean + attend + fast" in plans
    assert not [name for name in plans if "quantise" in name]


def test_what_proved_broken_is_left_out() -> None:
    assert not [
        n for n in _names(space.plans(_situation(broken=frozenset({"clean"})))) if "clean" in n
    ]
    plans = space.plans(_situation(broken=frozenset({"brick_from_clay"})))
    assert _names(plans) == ["slow"]


def test_where_a_setting_breaks_the_limit_alone_the_exact_one_is_next() -> None:
    plans = space.plans(_situation(breaking=frozenset({Use.of("fast", precision="bf16")})))
    assert _names(plans) == [
        "fast",
        "clean + fast",
        "slow",
        "clean + quantise + fast",
        "clean + quantise(mode=odd) + fast",
        "fast(precision=bf16)",
        "clean + fast(precision=bf16)",
        "clean + quantise + fast(precision=bf16)",
        "clean + quantise(mode=odd) + fast(precision=bf16)",
    ]


def test_what_the_engine_alone_loses() -> None:
    told = {plan.name: space.lossy_by_engine(plan) for plan in space.plans(_situation())}
    assert [name for name, lossy in told.items() if lossy] == [
        "fast(precision=bf16)",
        "clean + fast(precision=bf16)",
    ]


def test_a_live_model_stays_in_its_form() -> None:
    assert _names(space.plans(_situation(exportable=False))) == ["slow"]


def test_the_estimate_adds_up_all_parts() -> None:
    plan = next(p for p in space.plans(_situation()) if p.name == "clean + quantise + fast")
    assert space.estimate(plan) == 5.0 + 0.5 + 8.0 + 2.0


# --- finer plans ----------------------------------------------------------------------------------


def _quantised() -> Plan:
    return next(p for p in space.plans(_situation()) if p.name == "clean + quantise + fast")


def test_refinements_keep_what_was_good() -> None:
    traits = frozenset({"tidy", "quantized"})
    finer = space.refinements(_situation(), _quantised(), traits, "brick")
    assert _names(finer) == [
        "clean + quantise + fast(threads=1)",
        "clean + quantise + fast(threads=2)",
        "clean + quantise + finish + fast",
    ]


def test_refinements_do_not_repeat_the_plan() -> None:
    plan = Plan(_quantised().steps, Use.of("fast", threads=1))
    finer = space.refinements(_situation(), plan, frozenset(), "brick")
    assert _names(finer) == ["clean + quantise + fast(threads=2)"]


def test_layers_may_be_kept_where_a_technique_can() -> None:
    plan = _quantised()
    assert space.keepable(plan)
    kept = space.keeping(plan, ("stem", "head"))
    assert kept.name == "clean + quantise(keep=2 layers) + fast"
    assert kept.steps[0] == plan.steps[0]
    assert space.keeping(kept, ()) == Plan(
        (*plan.steps[:2], ("techniques", Use.of("quantise", keep=()))), plan.engine
    )
    plain = Plan(plan.steps[:2], plan.engine)
    assert not space.keepable(plain)
    assert space.keeping(plain, ("stem",)) == plain


def test_exact_is_what_changes_nothing() -> None:
    clean = Plan((("techniques", Use("clean")),), Use("fast"))
    assert space.is_exact(clean)
    assert not space.is_exact(Plan(clean.steps, Use.of("fast", precision="bf16")))
    assert not space.is_exact(_quantised())


# --- what takes no part ---------------------------------------------------------------------------


def test_everything_left_out_has_a_reason() -> None:
    found = space.pruned(_situation())
    assert found == [
        "missing: nothing is there (pip install something)",
        "attend: needs a model with attention",
        "finish: needs a model with quantized",
    ]
    without = space.pruned(_situation(exact_only=True))
    assert "quantise: changes the outputs, and there are no data to judge it" in without


def test_an_engine_that_no_route_reaches() -> None:
    found = space.pruned(_situation(exportable=False))
    assert "fast: runs brick, not clay" in found
