"""NNCF without its reports to a server, its log lines and its progress bars.

**Source:** NNCF 3.4, ``nncf/telemetry/wrapper.py``: it goes without telemetry where the package
``openvino_telemetry`` cannot be imported, which is the only switch that sends nothing at all.
"""

from __future__ import annotations

import importlib
import io
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any

_TELEMETRY = "openvino_telemetry"


def load() -> Any:
    """The ``nncf`` module, silent and unable to report what it is used for."""
    if "nncf" not in sys.modules:
        with _missing(_TELEMETRY):
            importlib.import_module("nncf")
    nncf = sys.modules["nncf"]
    nncf.set_log_level(logging.ERROR)
    return nncf


@contextmanager
def _missing(name: str) -> Iterator[None]:
    """Lets ``import name`` fail, as if the package were not installed."""
    held = sys.modules.get(name)
    sys.modules[name] = None  # type: ignore[assignment]  # what Python takes for "not there"
    try:
        yield
    finally:
        if held is None:
            del sys.modules[name]
        else:
            sys.modules[name] = held


@contextmanager
def quiet() -> Iterator[None]:
    """Swallows progress bars, which NNCF draws on standard output whatever its log level is."""
    with redirect_stdout(io.StringIO()):
        yield
