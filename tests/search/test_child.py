"""Children: the protocol, the limits, and that no process outlives its search."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

import hasten.errors
from hasten.errors import BadModel, CandidateFailed, OutOfSpace
from hasten.search.child import Child, Here, memory_limit
from roads import PATIENCE, gone

if not hasattr(signal, "SIGSTOP"):
    pytest.skip("needs POSIX signals", allow_module_level=True)

SCRIPT = """
import json, os, subprocess, sys, time
for line in sys.stdin:
    asked = json.loads(line)
    exec(asked["code"])
"""
"""A stand-in for the worker that does what it is told."""
BIG = 2**34


@pytest.fixture
def puppet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Child]:
    """A child that runs Python instead of a search's requests."""
    popen = subprocess.Popen

    def start(command: list[str], **more: Any) -> subprocess.Popen[bytes]:
        assert command[-1] == "hasten.search.worker"
        return popen([sys.executable, "-c", SCRIPT], **more)

    monkeypatch.setattr(subprocess, "Popen", start)
    with Child(tmp_path / "child.log", BIG) as child:
        monkeypatch.undo()
        yield child


def _tell(child: Child, code: str, seconds: float = PATIENCE) -> dict[str, Any]:
    return child.call({"code": code}, seconds)


def _grandchild(child: Child) -> psutil.Process:
    """A process that the child started and that would run for long."""
    code = "p = subprocess.Popen(['sleep', '1000']); print(json.dumps({'ok': 1, 'pid': p.pid}))"
    return psutil.Process(_tell(child, f"{code}; sys.stdout.flush()")["pid"])


def _says(**answer: Any) -> str:
    return f"print({json.dumps(json.dumps(answer))}, flush=True)"


# --- answers --------------------------------------------------------------------------------------


def test_one_answer_to_one_request(puppet: Child) -> None:
    assert _tell(puppet, _says(ok=True, value=1))["value"] == 1
    assert _tell(puppet, _says(ok=True, value=2))["value"] == 2


def test_errors_come_back_as_what_they_are(puppet: Child) -> None:
    with pytest.raises(BadModel, match="cannot be read"):
        _tell(puppet, _says(ok=False, kind="BadModel", error="cannot be read"))
    with pytest.raises(OutOfSpace):
        _tell(puppet, _says(ok=False, kind="OutOfSpace", error="full"))
    with pytest.raises(CandidateFailed, match="odd"):
        _tell(puppet, _says(ok=False, kind="NoSuchError", error="odd"))


@pytest.mark.parametrize("kind", ["Iterable", "annotations", "USER_ERRORS", "__doc__"])
def test_only_our_errors_are_raised(kind: str, puppet: Child) -> None:
    """What a child names is looked up among the errors, which is a module with more in it."""
    assert hasattr(hasten.errors, kind)
    with pytest.raises(CandidateFailed):
        _tell(puppet, _says(ok=False, kind=kind, error="odd"))


@pytest.mark.parametrize("text", ["hello", "{", "[1]", "3", "\xff"])
def test_an_answer_that_is_none(text: str, puppet: Child) -> None:
    with pytest.raises(CandidateFailed):
        _tell(puppet, f"os.write(1, {text.encode('latin-1')!r} + bytes([10])); sys.exit(3)")


# --- the ends of a child --------------------------------------------------------------------------


def test_a_crash_is_told_with_the_last_word(puppet: Child) -> None:
    code = "sys.stderr.write('first\\nlast word\\n'); sys.stderr.flush(); os.kill(os.getpid(), 11)"
    with pytest.raises(CandidateFailed) as failed:
        _tell(puppet, code)
    assert str(failed.value) == (
        "the process ended (killed by SIGSEGV). Last line of its log: last word"
    )


def test_an_exit_is_told(puppet: Child) -> None:
    with pytest.raises(CandidateFailed, match=r"the process ended \(exit code 7\)\.$"):
        _tell(puppet, "sys.exit(7)")


def test_a_signal_without_a_name(puppet: Child) -> None:
    number = signal.SIGRTMIN + 5
    with pytest.raises(CandidateFailed, match=f"killed by signal {number}"):
        _tell(puppet, f"os.kill(os.getpid(), {number})")


def test_of_a_long_log_only_the_end_is_read(puppet: Child) -> None:
    code = "os.write(2, b'x' * 5_000_000 + bytes([10]) + b'y' * 1000); os._exit(1)"
    with pytest.raises(CandidateFailed) as failed:
        _tell(puppet, code)
    assert str(failed.value).endswith("log: " + "y" * 300)


def test_a_dead_child_cannot_be_asked(puppet: Child) -> None:
    puppet.process.kill()
    puppet.process.wait()
    with pytest.raises(CandidateFailed, match="killed by SIGKILL"):
        _tell(puppet, _says(ok=True))


def test_what_a_crashed_child_started_ends_too(puppet: Child) -> None:
    grandchild = _grandchild(puppet)
    with pytest.raises(CandidateFailed):
        _tell(puppet, "os.kill(os.getpid(), 9)")
    assert gone([grandchild])


