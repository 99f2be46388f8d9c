"""fer2013.csv and the FER+ votes: what is read, what is skipped by name, what is refused."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from pictures import save

from emodetect.cli import app
from emodetect.config import DataConfig
from emodetect.data.dataset import Dataset, load_dataset, load_for_evaluation
from emodetect.data.listing import Listing
from emodetect.data.readers.registry import list_samples
from emodetect.emotions import EMOTIONS
from emodetect.errors import ConfigError, DataError

# As the contest's page numbers them.
NUMBER_OF = {
    "angry": 0,
    "disgust": 1,
    "fear": 2,
    "happy": 3,
    "sad": 4,
    "surprise": 5,
    "neutral": 6,
}
HEADER = "emotion,pixels,Usage"
VOTE_HEADER = (
    "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"
)
VOTE_COLUMNS = VOTE_HEADER.split(",")[2:]


def _face(number: int) -> np.ndarray:
    """A 48 x 48 grey picture that no other number gives."""
    return np.random.default_rng(number).integers(0, 256, (48, 48), dtype=np.uint8)


def _pixels(number: int) -> str:
    return " ".join(map(str, _face(number).ravel()))


def _row(number: int, emotion: str = "happy", usage: str = "Training") -> str:
    return f"{NUMBER_OF[emotion]},{_pixels(number)},{usage}"


def _rows(count: int) -> list[str]:
    """Rows of happy and sad in turn, each fifth one a PublicTest."""
    return [
        _row(number, ("happy", "sad")[number % 2], "PublicTest" if number % 5 == 0 else "Training")
        for number in range(count)
    ]


def _csv(path: Path, rows: Sequence[str], header: str = HEADER) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([header, *rows, ""]), encoding="utf-8", newline="")
    return path


def _votes(name: str = "", usage: str = "Training", **counts: int) -> str:
    values = [str(counts.get(column, 0)) for column in VOTE_COLUMNS]
    return ",".join([usage, name, *values])


def _save(path: Path, number: int) -> None:
    save(path, _face(number))


def _list(path: Path, source: str = "fer2013_csv", **values: Any) -> Listing:
    return list_samples(DataConfig(source=source, path=path, **values))


def _load(path: Path, source: str = "fer2013_csv", **values: Any) -> Dataset:
    config = DataConfig(source=source, path=path, cache_dir=path.parent / "cache", **values)
    return load_for_evaluation(config)


# --- fer2013.csv


def test_the_numbers_mean_what_the_contest_says(tmp_path: Path) -> None:
    """0 to 6 are angry, disgust, fear, happy, sad, surprise, neutral, whatever our own order."""
    rows = [_row(number, emotion) for emotion, number in NUMBER_OF.items()]
    listing = _list(_csv(tmp_path / "fer2013.csv", rows))
    assert [sample.emotion for sample in listing.samples] == list(NUMBER_OF)
    assert set(listing.emotions) == set(NUMBER_OF)
    assert list(listing.emotions) == [emotion for emotion in EMOTIONS if emotion in NUMBER_OF]


def test_the_copy_of_ckplus_in_this_form_has_contempt(tmp_path: Path) -> None:
    """ckextended.csv has 0 to 6 as FER2013, and 7 for contempt."""
    rows = [_row(number, emotion) for emotion, number in NUMBER_OF.items()]
    contempt = f"7,{' '.join('9' * 48 * 48)},Training"
    listing = _list(_csv(tmp_path / "ckextended.csv", [*rows, contempt]))
    assert [sample.emotion for sample in listing.samples] == [*NUMBER_OF, "contempt"]
    assert not listing.skipped


def test_rows_are_the_same_data_set_as_pngs_in_folders(tmp_path: Path) -> None:
    """The csv and the folders of the same faces give equal pixels, labels, splits and hash."""
    rows = []
    for number in range(40):
        emotion = ("happy", "sad", "fear")[number % 3]
        test = number % 4 == 0
        _save(tmp_path / "pngs" / ("test" if test else "train") / emotion / f"{number}.png", number)
        rows.append(_row(number, emotion, "PublicTest" if test else "Training"))
    random.Random(0).shuffle(rows)
    path = _csv(tmp_path / "fer2013.csv", rows)
    settings = {"image_size": 48, "cache_dir": tmp_path / "cache"}
    of_rows = load_dataset(DataConfig(source="fer2013_csv", path=path, **settings), seed=0)
    of_pngs = load_dataset(DataConfig(path=tmp_path / "pngs", **settings), seed=0)
    assert of_rows.counts() == of_pngs.counts()
    assert sorted(image.tobytes() for image in of_rows.images) == sorted(
        image.tobytes() for image in of_pngs.images
    )
    known = {_face(number).tobytes() for number in range(40)}
    assert {image.tobytes() for image in of_rows.images} == known
    assert of_rows.fingerprint == of_pngs.fingerprint


def test_rows_can_be_had_in_colour_and_another_size(tmp_path: Path) -> None:
    """image_size and color apply to rows as to any image."""
    dataset = _load(_csv(tmp_path / "fer2013.csv", _rows(10)), image_size=32, color="rgb")
    assert dataset.images.shape == (10, 32, 32, 3)
    images = dataset.images[:]
    assert np.array_equal(images[..., 0], images[..., 2])


@pytest.mark.parametrize(
    ("usages", "public_test", "expected"),
    [
        (("Training", "PublicTest"), None, ["train", "test"]),
        (("Training", "PublicTest", "PrivateTest"), None, ["train", "val", "test"]),
        (("Training", "PublicTest"), "val", ["train", "val"]),
        (("Training", "PublicTest", "PrivateTest"), "test", ["train", "test", "test"]),
        (("Training",), None, ["train"]),
    ],
)
def test_public_test_is_what_the_file_lacks(
    tmp_path: Path, usages: tuple[str, ...], public_test: Any, expected: list[str]
) -> None:
    """PublicTest is the test set, validation beside a PrivateTest, or what the config says."""
    rows = [_row(number, "happy", usage) for number, usage in enumerate(usages)]
    listing = _list(_csv(tmp_path / "fer2013.csv", rows), public_test=public_test)
    assert [sample.split for sample in listing.samples] == expected


def test_public_test_does_not_hang_on_the_classes(tmp_path: Path) -> None:
    """It stays validation where the file's PrivateTest has no image of the classes asked for."""
    rows = [
        _row(0, "happy"),
        _row(1, "sad"),
        _row(2, "happy", "PublicTest"),
        _row(3, "fear", "PrivateTest"),
    ]
    listing = _list(_csv(tmp_path / "fer2013.csv", rows), classes=("happy", "sad"))
    assert [sample.split for sample in listing.samples] == ["train", "train", "val"]


