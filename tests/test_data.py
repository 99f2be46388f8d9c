"""Data sets: what is read, what is refused, who belongs to which split, what is cached."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from archives import encrypt
from pictures import save
from running import posix_only

from emodetect.config import DataConfig
from emodetect.data import crops
from emodetect.data.cache import image_cache
from emodetect.data.cache.image_cache import load_images
from emodetect.data.dataset import Dataset, load_dataset, load_for_evaluation
from emodetect.data.listing import Listing, Sample
from emodetect.data.readers.registry import list_samples
from emodetect.data.splits import assign_splits
from emodetect.errors import DataError, ImageError


def _picture(number: int) -> np.ndarray:
    """A 32 x 32 grey picture that no other number gives."""
    return np.random.default_rng(number).integers(0, 256, (32, 32), dtype=np.uint8)


def _save(path: Path, number: int) -> None:
    save(path, _picture(number))


def _make(root: Path, counts: Mapping[str, int], *, first: int = 0) -> Path:
    """Write `counts` different pictures into each folder below `root`."""
    number = first
    for folder, count in counts.items():
        (root / folder).mkdir(parents=True, exist_ok=True)
        for _ in range(count):
            _save(root / folder / f"{number:04d}.png", number)
            number += 1
    return root


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """A cache folder of one test's own."""
    return tmp_path / "cache"


def _config(path: Path, stored: Path, **values: Any) -> DataConfig:
    return DataConfig(path=path, cache_dir=stored, image_size=32, **values)


def _list(path: Path, **values: Any) -> Listing:
    return list_samples(DataConfig(path=path, **values))


def _members(dataset: Dataset, split: str) -> set[str]:
    return set(dataset.paths[dataset.indices(split)].tolist())


# --- the folder reader


def test_class_folders_give_the_labels(tmp_path: Path) -> None:
    """A folder of class folders is read with the folders' names as labels and no split."""
    listing = _list(_make(tmp_path, {"sad": 2, "happy": 3}))
    assert listing.emotions == ("happy", "sad")
    assert [(sample.emotion, sample.split) for sample in listing.samples].count(
        ("happy", None)
    ) == 3
    assert {sample.name for sample in listing.samples} == {
        "sad/0000.png",
        "sad/0001.png",
        "happy/0002.png",
        "happy/0003.png",
        "happy/0004.png",
    }


def test_split_folders_give_the_splits(tmp_path: Path) -> None:
    """train, validation and test folders, under any of their names, become the splits."""
    counts = {"Training/happy": 3, "Training/sad": 2, "valid/happy": 1, "valid/sad": 1}
    listing = _list(_make(tmp_path, {**counts, "TEST/happy": 2, "TEST/sad": 4}))
    found = [(sample.split, sample.emotion) for sample in listing.samples]
    assert found.count(("train", "happy")) == 3
    assert found.count(("val", "sad")) == 1
    assert found.count(("test", "sad")) == 4
    assert len(found) == 13


@pytest.mark.parametrize(
    ("inner", "words"),
    [
        ("sad", "would count as happy.* If they are sad, move"),
        ("set 1/Surprise", "If they are surprise, move"),
        ("Fury", "If they are angry, move"),
        ("train", "expected train/happy"),
        ("Test set", "expected test/happy"),
    ],
)
def test_a_class_or_split_folder_in_a_class_folder_is_refused(
    tmp_path: Path, inner: str, words: str
) -> None:
    """One moved by mistake would give its images the label of the folder that it is now in."""
    _make(tmp_path, {"happy": 2, f"happy/{inner}": 2, "anger": 2, "angry": 2})
    with pytest.raises(DataError, match=words) as refused:
        _list(tmp_path, label_names={"fury": "angry"})
    assert str(refused.value).startswith(f"{tmp_path / 'happy' / inner}: ")


