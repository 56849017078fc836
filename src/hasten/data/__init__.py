"""Samples: found or read (``load``), matched to a model (``fit``), divided (``split``).

    data = load("images:photos", spec)      a name, a path, "package.module:factory" or an object
    data = fit(data, spec)                  names, dtypes, shapes, labels: refused or made to fit
    parts = split(data, seed=0)             calibration, selection and test, disjoint
    data = synthetic(spec, 16, seed=0)      made-up inputs where there are no data

Everything streams: arrays may be memory maps larger than memory.
"""

from __future__ import annotations

import os
from typing import Any

from hasten import plugin
from hasten.data.check import consistent, fit, synthetic
from hasten.data.labels import understood
from hasten.data.splits import Splits, split
from hasten.errors import BadData, UnknownName
from hasten.types import Data, Spec

__all__ = ["Splits", "fit", "known", "load", "split", "synthetic"]


def load(what: Any, spec: Spec | None = None, **options: Any) -> Data:
    """Load samples.

    ``what`` is a built-in name, a path, ``"images:FOLDER"``, ``"videos:FOLDER"``,
    ``"package.module:factory"``, a ``Data``, a torch ``Dataset``, a tuple ``(inputs, labels)`` or
    a mapping of arrays. Options may also stand in the text:
    ``"images:photos?size=160&unreadable=0.1"``. ``spec`` is that of the model, where one is known:
    some sources take sizes and names from it.
    """
    if isinstance(what, Data):
        return understood(consistent(what))
    if isinstance(what, os.PathLike):
        what = os.fspath(what)
    if isinstance(what, str):
        what, written = _parted(what)
        options = {**written, **options}
    source = _source_of(what)
    return understood(consistent(source(what, spec, options)))


def known() -> list[str]:
    """How every kind of data is written in text, built-in names first."""
    asked = sorted(plugin.sources.all(), key=lambda source: source.order)
    return [source.spelling for source in asked if source.spelling]


def _source_of(what: Any) -> plugin.DataSource:
    for source in sorted(plugin.sources.all(), key=lambda source: source.order):
        if source.sniff(what):
            return source
    if os.path.isdir(what):
        raise BadData(
            f"Cannot load data '{what}': it is a folder. Write images:{what} if it holds images, "
            f"videos:{what} if it holds videos."
        )
    raise UnknownName.among("data", str(what), known())


def _parted(text: str) -> tuple[str, dict[str, Any]]:
    """``"name?key=value&key=value"`` as the name and its options."""
    name, mark, query = text.rpartition("?")
    if not mark or "=" not in query:
        return text, {}
    pairs = [pair.partition("=") for pair in query.split("&")]
    return name, {key: _value(value) for key, _, value in pairs}


def _value(text: str) -> Any:
    """A number, a tuple of them (``"1,2"``), or the text itself."""
    if "," in text:
        return tuple(_value(item) for item in text.split(","))
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
