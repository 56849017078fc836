"""Writes a graph of Theano, Theano-PyMC, Aesara or PyTensor as JSON, with its arrays beside it.

It needs the framework and NumPy alone, and is run as a script by the interpreter that has them:
``python dump.py FOLDER``, with a ``request.json`` in the folder that names the framework and the
source, a pickled ``(inputs, outputs)`` or a factory of them. With ``feeds`` it computes instead.
"""

import importlib
import json
import os
import sys

PROPERTIES = [
    "acc_dtype",
    "axis",
    "border_mode",
    "broadcast_pattern",
    "broadcastable",
    "direction",
    "dtype",
    "exclusive",
    "filter_dilation",
    "filter_flip",
    "go_backwards",
    "i",
    "idx_list",
    "ignore_border",
    "imshp",
    "kshp",
    "lib",
    "mode",
    "n",
    "ndim",
    "new_order",
    "num_groups",
    "op",
    "outdim",
    "scalar_op",
    "set_instead_of_inc",
    "side",
    "subsample",
    "unshared",
    "view_map",
    "inplace",
    "core_op",
    "signature",
    "destroyhandler_tolerate_aliased",
]
SCAN = ["n_seqs", "n_mit_mot", "n_mit_sot", "n_sit_sot", "n_shared_outs", "n_nit_sot", "as_while"]


