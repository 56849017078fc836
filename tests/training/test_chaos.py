"""An outside referee: ``ckpt-chaos`` kills a run where it writes, and judges what comes back.

Its modes: killed before a file event, killed with the file cut in half, told by SIGTERM.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs torch")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(
        importlib.util.find_spec("ckpt_chaos") is None,
        reason="ckpt-chaos is not installed: pip install ckpt-chaos",
    ),
]

POINTS = 45


def test_the_referee_finds_nothing(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    y = np.arange(200) % 2
    x = (rng.standard_normal((200, 4)) + y[:, None]).astype(np.float32)
    np.savez(tmp_path / "table.npz", x=x, y=y)
    hasten = "from hasten.cli import main; main()"
    train = [sys.executable, "-c", hasten, "train", "mlp", "--data", str(tmp_path / "table.npz")]
    train += ["--deterministic", "--epochs", "2", "--batch", "32", "--resume", "-o", "{out}"]
    referee = [sys.executable, "-m", "ckpt_chaos", "run", "--work", str(tmp_path / "work")]
    referee += ["--step-regex", r"going on from step (\d+)"]
    referee += ["--checkpoint-glob", "{out}/checkpoints/step-*", "--ckpt-ignore-size"]
    referee += ["--result-file", "{out}/model.safetensors", "--modes", "before,torn,term"]
    referee += ["--max-points", str(POINTS), "--fail-on", "HARD_FAIL,SILENT_DIVERGENCE,LOST_WORK"]
    said = subprocess.run(
        [*referee, "--", *train], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert said.returncode == 0, said.stdout + said.stderr
    found = [json.loads(path.read_text()) for path in (tmp_path / "work").rglob("result.json")]
    assert len(found) >= 20, "it killed too few runs to tell"
