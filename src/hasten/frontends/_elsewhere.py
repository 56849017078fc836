"""Scripts that run in an interpreter of the user's, for frameworks that need an old one.

The interpreter needs the framework and NumPy, nothing of Hasten. Arrays pass through ``.npy``
files, everything else as JSON: no pickles, in either direction.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hasten.errors import BadInput, BadModel
from hasten.frontends._apart import ANSWER, REQUEST, run
from hasten.plugin.checking import Case

HERE = Path(__file__).parent


def asked(script: str | Path, python: str, request: Mapping[str, Any], folder: Path) -> Any:
    """What a script answers, a JSON object; arrays lie in ``folder``, where it may put some too."""
    interpreter = shutil.which(python)
    if interpreter is None:
        raise BadInput(f"Cannot use --python '{python}': there is no such program.")
    (folder / REQUEST).write_text(json.dumps(request))
    command = [interpreter, str(HERE / script), str(folder)]
    run(command, f"use '{python}'", None, folder / ANSWER)
    answer = json.loads((folder / ANSWER).read_text())
    if "error" in answer:
        raise BadModel(f"Cannot load the model with '{python}': {answer['error'][:300]}.")
    return answer


def computed(
    script: str, python: str, request: Mapping[str, Any], feeds: Sequence[Sequence[np.ndarray]]
) -> tuple[str, list[Case]]:
    """``(version of the framework, its outputs)`` for every feed."""
    with tempfile.TemporaryDirectory(prefix="hasten-there-") as name:
        folder = Path(name)
        for number, feed in enumerate(feeds):
            for place, array in enumerate(feed):
                np.save(folder / f"in-{number}-{place}.npy", array)
        counts = [len(feed) for feed in feeds]
        answer = asked(script, python, {**request, "feeds": counts}, folder)
        cases = [
            Case(feed, [_read(folder / f"out-{number}-{n}.npy") for n in range(answer["outputs"])])
            for number, feed in enumerate(feeds)
        ]
    return str(answer["version"]), cases


def _read(path: Path) -> np.ndarray:
    array: np.ndarray = np.load(path, allow_pickle=False)
    return array
