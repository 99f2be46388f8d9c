"""Manifests and `data split`: who belongs to which split, on paper and again when read."""

from __future__ import annotations

import csv
import logging
import os
import shutil
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from unicodedata import normalize

import numpy as np
import pytest
from click.testing import CliRunner, Result
from pictures import save
from running import posix_only, run_emodetect, run_without

from emodetect.cli import app
from emodetect.cli.data import data
from emodetect.config import DataConfig, ExperimentConfig
from emodetect.data.cache import image_cache
from emodetect.data.dataset import SPLITS, Dataset, load_dataset, load_for_evaluation
from emodetect.data.readers.manifest import read_manifest
from emodetect.data.splits import assign_splits, connect
from emodetect.data.writers.split_manifest import SplitOptions, write_splits
from emodetect.errors import ConfigError, DataError


@pytest.fixture(autouse=True)
def stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of one test's own, for the commands too."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "stored"))
    return tmp_path / "stored"


def _save(path: Path, number: int) -> Path:
    """Write a grey picture that no other number gives."""
    picture = np.random.default_rng(number).integers(0, 256, (48, 48), dtype=np.uint8)
    return save(path, picture)


def _folder(root: Path, counts: Mapping[str, int]) -> Path:
    number = 0
    for folder, count in counts.items():
        for _ in range(count):
            _save(root / folder / f"{number:03d}.png", number)
            number += 1
    return root


def _write(path: Path, rows: Iterable[Mapping[str, object]]) -> Path:
    """Write a manifest of `rows`; pictures that are not there are drawn, by their place."""
    listed = list(rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    for number, row in enumerate(listed):
        if not (path.parent / str(row["path"])).exists():
            _save(path.parent / str(row["path"]), number)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(listed[0]))
        writer.writeheader()
        writer.writerows(listed)
    return path


