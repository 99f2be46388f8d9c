"""Labelled images and predictions in memory, for tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from emodetect.data.dataset import Dataset
from emodetect.evaluation.predictions import ImagePredictions


def dataset_of(
    emotions: tuple[str, ...],
    labels: list[int],
    pixels: list[int],
    splits: list[str] | None = None,
    **others: Any,
) -> Dataset:
    """Return images of 16 x 16 equal pixels each, from crops of 48; in the split test if None."""
    count = len(labels)
    images = np.empty((count, 16, 16, 1), np.uint8)
    images[:] = np.array(pixels).reshape(-1, 1, 1, 1)
    values: dict[str, Any] = {
        "images": images,
        "labels": np.array(labels),
        "targets": np.eye(len(emotions), dtype=np.float32)[labels],
        "splits": np.array(splits or ["test"] * count, "U5"),
        "root": Path(),
        "paths": np.array([f"{number}.png" for number in range(count)], object),
        "sides": np.full(count, 48, np.int32),
        "digests": np.array(pixels).astype(bytes),
        "traits": {},
        "groups": np.arange(count),
        "emotions": emotions,
        "carved": (),
        "skipped": (),
        "left_out": {},
        "fingerprint": "",
        "order": "",
    }
    return Dataset(**{**values, **others})


def list_faces(faces: Path, column: str, value: Callable[[int], str]) -> Path:
    """Write people.csv next to class folders: their images, and a column with a value for each."""
    root = faces.parent
    rows = [
        f"{file.relative_to(root)},{file.parent.name},{value(number)}"
        for number, file in enumerate(sorted(faces.rglob("*.png")))
    ]
    text = "\n".join([f"path,label,{column}", *rows])
    (root / "people.csv").write_text(text, encoding="utf-8")
    return root / "people.csv"


def predictions_of(
    labels: list[int], probabilities: list[list[float]], emotions: tuple[str, ...]
) -> ImagePredictions:
    """Return predictions on images of noise, 16 x 16."""
    count = len(labels)
    return ImagePredictions(
        emotions=emotions,
        labels=np.array(labels),
        probabilities=np.array(probabilities, np.float32),
        images=np.random.default_rng(0).integers(0, 256, (count, 16, 16, 1), dtype=np.uint8),
        paths=np.array([f"{number}.png" for number in range(count)]),
        crops=np.array(["1/1"] * count),
        groups=np.arange(count),
    )
