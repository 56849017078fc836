"""How a training run looks in the terminal while it goes on."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from rich.console import Group
from rich.spinner import Spinner
from rich.text import Text

from hasten.cli._live import Drawn
from hasten.progress import TrainingProgress

SHOWN = 12


class Live(Drawn, TrainingProgress):
    """The last epochs as lines; below them one with the step and the time that is left."""

    def __init__(self, quiet: bool) -> None:
        super().__init__(quiet)
        self.now = "reading the data"
        self.lines: list[str] = []
        self.metric, self.best_value = "", ""
        self.per_epoch, self.steps, self.started = 1, 0, 0.0
        self.first: int | None = None

    def _draw(self) -> Group:
        return Group(*map(Text, self.lines[-SHOWN:]), Spinner("dots", text=Text(self.now)))

    def doing(self, text: str) -> None:
        self.now = text
        self._plain(text)

    def note(self, text: str) -> None:
        self.lines.append(f"  {text}")
        self._plain(text)

    def fitting(self, metric: str, steps: int, per_epoch: int) -> None:
        self.metric, self.steps, self.per_epoch = metric, steps, per_epoch
        self.started, self.first = time.monotonic(), None
        self.now = "training"

    def step(self, done: int, total: int, loss: float, per_second: float) -> None:
        if self.first is None:
            self.first = done - 1
        epoch = (done - 1) // self.per_epoch + 1
        said = [
            f"epoch {epoch}/{total / self.per_epoch:g}",
            f"step {done:,}/{total:,}",
            f"loss {loss:.4f}",
            *([self.best_value] if self.best_value else []),
            f"{per_second:,.0f} samples/s",
            self._left(done),
        ]
        self.now = " · ".join(said)

    def epoch(self, line: Mapping[str, Any], total: float) -> None:
        speed, name = line.get("samples_per_second"), self.metric
        said = [
            f"epoch {line['epoch']:>3}/{total:g}",
            *([] if line["loss"] is None else [f"loss {line['loss']:.4f}"]),
            f"{name} {line[name]:.4f}",
            f"best {line['best']:.4f}",
            *([f"{speed:,.0f} samples/s"] if speed else []),
            self._left(line["step"]),
        ]
        self.best_value = f"{name} {line[name]:.4f}, best {line['best']:.4f}"
        self.lines.append("  ".join(said))
        self._plain("  ".join(said))

    def _left(self, done: int) -> str:
        """The time left, by what the steps of this process took, judging included."""
        taken = done - (self.first or 0)
        if taken <= 0:
            return "time left unknown"
        left = (time.monotonic() - self.started) / taken * max(0, self.steps - done)
        minutes, seconds = divmod(round(left), 60)
        return f"about {f'{minutes} min ' if minutes else ''}{seconds} s left"
