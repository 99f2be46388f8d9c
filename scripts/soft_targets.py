"""Write manifests of FER2013 with soft labels, such as those that trained the shipped models.

    python scripts/soft_targets.py votes data/fer2013 data/ferplus_votes.csv
    python scripts/soft_targets.py blend data/fer2013 data/fer2013_blend.csv \\
        --model runs/step1/best_model.keras
    python scripts/soft_targets.py blend data/fer2013 data/fer2013_labels.csv --share 0 \\
        --model runs/step1/best_model.keras
    python scripts/soft_targets.py distill data/fer2013_labels.csv data/fer2013_distilled.csv \\
        --share 0.2 --model fer2013

All use the validation split that `data.path = "data/fer2013"` gets with seed 0, so that a model
trained on one of them has not seen the validation images of the others.
"""

from __future__ import annotations

from emodetect.training.models.keras_files import load_keras

# isort: split
import csv
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import click
import keras
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from emodetect.config import AugmentationConfig, validate_data
from emodetect.data.augmentation import augment_images
from emodetect.data.dataset import Dataset, load_dataset
from emodetect.data.readers.ferplus import OTHER_VOTES, VOTE_COLUMNS
from emodetect.emotions import EMOTIONS
from emodetect.errors import EmodetectError
from emodetect.machine.progress import track
from emodetect.recognition.recognizer import EmotionRecognizer
from emodetect.recognition.runtimes.runtime import MAX_BATCH

SEED = 0
FOLDS = 5
NO_FACE = len(EMOTIONS) + list(OTHER_VOTES).index("NF")  # column of the votes
FEATURE_BATCH = 256

folder_argument = click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
out_argument = click.argument("out", type=click.Path(path_type=Path, dir_okay=False))
votes_option = click.option(
    "--votes",
    "votes_file",
    type=click.Path(path_type=Path, exists=True),
    help="fer2013new.csv. [default: the one in FOLDER]",
)


@click.group()
def main() -> None:
    """Write manifests of FER2013 with a weight for each emotion."""


@main.command("votes")
@folder_argument
@out_argument
@votes_option
def write_votes(folder: Path, out: Path, votes_file: Path | None) -> None:
    """Weight each emotion by its FER+ votes.

    Train includes every image whose leading emotion has more votes than "unknown" and "no face"
    together, even if emotions are tied. Val and test only include images with a strict winner
    among all columns, as in the published results on FER+.
    """
    dataset = _fer2013(folder)
    votes = _votes(votes_file or folder / "fer2013new.csv")
    _require_votes(dataset, votes)
    rows: list[list[object]] = []
    for path, split in zip(dataset.paths, dataset.splits, strict=True):
        counts = votes.get(Path(path).name)
        if counts is None:
            continue
        emotions, others = counts[: len(EMOTIONS)], counts[len(EMOTIONS) :]
        second, first = np.sort(counts)[-2:]
        if split == "train":
            usable = others.sum() < emotions.max()
        else:
            usable = second < first == emotions.max()
        if usable:
            rows.append(
                [_from(out, dataset.root / path), EMOTIONS[emotions.argmax()], split, *emotions]
            )
    _write(out, EMOTIONS, rows)


