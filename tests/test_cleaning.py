"""Training on what an audit leaves: what goes, what stays, and manifests that do not fit."""

from __future__ import annotations

import csv
import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal
from unicodedata import normalize

import numpy as np
import pytest
from pictures import save

from emodetect.auditing.audit import AuditOptions, audit_sources
from emodetect.config import DataConfig, validate_data
from emodetect.data.cleaning import AuditRow, read_audit_rows, write_audit_rows
from emodetect.data.dataset import load_dataset, load_for_evaluation
from emodetect.data.readers.ferplus import OTHER_VOTES, VOTE_COLUMNS
from emodetect.data.readers.registry import list_samples
from emodetect.data.synthetic import draw_face
from emodetect.errors import ConfigError, DataError
from emodetect.reports.audit_report import write_audit


def face(number: int, emotion: str) -> np.ndarray:
    """A drawn face that no other number gives."""
    return draw_face(emotion, np.random.default_rng(number), size=48)


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    """Splits of faces with a leak, a near leak, two conflicts, a copy and a blank image."""
    root = tmp_path / "faces"
    for number in range(16):
        split = "train" if number < 12 else "test"
        emotion = ("happy", "sad")[number % 2]
        save(root / split / emotion / f"{number:02d}.png", face(number, emotion))
    save(root / "train/happy/leak.png", face(12, "happy"))
    save(root / "train/sad/near_leak.jpg", face(13, "sad"))
    save(root / "train/sad/conflict.png", face(0, "happy"))
    save(root / "train/happy/test_conflict.png", face(15, "sad"))
    save(root / "train/sad/same.png", face(1, "sad"))
    save(root / "train/happy/blank.png", np.full((48, 48), 90, np.uint8))
    return root


@pytest.fixture
def manifest(faces: Path, tmp_path: Path) -> Path:
    """The manifest of an audit of them."""
    write_audit(
        audit_sources(AuditOptions([f"folder:{faces}"], detector="none")), tmp_path / "audit"
    )
    return tmp_path / "audit" / "manifest.csv"


def config(faces: Path, manifest: Path | None, **cleaning: Any) -> DataConfig:
    """A config of the faces, with a cache beside them."""
    values: dict[str, Any] = {
        "path": str(faces),
        "cache_dir": str(faces.parent / "cache"),
        "cleaning": cleaning,
    }
    if manifest is not None:
        values["manifest"] = str(manifest)
    return validate_data(values, origin="test")


FORMS: tuple[Literal["NFC", "NFD"], ...] = ("NFC", "NFD")
OFF = {"drop_leaks": False, "drop_conflicts": False, "keep_one_of_duplicates": False}
CLEAN = {"leak.png", "near_leak.jpg", "test_conflict.png", "conflict.png", "00.png", "same.png"}


@pytest.mark.parametrize(
    ("rules", "gone"),
    [
        ({}, CLEAN),
        (OFF, set()),
        ({**OFF, "drop_leaks": True}, {"leak.png", "near_leak.jpg", "test_conflict.png"}),
        (
            {**OFF, "drop_leaks": True, "near": False},
            {"leak.png", "test_conflict.png"},
        ),
        ({**OFF, "drop_conflicts": True}, {"conflict.png", "00.png", "test_conflict.png"}),
        ({**OFF, "keep_one_of_duplicates": True}, {"conflict.png", "same.png"}),
        ({**OFF, "drop_flags": ["blank"]}, {"blank.png"}),
    ],
    ids=["default", "off", "leaks", "identical leaks", "conflicts", "duplicates", "blank"],
)
def test_each_rule_drops_its_own(
    faces: Path, manifest: Path, rules: dict[str, Any], gone: set[str]
) -> None:
    """Each rule drops the images it names and no other, counts them, and never one of test."""
    everything = {sample.name for sample in list_samples(config(faces, None)).samples}
    listing = list_samples(config(faces, manifest, **rules))
    kept = {sample.name for sample in listing.samples}
    assert {Path(name).name for name in everything - kept} == gone
    assert sum(listing.left_out.values()) == len(gone)
    assert sum(sample.split == "test" for sample in listing.samples) == 4


def test_the_data_set_tells_what_it_was_cleaned_by(faces: Path, manifest: Path) -> None:
    """Counts of what was dropped, the manifest's hash and another fingerprint are recorded."""
    whole = load_for_evaluation(config(faces, None))
    cleaned = load_for_evaluation(config(faces, manifest))
    assert len(cleaned.labels) == len(whole.labels) - len(CLEAN)
    assert sum(cleaned.left_out.values()) == len(CLEAN)
    assert cleaned.fingerprint != whole.fingerprint
    digest = hashlib.sha256(manifest.read_bytes()).hexdigest()
    assert cleaned.identity()["manifest_sha256"] == digest
    assert "manifest_sha256" not in whole.identity()


