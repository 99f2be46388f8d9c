"""`emodetect predict`: what a user gets for photos, good and bad."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result
from pictures import save
from running import posix_only, run_emodetect, run_python

from emodetect.cli import app
from emodetect.data.synthetic import Scene, draw_face, draw_scene
from emodetect.errors import EmodetectError, ImageError
from emodetect.images.reading import read_image
from emodetect.machine.output_folder import file_keys
from emodetect.model_file.artifact import read_artifact
from emodetect.recognition.photos.analysis import Photo, PhotoOptions, analyze_photos
from emodetect.recognition.photos.file_search import find_photos
from emodetect.recognition.recognizer import EmotionRecognizer, EmotionTracker

HEAVY = ("tensorflow", "keras", "matplotlib", "sklearn", "scipy")


def _face(path: Path, emotion: str = "happy", *, number: int = 0) -> Path:
    return save(path, draw_face(emotion, np.random.default_rng(number)))


def _invoke(artifact: Path, *arguments: object) -> Result:
    words = ["predict", *map(str, arguments), "--model", str(artifact)]
    return CliRunner().invoke(app, words)


def _records(result: Result) -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = json.loads(result.stdout)
    return records


def _run(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    return run_emodetect(*arguments, timeout=120, **options)


@pytest.fixture(scope="module")
def scene() -> Scene:
    """A picture with two faces that the detector finds."""
    return draw_scene(["happy", "sad"], np.random.default_rng(21))


@pytest.fixture
def photo(tmp_path: Path, scene: Scene) -> Path:
    """The scene as a file."""
    return save(tmp_path / "scene.png", scene.image)


@pytest.fixture
def blank(tmp_path: Path) -> Path:
    """A photo without a face."""
    return save(tmp_path / "blank.png", np.full((120, 160, 3), 128, np.uint8))


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """A file that is no photo."""
    file = tmp_path / "broken.jpg"
    file.write_text("no photo", encoding="utf-8")
    return file


# --- formats


def test_json_has_exactly_the_documented_shape(artifact: Path, photo: Path, scene: Scene) -> None:
    """JSON is a list of photos, each with its size, its faces and null for the error."""
    result = _invoke(artifact, photo, "--format", "json")
    assert result.exit_code == 0
    (record,) = _records(result)
    assert list(record) == ["path", "width", "height", "faces", "error"]
    assert record["path"] == str(photo)
    assert (record["width"], record["height"]) == (640, 480)
    assert record["error"] is None
    assert len(record["faces"]) == 2
    for face in record["faces"]:
        assert list(face) == ["box", "emotion", "confidence", "scores"]
        x, y, width, height = face["box"]
        assert all(isinstance(value, int) for value in face["box"])
        centers = [
            (drawn.box[0] + drawn.box[2] / 2, drawn.box[1] + drawn.box[3] / 2)
            for drawn in scene.faces
        ]
        assert any(x < cx < x + width and y < cy < y + height for cx, cy in centers)


def test_scores_are_probabilities_in_the_models_order(artifact: Path, photo: Path) -> None:
    """Scores name every emotion of the model in its order, sum to 1, and the best one wins."""
    emotions = list(read_artifact(artifact).metadata.emotions)
    (record,) = _records(_invoke(artifact, photo, "--format", "json"))
    for face in record["faces"]:
        assert list(face["scores"]) == emotions
        assert sum(face["scores"].values()) == pytest.approx(1, abs=1e-4)
        assert face["emotion"] == max(face["scores"], key=face["scores"].get)
        assert face["confidence"] == face["scores"][face["emotion"]]


def test_json_without_faces_is_a_list_still(artifact: Path, blank: Path, broken: Path) -> None:
    """A photo without faces has an empty list, an unreadable one nulls and its error."""
    result = _invoke(artifact, blank, broken, "--format", "json")
    first, second = _records(result)
    assert (first["width"], first["height"], first["faces"]) == (160, 120, [])
    assert first["error"] is None
    assert (second["width"], second["height"], second["faces"]) == (None, None, [])
    assert "not an image" in second["error"]


def test_a_list_given_as_a_photo_is_told_how_it_is_read(
    artifact: Path, blank: Path, tmp_path: Path
) -> None:
    """A text file among the photos is an error, with the command that takes it as a list."""
    listing = tmp_path / "my list.txt"
    listing.write_text(f"{blank}\n", encoding="utf-8")
    result = _invoke(artifact, blank, listing)
    assert result.exit_code == 1
    assert f"emodetect predict - < '{listing}'" in result.stderr
    assert "hint" not in _invoke(artifact, blank).stderr


def test_jsonl_is_one_photo_a_line(artifact: Path, photo: Path, blank: Path, broken: Path) -> None:
    """Each line of jsonl is the object that the JSON list would hold."""
    named = (photo, blank, broken)
    lines = _invoke(artifact, *named, "--format", "jsonl").stdout.splitlines()
    whole = _records(_invoke(artifact, *named, "--format", "json"))
    assert [json.loads(line) for line in lines] == whole


def test_csv_has_one_row_a_face(artifact: Path, photo: Path, blank: Path, broken: Path) -> None:
    """CSV has a row for each face, and one with an empty box for a photo without any."""
    emotions = read_artifact(artifact).metadata.emotions
    result = _invoke(artifact, photo, blank, broken, "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    assert [row["path"] for row in rows] == [str(photo)] * 2 + [str(blank), str(broken)]
    for row in rows[:2]:
        assert int(row["box_width"]) > 0
        assert sum(float(row[emotion]) for emotion in emotions) == pytest.approx(1, abs=1e-4)
        assert row["error"] == ""
    for row in rows[2:]:
        assert {row[key] for key in ("x", "y", "box_width", "box_height")} == {""}
        assert {row[key] for key in ("emotion", "confidence", *emotions)} == {""}
    assert (rows[2]["width"], rows[2]["height"], rows[2]["error"]) == ("160", "120", "")
    assert (rows[3]["width"], rows[3]["height"]) == ("", "")
    assert "not an image" in rows[3]["error"]


def test_paths_that_look_like_formulas_are_told(
    artifact: Path, blank: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A spreadsheet would run them, so a CSV with such paths comes with a note; JSON does not."""
    blank.rename(blank.with_name("=1+1.png"))
    monkeypatch.chdir(blank.parent)
    told = "1 path beginning with =, +, - or @"
    assert told in _invoke(artifact, "=1+1.png", "--format", "csv").stderr
    assert told not in _invoke(artifact, "=1+1.png", "--format", "json").stderr


