"""The readers of RAF-DB, AffectNet and CK+, on small trees in exactly their layouts."""

from __future__ import annotations

import json
import pickle
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from pictures import save

from emodetect.auditing.audit import AuditOptions, audit_sources
from emodetect.cli import app
from emodetect.config import DataConfig
from emodetect.data.dataset import load_dataset, load_for_evaluation
from emodetect.data.listing import Listing
from emodetect.data.named_data import find_data
from emodetect.data.readers.registry import list_samples
from emodetect.data.synthetic import draw_face, draw_scene
from emodetect.errors import DataError
from emodetect.reports.audit_report import write_audit

RAF_DB = {1: "surprise", 2: "fear", 3: "disgust", 4: "happy", 5: "sad", 6: "angry", 7: "neutral"}
AFFECTNET = ("neutral", "happy", "sad", "surprise", "fear", "disgust", "angry", "contempt")
CKPLUS = ("neutral", "angry", "contempt", "disgust", "fear", "happy", "sad", "surprise")
HEADER = (
    "subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,expression,"
    "valence,arousal"
)


def _save(path: Path, emotion: str = "happy", *, seed: int = 0) -> None:
    """Write one drawn face of 48 x 48 pixels."""
    save(path, draw_face(emotion, np.random.default_rng(seed), size=48))


