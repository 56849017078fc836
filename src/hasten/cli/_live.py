"""What every verb's live progress shares: redrawn lines in a terminal, plain ones elsewhere."""

from __future__ import annotations

import sys
import time
from abc import abstractmethod
from typing import Any

from rich.console import Console, Group
from rich.live import Live


class Drawn:
    """Live progress on standard error, in a ``with`` block."""

    def __init__(self, quiet: bool) -> None:
        self.console = Console(stderr=True)
        self.quiet = quiet
        self.began = time.monotonic()
        self.live: Live | None = None

    def __enter__(self) -> Any:
        if not self.quiet:
            self.live = Live(
                get_renderable=self._draw,
                console=self.console,
                transient=True,
                refresh_per_second=2,
            )
            self.live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self.live:
            self.live.stop()

    @abstractmethod
    def _draw(self) -> Group:
        """What stands in the terminal right now."""

    def _plain(self, text: str) -> None:
        """Without a terminal, plain lines with the time since the start."""
        if self.quiet and not sys.stderr.isatty() and sys.stderr.writable():
            sys.stderr.write(f"{time.monotonic() - self.began:7.1f} s  {text}\n")
