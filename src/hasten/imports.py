"""Imports of the user's own: modules are found in the working folder, as ``python -m`` does."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def working_folder_first() -> Iterator[None]:
    """Let imports look in the working folder before anywhere else."""
    folder = os.getcwd()
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        with suppress(ValueError):  # what was imported may have changed the path itself
            sys.path.remove(folder)