def test_folders_of_people_may_have_any_name(tmp_path: Path) -> None:
    """A download unpacked twice, and Joy, Val and Dev, are no other class and no split."""
    inner = ("happy", "Joy", "Val/1", "Dev", "3")
    _make(tmp_path, {"sad": 1, **{f"happy/{name}": 1 for name in inner}})
    listing = _list(tmp_path, label_names={"3": "sad"})
    assert [one.emotion for one in listing.samples].count("happy") == len(inner)
    _make(tmp_path / "own", {"female": 1, "female/happy": 1, "male": 1})
    own = _list(tmp_path / "own", labels="own")
    assert [one.emotion for one in own.samples].count("female") == 2


def test_pictures_in_deeper_folders_belong_to_the_class(tmp_path: Path) -> None:
    """Folders inside a class folder are searched, so that nobody's pictures are lost."""
    listing = _list(_make(tmp_path, {"happy/session 1": 2, "happy/session 2/a": 1, "sad": 1}))
    assert [sample.emotion for sample in listing.samples].count("happy") == 3


def test_folders_may_be_named_by_aliases(tmp_path: Path) -> None:
    """Happiness, ANGER and sadness are the emotions happy, angry and sad."""
    listing = _list(_make(tmp_path, {"Happiness": 1, "ANGER": 1, "sadness": 1}))
    assert listing.emotions == ("angry", "happy", "sad")


def test_two_folders_of_one_emotion_are_joined(tmp_path: Path) -> None:
    """joy beside happy gives one class with the pictures of both."""
    listing = _list(_make(tmp_path, {"joy": 2, "happy": 3, "sad": 1}))
    assert listing.emotions == ("happy", "sad")
    assert [sample.emotion for sample in listing.samples].count("happy") == 5


def test_an_unknown_folder_is_told_with_its_path(tmp_path: Path) -> None:
    """A class folder of unknown name is named in full, with the emotion probably meant."""
    _make(tmp_path, {"hapy": 1, "sad": 1})
    with pytest.raises(DataError) as caught:
        _list(tmp_path)
    assert str(tmp_path / "hapy") in str(caught.value)
    assert "'happy'" in str(caught.value)


def test_a_folder_in_another_script_is_told(tmp_path: Path) -> None:
    """A folder called 高兴 is refused as an unknown emotion, with its name readable."""
    _make(tmp_path, {"高兴": 1, "sad": 1})
    with pytest.raises(DataError, match="高兴"):
        _list(tmp_path)


def test_letters_outside_ascii_above_the_classes_are_no_matter(
    tmp_path: Path, stored: Path
) -> None:
    """A data set below a folder called 表情 is read, and so are its pictures."""
    root = _make(tmp_path / "表情 é", {"happy": 3, "sad": 3})
    dataset = load_for_evaluation(_config(root, stored))
    assert len(dataset.labels) == 6


def test_an_empty_class_is_told(tmp_path: Path) -> None:
    """A class folder without a picture is an error that names it."""
    _make(tmp_path, {"happy": 2, "sad": 0})
    with pytest.raises(DataError, match=str(tmp_path / "sad")):
        _list(tmp_path)


def test_a_missing_folder_is_told(tmp_path: Path) -> None:
    """A data.path that is not there, or is a file, is named."""
    with pytest.raises(DataError, match="no such folder"):
        _list(tmp_path / "nowhere")
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(DataError, match=str(tmp_path / "file")):
        _list(tmp_path / "file")


@pytest.mark.parametrize("folder", [".", "train", ".hidden"])
def test_a_folder_without_classes_is_told(tmp_path: Path, folder: str) -> None:
    """An empty folder, an empty split, or hidden folders alone are no data set."""
    (tmp_path / folder).mkdir(exist_ok=True)
    with pytest.raises(DataError, match="no class folder found"):
        _list(tmp_path)


def test_pictures_beside_the_class_folders_are_not_lost_in_silence(tmp_path: Path) -> None:
    """Pictures that lie outside every class folder are counted as left out."""
    _make(tmp_path, {"happy": 1, "sad": 1, ".": 3})
    listing = _list(tmp_path)
    assert len(listing.samples) == 2
    assert sum(listing.left_out.values()) == 3


def test_one_class_cannot_be_trained_on(tmp_path: Path, stored: Path) -> None:
    """Training on pictures of a single emotion is refused; judging on them is not."""
    config = _config(_make(tmp_path, {"happy": 20}), stored)
    with pytest.raises(DataError, match="two emotions"):
        load_dataset(config, seed=0)
    assert len(load_for_evaluation(config).labels) == 20


