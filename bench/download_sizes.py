"""How much has to be downloaded: what pip fetches for each kind of installation.

    python -m bench.download_sizes                  every set but the CUDA build of PyTorch
    python -m bench.download_sizes --cuda           that one, too; fetches gigabytes

Every set is downloaded by ``pip download`` into a temporary folder, weighed and removed. The result
is ``bench/results/download_sizes.json``, which ``bench.readme`` puts into the READMEs.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

ROOT = Path(__file__).parents[1]
RESULT = ROOT / "bench" / "results" / "download_sizes.json"
TORCH = "torch==2.13.0"
SETS: dict[str, tuple[str, ...]] = {
    "core": (".",),
    "onnx": (".[openvino,onnxruntime]",),
    "torch": (TORCH,),
    "demo": (TORCH, ".[all]"),
    "test": (TORCH, ".[dev]"),
}
CUDA = "torch-cuda"
LARGEST = 3


def weigh(requirements: tuple[str, ...], *, as_everyone: bool = False) -> dict[str, Any]:
    """Bytes that pip fetches for these requirements, and the largest of them.

    ``as_everyone``: without this machine's pip settings, from the public index alone.
    """
    settings = dict(os.environ)
    if as_everyone:
        settings = {key: value for key, value in settings.items() if key != "PIP_FIND_LINKS"}
        settings["PIP_CONFIG_FILE"] = os.devnull
    with TemporaryDirectory(prefix="hasten-weigh-") as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-cache-dir"]
        options = ["--constraint", "constraints.txt", "--dest", folder]
        subprocess.run([*command, *options, *requirements], cwd=ROOT, env=settings, check=True)
        files = {f.name: f.stat().st_size for f in Path(folder).iterdir()}
    wheels = {name.partition("-")[0]: size for name, size in files.items() if size}
    wheels.pop("hasten", None)
    largest = sorted(wheels.items(), key=lambda item: -item[1])[:LARGEST]
    return {"bytes": sum(wheels.values()), "files": len(wheels), "largest": dict(largest)}


def main() -> None:
    """Weigh what is asked for and keep it beside what is known."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cuda", action="store_true", help="also the CUDA build of PyTorch")
    asked = parser.parse_args()
    found: dict[str, Any] = {name: weigh(wanted) for name, wanted in SETS.items()}
    known = json.loads(RESULT.read_text())["sets"] if RESULT.exists() else {}
    if asked.cuda:
        found[CUDA] = weigh((TORCH,), as_everyone=True)
    elif CUDA in known:
        found[CUDA] = known[CUDA]
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    record = {
        "python": f"{sys.version_info.major}.{sys.version_info.minor}",
        "system": f"{platform.system()} {platform.machine()}",
        "pip": version("pip"),
        "sets": found,
    }
    RESULT.write_text(json.dumps(record, indent=1) + "\n")
    for name, one in found.items():
        print(f"{name:12} {one['bytes'] / 1e6:8.1f} MB in {one['files']} files")


if __name__ == "__main__":
    main()
