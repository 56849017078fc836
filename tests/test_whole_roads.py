"""From a file of another framework to a bundle that answers: load, compare, optimise, pack, run."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs torch")
pytest.importorskip("openvino", reason="needs openvino")

import foreign
from hasten.plugin import checking
from hasten.search.build import read_source
from roads import Said

Command = Callable[..., Said]
SOURCES = {**foreign.MAKERS, "keras": lambda folder: foreign.keras(folder)}


@pytest.mark.slow
@pytest.mark.parametrize("name", SOURCES)
def test_the_whole_road(name: str, hasten: Command, workplace: Path) -> None:
    """With int8 among the candidates, whose outputs may have 30 dB of noise."""
    package = foreign.NEEDED.get(name, name)
    if name in (*foreign.NEEDED, "keras") and importlib.util.find_spec(package) is None:
        pytest.skip(f"needs {package}")
    source = SOURCES[name](workplace)
    before = read_source(source)
    feed = {
        tensor.name: np.concatenate([array] * 60)
        for tensor, array in zip(
            before.spec.inputs, checking.feeds(before.spec.inputs)[0], strict=True
        )
    }
    np.savez(workplace / "samples.npz", **feed)
    asked = [str(source.what), "--data", "samples.npz", "--metric", "sqnr", "--floor", "30"]
    for spec in source.examples:
        asked += ["--shape", f"{spec.name}={','.join(map(str, spec.shape))}:{spec.dtype}"]
    asked += ["--trust"] if source.trust else []
    said = hasten("optimize", *asked, "-o", "fast.hasten", "--budget", "25s", "--json")
    assert said.code == 0, said.err
    manifest = json.loads((workplace / "fast.hasten" / "manifest.json").read_text())
    (first, *_) = manifest["model"]["history"]
    assert first["family"] == "frontends"
    assert first["against"] or first["note"].startswith("unverified: ")
    verified = hasten("verify", "fast.hasten")
    assert verified.code == 0, verified.out

    import hasten as product

    bundle = product.load(workplace / "fast.hasten")
    small = {tensor: array[:1] for tensor, array in feed.items()}
    answers = bundle(**small)
    assert answers is not None
