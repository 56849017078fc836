"""Samples are real, repeatable, and numbered: given and test samples never meet."""

from __future__ import annotations

import numpy as np
import pytest

from bench import samples
from bench.jobs import row_named


@pytest.fixture(autouse=True)
def pictures_of_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures from the embedded digits: no download in a test."""
    greys = ("digits", np.kron(samples._digits(), np.ones((1, 3, 3), np.uint8)))
    monkeypatch.setattr(samples, "_greys", lambda: greys)


MAKERS = {
    "pictures": lambda n, start: samples.pictures(n, 40, start),
    "imagenet": samples.imagenet_pictures,
    "unit": lambda n, start: samples.unit_pictures(n, 48, start),
    "caffe": samples.caffe_pictures,
    "clips": samples.clips,
    "digits": samples.digit_sequences,
    "lines": lambda n, start: samples.text_lines(n, 48, 192, start),
    "pages": lambda n, start: samples.text_pages(n, 160, start),
    "tokens": lambda n, start: samples.sentences(n, start)["input_ids"],
    "files": samples.file_bytes,
}


@pytest.mark.parametrize("name", MAKERS)
def test_a_sample_has_a_number_and_never_changes(name: str) -> None:
    make = MAKERS[name]
    together, alone = make(3, 7), make(1, 9)
    np.testing.assert_array_equal(together[2], alone[0])
    assert not np.array_equal(together[0], together[1])


@pytest.mark.parametrize("name", MAKERS)
def test_no_sample_is_flat(name: str) -> None:
    for sample in MAKERS[name](2, 0):
        assert sample.std() > 0


def test_ranges() -> None:
    unit = samples.unit_pictures(2, 64)
    assert unit.shape == (2, 3, 64, 64)
    assert (unit.min() >= 0, unit.max() <= 1) == (True, True)
    assert abs(samples.digit_sequences(8).mean()) < 0.05
    assert samples.caffe_pictures(1).shape == (1, 224, 224, 3)


def test_sentences_are_masked_to_their_length() -> None:
    made = samples.sentences(20)
    ids, mask = made["input_ids"], made["attention_mask"]
    assert ids.dtype == mask.dtype == np.int64
    assert ((ids > 0) == (mask == 1)).all()
    assert ids.max() < samples.VOCABULARY
    assert (mask.sum(1) >= 16).all()


def test_short_files_are_padded() -> None:
    made = samples.file_bytes(200)
    assert made.dtype == np.int32
    assert made.min() >= 0
    assert made.max() == samples.PADDING_BYTE
    head = made[made[:, 1023] == samples.PADDING_BYTE][0, :1024]
    used = int((head != samples.PADDING_BYTE).sum())
    assert (head[used:] == samples.PADDING_BYTE).all()


@pytest.mark.parametrize("name", ["lstm", "text-encoder", "ppocr-cls", "magika", "esrgan-x2"])
def test_given_and_test_samples_differ(name: str) -> None:
    row = row_named(name)
    (given, _), (test, labels) = row.draw("given"), row.draw("test")
    assert labels is None
    assert list(given) == list(test)
    for ours, theirs in zip(given.values(), test.values(), strict=True):
        assert len(ours) >= 64
        assert len(theirs) % max(row.batches) == 0
        assert not np.array_equal(ours[: len(theirs)], theirs)
        assert not np.array_equal(ours[-1], theirs[0])