def test_the_table_has_a_line_for_each_face(artifact: Path, photo: Path, blank: Path) -> None:
    """The table names file, emotion, confidence and place, and says where there is no face."""
    result = _invoke(artifact, photo, blank)
    assert result.exit_code == 0
    (record, _) = _records(_invoke(artifact, photo, blank, "--format", "json"))
    lines = result.stdout.splitlines()
    assert len(lines) == 3
    for line, face in zip(lines, record["faces"], strict=False):
        assert str(photo) in line
        assert face["emotion"] in line
        assert f"{face['confidence']:.1%}" in line
        x, y, width, height = face["box"]
        assert f"{x},{y} {width}x{height}" in line
    assert str(blank) in lines[2]
    assert "no face found" in lines[2]


# --- which files, which order


def test_folders_are_searched_in_order_at_any_depth(
    artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Paths come sorted, spelt as the folder was named, joined with the place inside it."""
    for name in ("b.png", "a/z.jpg", "a/deep/y.PNG", "c/x.webp"):
        _face(tmp_path / "holiday" / name)
    (tmp_path / "holiday" / "notes.txt").write_text("no photo", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    result = _invoke(artifact, "holiday", "--detector", "none", "--format", "json")
    assert result.exit_code == 0
    expected = ["holiday/a/deep/y.PNG", "holiday/a/z.jpg", "holiday/b.png", "holiday/c/x.webp"]
    assert [record["path"] for record in _records(result)] == expected
    result = _invoke(artifact, "./holiday/../holiday", "--detector", "none", "--format", "json")
    paths = [record["path"] for record in _records(result)]
    assert paths == [name.replace("holiday", "holiday/../holiday", 1) for name in expected]


def test_named_files_keep_their_order(artifact: Path, tmp_path: Path) -> None:
    """Files come out in the order in which they were named, whatever their suffix."""
    names = [_face(tmp_path / name) for name in ("z.png", "a.png")]
    odd = tmp_path / "no-suffix"
    odd.write_bytes(names[0].read_bytes())
    named = [names[0], odd, names[1]]
    result = _invoke(artifact, *named, "--detector", "none", "--format", "json")
    assert [record["path"] for record in _records(result)] == list(map(str, named))
    assert [len(record["faces"]) for record in _records(result)] == [1, 1, 1]


# --- files that do not work


@pytest.mark.parametrize("form", ["table", "json", "jsonl", "csv"])
def test_a_broken_file_does_not_stop_the_others(
    artifact: Path, tmp_path: Path, photo: Path, broken: Path, form: str
) -> None:
    """The error is in the output beside the file, the others are done, the exit status is 1."""
    missing = tmp_path / "missing.png"
    result = _invoke(artifact, broken, missing, photo, "--format", form)
    assert result.exit_code == 1
    for path in (broken, missing, photo):
        assert str(path) in result.stdout
    assert "not an image" in result.stdout
    assert "no such file" in result.stdout
    assert "2 of 3" in result.stderr


def test_a_photo_beyond_max_pixels_is_an_error_of_its_row(
    artifact: Path, photo: Path, tmp_path: Path
) -> None:
    """The header decides; the other photos are analysed, and a higher limit takes all."""
    large = save(tmp_path / "large.png", np.zeros((1000, 1001, 3), np.uint8))
    first, second = _records(_invoke(artifact, large, photo, "--max-pixels", 1, "--format", "json"))
    assert first["error"] == "too large: expected at most 1,000,000 pixels, got 1,001 x 1,000"
    assert second["error"] is None
    (third,) = _records(_invoke(artifact, large, "--max-pixels", 2, "--format", "json"))
    assert third["error"] is None


def test_a_photo_for_which_memory_runs_out_is_an_error_of_its_row(
    artifact: Path, photo: Path, blank: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether NumPy or OpenCV gets none, in decoding or in the search for faces."""
    recognizer = EmotionRecognizer(artifact)
    detect, none = recognizer.detect, np.broadcast_to(np.uint8(0), (2**20, 2**20, 3))

    def hungry(image: np.ndarray) -> Any:
        return np.array(none) if image.shape[:2] == (120, 160) else detect(image)

    monkeypatch.setattr(recognizer, "detect", hungry)
    failed, done = analyze_photos([Photo(blank, blank), Photo(photo, photo)], recognizer)
    assert failed.error == "too large to be decoded safely"
    assert len(done.faces) == 2


def test_no_face_is_no_error(artifact: Path, blank: Path) -> None:
    """A photo without a face says so and ends with exit status 0."""
    result = _invoke(artifact, blank)
    assert result.exit_code == 0
    assert result.stdout == f"{blank}  no face found\n"
    assert result.stderr == ""


def test_a_file_is_itself_by_any_name(
    tmp_path: Path, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where case does not matter, its number tells a file in another spelling, not its path."""
    upper = photo.with_name(photo.name.upper())
    stat = Path.stat
    monkeypatch.setattr(
        Path, "stat", lambda path, **options: stat(photo if path == upper else path, **options)
    )
    assert file_keys(upper) & file_keys(photo)
    with pytest.raises(ImageError, match="would overwrite the analysed image"):
        EmotionRecognizer().analyze(photo).save(upper)
    copy = Path(shutil.copy(photo, tmp_path / "copy.png"))
    assert not file_keys(copy) & file_keys(photo)
    assert file_keys(tmp_path / "missing.png") == {str(tmp_path.resolve() / "missing.png")}
    copy.unlink()
    copy.hardlink_to(photo)  # which is replaced, and the photo stays
    assert not file_keys(copy) & file_keys(photo)


def test_photos_without_a_face_are_counted(
    artifact: Path, photo: Path, blank: Path, broken: Path, tmp_path: Path
) -> None:
    """With --output nothing else tells them; where most have none, they may be face crops."""
    output = tmp_path / "found.csv"
    result = _invoke(artifact, photo, blank, broken, "--output", output)
    assert "1 of 3: no face found" in result.stderr.splitlines()
    shutil.copy(blank, tmp_path / "other.png")
    few = _invoke(artifact, photo, blank, tmp_path / "other.png").stderr
    assert few == "2 of 3: no face found; if they are face crops, add --detector none\n"
    assert _invoke(artifact, blank, blank, "--detector", "none").stderr == ""
    sure = _invoke(artifact, photo, photo, "--min-confidence", 1).stderr
    assert sure == "2 of 2: no face found with a confidence of at least 100.0%\n"


def test_an_empty_folder_is_told(artifact: Path, tmp_path: Path, photo: Path) -> None:
    """A folder without photos is an error of its own, and the others go on."""
    empty = tmp_path / "empty"
    empty.mkdir()
    result = _invoke(artifact, empty, photo)
    assert result.exit_code == 1
    assert f"{empty}  error: the folder contains no image" in result.stdout
    assert str(photo) in result.stdout


# --- options


def test_the_whole_image_as_one_face(artifact: Path, blank: Path) -> None:
    """--detector none judges each file as it is, faces or not."""
    (record,) = _records(_invoke(artifact, blank, "--detector", "none", "--format", "json"))
    assert [face["box"] for face in record["faces"]] == [[0, 0, 160, 120]]


@pytest.mark.parametrize(
    ("least", "kept"),
    [(0.0, [0.75, 0.5]), (0.5, [0.75, 0.5]), (0.6, [0.75]), (0.75, [0.75]), (0.76, [])],
)
def test_unsure_faces_are_left_out(
    artifact: Path,
    blank: Path,
    monkeypatch: pytest.MonkeyPatch,
    least: float,
    kept: list[float],
) -> None:
    """Faces that are at least as sure as asked are kept, all others left out."""
    recognizer = EmotionRecognizer(artifact, detector="none")
    answers = np.array([[0.75, 0.25, 0], [0.5, 0.5, 0]], np.float32)
    monkeypatch.setattr(recognizer, "detect", lambda _: [(0, 0, 40, 40), (50, 0, 40, 40)])
    monkeypatch.setattr(recognizer, "classify_inputs", lambda _: answers)
    options = PhotoOptions(min_confidence=least)
    (result,) = analyze_photos(find_photos([blank]), recognizer, options)
    assert [face.confidence for face in result.faces] == kept
    assert result.unsure == 2 - len(kept)
    assert result.error is None


def test_min_confidence_is_obeyed(artifact: Path, photo: Path) -> None:
    """--min-confidence 1 leaves every face out, and that is no error."""
    result = _invoke(artifact, photo, "--format", "json", "--min-confidence", 1)
    assert result.exit_code == 0
    assert _records(result)[0]["faces"] == []


@pytest.mark.parametrize("option", ["--min-confidence", "--uncertain-below"])
@pytest.mark.parametrize("value", ["1.5", "-0.1", "half", "nan"])
def test_a_confidence_that_is_no_share_is_refused(
    artifact: Path, photo: Path, option: str, value: str
) -> None:
    """Probabilities are numbers from 0 to 1 and nothing else."""
    result = _invoke(artifact, photo, f"{option}={value}")
    assert result.exit_code == 2
    assert f"Invalid value for '{option}'" in result.stderr


@pytest.mark.parametrize(
    ("below", "emotions"),
    [
        (0.0, ["happy", "happy", "sad"]),
        (0.5, ["happy", "happy", "sad"]),
        (0.6, ["happy", "happy", "uncertain"]),
        (0.75, ["happy", "happy", "uncertain"]),
        (1.0, ["happy", "uncertain", "uncertain"]),
    ],
)
def test_faces_below_the_threshold_are_uncertain(
    artifact: Path, monkeypatch: pytest.MonkeyPatch, below: float, emotions: list[str]
) -> None:
    """A face is uncertain where its best probability is below the one asked for, not at it."""
    recognizer = EmotionRecognizer(artifact, detector="none", uncertain_below=below)
    answers = np.array([[1, 0, 0], [0.75, 0.25, 0], [0.25, 0.5, 0.25]], np.float32)
    faces = []
    for answer in answers:
        monkeypatch.setattr(recognizer, "classify", lambda _, answer=answer: answer[None])
        faces += recognizer.analyze(np.zeros((20, 20, 3), np.uint8))
    assert [face.emotion for face in faces] == emotions
    assert [face.confidence for face in faces] == [1, 0.75, 0.5]
    assert [face.guesses for face in faces] == [
        [("happy", 1), ("sad", 0)],
        [("happy", 0.75), ("sad", 0.25)],
        [("sad", 0.5), ("happy", 0.25)],
    ]
    assert [list(face.scores.values()) for face in faces] == answers.tolist()


@pytest.mark.parametrize("below", [-0.1, 1.1, float("nan")])
def test_a_threshold_that_is_no_probability_is_refused(artifact: Path, below: float) -> None:
    """Python users too are told that the threshold is a share, not a percentage."""
    with pytest.raises(EmodetectError, match="uncertain_below: expected a probability from 0 to 1"):
        EmotionRecognizer(artifact, uncertain_below=below)


def test_uncertain_faces_keep_the_shape_of_every_format(artifact: Path, photo: Path) -> None:
    """With --uncertain-below only the emotion changes; scores, from which it came, all stay."""
    sure, unsure = (
        _records(_invoke(artifact, photo, "--format", "json", "--uncertain-below", below))
        for below in (0, 1)
    )
    for face in sure[0]["faces"]:
        face["emotion"] = "uncertain"
    assert unsure == sure
    rows = csv.DictReader(
        io.StringIO(_invoke(artifact, photo, "--format", "csv", "--uncertain-below", 1).stdout)
    )
    assert [row["emotion"] for row in rows] == ["uncertain"] * 2
    lines = _invoke(artifact, photo, "--uncertain-below", 1).stdout.splitlines()
    for line, face in zip(lines, unsure[0]["faces"], strict=True):
        best, second = sorted(face["scores"].items(), key=lambda guess: -guess[1])[:2]
        assert f"  uncertain: {best[0]} {best[1]:.1%}, {second[0]} {second[1]:.1%}  at " in line


def test_uncertain_faces_are_drawn_and_kept_apart(artifact: Path, photo: Path) -> None:
    """The annotated copy shows other letters and colours, the crops lie in their own folder."""
    folder = photo.parent
    drawn = []
    for below in (0, 1):
        words = ("--uncertain-below", below, "--annotate", folder / f"drawn{below}")
        _invoke(artifact, photo, *words, "--save-crops", folder / f"crops{below}")
        drawn.append(cv2.imread(str(folder / f"drawn{below}" / "scene.png")))
    assert [path.name for path in (folder / "crops1").iterdir()] == ["uncertain"]
    assert len(list((folder / "crops1" / "uncertain").iterdir())) == 2
    original = cv2.imread(str(photo))
    changed = [(image != original).any(axis=2) for image in drawn]
    assert changed[1].sum() > changed[0].sum()


def test_annotated_copies_show_boxes(artifact: Path, photo: Path, tmp_path: Path) -> None:
    """--annotate writes a copy of the same size with the boxes, and leaves the photo alone."""
    before = photo.read_bytes()
    result = _invoke(artifact, photo, "--format", "json", "--annotate", tmp_path / "drawn")
    assert result.exit_code == 0
    assert photo.read_bytes() == before
    drawn, original = (cv2.imread(str(path)) for path in (tmp_path / "drawn" / "scene.png", photo))
    assert drawn is not None
    assert original is not None
    assert drawn.shape == original.shape
    changed = (drawn != original).any(axis=2)
    for face in _records(result)[0]["faces"]:
        x, y, width, height = face["box"]
        assert changed[y + height // 2, x - 1 : x + 2].any()
        assert not changed[y + height // 3 : y + height // 2, x + width // 2].any()


def test_annotating_never_overwrites_the_photo(artifact: Path, photo: Path) -> None:
    """--annotate into the photo's own folder, also by a detour, is refused before any harm."""
    before = photo.read_bytes()
    (photo.parent / "detour").symlink_to(photo.parent, target_is_directory=True)
    for folder in (photo.parent, photo.parent / "detour", photo.parent / "x" / ".."):
        result = _invoke(artifact, photo, "--annotate", folder)
        assert isinstance(result.exception, EmodetectError)
        assert photo.read_bytes() == before


def test_annotating_never_overwrites_another_named_photo(artifact: Path, tmp_path: Path) -> None:
    """Copies of one folder's photos do not replace the photos of another that is analysed."""
    _face(tmp_path / "a" / "x.png", number=1)
    other = _face(tmp_path / "b" / "x.png", number=2)
    before = other.read_bytes()
    _invoke(
        artifact, tmp_path / "a", tmp_path / "b", "--detector", "none", "--annotate", tmp_path / "b"
    )
    assert other.read_bytes() == before


def test_annotating_twice_replaces_the_first_copies(artifact: Path, photo: Path) -> None:
    """A second run is refused, and with --force writes over the copies of the first."""
    drawn = photo.parent / "drawn"
    assert _invoke(artifact, photo, "--annotate", drawn).exit_code == 0
    refused = _invoke(artifact, photo, "--annotate", drawn)
    assert isinstance(refused.exception, EmodetectError)
    assert "--force" in str(refused.exception)
    assert _invoke(artifact, photo, "--annotate", drawn, "--force").exit_code == 0
    assert [file.name for file in drawn.iterdir()] == ["scene.png"]


def test_annotated_copies_keep_names_and_folders(artifact: Path, tmp_path: Path) -> None:
    """Copies lie below the output folder as the photos lie below theirs, in any letters."""
    _face(tmp_path / "Fotos 情感" / "süß" / "😀.png")
    result = _invoke(
        artifact, tmp_path / "Fotos 情感", "--detector", "none", "--annotate", tmp_path / "ä"
    )
    assert result.exit_code == 0
    assert (tmp_path / "ä" / "süß" / "😀.png").is_file()


def test_copies_of_one_name_from_two_folders_are_all_kept(artifact: Path, tmp_path: Path) -> None:
    """x.png of two folders gives two copies, also where a third photo has the numbered name."""
    photos = [_face(tmp_path / name, number=1) for name in ("a/x.png", "b/x.png", "c/x-2.png")]
    photos.append(_face(tmp_path / "d" / "x.jpg"))
    result = _invoke(artifact, *photos, "--detector", "none", "--annotate", tmp_path / "drawn")
    assert result.exit_code == 0
    assert len(list((tmp_path / "drawn").iterdir())) == 4


def test_crops_lie_in_a_folder_for_each_emotion(artifact: Path, photo: Path) -> None:
    """--save-crops writes each face's pixels below the name of its emotion."""
    result = _invoke(artifact, photo, "--format", "json", "--save-crops", photo.parent / "crops")
    (record,) = _records(result)
    original = cv2.imread(str(photo))
    assert original is not None
    for number, face in enumerate(record["faces"], start=1):
        crop = cv2.imread(str(photo.parent / "crops" / face["emotion"] / f"scene.png_{number}.png"))
        x, y, width, height = face["box"]
        assert crop is not None
        assert np.array_equal(crop, original[y : y + height, x : x + width])
    assert len(list((photo.parent / "crops").rglob("*.png"))) == 2


def test_no_crop_replaces_another(artifact: Path, tmp_path: Path) -> None:
    """Photos that differ only in suffix, or in where an underscore stands, keep their crops."""
    for name in ("x.png", "x.jpg", "a_b/c.png", "a/b_c.png"):
        _face(tmp_path / "in" / name, number=3)
    result = _invoke(
        artifact, tmp_path / "in", "--detector", "none", "--save-crops", tmp_path / "out"
    )
    assert result.exit_code == 0
    assert len(list((tmp_path / "out").rglob("*.png"))) == 4


def test_photos_with_the_longest_names_keep_their_crops(artifact: Path, tmp_path: Path) -> None:
    """Where a name leaves no room for a number, the crops have shorter names of their own."""
    for end in ("one", "two"):
        _face(tmp_path / "in" / ("ä" * 124 + end + ".png"), number=3)
    result = _invoke(
        artifact, tmp_path / "in", "--detector", "none", "--save-crops", tmp_path / "out"
    )
    assert result.exit_code == 0, result.exception
    assert len(list((tmp_path / "out").rglob("*.png"))) == 2


@pytest.mark.parametrize("option", ["--annotate", "--save-crops"])
def test_an_output_folder_that_cannot_be_is_told(
    artifact: Path, photo: Path, broken: Path, option: str
) -> None:
    """An output folder below a file ends in one error that names the place."""
    result = _invoke(artifact, photo, option, broken / "below")
    assert isinstance(result.exception, EmodetectError)
    assert str(broken) in str(result.exception)
    assert _invoke(artifact, photo, option, broken).exit_code == 2


def test_a_copy_of_a_photo_too_wide_for_its_format_is_a_png(artifact: Path, tmp_path: Path) -> None:
    """A picture of more pixels than WebP allows, under a name of WebP, has a copy that is whole."""
    wide = save(tmp_path / "wide.png", np.zeros((2, 17000, 3), np.uint8))
    wide = wide.rename(tmp_path / "wide.webp")
    result = _invoke(artifact, wide, "--detector", "none", "--annotate", tmp_path / "drawn")
    assert result.exit_code == 0, result.exception
    (copy,) = (tmp_path / "drawn").iterdir()
    assert copy.name == "wide.webp.png"
    assert read_image(copy).shape == (2, 17000, 3)


# --- models that do not work, and the real program


def _plain_zip(path: Path, artifact: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("hello.txt", "hello")


def _truncated(path: Path, artifact: Path) -> None:
    data = artifact.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def _swapped(path: Path, artifact: Path) -> None:
    with zipfile.ZipFile(artifact) as source, zipfile.ZipFile(path, "w") as target:
        for member in source.namelist():
            data = source.read(member)
            target.writestr(member, data[:-1] + b"?" if member == "model.tflite" else data)


MODELS = {
    "missing": lambda path, artifact: None,
    "text": lambda path, artifact: path.write_text("no model", encoding="utf-8"),
    "empty": lambda path, artifact: path.touch(),
    "truncated": _truncated,
    "plain zip": _plain_zip,
    "folder": lambda path, artifact: path.mkdir(),
    "swapped member": _swapped,
}


@pytest.mark.parametrize("kind", list(MODELS))
def test_a_model_that_is_none_is_one_line(
    artifact: Path, photo: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model file that is missing, damaged or something else is refused with its path."""
    model = photo.parent / "model.keras"
    MODELS[kind](model, artifact)
    result = CliRunner().invoke(app, ["predict", str(photo), "--model", str(model)])
    assert isinstance(result.exception, EmodetectError)
    assert str(model) in str(result.exception)
    assert "\n" not in str(result.exception)
    assert result.stdout == ""


def test_the_program_ends_in_one_line_and_status_1(photo: Path, artifact: Path) -> None:
    """`python -m emodetect predict` with a broken model prints `error: ...` and no traceback."""
    model = photo.parent / "model.keras"
    _truncated(model, artifact)
    done = _run("predict", photo, "--model", model)
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: {model}")


def test_predict_needs_none_of_the_heavy_libraries(artifact: Path, photo: Path) -> None:
    """predict works where TensorFlow, Keras, Matplotlib, scikit-learn and SciPy cannot load."""
    program = f"""
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {HEAVY!r}:
            raise ImportError("refused by the test: " + name)

sys.meta_path.insert(0, Refuse())
from emodetect.cli import main
sys.argv = ["emodetect", *sys.argv[1:]]
main()
"""
    words = ["predict", photo, "--model", artifact, "--format", "json"]
    words += ["--annotate", photo.parent / "drawn"]
    done = run_python(program, *words, timeout=120)
    assert done.returncode == 0
    assert done.stderr == f"{photo.parent / 'drawn'}: 1 photo written\n"
    assert len(json.loads(done.stdout)[0]["faces"]) == 2


def test_output_can_be_cut_off_by_a_pager(artifact: Path, tmp_path: Path) -> None:
    """`emodetect predict ... | head -1` ends without a traceback."""
    for number in range(30):
        _face(tmp_path / "in" / f"{number}.png", number=number)
    words = ["predict", tmp_path / "in", "--detector", "none", "--model", artifact]
    with subprocess.Popen(
        [sys.executable, "-m", "emodetect", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        errors = process.stderr.read().decode()
    assert "Traceback" not in errors
    assert "BrokenPipe" not in errors


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_do_no_harm(artifact: Path, photo: Path, closed: str) -> None:
    """Started without output, as services do, the program works and writes its file."""
    rows = photo.parent / "rows.jsonl"
    words = ["predict", str(photo), "--model", str(artifact)]
    for more in ([], ["--output", str(rows)]):
        command = ["sh", "-c", f'exec "$@" {closed}', "sh", sys.executable, "-m", "emodetect"]
        done = subprocess.run([*command, *words, *more], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    assert json.loads(rows.read_text())["path"] == str(photo)


@posix_only
def test_a_progress_bar_takes_nothing_from_the_output(artifact: Path, tmp_path: Path) -> None:
    """`predict FOLDER --format csv > file` in a terminal writes every row into the file."""
    for number in range(25):
        _face(tmp_path / "in" / f"{number:02d}.png", number=number)
    words = ["predict", tmp_path / "in", "--detector", "none", "--format", "csv"]
    words += ["--model", artifact]
    terminal, child = os.openpty()
    out = tmp_path / "emotions.csv"
    with out.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "emodetect", *map(str, words)],
            stdout=file,
            stderr=child,
            env={**os.environ, "TERM": "xterm"},
        )
    os.close(child)
    # The terminal is read to its end, or the program would wait for it.
    with os.fdopen(terminal, "rb", buffering=0) as screen, contextlib.suppress(OSError):
        while screen.read(4096):
            pass
    assert process.wait(timeout=60) == 0
    with out.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [Path(row["path"]).name for row in rows] == [f"{n:02d}.png" for n in range(25)]


def test_photos_of_an_earlier_run_are_not_analysed(artifact: Path, tmp_path: Path) -> None:
    """With --annotate and --save-crops inside the searched folder, a second run finds the same."""
    _face(tmp_path / "holiday" / "x.png")
    words = (tmp_path / "holiday", "--detector", "none", "--format", "json")
    words += ("--annotate", tmp_path / "holiday" / "drawn")
    words += ("--save-crops", tmp_path / "holiday" / "crops", "--force")
    first, second = (_records(_invoke(artifact, *words)) for _ in range(2))
    assert second == first
    assert len(first) == 1


def test_a_name_too_long_for_any_file_is_told(artifact: Path, photo: Path) -> None:
    """A path that the system refuses outright is that photo's error, and the others go on."""
    result = _invoke(artifact, f"{'a' * 300}.png", photo, "--format", "json")
    assert result.exit_code == 1
    first, second = _records(result)
    assert first["error"] is not None
    assert len(second["faces"]) == 2


def test_a_table_stays_one_line_a_face(artifact: Path, tmp_path: Path) -> None:
    """Line breaks and terminal codes in a file's name do not break or colour the table."""
    _face(tmp_path / "in" / "a\nb.png")
    _face(tmp_path / "in" / "c\x1b[31md.png")
    result = _invoke(artifact, tmp_path / "in", "--detector", "none")
    assert len(result.stdout.splitlines()) == 2
    assert "\x1b" not in result.stdout


def test_names_outside_the_locale_and_outside_unicode_work(artifact: Path, tmp_path: Path) -> None:
    """With LC_ALL=C, and for a file name that is no Unicode at all, every format is written."""
    folder = tmp_path / "in"
    _face(folder / "счастье.png")
    data = (folder / "счастье.png").read_bytes()
    Path(os.fsdecode(os.fsencode(folder) + b"/\xff\xfe.png")).write_bytes(data)
    environment = {**os.environ, "LC_ALL": "C", "LANG": "C"}
    for form in ("table", "csv"):
        done = subprocess.run(
            [sys.executable, "-m", "emodetect", "predict", str(folder), "--detector", "none",
             "--model", str(artifact), "--format", form,
             "--annotate", str(tmp_path / "drawn"), "--force"],
            capture_output=True,
            check=False,
            env=environment,
            timeout=120,
        )  # fmt: skip
        assert done.returncode == 0
        assert done.stderr.decode() == f"{tmp_path / 'drawn'}: 2 photos written\n"
        assert "счастье.png" in done.stdout.decode("utf-8", "replace")
    assert len(list((tmp_path / "drawn").iterdir())) == 2


@posix_only
@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_what_is_no_plain_file_does_not_hang(artifact: Path, tmp_path: Path, kind: str) -> None:
    """A named pipe or a device given as a photo is an error at once, not an endless read."""
    path = Path("/dev/zero")
    if kind == "pipe":
        path = tmp_path / "pipe.png"
        os.mkfifo(path)
    # Limits memory, so that an endless read ends this test and not the machine.
    program = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30)); "
        "sys.argv[0] = 'emodetect'; from emodetect.cli import main; main()"
    )
    words = [sys.executable, "-c", program, "predict", str(path), "--model", str(artifact)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=20)
    assert done.returncode == 1
    assert f"{path}  error: " in done.stdout
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("image", "got"),
    [
        (np.zeros((90, 80, 3), np.float32), r"\(90, 80, 3\), float32"),
        (np.zeros((90, 80, 3), np.uint16), "uint16"),
        (np.zeros((0, 80, 3), np.uint8), r"\(0, 80, 3\)"),
        (None, "got NoneType"),
    ],
)
@pytest.mark.parametrize("detector", ["haar", "none"])
def test_what_is_no_image_is_told_and_not_named(
    image: Any, got: str, detector: str, artifact: Path
) -> None:
    """Floats, empty arrays and other objects given to the recogniser are errors, not emotions."""
    recognizer = EmotionRecognizer(artifact, detector=detector)
    for use in (
        recognizer.analyze,
        recognizer.detect,
        lambda image: recognizer.crop(image, (0, 0, 9, 9)),
        lambda image: recognizer.classify([image]),
        lambda image: list(recognizer.track([image])),
    ):
        with pytest.raises(ImageError, match=got):
            use(image)


