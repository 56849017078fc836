"""From the text of a network and its weights to a module."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from hasten.errors import BadModel, Unsupported
from hasten.graphs.caffe import data, detection, moving
from hasten.graphs.caffe.layers import LAYERS, Layer
from hasten.graphs.caffe.text import Message, parse
from hasten.graphs.module import GraphModule, Node
from hasten.types import Normalisation

OLD_NAMES = {
    "ABSVAL": "AbsVal",
    "ACCURACY": "Accuracy",
    "ARGMAX": "ArgMax",
    "BNLL": "BNLL",
    "CONCAT": "Concat",
    "CONVOLUTION": "Convolution",
    "DATA": "Data",
    "DECONVOLUTION": "Deconvolution",
    "DROPOUT": "Dropout",
    "ELTWISE": "Eltwise",
    "EUCLIDEAN_LOSS": "EuclideanLoss",
    "EXP": "Exp",
    "FLATTEN": "Flatten",
    "HDF5_DATA": "HDF5Data",
    "HINGE_LOSS": "HingeLoss",
    "IMAGE_DATA": "ImageData",
    "INNER_PRODUCT": "InnerProduct",
    "LRN": "LRN",
    "MEMORY_DATA": "MemoryData",
    "MVN": "MVN",
    "POOLING": "Pooling",
    "POWER": "Power",
    "RELU": "ReLU",
    "SIGMOID": "Sigmoid",
    "SIGMOID_CROSS_ENTROPY_LOSS": "SigmoidCrossEntropyLoss",
    "SILENCE": "Silence",
    "SLICE": "Slice",
    "SOFTMAX": "Softmax",
    "SOFTMAX_LOSS": "SoftmaxWithLoss",
    "SPLIT": "Split",
    "TANH": "TanH",
    "THRESHOLD": "Threshold",
    "WINDOW_DATA": "WindowData",
}
"""Types as they were written before 2015."""
NOT_HERE = {
    "Accuracy": "it judges answers",
    "Python": "it runs Python code, which only Caffe can",
}
FOR_TRAINING = ("Accuracy", "Loss")
WEIGHTS_NEEDED = {
    "BN": 4,
    "BatchNorm": 2,
    "Convolution": 1,
    "Deconvolution": 1,
    "Embed": 1,
    "InnerProduct": 1,
    "Normalize": 1,
    "PReLU": 1,
}
BEHIND = ("DetectionOutput",)
"""What stays behind the exported graph."""
__all__ = ["Network", "build", "data", "detection", "moving"]


@dataclass(frozen=True)
class Network:
    """A module with the names and shapes of its inputs; the first dimension is the batch.

    ``behind`` is what follows the module and is not exported with it, ``None`` where nothing does;
    it takes the module's outputs. ``outputs`` are blobs, ``layers`` the layers that give them.
    ``left`` names layers of the weights that the network has not. ``normalisation`` says for inputs
    how stored bytes become them, ``notes`` what else the file says of its data.
    """

    module: GraphModule
    inputs: dict[str, tuple[int, ...]]
    outputs: tuple[str, ...]
    layers: tuple[str, ...]
    behind: GraphModule | None
    left: tuple[str, ...]
    normalisation: dict[str, Normalisation] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def build(source: str, weights: Mapping[str, Sequence[np.ndarray]]) -> Network:
    """The network that a ``.prototxt`` describes, with the weights of its layers by name."""
    net = parse(source)
    inputs, layers, sources = _inputs(net), [], []
    for message in _layers(net):
        own = _layer(message)
        if own.kind in ("Input", "DummyData"):
            inputs |= _shapes_of(own)
        if own.kind in ("Input", *data.PICTURES):
            sources += [own] if own.message.get("top") and _answers(own) else []
        elif own.kind != "DummyData" and not _only_trains(own):
            layers.append(own)
    if not layers:
        raise BadModel("Cannot read the network: it has no layers.")
    _refuse_unknown(layers)
    for own in sources:
        if own.kind in data.PICTURES and (found := data.shape(own)):
            inputs.setdefault(str(own.message["top"][0]), found)
    if not inputs:
        raise BadModel(
            "Cannot read the network: it has no inputs with shapes, so it is one for training. "
            "Give the file for deployment."
        )
    nodes, constants = _nodes(layers, weights)
    names = {layer.name for layer in layers}
    left = tuple(sorted(name for name in weights if name not in names and not _is_split(name)))
    network = _parted(nodes, constants, inputs, left)
    return replace(network, **_said(sources, network.inputs))


def _said(sources: Sequence[Layer], inputs: Mapping[str, Any]) -> dict[str, Any]:
    """What the layers that read data tell of it."""
    found, notes = {}, []
    for own in sources:
        name = str(own.message["top"][0])
        if name in inputs and (told := data.normalisation(own)):
            found[name] = told
        if name in inputs and (mean := data.mean_file(own)):
            notes.append(f"the mean picture '{mean}' is not subtracted: do so beforehand")
    return {"normalisation": found, "notes": tuple(notes)}


def _layers(net: Message) -> list[Message]:
    found = [*net.get("layer", []), *net.get("layers", [])]
    if any(not isinstance(one, dict) for one in found):
        raise BadModel("Cannot read the network: a layer is no message.")
    return found


def _layer(message: Message) -> Layer:
    kind = str(message.get("type", [""])[-1])
    name = str(message.get("name", [""])[-1])
    tops = message.get("top", [])
    return Layer(name, OLD_NAMES.get(kind, kind), message, max(1, len(tops)))


def _inputs(net: Message) -> dict[str, tuple[int, ...]]:
    """Inputs as old files name them: ``input`` with ``input_shape`` or ``input_dim``."""
    names = [str(name) for name in net.get("input", [])]
    shapes = [_sizes(one) for one in net.get("input_shape", [])]
    flat = net.get("input_dim", [])
    shapes += [tuple(map(_size, flat[n : n + 4])) for n in range(0, len(flat), 4)]
    if len(shapes) < len(names):
        raise BadModel(f"Cannot read the network: input '{names[len(shapes)]}' has no shape.")
    return dict(zip(names, shapes, strict=False))


def _shapes_of(own: Layer) -> dict[str, tuple[int, ...]]:
    name = "input_param" if own.kind == "Input" else "dummy_data_param"
    shapes = [_sizes(one) for one in own.parameters(name).all("shape")]
    tops = [str(top) for top in own.message.get("top", [])]
    if not shapes:
        raise BadModel(f"Cannot read the network: input layer '{own.name}' has no shape.")
    shapes += shapes[-1:] * (len(tops) - len(shapes))
    return dict(zip(tops, shapes, strict=False))


def _sizes(message: Any) -> tuple[int, ...]:
    if not isinstance(message, dict):
        raise BadModel("Cannot read the network: a shape is no message.")
    return tuple(map(_size, message.get("dim", [])))


def _size(value: Any) -> int:
    if not isinstance(value, int) or not 0 < value < 1 << 31:
        raise BadModel(f"Cannot read the network: '{value}' is no size.")
    return value


def _only_trains(own: Layer) -> bool:
    """Whether a layer is left out when the network answers."""
    return own.kind.endswith(FOR_TRAINING) or not _answers(own)


def _answers(own: Layer) -> bool:
    """Whether its rules let a layer into a network that answers."""
    includes, excludes = (own.message.get(name, []) for name in ("include", "exclude"))
    return any(map(_holds, includes)) if includes else not any(map(_holds, excludes))


def _holds(rule: Any) -> bool:
    """Whether a rule is met by a network that answers: in its phase, at level 0, in no stage."""
    if not isinstance(rule, dict):
        return False
    one = {name: values[-1] for name, values in rule.items()}
    levels = one.get("min_level", 0), one.get("max_level", 0)
    if not all(isinstance(level, int) for level in levels):
        return False
    return (
        one.get("phase", "TEST") in ("TEST", 1)
        and levels[0] <= 0 <= levels[1]
        and "stage" not in rule
    )


def _refuse_unknown(layers: Sequence[Layer]) -> None:
    known = {*LAYERS}
    strange = [own for own in layers if own.kind not in known]
    if strange:
        told = ", ".join(f"'{own.name}' ({own.kind or 'no type'})" for own in strange)
        why = "; ".join(
            {f"{own.kind}: {NOT_HERE[own.kind]}" for own in strange if own.kind in NOT_HERE}
        )
        raise Unsupported(
            f"Cannot build the network: it has layers that are not supported: {told}"
            f"{'. ' + why if why else ''}."
        )


def _is_split(name: str) -> bool:
    """Whether Caffe made this layer itself."""
    return "_split" in name


def _nodes(
    layers: Sequence[Layer], weights: Mapping[str, Sequence[np.ndarray]]
) -> tuple[list[Node], dict[str, np.ndarray]]:
    """Nodes in order; a layer that writes over its bottom gets a new name for what it gives."""
    current: dict[str, str] = {}
    nodes: list[Node] = []
    constants: dict[str, np.ndarray] = {}
    for number, own in enumerate(layers):
        blobs = list(weights.get(own.name, ()))
        if len(blobs) < WEIGHTS_NEEDED.get(own.kind, 0):
            raise BadModel(
                f"Cannot build the network: the weights of layer '{own.name}' ({own.kind}) are "
                "missing. Give the .caffemodel that belongs to this .prototxt."
            )
        names = [f"{own.name or number}/{n}" for n in range(len(blobs))]
        constants |= dict(zip(names, blobs, strict=True))
        bottoms = [current.get(str(b), str(b)) for b in own.message.get("bottom", [])]
        tops = []
        for top in map(str, own.message.get("top", [])):
            current[top] = f"{top}@{number}"
            tops.append(current[top])
        nodes.append(
            Node(
                own.name or str(number),
                own.kind,
                (*bottoms, *names),
                tuple(tops),
                functools.partial(_run, own, len(bottoms)),
                weights=frozenset(range(len(bottoms), len(bottoms) + len(names))),
            )
        )
    return nodes, constants


def _run(own: Layer, bottoms: int, *values: Any) -> Any:
    return LAYERS[own.kind](own, values[:bottoms], values[bottoms:])


def _parted(
    nodes: list[Node],
    constants: dict[str, np.ndarray],
    inputs: dict[str, tuple[int, ...]],
    left: tuple[str, ...],
) -> Network:
    """The module, and apart from it what comes after the first layer that cannot be exported."""
    _refuse_missing_values(nodes, inputs)
    cut = next((n for n, node in enumerate(nodes) if node.kind in BEHIND), len(nodes))
    first, rest = nodes[:cut], nodes[cut:]
    made = {name for node in first for name in node.outputs}
    taken = [name for node in rest for name in node.inputs[: len(node.inputs) - len(node.weights)]]
    if outside := [name for name in taken if name in inputs]:
        raise Unsupported(
            f"Cannot build the network: '{rest[0].name}' is followed by a layer that takes the "
            f"input '{outside[0]}'."
        )
    needed = [name for name in taken if name in made]
    used = {name for node in nodes for name in node.inputs}
    others = [name for node in first for name in node.outputs if name not in used]
    wanted = list(dict.fromkeys([*needed, *others])) if rest else _open_ends(first)
    module = GraphModule(first, _of(first, constants), list(inputs), wanted)
    behind = None
    if rest:
        behind = GraphModule(rest, _of(rest, constants), wanted, _open_ends(rest))
    names = tuple(name.rpartition("@")[0] for name in wanted)
    givers = {name: node.name for node in first for name in node.outputs}
    return Network(module, inputs, names, tuple(givers[name] for name in wanted), behind, left)


def _of(nodes: Sequence[Node], constants: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    used = {name for node in nodes for name in node.inputs}
    return {name: array for name, array in constants.items() if name in used}


def _open_ends(nodes: Sequence[Node]) -> list[str]:
    """What no layer takes, in order."""
    used = {name for node in nodes for name in node.inputs}
    found = [name for node in nodes for name in node.outputs if name not in used]
    if not found:
        raise BadModel("Cannot read the network: no layer gives an output.")
    return found


def _refuse_missing_values(nodes: Sequence[Node], inputs: Mapping[str, Any]) -> None:
    """Every bottom has to be there when its layer comes; in a circle it never is."""
    made = set(inputs)
    for node in nodes:
        for name in node.inputs[: len(node.inputs) - len(node.weights)]:
            if name not in made:
                raise BadModel(
                    f"Cannot read the network: layer '{node.name}' takes '{name}', which no layer "
                    "before it gives."
                )
        made |= set(node.outputs)
