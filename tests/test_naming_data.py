"""How commands are told which data to use: SOURCE:PATH, or PATH where its source can be told."""

from __future__ import annotations

import gzip
import io
import json
import os
import shlex
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result

from emodetect.cli import app
from emodetect.config import load_config
from emodetect.data.named_data import config_of, find_data
from emodetect.data.readers.registry import list_samples
from emodetect.data.synthetic import draw_face
from emodetect.errors import ConfigError, DataError, EmodetectError

EMOTIONS = ("happy", "sad")


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder and a cache folder of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


def _faces(root: str, count: int = 20) -> None:
    for number, emotion in enumerate(EMOTIONS):
        for one in range(count):
            path = Path(root, emotion, f"{one}.png")
            path.parent.mkdir(parents=True, exist_ok=True)
            drawn = draw_face(emotion, np.random.default_rng([number, one]), size=48)
            path.write_bytes(cv2.imencode(".png", drawn)[1].tobytes())


def _file(path: str, text: str = "", encoding: str = "utf-8") -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text, encoding=encoding)


def _manifest(path: str) -> None:
    rows = [f"faces/{emotion}/{one}.png,{emotion}" for emotion in EMOTIONS for one in range(20)]
    _file(path, "\n".join(["path,label", *rows, ""]))


def _run(*words: object) -> Result:
    return CliRunner().invoke(app, list(map(str, words)))


def _refusal(name: str) -> str:
    with pytest.raises(DataError) as caught:
        find_data(name, option="--data")
    message = str(caught.value)
    assert message.startswith("--data: ")
    assert "\n" not in message
    return message


# --- which source a path is


def _shards() -> None:
    _file("data/images-00000-of-00001.tfrecord")


def _raf_db() -> None:
    _file("data/EmoLabel/list_patition_label.txt", "train_00001.jpg 5\n")
    Path("data/Image/aligned").mkdir(parents=True)


def _raf_db_in_basic() -> None:
    _file("data/basic/EmoLabel/list_patition_label.txt", "train_00001.jpg 5\n")


def _ckplus() -> None:
    Path("data/cohn-kanade-images/S005/001").mkdir(parents=True)
    Path("data/Emotion/S005/001").mkdir(parents=True)


def _affectnet_lists() -> None:
    _file("data/Manually_Annotated_file_lists/training.csv")
    Path("data/Manually_Annotated_Images/103").mkdir(parents=True)


def _affectnet_annotations() -> None:
    _file("data/val_set/annotations/1_exp.npy")


def _votes_beside() -> None:
    _faces("data", 1)
    _file("data/fer2013new.csv", "Usage,Image name,neutral\n")


@pytest.mark.parametrize(
    ("make", "source"),
    [
        (lambda: _faces("data", 1), "folder"),
        (lambda: _faces("data/train", 1), "folder"),
        (lambda: _faces("data/Emotions Dataset/Emotions Dataset/train", 1), "folder"),
        (lambda: Path("data/HAPPINESS").mkdir(parents=True), "folder"),
        (_votes_beside, "folder"),
        (_shards, "tfrecord"),
        (_raf_db, "raf_db"),
        (_raf_db_in_basic, "raf_db"),
        (_ckplus, "ckplus"),
        (_affectnet_lists, "affectnet"),
        (_affectnet_annotations, "affectnet"),
    ],
)
def test_a_folder_is_told_by_what_is_in_it(make: Callable[[], object], source: str) -> None:
    """Class folders, shards and published data sets need no SOURCE; votes beside change nothing."""
    make()
    assert str(find_data("data", option="--data")) == f"{source}:data"
    assert str(find_data(Path("data"), option="--data")) == f"{source}:data"


