"""Files that are not read: named by kind where they look like photos, else left alone."""

from __future__ import annotations

import csv
import json
import logging
import os
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result
from heic import HEIC
from running import posix_only

from emodetect.cli import app
from emodetect.config import DataConfig
from emodetect.data.listing import Listing
from emodetect.data.readers.registry import list_samples
from emodetect.data.synthetic import draw_face
from emodetect.errors import DataError
from emodetect.exporting.sample_faces import read_faces
from emodetect.images.formats import is_junk, why_not_read
from emodetect.model_file.artifact import read_artifact
from emodetect.recognition.photos.file_search import find_photos

APPLE_DOUBLE = b"\0\5\x16\7\0\2\0\0Mac OS X        "
MP4 = b"\0\0\0\x18ftypmp42\0\0\0\0isommp42"
JPEG = cv2.imencode(".jpg", np.full((60, 60, 3), 127, np.uint8))[1].tobytes()
JUNK = {
    "._a.jpg": APPLE_DOUBLE,
    "__MACOSX/._a.jpg": APPLE_DOUBLE,
    "__MACOSX/deep/b.jpg": JPEG,
    ".ipynb_checkpoints/a-checkpoint.jpg": JPEG,
    ".DS_Store": b"Bud1",
    "Thumbs.db": b"\xd0\xcf\x11\xe0",
    "desktop.ini": b"[.ShellClassInfo]",
    "@eaDir/a.jpg/SYNOPHOTO_THUMB_M.jpg": JPEG,
}
# By kind, as they are named in a summary.
NOT_READ = {
    "a.psd": ".psd (unsupported image format)",
    "b.JXL": ".jxl (unsupported image format)",
    "c.CR2": ".cr2 (camera raw)",
    "d.nef": ".nef (camera raw)",
    "e.dng": ".dng (camera raw)",
    "f.svg": ".svg (vector drawing)",
    "g.MP4": ".mp4 (video, for `emodetect video`)",
    "h.mov": ".mov (video, for `emodetect video`)",
}


def write(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def predict(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["predict", *map(str, arguments)])


def rows_of(result: Result) -> list[dict]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def found(*paths: Path) -> tuple[list[str], Counter[str]]:
    """Return the names of the photos found, and the counts of all others."""
    not_read: Counter[str] = Counter()
    photos = list(find_photos(paths, not_read=not_read))
    return [photo.path.name for photo in photos if photo], not_read


def test_what_is_not_read_is_counted_by_kind(tmp_path: Path, artifact: Path) -> None:
    """The last line of predict names other photos, videos and files; the rows are the photos."""
    files = {"a.jpg": JPEG, "deep/b.HEIC": HEIC["ten_bits"], "c.jfif": JPEG, "d.txt": b"text"}
    write(tmp_path, files | {"e.cr2": b"", "deep/f.CR2": b"", "g.mp4": MP4, ".DS_Store": b""})
    result = predict(tmp_path, "--model", artifact, "--format", "jsonl")
    assert result.exit_code == 0
    assert [row["error"] for row in rows_of(result)] == [None] * 3
    assert result.stderr.splitlines()[-1:] == [
        "5 files not read: 2 .cr2 (camera raw), 1 .mp4 (video, for `emodetect video`), "
        "1 other (neither a photo nor a video), 1 system (such as .DS_Store)"
    ]


def test_the_results_among_the_photos_are_not_counted(tmp_path: Path, artifact: Path) -> None:
    """The file that a run writes is no photo that it left out; one of an earlier run is."""
    write(tmp_path, {"a.jpg": JPEG})
    result = predict(tmp_path, "--model", artifact, "--output", tmp_path / "new.csv")
    assert result.exit_code == 0
    assert "not read" not in result.stderr
    result = predict(tmp_path, "--model", artifact, "--output", tmp_path / "newer.csv")
    assert "1 file not read: 1 other" in result.stderr


@pytest.mark.parametrize("name", NOT_READ)
def test_each_kind_has_its_name(tmp_path: Path, name: str) -> None:
    """What looks like a photo or video by its suffix, in any case, is counted under it."""
    write(tmp_path, {"a.jpg": JPEG, name: b"any"})
    assert found(tmp_path) == (["a.jpg"], Counter([NOT_READ[name]]))


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("IMG_0001", JPEG, "JPEG without its suffix"),
        ("a.jpg_original", JPEG, "JPEG without its suffix"),
        ("b.dat", HEIC["ten_bits"], "HEIC without its suffix"),
        ("film", MP4, "file without its suffix (video"),
        ("film.bin", b"\x1aE\xdf\xa3" + bytes(20), "file without its suffix (video"),
        ("drawing", b"8BPS\0\1", "file without its suffix (unsupported image format"),
        ("letter.doc", b"\xd0\xcf\x11\xe0", "other (neither a photo nor a video)"),
        ("notes", b"BMW, P1 and other text", "other (neither a photo nor a video)"),
        ("empty", b"", "other (neither a photo nor a video)"),
        ("sound.m4a", b"\0\0\0\x18ftypM4A \0\0\0\0", "other (neither a photo nor a video)"),
    ],
)
def test_the_first_bytes_tell_where_the_suffix_does_not(
    tmp_path: Path, name: str, data: bytes, said: str
) -> None:
    """A photo or film without a telling suffix is named as what it is."""
    write(tmp_path, {name: data})
    assert why_not_read(tmp_path / name).startswith(said)


