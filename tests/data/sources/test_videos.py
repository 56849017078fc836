"""Video folders: which frames are taken, geometry, the cache, and files that cannot be used."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("av", reason="needs av: pip install 'hasten[video]'")

import clips
import hasten.data.sources._folders as folders
from hasten.data import fit, load, split
from hasten.errors import BadData
from hasten.types import Data, Spec, TensorSpec

OUT = (TensorSpec("logits", "float32", ("batch", 2)),)


@pytest.fixture
def films(tmp_path: Path) -> Path:
    return clips.folder(tmp_path / "films")


def only(data: Data) -> np.ndarray:
    (array,) = data.inputs.values()
    return array


def numbers(clip: np.ndarray, colour: int = 0) -> list[int]:
    """The frame numbers that ``clips.counted`` wrote into a clip ``(frames, 3, h, w)``."""
    return [round(frame[colour].mean() / 10) - 1 for frame in clip]


def test_classes_are_sub_folders_and_frames_lie_at_equal_distances(tmp_path: Path) -> None:
    clips.write(tmp_path / "long" / "a.mkv", clips.counted(21))
    clips.write(tmp_path / "short" / "b.mkv", clips.counted(5))
    found = load(f"videos:{tmp_path}?frames=5&size=16")
    assert found.classes == ("long", "short")
    assert found.labels.tolist() == [0, 1]
    assert only(found).shape == (2, 5, 3, 16, 16)
    assert only(found).dtype == np.uint8
    assert isinstance(only(found), np.memmap)
    assert numbers(only(found)[0]) == [0, 5, 10, 15, 20]
    assert numbers(only(found)[1]) == [0, 1, 2, 3, 4]
    assert only(found)[0, :, 1:].max() == 0, "red stays red"
    assert found.normalisation["clips"].axis == 2


@pytest.mark.parametrize(
    ("codec", "ending"), [("mpeg4", "mp4"), ("mjpeg", "avi"), ("mpeg2video", "mpg")]
)
def test_usual_codecs(tmp_path: Path, codec: str, ending: str) -> None:
    grey = np.repeat(clips.counted(17, 0, 32, 32)[..., :1], 3, axis=-1)
    for name in ("a", "b"):
        clips.write(tmp_path / name / f"one.{ending}", grey, codec)
    found = only(load(f"videos:{tmp_path}?frames=3&size=32"))
    assert numbers(found[0]) == [0, 8, 16]


def test_frames_and_size_follow_the_model(films: Path) -> None:
    tensor = TensorSpec("film", "float32", ("batch", 4, 3, 8, 10))
    spec = Spec((tensor,), OUT)
    found = load(f"videos:{films}", spec)
    assert found.inputs["film"].shape == (12, 4, 3, 8, 10)
    assert load(f"videos:{films}?frames=2&size=6,7", spec).inputs["film"].shape[1:] == (2, 3, 6, 7)
    assert len(split(fit(found, spec)).test) > 0
    free = TensorSpec("film", "float32", ("batch", 4, 3, "height", "width"))
    assert load(f"videos:{films}", Spec((free,), OUT)).inputs["film"].shape[3:] == (64, 64)
    flat = Spec((TensorSpec("x", "float32", ("batch", 10)),), OUT)
    with pytest.raises(BadData, match="none of its inputs takes clips of shape"):
        load(f"videos:{films}", flat)


def test_pictures_are_cut_around_the_centre_and_turned_upright(tmp_path: Path) -> None:
    import av

    frames = np.zeros((2, 32, 48, 3), np.uint8)
    frames[:, :16, 8:40] = 200  # light above; the ends beside the central square are black
    for name in ("a", "b"):
        clips.write(tmp_path / name / "one.mkv", frames)
    found = only(load(f"videos:{tmp_path}?frames=2&size=32"))[0]
    assert (found[:, :, :16] == 200).all()
    assert (found[:, :, 16:] == 0).all()
    if not hasattr(av.VideoStream, "set_display_rotation"):
        pytest.skip("this PyAV cannot write how a camera was held")
    sideways = np.rot90(frames[:, :, 8:40], 1, (1, 2))  # turned to the left when it was taken
    clips.write(tmp_path / "b" / "two.mp4", sideways, "mpeg4", turned=-90)
    turned = only(load(f"videos:{tmp_path}?frames=2&size=32"))[2]
    assert turned[:, :, :15].min() > 150
    assert turned[:, :, 17:].max() < 50


def test_parts_are_sub_folders_of_their_own(tmp_path: Path) -> None:
    for part in ("train", "val"):
        clips.folder(tmp_path / part, each=2)
    found = load(f"videos:{tmp_path}?frames=2&size=8")
    assert {name: len(rows) for name, rows in found.splits.items()} == {"train": 4, "validation": 4}


def test_decoding_happens_once_and_a_damaged_cache_is_made_again(
    films: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    what = f"videos:{films}?frames=2&size=8"
    first = np.array(only(load(what)))
    with monkeypatch.context() as patch:
        patch.setattr(folders, "_write", None)  # nothing is decoded again
        np.testing.assert_array_equal(only(load(what)), first)
    (kept,) = cache.rglob("videos.npy")
    raw = bytearray(kept.read_bytes())
    raw[-1] ^= 255
    kept.write_bytes(raw)
    np.testing.assert_array_equal(only(load(what)), first)
    assert only(load(f"videos:{films}?frames=3&size=8")).shape[1] == 3


def test_unreadable_and_short_videos_are_counted_skipped_and_named(films: Path) -> None:
    whole = (films / "red" / "0.mkv").read_bytes()
    (films / "red" / "0.mkv").write_bytes(whole[:40])
    (films / "red" / "1.mkv").write_bytes(b"no video")
    clips.write(films / "green" / "0.mkv", clips.counted(3))
    what = f"videos:{films}?frames=4&size=8"
    with pytest.raises(BadData, match=r"Cannot load videos .* above the limit of 5.0%") as raised:
        load(what)
    assert "videos:FOLDER?unreadable=0.2" in str(raised.value)
    found = load(f"{what}&unreadable=0.3")
    assert len(found) == 9
    assert found.labels.tolist() == [0] * 5 + [1] * 4
    (note,) = [note for note in found.notes if "unreadable" in note]
    assert note.startswith("3 unreadable videos were skipped (green/0.mkv: it is too short: 3 of")
    assert load(f"{what}&unreadable=0.3").notes == found.notes  # from the cache as well


def test_a_file_cut_off_in_the_middle_gives_what_is_left(films: Path) -> None:
    path = clips.write(films / "red" / "0.mkv", clips.counted(20))
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    found = load(f"videos:{films}?frames=4&size=8&unreadable=0")
    last = numbers(only(found)[6])
    assert last[0] == 0
    assert 4 <= last[-1] < 19, "the last frame that is left, not the last there was"


def test_sound_without_pictures_is_unreadable(films: Path) -> None:
    import av

    with av.open(str(films / "red" / "0.mkv"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        sound = av.AudioFrame.from_ndarray(
            np.zeros((1, 800), np.int16), format="s16", layout="mono"
        )
        sound.sample_rate = 8000
        container.mux(stream.encode(sound))
        container.mux(stream.encode(None))
    found = load(f"videos:{films}?frames=4&size=8&unreadable=0.1")
    assert "red/0.mkv: ValueError: it holds no video" in " ".join(found.notes)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ("frames=0", "frames=0 must be 1 or more"),
        ("size=0", "size=0 must be 1 or more"),
        ("size=1,2,3", "size is HEIGHT,WIDTH or one number"),
        ("crop=2", "crop is above 0"),
        ("unreadable=1", "unreadable from 0 below 1"),
        ("frames=2&mean=1,2", "give one number, or one for each of the 3 channels"),
    ],
)
def test_requests_that_make_no_sense(films: Path, options: str, text: str) -> None:
    with pytest.raises(BadData, match=text):
        load(f"videos:{films}?{options}")


def test_folders_without_videos(tmp_path: Path) -> None:
    with pytest.raises(BadData, match="Cannot load videos: 'nowhere' is no folder"):
        load("videos:nowhere")
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "notes.txt").write_text("x")
    with pytest.raises(BadData, match="0 of its 2 class folders hold any"):
        load(f"videos:{tmp_path}")


def test_without_pyav_it_says_what_to_install(films: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from hasten.data.sources.videos import Videos
    from hasten.errors import NotInstalled

    monkeypatch.setattr(Videos, "requires", ("hasten-nothing>=1",))
    with pytest.raises(NotInstalled, match=r"pip install 'hasten\[video\]'"):
        load(f"videos:{films}")
