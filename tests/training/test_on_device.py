"""Samples in a device's memory: the same batches, kept as they are stored."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch")

from hasten.errors import BadInput, Unsupported  # noqa: E402
from hasten.training import choice  # noqa: E402
from hasten.training.on_device import OnDevice, placed  # noqa: E402
from hasten.training.samples import Samples  # noqa: E402
from hasten.types import Normalisation  # noqa: E402


def samples() -> Samples:
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (40, 3, 4, 4), dtype=np.uint8)
    scale = Normalisation(1 / 255, (0.3, 0.4, 0.5), (0.2, 0.3, 0.4))
    numbers = rng.integers(0, 9, (40, 5))
    return Samples((pictures, numbers), (scale, None), np.arange(40), np.arange(1, 40, 2))


def test_the_batches_are_the_same_to_the_last_bit() -> None:
    host = samples()
    there = OnDevice.of(host, "cpu")
    order = np.random.default_rng(1).permutation(len(host))
    batches = [order[:7], order[7:14]]
    for one, two in zip(host.batches(batches), there.batches(batches), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one[0], two[0], strict=True))
        assert torch.equal(one[1], two[1])


def test_a_batch_leaves_what_is_stored_alone() -> None:
    floats = np.random.default_rng(0).standard_normal((8, 2)).astype(np.float32)
    host = Samples(
        (floats,), (Normalisation(1.0, (1.0, 2.0), (2.0, 2.0)),), np.arange(8), np.arange(8)
    )
    there = OnDevice.of(host, "cpu")
    before = floats.copy()
    there.batch(np.arange(8))
    assert np.array_equal(floats, before)
    assert torch.equal(there.inputs[0], torch.from_numpy(before))


def test_bytes_stay_bytes_there() -> None:
    there = placed(samples(), "meta", "resident")
    assert [stored.dtype for stored in there.inputs] == [torch.uint8, torch.int64]
    inputs, targets = there.batch(np.arange(3))
    assert inputs[0].dtype == torch.float32
    assert {tensor.device.type for tensor in (*inputs, targets)} == {"meta"}
    assert inputs[0].shape == (3, 3, 4, 4)


def test_other_rows_of_the_same_arrays_are_not_brought_again() -> None:
    host = samples()
    there = placed(host, "meta", "resident")
    other = placed(host.take(np.arange(4)), "meta", "resident", there)
    assert other.inputs is there.inputs
    assert len(other) == 4


def test_samples_stay_where_they_are_on_a_cpu_and_with_a_loader() -> None:
    host = samples()
    assert placed(host, "cpu", "resident") is host
    assert placed(host, "cuda", "loader") is host


def test_devices_by_name() -> None:
    assert choice.device("cpu") == "cpu"
    with pytest.raises(BadInput, match="Unknown device 'tpu'"):
        choice.device("tpu")
    with pytest.raises(Unsupported, match=r"CUDA devices\. Use --device cpu"):
        choice.device("cuda:99")
