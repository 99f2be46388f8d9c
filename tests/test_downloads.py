"""Data as it is passed round: nested folders, lists of spreadsheets, moved files, other labels."""

from __future__ import annotations

import logging
import os
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal
from unicodedata import normalize

import cv2
import numpy as np
import pytest

from emodetect.config import DataConfig, load_config, validate_data
from emodetect.data.dataset import load_for_evaluation
from emodetect.data.listing import Listing
from emodetect.data.named_data import find_data
from emodetect.data.readers import folder as folder_reader
from emodetect.data.readers.registry import list_samples
from emodetect.data.writers.split_manifest import SplitOptions, write_splits
from emodetect.emotions import canonical_emotion
from emodetect.errors import ConfigError, DataError


def _touch(root: Path, *names: str) -> Path:
    """Write an empty image, or whatever the name says, at each place."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def _save(path: Path, number: int) -> None:
    """Write a picture that no other number gives."""
    picture = np.random.default_rng(number).integers(0, 256, (48, 48), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(".png", picture)[1].tobytes())


def _list(path: Path, source: str = "folder", **values: Any) -> Listing:
    return list_samples(DataConfig(source=source, path=path, **values))


def _load(path: Path, source: str = "manifest", **values: Any) -> Any:
    config = DataConfig(source=source, path=path, cache_dir=path.parent / "cache", **values)
    return load_for_evaluation(config)


def _rows(listing: Listing) -> list[tuple[str, str, str | None]]:
    return [(sample.file, sample.emotion, sample.split) for sample in listing.samples]


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """The log of emodetect, as users see it."""
    caplog.set_level(logging.INFO, logger="emodetect")
    return caplog


# --- nested folders


@pytest.mark.parametrize("outer", ["Emotions Dataset/Emotions Dataset", "a/b/c/d", "archive (1)"])
def test_a_data_set_is_found_below_the_folders_of_a_download(
    tmp_path: Path, said: pytest.LogCaptureFixture, outer: str
) -> None:
    """However deep train and test lie, they are read as if the inner folder had been named."""
    _touch(
        tmp_path,
        f"{outer}/train/happy/1.png",
        f"{outer}/test/sad/2.png",
        "__MACOSX/a/train/happy/._1.png",
        "readme.txt",
    )
    listing = _list(tmp_path)
    assert listing.root == tmp_path / outer
    assert listing.samples == _list(tmp_path / outer).samples
    assert _rows(listing) == [
        ("test/sad/2.png", "sad", "test"),
        ("train/happy/1.png", "happy", "train"),
    ]
    assert f"using the class folders in {tmp_path / outer}/test (test), " in said.text


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train", "train"),
        ("TRAINING", "train"),
        ("Train_Set", "train"),
        ("training data", "train"),
        ("valid", "val"),
        ("Validation", "val"),
        ("VAL", "val"),
        ("dev", "val"),
        ("val_images", "val"),
        ("Testing", "test"),
        ("test-set", "test"),
        ("testset", "test"),
        ("PublicTest", "test"),
        ("private_test", "test"),
        ("fer_train", "train"),
        ("FER2013-test", "test"),
    ],
)
def test_split_folders_have_many_names(tmp_path: Path, name: str, split: str) -> None:
    """Usual names of the splits are known in any case, with "set" or "images" behind them."""
    listing = _list(_touch(tmp_path, f"set/{name}/happy/1.png"))
    assert _rows(listing) == [(f"{name}/happy/1.png", "happy", split)]


@pytest.mark.parametrize(
    ("names", "splits"),
    [
        (("Training", "PublicTest", "PrivateTest"), ["train", "val", "test"]),
        (("train", "public_test", "private_test"), ["train", "val", "test"]),
        (("fer_train", "fer_public_test", "fer_private_test"), ["train", "val", "test"]),
        (("train", "publictest", "test"), ["train", "val", "test"]),
        (("Training", "PublicTest"), ["train", "test"]),
        (("Training", "PrivateTest"), ["train", "test"]),
    ],
)
@pytest.mark.parametrize("layout", ["folder", "manifest"])
def test_public_test_is_the_split_that_is_lacking(
    tmp_path: Path, names: tuple[str, ...], splits: list[str], layout: str
) -> None:
    """PublicTest is validation beside a test split and the test split otherwise, as in the csv."""
    _touch(tmp_path, *(f"{name}/happy/1.png" for name in names))
    path = tmp_path
    if layout == "manifest":
        path = tmp_path / "list.csv"
        rows = [f"{name}/happy/1.png,happy,{name}" for name in names]
        path.write_text("\n".join(["path,label,split", *rows]))
    split_of = {file.split("/")[0]: split for file, _, split in _rows(_list(path, layout))}
    assert [split_of[name] for name in names] == splits


def test_folders_between_a_split_and_its_classes_are_no_matter(tmp_path: Path) -> None:
    """train/train/happy and test/images/happy are train and test; an inner val is val."""
    names = ("train/train/happy/1.png", "train/val/happy/2.png", "test/images/happy/3.png")
    assert Counter(split for _, _, split in _rows(_list(_touch(tmp_path, *names)))) == {
        "train": 1,
        "val": 1,
        "test": 1,
    }


def test_class_folders_without_splits_are_found_too(tmp_path: Path) -> None:
    """A wrapper around plain class folders is no split and no class."""
    listing = _list(_touch(tmp_path, "CK+48/faces/happy/1.png", "CK+48/faces/sad/2.png"))
    assert _rows(listing) == [("happy/1.png", "happy", None), ("sad/2.png", "sad", None)]


def test_several_data_sets_are_listed(tmp_path: Path) -> None:
    """Which of two is meant is not guessed: the error names both, and naming one reads it."""
    _touch(tmp_path, "a/x/train/happy/1.png", "a/x/test/happy/2.png", "b/sad/3.png")
    with pytest.raises(DataError, match="found 2 folders") as caught:
        _list(tmp_path)
    assert str(tmp_path / "a" / "x") in str(caught.value)
    assert str(tmp_path / "b") in str(caught.value)
    assert len(_list(tmp_path / "a").samples) == 2
    assert len(_list(tmp_path / "b").samples) == 1


def test_two_versions_of_a_split_are_listed(tmp_path: Path) -> None:
    """Original and cropped copies inside train are not thrown together."""
    _touch(tmp_path, "train/original/happy/1.png", "train/cropped/happy/1.png")
    with pytest.raises(DataError, match="found 2 folders") as caught:
        _list(tmp_path)
    assert str(tmp_path / "train" / "cropped") in str(caught.value)


def test_many_data_sets_are_counted(tmp_path: Path) -> None:
    """A folder per person gives one error of fair length."""
    _touch(tmp_path, *(f"person {n}/happy/1.png" for n in range(40)))
    with pytest.raises(DataError, match=r"found 40 folders .* and 35 more") as caught:
        _list(tmp_path)
    assert len(str(caught.value)) < 1000


def test_a_split_of_unknown_labels_is_not_lost(tmp_path: Path) -> None:
    """train is read only together with test, whose misnamed folder is told."""
    _touch(tmp_path, "in/train/happy/1.png", "in/test/hapy/2.png")
    with pytest.raises(DataError, match=r"test/hapy: expected an emotion.*'happy'"):
        _list(tmp_path)


def test_test_images_without_labels_are_counted(tmp_path: Path) -> None:
    """A flat test folder, as of a competition, is left out with the number of its images."""
    listing = _list(_touch(tmp_path, "in/train/happy/1.png", "in/test/2.png", "in/test/3.png"))
    assert len(listing.samples) == 1
    assert listing.left_out == {"image next to the class folders, not in one": 2}


def test_a_folder_beside_the_splits_matters_if_it_has_images(tmp_path: Path) -> None:
    """Code beside train is no matter; images beside it are an error that names their folder."""
    _touch(tmp_path, "train/happy/1.png", "notebooks/train.ipynb")
    assert len(_list(tmp_path).samples) == 1
    _touch(tmp_path, "notebooks/2.png")
    with pytest.raises(
        DataError, match=r"'notebooks' contains images next to 'train', but is not the name"
    ):
        _list(tmp_path)


@pytest.mark.parametrize(
    ("closed", "message"),
    [
        ("notes", "notes: the folder cannot be read, and it is next to 'train'"),
        ("notes/old", "notes/old: the folder cannot be read, and it is next to 'train' or in a"),
        ("train", "train: the folder cannot be read: Permission denied."),
    ],
)
def test_a_closed_folder_is_not_said_to_have_images(
    closed: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether it has any is not known; the error names it, and says what to do."""
    _touch(tmp_path, "train/happy/1.png", "notes/old/readme.txt")

    def refusing(usual: Callable[[Path], Any]) -> Callable[[Path], Any]:
        def read(path: Path) -> Any:
            if Path(path) == tmp_path / closed:
                raise PermissionError(13, "Permission denied", str(path))
            return usual(path)

        return read

    for name in ("listdir", "scandir"):
        monkeypatch.setattr(os, name, refusing(getattr(os, name)))
    with pytest.raises(DataError) as caught:
        _list(tmp_path)
    assert str(tmp_path / message) in str(caught.value)


