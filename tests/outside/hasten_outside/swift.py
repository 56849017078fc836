"""Computes faithfully and fast: who should win.

**Source:** made up for tests.
"""

from __future__ import annotations

from hasten_outside._runner import LinearEngine


class Swift(LinearEngine):
    """As ``LinearEngine`` does it."""
