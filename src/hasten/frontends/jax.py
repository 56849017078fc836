"""JAX and Flax models: a function with its parameters bound, Flax nnx and linen modules.

**Source:** JAX 0.10 and jax2onnx 0.17, in a process of its own, give an ONNX graph that is compared
there with the function itself at two batch sizes. The source is a factory, ``package.module:make``:
it gives a callable of arrays, or a tuple of one and example inputs, or for linen
``(module, variables)`` with examples.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import numpy as np

from hasten import plugin
from hasten.errors import BadInput, BadModel, Unsupported
from hasten.frontends import _apart
from hasten.frontends._torch_files import find_factory, first_line
from hasten.plugin import Frontend, Source
from hasten.plugin.checking import compared, computed
from hasten.types import BATCH, Model, TensorSpec

PREFIX = "jax:"
FACTORY = re.compile(r"jax:[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")
SERIALISED = (".jaxexport", ".stablehlo", ".mlir")


class Jax(Frontend):
    """Gives a model in form ``"onnx"``; written ``jax:package.module:factory``."""

    requires = ("jax>=0.6", "jax2onnx>=0.12", "onnx>=1.17", "onnxruntime>=1.17")
    extra = "jax"
    order = 15
    compared_with = "JAX"

    def sniff(self, what: Any) -> bool:
        if not isinstance(what, str | Path):
            return False
        return bool(FACTORY.fullmatch(str(what))) or Path(what).suffix.lower() in SERIALISED

    def describes(self, what: Any) -> bool:
        return False

    def load(self, source: Source) -> Model:
        if Path(str(source.what)).suffix.lower() in SERIALISED:
            raise Unsupported(
                f"Cannot load '{source.what}': it is a serialised JAX program, which JAX alone can "
                "run. Give the function: jax:package.module:factory."
            )
        return _apart.load(self.name, source, {"JAX_PLATFORMS": "cpu"})

    def here(self, source: Source) -> Model:
        """The model, with JAX in this process."""
        name = str(source.what).removeprefix(PREFIX)
        function, examples = _function(find_factory(name, source.paths), name)
        specs = list(source.examples) or _from_examples(examples, name)
        proto = _converted(function, specs)
        onnx: Any = plugin.frontends.get("onnx")
        model: Model = onnx.load(Source(proto))
        import jax

        def run(*values: np.ndarray) -> list[Any]:
            return list(jax.tree_util.tree_leaves(function(*values)))

        return compared(model, self.name, f"JAX {jax.__version__}", computed(specs, run))


def _function(found: Any, name: str) -> tuple[Any, Any]:
    """``(function of arrays, examples or None)`` of what a factory is or gives."""
    made = found
    if callable(found) and not _is_module(found):
        try:
            made = found()
        except TypeError:  # the function itself
            made = found
    made, examples = made if isinstance(made, tuple) and len(made) == 2 else (made, None)
    if isinstance(made, tuple) and len(made) == 2 and hasattr(made[0], "apply"):
        module, variables = made
        return lambda *inputs: module.apply(variables, *inputs), examples
    if not callable(made):
        raise BadModel(
            f"Cannot use '{name}': it gives a {type(made).__name__}. It must give a function of "
            "arrays, or a tuple of one and example inputs."
        )
    return made, examples


def _is_module(value: Any) -> bool:
    return any(part in sys.modules and isinstance(value, getattr(sys.modules[part], "Module", ()))
               for part in ("flax.nnx", "flax.linen"))  # fmt: skip


def _from_examples(examples: Any, name: str) -> list[TensorSpec]:
    if examples is None:
        raise BadInput(
            f"Cannot tell the inputs of '{name}'. Give their shapes, such as --shape "
            "input_0=batch,32,32,3, or let the factory return (function, example inputs)."
        )
    values = list(examples) if isinstance(examples, list | tuple) else [examples]
    arrays = [np.asarray(value) for value in values]
    return [
        TensorSpec(f"input_{n}", _narrow(array.dtype), (BATCH, *array.shape[1:]))
        for n, array in enumerate(arrays)
    ]


def _narrow(kind: Any) -> str:
    """JAX computes in 32 bits unless told otherwise."""
    return {"float64": "float32", "int64": "int32"}.get(str(kind), str(kind))


def _converted(function: Any, specs: list[TensorSpec]) -> Any:
    import jax
    import jax2onnx

    shapes = [
        jax.ShapeDtypeStruct(tuple("B" if d == BATCH else d for d in spec.shape), spec.dtype)
        for spec in specs
    ]
    try:
        return jax2onnx.to_onnx(function, inputs=shapes)
    except Exception as error:
        raise Unsupported(
            f"jax2onnx cannot convert the function: {first_line(error)[:300]}. Write it with "
            "operators that it knows."
        ) from error
