"""`predict --output FILE`: what it holds, and how a later run goes on with it."""

from __future__ import annotations

import csv
import json
import os
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result
from running import posix_only

from emodetect.cli import app
from emodetect.data.synthetic import draw_face, draw_scene
from emodetect.errors import EmodetectError
from emodetect.machine.csv_files import csv_line
from emodetect.machine.locks import locked
from emodetect.recognition.face_rows import image_columns
from emodetect.recognition.photos import predict as predict_module
from emodetect.recognition.photos.result_file import HeldPhoto, open_photo_rows
from emodetect.recognition.recognizer import EmotionRecognizer


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with photos of two faces, one, none, and no photo."""
    folder = tmp_path_factory.mktemp("drawn")
    images = {
        "a.png": draw_scene(["happy", "sad"], np.random.default_rng(21)).image,
        "b.png": draw_face("happy", np.random.default_rng(1)),
        'c "1",\n2\r3.png': np.full((60, 80, 3), 128, np.uint8),
        "e.png": draw_face("sad", np.random.default_rng(2)),
    }
    for name, image in images.items():
        (folder / name).write_bytes(cv2.imencode(".png", image)[1].tobytes())
    (folder / "d.png").write_text("no photo", encoding="utf-8")
    odd = Path(os.fsdecode(os.fsencode(folder) + b"/\xff.png"))
    shutil.copy(folder / "b.png", odd)
    shutil.copy(folder / "e.png", odd.with_name(os.fsdecode(b"\xfe.png")))
    return folder


def _invoke(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["predict", *map(str, arguments)])


def _rows(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_the_file_holds_what_would_be_printed(drawn: Path, tmp_path: Path, form: str) -> None:
    """--output writes the format of FILE's name, and nothing to standard output."""
    file = tmp_path / f"rows.{form}"
    result = _invoke(drawn, "--output", file)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert "1 of 7 could not be read" in result.stderr
    assert file.read_bytes() == _invoke(drawn, "--format", form).stdout_bytes


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_a_run_cut_off_anywhere_ends_with_the_same_file(
    drawn: Path, tmp_path: Path, form: str
) -> None:
    """After a crash at any byte, --resume makes the file that an uninterrupted run makes.

    With photos that are listed twice, names with line breaks, and names that are no Unicode.
    """
    named = (drawn, drawn / "a.png", drawn / "a.png")
    whole = tmp_path / f"whole.{form}"
    _invoke(*named, "--output", whole)
    data = whole.read_bytes()
    file = tmp_path / f"rows.{form}"
    lines = [end for end, byte in enumerate(data, start=1) if byte == ord("\n")]
    for end in sorted({0, 3, *lines[::2], lines[-1], lines[0] - 1, lines[-2] + 20}):
        file.write_bytes(data[:end])
        _invoke(*named, "--output", file, "--resume")
        assert file.read_bytes() == data, end


def test_names_that_are_no_unicode_keep_no_reader_out(drawn: Path, tmp_path: Path) -> None:
    """pandas reads the file, which it would not if JSON held half of a surrogate pair."""
    file = tmp_path / "rows.jsonl"
    _invoke(drawn, "--output", file)
    paths = list(pd.read_json(file, lines=True).path)
    assert len(paths) == 7
    assert rf"{drawn}/\udcff.png" in paths
    result = EmotionRecognizer().analyze(os.fsdecode(os.fsencode(drawn) + b"/\xff.png"))
    assert set(result.to_df().path) == {rf"{drawn}/\udcff.png"}


def test_only_what_is_missing_is_done(drawn: Path, tmp_path: Path) -> None:
    """Photos whose rows are there, also with errors, are left out and counted; new ones added."""
    photos = tmp_path / "photos"
    shutil.copytree(drawn, photos)
    file = tmp_path / "rows.jsonl"
    _invoke(photos, "--output", file)
    before = _rows(file)
    for photo in photos.iterdir():
        photo.write_bytes(b"changed")  # an error, if it were read again
    shutil.copy(drawn / "b.png", photos / "aa.png")
    result = _invoke(photos, "--output", file, "--resume")
    assert result.exit_code == 0
    assert "7 skipped" in result.stderr
    *kept, new = _rows(file)
    assert kept == before
    assert new["path"] == str(photos / "aa.png")


def test_a_photo_listed_more_often_than_held_is_done(drawn: Path, tmp_path: Path) -> None:
    """Each row of the file leaves out one mention of its photo."""
    file = tmp_path / "rows.jsonl"
    photo = drawn / "b.png"
    _invoke(photo, "--output", file)
    _invoke(photo, photo, photo, "--output", file, "--resume")
    assert [row["path"] for row in _rows(file)] == [str(photo)] * 3