def test_a_subset_of_classes_leaves_the_others_out(tmp_path: Path) -> None:
    """data.classes keeps the named emotions, in the order named, and counts what it drops."""
    _make(tmp_path, {"angry": 4, "happy": 2, "sad": 3})
    listing = _list(tmp_path, classes=("sad", "happy"))
    assert listing.emotions == ("sad", "happy")
    assert len(listing.samples) == 5
    assert listing.left_out == {"emotion outside data.classes: angry": 4}


def test_a_wanted_class_that_is_not_there_is_told(tmp_path: Path) -> None:
    """data.classes naming an emotion without pictures is an error that names it."""
    _make(tmp_path, {"happy": 2, "sad": 3})
    with pytest.raises(DataError, match="fear"):
        _list(tmp_path, classes=("happy", "fear"))


def test_split_folders_beside_class_folders_are_refused(tmp_path: Path) -> None:
    """train/ next to happy/ is ambiguous and told with both names."""
    _make(tmp_path, {"train/happy": 1, "sad": 1})
    with pytest.raises(DataError, match="both") as caught:
        _list(tmp_path)
    assert "'sad'" in str(caught.value)
    assert "'train'" in str(caught.value)


def test_other_files_are_counted(tmp_path: Path) -> None:
    """Files that are no pictures by their suffix are left out and counted; hidden ones are not."""
    _make(tmp_path, {"happy": 2, "sad": 2})
    for name in ("happy/notes.txt", "sad/labels.csv", "sad/photo.svg"):
        (tmp_path / name).write_text("text", encoding="utf-8")
    (tmp_path / "sad" / ".DS_Store").write_text("", encoding="utf-8")
    listing = _list(tmp_path)
    assert len(listing.samples) == 4
    assert sum(listing.left_out.values()) == 3


def test_unreadable_pictures_are_skipped_and_named(tmp_path: Path, stored: Path) -> None:
    """A broken file is left out with its reason, and every other keeps its own label."""
    _make(tmp_path / "faces", {"happy": 20, "sad": 20})
    broken = tmp_path / "faces" / "happy" / "0003.png"
    broken.write_bytes(broken.read_bytes()[:100])
    dataset = load_for_evaluation(_config(tmp_path / "faces", stored))
    assert len(dataset.labels) == 39
    assert [file.path for file in dataset.skipped] == [str(broken)]
    assert "cut short" in dataset.skipped[0].reason
    assert "happy/0003.png" not in dataset.paths
    for path, label, image in zip(dataset.paths, dataset.labels, dataset.images, strict=True):
        folder, name = path.split("/")
        assert dataset.emotions[label] == folder
        assert np.array_equal(image[..., 0], _picture(int(name[:4])))