def test_moved_and_changed_files_are_refused(faces: Path, manifest: Path) -> None:
    """A manifest of other names or of other pixels gives one error that says what to do."""
    wanted = config(faces, manifest)
    load_for_evaluation(wanted)
    save(faces / "train/happy/02.png", face(99, "happy"))
    with pytest.raises(DataError, match=r"02\.png: its pixels.*audit the data again"):
        load_for_evaluation(wanted)
    save(faces / "train/happy/02.png", face(2, "happy"))
    (faces / "train/happy/02.png").rename(faces / "train/happy/moved.png")
    with pytest.raises(DataError, match=r"1 of 22 images.*moved\.png"):
        load_for_evaluation(wanted)


def test_a_copy_may_spell_its_names_otherwise(faces: Path, tmp_path: Path) -> None:
    """A Mac writes é as two characters, others as one; it is the same image."""
    composed, apart = (faces / f"train/happy/{normalize(form, 'é')}.png" for form in FORMS)
    save(composed, face(50, "happy"))
    audit = audit_sources(AuditOptions([f"folder:{faces}"], detector="none"))
    write_audit(audit, tmp_path / "audit")
    composed.rename(apart)
    listing = list_samples(config(faces, tmp_path / "audit" / "manifest.csv"))
    assert f"train/happy/{apart.name}" in {sample.name for sample in listing.samples}


def test_a_manifest_of_other_pixels_is_noticed_in_what_is_cached(
    faces: Path, manifest: Path
) -> None:
    """Images that were decoded before are compared with another manifest, too."""
    load_for_evaluation(config(faces, manifest))
    lines = manifest.read_text().splitlines(keepends=True)
    row = next(number for number, line in enumerate(lines) if "train/happy/02.png" in line)
    cells = lines[row].split(",")
    cells[2] = "0" * 32
    lines[row] = ",".join(cells)
    manifest.write_text("".join(lines))
    with pytest.raises(DataError, match=r"02\.png: its pixels"):
        load_for_evaluation(config(faces, manifest))


