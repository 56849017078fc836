"""MXNet networks: ``-symbol.json`` with ``.params``, read without MXNet.

**Source:** Apache MXNet 1.9.1: checkpoints of ``Module`` and what Gluon's ``HybridBlock.export``
writes. The files do not say the shapes of inputs; the user does.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from hasten.errors import BadInput, BadModel
from hasten.frontends import _elsewhere
from hasten.frontends._torch import called, from_specs
from hasten.frontends._torch_probe import probe
from hasten.plugin import Frontend, Source
from hasten.plugin.checking import compared, feeds, unverified
from hasten.types import Model

SYMBOL, PARAMS = "-symbol.json", ".params"
ORACLE = "_mxnet_there.py"


class MXNet(Frontend):
    """Gives a model in form ``"torch"``."""

    requires = ("torch>=2.11",)
    extra = "torch"
    order = 27
    compared_with = "MXNet in an interpreter of yours (`--python`)"

    def sniff(self, what: Any) -> bool:
        return isinstance(what, str | Path) and str(what).endswith((SYMBOL, PARAMS))

    def describes(self, what: Any) -> bool:
        return False

    def load(self, source: Source) -> Model:
        from hasten.graphs.mxnet.build import build
        from hasten.graphs.mxnet.params import read

        symbol, params = _pair(Path(source.what), source.weights)
        try:
            network = build(symbol.read_text(errors="replace"), read(params.read_bytes()))
        except OSError as error:
            raise BadModel(f"Cannot read '{source.what}': {error.strerror}.") from error
        if not source.examples:
            shapes = " ".join(f"--shape {name}=batch,3,224,224" for name in network.inputs)
            raise BadInput(
                f"Cannot tell the shapes of the inputs {', '.join(network.inputs)}: MXNet's files "
                f"do not hold them. Give them, such as {shapes}."
            )
        module = network.module.eval().requires_grad_(False)
        inputs = from_specs(module, _in_order(network.inputs, source.examples))
        probed = probe(module, called(inputs, network.outputs))
        notes = []
        if network.left:
            notes.append(f"arrays that the network does not use: {', '.join(network.left)}")
        model = probed.model(self.name, notes=notes)
        return _checked(model, self.name, symbol, params, source.python)


def _checked(model: Model, name: str, symbol: Path, params: Path, python: str | None) -> Model:
    """Compared with MXNet itself, where an interpreter that has it was named."""
    if python is None:
        why = "MXNet runs in no interpreter of today; name one that has it with --python"
        return unverified(model, name, why)
    given = [tensor.name for tensor in model.spec.inputs]
    files = {"symbol": str(symbol.resolve()), "params": str(params.resolve()), "inputs": given}
    try:
        version, cases = _elsewhere.computed(ORACLE, python, files, feeds(model.spec.inputs))
    except BadModel as error:
        return unverified(model, name, f"MXNet cannot run it there ({error})")
    return compared(model, name, f"MXNet {version}", cases)


def _in_order(names: tuple[str, ...], examples: tuple[Any, ...]) -> list[Any]:
    """The user's specifications in the order of the network's inputs."""
    if len(names) == len(examples) == 1:
        return [replace(examples[0], name=names[0])]
    given = {spec.name: spec for spec in examples}
    if missing := [name for name in names if name not in given]:
        raise BadInput(f"Input '{missing[0]}' has no shape. Give it: --shape {missing[0]}=batch,…")
    if unknown := [name for name in given if name not in names]:
        raise BadInput(f"No input is called '{unknown[0]}': the network takes {', '.join(names)}.")
    return [given[name] for name in names]


def _pair(given: Path, weights: str | None) -> tuple[Path, Path]:
    """The two files: the other one is named, or lies beside the first under the same name."""
    if weights is not None:
        pair = given, Path(weights)
        symbol, params = pair if str(given).endswith(SYMBOL) else pair[::-1]
    elif str(given).endswith(SYMBOL):
        symbol = given
        stem = given.name.removesuffix(SYMBOL)
        found = sorted(given.parent.glob(f"{_escaped(stem)}-[0-9][0-9][0-9][0-9].params"))
        params = found[-1] if found else given.with_name(f"{stem}-0000.params")
    else:
        stem = re.sub(r"(-\d{4})?\.params$", "", given.name)
        symbol, params = given.with_name(stem + SYMBOL), given
    if not str(symbol).endswith(SYMBOL) or not str(params).endswith(PARAMS):
        raise BadInput(
            f"Cannot load '{given}' with weights '{weights}': an MXNet network is a -symbol.json "
            "and a .params."
        )
    for path, what in ((symbol, "the network"), (params, "its weights")):
        if not path.is_file():
            raise BadModel(
                f"Cannot load '{given}': {what} should be in '{path}', which is not there. Give "
                "the file with --weights."
            )
    return symbol, params


def _escaped(text: str) -> str:
    import glob

    return glob.escape(text)
