"""The audit: each check finds a planted fault, and does not find it where there is none."""

from __future__ import annotations

import json
import os
import re
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from pictures import save

from emodetect.auditing import doubtful_labels
from emodetect.auditing.audit import Audit, AuditOptions, audit_sources
from emodetect.auditing.doubtful_labels import confident_labels
from emodetect.auditing.duplicates import MOST_NEIGHBOURS, find_duplicates
from emodetect.auditing.face_check import open_search
from emodetect.auditing.findings import manifest_rows, summary
from emodetect.auditing.scan import Picture, scan_pictures
from emodetect.cli import app
from emodetect.config import DataConfig
from emodetect.data.cleaning import read_audit_rows
from emodetect.data.dataset import load_dataset
from emodetect.data.listing import Sample, SkippedFile
from emodetect.data.readers.ferplus import OTHER_VOTES, VOTE_COLUMNS, read_ferplus
from emodetect.data.synthetic import draw_face
from emodetect.emotions import EMOTIONS
from emodetect.errors import DataError, EmodetectError
from emodetect.evaluation.labelled_images.labelled_data import usual_faces
from emodetect.model_file.artifact import read_artifact
from emodetect.model_file.shipped_models import DEFAULT_MODEL, model_path
from emodetect.reports.audit_report import write_audit

Change = Callable[[np.ndarray], np.ndarray]
VOTES = (*VOTE_COLUMNS.values(), *OTHER_VOTES)


def face(number: int, emotion: str = "happy", size: int = 64) -> np.ndarray:
    """A drawn face that no other number gives."""
    return draw_face(emotion, np.random.default_rng(number), size=size)


@pytest.fixture
def clean(tmp_path: Path) -> Path:
    """Class folders of ten different faces, six to train and four to test, without a fault."""
    root = tmp_path / "faces"
    for number in range(10):
        split = "train" if number < 6 else "test"
        emotion = ("happy", "sad")[number % 2]
        save(root / split / emotion / f"{number}.png", face(number, emotion))
    return root


def look(*roots: Path, kind: str = "folder", **options: Any) -> Audit:
    """Audit folders without looking for faces, which is tested apart."""
    sources = [f"{kind}:{root}" for root in roots]
    return audit_sources(AuditOptions(sources, **{"detector": "none", **options}))


def flagged(audit: Audit, flag: str) -> set[str]:
    """Return the names of the images that the manifest flags."""
    return {row.path for row in manifest_rows(audit) if flag in row.flags.split()}


def jpeg(quality: int) -> Change:
    """Return what compresses an image."""

    def change(image: np.ndarray) -> np.ndarray:
        data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        return cv2.imdecode(data, cv2.IMREAD_COLOR)

    return change


def test_nothing_is_found_where_nothing_is_wrong(clean: Path) -> None:
    """Faces that are all different give no finding at all, though drawn faces look alike."""
    audit = look(clean)
    assert {row.flags for row in manifest_rows(audit)} == {""}
    figures = summary(audit)
    assert figures["images"] == 10
    assert set(figures["leaks"].values()) == {0}
    assert figures["conflicts"]["groups"] == figures["duplicates"]["groups_with_near"] == 0
    assert figures["classes"]["train"] == {"happy": 3, "sad": 3}


def test_drawn_data_sets_have_no_duplicates(tmp_path: Path) -> None:
    """The synthetic source, where everybody looks alike, is not one large duplicate."""
    for number in range(150):
        save(tmp_path / EMOTIONS[number % 8] / f"{number}.png", face(number, EMOTIONS[number % 8]))
    assert summary(look(tmp_path))["duplicates"]["groups_with_near"] == 0


def test_a_leak_and_a_conflict_are_counted_once(clean: Path) -> None:
    """A test image in train is one leak however often, and under another label one conflict."""
    leaked = face(6)
    for place in ("train/happy/a.png", "train/happy/b.bmp", "train/sad/c.png"):
        save(clean / place, leaked)
    audit = look(clean)
    figures = summary(audit)
    assert figures["leaks"]["test_in_train"] == 1
    assert figures["leaks"]["near_test_in_train"] == 0
    assert figures["conflicts"] == {
        "groups": 1,
        "images": 4,
        "groups_with_near": 1,
        "images_with_near": 4,
    }
    assert figures["duplicates"]["groups"] == 1
    assert flagged(audit, "leak") == {"train/happy/a.png", "train/happy/b.bmp", "train/sad/c.png"}
    assert "test/happy/6.png" in flagged(audit, "conflict")
    groups = {row.duplicate_group for row in manifest_rows(audit) if "duplicate" in row.flags}
    assert len(groups) == 1
    assert "" not in groups