def plain(value):
    """A property as JSON; what JSON does not know as the name of its type, or as text."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    if isinstance(value, slice):
        return {"slice": [plain(value.start), plain(value.stop), plain(value.step)]}
    if isinstance(value, dict):
        return {str(key): plain(one) for key, one in value.items()}
    if hasattr(value, "item") and getattr(value, "ndim", 1) == 0:
        return value.item()
    if type(value).__name__.endswith("Type"):
        return {"type": str(value)}
    if type(value).__name__ == "Cast":
        return {"cast": str(value.o_type.dtype)}
    return {"kind": type(value).__name__}


class Dump:
    """One walk over a graph and the graphs inside its loops."""

    def __init__(self, np):
        self.np, self.arrays, self.count = np, {}, 0

    def name(self):
        self.count += 1
        return "v%d" % self.count

    def graph(self, inputs, outputs):
        names = {one: self.name() for one in inputs}
        nodes = []
        given = [names[one] for one in inputs]
        self.walk(outputs, names, nodes)
        return {
            "inputs": given,
            "outputs": [names[one] for one in outputs],
            "kinds": {names[one]: str(getattr(one.type, "dtype", "")) for one in names},
            "ranks": {names[one]: getattr(one.type, "ndim", 0) for one in names},
            "named": {names[one]: str(one.name) for one in inputs if one.name},
            "nodes": nodes,
        }

    def walk(self, outputs, names, nodes):
        """Nodes in order, without recursion: recurrent graphs are thousands deep."""
        todo = [(one, False) for one in reversed(outputs)]
        while todo:
            variable, ready = todo.pop()
            if variable in names:
                continue
            if variable.owner is None:
                names[variable] = self.constant(variable)
                continue
            apply = variable.owner
            if not ready:
                todo.append((variable, True))
                todo.extend((one, False) for one in reversed(apply.inputs) if one not in names)
                continue
            for output in apply.outputs:
                if output not in names:
                    names[output] = self.name()
            nodes.append(
                {
                    "kind": type(apply.op).__name__,
                    "properties": self.properties(apply.op),
                    "inputs": [names[one] for one in apply.inputs],
                    "outputs": [names[one] for one in apply.outputs],
                }
            )

    def constant(self, variable):
        value = None
        if hasattr(variable, "get_value"):
            value = variable.get_value()
        elif hasattr(variable, "data"):
            value = variable.data
        kind = type(getattr(variable, "type", None)).__name__
        name = self.name()
        if value is None and kind != "NoneTypeT":
            raise ValueError("the graph needs '%s', which is no input of it" % variable)
        if isinstance(value, slice):
            parts = [value.start, value.stop, value.step]
            self.arrays[name] = self.np.array([2**62 if one is None else int(one) for one in parts])
        elif value is not None:
            self.arrays[name] = self.np.asarray(value)
        return name

    def properties(self, op):
        found = {}
        for name in PROPERTIES:
            if hasattr(op, name):
                value = getattr(op, name)
                found[name] = value() if callable(value) and name == "n" else plain(value)
        if hasattr(op, "scalar_op") and type(op.scalar_op).__name__ == "Cast":
            found["scalar_op"] = {"cast": str(op.scalar_op.o_type.dtype)}
        if type(op).__name__ == "Scan":
            found["scan"] = self.scan(op)
        return found

    def scan(self, op):
        info = op.info
        found = {}
        if isinstance(info, dict):
            for name in SCAN:
                found[name] = plain(getattr(op, name, info.get(name)))
            found["taps"] = plain(info["tap_array"])
            inner = op.inputs, op.outputs
        else:
            found = {name: plain(getattr(info, name, None)) for name in SCAN}
            for name in ("n_mit_mot", "n_mit_sot", "n_sit_sot", "n_shared_outs"):
                found[name] = plain(getattr(info, name, 0))
            if found["n_shared_outs"] in (None, 0):
                found["n_shared_outs"] = plain(getattr(info, "n_untraced_sit_sot", 0) or 0)
            slices = tuple(info.mit_sot_in_slices) + tuple(info.sit_sot_in_slices)
            found["taps"] = plain([list(one) for one in slices])
            inner = op.inner_inputs, op.inner_outputs
        found["graph"] = self.graph(list(inner[0]), list(inner[1]))
        return found


def load(request, np):
    """``(inputs, outputs)`` of a pickle or a factory; a factory gets the weights, if there are."""
    source = request["source"]
    if request["factory"]:
        sys.path[:0] = request["paths"]
        place, _, name = source.partition(":")
        make = importlib.import_module(place)
        for part in name.split("."):
            make = getattr(make, part)
        made = make(arrays_of(request["weights"], np)) if request["weights"] else make()
    else:
        import pickle

        with open(source, "rb") as file:
            made = pickle.load(file)
    inputs, outputs = made
    return listed(inputs), listed(outputs)


def arrays_of(path, np):
    """The arrays of an ``.npz``, in the order in which ``savez(path, *arrays)`` numbered them."""
    with np.load(path, allow_pickle=False) as kept:
        names = list(kept.files)
        numbered = all(name.startswith("arr_") and name[4:].isdigit() for name in names)
        return (
            [kept[name] for name in sorted(names, key=lambda n: int(n[4:]))]
            if numbered
            else {name: kept[name] for name in names}
        )


def listed(value):
    return list(value) if isinstance(value, (list, tuple)) else [value]


def write(inputs, outputs, folder):
    """``graph.json`` and ``arrays.npz`` in an existing folder."""
    import numpy as np

    dump = Dump(np)
    graph = dump.graph(inputs, outputs)
    with open(os.path.join(folder, "graph.json"), "w") as file:
        json.dump(graph, file)
    np.savez(os.path.join(folder, "arrays.npz"), **dump.arrays)


def compute(package, inputs, outputs, feeds):
    """What the framework itself computes: a list of outputs for every list of inputs."""
    function = package.function(inputs, outputs, on_unused_input="ignore")
    return [listed(function(*feed)) for feed in feeds]


def main(folder):
    with open(os.path.join(folder, "request.json")) as file:
        request = json.load(file)
    import numpy as np

    for name, kind in (("bool", bool), ("int", int), ("float", float), ("object", object)):
        if name not in np.__dict__:  # old frameworks use names that NumPy has given up
            setattr(np, name, kind)
    sys.setrecursionlimit(50000)
    package = importlib.import_module(request["package"])
    inputs, outputs = load(request, np)
    if "feeds" not in request:
        write(inputs, outputs, folder)
    else:
        place = os.path.join(folder, "%s-%d-%d.npy")
        feeds = [
            [np.load(place % ("in", number, n), allow_pickle=False) for n in range(count)]
            for number, count in enumerate(request["feeds"])
        ]
        for number, found in enumerate(compute(package, inputs, outputs, feeds)):
            for n, output in enumerate(found):
                np.save(place % ("out", number, n), np.asarray(output))
    return {"version": package.__version__, "outputs": len(outputs)}


if __name__ == "__main__":
    # Python looks beside this file first, where files may be called like the framework's.
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [path for path in sys.path if os.path.abspath(path or ".") != here]
    there = sys.argv[1]
    try:
        answer = main(there)
    except Exception as error:  # whatever an old framework raises is told in one line
        text = str(error).strip().split("\n")[0]
        answer = {"error": "%s: %s" % (type(error).__name__, text)}
    aside = os.path.join(there, "answer.part")
    with open(aside, "w") as kept:
        json.dump(answer, kept)
    os.rename(aside, os.path.join(there, "answer.json"))
