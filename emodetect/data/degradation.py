"""Image degradation as seen in other sources: blur, sharpening, noise and JPEG compression.

Strengths are given for crops of 48 pixels and scale with the crop, so that a face looks equally
degraded at every size.
"""

from __future__ import annotations

import cv2
import numpy as np

# The side, in pixels, for which the strengths below are given.
REFERENCE_SIDE = 48
BLUR_SIGMA = (0.4, 1.6)  # pixels
SHARPENING = (0.3, 1.5)
NOISE_STD = (2.0, 14.0)  # of pixels 0-255
JPEG_QUALITY = (15, 80)


def degrade(images: np.ndarray, probability: float, generator: np.random.Generator) -> np.ndarray:
    """Blur or sharpen, add noise to, and compress images, each with the given probability.

    Args:
        images: (n, side, side, channels) float32 in 0-255.

    Returns:
        The same shape and range.
    """
    changed = images.copy()
    scale = images.shape[1] / REFERENCE_SIDE
    for number, image in enumerate(images):
        softened, noisy, compressed, sharpened = generator.random(4) < [*[probability] * 3, 0.5]
        strength, noise, quality = generator.random(3)
        if softened and sharpened:
            image = sharpen(image, _between(SHARPENING, strength), sigma=scale)
        elif softened:
            image = blur(image, _between(BLUR_SIGMA, strength) * scale)
        if noisy:
            spread = generator.standard_normal(image.shape, np.float32)
            image = np.clip(image + _between(NOISE_STD, noise) * spread, 0, 255)
        if compressed:
            image = jpeg(image, round(_between(JPEG_QUALITY, quality)))
        changed[number] = image
    return changed


def blur(image: np.ndarray, sigma: float) -> np.ndarray:
    """Return a (height, width, channels) image after a Gaussian blur of `sigma` pixels."""
    return cv2.GaussianBlur(image, (0, 0), sigma).reshape(image.shape)


def sharpen(image: np.ndarray, amount: float, *, sigma: float) -> np.ndarray:
    """Return a float image in 0-255 after an unsharp mask of radius `sigma`."""
    sharper: np.ndarray = np.clip(image + amount * (image - blur(image, sigma)), 0, 255)
    return sharper


def jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    """Return a (height, width, 1 or 3) image in 0-255 after JPEG compression, as float32."""
    _, data = cv2.imencode(
        ".jpg", np.rint(image).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, quality]
    )
    # Not IMREAD_UNCHANGED, which treats JPEGs differently in different versions of OpenCV.
    mode = cv2.IMREAD_GRAYSCALE if image.shape[2] == 1 else cv2.IMREAD_COLOR
    decoded = cv2.imdecode(data, mode)
    assert decoded is not None  # encoded just above
    return decoded.reshape(image.shape).astype(np.float32)


def _between(limits: tuple[float, float], share: float) -> float:
    low, high = limits
    return low + (high - low) * share
