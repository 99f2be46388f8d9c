"""The training images of two manifests, and their targets."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from emodetect.config import validate_data
from emodetect.data.dataset import load_dataset
from emodetect.data.sketch import Sketch
from emodetect.emotions import EMOTIONS

SEED = 0
HEADS = {"fer2013": tuple(e for e in EMOTIONS if e != "contempt"), "ferplus": EMOTIONS}


@dataclass(frozen=True)
class Faces:
    """Training images.

    Attributes:
        images: (n, 1, 48, 48) uint8 crops.
        targets: of each head, (n, emotions) float32; zeros for an image that its manifest does not
            list, from which the head then learns nothing but a teacher's answer.
        sketch: of the images.
    """

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
        torch.from_numpy(np.stack(list(images.values()))).permute(0, 3, 1, 2),
        targets,
        sketch,
    )