@posix_only
def test_a_link_that_leads_nowhere_hides_no_class_folder(tmp_path: Path) -> None:
    """To itself, through a file, or to no possible name: `is_dir` raises for such a link."""
    _make(tmp_path, {"happy": 2, "sad": 2})
    (tmp_path / "notes.txt").touch()
    for name, target in (("a", "a"), ("b", "notes.txt/old"), ("c", "c" * 300)):
        (tmp_path / name).symlink_to(target)
    assert len(_list(tmp_path).samples) == 4


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (PermissionError(errno.EACCES, "Permission denied"), "cannot be read: Permission denied"),
        (OSError(errno.EIO, "Input/output error"), "cannot be read: Input/output error"),
        (MemoryError(), "too large to be decoded safely"),
        (ImageError("HEIC needs pi-heif; pip install pi-heif"), "HEIC needs pi-heif"),
    ],
)
def test_an_image_that_was_skipped_is_tried_again(
    error: Exception, reason: str, tmp_path: Path, stored: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A permission, a network drive, memory or a library may be there now; the file is the same."""
    root = _make(tmp_path / "faces", {"happy": 20, "sad": 20})
    refused = root / "happy" / "0003.png"
    read, reads = Path.read_bytes, list[Path]()

    def refuse(path: Path) -> bytes:
        reads.append(path)
        if path == refused:
            raise error
        return read(path)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "read_bytes", refuse)
        for _ in range(2):
            monkeypatch.setattr(image_cache, "_loaded_before", set())  # as in a process of its own
            (skipped,) = _load(root, stored).skipped
            assert skipped.reason.startswith(reason)
        assert len(reads) == 40 + 1  # no other image is decoded again
    assert len(_load(root, stored).skipped) == 1  # what this process uses does not change
    monkeypatch.setattr(image_cache, "_loaded_before", set())
    assert len(load_images(root, _samples(root), _config(root, stored), retry=False).skipped) == 1
    assert len(_load(root, stored).skipped) == 1
    monkeypatch.setattr(image_cache, "_loaded_before", set())
    assert _load(root, stored).skipped == ()


def test_a_cache_that_another_process_removes_is_made_again(
    tmp_path: Path, stored: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whenever it does so, as with `emodetect data cache --clear`."""
    root = _make(tmp_path / "faces", {"happy": 3})
    first = _load(root, stored)
    usual, left = image_cache._opened, [2]

    def opened(folder: Path, shape: tuple[int, int, int]) -> image_cache.ImageCache:
        if left[0]:
            left[0] -= 1
            shutil.rmtree(folder)
        return usual(folder, shape)

    monkeypatch.setattr(image_cache, "_opened", opened)
    again = _load(root, stored)
    assert np.array_equal(again.images[:], first.images[:])
    left[0] = 100
    with pytest.raises(DataError, match="changes as soon as it is written"):
        _load(root, stored)


def test_too_many_unreadable_pictures_are_an_error(tmp_path: Path, stored: Path) -> None:
    """More broken files than data.max_unreadable_fraction stop the run and name one."""
    _make(tmp_path / "faces", {"happy": 10, "sad": 10})
    for number in (2, 3):
        (tmp_path / "faces" / "happy" / f"{number:04d}.png").write_text("no", encoding="utf-8")
    with pytest.raises(DataError, match=r"2 of 20.*max_unreadable_fraction") as caught:
        load_for_evaluation(_config(tmp_path / "faces", stored))
    assert "0002.png" in str(caught.value)
    allowed = _config(tmp_path / "faces", stored, max_unreadable_fraction=0.1)
    assert len(load_for_evaluation(allowed).labels) == 18


def test_a_class_of_broken_pictures_alone_is_told(tmp_path: Path, stored: Path) -> None:
    """An emotion of which no picture can be read stops the training, and is named."""
    _make(tmp_path / "faces", {"happy": 30, "sad": 30, "fear": 2})
    for file in (tmp_path / "faces" / "fear").iterdir():
        file.write_text("no", encoding="utf-8")
    with pytest.raises(DataError, match="fear"):
        load_dataset(_config(tmp_path / "faces", stored), seed=0)


def test_a_set_of_broken_pictures_alone_is_told(tmp_path: Path, stored: Path) -> None:
    """Where nothing can be read and everything is allowed to be, the error still is clear."""
    for number in range(3):
        for emotion in ("happy", "sad"):
            file = tmp_path / "faces" / emotion / f"{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("no", encoding="utf-8")
    config = _config(tmp_path / "faces", stored, max_unreadable_fraction=0.99)
    with pytest.raises(DataError, match="6 of 6"):
        load_dataset(config, seed=0)


def test_a_link_to_a_folder_above_is_no_endless_search(tmp_path: Path) -> None:
    """A class folder that links to its own data set ends the search like any other."""
    _make(tmp_path, {"happy": 2, "sad": 2})
    (tmp_path / "happy" / "round").symlink_to(tmp_path, target_is_directory=True)
    assert len(_list(tmp_path).samples) == 4


def test_a_link_that_leads_nowhere_is_named(tmp_path: Path, stored: Path) -> None:
    """A dangling link is skipped and named like any picture that cannot be read."""
    _make(tmp_path / "faces", {"happy": 15, "sad": 15})
    dangling = tmp_path / "faces" / "happy" / "gone.png"
    dangling.symlink_to(tmp_path / "nowhere.png")
    dataset = load_for_evaluation(_config(tmp_path / "faces", stored))
    assert len(dataset.labels) == 30
    assert [file.path for file in dataset.skipped] == [str(dangling)]


def test_a_file_name_outside_unicode_is_read(tmp_path: Path, stored: Path) -> None:
    """A picture whose name holds bytes that are no UTF-8 is a picture like any other."""
    _make(tmp_path / "faces", {"happy": 3, "sad": 3})
    odd = os.fsencode(tmp_path / "faces" / "sad") + b"/\xff\xfe.png"
    Path(os.fsdecode(odd)).write_bytes((tmp_path / "faces/sad/0003.png").read_bytes())
    assert len(load_for_evaluation(_config(tmp_path / "faces", stored)).labels) == 7


# --- splits


def _assign(labels: np.ndarray, given: list[str | None] | None = None, **values: Any) -> np.ndarray:
    digests = values.pop("digests", np.array([f"{i:032d}" for i in range(len(labels))]))
    settings = {"validation_fraction": 0.1, "test_fraction": 0.2, "seed": 0, **values}
    return assign_splits(labels, digests, given or [None] * len(labels), **settings)


def test_splits_keep_the_shares_of_the_emotions() -> None:
    """Of 300 and 100 pictures, test takes 60 and 20, validation a tenth of the remaining."""
    labels = np.repeat([0, 1], [300, 100])
    splits = _assign(labels)
    counts = {
        (split, label): int(np.sum((splits == split) & (labels == label)))
        for split in ("train", "val", "test")
        for label in (0, 1)
    }
    assert counts == {
        ("test", 0): 60,
        ("test", 1): 20,
        ("val", 0): 24,
        ("val", 1): 8,
        ("train", 0): 216,
        ("train", 1): 72,
    }


def test_splits_are_a_function_of_the_seed() -> None:
    """The same seed gives the same splits, another seed others."""
    labels = np.repeat([0, 1, 2], 40)
    assert np.array_equal(_assign(labels, seed=3), _assign(labels, seed=3))
    assert not np.array_equal(_assign(labels, seed=3), _assign(labels, seed=4))


def test_identical_pictures_lie_in_one_split() -> None:
    """Copies of a picture are never on two sides, which would flatter every figure."""
    labels = np.repeat([0, 1], 120)
    digests = np.array([f"{i // 4:032d}" for i in range(240)])
    splits = _assign(labels, digests=digests)
    for digest in np.unique(digests):
        assert len(set(splits[digests == digest])) == 1
    assert set(splits) == {"train", "val", "test"}


def test_no_copy_of_a_given_validation_image_is_drawn_for_testing() -> None:
    """It would be evaluated with what has chosen the epoch."""
    labels = np.arange(200) % 2
    digests = np.array([f"{number % 100}" for number in range(200)])  # each twice
    given = ["train"] * 100 + ["val"] * 50 + ["train"] * 50
    splits = assign_splits(
        labels, digests, given, validation_fraction=None, test_fraction=0.2, seed=0
    )
    tested = digests[splits == "test"]
    assert len(tested)
    assert not set(tested) & set(digests[splits == "val"])
    # With groups of ten, one image of each fifth group is a copy: all of the group stays.
    groups = np.arange(200) // 10
    digests = np.array([f"{number}" for number in range(200)])
    digests[:100:50] = digests[100:102]
    splits = assign_splits(
        labels, digests, given, validation_fraction=None, test_fraction=0.2, seed=0, groups=groups
    )
    tested = splits == "test"
    assert tested.any()
    assert not set(groups[tested]) & set(groups[splits == "train"])
    assert not {0, 5} & set(groups[tested])


def test_given_splits_are_kept() -> None:
    """Pictures that the source calls test stay test, and no other joins or leaves them."""
    labels = np.tile([0, 1], 60)
    given: list[str | None] = ["train"] * 80 + ["test"] * 40
    splits = _assign(labels, given)
    assert (splits[80:] == "test").all()
    assert set(splits[:80]) == {"train", "val"}
    assert np.sum(splits == "val") == 8


def test_given_validation_is_kept_too() -> None:
    """Where the source has all three splits, nothing is drawn at all."""
    labels = np.tile([0, 1], 30)
    given: list[str | None] = ["train"] * 20 + ["val"] * 20 + ["test"] * 20
    assert _assign(labels, given).tolist() == given


def test_too_few_pictures_to_split_are_told() -> None:
    """One picture of an emotion cannot be shared out: more are needed, no other fraction."""
    with pytest.raises(DataError, match="the rarest emotion has only 1, but needs 2 or more"):
        _assign(np.array([0, 0, 0, 0, 0, 0, 1]))


@pytest.mark.parametrize(("fraction", "limit"), [(0.1, "or more"), (0.9, "or less")])
def test_a_fraction_that_cannot_be_drawn_is_told_with_one_that_can(
    fraction: float, limit: str
) -> None:
    """A test split without room for each emotion names a fraction, which then works."""
    labels = np.array([0, 0, 0, 1, 1, 1, 1])
    with pytest.raises(DataError, match=limit) as error:
        _assign(labels, test_fraction=fraction)
    setting = "data.test_fraction (data split: --test) to "
    works = float(str(error.value).partition(setting)[2].split()[0])
    if limit == "or less":  # nothing is left to validate on
        with pytest.raises(DataError, match="cannot draw a val split"):
            _assign(labels, test_fraction=works)
    else:
        splits = _assign(labels, test_fraction=works, validation_fraction=0.5)
        assert set(labels[splits == "test"]) == {0, 1}


def test_no_training_picture_is_also_in_the_given_test(tmp_path: Path, stored: Path) -> None:
    """A given test split survives load_dataset picture by picture."""
    root = _make(tmp_path / "faces", {f"train/{name}": 30 for name in ("happy", "sad")})
    _make(root, {f"test/{name}": 6 for name in ("happy", "sad")}, first=500)
    dataset = load_dataset(_config(root, stored), seed=1)
    assert _members(dataset, "test") == {p for p in dataset.paths if p.startswith("test/")}
    assert len(dataset.indices("test")) == 12
    # Of 60 images a fifth: a tenth would be too few to validate on.
    assert dataset.counts()["val"] == {"happy": 6, "sad": 6}


def test_evaluation_does_not_split(tmp_path: Path, stored: Path) -> None:
    """Images to judge on keep their source's split, or have none; all of them are there."""
    flat = _make(tmp_path / "flat", {"happy": 3, "sad": 3})
    assert set(load_for_evaluation(_config(flat, stored)).splits) == {""}
    split = _make(tmp_path / "split", {"train/happy": 3, "test/happy": 2})
    dataset = load_for_evaluation(_config(split, stored))
    assert len(dataset.indices("train")) == 3
    assert len(dataset.indices("test")) == 2
    assert len(dataset.indices("all")) == 5


# --- the cache


def _no_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: Path) -> np.ndarray:
        raise AssertionError(f"{path} was decoded again")

    monkeypatch.setattr(crops, "read_image", fail)