@main.command("blend")
@folder_argument
@out_argument
@votes_option
@click.option("--model", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--share", type=click.FloatRange(0, 1), default=0.6, show_default=True)
def write_blend(
    folder: Path, out: Path, votes_file: Path | None, model: Path, share: float
) -> None:
    """Blend FER2013's labels with predictions from the FER+ votes and a model's features.

    FER2013's labels come from one person and are noisy. A logistic regression predicts each image's
    label from its votes and from the features of MODEL, which was trained on votes alone. The
    predictions are out-of-fold (5 folds, identical images in the same fold). SHARE of a target is
    the prediction; the rest is the label, or the mean label of identical images. Only train is
    blended, without the images that most voters say show no face.
    """
    dataset = _fer2013(folder)
    counts = _votes(votes_file or folder / "fer2013new.csv")
    _require_votes(dataset, counts)
    votes = _shares(dataset, counts)
    train = dataset.indices("train")
    faceless = train[votes[train, NO_FACE] > 0.5]
    train = np.setdiff1d(train, faceless)
    click.echo(f"excluded {len(faceless):,} images of train: most votes say no face")
    images, labels = dataset.images[train], dataset.labels[train]
    _, same = np.unique([image.tobytes() for image in images], return_inverse=True)
    inputs = {
        # Roots as well, because the first vote for an emotion means more than the fifth.
        "votes": np.hstack([votes[train], np.sqrt(votes[train])]),
        "features": _features(model, images),
    }
    inputs["votes and features"] = np.hstack(list(inputs.values()))
    for name, columns in inputs.items():
        teacher = _out_of_fold(columns, labels, same)
        click.echo(
            f"{name}: accuracy {np.mean(teacher.argmax(axis=1) == labels):.1%} on train, "
            f"log-loss {log_loss(labels, teacher):.3f}"
        )
    targets = dataset.targets.copy()
    targets[train] = (1 - share) * _group_means(targets[train], same) + share * teacher
    members = np.setdiff1d(dataset.indices("all"), faceless)
    _write_targets(out, dataset, members, splits=dataset.splits, targets=targets)


@main.command("distill")
@click.argument("manifest", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@out_argument
@click.option(
    "--model", "models", multiple=True, required=True, help="A teacher model. Repeatable."
)
@click.option("--share", type=click.FloatRange(0, 1), default=0.5, show_default=True)
@click.option("--views", type=click.IntRange(min=1), default=4, show_default=True)
@click.option(
    "--validation",
    type=click.FloatRange(0, 1, min_open=True),
    default=1.0,
    show_default=True,
    help="Share of the validation images to keep; the rest joins train, for the final run of a "
    "chosen recipe.",
)
def write_distilled(
    manifest: Path, out: Path, models: tuple[str, ...], share: float, views: int, validation: float
) -> None:
    """Blend the weights of a manifest with the predictions of an ensemble of models.

    An ensemble knows more than each of its models (Hinton et al. 2015). SHARE of a train image's
    target is the mean prediction for VIEWS augmented copies of it. Copies, because the models were
    trained on the image itself and may have memorised its label.
    """
    data = {"source": "manifest", "path": str(manifest), "soft_labels": True}
    dataset = load_dataset(validate_data(data, origin=str(manifest)), seed=SEED)
    splits = np.array(dataset.splits)
    splits[_joining_train(dataset, 1 - validation)] = "train"
    train = np.flatnonzero(splits == "train")
    teacher = np.zeros((len(train), len(dataset.emotions)))
    for model in models:
        recognizer = EmotionRecognizer(model, detector="none")
        columns = [recognizer.emotions.index(emotion) for emotion in dataset.emotions]
        starts = range(0, len(train), MAX_BATCH)
        for start in track(starts, description=model, total=len(starts)):
            images = dataset.images[train[start : start + MAX_BATCH]]
            for view in range(views):
                copies = augment_images(images, config=AugmentationConfig(), seed=start + view)
                probabilities = recognizer.classify_inputs(copies)[:, columns]
                teacher[start : start + MAX_BATCH] += probabilities / (views * len(models))
    agreement = np.mean(teacher.argmax(axis=1) == dataset.labels[train])
    click.echo(f"teachers: accuracy {agreement:.1%} on train")
    targets = dataset.targets.copy()
    targets[train] = (1 - share) * targets[train] + share * teacher
    members = np.arange(len(dataset.paths))
    _write_targets(out, dataset, members, splits=splits, targets=targets)


def _joining_train(dataset: Dataset, share: float) -> np.ndarray:
    """Return the rows of about SHARE of validation; identical images stay together."""
    rows = dataset.indices("val")
    _, same = np.unique([dataset.images[row].tobytes() for row in rows], return_inverse=True)
    joins = np.random.default_rng(SEED).random(same.max(initial=0) + 1) < share
    joining: np.ndarray = rows[joins[same]]
    return joining


def _fer2013(folder: Path) -> Dataset:
    data = {"source": "folder", "path": str(folder)}
    return load_dataset(validate_data(data, origin=str(folder)), seed=SEED)


def _votes(path: Path) -> dict[str, np.ndarray]:
    """Return the votes by image name, for EMOTIONS in order, then unknown and no face."""
    columns = [*(VOTE_COLUMNS[emotion] for emotion in EMOTIONS), *OTHER_VOTES]
    with path.open(newline="", encoding="utf-8") as file:
        return {
            row["Image name"].strip(): np.array([int(row[name]) for name in columns])
            for row in csv.DictReader(file)
        }


def _require_votes(dataset: Dataset, votes: Mapping[str, np.ndarray]) -> None:
    """Report images without votes; fail if over 1% have none, as their names must be different."""
    without = sum(Path(path).name not in votes for path in dataset.paths)
    click.echo(f"{without:,} of {len(dataset.paths):,} images have no votes")
    if without > 0.01 * len(dataset.paths):
        raise click.ClickException(
            "expected the image names of fer2013new.csv, but over 1% of the images have no votes."
        )


def _shares(dataset: Dataset, votes: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return (n, emotions + unknown and no face) float; zeros for an image without votes."""
    none = np.zeros(len(EMOTIONS) + len(OTHER_VOTES))
    counts = np.array([votes.get(Path(path).name, none) for path in dataset.paths], float)
    shares: np.ndarray = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    return shares


def _features(path: Path, images: np.ndarray) -> np.ndarray:
    """Return (n, features) float32: the head's inputs and outputs, averaged over mirror images."""
    model = load_keras(path)
    head = keras.Model(model.input, [model.layers[-1].input, model.output])
    parts = []
    for start in range(0, len(images), FEATURE_BATCH):
        batch = images[start : start + FEATURE_BATCH].astype(np.float32)
        seen = [head(pixels, training=False) for pixels in (batch, batch[:, :, ::-1])]
        parts.append(
            np.hstack(
                [
                    np.mean([features for features, _ in seen], axis=0),
                    np.log(np.mean([probabilities for _, probabilities in seen], axis=0) + 1e-6),
                ]
            )
        )
    return np.concatenate(parts)


def _group_means(targets: np.ndarray, groups: np.ndarray) -> np.ndarray:
    sums = np.zeros((groups.max() + 1, targets.shape[1]))
    np.add.at(sums, groups, targets)
    means: np.ndarray = (sums / np.bincount(groups)[:, np.newaxis])[groups]
    return means


def _out_of_fold(inputs: np.ndarray, labels: np.ndarray, groups: np.ndarray) -> np.ndarray:
    teacher = make_pipeline(StandardScaler(), LogisticRegression(C=0.003, max_iter=300))
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=SEED)
    return cross_val_predict(
        teacher, inputs, labels, groups=groups, cv=folds, method="predict_proba"
    )


def _write_targets(
    out: Path,
    dataset: Dataset,
    members: np.ndarray,
    *,
    splits: Sequence[str] | np.ndarray,
    targets: np.ndarray,
) -> None:
    rows: list[list[object]] = [
        [
            _from(out, dataset.root / dataset.paths[row]),
            dataset.emotions[dataset.labels[row]],
            splits[row],
            *(f"{weight:.4f}" for weight in targets[row]),
        ]
        for row in members
    ]
    _write(out, dataset.emotions, rows)


def _from(out: Path, image: Path) -> str:
    return Path(os.path.relpath(image.absolute(), out.parent.absolute())).as_posix()


def _write(out: Path, emotions: tuple[str, ...], rows: list[list[object]]) -> None:
    with out.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["path", "label", "split", *emotions])
        writer.writerows(rows)
    click.echo(f"{out}: {len(rows):,} images")


if __name__ == "__main__":
    try:
        main()
    except EmodetectError as error:
        sys.exit(f"Error: {error}")