@pytest.mark.parametrize(
    ("name", "text", "source"),
    [
        ("list.csv", "path,label\n", "manifest"),
        ("list.csv", '"path";"label";"split"\r\n', "manifest"),
        ("list.tsv", "label\tpath\n", "manifest"),
        ("list.csv", "Path,Label\n", "manifest"),
        ("fer2013.csv", "emotion,pixels,Usage\n", "fer2013_csv"),
        ("icml_face_data.csv", "emotion, Usage, pixels\n", "fer2013_csv"),
        ("test.csv", "pixels\n", "fer2013_csv"),
        ("images.tfrecord", "", "tfrecord"),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_file_is_told_by_its_columns_or_suffix(
    name: str, text: str, source: str, encoding: str
) -> None:
    """The columns of a CSV say what it lists, with any delimiter and mark in front."""
    _file(name, text, encoding)
    assert str(find_data(name, option="--data")) == f"{source}:{name}"


@pytest.mark.parametrize("folder", ["C:/faces", r"C:\faces", "a:b/faces", "in:side", "./folder:in"])
def test_a_colon_in_a_path_is_no_source(folder: str) -> None:
    """Drive letters of Windows and names with a colon are paths, alone and after a source."""
    _faces(folder, 1)
    assert str(find_data(folder, option="--data")) == f"folder:{folder}"
    named = find_data(f"raf_db:{folder}", option="--data")
    assert (named.source, named.path) == ("raf_db", folder)


def test_a_named_source_is_taken_at_its_word() -> None:
    """SOURCE:PATH is not looked into, so ferplus can be had, and errors are the reader's."""
    _votes_beside()
    assert str(find_data("ferplus:data", option="--data")) == "ferplus:data"
    assert str(find_data("synthetic:", option="--data")) == "synthetic:"


@pytest.mark.parametrize(
    ("numbers", "named"),
    [
        ("1234567", ("raf_db:data", "affectnet:data", "folder:data")),
        ("01234567", ("affectnet:data", "folder:data")),
    ],
)
@pytest.mark.parametrize(
    "top",
    ["data", "data/train", "data/Validation", "data/DATASET/Train", "data/a/b/images/PublicTest"],
)
def test_numbered_class_folders_are_not_guessed(
    numbers: str, named: tuple[str, ...], top: str
) -> None:
    """A number means another emotion in each data set, so the candidates are named."""
    for number in numbers:
        Path(top, number).mkdir(parents=True)
    message = _refusal("data")
    assert all(one in message for one in named)
    assert ("raf_db" in message) == ("raf_db:data" in named)


def test_raf_db_with_lists_beside_it_is_not_called_a_list() -> None:
    """The folders of RAF-DB as on Kaggle say what it may be, not the lists next to them."""
    for number in "1234567":
        Path("data/DATASET/train", number).mkdir(parents=True)
    for name in ("train", "test"):
        _file(f"data/{name}_labels.csv", "image,label\n")
    message = _refusal("data")
    assert "raf_db:data" in message
    assert ".csv" not in message


def _packed(suffix: str) -> bytes:
    """Return the bytes of a file that contains others, such as a zip archive."""
    data = io.BytesIO()
    if suffix == "zip":
        with zipfile.ZipFile(data, "w") as archive:
            archive.writestr("train/happy/1.png", b"")
    elif suffix == "xlsx":
        with zipfile.ZipFile(data, "w") as archive:
            archive.writestr("[Content_Types].xml", "<Types/>")
            archive.writestr("xl/workbook.xml", "<workbook/>")
    elif suffix == "tar":
        with tarfile.open(fileobj=data, mode="w") as tar:
            tar.addfile(tarfile.TarInfo("train"))
    else:
        data.write(gzip.compress(b"path,label\n"))
    return data.getvalue()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (_packed("zip"), "is a zip archive; unpack it and give the folder"),
        (_packed("tar"), "is a tar archive; unpack it and give the folder"),
        (_packed("gz"), "is a gzip archive; unpack it"),
        (_packed("xlsx"), "is an Excel workbook; save it as CSV"),
        (bytes.fromhex("d0cf11e0a1b11ae1") + bytes(504), "is an Excel workbook; save it as CSV"),
        (b"\xff\xd8\xff\xe0\0\x10JFIF", "is a photo; give the folder of class folders"),
        (b"\0\0\0\x14ftypisom\0\0\0\0isom" + bytes(9), "is a video"),
    ],
    ids=("zip", "tar", "gz", "xlsx", "xls", "photo", "video"),
)
@pytest.mark.parametrize("source", ["", "folder:", "manifest:", "fer2013_csv:", "raf_db:"])
def test_a_file_of_another_kind_is_named(data: bytes, said: str, source: str) -> None:
    """Its bytes tell what it is, whatever its name, and the error never speaks of UTF-8."""
    Path("data.csv").write_bytes(data)
    with pytest.raises(DataError) as caught:
        list_samples(config_of(find_data(f"{source}data.csv", option="--data")))
    assert said in str(caught.value)
    assert "UTF-8" not in str(caught.value)