def test_a_class_folder_beside_the_splits_is_an_error(tmp_path: Path) -> None:
    """Whether the splits or the classes are meant is not guessed."""
    _touch(tmp_path, "train/happy/1.png", "docs/readme.txt", "sad/1.png")
    with pytest.raises(DataError, match=r"found both: 'sad' is next to 'train'"):
        _list(tmp_path)


@pytest.mark.parametrize("inside", ["", "train/"])
def test_folders_without_images_beside_the_classes_are_ignored(
    tmp_path: Path, said: pytest.LogCaptureFixture, inside: str
) -> None:
    """Empty folders and code are named and left out; with an image, the error says what to do."""
    _touch(tmp_path, f"{inside}happy/1.png", f"{inside}models/model.py")
    (tmp_path / inside / "logs").mkdir()
    assert len(_list(tmp_path).samples) == 1
    assert "ignored folders without images: logs, models" in said.text
    _touch(tmp_path, f"{inside}models/2.png")
    with pytest.raises(DataError, match=r"models: expected an emotion.*Move away folders"):
        _list(tmp_path)


@pytest.mark.parametrize(
    "name", ["lost+found", "$RECYCLE.BIN", "@eaDir", "System Volume Information"]
)
def test_folders_of_the_system_are_no_classes(tmp_path: Path, name: str) -> None:
    """What systems put beside the classes is no matter, even with thumbnails in it."""
    _touch(tmp_path, "happy/1.png", f"{name}/thumb.png")
    assert _rows(_list(tmp_path)) == [("happy/1.png", "happy", None)]


