"""Recipes: a network with the settings it trains well with, as data files beside this one."""

from __future__ import annotations

import importlib
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hasten.errors import BadData, BadInput, UnknownName
from hasten.imports import working_folder_first
from hasten.types import Data

if TYPE_CHECKING:
    import torch

FOLDER = Path(__file__).parent
NEEDED = ("epochs", "batch", "optimizer", "learning_rate")
"""What a recipe must say about training."""
SAVED = "a saved model"
"""What the recipe of a model takes that has learned before: its samples are not normalised."""
RANKS = {1: "vectors", 2: "series", 3: "pictures", 4: "clips"}
"""What a sample is by its number of dimensions."""


@dataclass(frozen=True)
class Recipe:
    """A network by place (``package.module:function``) and options, and how it is trained.

    ``takes`` is ``"vectors"``, ``"series"``, ``"pictures"`` or ``"clips"``, and empty for a model
    of one's own, which ``network`` then names as a factory without options; ``above`` the size in
    pixels from which on pictures are for it. ``speedups`` are those that change what is learned,
    with their options.
    """

    name: str
    title: str
    takes: str
    network: str
    options: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    speedups: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    above: int = 0

    def module(self, shape: Sequence[int], outputs: int) -> torch.nn.Module:
        """The network for samples of ``shape``, with PyTorch's initial weights.

        Raises ``BadInput`` where it is not to be found or not for such samples.
        """
        try:
            made: torch.nn.Module = self.maker()(shape, outputs, **self.options)
        except (TypeError, ValueError, IndexError, RuntimeError) as error:
            takes = f", which is for {self.takes}," if self.takes else ""
            raise BadInput(
                f"Cannot make the network of recipe '{self.name}'{takes} for samples of shape "
                f"{list(shape)}: {str(error).partition(chr(10))[0]}. Leave the recipe away, and "
                "one that fits is chosen."
            ) from error
        return made

    def maker(self) -> Callable[..., torch.nn.Module]:
        """What makes the network from a shape, the number of outputs, and its options."""
        place, _, function = self.network.partition(":")
        try:
            with working_folder_first():
                made: Callable[..., torch.nn.Module] = getattr(
                    importlib.import_module(place), function
                )
        except (ImportError, AttributeError, ValueError) as error:
            raise BadInput(
                f"Cannot find the network '{self.network}' of recipe '{self.name}': {error}. Write "
                "it as package.module:function."
            ) from error
        return made

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "takes": self.takes,
            "network": self.network,
            "options": dict(self.options),
            "training": dict(self.training),
            "speedups": {name: dict(options) for name, options in self.speedups.items()},
        }


def names() -> list[str]:
    """All recipes."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def named(name: str) -> Recipe:
    """The recipe called ``name``, or in a ``.toml`` file of the user's own."""
    own = Path(name)
    if own.suffix == ".toml" and own.is_file():
        return _read(own)
    if name not in names():
        raise UnknownName.among("recipe", name, names())
    return _read(FOLDER / f"{name}.toml")


def _read(path: Path) -> Recipe:
    try:
        found = Recipe(name=path.stem, **tomllib.loads(path.read_text()))
    except (tomllib.TOMLDecodeError, TypeError) as error:
        raise BadInput(f"Cannot read the recipe '{path}': {error}.") from error
    if missing := [name for name in NEEDED if name not in found.training]:
        raise BadInput(
            f"Cannot read the recipe '{path}': its [training] has no {' and no '.join(missing)}. "
            "The recipes in hasten/recipes show what stands there."
        )
    return found


def kind(data: Data) -> str:
    """What the samples are: vectors, series, pictures or clips."""
    shapes = [array.shape[1:] for array in data.inputs.values()]
    if len(shapes[0]) == 3 and shapes[0][2] in (1, 3, 4) and shapes[0][0] > 4:
        raise BadData(
            f"Cannot choose a recipe for '{data.name}': samples of shape {list(shapes[0])} look "
            "like pictures with their channels last. Give them as (channels, height, width)."
        )
    found = RANKS.get(len(shapes[0])) if len(shapes) == 1 else None
    if found is None:
        told = ", ".join(str(list(shape)) for shape in shapes)
        raise BadData(
            f"Cannot choose a recipe for '{data.name}': samples of shape {told} are neither "
            "vectors, series, pictures nor clips. Give a model: package.module:factory."
        )
    return found


def chosen(data: Data) -> Recipe:
    """The recipe for these samples; of those that fit pictures, the one for their size."""
    what = kind(data)
    size = max(next(iter(data.inputs.values())).shape[-2:]) if what == "pictures" else 0
    known = [recipe for recipe in map(named, names()) if recipe.takes == what]
    fit = [recipe for recipe in known if not recipe.above or size > recipe.above]
    # Of several, the one made for the largest; clips have two, and the first is the usual one.
    return max(fit, key=lambda recipe: recipe.above)


def output_count(data: Data, targets: np.ndarray) -> int:
    """How many outputs a network for these samples has."""
    if data.task == "classification":
        return max(len(data.classes), int(targets.max()) + 1)
    return int(np.prod(targets.shape[1:])) if targets.ndim > 1 else 1
