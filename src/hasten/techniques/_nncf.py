"""NNCF without its reports to a server, its log lines and its progress bars.

**Source:** NNCF 3.4, ``nncf/telemetry/wrapper.py``: it goes without telemetry where the package
``openvino_telemetry`` cannot be imported, which is the only switch that sends nothing at all.
"""

from __future__ import annotations

import importlib
import io
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any

from hasten.errors import BadInput

_TELEMETRY = "openvino_telemetry"


def load() -> Any:
    """The ``nncf`` module, silent and unable to report what it is used for."""
    if "nncf" not in sys.modules:
        with _missing(_TELEMETRY):
            importlib.import_module("nncf")
    nncf = sys.modules["nncf"]
    nncf.set_log_level(logging.ERROR)
    return nncf


@contextmanager
def _missing(name: str) -> Iterator[None]:
    """Lets ``import name`` fail, as if the package were not installed."""
    held = sys.modules.get(name)
    sys.modules[name] = None  # type: ignore[assignment]  # what Python takes for "not there"
    try:
        yield
    finally:
        if held is None:
            del sys.modules[name]
        else:
            sys.modules[name] = held


@contextmanager
def quiet() -> Iterator[None]:
    """Swallows progress bars, which NNCF draws on standard output whatever its log level is."""
    with redirect_stdout(io.StringIO()):
        yield


def check_smoothing(technique: str, alpha: float | None) -> None:
    """Raises BadInput unless ``alpha`` is a share that SmoothQuant can move."""
    if alpha is not None and alpha != -1 and not 0 <= alpha <= 1:
        raise BadInput(
            f"Cannot set option 'smooth_quant' of '{technique}' to {alpha}: "
            "it takes 0 to 1, or -1 for none."
        )


def advanced(nncf: Any, options: Any) -> Any:
    """NNCF's advanced parameters for the options that both of its techniques have."""
    fix = nncf.OverflowFix.FIRST_LAYER if options.saturates else nncf.OverflowFix.DISABLE
    chosen = nncf.AdvancedQuantizationParameters(overflow_fix=fix)
    if options.smooth_quant is not None:
        chosen.smooth_quant_alphas.matmul = options.smooth_quant
    if options.ranges == "extremes":
        chosen.activations_range_estimator_params = _extremes()
    return chosen


def _extremes() -> Any:
    """Ranges that hold every value seen.

    NNCF's own choice is the mean over the samples of each one's extremes. It clips those that reach
    further: on a ResNet-18 that costs 12 dB of SQNR, on a ViT-tiny 5 dB.
    """
    range_estimator = importlib.import_module("nncf.quantization.range_estimator")
    return range_estimator.RangeEstimatorParameters(
        min=range_estimator.StatisticsCollectorParameters(
            statistics_type=range_estimator.StatisticsType.MIN,
            aggregator_type=range_estimator.AggregatorType.MIN,
        ),
        max=range_estimator.StatisticsCollectorParameters(
            statistics_type=range_estimator.StatisticsType.MAX,
            aggregator_type=range_estimator.AggregatorType.MAX,
        ),
    )