def test_edited_labels_and_splits_are_told(
    faces: Path, manifest: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The data's are used: the manifest excludes images, and corrects none."""
    header, first, second, *others = manifest.read_text(encoding="utf-8").splitlines()
    label, split = (header.split(",").index(name) for name in ("label", "split"))
    cells = first.split(","), second.split(",")
    before = cells[0][label]
    cells[0][label], cells[1][split] = "disgust", "val"
    manifest.write_text("\n".join([header, *map(",".join, cells), *others, ""]), encoding="utf-8")
    with caplog.at_level("INFO", logger="emodetect"):
        listing = list_samples(config(faces, manifest))
    assert "disgust" not in listing.emotions
    assert before in listing.emotions
    assert f"{manifest}: 2 rows with another label or split than the data" in caplog.text


def test_a_removed_file_is_no_fault(faces: Path, manifest: Path) -> None:
    """Images that were deleted after the audit are not asked for."""
    (faces / "train/happy/02.png").unlink()
    assert len(list_samples(config(faces, manifest)).samples) == 22 - len(CLEAN) - 1


def test_a_removed_file_has_no_say(faces: Path, manifest: Path) -> None:
    """Once one of two contradicting images, or a leaked test image, is deleted, the other stays."""
    (faces / "train/sad/conflict.png").unlink()
    (faces / "test/happy/12.png").unlink()
    names = {sample.name for sample in list_samples(config(faces, manifest)).samples}
    assert {"train/happy/00.png", "train/happy/leak.png"} <= names
    assert "train/sad/near_leak.jpg" not in names


def test_a_copy_elsewhere_fits_the_manifest(faces: Path, manifest: Path) -> None:
    """The manifest goes by names and pixels, so that the data may lie elsewhere."""
    moved = faces.rename(faces.parent / "elsewhere")
    assert len(list_samples(config(moved, manifest)).samples) == 22 - len(CLEAN)


def test_a_manifest_of_two_sources_cleans_each(faces: Path, tmp_path: Path) -> None:
    """Of several audited sources the config's own is cleaned, by leaks into the other's test."""
    other = tmp_path / "other"
    save(other / "happy/leak.png", face(12, "happy"))
    save(other / "happy/own.png", face(70, "happy"))
    save(other / "sad/own.png", face(71, "sad"))
    sources = [f"folder:{other}", f"folder:{faces}"]
    write_audit(audit_sources(AuditOptions(sources, detector="none")), tmp_path / "two")
    kept = list_samples(config(other, tmp_path / "two/manifest.csv")).samples
    assert {sample.name for sample in kept} == {"happy/own.png", "sad/own.png"}
    third = faces.rename(tmp_path / "third")
    with pytest.raises(DataError, match="is an audit of folder:"):
        list_samples(config(third, tmp_path / "two/manifest.csv"))


def test_a_manifest_of_two_sources_is_used_from_anywhere(
    faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The audit may have been called in another folder, and data be moved with or without it."""
    save(tmp_path / "other/happy/own.png", face(70, "happy"))
    save(tmp_path / "other/sad/own.png", face(71, "sad"))
    monkeypatch.chdir(tmp_path)
    audit = audit_sources(AuditOptions(["folder:other", "folder:faces"], detector="none"))
    write_audit(audit, Path("made/two"))
    (tmp_path / "away").mkdir()
    monkeypatch.chdir(tmp_path / "away")
    cleaned = len(list_samples(config(faces, None)).samples) - len(CLEAN)
    assert len(list_samples(config(faces, Path("../made/two/manifest.csv"))).samples) == cleaned
    for name in ("faces", "made"):
        (tmp_path / name).rename(tmp_path / "away" / name)
    moved = config(Path("faces"), Path("made/two/manifest.csv"))
    assert len(list_samples(moved).samples) == cleaned
    Path("faces").rename(tmp_path / "faces")
    moved = config(tmp_path / "faces", Path("made/two/manifest.csv"))
    assert len(list_samples(moved).samples) == cleaned


def test_drawn_faces_are_one_source_among_several(tmp_path: Path) -> None:
    """The synthetic source, which has no path, is told from the others of an audit."""
    drawn = validate_data(
        {
            "source": "synthetic",
            "synthetic": {"train_per_class": 2, "test_per_class": 1, "size": 32},
            "classes": ["happy", "sad"],
            "cache_dir": str(tmp_path / "cache"),
            "manifest": str(tmp_path / "manifest.csv"),
        },
        origin="test",
    )
    samples = list_samples(drawn.model_copy(update={"manifest": None})).samples
    rows = [
        AuditRow("synthetic:", sample.name, str(number), sample.emotion, sample.split or "", "", "")
        for number, sample in enumerate(samples)
    ]
    other = AuditRow("folder:other", "happy/a.png", "x", "happy", "", "", "")
    write_audit_rows(tmp_path / "manifest.csv", [other, *rows])
    assert len(list_samples(drawn).samples) == len(samples) == 6


def test_other_sources_contradict_votes(faces: Path, tmp_path: Path) -> None:
    """With FER+ votes, too, an image that has another label in another source is dropped."""
    names = sorted(path.name for path in faces.rglob("[01]*.png"))
    header = ["Usage", "Image name", *VOTE_COLUMNS.values(), *OTHER_VOTES]
    with (faces / "fer2013new.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, header, restval=0)
        writer.writeheader()
        for number, name in enumerate(names):
            usage, vote = ("Training", "PublicTest")[number >= 12], ("happiness", "sadness")
            writer.writerow({"Usage": usage, "Image name": name, vote[number % 2]: 10})
    save(tmp_path / "other/sad/a.png", face(2, "happy"))
    save(tmp_path / "other/happy/b.png", face(4, "happy"))
    sources = [f"ferplus:{faces}", f"folder:{tmp_path / 'other'}"]
    write_audit(audit_sources(AuditOptions(sources, detector="none")), tmp_path / "votes")
    voted = config(faces, tmp_path / "votes/manifest.csv").model_copy(update={"source": "ferplus"})
    kept = {Path(sample.name).name for sample in list_samples(voted).samples}
    assert "02.png" not in kept
    assert {"00.png", "04.png"} <= kept


def test_classes_that_are_left_out_still_conflict(faces: Path, manifest: Path) -> None:
    """An image with two labels is dropped also where data.classes takes one of them."""
    for number in range(12):
        save(faces / "train/angry" / f"{number}.png", face(200 + number, "angry"))
    save(faces / "train/angry/conflict.png", face(2, "happy"))
    write_audit(
        audit_sources(AuditOptions([f"folder:{faces}"], detector="none")),
        manifest.parent,
        force=True,
    )
    wanted = config(faces, manifest).model_copy(update={"classes": ("happy", "sad")})
    names = {sample.name for sample in list_samples(wanted).samples}
    assert "train/happy/02.png" not in names
    assert "train/happy/04.png" in names


def test_other_files_are_no_manifest(faces: Path, tmp_path: Path) -> None:
    """A csv of other columns, or none at all, is refused with the columns that are expected."""
    with pytest.raises(DataError, match="cannot be read"):
        list_samples(config(faces, tmp_path / "nothing.csv"))
    with (tmp_path / "other.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["path", "label"], ["a.png", "happy"]])
    with pytest.raises(DataError, match="duplicate_group"):
        list_samples(config(faces, tmp_path / "other.csv"))


def test_flags_that_no_image_has_are_told(
    faces: Path, manifest: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The audit may not have looked for them, so that nothing was left out."""
    caplog.set_level("INFO", "emodetect")
    list_samples(config(faces, manifest, drop_flags=["blank", "label_doubtful"]))
    assert "no image has the flag label_doubtful of data.cleaning.drop_flags" in caplog.text
    assert "flag blank" not in caplog.text


@pytest.mark.parametrize("given", [True, False])
def test_splits_drawn_from_labels_that_a_model_agrees_with_are_told(
    faces: Path, tmp_path: Path, given: bool
) -> None:
    """Without the images that a model doubts, a drawn split is easier; a given one is kept."""
    if given:
        save(faces / "val/happy/16.png", face(16, "happy"))
        save(faces / "val/sad/17.png", face(17, "sad"))
    write_audit(audit_sources(AuditOptions([f"folder:{faces}"], detector="none")), tmp_path / "new")
    manifest = tmp_path / "new" / "manifest.csv"
    doubted = {"train/happy/02.png", "train/sad/03.png"}
    rows = [
        replace(row, flags="label_doubtful") if row.path in doubted else row
        for row in read_audit_rows(manifest)
    ]
    write_audit_rows(manifest, rows)
    listing = list_samples(config(faces, manifest, **OFF, drop_flags=["label_doubtful"]))
    assert listing.left_out == {"flagged by the audit: label_doubtful": 2}
    told = "2 images whose label the audit's model doubts left out before val is drawn"
    assert any(told in note for note in listing.notes) == (not given)


def test_an_image_that_could_not_be_read_is_not_replaced(faces: Path, tmp_path: Path) -> None:
    """What is put in its place was not audited, and may be a test image."""
    odd = faces / "train/happy/odd.png"
    odd.write_bytes(b"no image")
    write_audit(audit_sources(AuditOptions([f"folder:{faces}"], detector="none")), tmp_path / "new")
    wanted = config(faces, tmp_path / "new/manifest.csv")
    wanted = wanted.model_copy(update={"max_unreadable_fraction": 0.1})
    assert load_dataset(wanted, seed=0).skipped
    save(odd, face(99, "happy"))
    with pytest.raises(DataError, match=r"odd\.png: .*audit"):
        load_dataset(wanted, seed=0)


def test_rules_without_a_manifest_are_refused() -> None:
    """Rules that would be ignored, and flags that nobody sets, are errors."""
    with pytest.raises(ConfigError, match=r"needs data\.manifest"):
        validate_data({"path": "faces", "cleaning": {"near": False}}, origin="test")
    rules = {"drop_flags": ["ugly"]}
    with pytest.raises(ConfigError, match="drop_flags"):
        validate_data({"path": "faces", "manifest": "m.csv", "cleaning": rules}, origin="test")


def test_every_flag_can_be_dropped(faces: Path) -> None:
    """What drop_flags offers is what the audit flags, but for what cannot be loaded anyway."""
    from typing import get_args

    from emodetect.config import CleaningConfig

    flags = audit_sources(AuditOptions([f"folder:{faces}"], detector="none")).flags
    (literal, _) = get_args(CleaningConfig.model_fields["drop_flags"].annotation)
    assert set(get_args(literal)) == set(flags) - {"unreadable"}


def test_a_cleaned_set_is_split_the_same_way_again(faces: Path, manifest: Path) -> None:
    """Training and evaluation by one config see one data set."""
    wanted = config(faces, manifest).model_copy(update={"validation_fraction": 0.25})
    first, second = (load_dataset(wanted, seed=3) for _ in range(2))
    assert first.fingerprint == second.fingerprint
    assert first.counts() == second.counts()


def test_a_manifest_that_nobody_edited_gets_no_remark_of_edits(faces: Path, manifest: Path) -> None:
    """Only labels and splits that differ from the data are told."""
    notes = list_samples(config(faces, manifest)).notes
    assert not any("another label" in note for note in notes)
