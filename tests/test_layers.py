"""The house's layers: a file imports its own layer or below, and leaves never import each other."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "src" / "hasten"
LEAVES = {
    *("frontends", "forms", "converters", "techniques", "engines", "speedups", "targets"),
    "frameworks",
}
GROUND = {
    **{"types": 0, "errors": 0, "plugin": 1, "stats": 1, "recipes": 1, "nets": 1},
    **{"agreement": 1, "graphs": 1, "imports": 1},
}
HEAVY = {
    "torch",
    "onnx",
    "onnxruntime",
    "openvino",
    "nncf",
    "onnxscript",
    "jinja2",
    "PIL",
    "tensorflow",
    "jax",
    "av",
}
FILES = sorted(ROOT.rglob("*.py"))


def layer(part: str) -> int:
    """0 types, 1 plugin and stats, 2 leaves, 3 verbs and roads, 4 the command line."""
    if part in GROUND:
        return GROUND[part]
    if part in LEAVES:
        return 2
    return 4 if part == "cli" else 3


def imports(path: Path, top_only: bool = False) -> list[str]:
    """Full dotted names of everything a file imports."""
    tree = ast.parse(path.read_text())
    found: list[str] = []
    for node in tree.body if top_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = ".".join(["hasten", *path.relative_to(ROOT).parts[: -node.level], base])
            found += [f"{base}.{alias.name}" for alias in node.names]
    return found


def part_of(path: Path) -> str:
    first = path.relative_to(ROOT).parts[0]
    return first.removesuffix(".py")


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_down(path: Path) -> None:
    here = part_of(path)
    if here == "__init__":
        return
    for name in imports(path):
        pieces = name.split(".")
        if pieces[0] != "hasten" or len(pieces) < 2:
            continue
        there = pieces[1]
        if not (ROOT / there).exists() and not (ROOT / f"{there}.py").exists():
            continue  # a public name of the package itself
        assert layer(there) <= layer(here), f"{path.name} ({here}) imports {name} from above"
        if here in LEAVES and there in LEAVES:
            assert here == there, f"{path.name}: leaf {here} imports leaf {there}"
            assert pieces[2].startswith("_"), f"{path.name} imports the plug-in {name}"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_heavy_packages_are_imported_where_they_are_used(path: Path) -> None:
    if part_of(path) == "graphs":
        return  # all of it is PyTorch, and imported where a graph is built
    heavy = {name.split(".")[0] for name in imports(path, top_only=True)} & HEAVY
    assert not heavy, f"{path.name} imports {heavy} at its top"


def test_verbs_and_roads_name_no_plug_in() -> None:
    names = {p.stem for leaf in LEAVES for p in (ROOT / leaf).glob("[a-z]*.py")}
    roads = [
        p
        for p in FILES
        if layer(part_of(p)) == 3 and part_of(p) in {"search", "optimize", "bundle"}
    ]
    for path in roads:
        tree = ast.parse(path.read_text())
        texts = {
            n.value
            for n in ast.walk(tree)
            if isinstance(n, ast.Constant) and isinstance(n.value, str)
        }
        assert not texts & (names - {"cpu", "gpu"}), f"{path.name} names {texts & names}"


def test_every_file_says_what_it_is_and_stays_short() -> None:
    for path in FILES:
        text = path.read_text()
        assert ast.get_docstring(ast.parse(text)), f"{path} has no docstring"
        assert text.count("\n") <= 400, f"{path} has more than 400 lines"


def test_importing_hasten_loads_nothing_heavy() -> None:
    code = "import sys, hasten; print(*{m.split('.')[0] for m in sys.modules})"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not HEAVY & set(loaded)