def test_text_is_no_video() -> None:
    """The sync bytes of a video stream are letters, which a header may have at their places."""
    _file("list.csv", "G" + "x" * 187 + "G,path,label\n")
    assert str(find_data("list.csv", option="--data")) == "manifest:list.csv"


def _both() -> None:
    _faces("data", 1)
    _shards()


def _flat_with_votes() -> None:
    _file("data/fer0000000.png")
    _file("fer2013new.csv")


@pytest.mark.parametrize(
    ("make", "name", "said"),
    [
        (_both, "data", ("folder:data or tfrecord:data",)),
        (_flat_with_votes, "data", ("ferplus:data",)),
        (lambda: Path("data").mkdir(), "data", ("is empty: no folders named after emotions",)),
        (lambda: _file("data/a/b.txt"), "data", ("has no images: no folders named after",)),
        (
            lambda: _file("data/hapy/a.png"),
            "data",
            ("images in hapy;", "--label-name hapy=", "own"),
        ),
        (lambda: _file("data/a.png"), "data", ("images but no folders named after emotions",)),
        (lambda: _faces("data", 1), "data/happy", ("class folder itself", "contains it: data")),
        (lambda: _file("data/list.csv", "path,label\n"), "data", ("data/list.csv",)),
        (
            lambda: _file("a.csv", "file,emotion\n"),
            "a.csv",
            ("file, emotion", "rename its columns"),
        ),
        (lambda: _file("a.csv"), "a.csv", ("nothing", "rename its columns")),
        (
            lambda: (_file("d/train/a.png"), _file("d/train/_classes.csv", "filename,happy\n")),
            "d",
            ("images in train", "path, label and split", "d/train/_classes.csv"),
        ),
        (lambda: (_file("d/a.csv"), _file("d/b.csv")), "d", ("use that: d/a.csv or d/b.csv",)),
        (lambda: _file("a.csv", "path,label,pixels\n"), "a.csv", ("manifest:a.csv",)),
        (lambda: _file("v.csv", "Usage,Image name,neutral\n"), "v.csv", ("votes", "ferplus:")),
        (
            lambda: _file("d/t.csv", "subDirectory_filePath\n"),
            "d/t.csv",
            ("name its folder", "affectnet:", "/d."),
        ),
        (lambda: Path("a.jpg").write_bytes(b"\xff\xd8\xff"), "a.jpg", ("a folder, a CSV or",)),
        (lambda: None, "nowhere", ("nowhere: no such file or folder", "SOURCE:PATH")),
        (lambda: None, "", ("empty path",)),
        (lambda: None, "foldr:data", ("Did you mean folder:data?",)),
        (lambda: None, "RAF-DB:data", ("Did you mean raf_db:data?",)),
        (lambda: None, "folder", ("Did you mean folder:PATH?",)),
        (lambda: None, r"D:\faces", (r"D:\faces: no such file or folder",)),
        (lambda: None, "folder:", ("folder:: expected a path",)),
    ],
)
def test_what_cannot_be_told_is_said_with_what_to_write(
    make: Callable[[], object], name: str, said: tuple[str, ...]
) -> None:
    """One line names the candidates and how to say which it is."""
    make()
    message = _refusal(name)
    assert all(one in message for one in said), message


