"""Child processes: one crash, hang or memory hunger costs one candidate, never the search.

A child is a fresh interpreter (never a fork) in its own process group. It is asked in JSON lines
over its standard input and answers on a private copy of its standard output, so that whatever a
runtime prints goes to the log. Between measurements its whole group is stopped with SIGSTOP.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import hasten.errors
from hasten.errors import CandidateFailed, HastenError

CAN_STOP = hasattr(signal, "SIGSTOP")
SPIN_OUT_SECONDS = 0.3
"""How long idle runtime threads may spin after a call; waited where a group cannot be stopped."""
LOG_TAIL_BYTES = 4096
LOG_LINE = 300


class Workplace(Protocol):
    """Somewhere requests are carried out: a child process, or this process itself."""

    def call(self, request: dict[str, Any], seconds: float) -> dict[str, Any]: ...
    def pause(self) -> None: ...
    def resume(self) -> None: ...
    def close(self) -> None: ...


class Child:
    """A worker process with a time limit per request and a limit on its group's memory."""

    def __init__(
        self,
        log: Path,
        memory_bytes: int,
        environment: Mapping[str, str] | None = None,
        module: str = "hasten.search.worker",
    ):
        self.log = log
        self.memory_bytes = memory_bytes
        self.peak_bytes = 0
        with log.open("ab") as sink:
            self.process = subprocess.Popen(
                # -P: a file such as random.py in the working folder must not hide Python's own.
                [sys.executable, "-P", "-m", module],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=sink,
                start_new_session=True,
                env={**os.environ, **QUIET, **(environment or {})},
            )
        self.stopped = False
        self.closed = False

    def call(self, request: dict[str, Any], seconds: float) -> dict[str, Any]:
        """Send one request and wait for its answer; the child is killed where it breaks a limit."""
        self.send(request)
        return self.answer(seconds)

    def send(self, request: dict[str, Any]) -> None:
        stream = self.process.stdin
        try:
            if stream is None:
                raise BrokenPipeError
            stream.write(json.dumps(request, default=str).encode() + b"\n")
            stream.flush()
        except BrokenPipeError:
            raise CandidateFailed(self._epitaph()) from None

    def answer(self, seconds: float) -> dict[str, Any]:
        line = self._line(time.monotonic() + seconds, seconds)
        try:
            answer = json.loads(line)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):  # something else wrote into the protocol's stream
            raise CandidateFailed(self._epitaph())
        if answer.get("ok"):
            return answer
        raise _error(answer)

    def _line(self, deadline: float, seconds: float) -> bytes:
        stream = self.process.stdout
        if stream is None:
            raise CandidateFailed(self._epitaph())
        while True:
            ended = self.process.poll() is not None
            ready, _, _ = select.select([stream], [], [], 0.2)
            if ready:
                line = stream.readline()
                if not line:
                    raise CandidateFailed(self._epitaph())
                return line
            if ended:
                raise CandidateFailed(self._epitaph())
            self._watch_memory()
            if time.monotonic() > deadline:
                self.close()
                raise CandidateFailed(f"it hung: no answer within {seconds:.0f} s; stopped.")

    def _watch_memory(self) -> None:
        used = self.resident_bytes()
        self.peak_bytes = max(self.peak_bytes, used)
        if used > self.memory_bytes:
            self.close()
            raise CandidateFailed(
                f"it used {used / 2**30:.2g} GiB of memory, over the limit of "
                f"{self.memory_bytes / 2**30:.2g} GiB; stopped. Raise it with --memory."
            )

    def resident_bytes(self) -> int:
        """Resident memory of the child and all its descendants."""
        import psutil

        total = 0
        with contextlib.suppress(psutil.Error):
            root = psutil.Process(self.process.pid)
            for process in (root, *root.children(recursive=True)):
                with contextlib.suppress(psutil.Error):
                    total += process.memory_info().rss
        return total

    def pause(self) -> None:
        if CAN_STOP:
            self._signal(signal.SIGSTOP)
        else:
            time.sleep(SPIN_OUT_SECONDS)
        self.stopped = True

    def resume(self) -> None:
        if CAN_STOP and self.stopped:
            self._signal(signal.SIGCONT)
        self.stopped = False

    def close(self) -> None:
        """End the whole group at once, what the child itself started included."""
        if self.closed:
            return
        self.closed = True
        if CAN_STOP:
            # Before the child is waited for: until then its number belongs to its group.
            self._signal(signal.SIGKILL)
        else:
            self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            if stream:
                with contextlib.suppress(OSError):
                    stream.close()

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, number)

    def _epitaph(self) -> str:
        """How the child ended, with the last thing it said; ends what is left of its group."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=5)
        self.close()
        code = self.process.returncode
        how = f"killed by {_signal_name(-code)}" if code < 0 else f"exit code {code}"
        said = _last_line(self.log)
        return f"the process ended ({how})." + (f" Last line of its log: {said}" if said else "")

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _error(answer: Mapping[str, Any]) -> HastenError:
    """The error that a child tells of."""
    kind = getattr(hasten.errors, str(answer.get("kind")), None)
    text = answer.get("error", "the child answered nothing")
    if isinstance(kind, type) and issubclass(kind, HastenError):
        return kind(text)
    return CandidateFailed(text)


def _signal_name(number: int) -> str:
    """``SIGSEGV``; a real-time signal has no name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _last_line(log: Path) -> str:
    """The last line of a log that may be huge, shortened."""
    with log.open("rb") as stream:
        stream.seek(max(0, log.stat().st_size - LOG_TAIL_BYTES))
        lines = stream.read().decode(errors="replace").strip().splitlines()
    return lines[-1].strip()[:LOG_LINE] if lines else ""


class Here:
    """This process as a workplace, for live objects that cannot leave it. No isolation."""

    def __init__(self) -> None:
        from hasten.search.worker import Worker

        self.worker = Worker()

    def call(self, request: dict[str, Any], seconds: float) -> dict[str, Any]:
        try:
            return self.worker.handle(request)
        except (HastenError, KeyboardInterrupt):
            raise
        except Exception as error:
            raise CandidateFailed(f"{type(error).__name__}: {error}") from error

    def pause(self) -> None:
        time.sleep(SPIN_OUT_SECONDS)

    def resume(self) -> None:
        pass

    def close(self) -> None:
        self.worker.close()


def memory_limit() -> int:
    """The default limit for one child: four fifths of what is available now."""
    import psutil

    return int(psutil.virtual_memory().available * 0.8)


#: Telemetry off, and no chatter from the runtimes.
QUIET = {
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "NNCF_TELEMETRY": "0",
    "OPENVINO_TELEMETRY": "0",
    "DO_NOT_TRACK": "1",
    "ORT_LOGGING_LEVEL": "4",
    "TORCH_DEVICE_BACKEND_AUTOLOAD": "0",
    "TOKENIZERS_PARALLELISM": "false",
    "PYTHONUNBUFFERED": "1",
}
