"""Timing that neighbours cannot spoil unseen: one measurement at a time, in shuffled turns.

A *contender* is a model in a process of its own that stands still between its turns. A *round*
gives every contender one turn, in random order; that order is what the statistics rest on
(``stats.ratio``). While a turn runs, a ``Watch`` looks at what the hypervisor and other
processes take away; disturbed rounds are marked and played again, within a bound.
"""

from __future__ import annotations

import os
import stat
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from hasten.errors import CandidateFailed, HastenError

# --- one measurement at a time on a machine -------------------------------------------------------

LOCK_FILE = "hasten-measure.lock"
POLL_SECONDS = 0.1


def lock_path() -> Path:
    """The lock's file: in the folder that all users of this machine share."""
    shared = Path("/tmp")
    return (shared if shared.is_dir() else Path(tempfile.gettempdir())) / LOCK_FILE


@contextmanager
def machine_lock(
    waiting: Callable[[str], None] | None = None, path: Path | None = None
) -> Iterator[float]:
    """Hold the machine for measuring; yields the seconds that were spent waiting.

    ``waiting`` is told once, in a sentence, for whom we wait. The system frees the lock when its
    holder dies. Not re-entrant. Where the system has no ``flock``, nothing is locked.
    """
    try:
        import fcntl
    except ImportError:
        yield 0.0
        return
    began = time.monotonic()
    descriptor = _open_lock(path or lock_path())
    try:
        told = False
        while not _try_lock(fcntl, descriptor):
            if waiting and not told:
                waiting(f"Waiting for another measurement to finish ({_holder(descriptor)}).")
            told = True
            time.sleep(POLL_SECONDS)
        _sign(descriptor)
        yield time.monotonic() - began
    finally:
        os.close(descriptor)


def _open_lock(path: Path) -> int:
    """Open the lock's file, never through a link; other users must be able to open it too."""
    flags = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        descriptor = _open_or_create(path, flags)
    except OSError as error:
        raise HastenError(
            f"Cannot open the measurement lock {path}: {error.strerror}. "
            "Remove what is there; it is made again when needed."
        ) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise HastenError(
            f"Cannot use the measurement lock {path}: it is not a plain file. Remove it."
        )
    return descriptor


