"""Hasten with the network that all others train.

**Source:** as "Hasten", without the speed-ups that change the network. Only where it has such ones.
"""

from __future__ import annotations

from typing import Any

from bench.training.contenders.ours import Ours
from bench.training.rows import Row
from hasten import plugin


class OursSame(Ours):
    title = "Hasten, same network"

    def changed(self, row: Row) -> dict[str, Any]:
        kept = {name: options for name, options in _asked(row).items() if not _rebuilds(name)}
        return {**row.changed, "speedups": kept}

    def runs(self, row: Row) -> bool:
        return any(map(_rebuilds, _asked(row)))


def _asked(row: Row) -> dict[str, Any]:
    """The speed-ups of a row, with their options."""
    return dict(row.changed.get("speedups", {}))


def _rebuilds(name: str) -> bool:
    """Whether a speed-up changes the network."""
    return bool(plugin.speedups.get(name).network)
