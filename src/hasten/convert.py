"""Convert a model to a file of another format, checked: ONNX, OpenVINO IR, or ``.pt2``."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hasten import plugin
from hasten.errors import BadInput, OutOfSpace
from hasten.search.settings import model_source
from hasten.search.store import Store, is_full
from hasten.search.workshop import Workshop
from hasten.types import TensorSpec


def suffixes() -> dict[str, str]:
    """The form that a file is written in, by how its name ends."""
    return {form.suffix: form.name for form in plugin.forms.all() if form.suffix}


def convert(
    model: Any,
    out: str | Path,
    *,
    weights: str | Path | None = None,
    trust: bool = False,
    shapes: Sequence[TensorSpec] = (),
    reference: str | Path | None = None,
    python: str | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Write ``model`` as ``out``, whose suffix names the format; a JSON-ready record.

    Every conversion on the way is compared with what went into it at two batch sizes. Free
    dimensions stay free. Raises ``BadInput`` for an unknown suffix, or a file that is there.
    """
    place = Path(out)
    form = _form(place, overwrite)
    source = model_source(model, weights, trust, shapes, reference, python)
    workshop = Workshop(Store(), plugin.targets.get("cpu").probe())
    began = time.monotonic()
    try:
        note = workshop.ingest(source, {})
        with tempfile.TemporaryDirectory(dir=place.parent, prefix=f".{place.name}-") as aside:
            done = workshop.convert(form, Path(aside) / place.name)
            files = sorted(path.name for path in Path(aside).iterdir())
            size = sum((Path(aside) / name).stat().st_size for name in files)
            for name in files:
                os.replace(Path(aside) / name, place.parent / name)
    except OSError as error:
        if is_full(error):
            raise OutOfSpace(f"Cannot write '{place}': the disk is full.") from error
        raise BadInput(f"Cannot write '{place}': {error.strerror}.") from error
    finally:
        workshop.close()
    return {
        "out": str(place),
        "files": files,
        "bytes": size,
        "format": form,
        "from": note["form"],
        "loaded": note["history"],
        "way": done["way"],
        "difference": done["difference"],
        "spec": done["spec"],
        "seconds": round(time.monotonic() - began, 2),
    }


def _form(place: Path, overwrite: bool) -> str:
    known = suffixes()
    if place.suffix.lower() not in known:
        raise BadInput(
            f"Cannot tell the format of '{place}': its name must end in {', '.join(sorted(known))}."
        )
    if not place.parent.is_dir():
        raise BadInput(f"Cannot write '{place}': there is no folder '{place.parent}'.")
    if place.exists() and not overwrite:
        raise BadInput(f"Cannot write '{place}': it is there already. Pass --overwrite.")
    if place.is_dir():
        raise BadInput(f"Cannot write '{place}': it is a folder.")
    if shutil.disk_usage(place.parent).free == 0:
        raise OutOfSpace(f"Cannot write '{place}': the disk is full.")
    return known[place.suffix.lower()]
