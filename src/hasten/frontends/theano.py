"""Theano's family: graphs of Theano, Theano-PyMC, Aesara and PyTensor.

**Source:** Theano 1.0.5, Theano-PyMC 1.1.2, Aesara 2.9 and PyTensor 3.0. The framework itself walks
the graph and writes it down (``graphs/theano/dump.py``), in this interpreter or in one that the
user names with ``--python``; Hasten builds it anew in PyTorch, and compares the two.

Written ``theano:package.module:factory`` (``theano``, ``aesara`` or ``pytensor``): the factory
gives ``(inputs, outputs)``; where weights are given (Lasagne's ``.npz``) it is called with their
arrays. A pickle of ``(inputs, outputs)`` needs trust. In Python: the pair itself.
"""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hasten.errors import BadInput, BadModel, Untrusted
from hasten.frontends import _elsewhere
from hasten.frontends._torch import from_specs
from hasten.frontends._torch_files import first_line
from hasten.frontends._torch_probe import probe
from hasten.plugin import Frontend, Source
from hasten.plugin.checking import compared, feeds, unverified
from hasten.plugin.checking import computed as computed_here
from hasten.types import Model, TensorSpec

PACKAGES = ("theano", "aesara", "pytensor")
WRITTEN = re.compile(rf"({'|'.join(PACKAGES)}):(.+)")
FACTORY = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")
PICKLES = (".pkl", ".pickle")


class Theano(Frontend):
    """Gives a model in form ``"torch"``."""

    requires = ("torch>=2.11",)
    extra = "pytensor"
    order = 14
    compared_with = "the framework itself"

    def sniff(self, what: Any) -> bool:
        if isinstance(what, str | Path):
            return WRITTEN.fullmatch(str(what)) is not None
        return _package(what) is not None

    def describes(self, what: Any) -> bool:
        return False

    def load(self, source: Source) -> Model:
        from hasten.graphs.theano.build import read

        with tempfile.TemporaryDirectory(prefix="hasten-theano-") as name:
            folder = Path(name)
            if isinstance(source.what, str | Path):
                there: _There | _Live = _There(source)
            else:
                there = _Live(source.what)
            there.dump(folder)
            network = read(folder)
            specs = _specs(folder, source.examples)
        module = network.eval().requires_grad_(False)
        model = probe(module, from_specs(module, specs)).model(self.name)
        return there.check(model, self.name)


class _There:
    """A graph that another process loads, walks and computes."""

    def __init__(self, source: Source) -> None:
        package, _, what = str(source.what).partition(":")
        self.python = source.python or sys.executable
        self.request = {
            "package": package,
            "source": what,
            "factory": FACTORY.fullmatch(what) is not None,
            "paths": list(source.paths),
            "weights": source.weights,
        }
        if self.request["factory"]:
            return
        path = Path(what)
        if path.suffix.lower() not in PICKLES:
            raise BadInput(
                f"Cannot load '{what}': give {package}:package.module:factory, or a pickle of "
                "(inputs, outputs) with --trust."
            )
        if not path.is_file():
            raise BadModel(f"Cannot read '{path}': there is no such file.")
        if not source.trust:
            raise Untrusted(
                f"Cannot read '{path}': the pickle in it can run code. Give the graph as "
                f"{package}:package.module:factory, or pass --trust if you trust whoever made it."
            )
        self.request["source"] = str(path.resolve())

    def dump(self, folder: Path) -> None:
        _elsewhere.asked(_script(), self.python, self.request, folder)

    def check(self, model: Model, name: str) -> Model:
        package = self.request["package"]
        try:
            version, cases = _elsewhere.computed(
                _script(), self.python, self.request, feeds(model.spec.inputs)
            )
        except BadModel as error:
            return unverified(model, name, f"{package} cannot compute it here ({error})")
        return compared(model, name, f"{package} {version}", cases)


class _Live:
    """A graph in this process."""

    def __init__(self, what: Any) -> None:
        from hasten.graphs.theano import dump

        if not isinstance(what, tuple) or len(what) != 2:
            raise BadInput("Cannot load the graph: give the pair (inputs, outputs).")
        self.inputs, self.outputs = map(dump.listed, what)
        self.package = sys.modules[str(_package(what))]

    def dump(self, folder: Path) -> None:
        from hasten.graphs.theano import dump

        dump.write(self.inputs, self.outputs, folder)

    def check(self, model: Model, name: str) -> Model:
        from hasten.graphs.theano import dump

        def run(*values: np.ndarray) -> Any:
            return dump.compute(self.package, self.inputs, self.outputs, [values])[0]

        package = f"{self.package.__name__} {self.package.__version__}"
        try:
            cases = computed_here(model.spec.inputs, run)
        except Exception as error:  # whatever the framework raises
            return unverified(model, name, f"{package} cannot compute it ({first_line(error)})")
        return compared(model, name, package, cases)


def _script() -> Path:
    from hasten.graphs.theano import dump

    return Path(str(dump.__file__)).resolve()


def _package(what: Any) -> str | None:
    """The framework whose variables a pair holds."""
    parts = what if isinstance(what, tuple) else (what,)
    found = next((one[0] if isinstance(one, list) and one else one for one in parts), None)
    root = type(found).__module__.partition(".")[0]
    return root if root in PACKAGES else None


def _specs(folder: Path, examples: Sequence[TensorSpec]) -> list[TensorSpec]:
    """The graph's inputs, which have a rank and a dtype, with the shapes that the user gave."""
    import json

    graph = json.loads((folder / "graph.json").read_text())
    ranks = {own: (graph["named"].get(own, own), graph["ranks"][own]) for own in graph["inputs"]}
    given = {spec.name: spec for spec in examples}
    if len(given) == len(ranks) == 1:
        ((_, (called, _)),) = ranks.items()
        given = {called: next(iter(given.values()))}
    specs = []
    for own, (called, rank) in ranks.items():
        if called not in given:
            dims = ",".join(["batch", *["8"] * (rank - 1)])
            raise BadInput(
                f"Cannot tell the shape of input '{called}', which has {rank} dimensions. Give it, "
                f"such as --shape {called}={dims}."
            )
        shape = given[called].shape
        if len(shape) != rank:
            raise BadInput(f"Input '{called}' has {rank} dimensions, not {len(shape)}.")
        specs.append(TensorSpec(_clean(called), graph["kinds"][own], shape))
    return specs


def _clean(name: str) -> str:
    return re.sub(r"\W", "_", name)
