"""The evidence: one JSON record of what was tried, measured and decided. Reports read only this."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from hasten import plugin
from hasten.errors import HastenError
from hasten.measure import machine_lock
from hasten.plugin import Facts
from hasten.search.store import Store
from hasten.types import Plan, canonical, digest

PACKAGES = ("hasten", "numpy", "torch", "onnx", "onnxruntime", "openvino", "nncf", "onnxscript")


class Evidence:
    """Collects durations and omissions while a road runs."""

    def __init__(self) -> None:
        self.durations: dict[str, float] = {}
        self.skipped: list[dict[str, str]] = []
        self.began = time.monotonic()

    @contextlib.contextmanager
    def lasting(self, stage: str) -> Iterator[None]:
        """Add the time of a block to a stage."""
        began = time.monotonic()
        try:
            yield
        finally:
            spent = time.monotonic() - began
            self.durations[stage] = self.durations.get(stage, 0.0) + spent

    def skip(self, plan: Plan, why: str) -> None:
        """A plan that was not built, and why."""
        self.skipped.append({"plan": plan.name, "why": why})

    def duration(self) -> dict[str, float]:
        """Seconds by stage, and in total."""
        return {**self.durations, "total": time.monotonic() - self.began}


def created() -> str:
    """Now, as ISO 8601 in UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def versions() -> dict[str, str]:
    """Versions of the packages that decide speed and numbers."""
    found = {}
    for name in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def machine(target: str, facts: Facts, store: Store) -> dict[str, Any]:
    """The machine, with its measured peaks: what every figure of a report refers to."""
    return {
        "target": dict(facts),
        **peaks(target, facts, store),
        "versions": versions(),
        "os": platform.platform(terse=True),
        "python": platform.python_version(),
        "load": list(os.getloadavg()) if hasattr(os, "getloadavg") else [],
    }


def peaks(target: str, facts: Facts, store: Store) -> Mapping[str, Any]:
    """Measured peaks of the machine (operations and bytes per second), kept in the store.

    The roofline is a property of the machine and the versions, not of a search; it is measured
    once and measured again when either changes.
    """
    key = digest("peaks", target, canonical(dict(facts)), canonical(versions()))
    known = store.note(key)
    if known is not None:
        return known
    try:
        with machine_lock():
            found = dict(plugin.targets.get(target).measure())
    except HastenError as error:
        return {"peaks": {}, "peaks_error": str(error)}
    store.put_note(key, found)
    return found