# --- limits ---------------------------------------------------------------------------------------


def test_a_child_that_hangs_is_ended(puppet: Child) -> None:
    with pytest.raises(CandidateFailed, match=r"it hung: no answer within 1 s; stopped\."):
        _tell(puppet, "time.sleep(1000)", seconds=1.0)
    assert puppet.process.returncode == -signal.SIGKILL


def test_a_child_that_ignores_signals_is_ended(puppet: Child) -> None:
    with pytest.raises(CandidateFailed, match="it hung"):
        _tell(
            puppet,
            "import signal; signal.signal(15, signal.SIG_IGN); signal.signal(2, signal.SIG_IGN)\n"
            "while True: pass",
            seconds=1.0,
        )
    assert puppet.process.returncode == -signal.SIGKILL


def test_a_child_that_takes_too_much_memory_is_ended(puppet: Child) -> None:
    puppet.memory_bytes = 2**27
    with pytest.raises(CandidateFailed, match=r"over the limit of 0\.12 GiB; stopped.*--memory"):
        _tell(puppet, "a = b'x' * 2**28; time.sleep(1000)")
    assert puppet.peak_bytes > 2**27


def test_the_memory_of_what_it_started_counts(puppet: Child) -> None:
    puppet.memory_bytes = 2**27
    code = "a = b'x' * 2**28; import time; time.sleep(1000)"
    with pytest.raises(CandidateFailed, match="over the limit"):
        _tell(puppet, f"subprocess.run([sys.executable, '-c', {code!r}])")


def test_the_default_limit_leaves_room() -> None:
    assert 0 < memory_limit() < psutil.virtual_memory().total


# --- standing still -------------------------------------------------------------------------------


def _until(process: psutil.Process, stopped: bool) -> None:
    deadline = time.monotonic() + PATIENCE
    while (process.status() == psutil.STATUS_STOPPED) != stopped:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_paused_child_stands_still_with_all_it_started(puppet: Child) -> None:
    both = [psutil.Process(puppet.process.pid), _grandchild(puppet)]
    puppet.pause()
    for process in both:
        _until(process, stopped=True)
    puppet.resume()
    for process in both:
        _until(process, stopped=False)
    assert _tell(puppet, _says(ok=True))["ok"]
    puppet.pause()
    puppet.close()
    puppet.close()
    assert gone(both)


# --- the worker itself ----------------------------------------------------------------------------


def test_a_worker_goes_on_after_a_failure(tmp_path: Path) -> None:
    """Requests that fail are answered, and the traceback lands in the log."""
    with Child(tmp_path / "child.log", BIG) as child:
        with pytest.raises(CandidateFailed, match="AttributeError"):
            child.call({"do": "juggle"}, PATIENCE)
        with pytest.raises(CandidateFailed, match="KeyError"):
            child.call({"do": "build"}, PATIENCE)
    assert "Traceback" in (tmp_path / "child.log").read_text()


def test_modules_in_the_working_folder_do_not_hide_pythons_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('the wrong json')")
    monkeypatch.chdir(tmp_path)
    with (
        Child(tmp_path / "child.log", BIG) as child,
        pytest.raises(CandidateFailed, match="juggle"),
    ):
        child.call({"do": "juggle"}, PATIENCE)


def test_a_worker_ends_with_its_parent(tmp_path: Path) -> None:
    """Even a stopped one, and even when nobody has the time to say goodbye."""
    code = (
        "import sys, time; from pathlib import Path; from hasten.search.child import Child\n"
        f"child = Child(Path({str(tmp_path / 'child.log')!r}), {BIG})\n"
        "try: child.call({'do': 'juggle'}, 300)\n"
        "except Exception: pass\n"
        "child.pause(); print(child.process.pid, flush=True); time.sleep(1000)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    with parent.stdout:
        worker = psutil.Process(int(parent.stdout.readline()))
    _until(worker, stopped=True)
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    if sys.platform != "linux":
        worker.kill()
        pytest.skip("only Linux ends children with their parent")
    assert gone([worker])


# --- without a child ------------------------------------------------------------------------------


def test_here_nothing_is_isolated_but_errors_are_told() -> None:
    here = Here()
    with pytest.raises(CandidateFailed, match="AttributeError"):
        here.call({"do": "juggle"}, 1.0)
    here.pause()
    here.resume()
    here.close()


def test_of_many_calls_those_that_tell_their_distribution_are_kept() -> None:
    import numpy as np

    from hasten.search.worker import MOST_KEPT, _kept

    few = [3.0, 1.0, 2.0]
    assert _kept(few) is few
    many = list(np.random.default_rng(0).lognormal(size=20_000))
    kept = _kept(many)
    assert len(kept) == MOST_KEPT
    assert (min(kept), max(kept)) == (min(many), max(many))
    for share in (0.1, 0.5, 0.95):
        assert np.quantile(kept, share) == pytest.approx(np.quantile(many, share), rel=0.01)
