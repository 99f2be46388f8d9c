"""Measure what fine-tuning the shipped model gains with only 300 faces.

    python scripts/fine_tuning.py data/fer2013 --weights FILE
    python scripts/fine_tuning.py data/fer2013 --weights FILE --kind camera

Splits the images of FER2013's test split that do not also appear in train into halves. 300 images
of one half train two models, one from the shipped model (preset fine_tuning) and one from ImageNet
weights (preset mobilenetv2_fer2013). Both, and the unchanged shipped model, are evaluated on the
other half. Repeats this for three seeds, each with its own halves. A fifth of the 300 images is for
validation.

The shipped model was trained on faces like these. `--kind` alters all of them in the same way, as
faces of another kind: `camera` (dark, blurred, noisy, compressed) or `framing` (a tighter, tilted
crop). The preset was not tuned with this script.
"""

from __future__ import annotations

from emodetect.training.train import train  # first, because it sets up TensorFlow

# isort: split
import csv
import sys
import tempfile
from pathlib import Path

import click
import cv2
import numpy as np
from sklearn.model_selection import train_test_split

from emodetect.config import (
    DataConfig,
    ExperimentConfig,
    ModelConfig,
    load_config,
    validate_data,
)
from emodetect.data.dataset import Dataset, load_for_evaluation
from emodetect.data.degradation import blur, jpeg
from emodetect.data.named_data import NamedData
from emodetect.errors import EmodetectError
from emodetect.evaluation.classify import predict_images
from emodetect.evaluation.labelled_images.image_selection import select_images
from emodetect.evaluation.labelled_images.labelled_data import load_source
from emodetect.evaluation.metrics.classification import compute_metrics
from emodetect.recognition.recognizer import EmotionRecognizer

PRESET = "fine_tuning"
IMAGES = 300


def other_camera(image: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Darken, blur, add noise to and compress a (48, 48, 1) uint8 image."""
    dark = blur(0.45 * image.astype(np.float32), 1.2)
    noisy = np.clip(dark + 10 * generator.standard_normal(dark.shape), 0, 255)
    return jpeg(noisy.astype(np.float32), 30).astype(np.uint8)


def other_framing(image: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Crop a (48, 48, 1) uint8 image to two thirds of its side, tilted by 15 to 25 degrees."""
    side = image.shape[0]
    turn = cv2.getRotationMatrix2D((side / 2, side / 2), generator.uniform(15, 25), 1.5)
    return cv2.warpAffine(image, turn, (side, side)).reshape(image.shape)


KINDS = {"same": None, "camera": other_camera, "framing": other_framing}


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option(
    "--weights",
    default="imagenet",
    show_default=True,
    help="Value of model.weights for the ImageNet start.",
)
@click.option("--kind", default="same", show_default=True, type=click.Choice(list(KINDS)))
@click.option("--seeds", default=3, show_default=True)
def main(folder: Path, weights: str, kind: str, seeds: int) -> None:
    """Train and evaluate. FOLDER contains FER2013 as class folders in train and test."""
    data = validate_data({"source": "folder", "path": str(folder)}, origin=str(folder))
    dataset = load_for_evaluation(data)
    unseen = select_images(dataset, "test", trained_on={str(folder): dataset}).members
    click.echo(
        f"{len(unseen):,} of {len(dataset.indices('test')):,} test images do not appear in train"
    )
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        for seed in range(seeds):
            manifest = work / f"{seed}.csv"
            _write_halves(manifest, dataset, unseen, kind, seed=seed)
            starts = {
                "from the shipped model": ModelConfig(init="shipped"),
                "from ImageNet": ModelConfig(weights=weights),
            }
            click.echo(f"seed {seed}")
            _evaluate("shipped model, unchanged", None, manifest)
            for number, (start, model) in enumerate(starts.items()):
                run = train(_config(manifest, model, work / f"{seed}-{number}", seed=seed))
                _evaluate(f"{start}, {IMAGES} images", run.artifact, manifest)


def _write_halves(out: Path, dataset: Dataset, unseen: np.ndarray, kind: str, *, seed: int) -> None:
    """Write a manifest: IMAGES of one half without a split, all of the other half as test."""
    halves = train_test_split(
        unseen, test_size=0.5, stratify=dataset.labels[unseen], random_state=seed
    )
    chosen, _ = train_test_split(
        halves[0], train_size=IMAGES, stratify=dataset.labels[halves[0]], random_state=seed
    )
    alter, generator = KINDS[kind], np.random.default_rng(seed)
    images = out.with_suffix("")
    images.mkdir()
    with out.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label", "split"])
        for rows, split in ((chosen, ""), (halves[1], "test")):
            for row in rows:
                image = dataset.images[row]
                path = images / f"{row}.png"
                cv2.imwrite(str(path), image if alter is None else alter(image, generator))
                writer.writerow([path, dataset.emotions[dataset.labels[row]], split])


def _config(manifest: Path, model: ModelConfig, run: Path, *, seed: int) -> ExperimentConfig:
    preset = load_config(PRESET)
    data = DataConfig(source="manifest", path=manifest, validation_fraction=0.2)
    training = preset.training
    if model.init is None:
        # Frozen batch norm and a low learning rate suit a trained model only.
        training = load_config("mobilenetv2_fer2013").training
    return preset.model_copy(
        update={"data": data, "model": model, "training": training, "output": run, "seed": seed}
    )


def _evaluate(name: str, model: Path | None, manifest: Path) -> None:
    recognizer = EmotionRecognizer(model, detector="none")
    data = load_source(NamedData("manifest", str(manifest)), recognizer.metadata, faces="whole")
    metrics = compute_metrics(predict_images(recognizer, data, data.indices("test")))
    click.echo(
        f"  {name}: accuracy {metrics['accuracy']:.1%}, "
        f"balanced accuracy {metrics['balanced_accuracy']:.1%} ({metrics['images']:,} images)"
    )


if __name__ == "__main__":
    try:
        main()
    except EmodetectError as error:
        sys.exit(f"Error: {error}")
