"""Exported PyTorch graphs as JSON and tensors, and back: no pickle, no code.

PyTorch's own reader of exported programs (``torch._export.serde``) hands strings of the file to
``sympify`` and ``exec``, so a doctored file can run code. This codec knows only what a graph of
operators needs, and refuses every name that is not an operator on tensors: the ``aten``
namespace also holds ``save`` and ``from_file``, which write files.
"""

from __future__ import annotations

import functools
import keyword
import math
import operator
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from hasten.errors import BadModel, Unsupported

if TYPE_CHECKING:
    import torch
    from torch.fx import Graph, GraphModule, Node

VERSION = 1
NAMESPACES = ("aten", "prims")
REFUSED = ("aten::from_file",)
#: Operators without tensors by which exported graphs state facts about free dimensions.
SHAPE_FACTS = (
    "aten::_assert_scalar",
    "aten::sym_constrain_range",
    "aten::sym_constrain_range_for_size",
)
#: Control flow and contexts that export keeps as one node over nested graphs.
HIGHER_ORDER = ("cond", "while_loop", "wrap_with_autocast", "wrap_with_set_grad_enabled")

_OPERATOR = re.compile(r"(\w+)::(\w+)\.(\w+)", re.ASCII)
_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_CONSTANTS = ("dtype", "layout", "memory_format")

Json = Any


@functools.cache
def _functions() -> dict[str, Callable[..., Any]]:
    """The Python functions that a graph may call, by name: arithmetic on sizes."""
    import torch

    arithmetic = (
        *(operator.add, operator.sub, operator.mul, operator.truediv, operator.floordiv),
        *(operator.mod, operator.pow, operator.neg, operator.pos, operator.getitem),
        *(operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge),
        *(operator.and_, operator.or_, operator.lshift, operator.rshift),
        *(math.trunc, math.ceil, math.floor),
        *(torch.sym_int, torch.sym_float, torch.sym_max, torch.sym_min, torch.sym_not),
        torch.sym_ite,
    )
    return {f"{f.__module__.lstrip('_')}.{f.__name__}": f for f in arithmetic}


def resolve(name: str) -> Callable[..., Any] | None:
    """The operator called ``name``; ``None`` if there is none that a graph may call."""
    import torch

    if name in _functions():
        return _functions()[name]
    match = _OPERATOR.fullmatch(name)
    if match is None:
        return None
    namespace, stem, overload = match.groups()
    if namespace == "higher_order" and stem in HIGHER_ORDER:
        return getattr(torch.ops.higher_order, stem, None)
    if namespace not in NAMESPACES:
        return None
    found = getattr(getattr(getattr(torch.ops, namespace), stem, None), overload, None)
    return found if isinstance(found, torch._ops.OpOverload) and _on_tensors(found) else None


def _on_tensors(found: torch._ops.OpOverload) -> bool:
    """Whether an operator takes or gives tensors and touches nothing else."""
    schema = found._schema
    values = [*schema.arguments, *schema.returns]
    tensors = any("Tensor" in str(value.type) for value in values)
    return schema.name in SHAPE_FACTS or (tensors and schema.name not in REFUSED)


# --- writing -------------------------------------------------------------------------------------


def encode(module: GraphModule) -> tuple[Json, dict[str, torch.Tensor]]:
    """``(document, tensors)`` of an exported graph whose weights are attributes."""
    writer = _Writer()
    graph = writer.graph(module)
    parameters = sorted(name for name, kept in writer.tensors.items() if _is_parameter(kept))
    document = {"version": VERSION, "parameters": parameters, "graph": graph}
    return document, {name: kept.detach() for name, kept in writer.tensors.items()}


def _is_parameter(tensor: torch.Tensor) -> bool:
    import torch

    return isinstance(tensor, torch.nn.Parameter)


