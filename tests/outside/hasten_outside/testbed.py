"""A machine that costs nothing to measure.

**Source:** made up for tests.
"""

from __future__ import annotations

from hasten.plugin import Facts, Target


class Testbed(Target):
    """Where this package's engines run."""

    __test__ = False

    def probe(self) -> Facts:
        return {"present": True, "name": "testbed", "arch": "none", "isa": [], "cores": 1}