def test_a_class_folder_without_permission_does_not_end_the_search(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The layout is told by the other folders; the reader then names the one it cannot read."""
    _faces("data", 1)
    is_dir = Path.is_dir

    def refuses(path: Path, **options: bool) -> bool:  # root, as whom tests may run, is never
        if path.parent.name == "happy":
            raise PermissionError(13, "Permission denied", str(path))
        return is_dir(path, **options)

    monkeypatch.setattr(Path, "is_dir", refuses)
    assert str(find_data("data", option="--data")) == "folder:data"


# --- every command takes both


@pytest.mark.parametrize(
    ("name", "called", "news"),
    [
        ("faces", "folder:faces", True),
        ("manifest:list.csv", "manifest:list.csv", False),
    ],
)
@pytest.mark.parametrize(
    "words",
    [
        "train --dry-run --data {}",
        "data show {} --output sheet.png",
        "data audit {} --detector none",
        "data split {} --output split.csv --test 0.2",
        "data convert {} out --to folder",
        "evaluate --data {} --no-explain --bootstrap 100",
        "evaluate --data {} --exclude-duplicates-of {} --no-explain",
        "evaluate --data {} --model fer2013 --model ferplus --bootstrap 100",
        "compare fer2013 ferplus --data {}",
        "export --to tflite --data {} --split val",
    ],
)
def test_every_command_takes_a_path_alone_and_says_what_it_is(
    words: str, name: str, called: str, news: bool
) -> None:
    """Wherever data is named, PATH and SOURCE:PATH do; what was told is printed once."""
    _faces("faces")
    _manifest("list.csv")
    result = _run(*shlex.split(words.replace("{}", name)))
    # Not exported, which takes long; and of the images none is left that is no copy of itself.
    refused = {"export": "split", "--exclude-duplicates-of": "no image is left"}
    said = [text for word, text in refused.items() if word in words]
    if said:
        assert said[0] in str(result.exception)
    else:
        assert result.exit_code == 0, result.exception
    assert result.stderr.count(f"data: {called}\n") == int(news)


def test_reports_do_not_depend_on_how_the_data_was_named() -> None:
    """Reports on `faces` and on `folder:faces` can be compared: they are of the same data."""
    _faces("faces")
    for name, out in (("faces", "a"), ("folder:faces", "b")):
        words = ("evaluate", "--data", name, "--no-explain", "--bootstrap", 100, "--output", out)
        assert _run(*words).exit_code == 0
        assert json.loads(Path(out, "metrics.json").read_text())["data"] == "folder:faces"
    result = _run("compare", "a", "b")
    assert result.exit_code == 0
    assert "not the same" not in result.stderr
    assert "no pictures" not in result.stderr


def test_compare_evaluates_models_on_the_data_it_is_given(artifact: Path) -> None:
    """With --data, a run folder and a .keras file are evaluated on the same images first."""
    _faces("faces")
    result = _run("compare", artifact.parent, artifact, "--data", "faces")
    assert result.exit_code == 0, result.exception
    told = json.loads(Path("comparison/compare.json").read_text())
    assert told["images"] == 40
    assert told["settings"] == ["folder:faces, split all"] * 2
    assert told["comparisons"][0]["differences"]["accuracy"]["difference"] == 0
    assert "no pictures" not in result.stderr
    result = _run("compare", "comparison", artifact, "--data", "faces", "--output", "again")
    assert "best_model.keras" in str(result.exception)


def test_an_audit_of_a_path_alone_cleans_that_data() -> None:
    """The manifest of an audit fits a config whose data has the same source and path."""
    _faces("faces")
    assert _run("data", "audit", "faces", "--detector", "none", "--output", "audit").exit_code == 0
    words = ("train", "--data", "faces", "--set", "data.manifest=audit/manifest.csv", "--dry-run")
    assert _run(*words).exit_code == 0
    result = _run("data", "audit", "faces", "--detector", "none", "--output", "faces/report")
    assert "is inside" in str(result.exception)


def test_crop_takes_a_plain_folder_of_photos() -> None:
    """Photos need no labels: any folder will do, also as folder:PATH; other sources will not."""
    _file("photos/a.txt")
    cv2.imwrite("photos/a.png", np.zeros((64, 64), np.uint8))
    for name, out in (("photos", "a"), ("folder:photos", "b")):
        result = _run("data", "crop", name, out)
        assert result.exit_code == 0
        assert "images: 1;" in result.stdout
    result = _run("data", "crop", "raf_db:photos", "c")
    assert "expected PATH or folder:PATH" in str(result.exception)
    result = _run("data", "crop", "nowhere", "c")
    assert "nowhere: no such folder" in str(result.exception)


def test_split_takes_folders_with_labels_of_any_name() -> None:
    """Where only one source is possible, nothing needs to be told from what is inside."""
    for number in range(10):
        for label in "12":
            path = Path("in", label, f"{number}.png")
            path.parent.mkdir(parents=True, exist_ok=True)
            picture = np.random.default_rng([number, int(label)]).integers(0, 256, (32, 32))
            cv2.imwrite(str(path), picture)
    names = ("--label-name", "1=happy", "--label-name", "2=sad")
    assert _run("data", "split", "in", "--output", "a.csv", *names).exit_code == 0
    result = _run("data", "split", "ferplus:in", "--output", "b.csv")
    assert "folder:PATH or manifest:PATH" in str(result.exception)


# --- train and show without a config


def test_training_on_a_path_alone_uses_the_fine_tuning_preset() -> None:
    """The first training needs no config, and says which one it used and where it goes."""
    _faces("faces")
    result = _run("train", "--data", "faces", "--dry-run")
    assert result.exit_code == 0
    assert 'init = "shipped"' in result.stdout
    assert 'path = "faces"' in result.stdout
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("preset: ")]
    assert "fine_tuning" in line
    assert os.path.join("runs", "fine_tuning") in line  # noqa: PTH118
    result = _run("train", "--data", "faces", "--set", "output=mine", "--dry-run")
    assert "run folder: mine" in result.stderr
    assert "fine_tuning" in _run("data", "show", "faces", "--output", "sheet.png").stderr


def test_set_wins_over_data_and_data_over_the_config() -> None:
    """The more specific word counts, as --help says."""
    _faces("faces")
    _faces("others")
    config = '[data]\nsource = "manifest"\npath = "absent.csv"\nimage_size = 64\n'
    _file("mine.toml", config + '[model]\ninit = "shipped"\n')
    words = ("train", "--config", "mine.toml", "--data", "faces", "--dry-run")
    result = _run(*words)
    assert 'path = "faces"' in result.stdout
    assert "image_size = 64" in result.stdout
    assert "preset:" not in result.stderr
    assert 'path = "others"' in _run(*words, "--set", "data.path=others").stdout


def test_keys_of_the_other_source_are_left_out_and_named(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Data of another source does not fail on keys that only the config's own source takes."""
    import logging

    monkeypatch.setattr(logging.getLogger("emodetect"), "propagate", True)
    config = load_config("demo", data="folder:faces")
    assert (config.data.source, str(config.data.path)) == ("folder", "faces")
    assert "data.synthetic" in caplog.text
    assert load_config("fine_tuning", data="synthetic:").data.path is None
    _file("names.toml", '[data]\npath = "a"\nlabel_names = {"1" = "happy"}\n')
    assert load_config("names.toml", data="folder:b").data.label_names == {"1": "happy"}
    assert load_config("names.toml", data="raf_db:b").data.label_names == {}
    with pytest.raises(ConfigError, match=r"names\.toml with --data and --set"):
        load_config("names.toml", ["data.votes=v.csv"], data="folder:b")


@pytest.mark.parametrize("path", ["1", "true", 'a"b', r"C:\new", "[x]", "2024-01-01"])
def test_a_path_stays_text(path: str) -> None:
    """A path that looks like a TOML value is a path."""
    assert str(load_config("fine_tuning", data=f"folder:{path}").data.path) == path


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("train",), "emodetect train --data faces"),
        (("train", "--dry-run"), "emodetect train --data faces"),
        (("train", "--set", "seed=1"), "emodetect train --data faces"),
        (("train", "--resume", "run", "--set", "seed=1"), "--config or --data"),
        (("train", "--resume", "run", "--dry-run"), "--config or --data"),
        (("train", "--resume", "run", "--data", "faces"), "omit --data"),
        (("data", "show"), "emodetect data show faces"),
    ],
)
def test_without_data_the_usage_error_shows_an_example(words: tuple[str, ...], said: str) -> None:
    """Nothing to train on is a usage error that shows what to type."""
    Path("run").mkdir()
    result = _run(*words)
    assert result.exit_code == 2
    assert said in " ".join(result.stderr.split())


