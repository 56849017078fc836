"""The evidence record of a finished search: everything the report and the bundle tell."""

from __future__ import annotations

from typing import Any

from hasten import metrics
from hasten.data.splits import Splits
from hasten.evidence import Evidence, created, machine
from hasten.search import space
from hasten.search.candidates import Candidates
from hasten.search.proof import Proof
from hasten.search.store import Store, version

VAGUE = 2.0
"""An interval whose ends differ by more than this factor is told by its lower end alone."""
GREW = 1.05
"""From this factor on, growth of memory, size, p95 or cold start is worth a warning."""


def record(
    candidates: Candidates,
    proof: Proof,
    evidence: Evidence,
    parts: Splits,
    store: Store,
    command: str,
    interrupted: bool,
) -> dict[str, Any]:
    """The record, ready for JSON. Its fields are described in ``docs/evidence.md``."""
    original, settings = candidates.original, candidates.settings
    note = original.note
    return {
        "hasten": version(),
        "created": created(),
        "command": command,
        "verdict": {
            "kept_original": proof.winner is candidates.reference,
            "interrupted": interrupted,
            "sentence": sentence(candidates, proof),
            "reason": proof.reason,
            "warnings": warnings(candidates, proof),
        },
        "model": {
            "name": original.name,
            **{key: note[key] for key in ("form", "hash", "traits", "parameters", "macs")},
            "size_bytes": note["size_bytes"],
            "spec": original.spec.to_json(),
        },
        "data": parts.facts() | {"read": dict(candidates.counts)} if original.data else None,
        "limit": {**candidates.limit.to_json()},
        "workload": candidates.workload.to_json(),
        "budget_seconds": settings.budget_seconds,
        "machine": machine(settings.target, candidates.target, store),
        "reference": candidates.reference.key,
        "baseline": proof.baseline.key if proof.baseline else None,
        "winner": proof.winner.key,
        "trials": [trial.to_json() for trial in candidates.trials],
        "skipped": [*evidence.skipped, *_pruned(candidates)],
        "final": proof.to_json(),
        "per_class": per_class(candidates, proof, parts),
        "test_readings": proof.test_readings,
        "duration": evidence.duration(),
    }


def _pruned(candidates: Candidates) -> list[dict[str, str]]:
    found = [text.partition(": ") for text in space.pruned(candidates.situation)]
    return [{"plan": name, "why": why} for name, _, why in found]


def sentence(candidates: Candidates, proof: Proof) -> str:
    """The verdict in one sentence."""
    if proof.winner is candidates.reference or proof.ratio is None:
        return f"The original is kept: {proof.reason}."
    ratio = proof.ratio
    what = {"latency": "faster", "throughput": "more throughput", "size": "smaller"}
    gain = what[candidates.settings.objective]
    how = f"{ratio.value:.2f}"
    if ratio.high > VAGUE * ratio.low:
        how = f"at least {ratio.low:.1f}"
    return (
        f"{proof.winner.plan.name} is {how} times {gain} than your model as it runs "
        f"now (95 % interval {ratio.low:.2f} to {ratio.high:.2f}), and {_quality(proof)}."
    )


def _quality(proof: Proof) -> str:
    if proof.score is None:
        return "its outputs are equivalent (within 1e-4 of their range, no decision changed)"
    score = proof.score
    if score.drop is not None:
        return (
            f"its {score.metric} is {score.verdict} within the limit: it loses {score.drop:.4f}, "
            f"at most {score.bound:.4f} with 95 % confidence ({score.n} test samples)"
        )
    return (
        f"its {score.metric} is {score.verdict} above the floor {score.limit:g}: "
        f"{score.value:.4g}, at least {score.bound:.4g} with 95 % confidence "
        f"({score.n} test samples)"
    )


def warnings(candidates: Candidates, proof: Proof) -> list[str]:
    """What the user should know beside the verdict."""
    found = []
    before, after = candidates.reference, proof.winner
    if not candidates.original.exportable:
        why = candidates.original.note.get("why_live", "")
        found.append(f"The model could not be kept as data ({why}); candidates had no isolation.")
    if proof.score is not None and proof.score.verdict == "unproven":
        found.append(
            f"Accuracy is not proven: {proof.score.needed or 'more'} test samples would settle it."
        )
    if after is not before:
        for what, name, unit in (
            ("memory_bytes", "memory", 1e6),
            ("size_bytes", "size on disk", 1e6),
            ("p95_seconds", "p95 latency", 1e-3),
            ("cold_start_seconds", "cold start", 1.0),
        ):
            old, new = getattr(before, what), getattr(after, what)
            if old and new and new > GREW * old:
                shown = {1e6: "MB", 1e-3: "ms", 1.0: "s"}[unit]
                found.append(f"The {name} grew: {old / unit:.3g} to {new / unit:.3g} {shown}.")
    return found


def per_class(candidates: Candidates, proof: Proof, parts: Splits) -> list[dict[str, Any]] | None:
    """Accuracy of every class before and after, on the test samples that were read."""
    labels = parts.test.labels
    if labels is None or candidates.original.data is None:
        return None
    before = candidates.accuracy(candidates.reference, "test")
    after = candidates.accuracy(proof.winner, "test")
    if before is None or after is None:
        return None
    names = candidates.original.spec.labels
    return metrics.per_class(labels[: len(before)], before, after, names)
