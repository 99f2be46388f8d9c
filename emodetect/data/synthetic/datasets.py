"""Drawing a data set of class folders."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from emodetect.data.synthetic.faces import draw_face
from emodetect.data.synthetic.geometry import WEAKEST, check_emotions


def draw_dataset(
    directory: Path,
    *,
    counts: Mapping[str, int],
    emotions: Sequence[str],
    seed: int,
    size: int = 64,
    weakest: float = WEAKEST,
) -> None:
    """Write a data set of class folders: `directory/<split>/<emotion>/<emotion>_<nnnnn>.png`.

    The same arguments write the same bytes; no two splits share random numbers.

    Args:
        counts: images per emotion in each split, such as {"train": 200, "test": 50}.
        size: side of the pictures in pixels.
        weakest: as in `draw_face`.

    Raises:
        ValueError: for an unknown emotion or a negative count, before anything is written.
    """
    check_emotions(emotions)
    for split, count in counts.items():
        if count < 0:
            raise ValueError(f"counts[{split!r}]: expected 0 or more, got {count}")
    for split, count in counts.items():
        for emotion in emotions:
            folder = directory / split / emotion
            folder.mkdir(parents=True, exist_ok=True)
            stream = [seed, zlib.crc32(split.encode()), zlib.crc32(emotion.encode())]
            rng = np.random.default_rng(stream)
            for index in range(count):
                face = draw_face(emotion, rng, size=size, weakest=weakest)
                encoded: Any = cv2.imencode(".png", face)[1]
                (folder / f"{emotion}_{index:05d}.png").write_bytes(encoded.tobytes())
