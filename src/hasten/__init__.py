"""Hasten: make a deep-learning model as fast as the hardware allows, and prove that it still works.

The verbs, in order: ``optimize`` a model, ``load`` the bundle it wrote, ``bench`` and ``verify``
it elsewhere. ``plans`` shows what a search would try. Data come in as names, files or ``Data``.
"""

from hasten.bench import bench
from hasten.bundle import Bundle, load
from hasten.errors import HastenError
from hasten.optimize import optimize, plans
from hasten.result import Result
from hasten.types import Data, Normalisation, TensorSpec
from hasten.verify import verify

__all__ = [
    "Bundle",
    "Data",
    "HastenError",
    "Normalisation",
    "Result",
    "TensorSpec",
    "bench",
    "load",
    "optimize",
    "plans",
    "verify",
]