def test_a_subset_of_classes_leaves_rows_out(tmp_path: Path) -> None:
    """data.classes keeps the named emotions, in the order named, and counts the others."""
    rows = [_row(n, emotion) for n, emotion in enumerate(["sad", "fear", "happy", "fear"])]
    path = _csv(tmp_path / "fer2013.csv", rows)
    listing = _list(path, classes=("sad", "happy"))
    assert listing.emotions == ("sad", "happy")
    assert listing.left_out == {"emotion outside data.classes: fear": 2}
    with pytest.raises(DataError, match=r"no images of disgust.*found happy"):
        _list(path, classes=("happy", "disgust"))


def _quoted(rows: list[str]) -> str:
    return "\n".join([HEADER, *(",".join(f'"{v}"' for v in row.split(",")) for row in rows), ""])


def _reordered(rows: list[str]) -> str:
    # The header of icml_face_data.csv, spaces and all.
    moved = [(fields[0], fields[2], fields[1]) for fields in (row.split(",") for row in rows)]
    return "\n".join(["emotion, Usage, pixels", *map(",".join, moved), ""])


def _with_more_columns(rows: list[str]) -> str:
    return "\n".join([f"id,{HEADER},note", *(f"{n},{row},é" for n, row in enumerate(rows)), ""])


