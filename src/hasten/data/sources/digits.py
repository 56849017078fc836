"""Handwritten digits, 8 x 8, 1,797 samples in 10 classes: built in, no download.

**Source:** Alpaydin and Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning
Repository, 1998, https://doi.org/10.24432/C50P49, licence CC BY 4.0; the part that its authors
call the test set, as scikit-learn (BSD-3-Clause) ships it. Only the storage differs: pixels are
uint8 from 0 to 16 in ``digits.npz``, ``images`` ``(1797, 1, 8, 8)`` and ``labels`` ``(1797,)``.
"""

from __future__ import annotations

import hashlib
import io
from importlib import resources
from typing import Any

import numpy as np

from hasten.errors import BadData
from hasten.plugin import DataSource
from hasten.types import Data, Normalisation, Spec

SHA256 = "bf2a91a17bbb5da171ba3245cb578a7d5bf574eb8607fb98d25a3e53060d8f02"
NORMALISATION = Normalisation(1 / 16, (0.3053,), (0.3760,))
"""Mean and standard deviation of all pixels."""


class Digits(DataSource):
    """The digits inside the package."""

    order = 10
    spelling = "digits"

    def sniff(self, what: Any) -> bool:
        return isinstance(what, str) and what == "digits"

    def load(self, what: Any, spec: Spec | None, options: Any) -> Data:
        raw = resources.files(__package__).joinpath("digits.npz").read_bytes()
        if hashlib.sha256(raw).hexdigest() != SHA256:
            raise BadData(
                "Cannot load data 'digits': the file inside the package is damaged. Install "
                "Hasten again: pip install --force-reinstall --no-deps hasten."
            )
        with np.load(io.BytesIO(raw), allow_pickle=False) as arrays:
            return Data(
                "digits",
                {"images": arrays["images"]},
                arrays["labels"].astype(np.int64),
                "classification",
                tuple("0123456789"),
                normalisation={"images": NORMALISATION},
                source="https://doi.org/10.24432/C50P49",
                licence="CC BY 4.0",
            )