def _people(count: int, **columns: object) -> list[dict[str, object]]:
    """Rows of pictures: person p0 to p9 in turn, and every person in two videos of their own."""
    return [
        {
            "path": f"{number:03d}.png",
            "label": ("happy", "sad")[number // 10 % 2],
            "person": f"p{number % 10}",
            "video": f"v{number % 20}",
            **columns,
        }
        for number in range(count)
    ]


def _split(path: Path, out: Path, **values: Any) -> Dataset:
    return write_splits(path, out, SplitOptions(**values))


def _load(path: Path, **values: Any) -> Dataset:
    return load_dataset(DataConfig(source="manifest", path=path, **values), seed=99)


def _read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _invoke(*words: object) -> Result:
    return CliRunner().invoke(app, ["data", "split", *map(str, words)])


def _sides(keys: Iterable[str], splits: Iterable[str]) -> dict[str, set[str]]:
    sides: dict[str, set[str]] = defaultdict(set)
    for key, split in zip(keys, splits, strict=True):
        sides[key].add(split)
    return sides


# --- the manifest that `data split` writes


def test_splits_of_a_folder_come_back_from_the_manifest(tmp_path: Path) -> None:
    """Training on the manifest, with any seed, has exactly the splits and labels written."""
    root = _folder(tmp_path / "faces", {"Happiness": 40, "sad": 30, "fear": 20})
    split = _split(root, tmp_path / "lists" / "splits.csv", seed=5)
    assert split.counts()["test"] == {"fear": 2, "happy": 4, "sad": 3}
    loaded = _load(tmp_path / "lists" / "splits.csv")
    assert loaded.fingerprint == split.fingerprint
    assert loaded.splits.tolist() == split.splits.tolist()
    assert loaded.carved == ()
    for there, here in zip(loaded.paths, split.paths, strict=True):
        assert (tmp_path / "lists" / there).samefile(root / here)


@posix_only
def test_names_with_line_breaks_come_back_from_the_manifest(tmp_path: Path) -> None:
    """A carriage return in a file name is no end of a row."""
    root = _folder(tmp_path / "faces", {"happy": 10, "sad": 10})
    for number, image in enumerate(sorted((root / "sad").iterdir())):
        image.rename(image.with_name(f"x\r{number}.png"))
    split = _split(root, tmp_path / "splits.csv")
    assert _load(tmp_path / "splits.csv").fingerprint == split.fingerprint


def test_the_people_of_ckplus_stay_in_one_split(tmp_path: Path) -> None:
    """The manifest has them, too, for those who split it again."""
    faces = tmp_path / "CK+48"
    for number in range(80):
        name = f"S{number // 4:03d}_{number % 4:03d}_00000001.png"
        save(faces / ("happy", "sad")[number % 2] / name, np.full((48, 48, 3), number, np.uint8))
    out = tmp_path / "ck.csv"
    _split(f"ckplus:{faces}", out)  # type: ignore[arg-type]
    rows = _read(out)
    assert {row["person"] for row in rows} == {f"S{number:03d}" for number in range(20)}
    assert len({(row["person"], row["split"]) for row in rows}) == 20


def test_numbered_class_folders_are_split_under_their_names(tmp_path: Path) -> None:
    """Only `data split` needs no source for them: it takes no other folders."""
    for number in range(60):
        place = tmp_path / "data" / str(number % 2) / f"{number}.png"
        save(place, np.full((48, 48, 3), number, np.uint8))
    named = _split(tmp_path / "data", tmp_path / "a.csv", label_names={"0": "sad", "1": "happy"})
    assert named.emotions == ("happy", "sad")


@pytest.mark.parametrize("layout", ["raf_db", "fer2013_csv"])
def test_what_has_a_reader_of_its_own_is_not_split_as_folders(tmp_path: Path, layout: str) -> None:
    """Its folders are no classes, and its columns need no other names."""
    data = tmp_path / "data"
    data.mkdir()
    if layout == "raf_db":
        for folder in ("aligned", "original"):
            save(data / "Image" / folder / "a.png", np.zeros((48, 48, 3), np.uint8))
        (data / "EmoLabel").mkdir()
        (data / "EmoLabel" / "list_patition_label.txt").write_text("train_00001.jpg 5\n")
    else:
        data = tmp_path / "fer2013.csv"
        data.write_text("emotion,pixels,Usage\n0,1 2 3,Training\n")
    with pytest.raises(DataError, match=f"got {layout}:{data}; first make class folders"):
        _split(data, tmp_path / "out.csv")


def test_a_nested_folder_comes_back_from_the_manifest(tmp_path: Path) -> None:
    """Paths lead to the images, also if a download nests the class folders."""
    root = _folder(tmp_path / "download" / "archive" / "faces", {"happy": 10, "sad": 10})
    split = _split(tmp_path / "download", tmp_path / "splits.csv")
    loaded = _load(tmp_path / "splits.csv")
    assert loaded.fingerprint == split.fingerprint
    assert {(tmp_path / path).resolve() for path in loaded.paths} == {
        *root.resolve().rglob("*.png")
    }


def test_the_splits_are_those_that_training_would_draw(tmp_path: Path) -> None:
    """`data split` writes down what training on the same data with the same seed does."""
    root = _folder(tmp_path / "faces", {"happy": 30, "sad": 30})
    trained = load_dataset(DataConfig(path=root), seed=4)
    assert _split(root, tmp_path / "s.csv", seed=4).fingerprint == trained.fingerprint
    assert _split(root, tmp_path / "t.csv", seed=5).fingerprint != trained.fingerprint


def test_the_shares_are_those_asked_for(tmp_path: Path) -> None:
    """--validation and --test are shares of all images."""
    root = _folder(tmp_path / "faces", {"happy": 40, "sad": 40})
    result = _invoke(root, "--output", tmp_path / "s.csv", "--test", 0.5, "--validation", 0.2)
    assert result.exit_code == 0
    assert result.stdout == f"{tmp_path / 's.csv'}: 32 train, 8 val, 40 test\n"
    splits = [row["split"] for row in _read(tmp_path / "s.csv")]
    assert [splits.count(name) for name in SPLITS] == [32, 8, 40]


def test_other_columns_stay_with_their_pictures(tmp_path: Path) -> None:
    """Each row keeps its other values, also behind a picture that was left out."""
    rows = [
        {**row, "note": f'"{row["path"]}", said\nshe', "": str(number)}
        for number, row in enumerate(_people(40))
    ]
    rows.insert(7, {**rows[6], "note": "the same picture again"})
    manifest = _write(tmp_path / "m.csv", rows)
    (tmp_path / "005.png").write_text("no", encoding="utf-8")
    dataset = _split(manifest, tmp_path / "s.csv")
    expected = [row for row in rows if row["path"] != "005.png"]
    found = _read(tmp_path / "s.csv")
    assert list(found[0]) == ["path", "label", "split", "person", "video", "note", ""]
    for row in found:
        assert row.pop("split") in SPLITS
    assert found == expected
    assert [file.path for file in dataset.skipped] == [str(tmp_path / "005.png")]


def test_left_out_pictures_are_counted_and_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """However many pictures are broken, the others are split, and the user is told which."""
    root = _folder(tmp_path / "faces", {"happy": 30, "sad": 30})
    for number in range(12):
        (root / "happy" / f"{number:03d}.png").write_text("no", encoding="utf-8")
    with caplog.at_level(logging.INFO, logger="emodetect"):
        result = _invoke(root, "--output", tmp_path / "s.csv")
    assert result.exit_code == 0
    assert result.stdout.endswith("; 12 unreadable, skipped\n")
    assert f"skipped {root / 'happy' / '000.png'}" in caplog.text
    assert "skipped 2 more" in caplog.text
    assert len(_read(tmp_path / "s.csv")) == 48
    assert _load(tmp_path / "s.csv").skipped == ()


def test_a_data_set_may_move_with_its_manifest(tmp_path: Path) -> None:
    """Paths are relative to the manifest, so that both can be moved together."""
    root = _folder(tmp_path / "here" / "faces", {"happy": 20, "sad": 20})
    split = _split(root, tmp_path / "here" / "splits.csv")
    shutil.move(tmp_path / "here", tmp_path / "there")
    loaded = _load(tmp_path / "there" / "splits.csv")
    assert loaded.fingerprint == split.fingerprint
    assert loaded.paths[0] == "faces/happy/000.png"


def test_a_manifest_in_a_linked_folder_finds_its_pictures(tmp_path: Path) -> None:
    """Paths lead to the pictures also where the manifest's folder is a link to another place."""
    root = _folder(tmp_path / "faces", {"happy": 20, "sad": 20})
    (tmp_path / "disk" / "deep" / "er").mkdir(parents=True)
    (tmp_path / "lists").symlink_to(tmp_path / "disk" / "deep" / "er", target_is_directory=True)
    split = _split(root, tmp_path / "lists" / "splits.csv")
    assert _load(tmp_path / "lists" / "splits.csv").fingerprint == split.fingerprint


def test_absolute_paths_stay_absolute(tmp_path: Path) -> None:
    """A manifest of absolute paths gives one of absolute paths."""
    root = _folder(tmp_path / "faces", {"happy": 20, "sad": 20})
    rows = [{"path": path, "label": path.parent.name} for path in sorted(root.rglob("*.png"))]
    _split(_write(tmp_path / "m.csv", rows), tmp_path / "lists" / "s.csv")
    assert [row["path"] for row in _read(tmp_path / "lists" / "s.csv")] == [
        str(row["path"]) for row in rows
    ]


def test_an_existing_file_is_not_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A manifest that is there already stays as it is, and is refused before the long decoding."""
    root = _folder(tmp_path / "faces", {"happy": 20, "sad": 20})
    (tmp_path / "s.csv").write_text("mine", encoding="utf-8")
    monkeypatch.delattr(image_cache, "_decode_all")
    with pytest.raises(DataError, match="already exists"):
        _split(root, tmp_path / "s.csv")
    assert (tmp_path / "s.csv").read_text(encoding="utf-8") == "mine"


def test_a_link_in_place_of_the_file_is_not_written_through(tmp_path: Path) -> None:
    """A dangling link of the manifest's name is an existing file too."""
    root = _folder(tmp_path / "faces", {"happy": 20, "sad": 20})
    (tmp_path / "s.csv").symlink_to(tmp_path / "target")
    with pytest.raises(DataError, match="already exists"):
        _split(root, tmp_path / "s.csv")
    assert not (tmp_path / "target").exists()


def test_a_name_that_no_csv_can_hold_is_told(tmp_path: Path) -> None:
    """A picture whose name is no Unicode is named, and no half a manifest is left."""
    root = _folder(tmp_path / "faces", {"happy": 20, "sad": 20})
    odd = os.fsencode(root / "sad") + b"/\xff.png"
    (root / "sad" / "020.png").rename(os.fsdecode(odd))
    with pytest.raises(DataError, match="not Unicode"):
        _split(root, tmp_path / "s.csv")
    assert not (tmp_path / "s.csv").exists()


def test_splitting_needs_no_tensorflow(tmp_path: Path) -> None:
    """`data split` runs where TensorFlow, Keras and matplotlib cannot be imported."""
    root = _folder(tmp_path / "faces", {"happy": 20, "sad": 20})
    missing = ("tensorflow", "keras", "matplotlib")
    done = run_without(missing, "data", "split", root, "--output", tmp_path / "s.csv")
    assert done.returncode == 0, done.stderr
    assert len(_read(tmp_path / "s.csv")) == 40


def test_the_options_have_the_defaults_of_a_config() -> None:
    """`data split` draws what training on the same data would draw, unless told otherwise."""
    defaults = {option.name: option.default for option in data.commands["split"].params}
    usual = SplitOptions().validation_fraction
    assert usual == DataConfig.model_fields["validation_fraction"].default
    assert defaults["test"] == DataConfig.model_fields["test_fraction"].default
    assert defaults["seed"] == ExperimentConfig.model_fields["seed"].default


# --- who belongs together


@pytest.mark.parametrize("seed", range(5))
def test_groups_never_straddle_a_split(tmp_path: Path, seed: int) -> None:
    """No person and no video of the named columns is on two sides, whatever the seed."""
    rows = _people(120)
    for row in rows[:60:20]:  # person p0 also appears in a video of p1
        row["video"] = "v1"
    manifest = _write(tmp_path / "m.csv", rows)
    dataset = _split(manifest, tmp_path / "s.csv", group=["person", "video"], seed=seed)
    found = _read(tmp_path / "s.csv")
    splits = [row["split"] for row in found]
    for column in ("person", "video"):
        assert all(len(side) == 1 for side in _sides([r[column] for r in found], splits).values())
    assert set(splits) == set(SPLITS)
    assert _load(tmp_path / "s.csv", group=("person", "video")).fingerprint == dataset.fingerprint


def test_without_groups_people_do_straddle(tmp_path: Path) -> None:
    """The columns matter only when they are named: 120 pictures of ten people are drawn singly."""
    _split(_write(tmp_path / "m.csv", _people(120)), tmp_path / "s.csv")
    found = _read(tmp_path / "s.csv")
    sides = _sides([row["person"] for row in found], [row["split"] for row in found])
    assert any(len(side) > 1 for side in sides.values())


def test_identical_pictures_stay_together_beside_groups(tmp_path: Path) -> None:
    """The same picture under two persons' names joins them: it must not be on two sides."""
    rows = _people(100)
    for number in range(0, 100, 10):  # p0 and p1 share their pictures
        _save(tmp_path / f"{number:03d}.png", number)
        _save(tmp_path / f"{number + 1:03d}.png", number)
    manifest = _write(tmp_path / "m.csv", rows)
    for seed in range(5):
        out = tmp_path / f"{seed}.csv"
        _split(manifest, out, group=["person"], seed=seed)
        found = _read(out)
        sides = _sides([row["person"] for row in found], [row["split"] for row in found])
        assert sides["p0"] == sides["p1"]


def test_spaces_around_a_name_make_no_other_person(tmp_path: Path) -> None:
    """'p1' and 'p1 ' are one person, as 'happy ' is happy."""
    rows = _people(100)
    for row in rows[::3]:
        row["person"] = f" {row['person']} "
    manifest = _write(tmp_path / "m.csv", rows)
    _split(manifest, tmp_path / "s.csv", group=["person"])
    found = _read(tmp_path / "s.csv")
    names = [row["person"].strip() for row in found]
    assert all(len(s) == 1 for s in _sides(names, [row["split"] for row in found]).values())


def test_a_group_that_straddles_given_splits_is_refused(tmp_path: Path) -> None:
    """A person with pictures in the given train and test is an error that names the person."""
    rows = [{**row, "split": "train" if i < 60 else "test"} for i, row in enumerate(_people(100))]
    manifest = _write(tmp_path / "m.csv", rows)
    with pytest.raises(DataError, match=r"person 'p0' has images in train and in test"):
        _split(manifest, tmp_path / "s.csv", group=["person"])
    assert not (tmp_path / "s.csv").exists()
    _split(manifest, tmp_path / "s.csv")


def test_pictures_without_a_split_join_their_groups_given_split(tmp_path: Path) -> None:
    """Where one picture of a person is given to test, none of that person is trained on."""
    rows = [{**row, "split": ""} for row in _people(120)]
    rows[3]["split"] = rows[14]["split"] = "test"
    rows[5]["split"] = "validation"
    manifest = _write(tmp_path / "m.csv", rows)
    dataset = _split(manifest, tmp_path / "s.csv", group=["person"])
    found = _read(tmp_path / "s.csv")
    sides = _sides([row["person"] for row in found], [row["split"] for row in found])
    assert sides["p3"] == sides["p4"] == {"test"}
    assert sides["p5"] == {"val"}
    assert dataset.counts()["test"] == {"happy": 12, "sad": 12}


def test_a_picture_between_two_given_splits_is_told(tmp_path: Path) -> None:
    """A picture whose person is in train and whose video is in test can lie nowhere."""
    rows = [{**row, "video": f"v{i}", "split": ""} for i, row in enumerate(_people(60))]
    rows[0].update(split="train")
    rows[1].update(video="shared", split="test")
    rows[10].update(video="shared")
    manifest = _write(tmp_path / "m.csv", rows)
    with pytest.raises(DataError, match=r"^\S*10\.png has no split"):
        _split(manifest, tmp_path / "s.csv", group=["person", "video"])


def test_a_copy_of_a_given_test_picture_is_not_trained_on(tmp_path: Path) -> None:
    """A picture without a split that is identical to a given test picture is a test picture."""
    rows = [{**row, "split": "test" if i >= 80 else ""} for i, row in enumerate(_people(100))]
    for number in range(5):
        _save(tmp_path / f"{number:03d}.png", 90 + number)
    for number in range(5, 100):
        _save(tmp_path / f"{number:03d}.png", number)
    _split(_write(tmp_path / "m.csv", rows), tmp_path / "s.csv")
    splits = [row["split"] for row in _read(tmp_path / "s.csv")]
    assert set(splits[:5]) == {"test"}
    assert splits.count("test") == 25


def test_copies_that_the_source_has_on_two_sides_stay_there() -> None:
    """Given splits are kept as published, even where they share pictures, as FER2013's do."""
    given = ["train", "test", None, "train", "test", "val"]
    digests = np.array([b"a", b"a", b"a", b"b", b"c", b"d"])
    splits = assign_splits(
        np.array([0, 0, 0, 1, 1, 1]),
        digests,
        given,
        validation_fraction=0.1,
        test_fraction=0.1,
        seed=0,
    )
    assert splits.tolist() == ["train", "test", "train", "train", "test", "val"]


def test_connected_columns_chain() -> None:
    """Two persons in one video, and a second video of one of them, are one group."""
    persons = ["ann", "bob", "bob", "cem", "", ""]
    videos = ["v1", "v1", "v2", "v3", "v3", "v4"]
    numbers = connect([persons, videos])
    assert len({numbers[0], numbers[1], numbers[2]}) == 1
    assert numbers[3] == numbers[4]
    assert len({numbers[0], numbers[3], numbers[5]}) == 3


def test_empty_values_and_other_columns_connect_nothing() -> None:
    """Pictures of unknown persons are no group, and neither are person 1 and video 1."""
    assert len(set(connect([["", "", ""], ["", "", ""]]).tolist())) == 3
    assert len(set(connect([["1", ""], ["", "1"]]).tolist())) == 2


def test_groups_too_large_to_share_out_are_told(tmp_path: Path) -> None:
    """Where everything hangs together, no split can be taken, and the error says why."""
    rows = _people(40, person="everybody")
    with pytest.raises(DataError, match="1 groups that must stay together"):
        _split(_write(tmp_path / "m.csv", rows), tmp_path / "s.csv", group=["person"])


# --- manifests that are read


def test_given_splits_have_many_names_and_are_kept(tmp_path: Path) -> None:
    """Training, VALID and testing are train, val and test; no picture changes sides."""
    names = {"Training": "train", " VALID": "val", "testing": "test"}
    rows = [{**row, "split": list(names)[i // 2 % 3]} for i, row in enumerate(_people(60))]
    dataset = _split(_write(tmp_path / "m.csv", rows), tmp_path / "s.csv")
    assert dataset.splits.tolist() == [names[str(row["split"])] for row in rows]
    assert [row["split"] for row in _read(tmp_path / "s.csv")] == dataset.splits.tolist()


def test_a_fraction_that_given_splits_leave_unused_is_told(tmp_path: Path) -> None:
    """Only options that were given are told, and only where the data has that split."""
    rows = [{**row, "split": ("", "test")[i // 2 % 5 == 0]} for i, row in enumerate(_people(60))]
    manifest = _write(tmp_path / "m.csv", rows)
    words = (manifest, "--output", tmp_path / "s.csv", "--force")
    told = _invoke(*words, "--test", 0.2, "--validation", 0.2).stderr
    assert f"--test is not used: {manifest} has a test split" in told
    assert "--validation is not used" not in told
    assert "is not used" not in _invoke(*words).stderr


def test_a_manifest_from_a_spreadsheet_is_read(tmp_path: Path) -> None:
    """The mark at the start of a spreadsheet's UTF-8 and its line ends are no matter."""
    manifest = _write(tmp_path / "m.csv", _people(40))
    content = manifest.read_bytes()
    manifest.write_bytes(b"\xef\xbb\xbf" + content)
    assert b"\r\n" in content
    assert len(_split(manifest, tmp_path / "s.csv").labels) == 40
    assert (tmp_path / "s.csv").read_text(encoding="utf-8").startswith("path,label,split,person")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"path,label\na.png,hapy\n", r"m\.csv, line 2: expected an emotion.*'happy'"),
        (b"path,label,split\na.png,sad,later\n", r"line 2: expected a split.*'later'"),
        (b"path,label\na.png,sad\n,sad\n", r"line 3: expected a path, got ''"),
        (b"path,label\na.png,sad,9\n", r"line 2: expected 2 values"),
        (b"path,label\na.png\n", r"line 2: expected 2 values"),
        (b"path,emotion\na.png,sad\n", r"missing: label; the first line has: path, emotion"),
        (b"", r"missing: path, label; the first line has: nothing"),
        (b"path,label,label\na.png,sad,happy\n", r"expected one column 'label', got 2"),
        (b"path,split,label,split\na.png,train,sad,test\n", r"expected one column 'split', got 2"),
        (b"path,label\n", r"no labelled image"),
        ("path,label\né.png,sad\n".encode("latin-1"), r"m\.csv: expected a csv file in UTF-8"),
        (b'path,label\n"' + b"a" * 200_000 + b'",sad\n', r"m\.csv: expected a csv file: "),
    ],
    ids=lambda value: "" if isinstance(value, bytes) else value[:30],
)
def test_a_manifest_with_a_fault_is_told_with_its_line(
    tmp_path: Path, content: bytes, message: str
) -> None:
    """A fault in a manifest is an error that names the file, the line and what was expected."""
    (tmp_path / "m.csv").write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        _split(tmp_path / "m.csv", tmp_path / "s.csv")
    assert str(tmp_path / "m.csv") in str(caught.value)
    assert not (tmp_path / "s.csv").exists()


def test_a_missing_manifest_is_told(tmp_path: Path) -> None:
    """A PATH that is not there is named."""
    with pytest.raises(DataError, match=f"{tmp_path / 'm.csv'}: no such file"):
        _split(tmp_path / "m.csv", tmp_path / "s.csv")


def test_pictures_that_are_not_there_are_told(tmp_path: Path) -> None:
    """A manifest none of whose pictures exist, as from a wrong folder, is an error naming one."""
    manifest = _write(tmp_path / "m.csv", _people(20))
    manifest.rename(tmp_path / "stored.csv")
    (tmp_path / "moved").mkdir()
    moved = shutil.move(tmp_path / "stored.csv", tmp_path / "moved" / "m.csv")
    with pytest.raises(DataError, match=r"20 of 20.*000\.png: no such file"):
        _split(Path(moved), tmp_path / "s.csv")


def test_an_unknown_group_is_told(tmp_path: Path) -> None:
    """A --group that the manifest lacks is named, beside the columns there are."""
    manifest = _write(tmp_path / "m.csv", _people(20))
    with pytest.raises(DataError, match=r"missing: actor; .*label, person, video"):
        _split(manifest, tmp_path / "s.csv", group=["actor"])


def test_a_group_of_a_folder_is_refused(tmp_path: Path) -> None:
    """Folders have no columns, so --group with one is a usage error and not ignored."""
    root = _folder(tmp_path / "faces", {"happy": 20, "sad": 20})
    result = _invoke(root, "--output", tmp_path / "s.csv", "--group", "person")
    assert result.exit_code == 2
    assert "--group" in result.stderr
    assert "is a folder" in result.stderr
    assert not (tmp_path / "s.csv").exists()


def test_another_suffix_is_refused(tmp_path: Path) -> None:
    """--output faces.xlsx would be no spreadsheet, so it is a usage error."""
    root = _folder(tmp_path / "faces", {"happy": 20, "sad": 20})
    assert _invoke(root, "--output", tmp_path / "s.xlsx").exit_code == 2


@pytest.mark.parametrize(
    "values",
    [
        {"test_fraction": 0.0},
        {"validation_fraction": 1.0},
        {"test_fraction": float("nan")},
        {"test_fraction": 0.6, "validation_fraction": 0.6},
    ],
)
def test_shares_that_cannot_be_are_refused(tmp_path: Path, values: dict[str, float]) -> None:
    """Shares are checked as in a config: more than nothing, and less than all together."""
    root = _folder(tmp_path / "faces", {"happy": 20, "sad": 20})
    with pytest.raises(ConfigError, match="fraction"):
        _split(root, tmp_path / "s.csv", **values)


def test_labels_in_chinese_need_their_names(tmp_path: Path) -> None:
    """高兴 is refused with a hint to data.label_names, and is happy once it is named there."""
    chinese = {"happy": "高兴", "sad": "难过"}
    rows = [{**row, "label": chinese[str(row["label"])]} for row in _people(40)]
    manifest = _write(tmp_path / "表情.csv", rows)
    with pytest.raises(DataError, match=r"line 2: .*'高兴'.*data\.label_names = \{\"高兴\""):
        _load(manifest)
    named = _load(manifest, label_names={"高兴": "Happiness", "难过": "sad"})
    assert named.emotions == ("happy", "sad")
    plain = _load(_write(tmp_path / "plain.csv", _people(40)))
    assert np.array_equal(named.labels, plain.labels)


def test_a_manifest_to_judge_on_has_its_own_splits_only(tmp_path: Path) -> None:
    """Evaluation splits nothing: rows without a split have none, the others keep theirs."""
    rows = [{**row, "split": "test" if i < 7 else ""} for i, row in enumerate(_people(20))]
    config = DataConfig(source="manifest", path=_write(tmp_path / "m.csv", rows))
    assert load_for_evaluation(config).splits.tolist() == ["test"] * 7 + [""] * 13


def test_the_order_of_the_rows_does_not_matter(tmp_path: Path) -> None:
    """A manifest that was sorted otherwise gives each group the same split."""
    rows = _people(60)
    first = _load(_write(tmp_path / "first.csv", rows), group=("person",))
    second = _load(_write(tmp_path / "second.csv", rows[::-1]), group=("person",))
    assert dict(zip(first.paths, first.splits, strict=True)) == dict(
        zip(second.paths, second.splits, strict=True)
    )
    assert first.order != second.order


def test_groups_with_nothing_to_train_on_are_told(tmp_path: Path) -> None:
    """A manifest of test images alone is one clear error, with groups as without."""
    manifest = _write(tmp_path / "test.csv", _people(40, split="test"))
    for group in ((), ("person",)):
        with pytest.raises(DataError, match="no image is left"):
            _load(manifest, group=group)


def test_labels_by_other_names_are_named_to_the_command(tmp_path: Path) -> None:
    """`data split --label-name` reads labels that are no emotions' names."""
    rows = [{**row, "label": "01"[row["label"] == "sad"]} for row in _people(40)]
    manifest = _write(tmp_path / "numbers.csv", rows)
    refused = _invoke(manifest, "--output", tmp_path / "out.csv")
    assert "--label-name 0=EMOTION" in str(refused.exception)
    names = ("--label-name", "0=happy", "--label-name", "1=sad")
    done = _invoke(manifest, "--output", tmp_path / "out.csv", *names)
    assert done.exit_code == 0, done.output
    assert {row["label"] for row in _read(tmp_path / "out.csv")} == {"happy", "sad"}


def test_images_that_cannot_be_read_are_named_if_the_others_are_too_few(tmp_path: Path) -> None:
    """They may be why a split cannot be drawn."""
    root = _folder(tmp_path / "faces", {"happy": 10, "sad": 1})
    for number in range(3):
        (root / "sad" / f"bad{number}.png").write_bytes(b"no image")
    refused = run_emodetect("data", "split", root, "--output", tmp_path / "out.csv")
    assert refused.returncode == 1
    assert f"skipped {root}/sad/bad0.png: not an image" in refused.stderr
    assert "the rarest emotion has only 1" in refused.stderr


def test_a_manifest_is_replaced_only_by_force(tmp_path: Path) -> None:
    """--force replaces an earlier manifest, but never the one that is being split."""
    manifest, out = _write(tmp_path / "people.csv", _people(40)), tmp_path / "out.csv"
    out.write_text("mine")
    refused = _invoke(manifest, "--output", out)
    assert "already exists; choose another file, or add --force" in str(refused.exception)
    assert out.read_text() == "mine"
    assert _invoke(manifest, "--output", out, "--force").exit_code == 0
    assert len(_read(out)) == 40
    before = manifest.read_bytes()
    refused = _invoke(manifest, "--output", manifest, "--force")
    assert "is the data to be split" in str(refused.exception)
    assert manifest.read_bytes() == before


@pytest.mark.parametrize(
    ("column", "values", "told"),
    [
        ("subset", ("Training", "test", ""), "the column subset (Training, test) is not used"),
        ("subset", ("train", "train", "train"), ""),  # divides nothing
        ("kind", ("train", "test", "bus"), ""),
        ("split", ("train", "test", ""), ""),
    ],
)
def test_splits_in_a_column_of_another_name_are_told(
    tmp_path: Path, column: str, values: tuple[str, ...], told: str
) -> None:
    """Otherwise the images that someone kept for testing would be trained on without a word."""
    rows = [
        {"path": f"{number}.png", "label": "happy", "subset_of": "all", column: value}
        for number, value in enumerate(values)
    ]
    listing = read_manifest(
        DataConfig(source="manifest", path=_write(tmp_path / "faces.csv", rows))
    )
    notes = [note for note in listing.notes if "is not used" in note]
    assert len(notes) == bool(told)
    assert told in "".join(notes)


def test_a_name_in_two_encodings_is_one_person(tmp_path: Path) -> None:
    """A list merged from a Mac and another computer has é as two characters and as one."""
    spellings = [normalize(form, "Zoé") for form in ("NFC", "NFD")]
    rows = _people(60)
    for number, row in enumerate(rows):
        row["persón"] = f"{spellings[number // 10 % 2]} {number % 10}"
    path = _write(tmp_path / "faces.csv", rows)
    column = normalize("NFD", "persón")
    dataset = _split(path, tmp_path / "split.csv", group=(column,))
    people = [str(row[normalize("NFC", "persón")])[-1] for row in rows]
    assert all(len(splits) == 1 for splits in _sides(people, dataset.splits).values())
    listing = read_manifest(DataConfig(source="manifest", path=path, slice_by=(column,)))
    assert len({sample.traits for sample in listing.samples}) == 10


def test_decimal_commas_stay_readable(tmp_path: Path) -> None:
    """A list with semicolons gets a manifest with semicolons, which a number like 0,5 needs."""
    rows = _people(60, happy="0,8", sad="0,2")
    path = _write(tmp_path / "faces.csv", rows)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=";")
        writer.writeheader()
        writer.writerows(rows)
    _split(path, tmp_path / "split.csv")
    weights = _load(tmp_path / "split.csv", soft_labels=True).targets
    np.testing.assert_allclose(weights, np.tile([0.8, 0.2], (60, 1)), atol=1e-6)
