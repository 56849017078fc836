"""Writes what the documentation repeats of the code: commands, plug-ins, and the table of sources.

    python -m bench.reference            writes docs/commands.md and docs/catalogue.md, and the
                                         table of sources in docs/frameworks.md and README.md
    python -m bench.reference --check    says whether they are as the code is

Everything in them comes from help texts, docstrings and class attributes.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import typer

from hasten import cli, plugin
from hasten.plugin import Plugin

ROOT = Path(__file__).parents[1]
SPEEDUPS = Path(__file__).parent / "results" / "speedups.json"
MADE = "<!-- Made by `python -m bench.reference`: change the code, not this page. -->"
SOURCES = ("<!-- sources -->", "<!-- /sources -->")
WITH_SOURCES = ("docs/frameworks.md", "README.md", "README.zh-CN.md")
FAMILIES = {
    "frontends": "Front ends: read a source framework's models",
    "forms": "Forms: how a model is held and kept",
    "converters": "Converters: from one form to another",
    "techniques": "Techniques: change graph or weights",
    "engines": "Engines: runtimes",
    "speedups": "Speed-ups: make training faster",
    "frameworks": "Frameworks: what `hasten compare` trains one network in",
    "targets": "Targets: what the machine is",
    "data.sources": "Data sources",
}


def grid(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table."""
    cells = [list(head), ["---"] * len(head), *rows]
    return ["| " + " | ".join(map(_cell, row)) + " |" for row in cells]


def _cell(text: str) -> str:
    return _marked(text).replace("|", "\\|").replace("<", "&lt;")


def _marked(text: str) -> str:
    """A docstring's literals as Markdown has them."""
    return text.replace("``", "`")


# --- commands -------------------------------------------------------------------------------------


def verbs() -> Mapping[str, Any]:
    """Every verb's command, in the order of ``hasten --help``."""
    if not cli.app.registered_commands:
        cli._register()
    group: Any = typer.main.get_command(cli.app)
    return dict(group.commands)


def commands_page() -> str:
    """All verbs with their arguments and options."""
    parts = [MADE, "# Commands", "", *_introduction()]
    for name, command in verbs().items():
        parts += ["", f"## hasten {name}", "", inspect.cleandoc(command.help or ""), ""]
        parts += grid(("argument or option", "default", "meaning"), list(_parameters(command)))
        examples = (command.epilog or "").partition(": ")[2].split(" · ")
        parts += ["", "```", *examples, "```"]
    return "\n".join(parts) + "\n"


def _introduction() -> list[str]:
    return [
        "Every verb has `--help` and `--json` (one stable document on standard output, described",
        "in [evidence.md](evidence.md)). `hasten --version` prints the version; `hasten --debug",
        "VERB ...` shows the traceback of an error.",
        "",
        "Exit codes: 0 a result, also where the original was kept; 1 a failed `verify`, or a fault",
        "of Hasten's own; 2 input that cannot be used, with one line that says what to do; 130",
        "interrupted, with the best so far packed.",
    ]


def _parameters(command: Any) -> Iterator[tuple[str, str, str]]:
    for one in command.params:
        if one.name == "help":
            continue
        if one.param_type_name == "argument":
            yield f"`{one.name.upper()}`", "required" if one.required else "", one.help or ""
            continue
        names = ", ".join(f"`{name}`" for name in one.opts)
        plain = one.default is not None and not isinstance(one.default, bool)
        yield names, f"`{one.default}`" if plain else "", one.help or ""


# --- plug-ins -------------------------------------------------------------------------------------


def catalogue_page() -> str:
    """All plug-ins of all families with their requirements and options."""
    parts = [MADE, "# Catalogue of plug-ins", ""]
    parts += ["One file each; [plugins.md](plugins.md) says how to add one. In a plan an option"]
    parts += ["is written as `openvino(precision=bf16)`."]
    for family, title in FAMILIES.items():
        parts += ["", f"## {title}"]
        for plug_in in plugin.FAMILIES[family].all():
            if type(plug_in).__module__.startswith("hasten."):
                parts += ["", *_plug_in(plug_in)]
    return "\n".join(parts) + "\n"


def _plug_in(one: Plugin) -> list[str]:
    module = inspect.getmodule(type(one))
    text = _marked(inspect.getdoc(module) or "")
    facts = [*_facts(one)]
    needs = ", ".join(one.requires) or "nothing beyond Hasten's own requirements"
    facts.append(f"Needs {needs}" + (f" (extra `{one.extra}`)." if one.extra else "."))
    options = _options(one)
    return [f"### {one.name}", "", text, "", " ".join(facts), *(["", *options] if options else [])]