@posix_only
def test_a_pipe_is_not_opened(tmp_path: Path) -> None:
    """A named pipe among photos is counted; reading it would never end."""
    os.mkfifo(tmp_path / "pipe")
    write(tmp_path, {"a.jpg": JPEG})
    assert found(tmp_path) == (["a.jpg"], Counter(["other (neither a photo nor a video)"]))


def test_what_a_system_leaves_behind_is_no_photo(tmp_path: Path, artifact: Path) -> None:
    """AppleDouble files and the like have no row, no error, and no word if they are alone."""
    write(tmp_path, {"a.jpg": JPEG, **JUNK})
    result = predict(tmp_path, "--model", artifact, "--format", "jsonl")
    assert result.exit_code == 0
    assert [Path(row["path"]).name for row in rows_of(result)] == ["a.jpg"]
    assert result.stderr == ""
    assert found(tmp_path)[1].total() == len(JUNK)


def test_junk_that_a_shell_or_find_names_is_no_photo(tmp_path: Path, artifact: Path) -> None:
    """`predict folder/*` and `find | predict -` name such files themselves."""
    write(tmp_path, {"a.jpg": JPEG, **JUNK})
    everything = sorted(tmp_path.iterdir())
    result = predict(*everything, "--model", artifact, "--format", "jsonl")
    assert result.exit_code == 0
    assert [Path(row["path"]).name for row in rows_of(result)] == ["a.jpg"]
    result = predict(tmp_path / "._a.jpg", "--model", artifact, "--format", "jsonl")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "1 file not read: 1 system (such as .DS_Store)\n"


def test_names_that_only_look_like_junk_are_kept() -> None:
    """A photo is not left out for a name that resembles such a file's."""
    for name in ("_a.jpg", "a._.jpg", ".a.jpg", "Thumbs.jpg", "desktop.png", "MACOSX"):
        assert not is_junk(name)


def test_patterns_count_what_they_match(tmp_path: Path) -> None:
    """Of a pattern, the files that match it and are not read are counted, and no others."""
    write(tmp_path, {"a.jpg": JPEG, "b.cr2": b"", "c.txt": b"", "deep/d.cr2": b""})
    assert found(tmp_path / "*.jpg") == (["a.jpg"], Counter())
    assert found(tmp_path / "*.*")[1] == {
        ".cr2 (camera raw)": 1,
        "other (neither a photo nor a video)": 1,
    }
    assert found(tmp_path / "**")[1].total() == 3


def test_a_link_to_a_folder_is_counted(tmp_path: Path) -> None:
    """A linked folder inside a folder is not searched, and that is told."""
    write(tmp_path / "far", {"a.jpg": JPEG})
    write(tmp_path / "in", {"b.jpg": JPEG})
    (tmp_path / "in" / "more").symlink_to(tmp_path / "far")
    assert found(tmp_path / "in") == (["b.jpg"], Counter(["link to a folder (not followed)"]))


def test_rows_and_counts_are_all_files(tmp_path: Path, artifact: Path) -> None:
    """Of a folder with files of every kind, each is either a row or counted; with workers, too."""
    kinds = ["a.jpg", "b.HEIC", "c.gif", "d.txt", "e.cr2", "f.mp4", "._g.jpg", "h", "i.psd"]
    kinds += [".j.jpg", "k.xmp"]
    for number in range(220):
        name = kinds[number % len(kinds)]
        data = JPEG if number % 3 else APPLE_DOUBLE
        place = f"{'deep/' * (number % 2)}{name[:2]}{number}{name[2:] if name[0] == '.' else ''}"
        suffix = "" if name[0] == "." else Path(name).suffix
        write(tmp_path, {f"{place}{suffix}": data})
    total = sum(path.is_file() for path in tmp_path.rglob("*"))
    result = predict(tmp_path, "--model", artifact, "--format", "jsonl", "--workers", 2)
    counted = int(result.stderr.splitlines()[-1].split()[0])
    assert total == 220
    assert len(rows_of(result)) + counted == total
    assert len(rows_of(result)) == 4 * 20


def test_results_of_other_formats_are_png(tmp_path: Path, artifact: Path) -> None:
    """Copies of photos in formats that are not written are PNG files beside the others."""
    write(tmp_path / "in", {"a.heic": HEIC["ten_bits"], "b.jfif": JPEG, "c.jpg": JPEG})
    out = tmp_path / "out"
    assert predict(tmp_path / "in", "--model", artifact, "--annotate", out).exit_code == 0
    assert sorted(path.name for path in out.iterdir()) == ["a.heic.png", "b.jfif.png", "c.jpg"]


# --- data sets ---


