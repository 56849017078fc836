"""Checkpoints: the last good one is found; what belongs to another run is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="needs torch")

from hasten.errors import BadInput  # noqa: E402
from hasten.training.checkpoints import FACTS, TENSORS, Checkpoints  # noqa: E402


def kept(folder: Path, *steps: int, **identity: object) -> Checkpoints:
    found = Checkpoints(folder, {"seed": 0, **identity})
    for step in steps:
        found.save(step, {"w": torch.full((3,), float(step))}, {"n": step})
    return found


def test_the_last_is_read_back(tmp_path: Path) -> None:
    found = kept(tmp_path, 1, 2).last()
    assert found is not None
    assert (found.step, found.facts) == (2, {"n": 2})
    assert torch.equal(found.tensors["w"], torch.full((3,), 2.0))


def test_old_ones_go(tmp_path: Path) -> None:
    assert kept(tmp_path, 1, 2, 3, 4).steps() == [3, 4]


def test_none_is_none(tmp_path: Path) -> None:
    assert kept(tmp_path).last() is None


@pytest.mark.parametrize("name", [TENSORS, FACTS])
@pytest.mark.parametrize("how", ["cut", "flipped", "gone", "empty"])
def test_a_damaged_one_is_passed_over(tmp_path: Path, name: str, how: str) -> None:
    found = kept(tmp_path, 1, 2)
    path = tmp_path / "step-000000002" / name
    raw = bytearray(path.read_bytes())
    if how == "gone":
        path.unlink()
    elif how == "flipped":
        raw[len(raw) // 2] ^= 1
        path.write_bytes(raw)
    else:
        path.write_bytes(raw[: len(raw) // 2] if how == "cut" else b"")
    last = found.last()
    assert last is not None
    assert last.step == 1


def test_another_run_is_refused_with_what_differs(tmp_path: Path) -> None:
    kept(tmp_path, 1, recipe="cnn")
    with pytest.raises(BadInput, match="recipe was cnn, is mlp; seed was 0, is 5"):
        Checkpoints(tmp_path, {"seed": 5, "recipe": "mlp"}).last()