def _touch(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def _write(path: Path, *lines: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _list(source: str, path: Path, **values: Any) -> Listing:
    return list_samples(DataConfig(source=source, path=path, **values))


def _config(source: str, path: Path, **values: Any) -> DataConfig:
    return DataConfig(
        source=source, path=path, cache_dir=path.parent / "cache", image_size=32, **values
    )


def _rows(listing: Listing) -> list[tuple[str, str, str | None]]:
    return [(sample.file, sample.emotion, sample.split) for sample in listing.samples]


# --- RAF-DB


@pytest.fixture
def raf_db(tmp_path: Path) -> Path:
    """The list of fourteen images, one of each number in each split, without the images."""
    root = tmp_path / "RAF-DB"
    lines = [
        f"{split}_0000{number}.jpg {number}" for split in ("train", "test") for number in RAF_DB
    ]
    _write(root / "EmoLabel" / "list_patition_label.txt", *lines)
    (root / "Image" / "aligned").mkdir(parents=True)
    return root


@pytest.mark.parametrize("below", ["", "basic"])
def test_raf_db_is_read_by_its_list(raf_db: Path, tmp_path: Path, below: str) -> None:
    """Numbers 1 to 7 are the emotions, the names tell the splits, the images are the aligned."""
    if below:
        raf_db.rename(tmp_path / below)
    listing = _list("raf_db", tmp_path if below else raf_db)
    assert _rows(listing) == [
        (f"Image/aligned/{split}_0000{number}_aligned.jpg", emotion, split)
        for split in ("train", "test")
        for number, emotion in RAF_DB.items()
    ]
    assert listing.label_names["4"] == "happy"
    assert not listing.skipped


def test_raf_db_crops_are_loaded(tmp_path: Path) -> None:
    """The aligned images become the crops, those of test in the test split."""
    names = [f"{split}_{number:05d}" for split in ("train", "test") for number in range(2)]
    _write(tmp_path / "R" / "EmoLabel" / "list_patition_label.txt", *(f"{n}.jpg 4" for n in names))
    for seed, name in enumerate(names):
        _save(tmp_path / "R" / "Image" / "aligned" / f"{name}_aligned.jpg", seed=seed)
    dataset = load_for_evaluation(_config("raf_db", tmp_path / "R"))
    assert dataset.splits.tolist() == ["train"] * 2 + ["test"] * 2
    assert dataset.label_names["4"] == "happy"


def test_raf_db_finds_faces_in_the_original_photos(raf_db: Path) -> None:
    """With faces = detect the original photos are taken; without them the aligned images."""
    assert "Image/aligned/" in _list("raf_db", raf_db, faces="detect").samples[0].file
    (raf_db / "Image" / "original").mkdir()
    sample = _list("raf_db", raf_db, faces="detect").samples[0]
    assert sample.file == "Image/original/train_00001.jpg"


def test_raf_db_photos_are_audited_and_converted(tmp_path: Path) -> None:
    """With --faces detect both take the photos, as training by such a config does, and fit it."""
    root = tmp_path / "R"
    names = [f"{split}_{number:05d}" for split in ("train", "test") for number in range(2)]
    _write(root / "EmoLabel" / "list_patition_label.txt", *(f"{name}.jpg 4" for name in names))
    for seed, name in enumerate(names):
        _save(root / "Image" / "aligned" / f"{name}_aligned.jpg", seed=seed)
        # The two photos of train are one, their aligned images are not.
        scene = draw_scene(["happy"], np.random.default_rng(max(seed, 1)), width=200, height=220)
        photo = root / "Image" / "original" / f"{name}.jpg"
        photo.parent.mkdir(exist_ok=True)
        photo.write_bytes(cv2.imencode(".jpg", scene.image)[1].tobytes())
    audit, photos = tmp_path / "audit", tmp_path / "photos"
    for command in (
        ["audit", f"raf_db:{root}", "--output", str(audit), "--detector", "none"],
        ["convert", f"raf_db:{root}", str(photos), "--to", "folder"],
    ):
        result = CliRunner().invoke(app, ["data", *command, "--faces", "detect"])
        assert result.exit_code == 0, result.output
    assert "faces = &#34;detect&#34;" in (audit / "audit.html").read_text(encoding="utf-8")
    for path in photos.rglob("*.png"):
        assert cv2.imread(str(path)).shape == (220, 200, 3)
    fit = {"manifest": audit / "manifest.csv", "faces": "detect"}
    dataset = load_for_evaluation(_config("raf_db", root, **fit))
    assert dataset.splits.tolist() == ["train", "test", "test"]
    with pytest.raises(DataError, match=r"audit the data again .*--faces whole"):
        load_for_evaluation(_config("raf_db", root, manifest=fit["manifest"]))


def test_raf_db_without_crops_is_told(raf_db: Path) -> None:
    """Photos alone are not taken for crops, and no images at all are an error that says where."""
    (raf_db / "Image" / "aligned").rename(raf_db / "Image" / "original")
    with pytest.raises(DataError, match=r"whole photos only.*detect"):
        _list("raf_db", raf_db)
    (raf_db / "Image" / "original").rmdir()
    with pytest.raises(DataError, match=r"Image/aligned.*neither"):
        _list("raf_db", raf_db)


@pytest.mark.parametrize(
    "line",
    [
        "train_00009.jpg",
        "train_00009.jpg 0",
        "train_00009.jpg 8",
        "train_00009.jpg happy",
        "train_00009.jpg 4 5",
        "valid_00009.jpg 4",
        "../../train_00009.jpg 4",
        "/etc/train_00009.jpg 4",
    ],
)
def test_a_wrong_line_of_raf_db_is_named(raf_db: Path, line: str) -> None:
    """A line of another form, or that leads elsewhere, is skipped with its number and text."""
    path = raf_db / "EmoLabel" / "list_patition_label.txt"
    good = path.read_text(encoding="utf-8")
    _write(path, "", line, good)
    (skipped,) = _list("raf_db", raf_db).skipped
    assert str(skipped).startswith("list_patition_label.txt:2: expected a name and a number")
    assert line in str(skipped)
    _write(path, line)
    with pytest.raises(DataError, match=r"no label can be used.*:1: expected"):
        _list("raf_db", raf_db)


def test_a_list_that_is_no_text_is_told(raf_db: Path) -> None:
    """A picture in the place of the list is an error that names it."""
    (raf_db / "EmoLabel" / "list_patition_label.txt").write_bytes(b"\x89PNG\r\n\x1a\n\xff")
    with pytest.raises(DataError, match=r"list_patition_label.txt: expected text"):
        _list("raf_db", raf_db)


@pytest.mark.parametrize("below", ["", "DATASET"])
def test_raf_db_in_numbered_folders(tmp_path: Path, below: str) -> None:
    """The form with folders train/1 to test/7, as it is passed on, is read too."""
    for split in ("train", "test"):
        for number in RAF_DB:
            _touch(tmp_path / below / split / str(number) / f"{split}_{number}_aligned.jpg")
    _write(tmp_path / "train_labels.csv", "image,label")
    listing = _list("raf_db", tmp_path)
    assert Counter(split for _, _, split in _rows(listing)) == {"train": 7, "test": 7}
    assert {Path(file).parent.name: emotion for file, emotion, _ in _rows(listing)} == {
        str(number): emotion for number, emotion in RAF_DB.items()
    }
    assert listing.label_names["7"] == "neutral"


@pytest.mark.parametrize("source", ["raf_db", "affectnet", "ckplus"])
def test_a_folder_of_unknown_label_is_told(tmp_path: Path, source: str) -> None:
    """A folder that the data set does not have is named, with what was expected."""
    _touch(tmp_path / "happy" / "S010_001_00000001.png")
    _touch(tmp_path / "11" / "S010_001_00000002.png")
    with pytest.raises(DataError, match=r"11: expected .*class folders.*got '11'"):
        _list(source, tmp_path)


@pytest.mark.parametrize("source", ["raf_db", "affectnet", "ckplus"])
def test_a_missing_folder_is_told(tmp_path: Path, source: str) -> None:
    """A data.path that is not there is named."""
    with pytest.raises(DataError, match=r"nowhere: no such folder"):
        _list(source, tmp_path / "nowhere")


# --- AffectNet


def _lists(root: Path, training: list[str], validation: list[str]) -> None:
    """Write both lists; that of validation has no header, as some copies have none."""
    _write(root / "training.csv", HEADER, *training)
    _write(root / "validation.csv", *validation)


def _row(name: str, number: object, *, box: str = "1,2,30,40") -> str:
    return f"{name},{box},1.5;2.5,{number},0.1,-0.2"


@pytest.mark.parametrize(
    ("lists", "images"),
    [
        ("", ""),
        ("Manually_Annotated_file_lists", "Manually_Annotated_Images"),
        ("Manually_Annotated_file_lists", "Manually_Annotated/Manually_Annotated_Images"),
    ],
)
def test_affectnet_is_read_by_its_lists(tmp_path: Path, lists: str, images: str) -> None:
    """Numbers 0 to 7 are the emotions, 8 to 10 are counted, and validation is the test split."""
    rows = [_row(f"{number}/a{number}.jpg", number) for number in range(11)]
    _lists(tmp_path / lists, rows, [_row("9/b.jpg", 3)])
    (tmp_path / images).mkdir(parents=True, exist_ok=True)
    listing = _list("affectnet", tmp_path)
    assert _rows(listing) == [
        *(
            ((Path(images) / f"{number}/a{number}.jpg").as_posix(), emotion, "train")
            for number, emotion in enumerate(AFFECTNET)
        ),
        ((Path(images) / "9/b.jpg").as_posix(), "surprise", "test"),
    ]
    assert listing.left_out == {
        "label that is not an emotion: none": 1,
        "label that is not an emotion: uncertain": 1,
        "label that is not an emotion: no face": 1,
    }
    assert listing.samples[0].box == (1, 2, 30, 40)


def test_affectnet_with_seven_emotions(tmp_path: Path) -> None:
    """data.classes without contempt leaves its images out and counts them."""
    _lists(tmp_path, [_row(f"{number}.jpg", number) for number in (0, 1, 7, 7)], [])
    listing = _list("affectnet", tmp_path, classes=("happy", "neutral"))
    assert listing.emotions == ("happy", "neutral")
    assert listing.left_out == {"emotion outside data.classes: contempt": 2}


def test_the_box_of_the_list_is_cut_out(tmp_path: Path) -> None:
    """Of each image the listed face becomes the crop; another box gives another crop."""
    root = tmp_path / "AffectNet"
    scene = draw_scene(["happy"], np.random.default_rng(1), width=200, height=220)
    (face,) = scene.faces
    root.mkdir()
    (root / "a.png").write_bytes(cv2.imencode(".png", scene.image)[1].tobytes())
    x, y, width, height = face.box
    crop = cv2.cvtColor(scene.image[y : y + height, x : x + width], cv2.COLOR_BGR2GRAY)
    small = cv2.resize(crop, (32, 32), interpolation=cv2.INTER_AREA)
    found = {}
    for name, box in {"face": face.box, "other": (x, y, width - 20, height - 20)}.items():
        _lists(root, [_row("a.png", 1, box=",".join(map(str, box)))], [])
        image = load_for_evaluation(_config("affectnet", root)).images[0][..., 0].astype(int)
        found[name] = np.abs(image - small).mean()
    assert found["face"] < 2
    assert found["other"] > 10


def test_two_faces_of_one_photo_are_cleaned_apart(tmp_path: Path) -> None:
    """Each has a name of its own, for every config the same, by which an audit's manifest fits."""
    root = tmp_path / "AffectNet"
    scene = draw_scene(["happy", "sad"], np.random.default_rng(1), width=300, height=220)
    root.mkdir()
    (root / "a.png").write_bytes(cv2.imencode(".png", scene.image)[1].tobytes())
    boxes = [",".join(map(str, face.box)) for face in scene.faces]
    _save(root / "b.png")
    rows = [_row("a.png", 1, box=boxes[0]), _row("a.png", 2, box=boxes[1])]
    _lists(root, [*rows, _row("b.png", 1, box="0,0,48,48")], [])
    write_audit(
        audit_sources(AuditOptions([f"affectnet:{root}"], detector="none")), tmp_path / "audit"
    )
    config = _config("affectnet", root, manifest=tmp_path / "audit" / "manifest.csv")
    dataset = load_for_evaluation(config)
    assert dataset.paths.tolist() == ["a.png", "a.png#2", "b.png"]
    _lists(root, [*rows, _row("b.png", 4, box="0,0,48,48")], [])
    sad = _list("affectnet", root, classes=("sad", "fear"))
    assert [sample.name for sample in sad.samples] == ["a.png#2", "b.png"]


def test_where_faces_are_found_the_box_is_not_cut(tmp_path: Path) -> None:
    """With faces = detect an audit, a conversion and training all read AffectNet's photos."""
    _lists(tmp_path, [_row("a.png", 1)], [])
    assert _list("affectnet", tmp_path).samples[0].box == (1, 2, 30, 40)
    assert _list("affectnet", tmp_path, faces="detect").samples[0].box is None


def test_labels_of_several_faces_fit_no_detected_one(tmp_path: Path) -> None:
    """With faces = detect, a photo listed twice is left out: its largest face may be either."""
    _lists(tmp_path, [_row("a.png", 1), _row("a.png", 2), _row("b.png", 1)], [])
    listing = _list("affectnet", tmp_path, faces="detect")
    assert [sample.name for sample in listing.samples] == ["b.png"]
    assert listing.left_out == {"one of several labelled faces in a photo": 2}
    assert len(_list("affectnet", tmp_path).samples) == 3


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (_row("a.jpg", 11), "expression from 0 to 10, got '11'"),
        (_row("a.jpg", "happy"), "expression from 0 to 10"),
        (_row("../../a.jpg", 1), "below the folder"),
        (_row("/etc/a.jpg", 1), "below the folder"),
        (_row("", 1), "below the folder"),
        (_row("a.jpg", 1, box="1,2,x,4"), "box in pixels"),
        (_row("a.jpg", 1, box="1,2,inf,4"), "box in pixels"),
        (_row("a.jpg", 1, box="1,2,-3,4"), "with an area"),
    ],
)
def test_a_wrong_row_of_affectnet_is_named(tmp_path: Path, row: str, said: str) -> None:
    """A row that cannot be used is skipped with its line and why; if all are, that is an error."""
    _lists(tmp_path, [_row("good.jpg", 1), row], [])
    (skipped,) = _list("affectnet", tmp_path).skipped
    assert str(skipped).startswith("training.csv:3: expected")
    assert said in str(skipped)
    _lists(tmp_path, [row], [])
    with pytest.raises(DataError, match=r"no label can be used.*training.csv:2"):
        _list("affectnet", tmp_path)