def _samples(root: Path) -> list[Sample]:
    names = [path.relative_to(root).as_posix() for path in sorted(root.rglob("*.png"))]
    return [Sample(name, name, "happy", None) for name in names]


def _load(root: Path, stored: Path, **values: Any) -> image_cache.ImageCache:
    config = _config(root, stored).model_copy(update=values)
    return load_images(root, _samples(root), config)


def test_a_second_load_decodes_nothing(
    tmp_path: Path, stored: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was decoded once is read from the cache, with the same pixels."""
    root = _make(tmp_path / "faces", {"happy": 5, "sad": 5})
    first = _load(root, stored)
    _no_decoding(monkeypatch)
    second = _load(root, stored)
    assert np.array_equal(first.images[:], second.images[:])
    assert np.array_equal(first.rows, second.rows)


def test_a_changed_file_is_decoded_anew(tmp_path: Path, stored: Path) -> None:
    """A picture that was replaced shows its new pixels at the next load."""
    root = _make(tmp_path / "faces", {"happy": 3})
    _load(root, stored)
    _save(root / "happy" / "0001.png", 77)
    os.utime(root / "happy" / "0001.png", ns=(1, 1))
    assert np.array_equal(_load(root, stored).images[1, ..., 0], _picture(77))


def test_swapped_files_are_decoded_anew(tmp_path: Path, stored: Path) -> None:
    """Files of one size and time, as an archive restores them, that changed places are noticed."""
    root = _make(tmp_path / "faces", {"happy": 2})
    files = [root / "happy" / f"000{number}.png" for number in range(2)]
    for file in files:
        file.write_bytes(file.read_bytes().ljust(4000, b"\0"))
        os.utime(file, ns=(1, 1))
    _load(root, stored)
    files[0].rename(root / "other")
    files[1].rename(files[0])
    (root / "other").rename(files[1])
    assert np.array_equal(_load(root, stored).images[0, ..., 0], _picture(1))


def test_other_settings_are_another_cache(tmp_path: Path, stored: Path) -> None:
    """Asking for another size or colour mode never returns the pixels of the first."""
    root = _make(tmp_path / "faces", {"happy": 3})
    assert _load(root, stored).images.shape == (3, 32, 32, 1)
    assert _load(root, stored, color="rgb").images.shape == (3, 32, 32, 3)
    assert _load(root, stored, image_size=24).images.shape == (3, 24, 24, 1)


@pytest.mark.parametrize("member", ["images.bin", "index.npz", "left_out.json"])
@pytest.mark.parametrize("damage", ["removed", "emptied", "halved", "altered"])
def test_a_damaged_cache_is_not_used(
    tmp_path: Path, stored: Path, member: str, damage: str
) -> None:
    """A cache whose files are missing, cut short or altered is made anew with the right pixels."""
    root = _make(tmp_path / "faces", {"happy": 4})
    _load(root, stored)
    (folder,) = stored.glob("images-*")
    file = folder / member
    content = file.read_bytes()
    if damage == "removed":
        file.unlink()
    elif damage == "altered":
        middle = len(content) // 2
        file.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
    else:
        file.write_bytes(content[: 0 if damage == "emptied" else len(content) // 2])
    loaded = _load(root, stored)
    assert [np.array_equal(loaded.images[i, ..., 0], _picture(i)) for i in range(4)] == [True] * 4
    assert loaded.skipped == ()


def test_a_cache_that_looks_encrypted_is_not_used(tmp_path: Path, stored: Path) -> None:
    """Damage may look like encryption, for which zipfile has no error of its own."""
    root = _make(tmp_path / "faces", {"happy": 4})
    _load(root, stored)
    (index,) = stored.glob("images-*/index.npz")
    encrypt(index)
    assert np.array_equal(_load(root, stored).images[3, ..., 0], _picture(3))


def test_an_interrupted_decoding_leaves_nothing_to_trust(
    tmp_path: Path, stored: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C half way through decoding leaves no cache, and the next load is complete."""
    root = _make(tmp_path / "faces", {"happy": 6})

    def interrupt(path: Path) -> np.ndarray:
        if path.name == "0004.png":
            raise KeyboardInterrupt
        return np.zeros((32, 32, 3), np.uint8)

    with monkeypatch.context() as patched:
        patched.setattr(crops, "read_image", interrupt)
        with pytest.raises(KeyboardInterrupt):
            _load(root, stored)
    assert list(stored.glob("images-*")) == []
    assert np.array_equal(_load(root, stored).images[4, ..., 0], _picture(4))


def test_a_cache_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """A cache folder below a file, or that is one, ends in an error that names data.cache_dir."""
    root = _make(tmp_path / "faces", {"happy": 3, "sad": 3})
    (tmp_path / "file").write_text("", encoding="utf-8")
    for stored in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(DataError, match=r"data\.cache_dir"):
            load_for_evaluation(_config(root, stored))


def test_a_file_that_vanishes_is_no_crash(tmp_path: Path, stored: Path) -> None:
    """A picture deleted between listing and decoding is skipped and named, not a crash."""
    root = _make(tmp_path / "faces", {"happy": 30})
    samples = _samples(root)
    (root / samples[3].file).unlink()
    loaded = load_images(root, samples, _config(root, stored))
    assert [file.path for file in loaded.skipped] == [str(root / samples[3].file)]
    assert len(loaded.images) == 29


# --- the fingerprint


def test_images_that_are_in_two_splits_are_counted(tmp_path: Path, stored: Path) -> None:
    """Copies in val and test of what is trained on are said, and that there are none is not."""
    folders = {
        f"{split}/{name}": 4 for split in ("train", "val", "test") for name in ("sad", "fear")
    }
    root = _make(tmp_path / "faces", folders)
    clean = load_dataset(_config(root, stored), seed=0)
    assert clean.leaked == {}
    assert not any("identical" in line for line in clean.describe())
    shutil.copy(root / "train" / "sad" / "0000.png", root / "val" / "sad" / "copy.png")
    shutil.copy(root / "train" / "sad" / "0001.png", root / "test" / "fear" / "one.png")
    shutil.copy(root / "train" / "sad" / "0001.png", root / "test" / "fear" / "two.png")
    leaky = load_dataset(_config(root, stored), seed=0)
    assert leaky.leaked == {"val": 1, "test": 2}
    assert any("1 of 9 val images are identical to training" in one for one in leaky.describe())
    assert any("2 of 10 test images are identical to" in one for one in leaky.describe())


def test_the_fingerprint_is_of_content_and_not_of_place(tmp_path: Path, stored: Path) -> None:
    """A copy of a data set elsewhere, with other dates and file names, is the same data set."""
    root = _make(tmp_path / "here", {"happy": 12, "sad": 12})
    copy = tmp_path / "elsewhere" / "copy"
    shutil.copytree(root, copy)
    (copy / "happy" / "0000.png").rename(copy / "happy" / "9999.png")
    for file in copy.rglob("*.png"):
        os.utime(file, (1_000_000, 1_000_000))
    first = load_for_evaluation(_config(root, stored)).fingerprint
    assert load_for_evaluation(_config(copy, stored)).fingerprint == first


def test_the_fingerprint_notices_a_label_and_a_pixel(tmp_path: Path, stored: Path) -> None:
    """One picture under another label, one pixel or another split make another data set."""
    root = _make(tmp_path / "faces", {"happy": 12, "sad": 12})
    config = _config(root, stored)
    first = load_for_evaluation(config).fingerprint
    moved = root / "sad" / "0000.png"
    (root / "happy" / "0000.png").rename(moved)
    relabelled = load_for_evaluation(config).fingerprint
    moved.rename(root / "happy" / "0000.png")
    pixels = _picture(1)
    pixels[0, 0] ^= 1
    (root / "happy" / "0001.png").write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
    retouched = load_for_evaluation(config).fingerprint
    _save(root / "happy" / "0001.png", 1)
    seeds = {load_dataset(config, seed=seed).fingerprint for seed in (0, 1)}
    assert len({first, relabelled, retouched} | seeds) == 5


def test_the_order_of_classes_is_the_label_order(tmp_path: Path, stored: Path) -> None:
    """With data.classes the labels count in the order named there."""
    root = _make(tmp_path / "faces", {"happy": 3, "sad": 5})
    dataset = load_for_evaluation(_config(root, stored, classes=("sad", "happy")))
    assert dataset.emotions == ("sad", "happy")
    assert np.bincount(dataset.labels).tolist() == [5, 3]


def test_drawn_faces_are_drawn_once(stored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The synthetic source keeps what it drew, and returns the same data set again."""
    from emodetect.data.readers import synthetic

    values: dict[str, Any] = {"train_per_class": 4, "test_per_class": 2, "size": 32}
    config = DataConfig.model_validate(
        {"source": "synthetic", "synthetic": values, "cache_dir": stored, "image_size": 32}
    )
    first = load_for_evaluation(config)
    assert len(first.indices("train")) == 8 * 4
    assert len(first.indices("test")) == 8 * 2

    def fail(*args: object, **options: object) -> None:
        raise AssertionError("drawn again")

    monkeypatch.setattr(synthetic, "draw_dataset", fail)
    assert load_for_evaluation(config).fingerprint == first.fingerprint