@pytest.mark.parametrize(
    "write",
    [
        pytest.param(lambda rows: "\r\n".join([HEADER, *rows, ""]), id="crlf"),
        pytest.param(lambda rows: "\ufeff" + "\n".join([HEADER, *rows, ""]), id="bom"),
        pytest.param(lambda rows: "\n".join([HEADER, *rows]), id="no newline at the end"),
        pytest.param(lambda rows: "\n".join([HEADER, *rows, "", "", " ", ""]), id="blank lines"),
        pytest.param(lambda rows: "\n\n".join([HEADER, *rows]), id="blank lines between"),
        pytest.param(_quoted, id="quoted"),
        pytest.param(_reordered, id="reordered"),
        pytest.param(_with_more_columns, id="more columns"),
    ],
)
def test_dialects_of_csv_are_the_same_faces(
    tmp_path: Path, write: Callable[[list[str]], str]
) -> None:
    """Line ends, quotes, a BOM, blank lines, spaces and order of columns change no pixel."""
    path = tmp_path / "fer2013.csv"
    path.write_text(write(_rows(10)), encoding="utf-8", newline="")
    dataset = _load(path)
    assert dataset.skipped == ()
    assert [dataset.emotions[label] for label in dataset.labels] == ["happy", "sad"] * 5
    for number, image in enumerate(dataset.images[:]):
        assert np.array_equal(image[..., 0], _face(number))


def _with_pixels(pixels: str) -> str:
    return f"3,{pixels},Training"


BAD_PIXELS = {
    "too few": (" ".join(["7"] * 2303), "2,303"),
    "too many": (" ".join(["7"] * 2305), "2,305"),
    "none": ("", "got 0"),
    "too bright": (" ".join([*["7"] * 2303, "300"]), "300"),
    "negative": (" ".join(["-1", *["7"] * 2303]), "-1"),
    "enormous": (" ".join(["7"] * 2303 + ["9" * 30]), "9" * 30),
    "fraction": (" ".join(["1.5", *["7"] * 2303]), "whole numbers"),
    "text": (" ".join(["nan", *["7"] * 2303]), "whole numbers"),
    "Python's number": (" ".join(["1_0", *["7"] * 2303]), "whole numbers"),
}


@pytest.mark.parametrize("case", BAD_PIXELS)
def test_a_row_of_wrong_pixels_is_skipped_and_named(tmp_path: Path, case: str) -> None:
    """A row whose pixels cannot be an image is left out by its line; the others keep theirs."""
    pixels, said = BAD_PIXELS[case]
    rows = _rows(40)
    rows[7] = _with_pixels(pixels)
    dataset = _load(_csv(tmp_path / "fer2013.csv", rows))
    assert [file.path for file in dataset.skipped] == ["fer2013.csv:9"]
    assert said in dataset.skipped[0].reason
    assert len(dataset.labels) == 39
    for path, image in zip(dataset.paths, dataset.images[:], strict=True):
        assert np.array_equal(image[..., 0], _face(int(path.split(":")[1]) - 2))


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (f"9,{_pixels(1)},Training", "'9'"),
        (f"-1,{_pixels(1)},Training", "'-1'"),
        (f"happy,{_pixels(1)},Training", "'happy'"),
        (f",{_pixels(1)},Training", "''"),
        (f"3,{_pixels(1)},Holdout", "PublicTest.*'Holdout'"),
        (f"3,{_pixels(1)}", "expected 3 values, got 2"),
        (f"3,{_pixels(1)},Training,more", "expected 3 values, got 4"),
    ],
)
def test_a_row_of_wrong_labels_is_skipped_and_named(tmp_path: Path, row: str, said: str) -> None:
    """An unknown emotion or Usage, or a value too many, costs one row and is named with it."""
    rows = _rows(40)
    rows[7] = row
    dataset = _load(_csv(tmp_path / "fer2013.csv", rows))
    (skipped,) = dataset.skipped
    assert skipped.path == "fer2013.csv:9"
    with pytest.raises(DataError, match=said):
        raise DataError(skipped.reason)
    assert len(dataset.labels) == 39


def test_many_bad_rows_are_an_error(tmp_path: Path) -> None:
    """More bad rows than data.max_unreadable_fraction stop the run, labels and pixels together."""
    rows = _rows(40)
    rows[3] = rows[3].replace("Training", "Holdout")
    rows[4], rows[8] = _with_pixels("1 2 3"), _with_pixels("1 2 3")
    path = _csv(tmp_path / "fer2013.csv", rows)
    with pytest.raises(DataError, match=r"3 of 40.*max_unreadable_fraction.*fer2013\.csv:5"):
        _load(path)
    assert len(_load(path, max_unreadable_fraction=0.1).labels) == 37


