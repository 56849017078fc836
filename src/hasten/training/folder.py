"""A run's folder: what it is, what it measured, and that only one run writes to it.

run.json             what was asked, what was planned, how it ended
metrics.jsonl        one line per epoch
examples.json        the worst mistakes, with small pictures
report.html          all of it as a page
model.safetensors    the weights that answer
model.keras          the model as Keras keeps it, where it was one
checkpoints/         to go on from
tensorboard/         the curves as TensorBoard reads them
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from hasten.errors import BadInput, NotInstalled
from hasten.search.store import explained
from hasten.training.events import Events
from hasten.training.loop import apart
from hasten.types import canonical

RUN, METRICS, WEIGHTS, CHECKPOINTS, LOCK = (
    "run.json",
    "metrics.jsonl",
    "model.safetensors",
    "checkpoints",
    ".lock",
)
EXAMPLES, REPORT, EVENTS = "examples.json", "report.html", "tensorboard"
SCHEMA = "hasten-run-1"


def is_run(path: str | Path) -> bool:
    """Whether a training run lies there."""
    return (Path(path) / RUN).is_file()


class RunFolder:
    """The files of one run; every one is written aside and renamed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._events = Events(path / EVENTS)

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
            try:
                yield
            finally:
                self.close()

    def close(self) -> None:
        """Close what is written to piece by piece."""
        self._events.close()

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
        with explained(self.path):
            self._events.write(epochs)

    def examples(self) -> dict[str, Any]:
        """The worst mistakes; empty where none were kept."""
        try:
            found = json.loads((self.path / EXAMPLES).read_text())
        except (FileNotFoundError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def finished(self) -> dict[str, Any]:
        """The record of a run that has ended."""
        record = self.record()
        if record is None:
            raise BadInput(
                f"Cannot read a run in '{self.path}': it holds no {RUN}. Give the folder that "
                "hasten train wrote with -o."
            )
        if "test" not in record:
            raise BadInput(
                f"Cannot report on the run in '{self.path}': it has not ended ("
                f"{len(self.metrics())} of {record['epochs']:g} epochs). Go on with it: "
                f"hasten train --resume -o {self.path}."
            )
        return record

    def write_report(self) -> Path:
        """The page of a run that has ended. Needs the extra ``report``."""
        from hasten import report

        page = report.run_html(self.finished(), self.metrics(), self.examples())
        self._write(REPORT, page.encode())
        return self.path / REPORT

    def finish(
        self,
        record: Mapping[str, Any],
        weights: Mapping[str, Any],
        epochs: list[dict[str, Any]],
        examples: Mapping[str, Any],
        others: Callable[[], Mapping[str, bytes]],
    ) -> str:
        """Keep what a run ended with, ``others`` by file name included, and write its page; says
        what is missing for that."""
        from safetensors.torch import save

        self._write(WEIGHTS, save(apart(weights)))
        with explained(self.path):
            files = others()
        for name, content in files.items():
            self._write(name, content)
        self.write_metrics(epochs)
        self._write(EXAMPLES, canonical(examples).encode())
        self.write_record(record)
        try:
            self.write_report()
        except NotInstalled as missing:
            return str(missing)
        return ""

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