def _facts(one: Any) -> Iterator[str]:
    """What a plug-in declares about itself, in sentences."""
    if takes := getattr(one, "takes", ""):
        yield f"From form `{takes}` to `{one.gives}`."
    if accepts := getattr(one, "accepts", ()):
        yield f"Takes form {', '.join(f'`{form}`' for form in accepts)}."
    if targets := getattr(one, "targets", ()):
        yield f"Runs on {', '.join(targets)}."
    if stage := getattr(one, "stage", ""):
        yield f"Stage: {stage}."
    for name in ("needs", "forbids", "gives"):
        traits = getattr(one, name, ())
        if isinstance(traits, frozenset) and traits:
            shown = ", ".join(f"`{trait}`" for trait in sorted(traits))
            verb = {"needs": "Needs the trait", "forbids": "Refuses the trait"}
            yield f"{verb.get(name, 'Gives the trait')} {shown}."
    if spelling := getattr(one, "spelling", ""):
        yield f"Written as `{spelling}`."
    if changes := getattr(one, "changes", ""):
        yield from _card(one, changes)


def _card(one: Any, changes: str) -> Iterator[str]:
    """A speed-up's card: what it changes, what its source claims, and what was measured."""
    learned = "" if one.kind == "system" else ", and with it what is learned"
    yield f"It changes {changes}{learned}. Expected: {one.expected}."
    if not SPEEDUPS.exists():
        return
    rows = json.loads(SPEEDUPS.read_text()).get(one.name, {"rows": ()})["rows"]
    found = "; ".join(_measured(row) for row in rows if "failed" not in row)
    if found:
        yield f"Measured ([speedups.md](../bench/results/speedups.md)): {found}."


def _measured(row: Mapping[str, Any]) -> str:
    """One row of ``bench/results/speedups.json`` in words."""
    options = "".join(f", {key} {value:g}" for key, value in row.get("options", {}).items())
    what = f"{row['recipe']} on {row['data']}{options}"
    if "gain" in row:
        interval = f"[{row['low']:+.4f}, {row['high']:+.4f}]"
        return f"{what}: {row['metric']} {row['gain']:+.4f} {interval} after {row['steps']} steps"
    ratio = row["ratio"]
    return f"{what}: {ratio['value']:.2f} [{ratio['low']:.2f}, {ratio['high']:.2f}] times"


def _options(one: Plugin) -> list[str]:
    rows = [
        (f"`{field.name}`", _kind(str(field.type)), f"`{field.default!r}`")
        for field in fields(one.Options)
        if field.default is not MISSING
    ]
    if not rows:
        return []
    told = _marked(" ".join((inspect.getdoc(one.Options) or "").split()))
    written = not told.startswith("Options(")  # what dataclasses put where there is no docstring
    return [*grid(("option", "takes", "default"), rows), *(["", told] if written else [])]


def _kind(written: str) -> str:
    """An option's type as its author wrote it; of a ``Literal`` its values."""
    if not written.startswith("Literal["):
        return f"`{written}`"
    values = ast.literal_eval(written.removeprefix("Literal"))
    return ", ".join(f"`{value}`" for value in values)


# --- sources --------------------------------------------------------------------------------------


def sources_table() -> str:
    """What every front end reads, what it needs, and what its models are compared with."""
    rows = []
    for one in sorted(plugin.frontends.all(), key=lambda front_end: front_end.order):
        if not type(one).__module__.startswith("hasten."):
            continue
        first = (inspect.getdoc(inspect.getmodule(type(one))) or "").partition("\n")[0]
        source, _, read = first.rstrip(".").partition(": ")
        needs = ", ".join(map(plugin.requirement_name, one.requires))
        compared = one.compared_with or "used as it is"
        rows.append((source, read, f"{needs} (`hasten[{one.extra}]`)", compared))
    return "\n".join(grid(("source", "read", "needs", "compared with"), rows))


def with_sources(name: str) -> str:
    """The page with its table of sources as the code is."""
    page = (ROOT / name).read_text()
    before, _, rest = page.partition(SOURCES[0])
    _, _, after = rest.partition(SOURCES[1])
    return f"{before}{SOURCES[0]}\n{sources_table()}\n{SOURCES[1]}{after}"


# --- both -----------------------------------------------------------------------------------------


def pages() -> dict[str, str]:
    """The pages by their place in the repository."""
    return {
        "docs/commands.md": commands_page(),
        "docs/catalogue.md": catalogue_page(),
        **{name: with_sources(name) for name in WITH_SOURCES},
    }


def outdated(folder: Path = ROOT) -> list[str]:
    """The pages that differ from the code."""
    return [
        name
        for name, text in pages().items()
        if not (folder / name).exists() or (folder / name).read_text() != text
    ]


def main() -> None:
    """Write the pages, or say which are outdated."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="change nothing; 1 if outdated")
    if parser.parse_args().check:
        if found := outdated():
            sys.exit(f"outdated: {', '.join(found)}. Run: python -m bench.reference")
        return
    for name, text in pages().items():
        (ROOT / name).write_text(text)
        print(f"wrote {name}")


if __name__ == "__main__":
    main()
