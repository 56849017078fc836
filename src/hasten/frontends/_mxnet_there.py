"""Runs in an interpreter that has MXNet 1: what a network computes for given inputs.

``python _mxnet_there.py FOLDER``, with ``request.json`` and arrays in the folder. Nothing of Hasten
is imported, and nothing newer than Python 3.6 used.
"""

import json
import os
import sys


def main(folder):  # type: ignore[no-untyped-def]
    import numpy

    if "bool" not in vars(numpy):  # MXNet 1.9 asks for what NumPy 1.24 dropped
        numpy.bool = numpy.bool_  # type: ignore[attr-defined]
    import mxnet

    with open(os.path.join(folder, "request.json")) as file:
        request = json.load(file)
    symbol = mxnet.sym.load(request["symbol"])
    held = mxnet.nd.load(request["params"])
    named = {key.split(":", 1)[-1]: value for key, value in held.items()}
    auxiliary = set(symbol.list_auxiliary_states())
    for number, count in enumerate(request["feeds"]):
        arrays = [
            numpy.load(os.path.join(folder, "in-%d-%d.npy" % (number, place)), allow_pickle=False)
            for place in range(count)
        ]
        feed = dict(zip(request["inputs"], arrays))
        shapes = {name: array.shape for name, array in feed.items()}
        executor = symbol.simple_bind(mxnet.cpu(), grad_req="null", **shapes)
        executor.copy_params_from(
            {key: value for key, value in named.items() if key not in auxiliary},
            {key: value for key, value in named.items() if key in auxiliary},
            allow_extra_params=True,
        )
        given = {name: mxnet.nd.array(array, dtype=array.dtype) for name, array in feed.items()}
        outputs = executor.forward(is_train=False, **given)
        for place, output in enumerate(outputs):
            numpy.save(os.path.join(folder, "out-%d-%d.npy" % (number, place)), output.asnumpy())
    return {"version": mxnet.__version__, "outputs": len(outputs)}


if __name__ == "__main__":
    # Python looks beside this file first, where a file is called like the framework.
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [path for path in sys.path if os.path.abspath(path or ".") != here]
    there = sys.argv[1]
    try:
        answer = main(there)
    except Exception as error:  # whatever an old framework raises is told in one line
        answer = {"error": "%s: %s" % (type(error).__name__, str(error).strip().split("\n")[0])}
    aside = os.path.join(there, "answer.part")
    with open(aside, "w") as kept:
        json.dump(answer, kept)
    os.rename(aside, os.path.join(there, "answer.json"))
