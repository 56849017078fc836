"""Damaged files for the readers that Hasten wrote itself, in a process with limits.

    python tests/fuzzing.py READER COUNT [SEED]

Every file must be read, or end in a named error: within five seconds and one GiB of memory. Prints
how many were read and refused; anything else ends with exit code 1 and says how to repeat it.
"""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import caffe_files
import foreign
import mxnet_files
from hasten.errors import HastenError

SECONDS, BYTES = 5.0, 1 << 30
EDGES = (b"\x00", b"\xff", b"\x7f", b"\x80", b"\x01")
NUMBERS = ("0", "-1", "1", "2147483648", "99999999999999999999", "1e308", "nan", "")


@dataclass(frozen=True)
class Reader:
    """Sound files, what damages one, and what reads one."""

    whole: Sequence[Any]
    damage: Callable[[Any, random.Random], Any]
    read: Callable[[Any], object]


class TooSlow(BaseException):
    """No handler on the way takes this for an error of the file."""


def damaged_bytes(whole: bytes, draw: random.Random) -> bytes:
    """Bytes changed, cut out, doubled, moved in from elsewhere, and cut off at the end."""
    data = bytearray(whole)
    for _ in range(draw.randint(1, 8)):
        place, length = draw.randrange(len(data)), draw.randint(1, 16)
        how = draw.randrange(5)
        if how == 0:
            data[place] = draw.randrange(256)
        elif how == 1:
            data[place : place + 1] = draw.choice(EDGES)
        elif how == 2 and len(data) > 32:
            del data[place : place + length]
        elif how == 3:
            data[place:place] = data[place : place + length]
        else:
            other = draw.randrange(len(data))
            data[place : place + length] = data[other : other + length]
    return bytes(data[: draw.randrange(len(data))] if draw.random() < 0.2 else data)


def damaged_text(whole: str, draw: random.Random) -> str:
    """Characters and numbers changed, lines lost, doubled and put elsewhere."""
    letters = sorted({*whole, *'{}<>[]():"\\#,'})
    text = whole
    for _ in range(draw.randint(1, 6)):
        place, how = draw.randrange(len(text) + 1), draw.randrange(5)
        if how == 0:
            text = text[:place] + draw.choice(letters) + text[place + 1 :]
        elif how == 1:
            text = text[:place] + text[place + draw.randint(1, 20) :]
        elif how == 2:
            end = place + draw.randint(1, 200)
            text = text[:end] + text[place:end] * draw.choice((1, 1, 1, 50)) + text[end:]
        elif how == 3:
            spots = [n for n, letter in enumerate(text) if letter.isdigit()]
            spot = draw.choice(spots) if spots else 0
            text = text[:spot] + draw.choice(NUMBERS) + text[spot + 1 :]
        else:
            lines = text.splitlines(keepends=True)
            draw.shuffle(lines)
            text = "".join(lines)
    return text


def damaged_graph(whole: Any, draw: random.Random) -> Any:
    """An ONNX model with other operators, attributes, names and sizes, and nodes left out."""
    proto = type(whole)()
    proto.CopyFrom(whole)
    for _ in range(draw.randint(1, 4)):
        if proto.graph.node:
            _damage(proto, draw)
    return proto


