"""A run's folder: what it is, what it measured, and that only one run writes to it.

run.json             what was asked, what was planned, how it ended
metrics.jsonl        one line per epoch
model.safetensors    the weights that answer
checkpoints/         to go on from
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hasten.errors import BadInput
from hasten.search.store import explained
from hasten.types import canonical

RUN, METRICS, WEIGHTS, CHECKPOINTS, LOCK = (
    "run.json",
    "metrics.jsonl",
    "model.safetensors",
    "checkpoints",
    ".lock",
)
SCHEMA = "hasten-run-1"


class RunFolder:
    """The files of one run; every one is written aside and renamed."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Keep other runs out of the folder."""
        import fcntl

        with explained(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            lock = (self.path / LOCK).open("w")
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise BadInput(
                    f"Cannot train into '{self.path}': another run is writing to it. Wait for its "
                    "end, or choose another folder with -o."
                ) from None
            yield

    def record(self) -> dict[str, Any] | None:
        """``run.json``; ``None`` where there is none."""
        try:
            found = json.loads((self.path / RUN).read_text())
        except FileNotFoundError:
            return None
        except ValueError:
            found = None
        if not isinstance(found, dict) or found.get("schema") != SCHEMA:
            raise BadInput(
                f"Cannot read the run in '{self.path}': its {RUN} is damaged or not ours. Choose "
                "another folder with -o."
            )
        return found

    def write_record(self, record: Mapping[str, Any]) -> None:
        text = json.dumps({"schema": SCHEMA, **json.loads(canonical(record))}, indent=1)
        self._write(RUN, text.encode())

    def metrics(self) -> list[dict[str, Any]]:
        """The epochs so far; a line that was cut off does not count."""
        path, found = self.path / METRICS, []
        for line in path.read_text().splitlines() if path.exists() else ():
            with contextlib.suppress(ValueError):
                found.append(json.loads(line))
        return found

    def write_metrics(self, epochs: list[dict[str, Any]]) -> None:
        self._write(METRICS, "".join(canonical(line) + "\n" for line in epochs).encode())

    def write_weights(self, weights: Mapping[str, Any]) -> None:
        from safetensors.torch import save

        self._write(WEIGHTS, save(dict(weights)))

    def _write(self, name: str, content: bytes) -> None:
        with explained(self.path):
            aside = self.path / f".{name}-{os.getpid()}"
            try:
                with aside.open("wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                aside.rename(self.path / name)
            finally:
                aside.unlink(missing_ok=True)
