"""PyTorch modules: live ones, factories, ``.pt2`` files, TorchScript and pickled modules.

**Source:** PyTorch 2.13 (``torch.export``, ``torch.load``). Inputs are taken from what the user
specified, from the factory's examples, or from the module's ``example_input_array`` (the name
that Lightning gave it), in this order. The model is called, exported, and the exported graph
compared with it at two batch sizes.
"""

from __future__ import annotations

import copy
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hasten import plugin
from hasten.errors import BadInput, Unsupported
from hasten.frontends._torch import (
    Inputs,
    from_examples,
    from_program,
    from_specs,
    parameters,
)
from hasten.frontends._torch_files import (
    build,
    first_line,
    load_module,
    load_program,
    load_weights,
)
from hasten.frontends._torch_probe import probe
from hasten.frontends._torch_script import is_script, script_cases, unscripted
from hasten.plugin import Frontend, Source
from hasten.plugin.checking import compared
from hasten.types import Model

if TYPE_CHECKING:
    import torch

_FACTORY = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")
PROGRAM = ".pt2"
PICKLES = (".pt", ".pth", ".ckpt", ".safetensors")


class TorchFrontend(Frontend):
    """``nn.Module`` objects, ``package.module:factory``, and PyTorch's own files."""

    requires = ("torch>=2.11", "safetensors>=0.4.3")
    extra = "torch"
    compared_with = "PyTorch"

    def sniff(self, what: Any) -> bool:
        if isinstance(what, str | Path):
            known = Path(what).suffix.lower() in (PROGRAM, *PICKLES)
            return known or bool(_FACTORY.fullmatch(str(what)))
        loaded = sys.modules.get("torch")
        return loaded is not None and isinstance(what, loaded.nn.Module)

    def describes(self, what: Any) -> bool:
        if isinstance(what, str | Path):
            return Path(what).suffix.lower() == PROGRAM
        return getattr(what, "example_input_array", None) is not None

    def load(self, source: Source) -> Model:
        module, given = self._module(source)
        if source.weights is not None:
            load_weights(module, Path(source.weights), source.trust)
        module = module.cpu().eval()
        for weight in module.parameters():
            weight.requires_grad_(False)
        inputs = self._inputs(module, given, source)
        if not is_script(module):
            return probe(module, inputs).model(self.name, "PyTorch")
        graph, notes = unscripted(module, inputs)
        model = probe(graph, inputs).model(self.name, notes=notes)
        return compared(model, self.name, "TorchScript", script_cases(module, model.spec))

    def _module(self, source: Source) -> tuple[torch.nn.Module, Any]:
        """``(module, example inputs or None)``, the module free to be changed."""
        if not isinstance(source.what, str | Path):
            return _copy(source.what), None
        path = Path(source.what)
        if path.suffix.lower() == PROGRAM:
            if source.weights is not None:
                raise BadInput(f"Cannot use --weights with '{path}': it holds its own.")
            program = load_program(path, source.trust)
            form: Any = plugin.forms.get("torch")
            return form.flatten(program), from_program(program)
        if path.suffix.lower() in PICKLES:
            return load_module(path, source.trust), None
        return build(str(source.what), source.paths)

    def _inputs(self, module: torch.nn.Module, given: Any, source: Source) -> Inputs:
        given = getattr(module, "example_input_array", None) if given is None else given
        if source.examples:
            return from_specs(module, source.examples)
        if isinstance(given, Inputs):
            return given
        if given is not None:
            return from_examples(module, given)
        names, required = parameters(module)
        shapes = " ".join(f"--shape {name}=batch,3,224,224" for name in required or names[:1])
        raise BadInput(
            "Cannot tell the model's inputs. Give their shapes, such as "
            f"{shapes or '--shape input_0=batch,3,224,224'}, or let the factory return "
            "(module, example inputs)."
        )


def _copy(module: torch.nn.Module) -> torch.nn.Module:
    """A copy, so that the user's module stays in the mode and place it is in."""
    try:
        return copy.deepcopy(module)
    except Exception as error:
        raise Unsupported(
            f"Cannot copy the module ({first_line(error)}). Give 'package.module:factory' instead."
        ) from error