def test_an_existing_file_is_not_replaced(drawn: Path, tmp_path: Path) -> None:
    """Without --resume or --force a file that is there is refused and stays as it is."""
    file = tmp_path / "rows.jsonl"
    file.write_text("mine")
    result = _invoke(drawn / "b.png", "--output", file)
    assert isinstance(result.exception, EmodetectError)
    assert "--resume" in str(result.exception)
    assert file.read_text() == "mine"
    assert _invoke(drawn / "b.png", "--output", file, "--force").exit_code == 0
    assert len(_rows(file)) == 1


@posix_only
@pytest.mark.parametrize("link", ["symlink_to", "hardlink_to"])
def test_a_photo_behind_another_name_is_not_replaced(
    drawn: Path, tmp_path: Path, link: str
) -> None:
    """--force replaces results, not the photo that a link beside it leads to."""
    photo, output = tmp_path / "a.png", tmp_path / "rows.csv"
    shutil.copy(drawn / "b.png", photo)
    getattr(output, link)(photo)
    result = _invoke(photo, "--output", output, "--force")
    assert result.exit_code == 2
    assert "got an image" in result.stderr
    assert photo.read_bytes() == (drawn / "b.png").read_bytes()


@posix_only
def test_a_file_that_is_moved_away_meanwhile_is_told(tmp_path: Path) -> None:
    """Its rows are not where the summary would say."""
    path = tmp_path / "rows.jsonl"
    with (
        pytest.raises(EmodetectError, match=r"rows\.jsonl: was moved or removed during the run"),
        open_photo_rows(path, "jsonl", ("happy", "sad"), resume=False, force=False),
    ):
        path.rename(tmp_path / "old.jsonl")


def _other_emotions(data: bytes) -> bytes:
    return data.replace(b"neutral", b"calm")


@pytest.mark.parametrize("form", ["jsonl", "csv"])
@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: b"my notes, without any line break",
        lambda data: b"my notes\n" + data,
        lambda data: data + b"my notes\n",
        lambda data: data + b"\0" * 50 + b"\n",
        _other_emotions,
    ],
    ids=["notes", "notes first", "notes last", "zeros", "another model"],
)
def test_a_file_of_something_else_is_not_resumed(
    drawn: Path, tmp_path: Path, form: str, spoil: Any
) -> None:
    """A file that holds anything but rows of this model is refused and stays as it is."""
    file = tmp_path / f"rows.{form}"
    _invoke(drawn / "a.png", drawn / "b.png", "--output", file)
    spoilt = spoil(file.read_bytes())
    file.write_bytes(spoilt)
    result = _invoke(drawn / "b.png", drawn / "e.png", "--output", file, "--resume")
    assert isinstance(result.exception, EmodetectError)
    assert str(file) in str(result.exception)
    assert "\n" not in str(result.exception)
    assert file.read_bytes() == spoilt


def test_a_file_of_the_other_format_is_not_resumed(drawn: Path, tmp_path: Path) -> None:
    """Rows of csv are not continued as jsonl, whatever the name of the file."""
    file = tmp_path / "rows"
    _invoke(drawn / "b.png", "--output", file, "--format", "csv")
    result = _invoke(drawn, "--output", file, "--format", "jsonl", "--resume")
    assert isinstance(result.exception, EmodetectError)


@pytest.mark.parametrize("form", ["jsonl", "csv"])
@pytest.mark.parametrize(
    "other",
    [("--uncertain-below", "1"), ("--model", "ferplus"), ("--detector", "none"), ("--tta", "flip")],
)
def test_a_file_of_other_options_is_not_resumed(
    drawn: Path, tmp_path: Path, form: str, other: tuple[str, str]
) -> None:
    """Rows of two models or settings would stand in one file, and nothing would tell them apart."""
    file = tmp_path / f"rows.{form}"
    _invoke(drawn / "a.png", drawn / "d.png", "--output", file)  # which is no photo
    before = file.read_bytes()
    result = _invoke(drawn, "--output", file, "--resume", *other)
    assert isinstance(result.exception, EmodetectError)
    assert str(result.exception).startswith(f"{file}: cannot be resumed: ")
    assert file.read_bytes() == before
    _invoke(drawn, "--output", file, "--resume")
    assert str(drawn / "e.png") in file.read_text(encoding="utf-8")


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_a_file_without_the_unsure_faces_is_not_resumed_with_them(
    drawn: Path, tmp_path: Path, form: str
) -> None:
    """Also photos without a face tell by which options a file was made."""
    file = tmp_path / f"rows.{form}"
    first = (drawn / "a.png", drawn / "b.png", drawn / "d.png", "--output", file)
    _invoke(*first, "--min-confidence", "1")
    result = _invoke(drawn, "--output", file, "--resume")
    assert isinstance(result.exception, EmodetectError)
    assert "cannot be resumed" in str(result.exception)
    assert "skipped" in _invoke(*first, "--resume", "--min-confidence", "1").stderr