def test_a_link_in_a_circle_ends_the_search(tmp_path: Path) -> None:
    """A folder that contains itself by a link is searched once."""
    _touch(tmp_path, "a/b/train/happy/1.png")
    (tmp_path / "a" / "again").symlink_to(tmp_path, target_is_directory=True)
    assert len(_list(tmp_path).samples) == 1


def test_the_search_of_a_disk_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Named by mistake, a folder of very many others is one clear error."""
    monkeypatch.setattr(folder_reader, "SEARCHED_AT_MOST", 20)
    for number in range(30):
        (tmp_path / f"home {number}").mkdir()
    with pytest.raises(DataError, match="no data set found in the first 20 folders"):
        _list(tmp_path)


def test_numbers_are_read_where_the_source_names_the_data_set(
    tmp_path: Path, said: pytest.LogCaptureFixture
) -> None:
    """RAF-DB and AffectNet number their emotions differently; both are found in a download."""
    for number in range(1, 8):
        _touch(
            tmp_path,
            f"archive/DATASET/train/{number}/a.jpg",
            f"archive/DATASET/test/{number}/b.jpg",
        )
    raf_db = _list(tmp_path, "raf_db")
    assert len(raf_db.samples) == 14
    assert {file.split("/")[1]: emotion for file, emotion, _ in _rows(raf_db)}["1"] == "surprise"
    assert "labels: 1 is surprise, 2 is fear, 3 is disgust" in said.text
    affectnet = _list(tmp_path, "affectnet")
    assert {file.split("/")[1]: emotion for file, emotion, _ in _rows(affectnet)}["1"] == "happy"


@pytest.mark.parametrize("below", ["", "in/train/"])
def test_numbers_alone_are_not_guessed(tmp_path: Path, below: str) -> None:
    """Folders 0 to 6 of an unnamed data set end in a table of what they may mean."""
    _touch(tmp_path, *(f"{below}{number}/a.png" for number in range(7)))
    with pytest.raises(DataError, match=r"/0: expected an emotion") as caught:
        _list(tmp_path)
    for text in ("raf_db", "affectnet", "FER2013 0 to 6 are angry, disgust", "data.label_names"):
        assert text in str(caught.value)
    numbers = {str(n): e for n, e in enumerate(("angry", "disgust", "fear", "happy", "sad"))}
    names = {**numbers, "5": "surprise", "6": "neutral"}
    assert _list(tmp_path, label_names=names).emotions[0] == "angry"


# --- labels


@pytest.mark.parametrize(
    ("label", "emotion"),
    [
        ("anger", "angry"),
        ("Angry", "angry"),
        ("ANGRY_faces", "angry"),
        ("AngryFaces", "angry"),
        ("0_angry", "angry"),
        ("01-happy", "happy"),
        ("3. Happy", "happy"),
        ("happy images", "happy"),
        ("Happy People", "happy"),
        ("happiness", "happy"),
        ("joyful", "happy"),
        ("surprised", "surprise"),
        ("surprising", "surprise"),
        ("Surprises", "surprise"),
        ("neutrality", "neutral"),
        ("neutral_face_images", "neutral"),
        ("sadness", "sad"),
        ("fearful", "fear"),
        ("fears", "fear"),
        ("afraid", "fear"),
        ("disgusted", "disgust"),
        ("contemptuous", "contempt"),
    ],
)
def test_labels_are_known_by_their_variants(
    tmp_path: Path, said: pytest.LogCaptureFixture, label: str, emotion: str
) -> None:
    """Other parts of speech, plurals, numbers before and nouns behind mean the same emotion."""
    listing = _list(_touch(tmp_path, f"{label}/1.png"))
    assert listing.emotions == (emotion,)
    assert [f"labels: {label} is {emotion}"] == [
        line for line in said.messages if line.startswith("labels")
    ]


@pytest.mark.parametrize(
    ("label", "near"),
    [
        ("suprise", "surprise"),
        ("saddness", "sadness"),
        ("hapy_faces", "happy"),
        ("not happy", ""),
        ("unhappy", ""),
        ("happy_sad", ""),
        ("faces", ""),
        ("", ""),
    ],
)
def test_what_is_only_near_an_emotion_is_asked_about(label: str, near: str) -> None:
    """A misspelt label is not taken, but named with the one probably meant."""
    with pytest.raises(DataError, match=f"got {label!r}") as caught:
        canonical_emotion(label)
    assert not near or f"Did you mean {near!r}" in str(caught.value)


def test_labels_that_are_emotions_are_not_repeated(
    tmp_path: Path, said: pytest.LogCaptureFixture
) -> None:
    """Where all folders are named as here, nothing is said of labels."""
    _list(_touch(tmp_path, "happy/1.png", "sad/1.png"))
    assert "labels" not in said.text


# --- lists


ROWS = [("faces/happy/1.png", "happy", "train"), ("faces/sad/2.png", "sad", "test")]


def _manifest(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode(encoding))
    return path


def _lines(
    delimiter: str, end: str = "\n", header: Sequence[str] = ("path", "label", "split")
) -> str:
    return "".join(delimiter.join(row) + end for row in [header, *ROWS])


QUOTED = "".join(
    ";".join(f'"{value}"' for value in line.split(",")) + "\n" for line in _lines(",").splitlines()
)


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        pytest.param(_lines(";"), "utf-8", id="semicolons"),
        pytest.param(_lines("\t"), "utf-8", id="tabs"),
        pytest.param(_lines(";", "\r\n"), "utf-8-sig", id="a European Excel"),
        pytest.param(_lines("\t", "\r\n"), "utf-16", id="Unicode text of Excel"),
        pytest.param(_lines(",", "\r"), "utf-8", id="old Macintosh"),
        pytest.param(_lines(";", header=(" Path", "LABEL ", "Split")), "utf-8", id="spelling"),
        pytest.param(QUOTED, "utf-8", id="quotes"),
        pytest.param("sep=;\r\n" + _lines(";", "\r\n"), "utf-8", id="the delimiter told"),
        pytest.param(_lines(";") + ";;\n\n;;\n", "utf-8", id="empty rows"),
        pytest.param(_lines(",", header=("path", "label", "split")), "utf-16-be", id="big-endian"),
    ],
)
def test_lists_of_any_dialect_are_the_same(tmp_path: Path, text: str, encoding: str) -> None:
    """Delimiter, line ends, byte-order mark, quotes and the case of the header change nothing."""
    if encoding == "utf-16-be":
        text = f"\ufeff{text}"
    path = _manifest(tmp_path / "list.csv", text, encoding)
    assert _rows(_list(path, "manifest")) == ROWS
    assert find_data(path, option="--data").source == "manifest"


@pytest.mark.parametrize(
    ("label", "note"),
    [
        ("happy", "2 rows name an image that an earlier row names; each row counts"),
        ("sad", "2 rows name an image that an earlier row names, 1 of them with another label;"),
    ],
)
def test_images_that_a_list_names_twice_are_told(tmp_path: Path, label: str, note: str) -> None:
    """As they count twice, in figures and their intervals."""
    text = f"path,label\na.png,happy\nb.png,sad\na.png,{label}\n./c.png,sad\nb.png,sad\n"
    path = _manifest(tmp_path / "list.csv", text)
    (told,) = _list(path, "manifest").notes
    assert told.startswith(f"{path}: {note}")


def test_the_header_decides_and_not_the_values(tmp_path: Path) -> None:
    """Commas and semicolons in file names do not make another delimiter."""
    text = "path;label\na,b,c,d.png;happy\n"
    listing = _list(_manifest(tmp_path / "list.csv", text), "manifest")
    assert _rows(listing) == [("a,b,c,d.png", "happy", None)]
    text = 'path,label,"a;b;c;d"\nx;y.png,sad,\n'
    listing = _list(_manifest(tmp_path / "list.csv", text), "manifest")
    assert _rows(listing) == [("x;y.png", "sad", None)]


def test_a_line_is_named_as_in_an_editor(tmp_path: Path) -> None:
    """Below a line that tells the delimiter, and empty rows, line numbers stay right."""
    path = _manifest(tmp_path / "list.csv", "sep=;\npath;label\na.png;happy\n;\nb.png;hapy\n")
    with pytest.raises(DataError, match="line 5: expected an emotion"):
        _list(path, "manifest")


def test_a_column_in_two_spellings_is_told(tmp_path: Path) -> None:
    """split beside Split is an error, because only one would be read."""
    path = _manifest(tmp_path / "list.csv", "path,label,split,Split\na.png,sad,train,test\n")
    with pytest.raises(DataError, match="expected one column 'split', got 2"):
        _list(path, "manifest")


def test_other_encodings_are_told_what_to_do(tmp_path: Path) -> None:
    """A list in the code page of Windows is refused with the encoding to save it in."""
    path = _manifest(tmp_path / "list.csv", "path;label\né.png;sad\n", "cp1252")
    with pytest.raises(DataError, match="save it as UTF-8"):
        _list(path, "manifest")


def test_weights_may_have_decimal_commas(tmp_path: Path) -> None:
    """Between semicolons 0,75 is three quarters; between commas it would be two values."""
    text = "path;label;happy;sad\na.png;happy;0,75;0,25\nb.png;sad;0;1\n"
    listing = _list(_manifest(tmp_path / "list.csv", text), "manifest", soft_labels=True)
    assert [max(sample.votes or ()) for sample in listing.samples] == [0.75, 1]
    text = 'path,label,happy,sad\na.png,happy,"0,75",1\n'
    with pytest.raises(DataError, match=r"line 2: expected a weight.*'0,75'"):
        _list(_manifest(tmp_path / "list.csv", text), "manifest", soft_labels=True)


def test_votes_of_a_spreadsheet_are_the_same_votes(tmp_path: Path) -> None:
    """fer2013new.csv saved again with semicolons, CRLF and a mark is read as before."""
    columns = "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt"
    text = f"{columns},unknown,NF\nTraining,fer0.png,0,9,1,0,0,0,0,0,0,0\n"
    _touch(tmp_path / "faces", "fer0.png")
    expected = None
    for again in (text, "\ufeff" + text.replace(",", ";").replace("\n", "\r\n")):
        votes = _manifest(tmp_path / "votes.csv", again)
        listing = _list(tmp_path / "faces", "ferplus", votes=votes)
        expected = expected or listing
        assert listing == expected
    assert expected.samples[0].emotion == "happy"


@pytest.mark.parametrize("header", [True, False])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_lists_of_affectnet_have_any_delimiter(
    tmp_path: Path, delimiter: str, header: bool
) -> None:
    """The semicolons between landmarks are no delimiters, with a header or without."""
    names = (
        "subDirectory_filePath face_x face_y face_width face_height facial_landmarks expression "
        "valence arousal"
    )
    landmarks = "1.5;2.5;3.5;4.5;5;6;7;8;9;10;11;12"
    if delimiter == ";":
        landmarks = f'"{landmarks}"'
    row = ["103\\29a3.jpg", "1", "2", "30", "40", landmarks, "1", "0.1", "-0.2"]
    lines = [delimiter.join(row), ""]
    if header:
        lines.insert(0, delimiter.join(f" {name.upper()}" for name in names.split()))
    _manifest(tmp_path / "training.csv", "\r\n".join(lines), "utf-8-sig")
    (sample,) = _list(tmp_path, "affectnet").samples
    assert (sample.file, sample.emotion, sample.box) == ("103/29a3.jpg", "happy", (1, 2, 30, 40))


@pytest.mark.parametrize("name", ["..\\..\\a.jpg", "C:\\a.jpg", "\\\\server\\a.jpg"])
def test_a_list_of_affectnet_leads_nowhere_else(tmp_path: Path, name: str) -> None:
    """Backslashes are no way out of the folder of the images."""
    text = f"{name},1,2,30,40,1;2,1,0,0\ngood.jpg,1,2,30,40,1;2,1,0,0\n"
    _manifest(tmp_path / "training.csv", text)
    (skipped,) = _list(tmp_path, "affectnet").skipped
    assert "below the folder" in skipped.reason


@pytest.mark.parametrize("line", ["train_00001.jpg,4", "train_00001.jpg;4", "train_00001.jpg\t4"])
def test_the_list_of_raf_db_may_come_from_a_spreadsheet(tmp_path: Path, line: str) -> None:
    """A comma, semicolon or tab stands between name and number as well as a space."""
    (tmp_path / "Image" / "aligned").mkdir(parents=True)
    _manifest(tmp_path / "EmoLabel" / "list_patition_label.txt", f"{line}\r\n", "utf-8-sig")
    (sample,) = _list(tmp_path, "raf_db").samples
    assert (sample.name, sample.emotion, sample.split) == ("train_00001.jpg", "happy", "train")


# --- paths


def _faces(root: Path, count: int = 6) -> list[tuple[str, str]]:
    """Write pictures, and return their paths below the root and labels."""
    rows = [
        (f"in/{('happy', 'sad')[n % 2]}/{n}.png", ("happy", "sad")[n % 2]) for n in range(count)
    ]
    for number, (path, _) in enumerate(rows):
        _save(root / path, number)
    return rows


def _write(path: Path, rows: Sequence[tuple[str, str]]) -> Path:
    return _manifest(
        path, "".join(f"{name},{label}\n" for name, label in [("path", "label"), *rows])
    )


def test_paths_written_on_windows_are_read_here(tmp_path: Path) -> None:
    r"""in\happy\1.png is in/happy/1.png, by name too, so that audits and splits fit."""
    rows = _faces(tmp_path, 40)
    expected = _load(_write(tmp_path / "a.csv", rows))
    windows = _write(tmp_path / "b.csv", [(name.replace("/", "\\"), label) for name, label in rows])
    dataset = _load(windows)
    assert dataset.paths.tolist() == expected.paths.tolist()
    assert dataset.fingerprint == expected.fingerprint
    write_splits(tmp_path / "a.csv", tmp_path / "split a.csv", SplitOptions())
    write_splits(windows, tmp_path / "split b.csv", SplitOptions())
    assert (tmp_path / "split b.csv").read_text() == (tmp_path / "split a.csv").read_text()


@pytest.mark.skipif(sys.platform == "darwin", reason="there both are names of one file")
@pytest.mark.parametrize(("listed", "named"), [("NFD", "NFC"), ("NFC", "NFD")])
def test_paths_may_spell_letters_as_another_system_does(
    tmp_path: Path, listed: Literal["NFC", "NFD"], named: Literal["NFC", "NFD"]
) -> None:
    """A list from a Mac spells the u and the dots of ü apart, which its images need not."""
    names = [f"M\u00fcller/{number}.png" for number in range(3)]
    for number, name in enumerate(names):
        _save(tmp_path / normalize(named, name), number)
    rows = [(normalize(listed, name), "happy") for name in names]
    listing = _list(_write(tmp_path / "a.csv", rows), "manifest")
    assert [sample.file for sample in listing.samples] == [normalize(named, n) for n in names]


def test_a_name_with_a_backslash_or_spaces_is_a_name(tmp_path: Path) -> None:
    r"""Here a\b.png and " c.png" may be files, which are not taken for others."""
    for number, name in enumerate(("a\\b.png", " c.png", "a/b.png", "d.png")):
        _save(tmp_path / name, number)
    rows = [("a\\b.png", "happy"), (" c.png", "sad"), (" d.png", "sad"), ("a/b.png", "sad")]
    listing = _list(_write(tmp_path / "a.csv", rows), "manifest")
    assert [sample.file for sample in listing.samples] == ["a\\b.png", " c.png", "d.png", "a/b.png"]


@pytest.mark.parametrize(
    ("written", "prefixes"),
    [
        ("C:\\data\\", {"C:\\data": "{here}"}),
        ("C:\\data\\", {"C:/data/": "{here}/"}),
        ("/home/me/data/", {"/home/me/data": "{here}"}),
        ("/home/me/data/", {"/home": "/nowhere", "/home/me/data": "{here}"}),
        ("\\\\server\\share\\", {"//server/share": "{here}"}),
        ("", {".": "{here}"}),
        ("", {"in": "{here}/in"}),
        ("old/", {"old": "../faces"}),
    ],
)
def test_images_that_moved_as_a_whole_are_found(
    tmp_path: Path, written: str, prefixes: dict[str, str]
) -> None:
    """data.path_prefix replaces the beginning of paths; names stay those of the list."""
    rows = _faces(tmp_path / "faces")
    listed = [(written + (n.replace("/", "\\") if "\\" in written else n), e) for n, e in rows]
    path = _write(tmp_path / "lists" / "a.csv", listed)
    here = {old: new.format(here=tmp_path / "faces") for old, new in prefixes.items()}
    if "/home" in prefixes:
        listed.append(("/home/gone.png", "sad"))
        _write(path, listed)
    dataset = _load(path, path_prefix=here, max_unreadable_fraction=0.2)
    assert len(dataset.labels) == 6
    assert dataset.paths[0] == listed[0][0].replace("\\", "/")


@pytest.mark.parametrize(
    ("written", "begin"),
    [
        ("C:\\data\\faces\\", "C:/data/faces/in"),
        ("/home/me/", "/home/me/in"),
        ("", "in"),
    ],
)
def test_most_paths_missing_says_what_to_set(tmp_path: Path, written: str, begin: str) -> None:
    """The error has the common beginning of the missing paths, in the line that fixes it."""
    rows = [
        (written + n.replace("/", "\\" if "\\" in written else "/"), e) for n, e in _faces(tmp_path)
    ]
    path = _write(tmp_path / "elsewhere" / "a.csv", rows)
    with pytest.raises(DataError, match="6 of 6 images cannot be used") as caught:
        _load(path)
    assert f"6 paths in {path} lead to no file; they all begin with '{begin}'" in str(caught.value)
    assert f'data.path_prefix = {{"{begin}" = "/their/folder/now"}}' in str(caught.value)
    assert len(_load(path, path_prefix={begin: str(tmp_path / "in")}).labels) == 6


def test_missing_paths_with_nothing_in_common(tmp_path: Path) -> None:
    """Relative paths of several folders are told by ".", which stands for them all."""
    rows = [("happy/1.png", "happy"), ("sad/2.png", "sad")]
    for number, (name, _) in enumerate(rows):
        _save(tmp_path / "faces" / name, number)
    path = _write(tmp_path / "a.csv", rows)
    with pytest.raises(DataError, match=r'no folder in common.*path_prefix = \{"\." = '):
        _load(path)
    assert len(_load(path, path_prefix={".": "faces"}).labels) == 2


def test_a_few_missing_paths_are_only_named(tmp_path: Path) -> None:
    """Where most files are there, nothing has moved, and the error does not say so."""
    rows = [*_faces(tmp_path), ("in/gone.png", "sad")]
    with pytest.raises(DataError, match="1 of 7 images") as caught:
        _load(_write(tmp_path / "a.csv", rows))
    assert "path_prefix" not in str(caught.value)


def test_a_prefix_that_no_path_has_is_told(tmp_path: Path) -> None:
    """A misspelt data.path_prefix is an error with the first path, and not ignored."""
    path = _write(tmp_path / "a.csv", _faces(tmp_path))
    with pytest.raises(DataError, match=r"begins with '/olt'; the first path is 'in/happy/0.png'"):
        _list(path, "manifest", path_prefix={"/olt": "/new"})


def test_a_prefix_ends_at_a_folder(tmp_path: Path) -> None:
    """/data is no beginning of /database/1.png."""
    path = _write(tmp_path / "a.csv", [("/database/1.png", "sad"), ("/data/2.png", "sad")])
    listing = _list(path, "manifest", path_prefix={"/data": "/new"})
    assert [sample.file for sample in listing.samples] == ["/database/1.png", "/new/2.png"]


def test_prefixes_are_set_in_a_config(tmp_path: Path) -> None:
    """--set takes the table that the error shows; other sources and empty prefixes are refused."""
    values = ["data.source=manifest", "data.path=a.csv", 'data.path_prefix={"/old" = "/new"}']
    assert load_config("fine_tuning", values).data.path_prefix == {"/old": "/new"}
    for wrong in (
        {"path_prefix": {"/old": "/new"}},
        {"path_prefix": {"": "x"}, "source": "manifest"},
    ):
        with pytest.raises(ConfigError, match="path_prefix"):
            validate_data({"path": "x", **wrong}, origin="test")


# --- the csv files of the challenge


def _pixels(number: int) -> str:
    face = np.random.default_rng(number).integers(0, 256, 48 * 48)
    return " ".join(map(str, face))


def test_train_csv_of_the_challenge_is_all_training(tmp_path: Path) -> None:
    """Two columns, emotion and pixels, are training images; so they are with pandas' index."""
    rows = [f"{n % 7},{_pixels(n)}" for n in range(14)]
    plain = _manifest(tmp_path / "train.csv", "\n".join(["emotion,pixels", *rows]))
    listing = _list(plain, "fer2013_csv")
    assert [sample.split for sample in listing.samples] == ["train"] * 14
    indexed = [f"{n},{row}" for n, row in enumerate(rows)]
    other = _manifest(tmp_path / "indexed.csv", "\n".join([",Emotion, Pixels ", *indexed]))
    assert _load(other, "fer2013_csv").fingerprint == _load(plain, "fer2013_csv").fingerprint


