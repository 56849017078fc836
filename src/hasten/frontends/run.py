"""A training run's folder: the network of its recipe with the weights that it learned.

**Source:** the files that ``hasten.training.folder`` writes; nothing in them is code.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hasten.errors import BadModel
from hasten.frontends._torch import from_specs
from hasten.frontends._torch_files import build, load_weights
from hasten.frontends._torch_probe import probe
from hasten.plugin import Frontend, Source
from hasten.types import BATCH, Model, Normalisation, TensorSpec

if TYPE_CHECKING:
    import torch

RECORD, WEIGHTS, KERAS = "run.json", "model.safetensors", "model.keras"


class RunFrontend(Frontend):
    """A folder that ``hasten train`` wrote."""

    requires = ("torch>=2.11", "safetensors>=0.4.3")
    extra = "torch"
    order = 5
    compared_with = "PyTorch"

    def sniff(self, what: Any) -> bool:
        return isinstance(what, str | Path) and (Path(what) / RECORD).is_file()

    def describes(self, what: Any) -> bool:
        return True

    def samples(self, what: Any) -> Any:
        record = json.loads((Path(what) / RECORD).read_text())
        return None if record["asked"]["data"] is None else str(what)

    def load(self, source: Source) -> Model:
        folder = Path(source.what)
        record = json.loads((folder / RECORD).read_text())
        if not (folder / WEIGHTS).is_file():
            raise BadModel(
                f"Cannot load the run '{folder}': it holds no {WEIGHTS}. Finish it first: "
                f"hasten train --resume -o {folder}."
            )
        if (folder / KERAS).is_file():
            return _described(_keras(folder / KERAS, source), record)
        module = self._module(record, source)
        load_weights(module, folder / WEIGHTS, trust=False)
        module = module.eval().requires_grad_(False)
        specs = tuple(
            TensorSpec(name, "float32", (BATCH, *shape)) for name, shape in record["inputs"].items()
        )
        probed = probe(module, from_specs(module, specs))
        return _described(probed.model(self.name, "PyTorch"), record)

    def _module(self, record: Any, source: Source) -> torch.nn.Module:
        recipe = record["recipe"]
        # An older run.json does not say what its recipe takes.
        ours = recipe["options"] or recipe["network"].startswith("hasten.")
        recipe = {"takes": "unknown" if ours else "", **recipe}
        if not recipe["takes"]:
            module, _ = build(recipe["network"], source.paths)
            return module
        from hasten.recipes import Recipe

        shape = next(iter(record["inputs"].values()))
        return Recipe(title="", **recipe).module(shape, record["outputs"])


def _keras(path: Path, source: Source) -> Model:
    """The trained model as Keras reads it."""
    from hasten import plugin

    return plugin.frontends.get("keras")(replace(source, what=str(path)))


def _described(model: Model, record: Any) -> Model:
    """With what the run knows of its samples, whose arrays have the names of the inputs."""
    scales = {name: Normalisation.from_json(raw) for name, raw in record["normalisation"].items()}
    spec = replace(
        model.spec,
        task=record["data"]["task"],
        labels=tuple(record["classes"]),
        normalisation=scales,
    )
    return replace(model, spec=spec)
