"""Write pictures for tests."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np


def save(path: Path, image: np.ndarray, *options: int) -> Path:
    """Write an image by the suffix of its name; return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(path.suffix, image, options)[1].tobytes())
    return path