def test_a_file_of_bad_rows_alone_names_what_is_wrong(tmp_path: Path) -> None:
    """Where every row has the same fault, the error says which, and in which file."""
    rows = [row.replace("Training", "A").replace("PublicTest", "B") for row in _rows(10)]
    path = _csv(tmp_path / "fer2013.csv", rows)
    with pytest.raises(DataError, match="no label can be used") as caught:
        _list(path)
    assert str(path) in str(caught.value)
    assert "got 'B'" in str(caught.value)


def test_a_bad_row_does_not_hide_that_a_class_is_missing(tmp_path: Path) -> None:
    """Asked for emotions that no row has, the error speaks of them, not of one broken row."""
    rows = [*_rows(10), "9,0,Training"]
    with pytest.raises(DataError, match="no images of fear, angry"):
        _list(_csv(tmp_path / "fer2013.csv", rows), classes=("fear", "angry"))


@pytest.mark.parametrize("column", ["emotion", "pixels", "Usage"])
def test_a_missing_column_is_told(tmp_path: Path, column: str) -> None:
    """A csv without one of the three columns names it and those it has."""
    header = HEADER.replace(column, "other")
    with pytest.raises(DataError, match=rf"missing: {column};.*other"):
        _list(_csv(tmp_path / "fer2013.csv", _rows(2), header=header))


def _write_bytes(data: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(data)


PNG = cv2.imencode(".png", _face(0))[1].tobytes()
UNUSABLE: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda path: None, "cannot be read: No such file"),
    "directory": (lambda path: path.mkdir(), "cannot be read: Is a directory"),
    "empty": (_write_bytes(b""), "expected the columns"),
    "header only": (_write_bytes(HEADER.encode() + b"\n"), "no labelled image"),
    "header without newline": (_write_bytes(HEADER.encode()), "no labelled image"),
    "blank": (_write_bytes(b"\n\n\n"), "expected the columns"),
    "picture": (_write_bytes(PNG), "is a photo; give the folder of class folders"),
    "utf-16": (_write_bytes((HEADER + "\n").encode("utf-16")), "expected a csv file in UTF-8"),
    "zeros": (_write_bytes(bytes(200_000)), "expected a csv file in UTF-8"),
    "one endless line": (_write_bytes(b"1 " * 100_000), "expected the columns"),
    "old Macintosh": (_write_bytes(HEADER.encode() + b"\r3,1 2,Training\r"), "expected the col"),
    "an endless row": (
        _write_bytes(HEADER.encode() + b"\n3," + b"1 " * 100_000 + b",Training\n"),
        "line 2: is longer than any row",
    ),
}


@pytest.mark.parametrize("case", UNUSABLE)
def test_a_file_that_is_no_fer2013_is_one_clear_error(tmp_path: Path, case: str) -> None:
    """Whatever the file is instead, the error names it, in one printable line of fair length."""
    path = tmp_path / "fer2013.csv"
    make, said = UNUSABLE[case]
    make(path)
    with pytest.raises(DataError, match=said) as caught:
        _list(path)
    assert str(path) in str(caught.value)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 600


def test_a_file_that_was_cut_after_it_was_listed_skips_rows(tmp_path: Path) -> None:
    """Rows that are gone when their pixels are read are skipped like any unreadable image."""
    from emodetect.data.cache.image_cache import load_images

    path = _csv(tmp_path / "fer2013.csv", _rows(4))
    config = DataConfig(source="fer2013_csv", path=path, cache_dir=tmp_path / "cache")
    listing = list_samples(config)
    path.write_bytes(path.read_bytes()[: listing.samples[2].offset])
    loaded = load_images(listing.root, listing.samples, config)
    assert loaded.rows.tolist() == [0, 1]
    assert [file.path for file in loaded.skipped] == ["fer2013.csv:4", "fer2013.csv:5"]


