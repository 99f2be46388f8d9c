"""Conversion between layouts: the same pixels, labels and splits, whole or not at all."""

from __future__ import annotations

import os
import re
import shutil
import signal
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from pictures import save
from running import posix_only, run_python

from emodetect.cli import app
from emodetect.config import DataConfig
from emodetect.data.dataset import load_for_evaluation
from emodetect.data.readers.registry import list_samples
from emodetect.data.synthetic import draw_face
from emodetect.data.writers import convert as module
from emodetect.data.writers.convert import LAYOUTS, Conversion, ConversionOptions
from emodetect.errors import DataError, EmodetectError

SPLITS = ("train", "val", "test")
# The masked CRC-32C of the length 2**60, which TensorFlow would believe.
BOMB_CHECKSUM = bytes.fromhex("c4234e8e")


def source(path: Path, kind: str = "folder", **values: Any) -> DataConfig:
    """A config of a data set, with a cache beside it."""
    return DataConfig.model_validate(
        {"source": kind, "path": path, "cache_dir": path.parent / "cache", **values}
    )


def fingerprint(path: Path, kind: str = "folder", **values: Any) -> str:
    """Return the hash of a data set's pixels, labels and splits."""
    return load_for_evaluation(source(path, kind, **values)).fingerprint


def convert(config: DataConfig, out: Path, **options: Any) -> Conversion:
    """Write a data set in another layout."""
    return module.convert(config, ConversionOptions(out, **options))


def place(folder: Path, layout: str) -> Path:
    """Return where a conversion is written to."""
    return folder / ("out.csv" if layout == "fer2013_csv" else "out")


def draw(
    root: Path, *, splits: tuple[str, ...] = SPLITS, size: int = 48, gray: bool = True
) -> Path:
    """Write two happy and two sad faces into each split."""
    generator = np.random.default_rng(0)
    for split in splits:
        for emotion in ("happy", "sad"):
            for number in range(2):
                image = draw_face(emotion, generator, size=size)
                if gray:
                    image = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
                save(root / split / emotion / f"{number}.png", image)
    return root


@pytest.mark.parametrize("layout", list(LAYOUTS))
@pytest.mark.parametrize("splits", [SPLITS, ("train", "test")], ids=["three", "two"])
def test_a_round_trip_changes_nothing(tmp_path: Path, layout: str, splits: tuple[str, ...]) -> None:
    """Pixels, labels and splits are the same in each layout, and when they come back."""
    root = draw(tmp_path / "faces", splits=splits)
    out = place(tmp_path, layout)
    assert convert(source(root), out, layout=layout, shard_size=3).images == 4 * len(splits)
    assert fingerprint(out, layout) == fingerprint(root)
    convert(source(out, layout), tmp_path / "back", layout="folder")
    assert fingerprint(tmp_path / "back") == fingerprint(root)


@pytest.mark.parametrize("layout", list(LAYOUTS))
def test_what_is_too_small_to_train_on_is_not_converted(tmp_path: Path, layout: str) -> None:
    """Enlarged to what a layout holds, images of a few pixels would be used."""
    root = draw(tmp_path / "faces")
    save(root / "train" / "happy" / "tiny.png", np.zeros((9, 7), np.uint8))
    done = convert(
        source(root, max_unreadable_fraction=0.5), place(tmp_path, layout), layout=layout
    )
    assert [(file.path, file.reason[:18]) for file in done.skipped] == [
        ("train/happy/tiny.png", "too small: 7x9 pix")
    ]


@pytest.mark.parametrize("layout", ["folder", "tfrecord"])
def test_colour_size_and_missing_splits_stay(tmp_path: Path, layout: str) -> None:
    """Large colour images without splits are the same in layouts that can hold them."""
    root = draw(tmp_path / "faces", splits=("",), size=70, gray=False)
    out = tmp_path / "out"
    convert(source(root), out, layout=layout)
    values = {"color": "rgb", "image_size": 70}
    assert fingerprint(out, layout, **values) == fingerprint(root, **values)
    assert {sample.split for sample in list_samples(source(out, layout)).samples} == {None}


def test_large_colour_images_become_what_the_csv_holds(tmp_path: Path) -> None:
    """The csv has what training at 48 grey pixels would have made of the images."""
    root = draw(tmp_path / "faces", size=70, gray=False)
    convert(source(root), tmp_path / "out.csv", layout="fer2013_csv")
    assert fingerprint(tmp_path / "out.csv", "fer2013_csv") == fingerprint(root)