def test_a_photo_that_was_edited_since_does_not_end_a_resumed_run(
    drawn: Path, tmp_path: Path
) -> None:
    """It has other results now, but the other photos have not: nobody has changed the options."""
    photos = shutil.copytree(drawn, tmp_path / "photos")
    file = tmp_path / "rows.jsonl"
    _invoke(photos / "a.png", photos / "b.png", photos / "c.png", "--output", file)
    cv2.imwrite(str(photos / "c.png"), np.zeros((90, 90), np.uint8))
    for _ in range(2):
        result = _invoke(photos, "--output", file, "--resume")
        assert result.exception is None or isinstance(result.exception, SystemExit)
    assert [row["path"] for row in _rows(file)].count(str(photos / "e.png")) == 1
    for photo in photos.iterdir():
        photo.touch()
    result = _invoke(photos, "--output", file, "--resume", "--uncertain-below", "1")
    assert "cannot be resumed" in str(result.exception)


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_rows_of_photos_that_are_not_given_again_stay(
    drawn: Path, tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other photos can be added to a file, whose last photo is then none of those given."""
    file = tmp_path / f"rows.{form}"
    _invoke(drawn / "a.png", drawn / "b.png", "--output", file)
    before = file.read_text().splitlines()
    photos, analyze = ("a.png", "e.png"), predict_module.analyze_many

    def look(*arguments: Any, **options: Any) -> Any:
        for result in analyze(*arguments, **options):
            assert {*before} <= {*file.read_text().splitlines()}  # whatever happens meanwhile
            yield result

    monkeypatch.setattr(predict_module, "analyze_many", look)
    for photo in photos:
        result = _invoke(drawn / photo, "--output", file, "--resume")
        assert result.exit_code == 0
        assert {*before} <= {*file.read_text().splitlines()}
    added = {*file.read_text().splitlines()} - {*before}
    assert added
    assert all("e.png" in line for line in added)


def test_missing_rows_of_the_last_photo_are_added_after_new_photos(
    drawn: Path, tmp_path: Path
) -> None:
    """A photo that a power cut left with one of its two faces gets both, though others are new."""
    two, file = tmp_path / "two.png", tmp_path / "rows.csv"
    scene = draw_scene(["happy", "sad"], np.random.default_rng(1)).image
    two.write_bytes(cv2.imencode(".png", scene)[1].tobytes())
    _invoke(two, "--output", file)
    header, *rows = file.read_text().splitlines(keepends=True)
    assert len(rows) == 2
    file.write_text(header + rows[0])
    _invoke(drawn / "b.png", two, "--output", file, "--resume")
    lines = file.read_text().splitlines(keepends=True)
    assert lines[0] == header
    assert sorted(line for line in lines if "two.png" in line) == sorted(rows)
    assert sum("b.png" in line for line in lines) == 1


def test_a_file_is_resumed_where_its_last_photo_is_gone(drawn: Path, tmp_path: Path) -> None:
    """There is nothing to compare with then."""
    photo, file = tmp_path / "photo.png", tmp_path / "rows.jsonl"
    shutil.copy(drawn / "b.png", photo)
    _invoke(photo, "--output", file)
    photo.unlink()
    result = _invoke(drawn / "e.png", "--output", file, "--resume", "--uncertain-below", "1")
    assert result.exit_code == 0
    assert [row["path"] for row in _rows(file)] == [str(photo), str(drawn / "e.png")]


def test_a_label_with_the_name_of_a_column_is_read_by_its_place(tmp_path: Path) -> None:
    """A model of one's own labels may have one named "confidence"; its scores are the last."""
    file, held = tmp_path / "rows.csv", list[list[HeldPhoto]]()
    emotions = ("confidence", "sad")
    rows = (
        image_columns(emotions),
        ["a.png", 9, 9, 1, 2, 3, 4, "sad", 0.6, 0.4, 0.6, None],
        ["b.png", 9, 9, *[None] * 8, None],
        ["c.png", None, None, *[None] * 8, "not an image"],
        ["d.png", 9, 9, *[None] * 8, None],
    )
    file.write_text("".join(csv_line(row) + "\n" for row in rows), encoding="utf-8")
    with open_photo_rows(file, "csv", emotions, resume=True, force=False, check=held.append):
        pass
    assert held == [[HeldPhoto("a.png", [("sad", [0.4, 0.6])]), HeldPhoto("b.png", [])]]


def test_scores_that_are_no_numbers_are_told(drawn: Path, tmp_path: Path) -> None:
    """A file that someone edited is an error in a line."""
    file = tmp_path / "rows.jsonl"
    _invoke(drawn / "b.png", "--output", file)
    (row,) = _rows(file)
    row["faces"][0]["scores"]["sad"] = None
    file.write_text(json.dumps(row) + "\n", encoding="utf-8")
    result = _invoke(drawn, "--output", file, "--resume")
    assert isinstance(result.exception, EmodetectError)
    assert "are not numbers" in str(result.exception)


def test_two_runs_do_not_write_one_file(drawn: Path, tmp_path: Path) -> None:
    """A file that another run writes to is refused, also to --force."""
    file = tmp_path / "rows.jsonl"
    file.touch()
    with locked(file, wait=False):
        result = _invoke(drawn, "--output", file, "--force")
    assert isinstance(result.exception, EmodetectError)
    assert "another run" in str(result.exception)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux' /dev/full")
def test_a_full_disk_is_told(drawn: Path) -> None:
    """Where no row can be written the run ends in one line that names the file."""
    result = _invoke(drawn, "--output", "/dev/full", "--format", "csv")
    assert isinstance(result.exception, EmodetectError)
    assert "/dev/full: cannot be written" in str(result.exception)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--resume",), "--output"),
        (("--output", "rows.txt"), ".jsonl or .csv"),
        (("--output", "rows"), ".jsonl or .csv"),
        (("--output", "rows.csv", "--format", "table"), ".jsonl or .csv"),
        (("--output", "rows.jsonl", "--format", "csv"), "ending in .csv with --format csv"),
        (("--output", "rows.csv", "--format", "jsonl"), "ending in .jsonl with --format jsonl"),
        (("--output", "rows.json", "--format", "jsonl"), "ending in .jsonl with --format jsonl"),
        (("--output", "photo.jpg", "--format", "csv"), "image"),
        (("--output", "rows.csv", "--force", "--resume"), "one of them"),
        (("-0",), "standard input"),
    ],
)
def test_options_that_do_not_go_together_are_told(
    drawn: Path, options: tuple[str, ...], told: str
) -> None:
    """A contradiction ends before any photo is read, with what would work."""
    result = _invoke(drawn, *options)
    assert result.exit_code == 2
    assert told in result.stderr