def test_evaluate_takes_a_csv(
    artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`evaluate --data fer2013_csv:PATH` judges PrivateTest where there is one."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    emotions = ("happy", "sad", "surprise")
    rows = [_row(n, emotions[n % 3], "PublicTest" if n < 6 else "PrivateTest") for n in range(15)]
    path = _csv(tmp_path / "fer2013.csv", rows)
    words = ["evaluate", "--model", str(artifact), "--data", f"fer2013_csv:{path}"]
    result = CliRunner().invoke(app, [*words, "--output", str(tmp_path / "report")])
    assert result.exit_code == 0, result.exception
    metrics = json.loads((tmp_path / "report" / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["images"] == 9
    assert {name: row["support"] for name, row in metrics["per_class"].items()} == dict.fromkeys(
        emotions, 3
    )
    assert metrics["split"] == "test"


# --- FER+: a folder of PNGs, joined by name

# name -> votes; what becomes of it is in the tests.
NAMED = {
    "fer0.png": {"happiness": 6, "neutral": 4},
    "fer1.png": {"sadness": 9, "unknown": 1},
    "fer2.png": {"sadness": 5, "happiness": 5},
    "fer3.png": {"happiness": 4, "unknown": 6},
    "fer4.png": {"NF": 10},
    "fer5.png": {"happiness": 5, "unknown": 5},
    "fer6.png": {},
    "fer7.png": {"anger": 4, "contempt": 6},
}


def _plus(tmp_path: Path, named: dict[str, dict[str, int]] = NAMED) -> Path:
    """Write PNGs, the last digit of whose name is their picture, and votes beside them."""
    for name in named:
        _save(tmp_path / "faces" / name, int(name[3]))
    rows = [_votes(name, **counts) for name, counts in named.items()]
    _csv(tmp_path / "fer2013new.csv", rows, header=VOTE_HEADER)
    return tmp_path / "faces"


def test_the_emotion_strictly_ahead_is_the_label(tmp_path: Path) -> None:
    """Ties, also with "unknown", and winners that are no emotion leave an image out, counted."""
    listing = _list(_plus(tmp_path), "ferplus")
    assert {sample.name: sample.emotion for sample in listing.samples} == {
        "fer0.png": "happy",
        "fer1.png": "sad",
        "fer7.png": "contempt",
    }
    assert listing.emotions == ("happy", "sad", "contempt")
    assert listing.left_out == {"votes: tie": 3, "votes: unknown": 1, "votes: no face": 1}
    assert listing.skipped == ()


def test_each_column_of_votes_is_its_emotion(tmp_path: Path) -> None:
    """Ten votes for one column make the label of that name, for all eight."""
    columns = {"anger": "angry", "happiness": "happy", "sadness": "sad"}
    named = {f"fer{n}.png": {column: 10} for n, column in enumerate(VOTE_COLUMNS[:8])}
    listing = _list(_plus(tmp_path, named), "ferplus")
    assert [sample.emotion for sample in listing.samples] == [
        columns.get(column, column) for column in VOTE_COLUMNS[:8]
    ]


def test_soft_labels_are_shares_of_the_votes_for_the_classes(tmp_path: Path) -> None:
    """Targets are the votes over the emotions in use, sum to 1, and agree with the label."""
    folder = _plus(
        tmp_path,
        {
            "fer0.png": {"happiness": 6, "neutral": 3, "unknown": 1},
            "fer1.png": {"sadness": 4, "happiness": 2, "fear": 3, "NF": 1},
            "fer2.png": {"neutral": 10},
            "fer3.png": {"fear": 7, "sadness": 3},
        },
    )
    dataset = _load(folder, "ferplus", soft_labels=True)
    assert dataset.emotions == ("fear", "happy", "neutral", "sad")
    expected = [[0, 6 / 9, 3 / 9, 0], [3 / 9, 2 / 9, 0, 4 / 9], [0, 0, 1, 0], [0.7, 0, 0, 0.3]]
    assert dataset.targets == pytest.approx(np.array(expected))
    assert dataset.targets.dtype == np.float32
    subset = _load(folder, "ferplus", soft_labels=True, classes=("sad", "happy"))
    assert subset.paths.tolist() == ["fer0.png", "fer1.png"]
    assert subset.targets == pytest.approx(np.array([[0, 1], [4 / 6, 2 / 6]]))
    assert subset.left_out == {
        "emotion outside data.classes: neutral": 1,
        "emotion outside data.classes: fear": 1,
    }
    for loaded in (dataset, subset):
        assert np.array_equal(loaded.targets.argmax(axis=1), loaded.labels)
        assert loaded.targets.sum(axis=1) == pytest.approx(1)
    hard = _load(folder, "ferplus")
    assert np.array_equal(hard.targets, np.eye(4)[hard.labels])
    assert hard.fingerprint != dataset.fingerprint


def test_files_and_votes_without_each_other_are_counted(tmp_path: Path) -> None:
    """A PNG without a row, and a row without a PNG, are left out under different names."""
    folder = _plus(tmp_path)
    (folder / "fer1.png").unlink()
    for name in ("PublicTest_1.png", "deep/PublicTest_2.png"):
        _save(folder / name, 30)
    listing = _list(folder, "ferplus")
    assert {sample.name for sample in listing.samples} == {"fer0.png", "fer7.png"}
    assert listing.left_out["image without votes"] == 2
    assert listing.left_out["votes without an image"] == 1


def test_the_folder_of_fer2013_csv_leads_to_the_file(tmp_path: Path) -> None:
    """Its rows are matched to the votes, the folder has no images."""
    _csv(tmp_path / "fer2013new.csv", [_votes("fer0.png", happiness=9)], header=VOTE_HEADER)
    (tmp_path / "fer2013.csv").touch()
    with pytest.raises(DataError, match=f"name the file that does, ferplus:{tmp_path}/fer"):
        _list(tmp_path, "ferplus")


def test_a_row_without_a_name_has_no_face(tmp_path: Path) -> None:
    """FER+ has no name for what all voters saw no face in; no image is missed for it."""
    folder = _plus(tmp_path, {"fer0.png": {"happiness": 9}})
    with (tmp_path / "fer2013new.csv").open("a") as file:
        file.write(_votes("", NF=10) + "\n" + _votes("", happiness=10) + "\n")
    left_out = _list(folder, "ferplus").left_out
    assert left_out == {"votes: no face": 1, "votes without an image": 1}


def test_pngs_may_lie_in_folders_of_any_name(tmp_path: Path) -> None:
    """The folders' emotions and splits do not matter: label and split come with the votes."""
    _save(tmp_path / "train" / "sad" / "fer0.png", 0)
    _save(tmp_path / "test" / "fear" / "fer1.png", 1)
    rows = [_votes("fer0.png", "PublicTest", happiness=9), _votes("fer1.png", anger=9)]
    votes = _csv(tmp_path / "elsewhere.csv", rows, header=VOTE_HEADER)
    listing = _list(tmp_path, "ferplus", votes=votes)
    assert [(s.name, s.emotion, s.split) for s in listing.samples] == [
        ("train/sad/fer0.png", "happy", "test"),
        ("test/fear/fer1.png", "angry", "train"),
    ]


def test_two_pngs_of_one_name_are_refused(tmp_path: Path) -> None:
    """A name that two files have cannot be joined to votes; both places are named."""
    folder = _plus(tmp_path)
    _save(folder / "copy" / "fer1.png", 1)
    with pytest.raises(DataError, match=r"copy/fer1\.png and fer1\.png"):
        _list(folder, "ferplus")


def test_pngs_that_all_have_other_names_are_told_how_to_join(tmp_path: Path) -> None:
    """A download whose files are named otherwise is told by what name the votes are joined."""
    folder = _plus(tmp_path)
    for number, file in enumerate(list(folder.iterdir())):
        file.rename(folder / f"Training_{number}.png")
    with pytest.raises(DataError, match=r"8 images.*fer0000000\.png.*fer2013\.csv"):
        _list(folder, "ferplus")


def test_a_folder_without_images_says_what_was_found(tmp_path: Path) -> None:
    """An empty folder, or one where all votes tie, says what became of the rows."""
    folder = _plus(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="votes without an image: 8"):
        _list(tmp_path / "empty", "ferplus")
    _plus(tmp_path, {name: {"fear": 5, "sadness": 5} for name in NAMED})
    with pytest.raises(DataError, match="votes: tie: 8"):
        _list(folder, "ferplus")


def test_missing_places_are_told(tmp_path: Path) -> None:
    """A folder that is not there, votes that are not, or a folder for votes, is named."""
    folder = _plus(tmp_path)
    votes = tmp_path / "fer2013new.csv"
    with pytest.raises(DataError, match=r"nowhere: no such file or folder"):
        _list(tmp_path / "nowhere", "ferplus")
    with pytest.raises(DataError, match=r"nowhere: cannot be read: No such file"):
        _list(tmp_path / "nowhere", "ferplus", votes=votes)
    with pytest.raises(DataError, match=r"no\.csv: cannot be read: No such file"):
        _list(folder, "ferplus", votes=tmp_path / "no.csv")
    with pytest.raises(DataError, match=r"faces: cannot be read: Is a directory"):
        _list(folder, "ferplus", votes=folder)
    votes.unlink()
    with pytest.raises(DataError, match=r"no fer2013new\.csv in or next to.*data\.votes"):
        _list(folder, "ferplus")


@pytest.mark.parametrize("column", ["Usage", "Image name", "anger", "unknown", "NF"])
def test_votes_without_a_column_are_told(tmp_path: Path, column: str) -> None:
    """A file of votes that lacks a column names it."""
    folder = _plus(tmp_path)
    votes = tmp_path / "fer2013new.csv"
    votes.write_text(votes.read_text().replace(column, "other", 1))
    with pytest.raises(DataError, match=rf"fer2013new\.csv.*missing: {column};"):
        _list(folder, "ferplus")


@pytest.mark.parametrize("data", [b"", VOTE_HEADER.encode(), PNG, VOTE_HEADER.encode("utf-16")])
def test_votes_that_are_none_are_one_clear_error(tmp_path: Path, data: bytes) -> None:
    """An empty, headed or foreign file of votes is an error that names it."""
    folder = _plus(tmp_path)
    (tmp_path / "fer2013new.csv").write_bytes(data)
    with pytest.raises(DataError, match=r"fer2013new\.csv"):
        _list(folder, "ferplus")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("3.0", "whole numbers of votes, got '3.0'"),
        ("-1", "whole numbers of votes, got '-1'"),
        ("", "whole numbers of votes, got ''"),
        ("many", "whole numbers of votes, got 'many'"),
        ("1_0", "whole numbers of votes, got '1_0'"),
        ("1,2", "expected 12 values, got 13"),
    ],
)
def test_a_row_of_wrong_votes_is_skipped_and_named(tmp_path: Path, value: str, said: str) -> None:
    """Votes that are no whole numbers cost their row, which is named; the others stay."""
    folder = _plus(tmp_path)
    votes = tmp_path / "fer2013new.csv"
    votes.write_text(votes.read_text().replace("Training,fer1.png,0", f"Training,fer1.png,{value}"))
    listing = _list(folder, "ferplus")
    assert [sample.name for sample in listing.samples] == ["fer0.png", "fer7.png"]
    (skipped,) = listing.skipped
    assert skipped.path == "fer2013new.csv:3"
    assert said in skipped.reason


def test_votes_of_another_usage_are_skipped_and_named(tmp_path: Path) -> None:
    """A Usage that the contest does not have costs its row, which is named."""
    folder = _plus(tmp_path)
    votes = tmp_path / "fer2013new.csv"
    votes.write_text(votes.read_text().replace("Training,fer1.png", "Other,fer1.png"))
    (skipped,) = _list(folder, "ferplus").skipped
    assert skipped.path == "fer2013new.csv:3"
    assert "'Other'" in skipped.reason


def test_a_file_of_wrong_votes_alone_names_what_is_wrong(tmp_path: Path) -> None:
    """Where every row of votes has the same fault, the error says which."""
    folder = _plus(tmp_path)
    votes = tmp_path / "fer2013new.csv"
    votes.write_text(votes.read_text().replace("Training,", "Other,"))
    with pytest.raises(DataError, match=r"invalid rows: 8.*fer2013new\.csv:2.*'Other'"):
        _list(folder, "ferplus")


def test_votes_may_come_with_crlf_bom_and_blank_lines(tmp_path: Path) -> None:
    """A file of votes saved by a spreadsheet is the same file."""
    folder = _plus(tmp_path)
    votes = tmp_path / "fer2013new.csv"
    expected = _list(folder, "ferplus").samples
    text = votes.read_text().replace("\n", "\r\n")
    votes.write_text(f"\ufeff{text}\r\n\r\n", encoding="utf-8", newline="")
    assert _list(folder, "ferplus").samples == expected


def test_public_test_of_votes_is_what_they_lack(tmp_path: Path) -> None:
    """The splits of FER+ follow the same rule as those of the csv, and data.public_test."""
    named = {f"fer{n}.png": {"happiness": 9} for n in range(3)}
    folder = _plus(tmp_path, named)
    usages = ("Training", "PublicTest", "PrivateTest")
    rows = [_votes(f"fer{n}.png", usage, happiness=9) for n, usage in enumerate(usages)]
    votes = tmp_path / "fer2013new.csv"
    _csv(votes, rows, header=VOTE_HEADER)
    assert [s.split for s in _list(folder, "ferplus").samples] == ["train", "val", "test"]
    _csv(votes, rows[:2], header=VOTE_HEADER)
    assert [s.split for s in _list(folder, "ferplus").samples] == ["train", "test"]
    chosen = _list(folder, "ferplus", public_test="val")
    assert [s.split for s in chosen.samples] == ["train", "val"]


# --- FER+: fer2013.csv, joined by row


def _joined(tmp_path: Path) -> Path:
    """Write a fer2013.csv in the order of its votes; FER's own label is always neutral."""
    rows = [_row(int(name[3]), "neutral") for name in NAMED]
    votes = [_votes(name, **counts) for name, counts in NAMED.items()]
    _csv(tmp_path / "fer2013new.csv", votes, header=VOTE_HEADER)
    return _csv(tmp_path / "fer2013.csv", rows)


def test_a_csv_is_joined_to_its_votes_by_row(tmp_path: Path) -> None:
    """By row or by name, the same faces get the same votes, pixel for pixel."""
    by_row = _load(_joined(tmp_path), "ferplus", soft_labels=True)
    by_name = _load(_plus(tmp_path), "ferplus", soft_labels=True)
    assert by_row.paths.tolist() == ["fer2013.csv:2", "fer2013.csv:3", "fer2013.csv:9"]
    assert by_row.left_out == by_name.left_out
    assert np.array_equal(by_row.images[:], by_name.images[:])
    assert np.array_equal(by_row.targets, by_name.targets)
    assert by_row.fingerprint == by_name.fingerprint


def test_blank_lines_do_not_shift_the_join(tmp_path: Path) -> None:
    """Blank lines in either file leave every face with its own votes."""
    path = _joined(tmp_path)
    expected = _load(path, "ferplus", soft_labels=True).fingerprint
    votes = tmp_path / "fer2013new.csv"
    votes.write_text(votes.read_text().replace("\n", "\n\n", 3))
    path.write_text(path.read_text() + "\n\n")
    assert _load(path, "ferplus", soft_labels=True).fingerprint == expected


def test_a_bad_row_does_not_shift_the_join(tmp_path: Path) -> None:
    """Rows at fault in either file are skipped by name, and all others keep their own votes."""
    path = _joined(tmp_path)
    lines = path.read_text().splitlines(keepends=True)
    lines[1] = lines[1].replace("6,", "9,", 1)
    path.write_text("".join(lines))
    votes = tmp_path / "fer2013new.csv"
    votes.write_text(votes.read_text().replace("Training,fer1.png,0", "Training,fer1.png,x"))
    listing = _list(path, "ferplus")
    assert [(s.name, s.emotion) for s in listing.samples] == [("fer2013.csv:9", "contempt")]
    assert [file.path for file in listing.skipped] == ["fer2013.csv:2", "fer2013new.csv:3"]


def test_a_csv_and_votes_of_different_length_are_refused(tmp_path: Path) -> None:
    """Files that cannot be joined row by row say how many rows each has."""
    path = _joined(tmp_path)
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(DataError, match=r"7 rows.*votes have 8"):
        _list(path, "ferplus")


def test_a_csv_and_votes_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    """A row whose Usage differs from that of its votes is named."""
    path = _joined(tmp_path)
    lines = path.read_text().splitlines(keepends=True)
    lines[4] = lines[4].replace("Training", "PublicTest")
    path.write_text("".join(lines))
    with pytest.raises(DataError, match=r"fer2013\.csv:5.*PublicTest.*train"):
        _list(path, "ferplus")


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"source": "fer2013_csv", "votes": "votes.csv"}, "votes"),
        ({"source": "fer2013_csv", "soft_labels": True}, "soft_labels"),
        ({"source": "folder", "public_test": "val"}, "public_test"),
        ({"source": "fer2013_csv", "label_names": {"3": "happy"}}, "label_names"),
        ({"source": "fer2013_csv", "faces": "detect"}, "faces"),
    ],
)
def test_keys_of_other_sources_are_not_ignored(values: dict[str, Any], key: str) -> None:
    """A key that the source does not know is refused by its name."""
    from emodetect.config import validate_data

    with pytest.raises(ConfigError, match=rf"{key}: "):
        validate_data({"path": "x", **values}, origin="test")