def test_a_list_of_other_columns_is_told(tmp_path: Path) -> None:
    """A line with too few values and a header without expression name the file."""
    _lists(tmp_path, [_row("a.jpg", 1), "b.jpg,1"], [])
    with pytest.raises(DataError, match=r"training.csv, line 3: expected 9 values.*got 2"):
        _list("affectnet", tmp_path)
    _write(tmp_path / "training.csv", HEADER.replace(",expression", ""), "a.jpg")
    with pytest.raises(DataError, match=r"training.csv: expected the columns expression"):
        _list("affectnet", tmp_path)


def test_a_box_outside_its_image_skips_the_image(tmp_path: Path) -> None:
    """A box that lies mostly outside, however large, is a fault of that image alone."""
    root = tmp_path / "AffectNet"
    boxes = ["0,0,48,48", "40,40,48,48", "-10,0,1000000000,1000000000"]
    _lists(root, [_row(f"{n}.png", 1, box=box) for n, box in enumerate(boxes)], [])
    for number in range(3):
        _save(root / f"{number}.png", seed=number)
    config = _config("affectnet", root, max_unreadable_fraction=0.9)
    dataset = load_for_evaluation(config)
    assert dataset.paths.tolist() == ["0.png"]
    assert [Path(file.path).name for file in dataset.skipped] == ["1.png", "2.png"]
    assert "outside the image of 48x48" in dataset.skipped[0].reason


