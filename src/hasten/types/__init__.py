"""The nouns: what every part of Hasten hands to the others.

Frozen dataclasses over NumPy and the standard library only. Whatever crosses a process boundary
has ``to_json`` and ``from_json``; nothing is ever pickled.
"""

from __future__ import annotations

from hasten.types.models import Model, Plan, Step, Use, Workload
from hasten.types.tensors import (
    BATCH,
    Arrays,
    Data,
    Normalisation,
    Spec,
    TensorSpec,
    canonical,
    digest,
    freeze,
)
from hasten.types.trials import Kernel, Ratio, Score, Trial, Verdict

__all__ = [
    "BATCH",
    "Arrays",
    "Data",
    "Kernel",
    "Model",
    "Normalisation",
    "Plan",
    "Ratio",
    "Score",
    "Spec",
    "Step",
    "TensorSpec",
    "Trial",
    "Use",
    "Verdict",
    "Workload",
    "canonical",
    "digest",
    "freeze",
]
