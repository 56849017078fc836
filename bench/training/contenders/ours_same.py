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
        asked = row.changed.get("speedups", {})
        kept = {name: asked[name] for name in asked if not plugin.speedups.get(name).network}
        return {**row.changed, "speedups": kept}

    def runs(self, row: Row) -> bool:
        return self.changed(row) != dict(row.changed)