@pytest.mark.parametrize(
    "change",
    [
        jpeg(30),
        jpeg(90),
        lambda image: cv2.resize(image, (200, 200), interpolation=cv2.INTER_CUBIC),
        lambda image: cv2.resize(image, (40, 40), interpolation=cv2.INTER_AREA),
        lambda image: cv2.convertScaleAbs(image, alpha=0.8, beta=15),
        lambda image: cv2.cvtColor(image, cv2.COLOR_BGR2GRAY),
        lambda image: image[:, ::-1],
        lambda image: jpeg(60)(image[:, ::-1]),
    ],
    ids=["jpeg 30", "jpeg 90", "larger", "smaller", "fainter", "grey", "mirrored", "both"],
)
def test_an_altered_copy_is_near(clean: Path, change: Change) -> None:
    """A re-encoded, resized, re-lit or mirrored copy is a near leak, and not an identical one."""
    save(clean / "train/happy/copy.png", change(face(6)))
    audit = look(clean)
    figures = summary(audit)
    assert figures["leaks"]["test_in_train"] == 0
    assert figures["leaks"]["near_test_in_train"] == 1
    assert flagged(audit, "near_leak") == {"train/happy/copy.png"}
    assert flagged(audit, "near_duplicate") == {"train/happy/copy.png", "test/happy/6.png"}


def test_thousands_of_alike_images_stay_linear_and_are_told(tmp_path: Path) -> None:
    """Of images that are all alike, pairs that were not compared are counted, not hidden."""
    count = MOST_NEIGHBOURS + 30
    base = face(1, size=48)
    for number in range(count):
        image = base.copy()
        image[0, 0] = number
        save(tmp_path / f"{number}.bmp", image)
    pictures = [
        Picture(0, tmp_path, Sample(f"{n}.bmp", f"{n}.bmp", "happy", None)) for n in range(count)
    ]
    found = find_duplicates(scan_pictures(pictures))
    assert found.pairs_left_out > 0
    assert len(set(found.identical)) == count
    assert len(set(found.near)) == 1


