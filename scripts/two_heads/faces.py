"""The training images of two manifests, their targets, and what a teacher answers to them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from emodetect.config import validate_data
from emodetect.data.dataset import load_dataset
from emodetect.data.sketch import Sketch
from emodetect.emotions import EMOTIONS
from emodetect.errors import EmodetectError

SEED = 0
HEADS = {"fer2013": tuple(e for e in EMOTIONS if e != "contempt"), "ferplus": EMOTIONS}


@dataclass(frozen=True)
class Faces:
    """Training images.

    Attributes:
        names: of the files.
        images: (n, 1, 48, 48) uint8 crops.
        targets: of each head, (n, emotions) float32; zeros for an image that its manifest does not
            list, which then adds nothing to the loss.
        sketch: of the images.
    """

    names: list[str]
    images: torch.Tensor
    targets: list[torch.Tensor]
    sketch: Sketch


def read_faces(manifests: tuple[Path, Path]) -> Faces:
    """Read the training images of the manifests for both heads, in the order of HEADS."""
    images: dict[Path, np.ndarray] = {}
    listed, sketch = [], Sketch()
    for manifest in manifests:
        data = {"source": "manifest", "path": str(manifest), "soft_labels": True}
        dataset = load_dataset(validate_data(data, origin=str(manifest)), seed=SEED)
        rows = dataset.indices("train")
        paths = [dataset.root / path for path in dataset.paths[rows]]
        images.update(zip(paths, dataset.images[rows], strict=True))
        listed.append((paths, dataset.targets[rows]))
        sketch = sketch.with_images_of(dataset.sketch(("train",)))
    place = {path: number for number, path in enumerate(images)}
    targets = []
    for paths, known in listed:
        columns = torch.zeros(len(images), known.shape[1])
        columns[[place[path] for path in paths]] = torch.from_numpy(known)
        targets.append(columns)
    return Faces(
        [path.name for path in images],
        torch.from_numpy(np.stack(list(images.values()))).permute(0, 3, 1, 2),
        targets,
        sketch,
    )


def save_answers(path: Path, faces: Faces, answers: Mapping[str, torch.Tensor]) -> None:
    """Write the probabilities of each head, (n, emotions), in steps of 1/255."""
    rounded = {head: (255 * found).round().byte().numpy() for head, found in answers.items()}
    np.savez_compressed(path, names=np.array(faces.names, "S"), **rounded)


def taught(faces: Faces, answers: Path, *, share: float) -> Faces:
    """Return the images with targets a share of which is a teacher's answers.

    Raises EmodetectError for an image that the file of `save_answers` does not have.
    """
    kept = np.load(answers)
    rows = {name.decode(): row for row, name in enumerate(kept["names"])}
    missing = [name for name in faces.names if name not in rows]
    if missing:
        raise EmodetectError(f"{answers}: no answer to {missing[0]}, and {len(missing) - 1} more.")
    order = [rows[name] for name in faces.names]
    targets = []
    for head, own in zip(HEADS, faces.targets, strict=True):
        found = torch.from_numpy(kept[head][order]).float()
        targets.append((1 - share) * own + share * found / found.sum(1, keepdim=True))
    return replace(faces, targets=targets)