def test_resuming_goes_on_with_drawn_copies(drawn: Path, tmp_path: Path) -> None:
    """--resume needs no --force for its --annotate folder, and keeps the copies' names."""
    photos = [tmp_path / name / "x.png" for name in ("a", "b", "c")]
    for photo in photos:
        photo.parent.mkdir()
        shutil.copy(drawn / "b.png", photo)
    words = ("--output", tmp_path / "rows.csv", "--annotate", tmp_path / "copies")
    _invoke(*photos[:2], *words)
    result = _invoke(*photos, *words, "--resume")
    assert result.exit_code == 0
    names = sorted(path.name for path in (tmp_path / "copies").iterdir())
    assert names == ["x-2.png", "x-3.png", "x.png"]
    with (tmp_path / "rows.csv").open(newline="") as file:
        assert [row["path"] for row in csv.DictReader(file)] == list(map(str, photos))


def test_resuming_keeps_the_copies_of_photos_that_it_skips(drawn: Path, tmp_path: Path) -> None:
    """A photo of the same name that is found first now gets a copy of its own."""
    for name, picture in (("b", "b.png"), ("a", "e.png")):
        (tmp_path / name).mkdir()
        shutil.copy(drawn / picture, tmp_path / name / "x.png")
    copies = tmp_path / "copies"
    words = ("--output", tmp_path / "rows.jsonl", "--format", "jsonl", "--annotate", copies)
    _invoke(tmp_path / "b" / "x.png", *words)
    first = (copies / "x.png").read_bytes()
    _invoke(tmp_path / "a" / "x.png", tmp_path / "b" / "x.png", *words, "--resume")
    assert (copies / "x.png").read_bytes() == first
    assert sorted(path.name for path in copies.iterdir()) == ["x-2.png", "x.png"]


@pytest.mark.parametrize("faces", ["null", "3", '["happy"]', '[{"scores": 3}]', "[null]"])
def test_lines_of_another_program_are_not_resumed(tmp_path: Path, drawn: Path, faces: str) -> None:
    """Though they have the keys of `predict`."""
    file = tmp_path / "rows.jsonl"
    _invoke(drawn / "b.png", "--output", file)
    record = json.loads(file.read_text(encoding="utf-8"))
    record["faces"] = json.loads(faces)
    file.write_text(json.dumps(record) + "\n", encoding="utf-8")
    result = _invoke(drawn / "b.png", "--output", file, "--resume")
    assert isinstance(result.exception, EmodetectError)
    assert "line 1 is not from predict" in str(result.exception)