def test_another_column_than_usage_is_not_overlooked(tmp_path: Path) -> None:
    """A file that names its splits otherwise is not taken for training images alone."""
    path = _manifest(tmp_path / "fer.csv", f"emotion,pixels,set\n3,{_pixels(0)},test\n")
    with pytest.raises(DataError, match="missing: Usage; the first line has: emotion, pixels, set"):
        _list(path, "fer2013_csv")


@pytest.mark.parametrize(
    ("usages", "splits"),
    [
        (("training", "PUBLICTEST", "privatetest"), ["train", "val", "test"]),
        (("train", "val", "test"), ["train", "val", "test"]),
        (("Train", "Validation", "Testing"), ["train", "val", "test"]),
        (("train", "Public Test", "Private Test"), ["train", "val", "test"]),
        (("Train", "public_test", "Train"), ["train", "test", "train"]),
        (("Train", "val", "val"), ["train", "val", "val"]),
    ],
)
def test_usage_may_have_the_usual_names_of_splits(
    tmp_path: Path, usages: tuple[str, ...], splits: list[str]
) -> None:
    """Copies of the csv that call the splits otherwise are read in full."""
    rows = [f"3,{_pixels(n)},{usage}" for n, usage in enumerate(usages)]
    path = _manifest(tmp_path / "fer.csv", "\n".join(["emotion,pixels,Usage", *rows]))
    listing = _list(path, "fer2013_csv")
    assert [sample.split for sample in listing.samples] == splits
    assert listing.skipped == ()


