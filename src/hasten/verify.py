"""Verify a bundle where it stands: files, numbers, kernels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hasten.bundle import Bundle, load
from hasten.metrics import equivalent
from hasten.types import Arrays, Verdict

SAMPLES = "samples.npz"
"""The file in a bundle with a few inputs and the outputs that were measured and judged."""
TOLERANCE = 0.02
"""How far outputs may lie from the packed ones, as a share of their range: another CPU may
compute int8 and bf16 in another order."""


@dataclass(frozen=True)
class Verification:
    """What was checked, and the recorded SQNR per layer."""

    checks: tuple[Verdict, ...]
    layers: Mapping[str, float]

    @property
    def ok(self) -> bool:
        return all(self.checks)

    def to_json(self) -> dict[str, Any]:
        checks = [{"ok": c.ok, "why": c.why, "fix": c.fix} for c in self.checks]
        return {"ok": self.ok, "checks": checks, "layers": dict(self.layers)}


def verify(path: str | Path, *, trust: bool = False) -> Verification:
    """Check a bundle's hashes, outputs and kernels on this machine.

    Raises ``BrokenBundle`` where a file differs from the manifest.
    """
    with load(path, trust=trust) as bundle:
        checks = [Verdict(True, f"{len(bundle.manifest['files'])} files have their hashes")]
        feed, expected = read_samples(bundle.folder) if bundle.folder else ({}, {})
        if feed:
            checks.append(_same_numbers(bundle, feed, expected))
            checks.append(_same_kernels(bundle, feed))
        checks.append(_same_machine(bundle))
        return Verification(tuple(checks), winner_layers(bundle.evidence))


def read_samples(folder: Path) -> tuple[Arrays, Arrays]:
    """The packed inputs and outputs; both empty if there are none."""
    path = folder / SAMPLES
    if not path.exists():
        return {}, {}
    with np.load(path, allow_pickle=False) as kept:
        inputs = {k[3:]: kept[k] for k in kept.files if k.startswith("in:")}
        return inputs, {k[4:]: kept[k] for k in kept.files if k.startswith("out:")}


def _same_numbers(bundle: Bundle, feed: Arrays, expected: Arrays) -> Verdict:
    worst, _ = equivalent(expected, bundle.run(feed))
    why = f"outputs differ from the packed ones by {worst:.1e} of their range"
    return Verdict(bool(worst <= TOLERANCE), why, "Optimise the model again on this machine.")


def shares(kernels: list[Mapping[str, Any]]) -> dict[str, float]:
    """The share of multiply-adds by precision."""
    total = sum(kernel["macs"] for kernel in kernels) or 1
    found: dict[str, float] = {}
    for kernel in kernels:
        if kernel["macs"]:
            precision = kernel["precision"]
            found[precision] = found.get(precision, 0.0) + kernel["macs"] / total
    return found


def _same_kernels(bundle: Bundle, feed: Arrays) -> Verdict:
    """The precisions that run here are those that ran when it was measured."""
    trial = winner(bundle.evidence)
    if not trial or not trial["kernels"]:
        return Verdict(True, "no kernels were recorded")
    here = shares([k.to_json() for k in bundle.runner.profile(bundle.runner.bind(feed))])
    then = shares(trial["kernels"])
    shown = ", ".join(f"{share:.0%} {name}" for name, share in sorted(here.items()))
    same = all(abs(here.get(name, 0.0) - share) < 0.05 for name, share in then.items())
    return Verdict(
        same,
        f"multiply-adds run in {shown or 'unknown precision'}"
        + ("" if same else ", not as packed"),
        "Optimise the model again on this machine.",
    )


def _same_machine(bundle: Bundle) -> Verdict:
    from hasten import plugin

    target = bundle.workload.target
    there = bundle.evidence["machine"]["target"].get("name")
    here = plugin.targets.get(target).probe().get("name")
    if here == there:
        return Verdict(True, f"measured on this kind of machine ({here})")
    return Verdict(True, f"measured on {there}, this is {here}: time it here with hasten bench")


def winner(evidence: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The winner's trial in an evidence record."""
    found = [trial for trial in evidence["trials"] if trial["key"] == evidence["winner"]]
    return found[0] if found else None


def winner_layers(evidence: Mapping[str, Any]) -> Mapping[str, float]:
    """SQNR per layer of the winner, in the model's order."""
    trial = winner(evidence)
    return dict(trial["layers"]) if trial else {}
