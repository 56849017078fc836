"""From a dumped graph to a module."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hasten.errors import BadModel, Unsupported
from hasten.graphs.module import GraphModule, Node
from hasten.graphs.theano import elementwise, layers, picking
from hasten.graphs.theano.operators import OPERATORS, Call

__all__ = ["build", "elementwise", "layers", "picking", "read"]
GRAPH, ARRAYS = "graph.json", "arrays.npz"


def read(folder: Path) -> GraphModule:
    """The module of the graph that ``dump.py`` wrote to ``folder``."""
    try:
        graph = json.loads((folder / GRAPH).read_text())
        with np.load(folder / ARRAYS, allow_pickle=False) as kept:
            arrays = {name: kept[name] for name in kept.files}
        return build(graph, arrays)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadModel(f"Cannot read the graph in '{folder}': {error}.") from error


def build(graph: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> GraphModule:
    """The module of a dumped graph; ``Unsupported`` names all operators that it lacks."""
    strange = sorted(_kinds(graph) - {*OPERATORS})
    if strange:
        raise Unsupported(
            f"Cannot build the graph in PyTorch: its operators {', '.join(strange)} are not "
            "supported."
        )
    return _module(graph, arrays)


def _kinds(graph: Mapping[str, Any]) -> set[str]:
    found = set()
    for node in graph["nodes"]:
        found.add(node["kind"])
        if "scan" in node["properties"]:
            found |= _kinds(node["properties"]["scan"]["graph"])
    return found


def _module(graph: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> GraphModule:
    nodes = []
    for number, node in enumerate(graph["nodes"]):
        gives = tuple(graph["kinds"].get(name, "") for name in node["outputs"])
        inner = None
        if "scan" in node["properties"]:
            inner = _module(node["properties"]["scan"]["graph"], arrays)
        call = Call(f"{node['kind']}_{number}", node["kind"], node["properties"], gives, inner)
        run = functools.partial(OPERATORS[call.kind], call)
        nodes.append(
            Node(
                call.name,
                call.kind,
                tuple(node["inputs"]),
                tuple(node["outputs"]),
                run,
                inner=(inner,) if inner is not None else (),
            )
        )
    used = {name for node in nodes for name in node.inputs} | set(graph["outputs"])
    mine = {name: array for name, array in arrays.items() if name in used}
    return GraphModule(nodes, mine, graph["inputs"], graph["outputs"])