def _damage(proto: Any, draw: random.Random) -> None:
    graph = proto.graph
    node, how = draw.choice(graph.node), draw.randrange(9)
    names = [name for other in graph.node for name in (*other.input, *other.output)] or [""]
    if how == 0:
        node.op_type = draw.choice([*(other.op_type for other in graph.node), "Strange", ""])
    elif how == 1 and node.input:
        node.input[draw.randrange(len(node.input))] = draw.choice([*names, "", "nowhere"])
    elif how == 2 and node.output:
        node.output[draw.randrange(len(node.output))] = draw.choice([*names, ""])
    elif how == 3 and node.attribute:
        one = draw.choice(node.attribute)
        one.i = draw.choice((0, -1, 1 << 40, 3))
        one.ints[:] = [draw.choice((0, -1, 7, 1 << 40)) for _ in range(draw.randrange(5))]
    elif how == 4 and node.attribute:
        draw.choice(node.attribute).type = draw.randrange(12)
    elif how == 5:
        del graph.node[draw.randrange(len(graph.node))]
    elif how == 6 and graph.initializer:
        one = draw.choice(graph.initializer)
        one.dims[:] = [draw.choice((0, -1, 2, 1 << 33)) for _ in range(draw.randrange(4))]
    elif how == 7 and graph.initializer:
        one = draw.choice(graph.initializer)
        one.raw_data, one.data_type = one.raw_data[: draw.randrange(9)], draw.randrange(24)
    elif proto.opset_import:
        proto.opset_import[0].version = draw.choice((0, 1, 7, 13, 99, -5))


# --- the readers ----------------------------------------------------------------------------------


def prototxt() -> Reader:
    from hasten.graphs.caffe.build import build
    from hasten.graphs.caffe.wire import weights

    held = weights(caffe_files.caffemodel(foreign.CAFFE_WEIGHTS))
    return Reader([foreign.PROTOTXT], damaged_text, lambda text: build(text, held))


def caffemodel() -> Reader:
    from hasten.graphs.caffe.build import build
    from hasten.graphs.caffe.wire import weights

    kinds = ("new", "old", "half")
    whole = [caffe_files.caffemodel(foreign.CAFFE_WEIGHTS, kind) for kind in kinds]
    return Reader(whole, damaged_bytes, lambda data: build(foreign.PROTOTXT, weights(data)))


def mxnet_params() -> Reader:
    from hasten.graphs.mxnet.params import read

    return Reader([mxnet_files.params(foreign.MXNET_ARRAYS)], damaged_bytes, read)


def mxnet_symbol() -> Reader:
    from hasten.graphs.mxnet.build import build
    from hasten.graphs.mxnet.params import read

    held = read(mxnet_files.params(foreign.MXNET_ARRAYS))
    whole = mxnet_files.symbol(foreign.MXNET_NODES)
    return Reader([whole], damaged_text, lambda text: build(text, held))


def onnx() -> Reader:
    """The builder of trainable modules: ONNX's own library has read the file before."""
    import onnx_zoo
    from hasten.graphs.onnx.build import build

    makers = (onnx_zoo.cnn, onnx_zoo.transformer, onnx_zoo.lstm, onnx_zoo.branches)
    return Reader([make() for make in makers], damaged_graph, build)


READERS = {one.__name__: one for one in (prototxt, caffemodel, mxnet_params, mxnet_symbol, onnx)}


# --- running --------------------------------------------------------------------------------------


def run(name: str, count: int, first: int = 0) -> dict[str, int]:
    """Read ``count`` damaged files, each made from a seed of its own."""
    reader = READERS[name]()
    for sound in reader.whole:  # what is imported late is here before memory is counted
        reader.read(sound)
    taken = _address_space() + BYTES
    resource.setrlimit(resource.RLIMIT_AS, (taken, taken))
    signal.signal(signal.SIGALRM, _too_slow)
    told = {"read": 0, "refused": 0}
    for seed in range(first, first + count):
        draw = random.Random(seed)
        made = reader.damage(draw.choice(reader.whole), draw)
        signal.setitimer(signal.ITIMER_REAL, SECONDS)
        try:
            reader.read(made)
            told["read"] += 1
        except HastenError:
            told["refused"] += 1
        except BaseException:
            print(f"again: python tests/fuzzing.py {name} 1 {seed}", file=sys.stderr)
            raise
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    return told


def _address_space() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")


def _too_slow(*_: object) -> None:
    raise TooSlow(f"more than {SECONDS:g} s")


if __name__ == "__main__":
    chosen, files, *seed = sys.argv[1:]
    print(json.dumps(run(chosen, int(files), *map(int, seed))))