@pytest.mark.parametrize(
    ("image", "got"),
    [
        (np.zeros((90, 80), np.uint8), r"\(90, 80\)"),
        (np.zeros((90, 80, 4), np.uint8), r"\(90, 80, 4\)"),
        ("photo.jpg", "got str"),
    ],
)
def test_the_single_steps_take_bgr_pixels_only(image: Any, got: str, artifact: Path) -> None:
    """`detect`, `crop` and `classify` say what they expect; only whole images are converted."""
    recognizer = EmotionRecognizer(artifact, detector="none")
    for use in (
        recognizer.detect,
        lambda image: recognizer.crop(image, (0, 0, 9, 9)),
        lambda image: recognizer.classify([image]),
    ):
        with pytest.raises(ImageError, match=got):
            use(image)


def test_a_recognizer_with_impossible_numbers_is_told(artifact: Path, scene: Scene) -> None:
    """Less than no threads, and no frames a second, are named with what was expected."""
    with pytest.raises(EmodetectError, match="threads: expected 1 to 1,024"):
        EmotionRecognizer(artifact, threads=-1)
    with pytest.raises(EmodetectError, match="tracking: expected TrackingOptions or None"):
        EmotionTracker(EmotionRecognizer(artifact), {"keep_s": 1})  # type: ignore[arg-type]
    fps: Any
    for fps in (0.0, -25.0, float("nan"), "25"):
        with pytest.raises(EmodetectError, match="fps: expected"):
            list(EmotionRecognizer(artifact).track([scene.image], fps=fps))
    with pytest.raises(EmodetectError, match="no such file"):
        EmotionRecognizer(artifact, detector=Path("none.onnx"))