@pytest.mark.parametrize("layout", list(LAYOUTS))
def test_what_exists_stays(tmp_path: Path, layout: str) -> None:
    """Nothing is replaced without force, and by force no folder that was not made so."""
    root = draw(tmp_path / "faces", splits=("train", "test"))
    out = place(tmp_path, layout)
    convert(source(root), out, layout=layout)
    with pytest.raises(EmodetectError, match="already exists"):
        convert(source(root), out, layout=layout)
    convert(source(root), out, layout=layout, force=True)
    assert fingerprint(out, layout) == fingerprint(root)
    own = root if layout != "fer2013_csv" else tmp_path / "own.csv"
    if layout == "fer2013_csv":
        own.mkdir()
        (own / "file").touch()
    with pytest.raises(EmodetectError, match="another"):
        convert(source(root), own, layout=layout, force=True)
    assert (root / "train/happy/0.png").is_file()


@pytest.mark.parametrize("layout", list(LAYOUTS))
def test_an_interrupted_conversion_leaves_nothing(
    tmp_path: Path, layout: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C half way leaves neither a result that looks whole nor half of one."""
    root = draw(tmp_path / "faces")
    real = module.track

    def interrupted(items: Any, **options: Any) -> Any:
        for number, item in enumerate(real(items, **options)):
            if number == 4:
                raise KeyboardInterrupt
            yield item

    monkeypatch.setattr(module, "track", interrupted)
    with pytest.raises(KeyboardInterrupt):
        convert(source(root), place(tmp_path, layout), layout=layout, shard_size=2)
    assert {path.name for path in tmp_path.iterdir()} == {"faces"}


def test_names_that_meet_are_kept_apart(tmp_path: Path) -> None:
    """Images of one name from different folders do not replace each other."""
    root = draw(tmp_path / "faces", splits=("",))
    for folder in ("deep", "deeper", "flat"):
        (root / "happy" / folder).mkdir()
        name = "1_2.png" if folder == "flat" else "1.png"
        shutil.copy(root / "happy/0.png", root / "happy" / folder / name)
    convert(source(root), tmp_path / "out", layout="folder")
    names = sorted(path.name for path in (tmp_path / "out/happy").iterdir())
    assert names == ["0.png", "1.png", "1_2.png", "1_2_2.png", "1_3.png"]


def test_long_names_are_cut_and_kept_apart(tmp_path: Path) -> None:
    """Two images by one name, as long as the file system takes, are both written."""
    root = draw(tmp_path / "faces", splits=("",))
    (root / "happy" / "deep").mkdir()
    for number, folder in enumerate(("", "deep")):
        name = "é" * 125 + ".jpg"
        (root / "happy" / f"{number}.png").rename(root / "happy" / folder / name)
    convert(source(root), tmp_path / "out", layout="folder")
    names = sorted(path.name for path in (tmp_path / "out/happy").iterdir())
    assert names == ["é" * 124 + "_2.png", "é" * 125 + ".png"]


@pytest.mark.parametrize("layout", ["folder", "tfrecord"])
def test_a_place_whose_name_is_no_unicode_is_written(tmp_path: Path, layout: str) -> None:
    """Any name that the file system has may be converted to."""
    root = draw(tmp_path / "faces", splits=("",))
    out = tmp_path / os.fsdecode(b"\xff")
    result = CliRunner().invoke(
        app, ["data", "convert", f"folder:{root}", str(out), "--to", layout]
    )
    assert result.exit_code == 0, result.output
    assert "udcff: 4 images" in result.output
    assert out.is_dir()
    moved = out.rename(tmp_path / "moved")
    assert len(list_samples(source(moved, layout)).samples) == 4


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux' /dev/full")
def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """TensorFlow's own error of a full disk becomes one line, and nothing is left."""
    root = draw(tmp_path / "faces", splits=("",))
    real = module.write_shard
    monkeypatch.setattr(module, "write_shard", lambda _, records: real(Path("/dev/full"), records))
    with pytest.raises(EmodetectError, match=r"out: cannot be written: .*[Nn]o space"):
        convert(source(root), tmp_path / "out", layout="tfrecord")
    assert {path.name for path in tmp_path.iterdir()} == {"faces"}


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    """The error names what was asked for, not a temporary name."""
    root = draw(tmp_path / "faces", splits=("",))
    (tmp_path / "file").touch()
    with pytest.raises(EmodetectError, match=r"file/out: cannot be written: "):
        convert(source(root), tmp_path / "file" / "out", layout="folder")


def test_validation_never_becomes_the_test_of_the_csv(tmp_path: Path) -> None:
    """Where no test image can be read, PublicTest would be read as the test split."""
    root = draw(tmp_path / "faces")
    for path in (root / "test").rglob("*.png"):
        path.write_bytes(b"no image")
    with pytest.raises(DataError, match="none of the test images can be read"):
        convert(source(root), tmp_path / "out.csv", layout="fer2013_csv")
    assert not (tmp_path / "out.csv").exists()


def test_what_the_csv_cannot_hold_is_refused(tmp_path: Path) -> None:
    """Contempt, and validation without test, are named before anything is written."""
    root = draw(tmp_path / "faces", splits=("train", "val"))
    with pytest.raises(DataError, match="without test"):
        convert(source(root), tmp_path / "out.csv", layout="fer2013_csv")
    (root / "train/sad").rename(root / "train/contempt")
    with pytest.raises(DataError, match="contempt"):
        convert(source(root), tmp_path / "out.csv", layout="fer2013_csv")
    assert not (tmp_path / "out.csv").exists()


def test_damaged_shards_are_told(tmp_path: Path) -> None:
    """A missing, cut or foreign shard is one error that names it."""
    root = draw(tmp_path / "faces")
    out = tmp_path / "out"
    convert(source(root), out, layout="tfrecord", shard_size=4)
    shards = sorted(out.glob("*.tfrecord"))
    assert [shard.name for shard in shards] == [
        f"images-0000{number}-of-00003.tfrecord" for number in range(3)
    ]
    whole = shards[1].read_bytes()
    shards[1].write_bytes(whole[:-7])
    with pytest.raises(DataError, match=shards[1].name):
        list_samples(source(out, "tfrecord"))
    shards[1].write_bytes(whole[:40] + b"x" + whole[41:])
    with pytest.raises(DataError, match="damaged"):
        list_samples(source(out, "tfrecord"))
    shards[1].unlink()
    with pytest.raises(DataError, match="expected 3 shards"):
        list_samples(source(out, "tfrecord"))


def test_unreadable_images_are_named_and_left_out(tmp_path: Path) -> None:
    """The command converts the rest, names what is damaged, and ends with status 1."""
    root = draw(tmp_path / "faces", splits=("",))
    (root / "happy/bad.png").write_bytes(b"no")
    arguments = ["data", "convert", f"folder:{root}", str(tmp_path / "out"), "--to", "folder"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 1
    assert "bad.png" in result.output
    assert "4 images" in result.output


def test_labels_by_other_names_are_converted(tmp_path: Path) -> None:
    """--label-name names the emotion of a folder; sources of fixed labels refuse it."""
    root = draw(tmp_path / "faces", splits=("",))
    (root / "sad").rename(root / "3")
    out = str(tmp_path / "out")
    arguments = ["data", "convert", f"folder:{root}", out, "--to", "folder"]
    result = CliRunner().invoke(app, arguments)
    assert isinstance(result.exception, DataError)
    assert "--label-name 3=EMOTION" in str(result.exception)
    assert CliRunner().invoke(app, [*arguments, "--label-name", "3=sad"]).exit_code == 0
    assert len(list((tmp_path / "out/sad").iterdir())) == 2
    for command, *more in (("convert", out, "--to", "folder"), ("audit", "--output", out + "2")):
        arguments = ["data", command, f"ckplus:{root}", *more, "--label-name", "3=sad"]
        result = CliRunner().invoke(app, arguments)
        assert "label_names: only for the source folder" in str(result.exception)


def test_photos_are_not_squeezed_into_the_csv(tmp_path: Path) -> None:
    """A csv of crops does not take photos whose faces were still to be found."""
    root = draw(tmp_path / "photos", size=70)
    with pytest.raises(DataError, match="data crop"):
        convert(source(root, faces="detect"), tmp_path / "out.csv", layout="fer2013_csv")


def test_the_data_itself_is_never_replaced(tmp_path: Path) -> None:
    """Neither a csv by a part of itself, nor a folder by what is made of a folder in it."""
    data = draw(tmp_path / "data")
    table = tmp_path / "faces.csv"
    convert(source(data), table, layout="fer2013_csv")
    held = table.read_bytes()
    with pytest.raises(EmodetectError, match="choose another path"):
        convert(source(table, "fer2013_csv"), table, layout="fer2013_csv", force=True)
    assert table.read_bytes() == held
    made = tmp_path / "made"
    convert(source(data), made, layout="folder")
    for out in (made, made / "train" / "new"):
        with pytest.raises(EmodetectError, match="choose another path"):
            convert(source(made / "train"), out, layout="folder", force=True)
    assert len(list(made.rglob("*.png"))) == 12


def test_votes_are_never_replaced_by_their_images(tmp_path: Path) -> None:
    """Those next to the images are found without being named."""
    table, votes = tmp_path / "fer2013.csv", tmp_path / "fer2013new.csv"
    convert(source(draw(tmp_path / "data")), table, layout="fer2013_csv")
    votes.write_text("votes")
    with pytest.raises(EmodetectError, match="which is to be converted"):
        convert(source(table, "ferplus"), votes, layout="fer2013_csv", force=True)
    assert votes.read_text() == "votes"


def test_images_of_an_earlier_conversion_that_a_manifest_names_stay(tmp_path: Path) -> None:
    """They would be deleted with the folder that --force replaces."""
    made = tmp_path / "made"
    convert(source(draw(tmp_path / "data")), made, layout="folder")
    images = sorted(made.rglob("*.png"))
    rows = [f"{path.relative_to(tmp_path).as_posix()},{path.parent.name}" for path in images]
    (tmp_path / "all.csv").write_text("\n".join(["path,label", *rows, ""]))
    some = source(tmp_path / "all.csv", "manifest")
    with pytest.raises(EmodetectError, match="contains images that are to be converted"):
        convert(some, made, layout="folder", force=True)
    assert sorted(made.rglob("*.png")) == images


def test_a_shard_size_without_shards_is_refused(tmp_path: Path) -> None:
    """It would change nothing about class folders."""
    words = ["data", "convert", str(draw(tmp_path / "data")), str(tmp_path / "out")]
    result = CliRunner().invoke(app, [*words, "--to", "folder", "--shard-size", "3"])
    assert result.exit_code == 2
    assert "only for --to tfrecord" in result.stderr
    assert not (tmp_path / "out").exists()


def test_files_beside_an_earlier_conversion_stay(tmp_path: Path) -> None:
    """What was added to a conversion is not deleted with it."""
    data, made = source(draw(tmp_path / "data")), tmp_path / "made"
    convert(data, made, layout="folder")
    convert(data, made, layout="folder", force=True)
    own = made / "train" / "happy" / "mine.png"
    own.write_bytes(b"mine")
    with pytest.raises(EmodetectError, match="files beside those of an earlier conversion"):
        convert(data, made, layout="tfrecord", force=True)
    assert own.read_bytes() == b"mine"


@pytest.mark.parametrize("layout", ["folder", "fer2013_csv"])
def test_images_without_a_split_beside_others_are_refused(layout: str, tmp_path: Path) -> None:
    """In training they join the split of their copies; as training images they would leak."""
    data = draw(tmp_path / "data", splits=("train", "test"))
    images = sorted(data.rglob("*.png"))
    rows = [
        f"{path.relative_to(tmp_path)},{path.parent.name},{'test' * ('test' in path.parts)}"
        for path in images
    ]
    (tmp_path / "all.csv").write_text("\n".join(["path,label,split", *rows, ""]))
    listed, out = source(tmp_path / "all.csv", "manifest"), tmp_path / "out.csv"
    out = out if layout == "fer2013_csv" else out.with_suffix("")
    with pytest.raises(DataError, match=r"4 of 8 images have no split.*emodetect data split"):
        convert(listed, out, layout=layout)
    assert not out.exists()
    convert(listed, tmp_path / "shards", layout="tfrecord")


@pytest.mark.parametrize("moves", [0, 1])
def test_an_earlier_conversion_outlives_one_that_cannot_be_put_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moves: int
) -> None:
    """On Windows, a folder that a program is in cannot be moved; nothing in it is deleted."""
    data, made = source(draw(tmp_path / "data")), tmp_path / "made"
    convert(data, made, layout="folder")
    before = sorted(made.rglob("*"))

    replace, possible = Path.replace, iter([*[True] * moves, False])

    def refuse(place: Path, target: Path) -> Path:
        if next(possible, True):
            return replace(place, target)
        raise PermissionError(13, "Permission denied", str(place))

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(EmodetectError, match="made: cannot be written: Permission denied"):
        convert(data, made, layout="folder", force=True)
    assert sorted(made.rglob("*")) == before
    assert {path.name for path in tmp_path.iterdir()} == {"data", "made"}


@pytest.mark.parametrize(
    ("label", "told"),
    [("train", "is the name of a split"), ("lost+found", "is the name of a system folder")],
)
def test_labels_that_no_folder_may_have_are_refused(tmp_path: Path, label: str, told: str) -> None:
    """A class folder "train" would be read as the training split, another not at all."""
    images = sorted(draw(tmp_path / "data").rglob("*.png"))
    rows = [
        f"{path.relative_to(tmp_path)},{label}"
        for path, label in zip(images, 6 * ["bus", label], strict=True)
    ]
    (tmp_path / "all.csv").write_text("\n".join(["path,label", *rows, ""]))
    with pytest.raises(DataError, match=f"the label {re.escape(label)} {told}"):
        convert(
            source(tmp_path / "all.csv", "manifest", labels="own"),
            tmp_path / "out",
            layout="folder",
        )
    assert not (tmp_path / "out").exists()


KILLED_CONVERSION = """
import os, sys
from emodetect.cli import main
from emodetect.data.writers import convert
number, usual = int(sys.argv.pop(1)), convert._png

def killed(image):
    if image.mean() != 0:
        os.kill(os.getpid(), number)
    return usual(image)

convert._png = killed
main()
"""


@posix_only
@pytest.mark.usefixtures("hangups_arrive")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_polite_kill_leaves_no_pictures_behind(tmp_path: Path, name: str) -> None:
    """A service manager and a closed terminal end the work as Ctrl-C does."""
    for emotion, value in (("happy", 0), ("sad", 99)):
        (tmp_path / "data" / emotion).mkdir(parents=True)
        cv2.imwrite(str(tmp_path / "data" / emotion / "a.png"), np.full((48, 48), value, np.uint8))
    number = getattr(signal, name)
    words = ("data", "convert", "data", "out", "--to", "folder")
    done = run_python(KILLED_CONVERSION, int(number), *words, cwd=tmp_path)
    assert done.returncode == 128 + number
    assert done.stderr.splitlines()[-1] == "interrupted"
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_hidden_names_are_found_again(tmp_path: Path) -> None:
    """An image whose name begins with a dot is written under one that readers do not pass over."""
    data = draw(tmp_path / "data", splits=("train",))
    (data / "train" / "happy" / "0.png").rename(data / "a.png")
    rows = ["path,label", "train/happy/1.png,happy", ".a.png,happy", "train/sad/0.png,sad"]
    (data / "a.png").rename(data / ".a.png")
    (data / "rows.csv").write_text("\n".join(rows) + "\n")
    convert(source(data / "rows.csv", "manifest"), tmp_path / "out", layout="folder")
    assert len(list_samples(source(tmp_path / "out")).samples) == 3


def test_a_record_longer_than_its_file_is_told(tmp_path: Path) -> None:
    """A length of 2**60 is one line, and takes no memory."""
    shard = tmp_path / "bomb.tfrecord"
    shard.write_bytes((2**60).to_bytes(8, "little") + BOMB_CHECKSUM + b"12345678")
    with pytest.raises(DataError, match="cut short"):
        list_samples(source(shard, "tfrecord"))


def test_every_layout_can_be_chosen() -> None:
    """What --to offers is what there is."""
    from emodetect.cli.data.convert import convert as convert_command

    (option,) = (one for one in convert_command.params if one.name == "layout")
    assert set(option.type.choices) == set(LAYOUTS)  # type: ignore[attr-defined]


@pytest.mark.parametrize(("layout", "name"), [("folder", "a.csv"), ("tfrecord", "a.tfrecord")])
def test_a_folder_is_not_named_like_a_file(tmp_path: Path, layout: str, name: str) -> None:
    """The layouts of several files make no folder that looks like a file of another layout."""
    with pytest.raises(EmodetectError, match=f"expected a folder for the layout {layout}"):
        convert(source(tmp_path), tmp_path / name, layout=layout)