def _annotated(root: Path, split: str, labels: dict[int, object]) -> None:
    """Write images and annotations of one split, as AffectNet's smaller form has them."""
    (root / split / "annotations").mkdir(parents=True)
    for number, label in labels.items():
        _touch(root / split / "images" / f"{number}.jpg")
        np.save(root / split / "annotations" / f"{number}_exp.npy", np.array(label))
        np.save(root / split / "annotations" / f"{number}_val.npy", np.array("0.5"))


def test_affectnet_is_read_by_its_annotations(tmp_path: Path) -> None:
    """An annotation may be a number or text; those without a partner are counted."""
    _annotated(tmp_path, "train_set", {0: "0", 1: 1, 2: np.int64(7), 3: 8})
    _annotated(tmp_path, "val_set", {0: "3"})
    _touch(tmp_path / "val_set" / "images" / "5.jpg")
    (tmp_path / "train_set" / "images" / "1.jpg").unlink()
    listing = _list("affectnet", tmp_path)
    assert _rows(listing) == [
        ("train_set/images/0.jpg", "neutral", "train"),
        ("train_set/images/2.jpg", "contempt", "train"),
        ("val_set/images/0.jpg", "surprise", "test"),
    ]
    assert listing.left_out == {
        "label that is not an emotion: none": 1,
        "image without an annotation": 1,
        "annotation without an image": 1,
    }


