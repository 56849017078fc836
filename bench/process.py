"""Contenders in processes of their own: built, scored, and timed in turns.

A racer stands still (SIGSTOP, its whole process group) whenever it is not its turn, because idle
threads of one runtime spin on the cores that another one is timed on. Turns are shuffled within
rounds, watched and repeated by ``hasten.measure``.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Self

from bench.contenders import Contender
from bench.jobs import Job
from hasten.errors import CandidateFailed
from hasten.search.store import cache_folder

ROOT = Path(__file__).parents[1]
TURN_LIMIT_SECONDS = 300.0
#: No telemetry, and no downloads behind our back.
QUIET = {
    "NNCF_TELEMETRY": "0",
    "OPENVINO_TELEMETRY": "0",
    "DO_NOT_TRACK": "1",
    "OLIVE_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "1",
    "PYTHONUNBUFFERED": "1",
}


class Process:
    """One process with its log; it answers in JSON lines."""

    def __init__(
        self,
        log: Path,
        arguments: list[str],
        environment: dict[str, str] | None = None,
        module: str = "bench.child",
        python: str = sys.executable,
    ) -> None:
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as sink:
            self.process = subprocess.Popen(
                [python, "-m", module, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=sink,
                start_new_session=True,
                cwd=ROOT,
                env={**os.environ, **QUIET, **(environment or {})},
            )
        if self.process.stdin is None or self.process.stdout is None:
            raise CandidateFailed("the process has no pipes.")
        self.requests, self.answers = self.process.stdin, self.process.stdout

    def ask(self, text: str) -> None:
        """Send one line."""
        try:
            self.requests.write(text.encode() + b"\n")
            self.requests.flush()
        except BrokenPipeError:
            raise CandidateFailed(self.epitaph()) from None

    def answer(self, seconds: float) -> Any:
        """The next JSON line; the process is ended where none comes in time."""
        ready, _, _ = select.select([self.answers], [], [], seconds)
        if not ready:
            self.close()
            raise CandidateFailed(f"no answer within {seconds:.0f} s.")
        line = self.answers.readline()
        if not line:
            raise CandidateFailed(self.epitaph())
        return json.loads(line)

    def signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, number)

    def epitaph(self) -> str:
        """How the process ended: the last line of its log that looks like an error's."""
        self.close()
        said = [line for line in self.log.read_text(errors="replace").splitlines() if line.strip()]
        errors = [line for line in said if re.match(r"[A-Za-z_][\w.]*(: |$)", line)]
        return scrubbed((errors or said or ["it said nothing."])[-1][:300])

    def close(self) -> None:
        self.signal(signal.SIGKILL)
        self.process.wait()
        for stream in (self.requests, self.answers):
            with contextlib.suppress(OSError):
                stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class Turns(Process):
    """A loaded model, standing still until it is given a turn."""

    name: str

    def stand(self, seconds: float) -> dict[str, Any]:
        """What it says when it is ready; from then on it stands still."""
        said: dict[str, Any] = self.answer(seconds)
        self.signal(signal.SIGSTOP)
        return said

    def turn(self, seconds: float) -> list[float]:
        """Wake, take one turn, stand still again: the seconds of each call."""
        self.signal(signal.SIGCONT)
        self.ask(str(seconds))
        calls: list[float] = self.answer(TURN_LIMIT_SECONDS)
        self.signal(signal.SIGSTOP)
        return calls


class Racer(Turns):
    """A contender of the inference race."""

    def __init__(self, job: Job, contender: Contender, folder: Path, seconds: float) -> None:
        began = time.perf_counter()
        arguments = ["race", job.name, contender.name, str(folder)]
        super().__init__(folder / "log.txt", arguments, environment(contender, folder))
        self.name = contender.name
        self.cost = self.stand(seconds)
        self.cost["start_seconds"] = time.perf_counter() - began


def environment(contender: Contender, folder: Path) -> dict[str, str]:
    """The variables that the contender asks for."""
    return {name: value.format(folder=folder) for name, value in contender.environment.items()}


def once(
    verb: str,
    job: Job,
    contender: Contender | None,
    folder: Path,
    seconds: float,
    extra: dict[str, str] | None = None,
) -> dict[str, Any]:
    """Run one verb of ``bench.child`` to its end and return its answer."""
    arguments = [verb, job.name] + ([contender.name, str(folder)] if contender else [])
    wanted = environment(contender, folder) if contender else {}
    with Process(folder / "log.txt", arguments, {**wanted, **(extra or {})}) as process:
        answer: dict[str, Any] = process.answer(seconds)
        return answer


def scrubbed(value: Any) -> Any:
    """``value`` without this machine's paths and without addresses."""
    if isinstance(value, dict):
        return {key: scrubbed(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [scrubbed(item) for item in value]
    if not isinstance(value, str):
        return value
    for place, name in ((cache_folder(), "$HASTEN_CACHE"), (ROOT, "."), (Path.home(), "~")):
        value = value.replace(str(place), name)
    return re.sub(r"\b(?:https?|file)://\S+", "<address>", value)
