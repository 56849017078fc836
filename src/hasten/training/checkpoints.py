"""Checkpoints: safetensors and JSON, written aside and renamed; the last good one is found.

A checkpoint is a folder ``step-<number>`` with ``state.safetensors`` and ``state.json``, which
holds the hash of the first and says what run it belongs to.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hasten.errors import BadInput
from hasten.search.store import file_hash, write_aside
from hasten.types import canonical, digest

KEPT = 2
TENSORS, FACTS = "state.safetensors", "state.json"


@dataclass(frozen=True)
class Checkpoint:
    """One whole checkpoint, read."""

    step: int
    tensors: dict[str, Any]
    facts: dict[str, Any]


class Checkpoints:
    """The checkpoints of one run. ``identity`` is what must be the same to go on from them."""

    def __init__(self, folder: Path, identity: Mapping[str, Any]) -> None:
        self.folder, self.identity = folder, json.loads(canonical(identity))

    def save(self, step: int, tensors: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
        """Keep a state; older ones go, but for the one before it."""
        from safetensors.torch import save_file

        with write_aside(self._place(step)) as folder:
            save_file(dict(tensors), folder / TENSORS)
            body = {
                "step": step,
                "identity": self.identity,
                "facts": dict(facts),
                "sha256": file_hash(folder / TENSORS),
            }
            (folder / FACTS).write_text(canonical({**body, "seal": digest(canonical(body))}))
        for old in self.steps()[:-KEPT]:
            shutil.rmtree(self._place(old), ignore_errors=True)

    def steps(self) -> list[int]:
        """The steps that have a checkpoint, oldest first."""
        found = [path.name.removeprefix("step-") for path in self.folder.glob("step-*")]
        return sorted(int(number) for number in found if number.isdigit())

    def last(self) -> Checkpoint | None:
        """The newest checkpoint that is whole; damaged ones are passed over.

        One that belongs to another run is refused with what differs.
        """
        for step in reversed(self.steps()):
            if (found := self._read(step)) is not None:
                return found
        return None

    def _place(self, step: int) -> Path:
        return self.folder / f"step-{step:09d}"

    def _read(self, step: int) -> Checkpoint | None:
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        place = self._place(step)
        try:
            body = json.loads((place / FACTS).read_text())
            if body.pop("seal") != digest(canonical(body)):
                return None
            if file_hash(place / TENSORS) != body["sha256"]:
                return None
            self._check(body["identity"])
            return Checkpoint(body["step"], load_file(place / TENSORS), body["facts"])
        except (OSError, ValueError, KeyError, TypeError, SafetensorError):
            return None

    def _check(self, found: Mapping[str, Any]) -> None:
        keys = sorted({*found, *self.identity})
        changed = [
            f"{key} was {_short(found.get(key))}, is {_short(self.identity.get(key))}"
            for key in keys
            if found.get(key) != self.identity.get(key)
        ]
        if changed:
            raise BadInput(
                f"Cannot go on with the run in '{self.folder.parent}': {'; '.join(changed)}. "
                "Give what it was started with, or another folder with -o."
            )


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else canonical(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
