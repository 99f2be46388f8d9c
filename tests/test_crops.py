"""Face crops of photos: the same pixels by every way, as files and as a data set."""

from __future__ import annotations

import csv
import os
import shutil
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from click.testing import CliRunner, Result
from pictures import save
from running import posix_only, run_emodetect, run_without

from emodetect.cli import app
from emodetect.cli.data import data
from emodetect.config import DataConfig, ExperimentConfig
from emodetect.data.dataset import load_dataset, load_for_evaluation
from emodetect.data.named_data import NamedData
from emodetect.data.synthetic import draw_scene
from emodetect.data.writers.face_crops import CropOptions, crop_photos
from emodetect.errors import ConfigError, DataError, EmodetectError
from emodetect.evaluation.labelled_images.labelled_data import load_source
from emodetect.evaluation.labelled_images.training_data import (
    open_training_data,
)
from emodetect.images.model_input import to_input
from emodetect.images.reading import NO_IMAGE, read_image
from emodetect.recognition.recognizer import EmotionRecognizer


def _scene(path: Path, faces: int, *, number: int = 0) -> Path:
    rng = np.random.default_rng(number)
    return save(path, draw_scene(["happy"] * faces, rng, width=420, height=320).image)


def _blank(path: Path) -> Path:
    return save(path, np.full((120, 160, 3), 128, np.uint8))


