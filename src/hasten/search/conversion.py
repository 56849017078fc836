"""From the form that a model was loaded in to a file of another: the shortest way, each step
compared with the one before it."""

from __future__ import annotations

import time
from collections import deque
from pathlib import Path
from typing import Any

from hasten import plugin
from hasten.errors import Unsupported
from hasten.plugin import checking
from hasten.plugin.checking import Case
from hasten.types import Model, Workload


def route(start: str, end: str) -> list[str] | None:
    """Names of the fewest converters that lead from one form to another, of those installed."""
    ways: dict[str, list[str]] = {start: []}
    todo = deque([start])
    edges = sorted(plugin.converters.available(), key=lambda edge: edge.typical_seconds)
    while todo:
        form = todo.popleft()
        if form == end:
            return ways[form]
        for edge in edges:
            if edge.takes == form and edge.gives not in ways:
                ways[edge.gives] = [*ways[form], edge.name]
                todo.append(edge.gives)
    return None


def write(model: Model, form: str, place: Path) -> dict[str, Any]:
    """Write ``model`` in ``form`` to ``place``; what was done, as a JSON-ready record."""
    way = route(model.form, form)
    if way is None:
        raise Unsupported(
            f"Cannot convert form {model.form} to {form}: no converter that is installed here "
            "leads there."
        )
    began = time.perf_counter()
    worst: float | None = None
    expected = outputs(model)
    for name in way:
        model = plugin.converters.get(name)(model, Workload())
        if expected is not None:
            model = checking.compared(model, name, "what was converted", expected)
            worst = max(worst or 0.0, model.history[-1].difference or 0.0)
    plugin.forms.get(form).write(model, place)
    return {
        "way": way,
        "difference": worst,
        "seconds": time.perf_counter() - began,
        "spec": model.spec.to_json(),
    }


def outputs(model: Model) -> list[Case] | None:
    """What a model gives for noise at two batch sizes; ``None`` where nothing here runs it."""
    engine = checking.yardstick(model.form)
    if engine is None:
        return None
    feeds = checking.feeds(model.spec.inputs)
    return [Case(feed, checking.outputs(engine, model, feed)) for feed in feeds]
