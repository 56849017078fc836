"""Hasten with the network that all others train.

**Source:** as "Hasten", without the speed-ups that change the network. Only where it has such ones.
"""

from __future__ import annotations

from typing import Any

from bench.training.contenders.ours import Ours
from bench.training.rows import Row
from hasten import plugin, recipes


class OursSame(Ours):
    title = "Hasten, same network"

    def changed(self, row: Row) -> dict[str, Any]:
        asked = row.changed.get("speedups", {})
        kept = {name: options for name, options in asked.items() if not _rebuilds(name)}
        listed = recipes.named(row.recipe).speedups
        return {**row.changed, "speedups": kept, "without": [*filter(_rebuilds, listed)]}

    def runs(self, row: Row) -> bool:
        listed = recipes.named(row.recipe).speedups
        return any(map(_rebuilds, {**listed, **row.changed.get("speedups", {})}))


def _rebuilds(name: str) -> bool:
    """Whether a speed-up changes the network."""
    return bool(plugin.speedups.get(name).network)
