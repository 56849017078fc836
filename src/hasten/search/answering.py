"""A child's end of the protocol: requests in JSON lines, an answer to each."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable
from typing import Any

from hasten.errors import CandidateFailed, HastenError
from hasten.search.store import is_full, no_room

ERROR_LENGTH = 500


def answering(handle: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Answer requests until standard input ends."""
    _die_with_parent()
    # The real streams are the protocol's: what a candidate reads and prints goes elsewhere.
    asked, say = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    with open(os.devnull) as nothing:
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)
    for line in asked:
        try:
            answer = handle(json.loads(line))
        except Exception as error:
            told = _failure(error)
            answer = {"ok": False, "kind": type(told).__name__, "error": str(told)}
        say.write(json.dumps(answer, default=str) + "\n")
        say.flush()


def _die_with_parent() -> None:
    """Where Linux offers it, be killed as soon as the parent ends, even while stopped."""
    if sys.platform == "linux":
        import ctypes

        with contextlib.suppress(OSError):
            ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def _failure(error: Exception) -> HastenError:
    """An error as the parent is told of it; the traceback of one that is not ours is logged."""
    if isinstance(error, HastenError):
        return error
    if is_full(error):
        return no_room(getattr(error, "filename", None) or tempfile.gettempdir(), error)
    traceback.print_exc()
    text = f"{type(error).__name__}: {error}".strip().splitlines()[0]
    return CandidateFailed(text[:ERROR_LENGTH])
