"""Image folders: layouts, geometry, the cache, and folders that cannot be used."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import hasten.data.sources._folders as folders
from hasten.data import fit, load, split
from hasten.errors import BadData, UnknownName
from hasten.types import Data, Normalisation, Spec, TensorSpec

OUT = (TensorSpec("logits", "float32", ("batch", 2)),)
COLOURS = {"blue": (20, 40, 200), "red": (220, 30, 10)}


def draw(path: Path, colour: tuple[int, int, int], size: tuple[int, int] = (40, 30)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    for name, colour in COLOURS.items():
        for number in range(10):
            shade = tuple(min(255, c + number) for c in colour)
            draw(folder / name / f"{number}.png", shade)
    return folder


def spec_of(*shape: int | str) -> Spec:
    return Spec((TensorSpec("image", "float32", shape),), OUT)


def only(data: Data) -> np.ndarray:
    (array,) = data.inputs.values()
    return array


def test_classes_are_sub_folders(photos: Path) -> None:
    found = load(f"images:{photos}")
    assert found.classes == ("blue", "red")
    assert found.labels.tolist() == [0] * 10 + [1] * 10
    assert only(found).shape == (20, 3, 30, 30), "as the files have them"
    assert only(found).dtype == np.uint8
    assert only(found)[12, :, 15, 15].tolist() == [222, 32, 12]
    assert found.normalisation["images"].mean == (0.485, 0.456, 0.406)
    assert any("ImageNet" in note for note in found.notes)


def test_size_channels_layout_and_normalisation_follow_the_model(photos: Path) -> None:
    first = load(f"images:{photos}", spec_of("batch", 3, 16, 24))
    assert only(first).shape == (20, 3, 16, 24)
    last = load(f"images:{photos}", spec_of("batch", 16, 24, 3))
    np.testing.assert_array_equal(only(last), only(first).transpose(0, 2, 3, 1))
    assert last.normalisation["image"].axis == 3
    grey = load(f"images:{photos}", spec_of("batch", 1, 16, 24))
    assert only(grey).shape == (20, 1, 16, 24)
    assert len(grey.normalisation["image"].mean) == 1
    free = load(f"images:{photos}", spec_of("batch", 3, "height", "width"))
    assert only(free).shape == (20, 3, 224, 224)
    half = Normalisation(1 / 255, (0.5,), (0.5,))
    spec = spec_of("batch", 3, 16, 24)
    spec = Spec(spec.inputs, spec.outputs, normalisation={"image": half})
    assert load(f"images:{photos}", spec).normalisation == {"image": half}
    assert fit(load(f"images:{photos}", spec), spec).normalisation == {"image": half}


def test_options(photos: Path) -> None:
    found = load(f"images:{photos}?size=12,18&mean=0.5&std=0.25,0.25,0.5")
    assert only(found).shape == (20, 3, 12, 18)
    assert found.normalisation["images"] == Normalisation(1 / 255, (0.5,), (0.25, 0.25, 0.5))
    assert only(load(f"images:{photos}", size=9)).shape == (20, 3, 9, 9)


def test_pictures_are_cut_around_the_centre(tmp_path: Path) -> None:
    pixels = np.zeros((30, 50, 3), np.uint8)
    pixels[:, 10:40] = 200  # the central square is light, both ends are black
    for name in COLOURS:
        (tmp_path / name).mkdir()
        Image.fromarray(pixels).save(tmp_path / name / "a.png")
    whole = only(load(f"images:{tmp_path}?size=30"))
    assert (whole == 200).all()
    pixels[:2] = pixels[-2:] = 0
    Image.fromarray(pixels).save(tmp_path / "red" / "a.png")
    assert not (only(load(f"images:{tmp_path}?size=30"))[1] == 200).all()
    assert (only(load(f"images:{tmp_path}?size=26&crop=0.8"))[1] == 200).all()


def test_orientation_of_cameras_is_applied(tmp_path: Path) -> None:
    upright = np.zeros((20, 20, 3), np.uint8)
    upright[:10] = 250
    exif = Image.Exif()
    exif[0x0112] = 6  # taken with the camera turned: rotate by 90 degrees to show
    for name in COLOURS:
        (tmp_path / name).mkdir()
        Image.fromarray(np.rot90(upright)).save(tmp_path / name / "a.png", exif=exif)
    found = only(load(f"images:{tmp_path}?size=20"))[0]
    np.testing.assert_array_equal(found.transpose(1, 2, 0), upright)


def test_pictures_of_other_modes(tmp_path: Path) -> None:
    deep = np.full((8, 8), 40_000, np.uint16)
    for name in COLOURS:
        (tmp_path / name).mkdir()
        Image.fromarray(deep).save(tmp_path / name / "deep.png")
        Image.new("L", (8, 8), 77).save(tmp_path / name / "grey.jpg")
        Image.new("P", (8, 8), 0).save(tmp_path / name / "palette.gif")
        Image.new("RGBA", (8, 8), (9, 8, 7, 255)).save(tmp_path / name / "see.webp", lossless=True)
        Image.new("CMYK", (8, 8), (0, 0, 0, 255)).save(tmp_path / name / "ink.jpeg")
    found = only(load(f"images:{tmp_path}?size=8"))[:5, :, 4, 4]
    assert found.tolist() == [[155] * 3, [77] * 3, [0] * 3, [0] * 3, [9, 8, 7]]


@pytest.mark.parametrize("names", [("train", "val"), ("train", "valid", "test"), ("test", "train")])
def test_parts_are_sub_folders_of_their_own(tmp_path: Path, names: tuple[str, ...]) -> None:
    for part in names:
        for name, colour in COLOURS.items():
            for number in range(4):
                draw(tmp_path / part / name / f"{part}{number}.png", colour)
    found = load(f"images:{tmp_path}?size=4")
    assert len(found) == 8 * len(names)
    assert found.classes == ("blue", "red")
    assert set(found.splits) == {folders.PARTS[name] for name in names}
    assert all(len(index) == 8 for index in found.splits.values())


def test_a_class_may_be_missing_in_a_part(tmp_path: Path) -> None:
    for name, colour in COLOURS.items():
        draw(tmp_path / "train" / name / "a.png", colour)
    draw(tmp_path / "test" / "red" / "b.png", COLOURS["red"])
    found = load(f"images:{tmp_path}?size=4")
    assert found.labels.tolist() == [1, 0, 1]
    assert found.splits["test"].tolist() == [0]


def test_a_class_may_be_called_train(photos: Path) -> None:
    draw(photos / "train" / "a.png", (0, 0, 0))
    assert load(f"images:{photos}?size=4").classes == ("blue", "red", "train")


def test_decoding_happens_once_until_a_file_changes(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    what = f"images:{photos}?size=4"
    first = only(load(what))
    with monkeypatch.context() as patch:
        patch.setattr(folders, "_write", None)  # nothing is decoded again
        again = only(load(what))
    assert isinstance(again, np.memmap)
    np.testing.assert_array_equal(first, again)
    draw(photos / "red" / "0.png", (1, 2, 3))
    changed = only(load(what))
    assert changed[10, :, 0, 0].tolist() == [1, 2, 3]


def test_a_damaged_cache_is_made_again(photos: Path, cache: Path) -> None:
    what = f"images:{photos}?size=4"
    first = np.array(only(load(what)))
    (kept,) = cache.rglob("images.npy")
    raw = bytearray(kept.read_bytes())
    raw[-1] ^= 255
    kept.write_bytes(raw)
    np.testing.assert_array_equal(only(load(what)), first)
    (record,) = cache.rglob("record.json")
    record.write_text("{")
    np.testing.assert_array_equal(only(load(what)), first)


def test_unreadable_images_are_counted_skipped_and_named(photos: Path) -> None:
    (photos / "blue" / "0.png").write_bytes(b"no picture")
    found = load(f"images:{photos}?size=4")
    assert len(found) == len(only(found)) == 19
    assert found.labels.tolist() == [0] * 9 + [1] * 10
    assert only(found)[0, 0, 0, 0] == COLOURS["blue"][0] + 1
    note = next(note for note in found.notes if "unreadable" in note)
    assert note.startswith("1 unreadable images were skipped (blue/0.png: UnidentifiedImageError")
    assert load(f"images:{photos}?size=4").notes == found.notes  # from the cache as well


def test_too_many_unreadable_images_are_an_error(photos: Path, cache: Path) -> None:
    whole = (photos / "red" / "1.png").read_bytes()
    (photos / "red" / "1.png").write_bytes(whole[: len(whole) // 2])
    (photos / "blue" / "0.png").write_bytes(b"")
    with pytest.raises(BadData, match=r"20 files are unreadable, above the limit of 5.0% .*red/1"):
        load(f"images:{photos}?size=4")
    assert not list(cache.rglob("*.npy"))
    assert len(load(f"images:{photos}?size=4&unreadable=0.1")) == 18
    with pytest.raises(BadData, match=r"above the limit of 5.0%"):
        load(f"images:{photos}?size=4")


def test_other_and_hidden_files_are_left_alone(photos: Path) -> None:
    (photos / "blue" / "notes.txt").write_text("x")
    (photos / "blue" / ".hidden.png").write_text("x")
    draw(photos / ".trash" / "a.png", (0, 0, 0))
    draw(photos / "blue" / "deeper" / "a.PNG", (0, 0, 0))
    found = load(f"images:{photos}?size=4")
    assert len(found) == 21
    assert any(note.startswith("1 files that are no images") for note in found.notes)


def test_a_full_model_road(photos: Path) -> None:
    spec = spec_of("batch", 3, 8, 8)
    parts = split(fit(load(f"images:{photos}", spec), spec))
    assert parts.facts()["n"] == {"calibration": 5, "selection": 5, "test": 15}


@pytest.mark.parametrize(
    ("keep", "text"),
    [
        ((), r"a sub-folder for each of two classes or more, and there is none"),
        (("red",), r"and there is only one, 'red'"),
    ],
)
def test_folders_without_two_classes(photos: Path, keep: tuple[str, ...], text: str) -> None:
    for name in set(COLOURS) - set(keep):
        (photos / name).rename(photos.parent / name)
    with pytest.raises(BadData, match=text):
        load(f"images:{photos}")


def test_classes_without_images(photos: Path) -> None:
    for file in (photos / "red").iterdir():
        file.rename(file.with_suffix(".txt"))
    with pytest.raises(BadData, match="1 of its 2 class folders hold any"):
        load(f"images:{photos}")


def test_requests_that_make_no_sense(photos: Path) -> None:
    with pytest.raises(BadData, match="'nowhere' is no folder"):
        load("images:nowhere")
    with pytest.raises(BadData, match="size is HEIGHT,WIDTH or one number"):
        load(f"images:{photos}?size=1,2,3")
    with pytest.raises(BadData, match="size=0 must be 1 or more"):
        load(f"images:{photos}?size=0")
    with pytest.raises(BadData, match="crop is above 0"):
        load(f"images:{photos}?crop=2")
    with pytest.raises(UnknownName, match="Did you mean 'unreadable'"):
        load(f"images:{photos}?unreadabel=0.1")
    flat = Spec((TensorSpec("x", "float32", ("batch", 10)),), OUT)
    with pytest.raises(BadData, match="none of its inputs takes images of 1 or 3 channels"):
        load(f"images:{photos}", flat)


def test_a_full_disk_leaves_nothing_behind(
    photos: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hasten.errors import OutOfSpace

    def full(*_: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(folders, "_write", full)
    with pytest.raises(OutOfSpace, match="disk is full"):
        load(f"images:{photos}?size=4")
    assert not [path for path in cache.rglob("*") if path.is_file()]
