"""What was chosen: speed-ups with their options, the device, and the state of the process."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

from hasten import plugin
from hasten.errors import BadInput, Unsupported
from hasten.plugin import Setup, Speedup
from hasten.recipes import Recipe
from hasten.training.settings import TrainSettings
from hasten.types import Use


def named(texts: list[str] | tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """Speed-ups as the command line has them: ``ema`` or ``ema=decay:0.999,other:1``."""
    found: dict[str, dict[str, Any]] = {}
    for text in texts:
        name, _, options = text.partition("=")
        found[name] = {}
        for option in filter(None, options.split(",")):
            key, colon, value = option.partition(":")
            if not (key and colon and value):
                raise BadInput(
                    f"Cannot read --speedup {text}: '{option}' is not an option. Write "
                    "NAME=key:value, as in ema=decay:0.999."
                )
            found[name][key] = _value(value)
    return found


def _value(text: str) -> Any:
    if text in ("true", "false"):
        return text == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


@dataclass(frozen=True)
class Learned:
    """A setup with what changes what is learned: which speed-ups, and why others of the recipe are
    not among them."""

    setup: Setup
    used: tuple[Use, ...]
    left: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        return {"used": [use.to_json() for use in self.used], "left": dict(self.left)}


def learned(setup: Setup, recipe: Recipe, settings: TrainSettings) -> Learned:
    """The setup with what changes what is learned: the speed-ups asked for, and of the recipe's
    those that fit this task and loss."""
    asked = settings.speedups or {}
    own = {name: asked[name] for name in asked if plugin.speedups.get(name).kind == "algorithm"}
    wanted = {**recipe.speedups, **own}
    found = [plugin.speedups.get(name) for name in wanted if name not in (settings.without or ())]
    used, left = [], {}
    for speedup in sorted(found, key=lambda speedup: speedup.order):
        name = speedup.name
        if name not in own and not (verdict := speedup.supports(setup, {})):
            left[name] = verdict.why
            continue
        setup = speedup(setup, {}, wanted[name])
        used.append(Use.of(name, **wanted[name]))
    return Learned(setup, tuple(used), left)


def fitted(recipe: Recipe, settings: TrainSettings) -> Recipe:
    """The recipe with the options that its network needs for the speed-ups in use."""
    names = {**recipe.speedups, **(settings.speedups or {})}
    for speedup in (plugin.speedups.get(name) for name in names):
        if speedup.name not in (settings.without or ()) and speedup.network:
            recipe = _with_options(recipe, speedup)
    return recipe


def _with_options(recipe: Recipe, speedup: Speedup) -> Recipe:
    known = inspect.signature(recipe.maker()).parameters
    for option, value in speedup.network.items():
        if option not in known:
            raise Unsupported(
                f"Cannot use speed-up '{speedup.name}' with recipe '{recipe.name}': it needs a "
                f"network with the option {option} = '{value}', and {recipe.network} has none. "
                "Leave it out, or use another recipe."
            )
    return replace(recipe, options={**recipe.options, **speedup.network})


def device(name: str | None) -> str:
    """The device to train on: the one asked for, else a GPU where PyTorch finds one."""
    import torch

    if name is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    kind, _, number = name.partition(":")
    if kind not in ("cpu", "cuda") or (number and not number.isdigit()):
        raise BadInput(f"Unknown device '{name}'. Known: cpu, cuda, cuda:1 and so on.")
    if kind == "cuda" and int(number or 0) >= torch.cuda.device_count():
        raise Unsupported(
            f"Cannot train on '{name}': PyTorch {torch.__version__} finds "
            f"{torch.cuda.device_count()} CUDA devices. Use --device cpu."
        )
    return kind if kind == "cpu" else name


State = Callable[[], AbstractContextManager[Any]]


@contextmanager
def entered(threads: int | None, states: Iterable[State]) -> Iterator[None]:
    """Compute with so many threads (``None``: with as many as before) and in these states of the
    process; then everything is as it was."""
    import torch

    before = torch.get_num_threads()
    with ExitStack() as stack:
        for state in states:
            stack.enter_context(state())
        torch.set_num_threads(threads or before)
        try:
            yield
        finally:
            torch.set_num_threads(before)
