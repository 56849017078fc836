"""Needs a package that nobody has.

**Source:** made up for tests.
"""

from __future__ import annotations

from hasten_outside._runner import LinearEngine


class Absent(LinearEngine):
    """Cannot be installed."""

    requires = ("hasten-nothing>=9",)
    extra = "nothing"
