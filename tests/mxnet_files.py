"""Writes small MXNet files: symbols and ``.params`` in every layout there was."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

KINDS = {"float32": 0, "float64": 1, "float16": 2, "uint8": 3, "int32": 4, "int8": 5, "int64": 6}
MAGIC = {"v1": 0xF993FAC8, "v2": 0xF993FAC9, "v3": 0xF993FACA}


def params(arrays: Mapping[str, np.ndarray], layout: str = "v2") -> bytes:
    """A ``.params`` file; ``layout`` is ``"v3"``, ``"v2"``, ``"v1"`` or ``"first"``."""
    out = struct.pack("<QQQ", 0x112, 0, len(arrays))
    for array in arrays.values():
        if layout in ("v2", "v3"):
            out += struct.pack("<Iii", MAGIC[layout], 0, array.ndim)
            out += struct.pack(f"<{array.ndim}q", *array.shape)
        elif layout == "v1":
            out += struct.pack("<II", MAGIC["v1"], array.ndim)
            out += struct.pack(f"<{array.ndim}q", *array.shape)
        else:
            out += struct.pack("<I", array.ndim) + struct.pack(f"<{array.ndim}I", *array.shape)
        out += struct.pack("<iii", 1, 0, KINDS[array.dtype.name]) + array.tobytes()
    out += struct.pack("<Q", len(arrays))
    for name in arrays:
        out += struct.pack("<Q", len(name)) + name.encode()
    return out


def symbol(nodes: Sequence[tuple[str, str, dict[str, Any], Sequence[str]]]) -> str:
    """A ``-symbol.json`` of ``(operator, name, attributes, inputs by name)``; the last is given."""
    places = {name: n for n, (_, name, _, _) in enumerate(nodes)}
    rows = [
        {
            "op": kind,
            "name": name,
            "attrs": {key: str(value) for key, value in attributes.items()},
            "inputs": [[places[one], 0, 0] for one in inputs],
        }
        for kind, name, attributes, inputs in nodes
    ]
    arguments = [n for n, row in enumerate(rows) if row["op"] == "null"]
    return json.dumps({"nodes": rows, "arg_nodes": arguments, "heads": [[len(rows) - 1, 0, 0]]})
