"""How good a model's answers are, and whether a candidate's are good enough."""

from __future__ import annotations

from hasten.metrics.base import Metric
from hasten.metrics.equivalence import EQUIVALENT, equivalent, equivalent_score
from hasten.metrics.judge import Limit, choose, judge, per_class
from hasten.metrics.kinds import named

__all__ = [
    "EQUIVALENT",
    "Limit",
    "Metric",
    "choose",
    "equivalent",
    "equivalent_score",
    "judge",
    "named",
    "per_class",
]
