"""Drawing one face, framed as a face detector would crop it."""

from __future__ import annotations

import math

import cv2
import numpy as np

from emodetect.data.synthetic.geometry import WEAKEST, check_emotions
from emodetect.data.synthetic.pen import Image, Pen
from emodetect.data.synthetic.person import draw_person

# Maps a drawn head to the box in which the Haar detector finds it on average.
FRAME_SCALE, FRAME_DROP = 0.834, 0.010
SUPERSAMPLED_FACE = 192
TILT_DEGREES = 6.0  # at most, either way


def draw_face(
    emotion: str, rng: np.random.Generator, *, size: int = 96, weakest: float = WEAKEST
) -> Image:
    """Draw one face, framed as a face detector would crop it, with a little jitter.

    The same state of `rng` gives the same picture.

    Args:
        weakest: the lowest strength of the expression; 1 is a full one, 0 is neutral.

    Returns:
        (size, size, 3) uint8 BGR.

    Raises:
        ValueError: for an unknown emotion or a size below 1.
    """
    check_emotions([emotion])
    if size < 1:
        raise ValueError(f"size: expected at least 1 pixel, got {size}")
    scale = max(2, math.ceil(SUPERSAMPLED_FACE / size))
    pixels = size * scale
    canvas = draw_background(pixels, pixels, 1, rng)
    draw_person(pen_for(canvas, _jittered_box(pixels, rng), rng), emotion, rng, weakest=weakest)
    return develop(canvas, size, size, rng.uniform(0.004, 0.011) * size, rng)


def _jittered_box(pixels: int, rng: np.random.Generator) -> tuple[float, float, float]:
    """Return a box (left, top, side) of about the whole picture: detectors are never exact."""
    side = pixels * rng.normal(1.0, 0.03)
    offset_x, offset_y = rng.normal(0.0, 0.015, 2) * pixels
    return 0.5 * (pixels - side) + offset_x, 0.5 * (pixels - side) + offset_y, side


def pen_for(canvas: Image, box: tuple[float, float, float], rng: np.random.Generator) -> Pen:
    """Return a pen for a face in a box (left, top, side), with a random pose."""
    left, top, side = box
    centre = (left + 0.5 * side, top + (0.5 + FRAME_DROP) * side)
    tilt = math.radians(rng.uniform(-TILT_DEGREES, TILT_DEGREES))
    yaw = float(np.clip(rng.normal(0.0, 0.02), -0.045, 0.045))
    return Pen(canvas, centre, side * FRAME_SCALE, tilt, yaw)


def draw_background(height: int, width: int, shapes: int, rng: np.random.Generator) -> Image:
    """Return (height, width, 3) uint8: a colour gradient with large faint shapes."""
    corners = rng.uniform(50, 215) + rng.uniform(-40, 40, (2, 2, 3))
    ramp = cv2.resize(corners.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    canvas: Image = np.clip(ramp, 0, 255).astype(np.uint8)
    for _ in range(shapes):
        colour = tuple(corners.mean((0, 1)) + rng.normal(0.0, 35.0, 3))
        x, y = int(rng.integers(width)), int(rng.integers(height))
        across, down = int(rng.uniform(0.08, 0.4) * width), int(rng.uniform(0.1, 0.5) * height)
        cv2.rectangle(canvas, (x, y), (x + across, y + down), colour, -1)
    return canvas


def develop(canvas: Image, width: int, height: int, blur: float, rng: np.random.Generator) -> Image:
    """Return the canvas as a camera might take it: reduced, blurred, unevenly lit and noisy.

    Args:
        blur: sigma in pixels.
    """
    small = cv2.resize(canvas, (width, height), interpolation=cv2.INTER_AREA)
    soft = cv2.GaussianBlur(small, (0, 0), blur)
    slope = rng.uniform(-0.22, 0.22, 2)
    across = np.linspace(-1.0, 1.0, width) * slope[0]
    down = np.linspace(-1.0, 1.0, height)[:, None] * slope[1]
    gain = (rng.uniform(0.7, 1.15) * (1.0 + across + down)).astype(np.float32)
    noise = rng.standard_normal((height, width), dtype=np.float32) * rng.uniform(0.5, 5.0)
    lit = soft * gain[..., None] + noise[..., None] + np.float32(rng.uniform(-8.0, 18.0))
    picture: Image = np.clip(np.rint(lit), 0, 255).astype(np.uint8)
    return picture