@pytest.mark.parametrize(
    "words",
    ["train faces", "train faces --dry-run", "evaluate --split all faces", "train 'my set'"],
)
def test_data_without_its_option_is_told_the_option(words: str) -> None:
    """A path where none is taken is most likely the data."""
    _faces("faces", 1)
    _faces("my set", 1)
    result = _run(*shlex.split(words))
    assert result.exit_code == 2
    given = "'my set'" if "my set" in words else "faces"
    assert f"did you mean: --data {given}?" in " ".join(result.stderr.split())


def test_another_word_too_many_is_no_data() -> None:
    """Only what is there can be meant."""
    result = _run("train", "--config", "demo", "absent")
    assert result.exit_code == 2
    assert "absent" in result.stderr
    assert "--data" not in result.stderr


@pytest.mark.parametrize("source", ["folder", "manifest", "fer2013_csv", "raf_db", "tfrecord"])
@pytest.mark.parametrize("words", ["train --dry-run --data", "data show"])
def test_a_named_path_that_is_not_there_is_an_error(words: str, source: str) -> None:
    """A slip in SOURCE:PATH ends the command at once, also where nothing would be trained."""
    result = _run(*words.split(), f"{source}:absent")
    assert isinstance(result.exception, DataError)
    assert f"{source}:absent: no such file or folder" in str(result.exception)
    result = _run("evaluate", "--data", f"{source}:absent")  # whose reader says it
    assert isinstance(result.exception, DataError)
    assert "absent: " in str(result.exception)
    assert "o such file or" in str(result.exception) or "no such folder" in str(result.exception)


