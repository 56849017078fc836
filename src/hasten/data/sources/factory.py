"""Data from the user's own code: ``package.module:factory``.

**Source:** the ``module:attribute`` notation of Python's entry points,
https://packaging.python.org/specifications/entry-points. The attribute is called without
arguments, unless it is data itself; modules in the working folder are found.
"""

from __future__ import annotations

import importlib
import re
from typing import Any

from hasten.data.sources._arrays import from_object
from hasten.errors import BadData, HastenError
from hasten.imports import working_folder_first
from hasten.plugin import DataSource
from hasten.types import Data, Spec

NOTATION = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


class Factory(DataSource):
    """Calls a user's function that returns data."""

    order = 40
    spelling = "package.module:factory"

    def sniff(self, what: Any) -> bool:
        return isinstance(what, str) and NOTATION.fullmatch(what) is not None

    def load(self, what: Any, spec: Spec | None, options: Any) -> Data:
        with working_folder_first():
            made = _attribute(what)
            if callable(made):
                made = _called(what, made)
            return from_object(what, made, spec)


def _attribute(what: str) -> Any:
    module_name, _, name = what.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise BadData(
            f"Cannot load data '{what}': there is no module '{error.name}' here. Run in its "
            "folder, install its package, or use images:FOLDER or FILE.npz."
        ) from error
    except Exception as error:
        raise BadData(
            f"Cannot load data '{what}': importing '{module_name}' raised "
            f"{type(error).__name__}: {error}"
        ) from error
    if not hasattr(module, name):
        offered = ", ".join(n for n in vars(module) if not n.startswith("_"))
        raise BadData(
            f"Cannot load data '{what}': module '{module_name}' has no '{name}'. It has: {offered}."
        )
    return getattr(module, name)


def _called(what: str, factory: Any) -> Any:
    try:
        return factory()
    except HastenError:
        raise
    except Exception as error:
        raise BadData(
            f"Cannot load data '{what}': it raised {type(error).__name__}: {error}. "
            "It must work without arguments and return data."
        ) from error
