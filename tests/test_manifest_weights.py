"""Manifests with a weight for each emotion: votes of people, or a teacher's probabilities."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from emodetect.config import DataConfig, load_config
from emodetect.data.dataset import Dataset, load_dataset, load_for_evaluation
from emodetect.data.readers.registry import list_samples
from emodetect.errors import DataError


def _write(folder: Path, header: str, *rows: str) -> Path:
    """A manifest of these rows, beside two pictures that they may name."""
    for number, name in enumerate(("a.png", "b.png")):
        cv2.imwrite(str(folder / name), np.full((48, 48), 60 + 90 * number, np.uint8))
    path = folder / "weighed.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def _config(path: Path, **values: object) -> DataConfig:
    return DataConfig(
        source="manifest",
        path=path,
        soft_labels=True,
        cache_dir=path.parent / "cache",
        **values,  # type: ignore[arg-type]
    )


def _load(path: Path, **values: object) -> Dataset:
    return load_for_evaluation(_config(path, **values))


def test_weights_become_shares_in_the_label_order(tmp_path: Path) -> None:
    """Columns stand in any order, under any known name; an emotion's share is of its row."""
    path = _write(
        tmp_path,
        "path,sadness,happy,label,surprised",
        "a.png,1,3,happy,0",
        "b.png,0.5,0.25,sad,0.25",
    )
    dataset = _load(path)
    assert dataset.emotions == ("happy", "sad")
    np.testing.assert_allclose(dataset.targets, [[0.75, 0.25], [1 / 3, 2 / 3]], atol=1e-6)
    three = _write(tmp_path, "path,label,sad,happy", "a.png,sad,2,2", "b.png,happy,0,1")
    np.testing.assert_allclose(_load(three).targets, [[0.5, 0.5], [1, 0]])


def test_the_label_decides_where_weights_tie_or_disagree(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Accuracy counts the label, training the weights, even where another emotion has most.

    How often that is so is told, because columns may have been mixed up.
    """
    caplog.set_level("INFO")
    path = _write(tmp_path, "path,label,happy,sad", "a.png,sad,9,1", "b.png,happy,1,1")
    dataset = _load(path)
    assert [dataset.emotions[label] for label in dataset.labels] == ["sad", "happy"]
    assert "in 1 of 2 images another emotion has more weight than the label" in caplog.text


def test_without_soft_labels_the_columns_are_not_used(tmp_path: Path) -> None:
    """The same manifest trains on plain labels, whatever stands in the other columns."""
    path = _write(tmp_path, "path,label,happy,sad", "a.png,sad,many,", "b.png,happy,1,1")
    config = _config(path).model_copy(update={"soft_labels": False})
    np.testing.assert_array_equal(load_for_evaluation(config).targets, [[0, 1], [1, 0]])


def test_classes_share_what_their_own_columns_have(tmp_path: Path) -> None:
    """With data.classes the weights of other emotions do not count."""
    path = _write(
        tmp_path,
        "path,label,fear,happy,sad",
        "a.png,sad,8,1,1",
        "b.png,happy,0,3,1",
        "c.png,fear,1,0,0",
    )
    dataset = _load(path, classes=("sad", "happy"))
    np.testing.assert_allclose(dataset.targets, [[0.5, 0.5], [0.25, 0.75]])


def test_weights_change_the_fingerprint(tmp_path: Path) -> None:
    """Other targets are other training data, though images and labels are the same."""
    header = "path,label,happy,sad"
    before = _load(_write(tmp_path, header, "a.png,sad,1,2", "b.png,happy,1,0")).fingerprint
    after = _load(_write(tmp_path, header, "a.png,sad,1,3", "b.png,happy,1,0")).fingerprint
    assert before != after


@pytest.mark.parametrize(
    ("header", "row", "message"),
    [
        (
            "path,label,happy,sad",
            "a.png,sad,x,1",
            "line 2: expected a weight of 0 or more for happy",
        ),
        ("path,label,happy,sad", "a.png,sad,1,-1", "expected a weight of 0 or more for sad"),
        ("path,label,happy,sad", "a.png,sad,nan,1", "got 'nan'"),
        ("path,label,happy,sad", "a.png,sad,inf,1", "got 'inf'"),
        ("path,label,happy,sad", "a.png,sad,,1", "got ''"),
        ("path,label,happy,sad", "a.png,sad,0,0", "a.png has no weight for any of happy, sad"),
        ("path,label,happy", "a.png,sad,1", "missing: sad"),
        ("path,label", "a.png,sad", "missing: happy, sad"),
        (
            "path,label,happy,joy,sad",
            "a.png,sad,1,1,1",
            "one column for happy, got 'happy' and 'joy'",
        ),
    ],
)
def test_weights_at_fault_are_refused(tmp_path: Path, header: str, row: str, message: str) -> None:
    """A weight that is none, a row without any and a missing column are named."""
    rest = header.count(",") - 1
    path = _write(tmp_path, header, row, "b.png,happy" + ",1" * rest)
    with pytest.raises(DataError) as raised:
        list_samples(_config(path))
    assert message in str(raised.value)


def test_validation_goes_by_the_label_not_by_the_weights(tmp_path: Path) -> None:
    """A model that weights teach the opposite of the labels validates worse the more it learns."""
    generator = np.random.default_rng(0)
    rows = []
    for split, count in (("train", 64), ("val", 32), ("test", 2)):
        for number in range(count):
            happy = number % 2
            pixels = generator.integers(0, 60, (32, 32), dtype=np.uint8) + 190 * happy
            name = f"{split}{number}.png"
            cv2.imwrite(str(tmp_path / name), pixels.astype(np.uint8))
            label, weights = ("happy", "0,1") if happy else ("sad", "1,0")
            rows.append(f"{name},{label},{split},{weights}")
    path = tmp_path / "opposite.csv"
    path.write_text("\n".join(["path,label,split,happy,sad", *rows]) + "\n")
    config = load_config(
        "lenet5_happy_sad_angry",
        [
            f"data={{source='manifest', path='{path}', soft_labels=true, image_size=32}}",
            f"data.cache_dir={tmp_path / 'cache'}",
            "model.backbone_size=32",
            "model.dense=[16]",
            "training.epochs=4",
            "training.batch_size=16",
            "training.ema_momentum=0.0",
            "augmentation={flip=false, rotation_degrees=0.0, brightness=0.0, contrast=0.0}",
            f"output={tmp_path / 'run'}",
        ],
    )
    from emodetect.training.run_folder import read_history
    from emodetect.training.train import train

    run = train(config).run
    last = read_history(run / "history.csv")[-1]
    assert last["accuracy"] > 0.9  # of what it was taught
    assert last["val_accuracy"] < 0.1


def test_weights_of_any_size_become_shares(tmp_path: Path) -> None:
    """Very small and very large weights, as a program may write them, are shares all the same."""
    header = "path,label,happy,sad"
    path = _write(tmp_path, header, "a.png,sad,1e-50,3e-50", "b.png,happy,1e300,1e300")
    np.testing.assert_allclose(_load(path).targets, [[0.25, 0.75], [0.5, 0.5]], atol=1e-6)


def test_an_emotion_without_weight_in_train_is_refused(tmp_path: Path) -> None:
    """An emotion that is a label but has no weight anywhere could not be learnt."""
    path = _write(
        tmp_path,
        "path,label,split,happy,sad",
        "a.png,sad,train,1,0",
        "b.png,happy,val,1,0",
        "a.png,sad,test,0,1",
        "b.png,happy,train,2,0",
    )
    with pytest.raises(DataError, match="no weight of 'sad' is left to train on"):
        load_dataset(_config(path), seed=0)