def faces(folder: Path, suffix: str, *, first: int = 0, count: int = 3) -> None:
    for emotion in ("happy", "sad"):
        for number in range(first, first + count):
            image = draw_face(emotion, np.random.default_rng(number))
            write(folder, {f"{emotion}/{number}{suffix}": cv2.imencode(".jpg", image)[1].tobytes()})


def listed(folder: Path) -> Listing:
    return list_samples(DataConfig(source="folder", path=folder))


def test_class_folders_hold_photos_of_every_format(tmp_path: Path) -> None:
    """HEIC and JFIF count among the images of a data set like JPEG."""
    faces(tmp_path, ".jpg")
    faces(tmp_path, ".JFIF", first=3)
    for number in range(4):
        write(tmp_path, {f"happy/x{number}.HEIC": HEIC["ten_bits"]})
    assert len(listed(tmp_path).samples) == 16
    assert listed(tmp_path).left_out == {}


def test_a_data_set_counts_what_it_does_not_read(tmp_path: Path) -> None:
    """Raw photos, videos, hidden and other files are counted by kind, in class folders and
    videos also next to them; junk is not.
    """
    faces(tmp_path, ".jpg")
    write(tmp_path, JUNK | {f"happy/{name}": data for name, data in JUNK.items()})
    write(tmp_path / "sad", {"a.cr2": b"", "b.mp4": MP4, ".c.jpg": JPEG, "d.txt": b"text"})
    write(tmp_path, {"e.mp4": MP4, "README.md": b"text", "f.png": b""})
    listing = listed(tmp_path)
    assert len(listing.samples) == 6
    assert set(listing.label_names) == {"happy", "sad"}
    assert listing.left_out == {
        ".cr2 (camera raw)": 1,
        ".mp4 (video, for `emodetect video`)": 2,
        "hidden (name begins with a dot)": 1,
        "other (neither a photo nor a video)": 1,
        "image next to the class folders, not in one": 1,
    }


def test_what_was_taken_is_told_where_too_little_is_left(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """`data show` and `train` name what was read and what was not, also if they then fail."""
    caplog.set_level(logging.INFO, "emodetect")
    faces(tmp_path / "in", ".jpg", count=1)
    faces(tmp_path / "in", ".jfif", first=1, count=1)
    write(tmp_path / "in", {f"happy/{number}.cr2": b"" for number in range(12)})
    for command in (
        ["data", "show", "--output", str(tmp_path / "sheet.png")],
        ["train", "--set", f"output={tmp_path / 'run'}"],
    ):
        words = [*command, "--config", "fine_tuning", "--set", f"data.path={tmp_path / 'in'}"]
        words += ["--set", "data.source=folder", "--set", f"data.cache_dir={tmp_path / 'cache'}"]
        caplog.clear()
        result = CliRunner().invoke(app, words)
        assert isinstance(result.exception, DataError), result.output
        assert "cannot draw" in str(result.exception)
        assert f"{tmp_path / 'in'}: 4 images found (2 .jfif, 2 .jpg)" in caplog.messages
        assert caplog.messages.count("left out 12: .cr2 (camera raw)") == 1


def test_an_audit_names_what_it_did_not_read(tmp_path: Path) -> None:
    """`data audit` prints the counts that its page has."""
    faces(tmp_path / "in", ".jpg")
    write(tmp_path / "in", {"happy/a.nef": b"", "sad/b.mov": b""})
    out = tmp_path / "audit"
    words = [
        "data",
        "audit",
        f"folder:{tmp_path / 'in'}",
        "--detector",
        "none",
        "--output",
        str(out),
    ]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.exception
    for kind in (".nef (camera raw)", ".mov (video"):
        assert f"left out 1, folder:{tmp_path / 'in'}: {kind}" in result.stdout
        assert kind in (out / "audit.html").read_text(encoding="utf-8").replace("&#96;", "`")


def test_crops_are_cut_of_every_format_and_the_rest_is_counted(tmp_path: Path) -> None:
    """`data crop` reads HEIC, and counts other kinds by name, also if nothing else is there."""
    write(tmp_path / "in", {"a.HEIC": HEIC["turned"], "b.cr2": b"", "c.mp4": MP4} | JUNK)
    words = ["data", "crop", str(tmp_path / "in"), str(tmp_path / "out")]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.exception
    with (tmp_path / "out" / "faces.csv").open(newline="") as file:
        assert [(row["photo"], row["error"]) for row in csv.DictReader(file)] == [("a.HEIC", "")]
    assert "left out 1: .cr2 (camera raw)" in result.stdout
    (tmp_path / "in" / "a.HEIC").unlink()
    result = CliRunner().invoke(app, [*words, "--force"])
    assert "1 .cr2 (camera raw)" in str(result.exception)


def test_calibration_faces_may_have_any_format(tmp_path: Path, artifact: Path) -> None:
    """`export --representative` reads the same files as predict."""
    write(tmp_path, {f"{number}.heic": HEIC["ten_bits"] for number in range(20)} | JUNK)
    read = read_faces(tmp_path, read_artifact(artifact).metadata, at_most=100)
    assert (len(read.images), read.skipped) == (20, 0)