def _open_or_create(path: Path, flags: int) -> int:
    # Without O_CREAT first: Linux refuses O_CREAT on another user's file in a sticky folder.
    for _ in range(3):
        try:
            return os.open(path, flags | os.O_RDWR)
        except PermissionError:
            return os.open(path, flags | os.O_RDONLY)
        except FileNotFoundError:
            pass
        try:
            descriptor = os.open(path, flags | os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        except FileExistsError:
            continue
        os.fchmod(descriptor, 0o666)
        return descriptor
    raise FileNotFoundError(2, "it appears and vanishes", str(path))


def _try_lock(fcntl: object, descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)  # type: ignore[attr-defined]
    except BlockingIOError:
        return False
    return True


def _sign(descriptor: int) -> None:
    """Write who holds the lock, as far as this user may write."""
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
    except OSError:
        return


def _holder(descriptor: int) -> str:
    text = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip()
    return f"process {text}" if text.isdigit() else "an unknown process"


# --- what others take away ------------------------------------------------------------------------

FREE_SHARE = 0.10
"""What others may take of one core before a turn counts as disturbed."""
FULL_SHARE = 0.90
"""How full all cores must be for other processes to be in the way."""
_BUSY = (0, 1, 2, 5, 6)  # user, nice, system, irq, softirq of /proc/stat
_STEAL = 7


@dataclass(frozen=True)
class Look:
    """CPU seconds so far: of the whole machine, stolen, and of each process."""

    at: float
    busy: float
    stolen: float
    processes: Mapping[int, float]


@dataclass(frozen=True)
class Disturbance:
    """What happened during one turn, in cores (CPU seconds per second)."""

    own: float = 0.0
    foreign: float = 0.0
    stolen: float = 0.0
    cores: int = 1

    @property
    def disturbed(self) -> bool:
        """Whether others took enough to spoil the turn.

        Other processes only count when all cores are (nearly) in use: on a large machine a
        neighbour on a core of its own is in nobody's way.
        """
        full = self.own + self.foreign >= FULL_SHARE * self.cores
        return self.stolen > FREE_SHARE or (self.foreign > FREE_SHARE and full)


class Watch:
    """Sees the CPU time that the hypervisor and foreign processes take.

    Our own are this process and its descendants. Off Linux nothing can be seen: every look is
    empty and no turn counts as disturbed.
    """

    def __init__(self, proc: Path = Path("/proc")) -> None:
        self.proc = proc
        self.cores = os.cpu_count() or 1
        self._tick = 1 / os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 0.01
        self._own: dict[int, bool] = {os.getpid(): True, 0: False}

    def look(self) -> Look | None:
        """The counters now, or ``None`` where the system shows none."""
        try:
            first = (self.proc / "stat").read_text().split("\n", 1)[0].split()
            ticks = [int(value) for value in first[1:]]
            pids = [int(name) for name in os.listdir(self.proc) if name.isdigit()]
        except (OSError, ValueError):
            return None
        busy = sum(ticks[i] for i in _BUSY) * self._tick
        stolen = ticks[_STEAL] * self._tick if len(ticks) > _STEAL else 0.0
        seconds = {pid: cpu for pid in pids if (cpu := self._cpu_seconds(pid)) is not None}
        return Look(time.monotonic(), busy, stolen, seconds)

    def between(self, before: Look | None, after: Look | None) -> Disturbance:
        """What was used from one look to the next."""
        if before is None or after is None or after.at <= before.at:
            return Disturbance(cores=self.cores)
        used = {pid: cpu - before.processes.get(pid, 0.0) for pid, cpu in after.processes.items()}
        own = sum(cpu for pid, cpu in used.items() if self._is_own(pid))
        listed = sum(used.values()) - own
        # The machine's total also holds what /proc does not list (short-lived processes, other
        # containers) but counts in ticks, so that much of it has to be forgiven.
        unlisted = after.busy - before.busy - own - listed - 2 * self._tick * self.cores
        wall = after.at - before.at
        stolen = after.stolen - before.stolen
        foreign = listed + max(0.0, unlisted)
        return Disturbance(own / wall, foreign / wall, stolen / wall, self.cores)

    def _cpu_seconds(self, pid: int) -> float | None:
        """CPU time of all threads of a process, to the nanosecond: its CPU clock.

        /proc/<pid>/stat counts in ticks of 10 ms, too coarse for a turn of 50 ms. The number of
        a process's clock is part of Linux's interface (clock_getcpuclockid).
        """
        try:
            return time.clock_gettime((~pid << 3) | 2)
        except OSError:
            return None

    def _is_own(self, pid: int) -> bool:
        if pid not in self._own:
            self._own[pid] = self._is_own(self._parent(pid))
        return self._own[pid]

    def _parent(self, pid: int) -> int:
        try:
            text = (self.proc / str(pid) / "stat").read_text()
        except OSError:
            return 0
        return int(text.rpartition(")")[2].split()[1])


# --- turns and rounds -----------------------------------------------------------------------------


class Contender(Protocol):
    """One model that can be timed, standing still between its turns."""

    name: str

    def turn(self, seconds: float) -> list[float]:
        """Wake, warm up uncounted, time calls for at least ``seconds``, stand still again.

        Returns the seconds of each call, at least one. Raises ``CandidateFailed``.
        """


@dataclass(frozen=True)
class Round:
    """One turn of every contender: seconds of each call, and their median, by name."""

    calls: dict[str, list[float]] = field(default_factory=dict)
    median: dict[str, float] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    disturbed: bool = False


@dataclass(frozen=True)
class Played:
    """Rounds that count, how many of them were disturbed, how many were played in vain; and
    why contenders left."""

    rounds: list[Round]
    disturbed: int = 0
    repeated: int = 0
    failed: dict[str, str] = field(default_factory=dict)


def play_round(
    contenders: Sequence[Contender],
    turn_seconds: float,
    rng: np.random.Generator,
    *,
    watch: Watch | None = None,
    deadline: float = float("inf"),
    clock: Callable[[], float] = time.monotonic,
) -> Round | None:
    """One round in random order; ``None`` if the deadline came before its last turn began."""
    round_ = Round()
    disturbed = False
    for index in rng.permutation(len(contenders)).tolist():
        if clock() >= deadline:
            return None
        contender = contenders[index]
        before = watch.look() if watch else None
        try:
            calls = contender.turn(turn_seconds)
        except CandidateFailed as error:
            round_.failed[contender.name] = str(error)
            continue
        if watch:
            disturbed |= watch.between(before, watch.look()).disturbed
        round_.calls[contender.name] = calls
        round_.median[contender.name] = statistics.median(calls)
    return Round(round_.calls, round_.median, round_.failed, disturbed)


def play_rounds(
    contenders: Sequence[Contender],
    rounds: int,
    turn_seconds: float,
    rng: np.random.Generator,
    *,
    watch: Watch | None = None,
    deadline: float = float("inf"),
    clock: Callable[[], float] = time.monotonic,
) -> Played:
    """Play ``rounds`` rounds, and again those that were disturbed, at most half as many more.

    Undisturbed rounds count first. Which rounds are left out depends on what others did, never
    on what was timed, so the choice favours no contender. No round starts that, by the last
    one's length, would end after the deadline. A contender that failed plays no more.
    """
    quiet: list[Round] = []
    noisy: list[Round] = []
    failed: dict[str, str] = {}
    playing = list(contenders)
    length = 0.0
    while len(quiet) < rounds and len(quiet) + len(noisy) < rounds + max(1, rounds // 2):
        began = clock()
        if began + length > deadline or not playing:
            break
        played = play_round(playing, turn_seconds, rng, watch=watch, deadline=deadline, clock=clock)
        if played is None:
            break
        length = clock() - began
        (noisy if played.disturbed else quiet).append(played)
        failed |= played.failed
        playing = [one for one in playing if one.name not in failed]
    taken = noisy[: rounds - len(quiet)]
    return Played([*quiet, *taken], len(taken), len(noisy) - len(taken), failed)


def raw(rounds: Sequence[Round]) -> dict[str, list[list[float]]]:
    """Seconds of each call, per round, by contender."""
    names = dict.fromkeys(name for round_ in rounds for name in round_.calls)
    return {name: [r.calls[name] for r in rounds if name in r.calls] for name in names}