def _broken(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("no photo", encoding="utf-8")
    return path


def _rows(out: Path) -> list[dict[str, str]]:
    with (out / "faces.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _pngs(out: Path) -> set[str]:
    return {path.relative_to(out).as_posix() for path in out.rglob("*.png")}


def _crop(photos: Path, out: Path, **values: Any) -> Any:
    return crop_photos(photos, out, CropOptions(**values))


def _invoke(*words: object) -> Result:
    return CliRunner().invoke(app, ["data", "crop", *map(str, words)])


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Class folders of drawn photos with one to three faces, and one photo without a face."""
    root = tmp_path_factory.mktemp("photos")
    for number in range(12):
        emotion = ("happy", "sad")[number % 2]
        _scene(root / emotion / f"{number:02d}.png", 1 + number % 3, number=number)
    _blank(root / "sad" / "blank.png")
    return root


def _config(photos: Path, stored: Path, **values: Any) -> DataConfig:
    shares: dict[str, Any] = {"validation_fraction": 0.25, "test_fraction": 0.25}
    return DataConfig(path=photos, cache_dir=stored, **{"faces": "detect", **shares, **values})


# --- one framing


@pytest.mark.parametrize("margin", [0.0, 0.2])
@pytest.mark.parametrize("faces_per_image", ["largest", "all"])
def test_files_training_and_use_see_the_same_pixels(
    tmp_path: Path, photos: Path, faces_per_image: str, margin: float
) -> None:
    """Crop files, crops stored for training and crops of the recogniser agree in every pixel."""
    recognizer = EmotionRecognizer()
    recognizer.metadata = replace(recognizer.metadata, margin=margin)
    size, color = recognizer.metadata.image_size, recognizer.metadata.color

    used: dict[str, list[np.ndarray]] = {}
    for path in sorted(photos.rglob("*.png")):
        image = read_image(path)
        boxes = recognizer.detect(image)
        if faces_per_image == "largest":
            boxes = boxes[:1]
        if boxes:
            used[path.relative_to(photos).as_posix()] = [
                to_input(recognizer.crop(image, box), size=size, color=color) for box in boxes
            ]
    filed: dict[str, list[np.ndarray]] = defaultdict(list)
    _crop(photos, tmp_path / "out", faces_per_image=faces_per_image, margin=margin)
    for row in _rows(tmp_path / "out"):
        if row["crop"]:
            crop = read_image(tmp_path / "out" / row["crop"])
            filed[row["photo"]].append(to_input(crop, size=size, color=color))
    trained: dict[str, list[np.ndarray]] = defaultdict(list)
    values = {"faces_per_image": faces_per_image, "image_size": size, "color": color}
    dataset = load_dataset(_config(photos, tmp_path / "c", margin=margin, **values), seed=0)
    for path, image in zip(dataset.paths, dataset.images, strict=True):
        trained[path].append(image)

    faces = [len(crops) for crops in used.values()]
    assert len(faces) == 12
    assert max(faces) == (1 if faces_per_image == "largest" else 3)
    for other in (filed, trained):
        assert other.keys() == used.keys()
        for path, crops in used.items():
            assert np.array_equal(np.stack(other[path]), np.stack(crops)), path


def test_crops_are_cut_out_of_the_photo_as_they_are(tmp_path: Path, photos: Path) -> None:
    """A crop has the resolution and the very pixels of its box in the photo."""
    _crop(photos, tmp_path / "out", faces_per_image="all")
    rows = [row for row in _rows(tmp_path / "out") if row["face"]]
    assert len(rows) > 12
    for row in rows:
        x, y, width, height = (int(row[name]) for name in ("x", "y", "width", "height"))
        inside = read_image(photos / row["photo"])[y : y + height, x : x + width]
        assert np.array_equal(read_image(tmp_path / "out" / row["crop"]), inside)


# --- the files of `data crop`


def test_crops_of_class_folders_are_class_folders(tmp_path: Path, photos: Path) -> None:
    """Crops are a data set of the folder source: each under the class of its photo, none lost."""
    counts = _crop(photos, tmp_path / "out", faces_per_image="all")
    dataset = load_for_evaluation(_config(tmp_path / "out", tmp_path / "c", faces="whole"))
    assert len(dataset.labels) == counts.faces
    for path, label in zip(dataset.paths, dataset.labels, strict=True):
        assert path.split("/")[0] == dataset.emotions[label]
    assert "sad/03.png_1.png" in dataset.paths


@posix_only
def test_names_of_photos_send_nothing_to_the_terminal(tmp_path: Path) -> None:
    """Control codes in a file's name are escaped, in what is printed and in what is logged."""
    name = "a\x1b]0;owned\x07\nerror: b"
    _broken(tmp_path / "photos" / f"{name}.jpg")
    _scene(tmp_path / "photos" / f"{name}.png", 1)
    done = run_emodetect("data", "crop", "photos", "out", cwd=tmp_path)
    told = done.stdout + done.stderr
    assert r"a\x1b]0;owned\x07\nerror: b.jpg" in told
    assert "\x1b" not in told
    assert "\nerror" not in told
    _broken(tmp_path / "faces" / "happy" / f"{name}.jpg")
    for number in range(25):
        save(tmp_path / "faces" / "happy" / f"{number}.png", np.full((32, 32, 3), number, np.uint8))
    shown = run_emodetect("data", "show", "faces", cwd=tmp_path)
    assert "\x1b" not in shown.stdout + shown.stderr


def test_the_table_accounts_for_every_photo(tmp_path: Path) -> None:
    """faces.csv has a row for each face, and for each photo without one or that is no photo."""
    photos, out = tmp_path / "photos", tmp_path / "out"
    _scene(photos / "a.png", 2)
    _scene(photos / "deep" / "er" / "b.png", 1)
    _blank(photos / "blank.png")
    _broken(photos / "broken.jpg")
    save(photos / "tiny.png", np.zeros((4, 4, 3), np.uint8))
    counts = _crop(photos, out, faces_per_image="all")
    assert (counts.images, counts.faces, counts.faceless, counts.unreadable) == (5, 3, 1, 2)
    rows = _rows(out)
    assert list(rows[0]) == ["photo", "face", "x", "y", "width", "height", "crop", "error"]
    assert [(row["photo"], row["face"], row["crop"]) for row in rows] == [
        ("a.png", "1", "a.png_1.png"),
        ("a.png", "2", "a.png_2.png"),
        ("blank.png", "", ""),
        ("broken.jpg", "", ""),
        ("deep/er/b.png", "1", "deep/er/b.png_1.png"),
        ("tiny.png", "", ""),
    ]
    assert {row["photo"]: row["error"] for row in rows if row["error"]} == {
        "broken.jpg": NO_IMAGE,
        "tiny.png": "too small: 4x4 pixels; expected at least 8x8",
    }
    assert _pngs(out) == {row["crop"] for row in rows} - {""}


def test_the_command_ends_by_counting(tmp_path: Path) -> None:
    """The last line counts what there was; photos without faces are no failure."""
    _scene(tmp_path / "photos" / "a.png", 2)
    _blank(tmp_path / "photos" / "b.png")
    _broken(tmp_path / "photos" / "notes.txt")
    result = _invoke(tmp_path / "photos", tmp_path / "out", "--faces-per-image", "all")
    assert result.exit_code == 0
    *before, last = result.stdout.splitlines()
    assert last == "images: 2; faces: 2; images with no face: 1; unreadable: 0"
    assert before == ["left out 1: other (neither a photo nor a video)"]


def test_unreadable_photos_are_named_and_fail_the_command(tmp_path: Path) -> None:
    """As with predict, a broken photo is named, the others are cropped, and the status is 1."""
    broken = _broken(tmp_path / "photos" / "a.jpg")
    _scene(tmp_path / "photos" / "b.png", 1)
    result = _invoke(tmp_path / "photos", tmp_path / "out")
    assert result.exit_code == 1
    assert str(broken) in result.stdout
    assert result.stdout.splitlines()[-1].endswith("unreadable: 1")
    assert _pngs(tmp_path / "out") == {"b.png_1.png"}


def test_many_unreadable_photos_are_all_in_the_table(tmp_path: Path) -> None:
    """Where more are broken than fit a screen, the rest is counted, and the table names all."""
    for number in range(15):
        _broken(tmp_path / "photos" / f"{number:02d}.jpg")
    counts = _crop(tmp_path / "photos", tmp_path / "out")
    assert "skipped 5 more, named in faces.csv" in counts.describe()
    assert sum(bool(row["error"]) for row in _rows(tmp_path / "out")) == 15


def test_a_folder_that_may_not_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The photos of a closed folder are not lost in silence: the folder counts as unreadable."""
    _scene(tmp_path / "photos" / "a.png", 1)
    _scene(tmp_path / "photos" / "closed" / "b.png", 1)
    usual = os.listdir

    def refuse(path: Path) -> Any:
        if path.name == "closed":
            raise PermissionError(13, "Permission denied", str(path))
        return usual(path)

    monkeypatch.setattr(os, "listdir", refuse)
    counts = _crop(tmp_path / "photos", tmp_path / "out")
    assert (counts.images, counts.faces, counts.unreadable) == (2, 1, 1)
    assert counts.named[0].path == str(tmp_path / "photos" / "closed")


def test_a_class_without_a_face_does_not_vanish(tmp_path: Path) -> None:
    """A class of which no face was found stays an empty folder, and training on it says so."""
    _scene(tmp_path / "photos" / "happy" / "a.png", 1)
    _blank(tmp_path / "photos" / "sad" / "b.png")
    _crop(tmp_path / "photos", tmp_path / "out")
    with pytest.raises(DataError, match=str(tmp_path / "out" / "sad")):
        load_for_evaluation(_config(tmp_path / "out", tmp_path / "c", faces="whole"))


def test_crops_inside_the_photos_are_not_cropped_again(tmp_path: Path) -> None:
    """OUT below DIR is not searched, so that a second run finds what the first one found."""
    _scene(tmp_path / "a.png", 2)
    first = _crop(tmp_path, tmp_path / "crops", faces_per_image="all")
    second = _crop(tmp_path, tmp_path / "crops", faces_per_image="all", force=True)
    assert second == first
    assert _pngs(tmp_path / "crops") == {"a.png_1.png", "a.png_2.png"}


def test_crops_of_an_earlier_run_are_not_overwritten_unasked(tmp_path: Path) -> None:
    """A folder that holds files is refused without --force and left as it was."""
    _scene(tmp_path / "photos" / "a.png", 1)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(EmodetectError, match="--force"):
        _crop(tmp_path / "photos", tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine.txt"]


def test_force_leaves_no_crop_of_the_earlier_run(tmp_path: Path) -> None:
    """With --force crops that the new run does not make are gone, and files of one's own stay."""
    photos, out = tmp_path / "photos", tmp_path / "out"
    _scene(photos / "a.png", 2)
    _scene(photos / "b.png", 1, number=1)
    _crop(photos, out, faces_per_image="all")
    save(out / "mine.png", np.zeros((9, 9, 3), np.uint8))
    (photos / "b.png").unlink()
    result = _invoke(photos, out, "--force")
    assert result.exit_code == 0
    assert _pngs(out) == {"a.png_1.png", "mine.png"}


@posix_only
def test_names_of_any_kind_are_cropped_and_found_again(tmp_path: Path) -> None:
    """Line breaks, bytes that are not UTF-8, too long for a suffix; --force removes all crops."""
    photos, out = tmp_path / "photos", tmp_path / "out"
    _scene(photos / "a.png", 1)
    odd = [b"b\rc.png", b"d\ne.png", b"bad\xff.png", b"l" * 251 + b".png"]
    for name in odd:
        shutil.copy(photos / "a.png", photos / os.fsdecode(name))
    _crop(photos, out)
    crops = _pngs(out)
    assert len(crops) == 5
    assert {"b\rc.png_1.png", "d\ne.png_1.png", "bad\\udcff.png_1.png"} < crops
    with (out / "faces.csv").open(newline="", encoding="utf-8") as file:
        assert {row["crop"] for row in csv.DictReader(file)} == crops
    for name in odd:
        (photos / os.fsdecode(name)).unlink()
    _crop(photos, out, force=True)
    assert _pngs(out) == {"a.png_1.png"}


def test_force_deletes_nothing_outside(tmp_path: Path) -> None:
    """A faces.csv that names files outside OUT is no way to delete them."""
    photo = _scene(tmp_path / "photos" / "a.png", 1)
    _crop(tmp_path / "photos", tmp_path / "out")
    with (tmp_path / "out" / "faces.csv").open("a", encoding="utf-8") as file:
        file.write(f"x,1,0,0,9,9,../photos/a.png,\nx,1,0,0,9,9,{photo},\nx\n")
    _crop(tmp_path / "photos", tmp_path / "out", force=True)
    assert photo.is_file()


@pytest.mark.parametrize("out", [".", "photos", "photos/../photos"])
def test_crops_are_not_written_among_the_photos(tmp_path: Path, out: str) -> None:
    """An OUT that is DIR, or that DIR lies in, is refused even with --force."""
    _scene(tmp_path / "photos" / "a.png", 1)
    with pytest.raises(DataError, match="another folder"):
        _crop(tmp_path / "photos", tmp_path / out, force=True)
    assert _pngs(tmp_path) == {"photos/a.png"}


def test_a_folder_to_crop_must_be_there_and_hold_photos(tmp_path: Path) -> None:
    """A missing folder, a file, and a folder without photos are named; nothing is written."""
    _broken(tmp_path / "empty" / "notes.txt")
    _scene(tmp_path / "empty" / ".hidden.png", 1)
    for folder, message in (
        ("nowhere", "no such folder"),
        ("empty/notes.txt", "no such folder"),
        ("empty", "contains no images"),
    ):
        with pytest.raises(DataError, match=f"{tmp_path / folder}: {message}"):
            _crop(tmp_path / folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("values", [{"margin": -0.1}, {"margin": 11.0}, {"margin": float("nan")}])
def test_a_margin_is_checked_as_in_a_config(tmp_path: Path, values: dict[str, float]) -> None:
    """A margin that a config would refuse is refused before anything is written."""
    _scene(tmp_path / "photos" / "a.png", 1)
    with pytest.raises(ConfigError, match="margin"):
        _crop(tmp_path / "photos", tmp_path / "out", **values)
    assert not (tmp_path / "out").exists()


def test_the_options_have_the_defaults_of_a_config() -> None:
    """`data crop` and a config with data.faces = "detect" make the same crops unless told."""
    defaults = {option.name: option.default for option in data.commands["crop"].params}
    for key in ("faces_per_image", "margin"):
        assert defaults[key] == DataConfig.model_fields[key].default
    choices = next(o for o in data.commands["crop"].params if o.name == "faces_per_image").type
    assert isinstance(choices, click.Choice)
    for choice in choices.choices:
        DataConfig(path=Path("x"), faces="detect", faces_per_image=choice)


def test_linked_folders_are_searched_and_end(tmp_path: Path) -> None:
    """Class folders that are links are cropped too, and one that leads back up ends the search."""
    _scene(tmp_path / "elsewhere" / "a.png", 1)
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "happy").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (tmp_path / "elsewhere" / "round").symlink_to(photos, target_is_directory=True)
    (tmp_path / "elsewhere" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    counts = _crop(photos, tmp_path / "out")
    assert _pngs(tmp_path / "out") == {"happy/a.png_1.png"}
    assert [file.path for file in counts.named] == [str(photos / "happy" / "gone.png")]


def test_names_in_any_script_and_in_none(tmp_path: Path) -> None:
    """Photos are cropped whether their names are Chinese or no Unicode at all."""
    photo = _scene(tmp_path / "照片" / "高兴, é.png", 1)
    odd = Path(os.fsdecode(os.fsencode(tmp_path / "照片") + b"/\xff.png"))
    odd.write_bytes(photo.read_bytes())
    counts = _crop(tmp_path / "照片", tmp_path / "脸")
    assert (counts.faces, counts.unreadable) == (2, 0)
    assert "高兴, é.png" in {row["photo"] for row in _rows(tmp_path / "脸")}
    assert len(_pngs(tmp_path / "脸")) == 2


def test_cropping_needs_no_tensorflow(tmp_path: Path) -> None:
    """`data crop` starts in a moment: it runs where TensorFlow and its like cannot be imported."""
    _scene(tmp_path / "photos" / "a.png", 1)
    missing = ("tensorflow", "keras", "matplotlib", "sklearn", "scipy")
    done = run_without(missing, "data", "crop", tmp_path / "photos", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert "faces: 1" in done.stdout


# --- photos as a data set


def test_photos_without_a_face_are_counted_as_left_out(tmp_path: Path, photos: Path) -> None:
    """A data set of photos says how many had no face, and holds none of them."""
    dataset = load_for_evaluation(_config(photos, tmp_path))
    assert dataset.left_out == {"no face found": 1}
    assert dataset.skipped == ()
    assert len(dataset.labels) == 12
    assert "sad/blank.png" not in dataset.paths
    assert "left out 1: no face found" in dataset.describe()


def test_photos_without_any_face_are_no_data_set(tmp_path: Path) -> None:
    """Where no photo shows a face, the error says so and how many there were."""
    for number in range(3):
        _blank(tmp_path / "photos" / "happy" / f"{number}.png")
        _blank(tmp_path / "photos" / "sad" / f"{number}.png")
    with pytest.raises(DataError, match="no face found in any of the 6"):
        load_for_evaluation(_config(tmp_path / "photos", tmp_path / "c"))


def test_faces_of_one_photo_lie_in_one_split(tmp_path: Path, photos: Path) -> None:
    """With all faces taken, those of one photo, often of one family, never straddle a split."""
    dataset = load_dataset(_config(photos, tmp_path, faces_per_image="all"), seed=3)
    splits: dict[str, set[str]] = defaultdict(set)
    for path, split in zip(dataset.paths, dataset.splits, strict=True):
        splits[path].add(split)
    assert len(dataset.paths) > len(splits)
    assert all(len(sides) == 1 for sides in splits.values())
    assert set().union(*splits.values()) == {"train", "val", "test"}


def test_another_framing_is_another_cache(tmp_path: Path, photos: Path) -> None:
    """Crops stored with one margin, or of whole photos, are never taken for those of another."""
    images = [
        load_for_evaluation(_config(photos, tmp_path, **values)).images[0]
        for values in ({}, {"margin": 0.3}, {"faces": "whole"}, {})
    ]
    assert np.array_equal(images[0], images[3])
    assert not np.array_equal(images[0], images[1])
    assert not np.array_equal(images[0], images[2])


# --- evaluation


def test_evaluation_frames_faces_as_the_model_was_trained(tmp_path: Path, photos: Path) -> None:
    """Photos are judged by the crops that the model knows, unless the user says otherwise."""
    metadata = replace(
        EmotionRecognizer().metadata, margin=0.2, config={"data": {"faces": "detect"}}
    )
    own = load_source(NamedData("folder", str(photos)), metadata)
    values = {"margin": 0.2, "image_size": metadata.image_size, "color": metadata.color}
    trained = load_for_evaluation(_config(photos, tmp_path / "c", **values))
    assert np.array_equal(own.images[:], trained.images[:])
    whole = load_source(NamedData("folder", str(photos)), metadata, faces="whole")
    assert len(whole.images) > len(own.images)
    # A config of other framing does not change the model's.
    config = ExperimentConfig(data=_config(photos, tmp_path / "c", margin=0.0))
    judged = open_training_data(config, metadata)
    assert {image.tobytes() for image in judged.images} == {
        image.tobytes() for image in trained.images
    }