@pytest.mark.parametrize(
    ("flag", "fault"),
    [
        ("tiny", face(30)[:20, :20]),
        ("tiny", np.zeros((1, 1), np.uint8)),
        ("blank", np.full((64, 64), 127, np.uint8)),
        ("dark", cv2.convertScaleAbs(face(30), alpha=0.12)),
        ("bright", cv2.convertScaleAbs(face(30), alpha=0.1, beta=225)),
        ("blurred", cv2.GaussianBlur(face(30), (0, 0), 6)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_bad_image_is_flagged(clean: Path, flag: str, fault: np.ndarray) -> None:
    """Tiny, blank, dark, bright and blurred images are flagged, and no good one is."""
    save(clean / "train/sad/bad.png", fault)
    assert flagged(look(clean), flag) == {"train/sad/bad.png"}


def test_what_cannot_be_read_is_told_and_the_rest_goes_on(clean: Path) -> None:
    """Files that are no images are named with the reason, and duplicates of nothing."""
    for name in ("a.png", "b.png"):
        (clean / "train/sad" / name).write_bytes(b"no image")
    (clean / "train/sad/c.png").write_bytes(b"")
    audit = look(clean)
    figures = summary(audit)
    assert figures["unreadable"]["images"] == 3
    assert "empty" in figures["unreadable"]["first"]["train/sad/c.png"]
    assert figures["duplicates"]["groups"] == 0
    assert flagged(audit, "unreadable") == {f"train/sad/{name}.png" for name in "abc"}


def test_odd_images_are_audited(clean: Path, tmp_path: Path) -> None:
    """16-bit, transparent, grey, enormous and extremely narrow images all go through."""
    image = face(40)
    gray = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    save(clean / "train/sad/16.png", gray.astype(np.uint16) * 257)
    save(clean / "train/sad/alpha.png", np.dstack([face(41), np.full((64, 64), 90, np.uint8)]))
    save(clean / "train/sad/huge.jpg", cv2.resize(face(42), (3000, 3000)))
    save(clean / "train/sad/strip.png", np.random.default_rng(0).integers(0, 255, (2, 4000, 3)))
    audit = look(clean, detector="haar")
    assert summary(audit)["unreadable"]["images"] == 0
    assert flagged(audit, "tiny") == {"train/sad/strip.png"}
    write_audit(audit, tmp_path / "out")


def test_an_image_without_a_face_is_found(clean: Path) -> None:
    """Noise has no face, drawn faces have one, and the check by Haar calls itself weak."""
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    save(clean / "train/sad/noise.png", noise)
    audit = look(clean, detector="haar")
    found = flagged(audit, "no_face")
    assert "train/sad/noise.png" in found
    assert len(found) <= 2
    assert summary(audit)["no_face"]["weak"] is True
    assert flagged(look(clean), "no_face") == set()


def test_a_user_without_a_home_searches_faces_with_haar(monkeypatch: pytest.MonkeyPatch) -> None:
    """YuNet's model cannot have been fetched where there is no place to keep it."""

    def none(*_: object, **__: object) -> None:
        raise RuntimeError("could not determine the home directory")

    monkeypatch.setattr("platformdirs.user_cache_path", none)
    search = open_search(None)
    assert search is not None
    assert search.detector == "haar"


def test_leaks_between_sources_are_found(clean: Path, tmp_path: Path) -> None:
    """An image of one data set that stands in another is found in both."""
    other = tmp_path / "other"
    save(other / "happy/mine.png", face(6))
    save(other / "sad/own.png", face(77, "sad"))
    audit = look(other, clean)
    assert summary(audit)["across_sources"] == {"identical": 2, "identical_or_near": 2}
    assert {row.source for row in manifest_rows(audit)} == {f"folder:{other}", f"folder:{clean}"}


def votes_row(name: str, **votes: int) -> str:
    """Return a row of fer2013new.csv."""
    counts = (str(votes.get(column, 0)) for column in VOTES)
    return ",".join(["Training", name, *counts])


def test_votes_contradict_labels_and_faces(clean: Path) -> None:
    """With FER+ votes every image is audited by its own label, against the voters' choice."""
    header = ",".join(["Usage", "Image name", *VOTES])
    rows = [
        votes_row("0.png", happiness=10),
        votes_row("1.png", happiness=9, sadness=1),
        votes_row("2.png", NF=8, happiness=2),
        votes_row("3.png", sadness=5, fear=5),
    ]
    (clean / "fer2013new.csv").write_text("\n".join([header, *rows]) + "\n")
    audit = look(clean, kind="ferplus")
    assert len(audit.pictures) == 10
    assert flagged(audit, "votes_contradict") == {"train/sad/1.png"}
    assert flagged(audit, "votes_no_face") == {"train/happy/2.png"}
    assert summary(audit)["votes"] == {"voted": 4, "contradict": 1, "no_face": 1}
    assert "votes" not in summary(look(clean))


def test_votes_find_the_images_of_nested_class_folders(clean: Path) -> None:
    """Above the folders with the votes, the audit names images as training on its manifest does."""
    header = ",".join(["Usage", "Image name", *VOTES])
    rows = [votes_row("0.png", happiness=10), votes_row("1.png", happiness=9)]
    (clean.parent / "fer2013new.csv").write_text("\n".join([header, *rows]) + "\n")
    audit = look(clean.parent, kind="ferplus")
    assert summary(audit)["votes"] == {"voted": 2, "contradict": 1, "no_face": 0}
    assert flagged(audit, "votes_contradict") == {f"{clean.name}/train/sad/1.png"}
    listed = read_ferplus(DataConfig(source="ferplus", path=clean.parent))
    assert {sample.name for sample in listed.samples} < {row.path for row in manifest_rows(audit)}


@pytest.mark.parametrize("inner", ["FER2013Train", ".ipynb_checkpoints"])
def test_votes_label_images_outside_of_class_folders(tmp_path: Path, inner: str) -> None:
    """In the folders of FER+ as published, and in a flat one, the votes are all the labels."""
    header = ",".join(["Usage", "Image name", *VOTES])
    rows = [votes_row(f"fer{number}.png", happiness=10) for number in range(4)]
    (tmp_path / "fer2013new.csv").write_text("\n".join([header, *rows]) + "\n")
    (tmp_path / inner).mkdir()
    for number in range(4):
        place = tmp_path if inner.startswith(".") else tmp_path / inner
        save(place / f"fer{number}.png", face(number))
    audit = look(tmp_path, kind="ferplus")
    assert audit.labels.tolist() == ["happy"] * 4


def test_votes_for_none_of_the_images_are_an_error(clean: Path) -> None:
    """Votes are matched by file name; images by other names would silently have none."""
    header = ",".join(["Usage", "Image name", *VOTES])
    (clean / "fer2013new.csv").write_text("\n".join([header, votes_row("fer1.png", fear=9)]) + "\n")
    with pytest.raises(DataError, match="none of the 10 images has votes"):
        look(clean, kind="ferplus")


def test_pairs_are_counted_by_kind(clean: Path) -> None:
    """How many near duplicates there are, and how many of them are mirrored."""
    save(clean / "train/happy/mirrored.png", np.ascontiguousarray(face(6)[:, ::-1]))
    for number in (2, 4):
        save(clean / f"train/happy/copy{number}.jpg", face(number))
    pairs = summary(look(clean))["duplicates"]
    assert (pairs["near_pairs"], pairs["mirrored_pairs"]) == (3, 1)


def test_each_pair_of_many_alike_is_found(tmp_path: Path) -> None:
    """Eight fainter and fainter copies of one image make 28 pairs."""
    for number in range(8):
        fainter = cv2.convertScaleAbs(face(3), alpha=1 - number * 0.02, beta=number)
        save(tmp_path / f"train/happy/{number}.png", fainter)
    save(tmp_path / "train/sad/other.png", face(4, "sad"))
    assert summary(look(tmp_path))["duplicates"]["near_pairs"] == 8 * 7 / 2


def test_all_unreadable_images_are_counted(clean: Path) -> None:
    """Those that the reader of the source left out, and those that cannot be decoded."""
    (clean / "train/sad/a.png").write_bytes(b"no image")
    audit = replace(look(clean), skipped=(SkippedFile("b.png", "empty"),))
    assert summary(audit)["unreadable"]["images"] == 2


def test_confident_learning_finds_the_swapped_label() -> None:
    """An image that a model counts to another class by that class's own measure is doubtful."""
    probabilities = np.array(
        [[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.2, 0.8], [0.3, 0.7], [0.55, 0.45]], np.float32
    )
    labels = np.array([0, 0, 0, 1, 1, 1])
    # Means: class 0 of its images 0.6, class 1 of its own 0.65.
    assert confident_labels(probabilities, labels).tolist() == [-1, -1, 1, -1, -1, -1]
    assert confident_labels(probabilities[:0], labels[:0]).tolist() == []


def test_a_model_is_asked_and_what_it_saw_is_kept_apart(clean: Path) -> None:
    """Only the test split counts as unseen by a model, unless the user says otherwise."""
    audit = look(clean, model=DEFAULT_MODEL)
    model = summary(audit)["model"]
    assert (model["asked"], model["unseen"]) == (10, 4)
    stated = look(clean, model=DEFAULT_MODEL, unseen=True)
    assert summary(stated)["model"]["unseen"] == 10
    assert summary(stated)["model"]["doubtful_maybe_seen"] == 0


def test_images_in_a_model_s_sketch_are_not_unseen(
    clean: Path, artifact: Path, tmp_path: Path
) -> None:
    """Whatever the user or the folders say, a model knows what trained it, in copies too."""
    config = DataConfig(source="folder", path=clean, image_size=32, cache_dir=tmp_path / "cache")
    dataset = load_dataset(config, seed=0)
    model = str(tmp_path / "model.keras")
    with zipfile.ZipFile(artifact) as old, zipfile.ZipFile(model, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "emodetect.json":
                metadata = json.loads(content)
                metadata["dataset"]["trained"] = dataset.sketch(("test",)).text
                content = json.dumps(metadata).encode()
            new.writestr(name, content)
    copy = Path(shutil.copytree(clean, tmp_path / "copy"))
    assert summary(look(copy, model=str(artifact)))["model"]["unseen"] == 4
    assert summary(look(copy, model=model))["model"]["unseen"] == 0
    with pytest.raises(EmodetectError, match="--unseen: about 40% of these images"):
        look(copy, model=model, unseen=True)


def test_labels_that_the_model_doubts_are_flagged_counted_and_shown(
    clean: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the answer of the model, its first emotion too; what it saw in training apart."""
    save(clean / "test/angry/a.png", face(20, "angry"))
    said = {"test/happy/6.png": "angry", "train/sad/1.png": "happy"}

    def answers(recognizer: Any, pictures: Any, rows: np.ndarray, faces: Any) -> Any:
        samples = [pictures[row].sample for row in rows]
        best = [recognizer.emotions.index(said.get(one.name, one.emotion)) for one in samples]
        scores = np.eye(len(recognizer.emotions), dtype=np.float32)[best] * 0.9
        return rows, scores, np.full(len(rows), "none", "S32")

    monkeypatch.setattr(doubtful_labels, "_predictions", answers)
    audit = look(clean, model=DEFAULT_MODEL)
    assert flagged(audit, "label_doubtful") == {*said}
    write_audit(audit, tmp_path / "out")
    figures = json.loads((tmp_path / "out" / "audit.json").read_text(encoding="utf-8"))
    assert figures["model"] == {
        "name": DEFAULT_MODEL,
        "asked": 11,
        "unseen": 5,
        "doubtful_unseen": 1,
        "doubtful_maybe_seen": 1,
    }
    page = (tmp_path / "out" / "audit.html").read_text(encoding="utf-8")
    assert page.index("model: angry 90.0%") < page.index("model: happy 90.0%")


def test_the_model_is_asked_about_the_faces_of_photos(tmp_path: Path) -> None:
    """With faces = detect a photo without a face is no face to ask about, of that source alone."""
    for name in ("photos", "crops"):
        save(tmp_path / name / "happy/none.png", np.full((200, 200, 3), 90, np.uint8))
        save(tmp_path / name / "sad/none.png", np.full((200, 200, 3), 91, np.uint8))
    audit = look(
        tmp_path / "photos", tmp_path / "crops", faces=["detect", None], model=DEFAULT_MODEL
    )
    assert audit.doubts is not None
    assert audit.doubts.asked.tolist() == [False, False, True, True]


def test_crops_are_shown_whole_to_a_model_of_photos() -> None:
    """A model that found the faces of its photos is not asked to find them in crops of faces."""
    metadata = read_artifact(model_path(DEFAULT_MODEL)).metadata
    of_photos = replace(metadata, config={"data": {"faces": "detect"}})
    assert usual_faces("raf_db", of_photos) == "detect"
    for source in ("fer2013_csv", "ferplus", "tfrecord"):
        assert usual_faces(source, of_photos) == "whole"


def test_the_report_is_whole_safe_and_offline(clean: Path, tmp_path: Path) -> None:
    """The page escapes hostile names and loads nothing; the manifest has each image once."""
    hostile = "<img src=x onerror=alert(1)>&\"'.png"
    save(clean / "train/happy" / hostile, face(6))
    save(clean / "train/happy/two\nlines\r.png", face(50))
    os.rename(  # noqa: PTH104  a name that is no Unicode
        os.fsencode(clean / "train/happy/0.png"), os.fsencode(clean) + b"/train/happy/\xff.png"
    )
    out = tmp_path / "out"
    figures = write_audit(look(clean), out)
    page = (out / "audit.html").read_text(encoding="utf-8")
    assert "<img src=x" not in page
    assert "&lt;img src=x" in page
    assert page.count("data:image/jpeg") >= 4
    assert not re.search(r"""(src|href)=["'](?!data:|#)""", page)
    assert json.loads((out / "audit.json").read_text()) == figures
    rows = read_audit_rows(out / "manifest.csv")
    assert len(rows) == 12
    assert f"train/happy/{hostile}" in {row.path for row in rows}
    assert "train/happy/two\nlines\r.png" in {row.path for row in rows}
    assert all(len(row.hash) == 32 for row in rows)


def test_near_identical_images_are_not_called_copies(clean: Path, tmp_path: Path) -> None:
    """Different faces can be as similar, so the page leaves the judgement to who looks at them."""
    save(clean / "train/happy/mirrored.png", np.ascontiguousarray(face(6)[:, ::-1]))
    write_audit(look(clean), tmp_path / "out")
    page = (tmp_path / "out" / "audit.html").read_text(encoding="utf-8")
    assert "They may be crops" in page
    assert "look at the pairs" in page


def test_cleaning_is_advised_for_training_images_alone(clean: Path, tmp_path: Path) -> None:
    """The page tells how many of the flagged images drop_flags takes away: none of val or test."""
    blank = np.full((48, 48, 3), 90, np.uint8)
    save(clean / "test/happy/blank.png", blank)
    write_audit(look(clean), tmp_path / "out")
    page = (tmp_path / "out" / "audit.html").read_text(encoding="utf-8")
    assert "All are in val or test, which are not changed." in page
    assert "drop_flags = [&#34;blank&#34;]" not in page
    save(clean / "train/happy/blank.png", blank)
    write_audit(look(clean), tmp_path / "out", force=True)
    page = (tmp_path / "out" / "audit.html").read_text(encoding="utf-8")
    assert "To exclude the training images among them (1):" in page
    assert "drop_flags = [&#34;blank&#34;]" in page


def test_a_report_is_not_overwritten(clean: Path, tmp_path: Path) -> None:
    """A folder with files stays as it is without --force, and is checked before the work."""
    out = tmp_path / "out"
    save(out / "mine.png", face(1))
    arguments = ["data", "audit", f"folder:{clean}", "--output", str(out), "--detector", "none"]
    result = CliRunner().invoke(app, arguments)
    assert isinstance(result.exception, EmodetectError)
    assert [file.name for file in out.iterdir()] == ["mine.png"]
    result = CliRunner().invoke(app, [*arguments, "--force"])
    assert result.exit_code == 0, result.output
    assert {file.name for file in out.iterdir()} == {
        "mine.png",
        "audit.html",
        "audit.json",
        "manifest.csv",
    }
    assert "test images in train" in result.output


def test_single_images_and_empty_sources(tmp_path: Path) -> None:
    """One image is an audit; none, or a source that is not there, is one clear error."""
    with pytest.raises(DataError, match="no class folder found"):
        look(tmp_path)
    with pytest.raises(DataError, match="no folders named after emotions"):
        audit_sources(AuditOptions([str(tmp_path)]))
    with pytest.raises(DataError, match="no such file or folder"):
        audit_sources(AuditOptions([str(tmp_path / "absent")]))
    save(tmp_path / "one/happy/one.png", face(1))
    figures = write_audit(look(tmp_path / "one"), tmp_path / "out")
    assert figures["images"] == 1
    assert "no split" in (tmp_path / "out/audit.html").read_text()


def test_a_report_is_not_written_among_the_images(
    clean: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A report inside a source would be taken for a class folder; also where none is named."""
    monkeypatch.chdir(clean)
    arguments = ["data", "audit", "folder:.", "--detector", "none"]
    for out in ([], ["--output", "train/audit"]):
        result = CliRunner().invoke(app, [*arguments, *out])
        assert isinstance(result.exception, EmodetectError)
        assert "is inside ., and" in str(result.exception)
    assert {path.name for path in clean.iterdir()} == {"train", "test"}


def test_unreadable_images_of_one_name_are_all_told(clean: Path, tmp_path: Path) -> None:
    """Of several sources each unreadable image is told, though another has the same name."""
    for root in (clean, tmp_path / "other"):
        (root / "train/happy").mkdir(parents=True, exist_ok=True)
        (root / "train/happy/bad.png").write_bytes(b"no image")
    first = summary(look(clean, tmp_path / "other"))["unreadable"]["first"]
    assert [name.rpartition(": ")[2] for name in first] == ["train/happy/bad.png"] * 2
    assert list(summary(look(clean))["unreadable"]["first"]) == ["train/happy/bad.png"]


def test_a_manifest_of_the_users_own_stays(clean: Path, tmp_path: Path) -> None:
    """--force replaces an earlier audit, never a manifest.csv that somebody made."""
    audit, out = look(clean), tmp_path / "mine"
    save(out / "a.png", face(1))
    (out / "manifest.csv").write_text("path,label\na.png,happy\n")
    with pytest.raises(EmodetectError, match="not created by an audit"):
        write_audit(audit, out, force=True)
    assert (out / "manifest.csv").read_text() == "path,label\na.png,happy\n"
    write_audit(audit, tmp_path / "out")
    write_audit(audit, tmp_path / "out", force=True)


def test_an_interrupted_audit_leaves_the_earlier_one(
    clean: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C while the files are written changes nothing, and the next audit is written."""
    audit, out = look(clean), tmp_path / "out"

    def written() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in out.iterdir()} if out.is_dir() else {}

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    for files in (0, 3):
        before = written()
        assert len(before) == files
        with monkeypatch.context() as patch:
            patch.setattr("emodetect.reports.audit_report.write_audit_rows", interrupt)
            with pytest.raises(KeyboardInterrupt):
                write_audit(audit, out, force=True)
        assert written() == before
        write_audit(audit, out, force=True)


def test_long_strips_have_no_face(tmp_path: Path) -> None:
    """Squared for the search, a long strip would take more memory than there is."""
    save(tmp_path / "faces" / "happy" / "strip.png", np.full((2, 60_000, 3), 128, np.uint8))
    save(tmp_path / "faces" / "sad" / "1.png", face(1, "sad"))
    audit = look(tmp_path / "faces", detector="haar")
    assert "happy/strip.png" in flagged(audit, "no_face")