# --- the first thing anyone types


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        ("photo.jpg", "predict photo.jpg"),  # need not be there
        ("PHOTO.JPG", "predict PHOTO.JPG"),
        ("'my photo.png'", "predict 'my photo.png'"),
        ("a.jpg b.jpg", "predict a.jpg b.jpg"),
        ("a.jpg b.jpg c.jpg d.jpg", "predict a.jpg b.jpg c.jpg ..."),
        ("a.jpg --format json", "predict a.jpg --format json"),
        ("albums", "predict albums"),
        ("albums/", "predict albums/"),
        (".", "predict ."),
        ("albums/scan", "predict albums/scan"),
        ("talk.mp4", "video talk.mp4"),
        ("a.MOV b.mov", "video a.MOV b.mov"),
        ("list.csv", "data show list.csv"),
        ("mine.toml", "train --config mine.toml"),
        ("mine.keras", "models show mine.keras"),
    ],
)
def test_a_file_as_the_first_word_is_told_its_command(words: str, meant: str) -> None:
    """`emodetect photo.jpg` is no riddle: the line to type is printed, and nothing is run."""
    _file("albums/scan")
    for name in ("list.csv", "mine.toml", "mine.keras"):
        _file(name)
    result = _run(*shlex.split(words))
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert result.stderr.endswith(f"did you mean: emodetect {meant}\n")