class _Trap:
    """What a hostile pickle runs when it is opened."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return (exec, ("raise SystemExit('code of the data ran')",))


@pytest.mark.parametrize(
    "content", ["pickle", "object", "text", "empty", "large", "two", "no unicode"]
)
def test_a_hostile_annotation_is_skipped(tmp_path: Path, content: str) -> None:
    """Pickled objects are not opened, and no other content than one number is taken."""
    _annotated(tmp_path, "train_set", {0: 1, 1: 1})
    path = tmp_path / "train_set" / "annotations" / "1_exp.npy"
    match content:
        case "pickle":
            path.write_bytes(pickle.dumps(_Trap()))
        case "object":
            np.save(path, np.array([_Trap()], object), allow_pickle=True)
        case "text":
            path.write_text("1", encoding="utf-8")
        case "empty":
            path.write_bytes(b"")
        case "large":  # claims more numbers than any memory holds
            whole = path.read_bytes()
            path.write_bytes(whole.replace(b"'shape': ()", b"'shape': (10000000000000,)"))
        case "no unicode":
            np.save(path, np.array("1"))
            path.write_bytes(path.read_bytes()[:-4] + b"\xff" * 4)
        case "two":
            np.save(path, np.array([1, 2]))
    listing = _list("affectnet", tmp_path)
    assert [sample.file for sample in listing.samples] == ["train_set/images/0.jpg"]
    (skipped,) = listing.skipped
    assert skipped.path == str(path)
    assert "expected" in skipped.reason


@pytest.mark.parametrize("names", [tuple("01234567"), AFFECTNET])
def test_affectnet_in_class_folders(tmp_path: Path, names: tuple[str, ...]) -> None:
    """Folders by number or name are read; val is the test split only where there is none."""
    for split in ("train", "val"):
        for name in (*names, "none"):
            _touch(tmp_path / split / name / "a.jpg")
    listing = _list("affectnet", tmp_path)
    assert {file.split("/")[1]: emotion for file, emotion, _ in _rows(listing)} == dict(
        zip(names, AFFECTNET, strict=True)
    )
    assert Counter(split for _, _, split in _rows(listing)) == {"train": 8, "test": 8}
    assert listing.left_out == {"label that is not an emotion: none": 2}
    _touch(tmp_path / "test" / names[0] / "a.jpg")
    splits = Counter(split for _, _, split in _rows(_list("affectnet", tmp_path)))
    assert splits == {"train": 8, "val": 8, "test": 1}


# --- CK+


def _sequence(root: Path, person: int, number: int, *, frames: int, label: str | None) -> None:
    """Write the empty frames of a sequence and, if it has one, its label."""
    place = f"S{person:03d}/{number:03d}"
    stem = f"S{person:03d}_{number:03d}"
    for frame in range(1, frames + 1):
        _touch(root / "cohn-kanade-images" / place / f"{stem}_{frame:08d}.png")
    if label is not None:
        _write(root / "Emotion" / place / f"{stem}_{frames:08d}_emotion.txt", label)


def test_ckplus_as_published(tmp_path: Path) -> None:
    """The last three frames have the sequence's label; others are counted; people are groups."""
    _sequence(tmp_path, 5, 1, frames=11, label="   3.0000000e+00")
    _sequence(tmp_path, 5, 2, frames=4, label=None)
    _sequence(tmp_path, 130, 13, frames=2, label="7")
    listing = _list("ckplus", tmp_path)
    assert _rows(listing) == [
        ("cohn-kanade-images/S005/001/S005_001_00000009.png", "disgust", None),
        ("cohn-kanade-images/S005/001/S005_001_00000010.png", "disgust", None),
        ("cohn-kanade-images/S005/001/S005_001_00000011.png", "disgust", None),
        ("cohn-kanade-images/S130/013/S130_013_00000001.png", "surprise", None),
        ("cohn-kanade-images/S130/013/S130_013_00000002.png", "surprise", None),
    ]
    assert [sample.groups for sample in listing.samples] == [("S005",)] * 3 + [("S130",)] * 2
    assert listing.left_out == {
        "frame before the peak of its sequence": 8,
        "frame of a sequence without a label": 4,
    }


