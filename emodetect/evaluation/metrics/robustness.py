"""Corruption robustness: accuracy on corrupted copies of the images.

The corruptions are simple, and some are also training augmentations (`data.degradation`): they
show where a model is brittle, not how it does on another camera's pictures.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from emodetect.data.degradation import REFERENCE_SIDE, blur, jpeg, sharpen
from emodetect.evaluation.classify import classify
from emodetect.evaluation.predictions import ImagePredictions
from emodetect.recognition.recognizer import EmotionRecognizer


def corrupted_accuracies(
    recognizer: EmotionRecognizer, predictions: ImagePredictions
) -> dict[str, dict[str, float]]:
    """Classify corrupted copies of the images.

    Returns:
        by the names of CORRUPTIONS, the "accuracy" (0-1) and the "difference_points" from the
        accuracy on the original images, in percentage points, negative if lower.
    """
    original = np.mean(predictions.correct)
    accuracies = {}
    for name, corrupt in CORRUPTIONS.items():
        images = np.stack([corrupt(image) for image in predictions.images])
        probabilities = classify(recognizer, images, description=name)
        accuracy = np.mean(np.argmax(probabilities, axis=1) == predictions.labels)
        accuracies[name] = {
            "accuracy": float(accuracy),
            "difference_points": float(100 * (accuracy - original)),
        }
    return accuracies


def _transform(image: np.ndarray, *, scale: float = 1.0, shift: float = 0.0) -> np.ndarray:
    """Scale about the centre, and shift right and down by a share of the side.

    Edge pixels are repeated outside the crop.
    """
    side = image.shape[0]
    offset = (1 - scale) * (side - 1) / 2 + shift * side
    matrix = np.array([[scale, 0, offset], [0, scale, offset]])
    moved = cv2.warpAffine(image, matrix, (side, side), borderMode=cv2.BORDER_REPLICATE)
    return moved.reshape(image.shape)


def _coarsen(image: np.ndarray) -> np.ndarray:
    side = image.shape[0]
    small = cv2.resize(image, (side // 2, side // 2), interpolation=cv2.INTER_AREA)
    return cv2.resize(small, (side, side), interpolation=cv2.INTER_LINEAR).reshape(image.shape)


def _add_noise(image: np.ndarray) -> np.ndarray:
    # The same noise for every image, so that no copy depends on the other images.
    spread = np.random.default_rng(0).normal(0, 10, image.shape)
    return _to_pixels(np.clip(image + spread, 0, 255))


def _sharpen(image: np.ndarray) -> np.ndarray:
    sharper = sharpen(image.astype(np.float32), 1.0, sigma=_reference_pixels(image))
    return _to_pixels(sharper)


def _to_pixels(image: np.ndarray) -> np.ndarray:
    pixels: np.ndarray = np.rint(image).astype(np.uint8)
    return pixels


def _reference_pixels(image: np.ndarray) -> float:
    """Return the number of pixels here that correspond to one pixel at the reference size."""
    return float(image.shape[0] / REFERENCE_SIDE)


# Each takes and returns (size, size, channels) uint8. The names are keys of metrics.json.
CORRUPTIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "25% tighter": lambda image: _transform(image, scale=1.25),
    "25% wider": lambda image: _transform(image, scale=1 / 1.25),
    "shifted 10% right and down": lambda image: _transform(image, shift=0.1),
    "shifted 10% left and up": lambda image: _transform(image, shift=-0.1),
    "darker": lambda image: _to_pixels(image * 0.5),
    "blurred": lambda image: blur(image, _reference_pixels(image)),
    "sharper": _sharpen,
    "noise of 10 grey levels": _add_noise,
    "half the resolution": _coarsen,
    "mirrored": lambda image: image[:, ::-1],
    "JPEG 30": lambda image: _to_pixels(jpeg(image, 30)),
}