@pytest.mark.parametrize(("word", "near"), [("predic", "predict"), ("evaluat", "evaluate")])
def test_another_unknown_word_is_told_the_nearest_command(word: str, near: str) -> None:
    """A slip of the fingers is a usage error that names the command."""
    result = _run(word)
    assert result.exit_code == 2
    assert near in result.stderr
    assert "emodetect predict" not in result.stderr
    assert "data show" not in _run("list.csv").stderr  # which is not there


def test_a_command_stays_a_command_beside_a_file_of_its_name() -> None:
    """A folder called train does not hide the command."""
    Path("train").mkdir()
    assert _run("train", "--help").exit_code == 0


def test_errors_of_naming_are_one_line_for_users() -> None:
    """A source that cannot be told ends the command like every other mistake."""
    Path("num/1").mkdir(parents=True)
    result = _run("evaluate", "--data", "num")
    assert isinstance(result.exception, EmodetectError)
    assert "say which" in str(result.exception)


def test_the_contact_sheet_is_replaced_only_by_force() -> None:
    """`data show` leaves an earlier samples.png alone, and says so after the counts."""
    _faces("faces")
    Path("samples.png").write_text("mine")
    result = _run("data", "show", "faces")
    assert isinstance(result.exception, EmodetectError)
    assert "samples.png: already exists" in str(result.exception)
    assert "--force" in str(result.exception)
    assert Path("samples.png").read_text() == "mine"
    assert "│ all " in result.stdout
    assert _run("data", "show", "faces", "--force").exit_code == 0
    assert Path("samples.png").read_bytes().startswith(b"\x89PNG")


def test_a_dry_run_refuses_what_training_would() -> None:
    """One emotion, or one that has only test images, is the same error with --dry-run."""
    _faces("split/train")
    _faces("split/test")
    Path("one").mkdir()
    Path("split/train/sad").rename("one/sad")
    for data, told in (("one", "at least two emotions"), ("split", "no image of 'sad' is left")):
        errors = [
            str(_run("train", "--data", data, *more).exception) for more in ((), ("--dry-run",))
        ]
        assert told in errors[0]
        assert errors[0] == errors[1]


def test_the_run_folder_is_named_as_other_outputs_are() -> None:
    """`train --output` is the run folder; --resume has one already."""
    _faces("faces")
    result = _run("train", "--data", "faces", "--output", "runs/mine", "--dry-run")
    assert result.exit_code == 0, result.output
    assert 'output = "runs/mine"' in result.stdout
    assert "refused" not in result.stdout
    assert _run("train", "--resume", "runs/mine", "--output", "runs/new").exit_code == 2


@pytest.mark.parametrize(("run", "why"), [("faces/run", "is inside faces"), ("old", "exists")])
def test_a_dry_run_says_what_is_wrong_with_the_run_folder(run: str, why: str) -> None:
    """It is not only found when the training is meant to begin."""
    _faces("faces")
    Path("old").mkdir()
    Path("old/notes.txt").touch()
    result = _run("train", "--data", "faces", "--output", run, "--dry-run")
    assert result.exit_code == 0, result.output
    assert f"# refused until the run folder is another: {run}: " in result.stdout
    assert why in result.stdout.splitlines()[-1]


def test_a_dry_run_refuses_another_network_and_missing_weights() -> None:
    """Another network than that of model.init, and weights that are not there."""
    _faces("faces")
    words = ("train", "--data", "faces", "--dry-run", "--set")
    assert "contains another network" in str(_run(*words, "model.width=0.5").exception)
    missing = _run(*words, "model.weights=no.h5", "--config", "mobilenetv2_fer2013")
    assert "no.h5: no such file" in str(missing.exception)
