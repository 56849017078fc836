"""The data of a training run: its folder names them, with their parts and normalisation.

**Source:** ``run.json`` as ``hasten.training.folder`` writes it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hasten.errors import BadData
from hasten.plugin import DataSource
from hasten.recipes import SAVED
from hasten.types import BATCH, Data, Normalisation, Spec, TensorSpec

RECORD = "run.json"


class RunData(DataSource):
    """A folder that ``hasten train`` wrote."""

    order = 5
    spelling = ""

    def sniff(self, what: Any) -> bool:
        return isinstance(what, str) and (Path(what) / RECORD).is_file()

    def load(self, what: Any, spec: Spec | None, options: Any) -> Data:
        from hasten import data
        from hasten.training.folds import divide_folds
        from hasten.training.parts import content, divide, prepared

        record = json.loads((Path(what) / RECORD).read_text())
        if "test" not in record:
            raise BadData(
                f"Cannot load the data of the run '{what}': it has not ended. Go on with it: "
                f"hasten train --resume -o {what}."
            )
        asked = record["asked"]["data"]
        if asked is None:
            raise BadData(
                f"Cannot load the data of the run '{what}': they were given as an object. Give "
                "them with --data."
            )
        given = record["settings"]
        found = (
            _saved(asked, record) if record["recipe"].get("takes") == SAVED else data.load(asked)
        )
        known = record["data"].get("content")
        if known is not None and known != content(found):
            raise BadData(
                f"Cannot load the data of the run '{what}': '{asked}' holds other samples than it "
                "was trained on, so which of them it has seen is not known. Give others: --data."
            )
        parts = divide(found, given["seed"], given["clean"], given["near_copies"], given["keep"])
        if given["folds"]:
            every = divide_folds(
                found,
                parts,
                given["folds"],
                given["seed"],
                given["clean"],
                given["near_copies"],
                given["keep"],
            )
            parts = every[record["fold"] - 1]
        scales = {
            name: Normalisation.from_json(raw) for name, raw in record["normalisation"].items()
        }
        return prepared(found, parts, scales)


def _saved(asked: str, record: Any) -> Data:
    """The data as a saved model took them: sizes and channels are its own."""
    from hasten import data
    from hasten.data.check import laid_out, renamed

    inputs = [TensorSpec(n, "float32", (BATCH, *shape)) for n, shape in record["inputs"].items()]
    spec = Spec(tuple(inputs), ())
    return laid_out(renamed(data.load(asked, spec), spec), spec)
