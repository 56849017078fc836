"""What is said of a run's data: copies between the parts, what was left out, what that saves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def copies(found: Mapping[str, Any]) -> list[str]:
    """Copies between the parts; older runs hold less."""
    parts = found["parts"]
    kinds = (
        ("training", "exact copy", "validation or test", parts["copies"]),
        ("training", "near copy", "validation or test", parts.get("near_copies")),
        ("validation", "exact copy", "test", parts.get("held_copies")),
        ("training", "exact copy", "other training", parts.get("repeated")),
    )
    return [_copies(*kind, parts["cleaned"]) for kind in kinds if kind[-1]]


def remarks(found: Mapping[str, Any]) -> list[str]:
    """What else was found, left out or skipped."""
    lines = []
    if found["parts"].get("near_copies") == 0:
        lines.append("No near copies between the training part and the others.")
    if found.get("reduction"):
        lines.append(reduction_line(found["reduction"]))
    return [*lines, *found.get("notes", ())]


def _copies(part: str, kind: str, others: str, count: int, cleaned: bool) -> str:
    article = "an" if kind.startswith("exact") else "a"
    one, many = f"1 {part} sample is {article} {kind}", kind.replace("copy", "copies")
    what = one if count == 1 else f"{count:,} {part} samples are {many}"
    done = "left out" if cleaned else "in use; --remove-copies leaves them out"
    return f"{what} of {others} samples: {done}."


def reduction_line(found: Mapping[str, Any]) -> str:
    """What training on fewer samples cost and saves."""
    line = (
        f"Trained on {found['kept']:,} of {found['of']:,} samples: choosing them took "
        f"{found['seconds']:.1f} s"
    )
    if not found["steps_saved_per_epoch"]:
        return f"{line} and saves nothing: an epoch has as many steps as before."
    if "seconds_saved_per_epoch" not in found:
        return (
            f"{line}, every epoch has {found['steps_saved_per_epoch']:,} steps less. Steps were "
            "not timed, so what that saves is not known."
        )
    total = found["seconds_saved"]
    verdict = f"saves {total:.1f} s in all" if total > 0 else f"costs {-total:.1f} s in all"
    return (
        f"{line}, every epoch is about {found['seconds_saved_per_epoch']:.1f} s shorter. It breaks "
        f"even after {found['pays_after_epochs']:.1f} epochs and {verdict}."
    )
