"""Evidence records to render: a realistic one, and everything out of the ordinary."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from evidence_example import make_evidence
from evidence_oddities import CASES


@pytest.fixture
def evidence() -> dict[str, Any]:
    return make_evidence()


@pytest.fixture(params=list(CASES))
def case(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Every record above, one after the other."""
    return CASES[request.param]()


@pytest.fixture
def cases() -> dict[str, Callable[[], dict[str, Any]]]:
    """Every record above by name."""
    return CASES