def test_usage_is_not_among_the_missing_columns(tmp_path: Path) -> None:
    """It is optional, so only what must be there is asked for."""
    path = _manifest(tmp_path / "fer.csv", f"label,pixels\n3,{_pixels(0)}\n")
    with pytest.raises(DataError, match=r"expected the columns emotion, pixels; missing: emotion;"):
        _list(path, "fer2013_csv")


def test_icml_face_data_is_read(tmp_path: Path) -> None:
    """The full file of the challenge has spaces in its header and another order."""
    usages = ("Training", "PublicTest", "PrivateTest")
    rows = [f"3, {usage}, {_pixels(n)}" for n, usage in enumerate(usages)]
    path = _manifest(tmp_path / "icml_face_data.csv", "\n".join(["emotion, Usage, pixels", *rows]))
    assert _load(path, "fer2013_csv").splits.tolist() == ["train", "val", "test"]


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("pixels", "{}"),
        ("id,pixels", "0,{}"),
        ("pixels,Usage", "{},PublicTest"),
        ("Id, Usage, Pixels", "0,PrivateTest,{}"),
    ],
)
def test_test_csv_of_the_challenge_says_where_its_labels_are(
    tmp_path: Path, header: str, row: str
) -> None:
    """Pixels alone have no emotion; the error names the file that has them."""
    path = _manifest(tmp_path / "test.csv", f"{header}\n{row.format(_pixels(0))}\n")
    with pytest.raises(DataError, match=r"test\.csv: has pixels but no emotions.*icml_face_data"):
        _list(path, "fer2013_csv")


def test_fer2013_of_a_european_excel_is_read(tmp_path: Path) -> None:
    """Semicolons, a byte-order mark, CRLF and a header in capitals change no pixel."""
    rows = [f"{n % 2};{_pixels(n)};Training" for n in range(4)]
    text = "\r\n".join(["EMOTION;PIXELS;USAGE", *rows, ""])
    dataset = _load(_manifest(tmp_path / "fer2013.csv", text, "utf-8-sig"), "fer2013_csv")
    for number, image in enumerate(dataset.images[:]):
        assert image.ravel().tolist() == [int(value) for value in _pixels(number).split()]
