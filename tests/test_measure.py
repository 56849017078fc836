from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from hasten import measure
from hasten.errors import CandidateFailed, HastenError
from hasten.measure import Disturbance, Look, Watch, machine_lock, play_round, play_rounds

# --- the lock -------------------------------------------------------------------------------------

HOLDER = """
import sys
from pathlib import Path
from hasten.measure import machine_lock
with machine_lock(path=Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def held(tmp_path: Path) -> subprocess.Popen[str]:
    """Another process that holds the lock until it reads a line or is killed."""
    child = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path / "lock")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "held\n"
    return child


def test_a_second_measurement_waits_and_says_for_whom(
    held: subprocess.Popen[str], tmp_path: Path
) -> None:
    told: list[str] = []

    def waiting(text: str) -> None:
        told.append(text)
        held.communicate("\n")

    with machine_lock(waiting, tmp_path / "lock") as seconds:
        assert held.returncode == 0
    assert told == [f"Waiting for another measurement to finish (process {held.pid})."]
    assert seconds > 0


def test_a_killed_holder_frees_the_lock(held: subprocess.Popen[str], tmp_path: Path) -> None:
    held.kill()
    held.communicate()
    with machine_lock(pytest.fail, tmp_path / "lock"):
        pass


def test_the_lock_can_be_taken_again(tmp_path: Path) -> None:
    for _ in range(2):
        with machine_lock(pytest.fail, tmp_path / "lock") as seconds:
            assert seconds < 60


def test_other_users_can_open_the_lock(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        with machine_lock(path=tmp_path / "lock"):
            assert stat.S_IMODE((tmp_path / "lock").stat().st_mode) == 0o666
    finally:
        os.umask(before)


def test_the_lock_follows_no_link(tmp_path: Path) -> None:
    target = tmp_path / "precious"
    target.write_text("kept")
    (tmp_path / "lock").symlink_to(target)
    with (
        pytest.raises(HastenError, match="Cannot open the measurement lock"),
        machine_lock(path=tmp_path / "lock"),
    ):
        pass
    assert target.read_text() == "kept"


def test_the_lock_must_be_a_plain_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "lock")
    with (
        pytest.raises(HastenError, match="not a plain file"),
        machine_lock(path=tmp_path / "lock"),
    ):
        pass


def test_the_lock_is_where_all_users_find_it() -> None:
    assert measure.lock_path().name == measure.LOCK_FILE
    assert measure.lock_path().parent.is_dir()


# --- what others take away ------------------------------------------------------------------------


def quiet_watch(cores: int = 2) -> Watch:
    """A watch to which processes 10 and 11 are our own, 20 and 21 foreign."""
    watch = Watch()
    watch.cores, watch._tick = cores, 0.01
    watch._own |= {10: True, 11: True, 20: False, 21: False}
    return watch


def looks(used: dict[int, float], busy: float, stolen: float = 0.0) -> tuple[Look, Look]:
    """Two looks, one second apart."""
    before = {pid: 5.0 for pid in used}
    after = {pid: 5.0 + seconds for pid, seconds in used.items()}
    return Look(0.0, 100.0, 3.0, before), Look(1.0, 100.0 + busy, 3.0 + stolen, after)


def test_a_quiet_turn() -> None:
    seen = quiet_watch().between(*looks({10: 0.1, 11: 1.8, 20: 0.02}, busy=1.93))
    assert (seen.own, seen.foreign) == pytest.approx((1.9, 0.02))
    assert not seen.disturbed


def test_a_foreign_process_on_full_cores_disturbs() -> None:
    assert quiet_watch().between(*looks({11: 1.7, 20: 0.3}, busy=2.0)).disturbed


def test_a_foreign_process_on_a_free_core_does_not() -> None:
    assert not quiet_watch(cores=8).between(*looks({11: 1.7, 20: 0.9}, busy=2.6)).disturbed


def test_stolen_time_disturbs() -> None:
    assert quiet_watch(cores=8).between(*looks({11: 1.7}, busy=1.7, stolen=0.2)).disturbed


def test_what_proc_does_not_list_counts_beyond_the_ticks() -> None:
    seen = quiet_watch().between(*looks({11: 1.5}, busy=2.0))
    assert seen.foreign == pytest.approx(0.5 - 4 * 0.01)
    assert quiet_watch().between(*looks({11: 1.5}, busy=1.53)).foreign == 0


def test_a_new_process_counts_from_its_start() -> None:
    before, after = Look(0.0, 0.0, 0.0, {}), Look(1.0, 0.4, 0.0, {21: 0.4})
    assert quiet_watch().between(before, after).foreign == pytest.approx(0.4)


def test_without_proc_nothing_is_seen(tmp_path: Path) -> None:
    watch = Watch(tmp_path)
    assert watch.look() is None
    assert not watch.between(watch.look(), watch.look()).disturbed


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux's /proc")
def test_the_real_watch_sees_our_own_work() -> None:
    watch = Watch()
    before = watch.look()
    child = "import time; t = time.process_time()\nwhile time.process_time() < t + 0.1: pass"
    with subprocess.Popen(
        [sys.executable, "-c", f"{child}\nprint('done', flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        after = watch.look()
        assert before is not None
        assert after is not None
        own = watch.between(before, after).own * (after.at - before.at)
        assert own >= 0.1  # the child's work
        process.communicate("\n")
    if os.getpid() != 1:
        assert not watch._is_own(1)


# --- rounds ---------------------------------------------------------------------------------------


class Machine:
    """A clock that turns move, and a watch that finds chosen turns disturbed."""

    def __init__(self, disturbed: set[int] | None = None) -> None:
        self.now, self.turns, self.disturbed = 0.0, 0, disturbed or set()

    def clock(self) -> float:
        return self.now

    def look(self) -> int:
        return self.turns

    def between(self, before: int, after: int) -> Disturbance:
        return Disturbance(stolen=float(before in self.disturbed))


class Fake:
    def __init__(self, name: str, machine: Machine, fails_at: int = 10**9) -> None:
        self.name, self.machine, self.fails_at = name, machine, fails_at

    def turn(self, seconds: float) -> list[float]:
        self.machine.turns += 1
        self.machine.now += 1
        if self.machine.turns >= self.fails_at:
            raise CandidateFailed("it ran out of memory.")
        return [0.3, 0.1, float(self.machine.turns)]


def played(machine: Machine, names: str, rounds: int, **more: float) -> measure.Played:
    contenders = [Fake(name, machine) for name in names]
    rng = np.random.default_rng(0)
    return play_rounds(
        contenders,
        rounds,
        0.05,
        rng,
        watch=machine,  # type: ignore[arg-type]
        clock=machine.clock,
        **more,
    )


def test_a_round_gives_every_contender_one_turn() -> None:
    machine = Machine()
    contenders = [Fake(name, machine) for name in "abc"]
    found = play_round(contenders, 0.05, np.random.default_rng(0))
    assert found is not None
    assert sorted(found.calls) == ["a", "b", "c"]
    assert sorted(calls[2] for calls in found.calls.values()) == [1, 2, 3]
    assert found.median == {name: 0.3 for name in found.calls}


def test_every_order_is_as_likely() -> None:
    rng, machine = np.random.default_rng(1), Machine()
    contenders = [Fake(name, machine) for name in "abc"]
    orders = Counter()
    for _ in range(1200):
        found = play_round(contenders, 0.05, rng)
        assert found is not None
        orders["".join(found.calls)] += 1
    assert len(orders) == 6
    assert max(orders.values()) - min(orders.values()) < 110  # six standard errors


def test_rounds_keep_every_call() -> None:
    found = measure.raw(played(Machine(), "ab", 3).rounds)
    assert {name: len(turns) for name, turns in found.items()} == {"a": 3, "b": 3}
    assert sorted(turn[2] for turns in found.values() for turn in turns) == [1, 2, 3, 4, 5, 6]


def test_disturbed_rounds_are_played_again() -> None:
    found = played(Machine({0, 3}), "ab", 4)
    assert (len(found.rounds), found.disturbed, found.repeated) == (4, 0, 2)
    assert not any(round_.disturbed for round_ in found.rounds)


def test_repeats_are_bounded_and_then_disturbed_rounds_count() -> None:
    found = played(Machine(set(range(100))), "ab", 4)
    assert (len(found.rounds), found.disturbed, found.repeated) == (4, 4, 2)


def test_no_round_starts_that_would_end_too_late() -> None:
    machine = Machine()
    assert len(played(machine, "ab", 10, deadline=7.5).rounds) == 3
    assert machine.now == 6


def test_a_deadline_inside_the_first_round_leaves_nothing_half() -> None:
    machine = Machine()
    assert played(machine, "abcd", 10, deadline=1.5).rounds == []
    assert machine.now == 2


def test_disturbed_rounds_fill_up_what_the_deadline_cut_off() -> None:
    found = played(Machine({0, 1, 2, 3}), "ab", 10, deadline=8)
    assert (len(found.rounds), found.disturbed, found.repeated) == (4, 2, 0)


def test_a_failed_contender_leaves_the_others_playing() -> None:
    machine = Machine()
    contenders = [Fake("a", machine), Fake("b", machine, fails_at=3)]
    found = play_rounds(contenders, 4, 0.05, np.random.default_rng(0))
    assert found.failed == {"b": "it ran out of memory."}
    assert [sorted(r.calls) for r in found.rounds[2:]] == [["a"], ["a"]]