class _Writer:
    """Writes a graph and the graphs nested in it; collects their tensors, each once."""

    def __init__(self) -> None:
        self.tensors: dict[str, torch.Tensor] = {}
        self._kept: dict[tuple[Any, ...], str] = {}
        self._names = {function: name for name, function in _functions().items()}

    def graph(self, module: GraphModule) -> Json:
        inputs, nodes, outputs = [], [], []
        for node in module.graph.nodes:
            if node.op == "placeholder":
                inputs.append(node.name)
            elif node.op == "output":
                outputs = self._outputs(node.args[0])
            elif not _idle(node):
                nodes.append(self._node(module, node))
        return {"inputs": inputs, "nodes": nodes, "outputs": outputs}

    def _outputs(self, returned: Any) -> Json:
        """Names of what is returned; a bare value stays bare, constants are left out."""
        if isinstance(returned, list | tuple):
            return [value.name for value in returned if hasattr(value, "name")]
        return returned.name

    def _node(self, module: GraphModule, node: Node) -> Json:
        if node.op == "get_attr":
            return {"name": node.name, **self._attribute(module, str(node.target))}
        if node.op != "call_function":
            raise Unsupported(f"Cannot save the model: its graph holds {node.format_node()}.")
        entry = {"name": node.name, "call": self._target(node.target)}
        entry["args"] = [self._value(value) for value in node.args]
        if node.kwargs:
            entry["kwargs"] = {key: self._value(value) for key, value in node.kwargs.items()}
        return entry

    def _attribute(self, module: GraphModule, path: str) -> Json:
        import torch

        value = operator.attrgetter(path)(module)
        if isinstance(value, torch.fx.GraphModule):
            return {"graph": self.graph(value)}
        if not isinstance(value, torch.Tensor):
            raise Unsupported(f"Cannot save the model: '{path}' is a {type(value).__name__}.")
        if value.layout is not torch.strided or value.is_quantized:
            raise Unsupported(f"Cannot save the model: '{path}' is not a dense tensor.")
        return {"tensor": self._keep(path, value)}

    def _keep(self, path: str, value: torch.Tensor) -> str:
        """The name under which ``value`` is kept: that of its first use."""
        identity = (value.data_ptr() or id(value), value.dtype, value.shape, value.stride())
        if identity not in self._kept:
            while path in self.tensors:
                path += "_"
            self.tensors[path] = value
            self._kept[identity] = path
        return self._kept[identity]

    def _target(self, target: Any) -> str:
        import torch

        if isinstance(target, torch._ops.OpOverload):
            name = f"{target._schema.name}.{target._overloadname}"
        elif isinstance(target, torch._ops.HigherOrderOperator):
            name = f"higher_order::{target.name()}.default"
        else:
            name = self._names.get(target, str(target))
        if resolve(name) is None:
            raise Unsupported(f"Cannot save the model: it calls {name}, which is not in PyTorch.")
        return name

    def _value(self, value: Any) -> Json:
        if hasattr(value, "format_node"):
            return {"node": value.name}
        if isinstance(value, list | tuple):
            items = [self._value(item) for item in value]
            return {"tuple": items} if isinstance(value, tuple) else items
        if isinstance(value, float) and not math.isfinite(value):
            return {"float": str(value)}
        if value is None or isinstance(value, bool | int | float | str):
            return value
        return _constant(value)


def _idle(node: Node) -> bool:
    """Whether a node only checks inputs: guards of an export that the runner's shapes satisfy."""
    return node.target == "_guards_fn" or "_assert_tensor_metadata" in str(node.target)


def _constant(value: Any) -> Json:
    """A value of one of PyTorch's own small types, as text."""
    import torch

    if isinstance(value, torch.device):
        return {"device": str(value)}
    if isinstance(value, complex):
        return {"complex": [value.real, value.imag]}
    for kind in _CONSTANTS:
        if isinstance(value, getattr(torch, kind)):
            return {kind: str(value).removeprefix("torch.")}
    raise Unsupported(f"Cannot save the model: its graph holds a {type(value).__name__}.")


