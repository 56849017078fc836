"""Loading in a process of its own: for frameworks that claim a whole interpreter.

A framework that fixes its back end at the first import, prints, spins threads or crashes does so in
a fresh interpreter. What comes back is data: the model as its form keeps it, and its specification.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import hasten.errors
from hasten import plugin
from hasten.errors import BadModel, HastenError
from hasten.plugin import Source
from hasten.types import Model, Spec, Step

SECONDS = 900.0
REQUEST, ANSWER, MODEL = "request.json", "answer.json", "model"
QUIET = {
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_ENABLE_ONEDNN_OPTS": "0",
    "TORCH_DEVICE_BACKEND_AUTOLOAD": "0",
    "CUDA_VISIBLE_DEVICES": "",
    "PYTHONWARNINGS": "ignore",
}
TAIL = 400


def load(frontend: str, source: Source, environment: Mapping[str, str] | None = None) -> Model:
    """What ``frontend.here(source)`` gives, from another process."""
    with tempfile.TemporaryDirectory(prefix="hasten-load-") as name:
        folder = Path(name)
        (folder / MODEL).mkdir()
        request = {"frontend": frontend, "source": source.to_json()}
        (folder / REQUEST).write_text(json.dumps(request))
        run(
            [sys.executable, "-P", "-m", "hasten.frontends._apart", str(folder)],
            f"load '{source.what}'",
            environment,
            folder / ANSWER,
        )
        answer = json.loads((folder / ANSWER).read_text())
        if "error" in answer:
            raise _error(answer)
        spec = Spec.from_json(answer["spec"])
        handle = plugin.forms.get(answer["form"]).load(folder / MODEL, spec)
    history = tuple(map(Step.from_json, answer["history"]))
    return Model(answer["form"], handle, spec, frozenset(answer["traits"]), history)


def run(command: list[str], what: str, environment: Mapping[str, str] | None, answer: Path) -> None:
    """Run a worker that has to leave ``answer`` behind; one line where it does not."""
    process = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
        env={**os.environ, **QUIET, **(environment or {})},
    )
    try:
        _, told = process.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        _kill(process)
        raise BadModel(
            f"Cannot {what}: its framework gave no answer within {SECONDS:.0f} s."
        ) from None
    except BaseException:
        _kill(process)
        raise
    if not answer.exists():
        raise BadModel(f"Cannot {what}: its framework ended with {_ending(process, told)}.")


def _kill(process: subprocess.Popen[str]) -> None:
    if hasattr(os, "killpg"):
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait()


def _ending(process: subprocess.Popen[str], told: str) -> str:
    lines = [line for line in told.strip().splitlines() if line.strip()]
    last = lines[-1][-TAIL:] if lines else "no word"
    if process.returncode < 0:
        return f"signal {signal.Signals(-process.returncode).name} ({last})"
    return f"exit code {process.returncode} ({last})"


def _error(answer: Mapping[str, Any]) -> HastenError:
    """The error of the other process, of the same class."""
    kind = getattr(hasten.errors, answer["error"], HastenError)
    return kind(answer["text"])  # type: ignore[no-any-return]


# --- the other process ----------------------------------------------------------------------------


def main() -> None:
    folder = Path(sys.argv[1])
    request = json.loads((folder / REQUEST).read_text())
    frontend: Any = plugin.frontends.get(request["frontend"])
    try:
        model = frontend.here(Source.from_json(request["source"]))
        plugin.forms.get(model.form).save(model, folder / MODEL)
        answer = {
            "form": model.form,
            "spec": model.spec.to_json(),
            "traits": sorted(model.traits),
            "history": [step.to_json() for step in model.history],
        }
    except HastenError as error:
        answer = {"error": type(error).__name__, "text": str(error)}
    aside = folder / (ANSWER + ".part")
    aside.write_text(json.dumps(answer))
    aside.rename(folder / ANSWER)


if __name__ == "__main__":
    main()