def test_written_folders_are_named(
    artifact: Path, photo: Path, broken: Path, tmp_path: Path
) -> None:
    """Whoever asked for pictures is told where they are and how many."""
    drawn, crops = tmp_path / "drawn", tmp_path / "crops"
    result = _invoke(artifact, photo, broken, "--annotate", drawn, "--save-crops", crops)
    assert f"{drawn}: 1 photo written" in result.stderr
    assert f"{crops}: 2 face crops written" in result.stderr
    assert str(drawn) not in result.stdout


@pytest.mark.parametrize("words", [["--output", "x.json"], ["--output", "x", "--format", "json"]])
def test_json_in_a_file_is_redirected(artifact: Path, photo: Path, words: list[str]) -> None:
    """A JSON list is not written photo by photo; the error says how to get it into a file."""
    result = _invoke(artifact, photo, *words)
    assert result.exit_code == 2
    assert f"--format json > {words[1]}" in result.stderr


def test_a_copy_in_another_format_overwrites_no_photo(
    artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A WebP that is too large is copied as PNG, which must not be another of the photos."""
    monkeypatch.chdir(tmp_path)
    Path("out").mkdir()
    cv2.imwrite("out/wide.webp.png", np.zeros((40, 50, 3), np.uint8))
    Path("wide.webp").write_bytes(cv2.imencode(".png", np.zeros((40, 17000, 3), np.uint8))[1])
    kept = Path("out/wide.webp.png").read_bytes()
    words = ["wide.webp", "out/wide.webp.png", "--model", str(artifact), "--annotate", "out"]
    result = CliRunner().invoke(app, ["predict", *words, "--force"])
    assert "would overwrite this photo" in str(result.exception)
    assert Path("out/wide.webp.png").read_bytes() == kept