# --- reading -------------------------------------------------------------------------------------


def decode(document: Json, tensors: dict[str, torch.Tensor]) -> GraphModule:
    """The module that ``encode`` took apart. It takes tensors by position, returns a tuple or one.

    Its weights lie on the module itself: nested lookups cost more than small operators do.
    """
    try:
        if document["version"] != VERSION:
            raise BadModel(f"the graph has version {document['version']}, not {VERSION}")
        return _Reader(tensors, set(document["parameters"])).module(document["graph"])
    except (LookupError, TypeError, ValueError, AttributeError, SyntaxError, RuntimeError) as error:
        raise BadModel(f"the graph is damaged ({error!r})") from error


class _Reader:
    def __init__(self, tensors: dict[str, torch.Tensor], parameters: set[str]) -> None:
        self.tensors = tensors
        self.parameters = parameters

    def module(self, entry: Json) -> GraphModule:
        import torch

        root, graph = torch.nn.Module(), torch.fx.Graph()
        nodes: dict[str, Node] = {}
        for name in entry["inputs"]:
            nodes[name] = graph.placeholder(_identifier(name))
        for item in entry["nodes"]:
            nodes[item["name"]] = self._node(root, graph, nodes, item)
        returned = entry["outputs"]
        single = isinstance(returned, str)
        graph.output(nodes[returned] if single else tuple(nodes[name] for name in returned))
        return torch.fx.GraphModule(root, graph)

    def _node(
        self, root: torch.nn.Module, graph: Graph, nodes: dict[str, Node], item: Json
    ) -> Node:
        name = _identifier(item["name"])
        if "tensor" in item:
            return graph.create_node("get_attr", self._tensor(root, item["tensor"]), name=name)
        if "graph" in item:
            attribute = f"g_{name}"
            root.add_module(attribute, self.module(item["graph"]))
            return graph.create_node("get_attr", attribute, name=name)
        target = resolve(item["call"])
        if target is None:
            raise BadModel(f"the graph calls '{item['call']}', which no graph may call")
        args = tuple(_read(value, nodes) for value in item["args"])
        kwargs = {_identifier(k): _read(v, nodes) for k, v in item.get("kwargs", {}).items()}
        return graph.create_node("call_function", target, args, kwargs, name)

    def _tensor(self, root: torch.nn.Module, name: str) -> str:
        """The attribute of ``root`` that holds the tensor called ``name`` in the file."""
        import torch

        attribute = "p_" + re.sub(r"\W", "_", name, flags=re.ASCII)
        while hasattr(root, attribute) and getattr(root, attribute) is not self.tensors[name]:
            attribute += "_"
        if not hasattr(root, attribute) and name in self.parameters:
            self.tensors[name] = torch.nn.Parameter(self.tensors[name], requires_grad=False)
            root.register_parameter(attribute, self.tensors[name])
        elif not hasattr(root, attribute):
            root.register_buffer(attribute, self.tensors[name])
        return attribute


def _identifier(name: str) -> str:
    """``name``, if it may stand in the generated source of ``forward``."""
    if not _NAME.fullmatch(name) or keyword.iskeyword(name):
        raise BadModel(f"the graph holds the name {name!r}")
    return name


def _read(value: Json, nodes: dict[str, Node]) -> Any:
    import torch

    if isinstance(value, list):
        return [_read(item, nodes) for item in value]
    if not isinstance(value, dict):
        return value
    ((kind, held),) = value.items()
    if kind == "node":
        return nodes[held]
    if kind == "tuple":
        return tuple(_read(item, nodes) for item in held)
    if kind in _CONSTANTS and isinstance(getattr(torch, held), getattr(torch, kind)):
        return getattr(torch, held)
    makers: dict[str, Callable[[Any], Any]] = {
        "float": float,
        "device": torch.device,
        "complex": lambda pair: complex(*pair),
    }
    return makers[kind](held)