@pytest.mark.parametrize("number", range(8))
def test_the_numbers_of_ckplus(tmp_path: Path, number: int) -> None:
    """0 is neutral, 1 anger, 2 contempt, 3 disgust, 4 fear, 5 happy, 6 sadness, 7 surprise."""
    _sequence(tmp_path, 5, 1, frames=1, label=f"   {number}.0000000e+00")
    assert _list("ckplus", tmp_path).samples[0].emotion == CKPLUS[number]


@pytest.mark.parametrize("label", ["8", "", "happy", "3.5", "3e+01", "-1", "é"])
def test_a_wrong_label_of_ckplus_is_named(tmp_path: Path, label: str) -> None:
    """A label that is no number from 0 to 7 is skipped with its file and why."""
    _sequence(tmp_path, 5, 1, frames=3, label="1")
    _sequence(tmp_path, 5, 2, frames=3, label=label)
    listing = _list("ckplus", tmp_path)
    (skipped,) = listing.skipped
    assert skipped.path.endswith("S005_002_00000003_emotion.txt")
    assert len(listing.samples) == 3


def test_plain_faces_with_the_names_of_ckplus_are_noted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A path alone stays what it was, class folders; the line says how people are kept apart."""
    caplog.set_level("INFO")
    root = tmp_path / "CK+48"
    for number in range(4):
        _touch(root / "happy" / f"S01{number}_004_00000017.png")
        _touch(root / "sad" / f"S01{number}_002_00000015.png_1.png")  # by data crop
    assert find_data(str(root), option="--data").source == "folder"
    assert _list("folder", root).groups == ()
    assert f"as ckplus:{root}, each person stays in one split" in caplog.text
    people = {sample.groups for sample in _list("ckplus", root).samples}
    assert people == {("S010",), ("S011",), ("S012",), ("S013",)}
    caplog.clear()
    _touch(root / "sad" / "S1_2_3.png")
    assert _list("folder", root)
    assert "CK+" not in caplog.text.replace(str(root), "")


def test_ckplus_unpacked_file_by_file_has_no_numbered_classes(tmp_path: Path) -> None:
    """The numbers are those of sequences."""
    _sequence(tmp_path / "images", 5, 1, frames=3, label=None)
    _touch(tmp_path / "labels" / "Emotion" / "S005" / "001" / "S005_001_00000003_emotion.txt")
    for folder in (tmp_path, tmp_path / "images", tmp_path / "images" / "cohn-kanade-images"):
        with pytest.raises(DataError, match="expected cohn-kanade-images and Emotion side by side"):
            find_data(str(folder), option="--data")


@pytest.mark.parametrize(
    ("name", "home"),
    [
        ("lists/training.csv", "AffectNet/lists"),
        ("Manually_Annotated_file_lists/training.csv", "AffectNet"),
        ("Manually_Annotated_file_lists", "AffectNet"),
    ],
)
def test_a_list_of_affectnet_leads_to_its_folder(tmp_path: Path, name: str, home: str) -> None:
    """Not to that of the lists alone, which `affectnet` would not find."""
    named = tmp_path / "AffectNet" / name
    _lists(named if named.suffix == "" else named.parent, [_row("103/a.jpg", 1)], [])
    with pytest.raises(DataError, match=f"name its folder: .?affectnet:{tmp_path}/{home}.?\\."):
        find_data(str(named), option="--data")


def test_the_compound_emotions_of_raf_db_are_not_taken_for_single_ones(
    raf_db: Path, tmp_path: Path
) -> None:
    """They are handed out beside these, and numbered alike."""
    both = tmp_path / "both"
    both.mkdir()
    raf_db.rename(both / "basic")
    shutil.copytree(both / "basic", both / "compound")
    assert _list("raf_db", both).root == both / "basic"
    assert find_data(str(both), option="--data").source == "raf_db"
    names = both / "compound" / "EmoLabel" / "list_patition_label.txt"
    names.write_text("".join(f"train_0000{number}.jpg {number}\n" for number in range(1, 12)))
    with pytest.raises(DataError, match=r"compound emotions.*`basic`"):
        _list("raf_db", both / "compound")


@pytest.mark.parametrize(
    ("name", "line", "told"),
    [
        (
            "list_patition_label.txt",
            "train_00001.jpg 5",
            "RAF-DB's list; name its folder: .*raf_db:/",
        ),
        ("label.lst", "angry_1.jpg 0 28 113 226 141 22.9 0", "has no header: its first line is"),
        ("faces.csv", "a/1.png,happy", "has no header: .*path,label"),
    ],
)
def test_a_list_without_a_header_is_told(tmp_path: Path, name: str, line: str, told: str) -> None:
    """Its first line is no line of columns, which could be renamed."""
    _write(tmp_path / name, line)
    with pytest.raises(DataError, match=told):
        find_data(str(tmp_path / name), option="--data")


def test_ckplus_without_its_other_half_is_told(tmp_path: Path) -> None:
    """Frames without the labels, unpacked apart, are an error that names what is missing."""
    frames = tmp_path / "images" / "cohn-kanade-images"
    frames.mkdir(parents=True)
    with pytest.raises(DataError, match=rf"Emotion side by side, found only {frames}"):
        _list("ckplus", tmp_path)
    (tmp_path / "Emotion").mkdir()
    with pytest.raises(DataError, match=rf"found only {frames} and {tmp_path / 'Emotion'}"):
        _list("ckplus", tmp_path)


def _class_folders(root: Path, people: int, *, images: int = 2) -> None:
    seed = 0
    for folder, emotion in (("anger", "angry"), ("sadness", "sad")):
        for person in range(people):
            for frame in range(images):
                name = f"S{person:03d}_001_{frame:08d}.png"
                _save(root / folder / name, emotion, seed=(seed := seed + 1))


def test_nobody_of_ckplus_is_on_two_sides(tmp_path: Path) -> None:
    """Whatever the seed, the crops of a person lie in one split, without being asked for."""
    root = tmp_path / "CK+48"
    _class_folders(root, people=12)
    drawn = set()
    for seed in range(3):
        dataset = load_dataset(
            _config("ckplus", root, validation_fraction=0.2, test_fraction=0.2), seed=seed
        )
        sides: dict[str, set[str]] = {}
        for path, split in zip(dataset.paths, dataset.splits, strict=True):
            sides.setdefault(Path(path).name[:4], set()).add(split)
        assert all(len(found) == 1 for found in sides.values())
        assert set(dataset.splits) == {"train", "val", "test"}
        drawn.add(json.dumps(dataset.splits.tolist()))
    assert len(drawn) > 1


def test_people_that_split_folders_tear_apart_are_told(tmp_path: Path) -> None:
    """CK+ that somebody split without regard to people cannot be trained on, and who is named."""
    root = tmp_path / "CK+48"
    _class_folders(root / "train", people=3)
    _class_folders(root / "test", people=1)
    with pytest.raises(DataError, match=r"person 'S000' has images in .*split folders"):
        load_dataset(_config("ckplus", root), seed=0)


def test_a_crop_of_nobody_is_told(tmp_path: Path) -> None:
    """A crop whose name does not tell the person is refused, not put on any side."""
    _touch(tmp_path / "happy" / "S010_001_00000001.png")
    _touch(tmp_path / "happy" / "smile.png")
    with pytest.raises(DataError, match=r"smile.png: expected a name that begins with the person"):
        _list("ckplus", tmp_path)


# --- nested as downloads are


@pytest.mark.parametrize("source", ["raf_db", "ckplus", "affectnet", "annotations"])
def test_a_published_set_is_found_where_a_download_nests_it(
    source: str, raf_db: Path, tmp_path: Path
) -> None:
    """Its path may be that of a folder above, alone or with the source; two are too many.

    One that was thrown away does not count.
    """
    root = tmp_path / "unpacked" / "data"
    (root / "readme").mkdir(parents=True)
    if source == "raf_db":
        raf_db.rename(root / "RAF-DB")
    elif source == "ckplus":
        _sequence(root / "CK+", 5, 1, frames=4, label="3")
    elif source == "affectnet":
        _lists(root / "AffectNet" / "Manually_Annotated_file_lists", [_row("103/a.jpg", 1)], [])
        (root / "AffectNet" / "Manually_Annotated_Images" / "103").mkdir(parents=True)
    else:
        _annotated(root / "AffectNet", "train_set", {0: "0", 1: 1})
        source = "affectnet"
    (set_folder,) = (folder for folder in root.iterdir() if folder.name != "readme")
    shutil.copytree(set_folder, root / "$RECYCLE.BIN")
    listing = _list(source, tmp_path / "unpacked")
    assert listing.samples
    assert listing.root.parent == root
    found = find_data(str(tmp_path / "unpacked"), option="--data")
    assert str(found) == f"{source}:{tmp_path / 'unpacked'}"
    shutil.copytree(listing.root, root / "copy")
    with pytest.raises(DataError, match="found 2 folders that could be meant"):
        _list(source, tmp_path / "unpacked")


@pytest.mark.parametrize("lists", ["manually_annotated_File_Lists", None])
def test_the_photos_of_affectnet_are_no_classes(tmp_path: Path, lists: str | None) -> None:
    """Their folders are numbered, too; without the lists, the numbers would be taken for labels."""
    for number in range(8):
        _touch(tmp_path / "Affect" / "Manually_Annotated_Images" / str(number) / "a.jpg")
    if lists:
        _lists(tmp_path / "Affect" / lists, [_row("0/a.jpg", 1)], [])
    with pytest.raises(DataError, match=r"Manually_Annotated_Images: .* without its lists"):
        _list("affectnet", tmp_path)


def test_ckplus_leaves_out_sequences_of_other_classes(tmp_path: Path) -> None:
    """Their peaks as well as the frames before, which are counted as left out for the class."""
    _sequence(tmp_path, 5, 1, frames=12, label="2.0000000e+00")
    _sequence(tmp_path, 5, 2, frames=5, label="5.0000000e+00")
    _sequence(tmp_path, 5, 3, frames=2, label="6.0000000e+00")
    listing = _list("ckplus", tmp_path, classes=("happy", "sad"))
    assert len(listing.samples) == 5
    assert listing.left_out == {
        "emotion outside data.classes: contempt": 12,
        "frame before the peak of its sequence": 2,
    }
