"""The crops that int8 is calibrated on: they set the range of every tensor in the network."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from emodetect.export.faces import Faces, read_faces
from emodetect.model_file.metadata import Metadata

# Ranges hardly change with more.
CALIBRATION_FACES = 500


def calibration_faces(
    folder: Path, metadata: Metadata, *, hold_out: bool
) -> tuple[Faces, Faces | None]:
    """Return the faces of a folder to calibrate on, and as many others to compare on.

    Args:
        hold_out: False if the file will be compared on other data. A file looks better than it is
            on images that its ranges were fitted to, so the two never share one.

    Raises DataError as `read_faces`.
    """
    if not hold_out:
        return read_faces(folder, metadata, at_most=CALIBRATION_FACES), None
    found = read_faces(folder, metadata, at_most=2 * CALIBRATION_FACES)
    calibration = Faces(images=found.images[::2], origin=found.origin, skipped=found.skipped)
    rest = Faces(images=found.images[1::2], origin=f"other images of {found.origin}")
    return calibration, rest


def calibration_batches(crops: np.ndarray) -> Iterator[list[np.ndarray]]:
    """Give (n, size, size, channels) uint8 crops as the converter takes them, one by one."""
    for number, crop in enumerate(crops.astype(np.float32)):
        if number == 0:  # with a range of 0 to 255, the file takes pixels as they are
            crop.flat[0], crop.flat[-1] = 0, 255
        yield [crop[np.newaxis]]
