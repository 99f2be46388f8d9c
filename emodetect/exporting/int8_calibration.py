"""Calibrate int8: the crops that set the value range of every tensor in the network."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from emodetect.exporting.sample_faces import FaceCrops, read_faces
from emodetect.model_file.metadata import Metadata

# Ranges hardly change with more.
CALIBRATION_FACES = 500


def calibration_faces(
    folder: Path, metadata: Metadata, *, hold_out: bool
) -> tuple[FaceCrops, FaceCrops | None]:
    """Return the faces of a folder to calibrate on, and as many others to compare on.

    Args:
        hold_out: False if the file will be compared on other data. The two never share an image,
            because a file looks too good on images that its ranges were fitted to.

    Raises DataError as `read_faces`.
    """
    if not hold_out:
        return read_faces(folder, metadata, at_most=CALIBRATION_FACES), None
    found = read_faces(folder, metadata, at_most=2 * CALIBRATION_FACES)
    calibration = FaceCrops(images=found.images[::2], origin=found.origin, skipped=found.skipped)
    rest = FaceCrops(images=found.images[1::2], origin=f"other images of {found.origin}")
    return calibration, rest


def calibration_batches(crops: np.ndarray) -> Iterator[list[np.ndarray]]:
    """Yield (n, size, size, channels) uint8 crops one by one, as the converter expects them."""
    for number, crop in enumerate(crops.astype(np.float32)):
        if number == 0:  # so that the input range is 0-255, and the file takes raw pixels
            crop.flat[0], crop.flat[-1] = 0, 255
        yield [crop[np.newaxis]]
