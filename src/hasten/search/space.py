"""The space of plans: what could be tried on this model, on this machine, under this limit.

Nothing here names a plug-in. Converters span the routes between forms; techniques and engines
say by their traits whether they fit and which options are worth trying. Impossible plans are
pruned before anything is built; likely and cheap ones come first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hasten import plugin
from hasten.plugin import Engine, Facts, Technique
from hasten.types import Plan, Spec, Use, Workload

Steps = tuple[tuple[str, Use], ...]


@dataclass(frozen=True)
class Situation:
    """Everything that decides which plans make sense.

    ``exact_only``: no data, so nothing may change the outputs. ``broken``: converters and clean
    techniques that already failed on this model. ``breaking``: engines with settings that break
    the limit by themselves. ``only``: engines the user restricts to.
    """

    form: str
    traits: frozenset[str]
    spec: Spec
    target: Facts
    workload: Workload
    exact_only: bool = False
    broken: frozenset[str] = frozenset()
    breaking: frozenset[Use] = frozenset()
    only: tuple[str, ...] = ()
    exportable: bool = True


def routes(start: str, broken: frozenset[str], exportable: bool = True) -> dict[str, Steps]:
    """The cheapest chain of installed converters from ``start`` to every form it can reach."""
    found: dict[str, Steps] = {start: ()}
    if not exportable:
        return found
    edges = [c for c in plugin.converters.available() if c.name not in broken]
    edges.sort(key=lambda converter: converter.typical_seconds)
    frontier = [start]
    while frontier:
        here = frontier.pop(0)
        for edge in edges:
            if edge.takes == here and edge.gives not in found:
                found[edge.gives] = (*found[here], ("converters", Use(edge.name)))
                frontier.append(edge.gives)
    return found


def reference_plan(situation: Situation) -> Plan | None:
    """The model as its own framework runs it: the yardstick engine with default settings."""
    reached = routes(situation.form, situation.broken, situation.exportable)
    for form, steps in reached.items():
        fit = [
            engine
            for engine in plugin.engines.available()
            if engine.yardstick > 0 and engine.supports(form, situation.traits, situation.workload)
        ]
        if fit:
            best = max(fit, key=lambda engine: engine.yardstick)
            return Plan(steps, Use(best.name))
    return None


def plans(situation: Situation) -> list[Plan]:
    """Every plan worth building, each once: likely ones first, of equally likely ones the cheap.

    How likely a plan is to win is what its plug-ins say: each lists its settings by promise.
    """
    found: dict[Plan, int] = {}
    reached = routes(situation.form, situation.broken, situation.exportable)
    for form, route in reached.items():
        for place, steps, traits in _chains(situation, form):
            for engine in _engines(situation):
                if engine.supports(form, traits, situation.workload):
                    for rank, options in enumerate(_settings(situation, engine, traits)):
                        plan = Plan((*route, *steps), Use.of(engine.name, **options))
                        found[plan] = min(place + rank, found.get(plan, place + rank))
    return sorted(found, key=lambda p: (_doubt(situation, p), found[p], estimate(p), p.complexity))


def _doubt(situation: Situation, plan: Plan) -> int:
    """Where the limit stops an engine's lossy setting, its exact one is next and that one last."""
    if plan.engine in situation.breaking:
        return 1
    stopped = plan.engine.name in {use.name for use in situation.breaking}
    return -1 if stopped and is_exact(plan) else 0


def _engines(situation: Situation) -> Iterator[Engine]:
    for engine in plugin.engines.available():
        if not situation.only or engine.name in situation.only:
            yield engine


def _settings(
    situation: Situation, engine: Engine, traits: frozenset[str]
) -> Iterable[Mapping[str, Any]]:
    for options in engine.space(traits, situation.target, situation.workload):
        if not situation.exact_only or engine.exact(options):
            yield options


