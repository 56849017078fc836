"""What the workshop keeps of a search for the next one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hasten.search.store import Store
from hasten.search.workshop import Workshop
from hasten.types import Plan, Use


def test_layers_keep_the_models_order(tmp_path: Path) -> None:
    """The rescue judges a layer by the one before it, in this search and in the next."""
    shop = Workshop.__new__(Workshop)
    shop.store = Store(tmp_path)
    shop.key = lambda plan, *more: "ab" * 32  # type: ignore[method-assign]
    asked: list[dict[str, Any]] = []

    def ask(request: dict[str, Any]) -> dict[str, Any]:
        asked.append(request)
        return {"ok": True, "layers": [("stem", 40.0), ("body", 30.0), ("a head", 20.0)]}

    shop._ask = ask  # type: ignore[method-assign,assignment]
    plan = Plan((), Use("openvino"))
    assert list(shop.layers(plan)) == ["stem", "body", "a head"]
    assert list(shop.layers(plan)) == ["stem", "body", "a head"]
    assert len(asked) == 1