def _chains(situation: Situation, form: str) -> Iterator[tuple[int, Steps, frozenset[str]]]:
    """Chains of techniques on one form: their place by promise, and the traits after them."""
    yield 0, (), situation.traits
    prefix: Steps = ()
    traits = situation.traits
    for clean in _techniques(situation, "clean"):
        if clean.name not in situation.broken and clean.supports(form, traits, situation.spec):
            prefix = (*prefix, ("techniques", Use(clean.name)))
            traits = traits | clean.gives
    if prefix:
        yield 0, prefix, traits
    for technique in _techniques(situation, "compress"):
        if situation.exact_only and not technique.exact:
            continue
        if technique.supports(form, traits, situation.spec):
            for place, options in enumerate(technique.space(traits, situation.target)):
                use = Use.of(technique.name, **options)
                yield place, (*prefix, ("techniques", use)), traits | technique.gives


def _techniques(situation: Situation, stage: str) -> Iterator[Technique]:
    for technique in plugin.techniques.available():
        if technique.stage == stage:
            yield technique


def refinements(situation: Situation, plan: Plan, traits: frozenset[str], form: str) -> list[Plan]:
    """Finer settings of a plan that proved fast: the engine's own, and finishing techniques."""
    engine = plugin.engines.get(plan.engine.name)
    given = dict(plan.engine.options)
    finer = [
        Plan(plan.steps, plan.engine.with_options(**options))
        for options in engine.refine(given, situation.target, situation.workload)
    ]
    for technique in _techniques(situation, "finish"):
        if technique.supports(form, traits, situation.spec):
            steps = (*plan.steps, ("techniques", Use(technique.name)))
            finer.append(Plan(steps, plan.engine))
    return [p for p in finer if p != plan]


def pruned(situation: Situation) -> list[str]:
    """Which plug-ins take no part, and why: for --dry-run and the report."""
    reached = routes(situation.form, situation.broken, situation.exportable)
    found = []
    for family in (plugin.engines, plugin.techniques, plugin.converters):
        for plug_in in family.all():
            if not (verdict := plug_in.installed()):
                found.append(f"{plug_in.name}: {verdict.why} ({verdict.fix})")
    for engine in plugin.engines.available():
        verdicts = [engine.supports(f, situation.traits, situation.workload) for f in reached]
        if not any(verdicts):
            found.append(f"{engine.name}: {verdicts[0].why}")
    for technique in plugin.techniques.available():
        if situation.exact_only and not technique.exact:
            found.append(
                f"{technique.name}: changes the outputs, and there are no data to judge it"
            )
            continue
        usual = [f for f in reached if f in technique.accepts] or list(reached)
        verdicts = [technique.supports(f, situation.traits, situation.spec) for f in usual]
        if not any(verdicts):
            found.append(f"{technique.name}: {verdicts[0].why}")
    return found


def estimate(plan: Plan) -> float:
    """Rough seconds to build and try a plan, from its parts' typical figures."""
    families: Mapping[str, plugin.Family[Any]] = plugin.FAMILIES
    parts = [families[family].get(use.name) for family, use in plan.steps]
    parts.append(plugin.engines.get(plan.engine.name))
    return float(sum(part.typical_seconds for part in parts))


def is_exact(plan: Plan) -> bool:
    """Whether nothing in the plan is meant to change the outputs."""
    return _exact_engine(plan) and _exact_steps(plan)


def lossy_by_engine(plan: Plan) -> bool:
    """Whether the engine's settings alone are meant to change the outputs."""
    return not _exact_engine(plan) and _exact_steps(plan)


def _exact_engine(plan: Plan) -> bool:
    return plugin.engines.get(plan.engine.name).exact(dict(plan.engine.options))


def _exact_steps(plan: Plan) -> bool:
    techniques = [use.name for family, use in plan.steps if family == "techniques"]
    return all(plugin.techniques.get(name).exact for name in techniques)


def keepable(plan: Plan) -> bool:
    """Whether a step of the plan can keep named layers in float."""
    return _keeping_step(plan) is not None


def _keeping_step(plan: Plan) -> int | None:
    for index, (family, use) in enumerate(plan.steps):
        if family == "techniques":
            options = plugin.techniques.get(use.name).Options
            if "keep" in getattr(options, "__dataclass_fields__", {}):
                return index
    return None


def keeping(plan: Plan, layers: tuple[str, ...]) -> Plan:
    """The same plan with these layers left in float."""
    index = _keeping_step(plan)
    if index is None:
        return plan
    family, use = plan.steps[index]
    steps = (*plan.steps[:index], (family, use.with_options(keep=layers)), *plan.steps[index + 1 :])
    return Plan(steps, plan.engine)
