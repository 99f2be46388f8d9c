"""Drawn faces with a known emotion and a known box, for tests and demos without a download.

Coordinates inside a face are in units of its box side: the origin is the box centre, x grows to
the right and y grows downwards, so the box spans -0.5 to 0.5 on both axes.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from emodetect.emotions import EMOTIONS

Image = NDArray[np.uint8]
Points = NDArray[np.float64]
Colour = tuple[float, float, float]

SMALLEST_SCENE_FACE = 70
# What a head covers around its box centre: hair above, ears beside, chin and neck below.
HEAD_LEFT_RIGHT, HEAD_TOP, HEAD_BOTTOM = 0.6, 0.73, 0.63
# Maps the drawing below to the box the Haar detector finds for it on average.
FRAME_SCALE, FRAME_DROP = 0.834, 0.010
SUPERSAMPLED_FACE = 192


@dataclass(frozen=True)
class SceneFace:
    """One drawn face: its square box (x, y, width, height) in pixels, and its emotion."""

    box: tuple[int, int, int, int]
    emotion: str


@dataclass(frozen=True)
class Scene:
    """A drawn picture, (height, width, 3) uint8 BGR, and the faces in it."""

    image: Image
    faces: tuple[SceneFace, ...]


@dataclass(frozen=True)
class FaceGeometry:
    """How an emotion shapes a face; lengths are in box sides, the rest are 0 to 1 strengths."""

    mouth_width: float = 0.30
    mouth_open: float = 0.0  # gap between the lips
    mouth_smile: float = 0.0  # corners above the middle; below when negative
    mouth_skew: float = 0.0  # right corner drawn up; the left one when negative
    mouth_square: float = 0.0  # 0 opens as an oval, 1 as a rectangle
    lip_raise: float = 0.0  # middle of the upper lip drawn up
    lip_thickness: float = 0.028
    teeth: float = 0.0  # part of the opening that the upper teeth fill
    brow_inner: float = 0.0  # inner end above its resting place
    brow_outer: float = 0.0
    brow_gap: float = 0.09  # inner end from the midline
    eye_open: float = 0.062  # height of the eye opening
    nose_wrinkle: float = 0.0
    brow_furrow: float = 0.0
    cheek_fold: float = 0.15


NEUTRAL = FaceGeometry()
# Some emotions have more than one look; a face takes one of them at random.
# fmt: off
GEOMETRIES: dict[str, tuple[FaceGeometry, ...]] = {
    "angry": (
        FaceGeometry(
            mouth_width=0.27, mouth_smile=-0.02, lip_thickness=0.012, brow_inner=-0.075,
            brow_outer=0.04, brow_gap=0.055, eye_open=0.05, brow_furrow=1.0, cheek_fold=0.3,
        ),
        FaceGeometry(
            mouth_width=0.30, mouth_open=0.085, mouth_smile=-0.015, mouth_square=1.0, teeth=1.0,
            lip_thickness=0.018, brow_inner=-0.075, brow_outer=0.04, brow_gap=0.055,
            eye_open=0.055, brow_furrow=1.0, cheek_fold=0.5,
        ),
    ),
    "disgust": (
        FaceGeometry(
            mouth_width=0.28, mouth_open=0.05, mouth_smile=-0.055, lip_raise=0.05, teeth=0.6,
            brow_inner=-0.045, brow_outer=-0.02, brow_gap=0.07, eye_open=0.026,
            nose_wrinkle=1.0, brow_furrow=0.4, cheek_fold=1.0,
        ),
    ),
    "fear": (
        FaceGeometry(
            mouth_width=0.42, mouth_open=0.085, mouth_smile=-0.035, mouth_square=0.5, teeth=0.4,
            lip_thickness=0.02, brow_inner=0.075, brow_outer=0.005, brow_gap=0.06,
            eye_open=0.098, cheek_fold=0.3,
        ),
    ),
    "happy": (
        FaceGeometry(
            mouth_width=0.46, mouth_open=0.10, mouth_smile=0.10, teeth=0.75,
            lip_thickness=0.02, brow_inner=0.012, brow_outer=0.012, eye_open=0.048,
            cheek_fold=0.7,
        ),
        FaceGeometry(
            mouth_width=0.46, mouth_smile=0.10, lip_thickness=0.026, brow_inner=0.012,
            brow_outer=0.012, eye_open=0.046, cheek_fold=0.7,
        ),
    ),
    "neutral": (NEUTRAL,),
    "sad": (
        FaceGeometry(
            mouth_width=0.28, mouth_smile=-0.08, lip_thickness=0.03, brow_inner=0.065,
            brow_outer=-0.05, brow_gap=0.07, eye_open=0.042, cheek_fold=0.35,
        ),
    ),
    "surprise": (
        FaceGeometry(
            mouth_width=0.20, mouth_open=0.175, teeth=0.18, brow_inner=0.044,
            brow_outer=0.034, eye_open=0.096, cheek_fold=0.0,
        ),
    ),
    "contempt": (
        FaceGeometry(
            mouth_width=0.30, mouth_smile=0.01, mouth_skew=0.095, lip_thickness=0.024,
            brow_inner=-0.005, brow_outer=0.015, eye_open=0.05, cheek_fold=0.3,
        ),
    ),
}
# fmt: on

SKINS: tuple[Colour, ...] = (
    (175, 195, 225), (155, 180, 216), (135, 166, 210), (115, 150, 205),
    (95, 130, 185), (75, 105, 160), (62, 88, 138),
)  # fmt: skip
HAIRS: tuple[Colour, ...] = (
    (25, 25, 30), (30, 40, 60), (45, 65, 95), (70, 110, 150), (120, 165, 195), (150, 150, 155),
)  # fmt: skip
BLACK: Colour = (0.0, 0.0, 0.0)
WHITE: Colour = (235.0, 240.0, 242.0)


@dataclass(frozen=True)
class _Pen:
    """Draws in box units on a supersampled canvas, turned and shifted as the head is posed."""

    canvas: Image
    centre: tuple[float, float]
    side: float
    tilt: float  # radians
    yaw: float  # how far the middle of the face moves sideways, in box sides

    def matrix(self) -> Points:
        """(2, 3) affine map from turned-head units to canvas pixels."""
        cosine, sine = math.cos(self.tilt) * self.side, math.sin(self.tilt) * self.side
        return np.array([[cosine, -sine, self.centre[0]], [sine, cosine, self.centre[1]]])

    def turned(self, points: Points) -> Points:
        bulge = np.clip(1.0 - (points[:, 0] / 0.6) ** 2, 0.0, 1.0)
        return points + np.stack([self.yaw * bulge, np.zeros_like(bulge)], axis=1)

    def pixels(self, points: Points) -> NDArray[np.int32]:
        affine = self.matrix()
        placed = self.turned(points) @ affine[:, :2].T + affine[:, 2]
        return np.rint(placed * 16).astype(np.int32)

    def fill(self, points: Points, colour: Colour) -> None:
        cv2.fillPoly(self.canvas, [self.pixels(points)], colour, cv2.LINE_AA, 4)

    def line(self, points: Points, colour: Colour, width: float) -> None:
        thickness = max(1, round(width * self.side))
        pixels = self.pixels(points)
        cv2.polylines(self.canvas, [pixels], False, colour, thickness, cv2.LINE_AA, 4)


def _mix(first: Colour, second: Colour, part: float) -> Colour:
    blend = np.array(first) * (1.0 - part) + np.array(second) * part
    return (float(blend[0]), float(blend[1]), float(blend[2]))


def _oval(x: float, y: float, half_width: float, half_height: float) -> Points:
    angles = np.linspace(0.0, 2.0 * math.pi, 40, endpoint=False)
    return np.stack([x + half_width * np.cos(angles), y + half_height * np.sin(angles)], axis=1)


def _check_emotions(emotions: Sequence[str]) -> None:
    for emotion in emotions:
        if emotion not in GEOMETRIES:
            raise ValueError(f"emotion must be one of {', '.join(EMOTIONS)}; got {emotion!r}")


def _vary_geometry(emotion: str, rng: np.random.Generator) -> FaceGeometry:
    """One person's version of an emotion: stronger or weaker, and a little off."""
    looks = GEOMETRIES[emotion]
    look = looks[int(rng.integers(len(looks)))]
    strength = rng.uniform(0.85, 1.15)
    varied: dict[str, float] = {}
    for field in fields(FaceGeometry):
        resting, full = getattr(NEUTRAL, field.name), getattr(look, field.name)
        value = resting + strength * (full - resting)
        if field.name in ("teeth", "mouth_square", "nose_wrinkle", "brow_furrow", "cheek_fold"):
            value = min(max(value + rng.normal(0.0, 0.07), 0.0), 1.0)
        elif field.name == "mouth_open":
            value = value * rng.uniform(0.85, 1.15)
        elif field.name in ("mouth_width", "lip_thickness", "eye_open", "brow_gap"):
            value = value * rng.normal(1.0, 0.06)
        else:
            value = value + rng.normal(0.0, 0.006)
        varied[field.name] = value
    if rng.random() < 0.5:
        varied["mouth_skew"] = -varied["mouth_skew"]
    return FaceGeometry(**varied)


def _draw_eyes(
    pen: _Pen, geometry: FaceGeometry, skin: Colour, hair: Colour, rng: np.random.Generator
) -> None:
    spread, half_width = rng.normal(0.195, 0.008), rng.normal(0.085, 0.004)
    eye_y, brow_y = -0.115, rng.normal(-0.235, 0.008)
    brow_thickness = rng.uniform(0.036, 0.052)
    iris = _mix((20, 25, 35), (90, 75, 55), rng.random())
    brow_colour = _mix(_mix(hair, skin, 0.15), BLACK, 0.6)
    gaze = rng.normal(0.0, 0.008)
    along = np.linspace(-1.0, 1.0, 15)
    for sign in (-1.0, 1.0):
        arch = 1.0 - along**2
        upper = np.stack(
            [sign * spread + half_width * along, eye_y - 0.62 * geometry.eye_open * arch], axis=1
        )
        lower = np.stack([upper[:, 0], eye_y + 0.38 * geometry.eye_open * arch], axis=1)
        pen.fill(np.concatenate([upper, lower[::-1]]), _mix(WHITE, skin, 0.35))
        for radius, colour in ((0.041, iris), (0.022, (8.0, 8.0, 8.0))):
            disc = _oval(sign * spread + gaze, eye_y - 0.008, radius, radius)
            disc[:, 1] = np.clip(
                disc[:, 1],
                np.interp(disc[:, 0], upper[:, 0], upper[:, 1]),
                np.interp(disc[:, 0], lower[:, 0], lower[:, 1]),
            )
            pen.fill(disc, colour)
        pen.line(upper, _mix(skin, BLACK, 0.85), 0.022)
        pen.line(lower, _mix(skin, BLACK, 0.5), 0.010)
        pen.line(upper - [0.0, 0.03], _mix(skin, BLACK, 0.35), 0.010)
        part = np.linspace(0.0, 1.0, 9)
        brow_x = sign * (geometry.brow_gap + part * (spread + 0.11 - geometry.brow_gap))
        rise = geometry.brow_inner * (1.0 - part) + geometry.brow_outer * part
        brow_line = brow_y - rise - 0.022 * np.sin(math.pi * part**1.3)
        half = 0.5 * brow_thickness * (1.0 - 0.6 * part**2)
        top = np.stack([brow_x, brow_line - half], axis=1)
        bottom = np.stack([brow_x, brow_line + half], axis=1)
        pen.fill(np.concatenate([top, bottom[::-1]]), brow_colour)


def _draw_nose(pen: _Pen, geometry: FaceGeometry, skin: Colour, rng: np.random.Generator) -> None:
    shade = _mix(skin, BLACK, 0.55)
    tip_y, half = rng.normal(0.125, 0.01), rng.normal(0.062, 0.006)
    tip_y -= 0.02 * geometry.nose_wrinkle
    for sign in (-1.0, 1.0):
        pen.fill(_oval(sign * 0.55 * half, tip_y, 0.026, 0.014), shade)
        wing = np.array([[0.75, -0.045], [1.1, -0.012], [0.9, 0.008]])
        pen.line(wing * [sign * half, 1.0] + [0.0, tip_y], _mix(skin, BLACK, 0.35), 0.012)
        if geometry.nose_wrinkle > 0.3:
            dark = _mix(skin, BLACK, 0.5 * geometry.nose_wrinkle)
            for level in (-0.115, -0.075, -0.035):
                crease = np.array([[0.012, level + 0.018], [0.055, level], [0.075, level + 0.025]])
                pen.line(crease * [sign, 1.0], dark, 0.011)
        if geometry.brow_furrow > 0.3:
            dark = _mix(skin, BLACK, 0.5 * geometry.brow_furrow)
            furrow = np.array([[0.022, -0.27], [0.018, -0.19]])
            pen.line(furrow * [sign, 1.0], dark, 0.012)
        if geometry.cheek_fold > 0.05:
            lifted = min(max(sign * geometry.mouth_skew / 0.1, 0.0), 1.0)
            dark = _mix(skin, BLACK, 0.42 * max(geometry.cheek_fold, lifted))
            corner = max(0.5 * geometry.mouth_width, 0.14) + 0.035
            fold = np.array([[half + 0.025, tip_y - 0.02], [corner - 0.01, 0.2], [corner, 0.27]])
            pen.line(fold * [sign, 1.0], dark, 0.012)


def _draw_mouth(pen: _Pen, geometry: FaceGeometry, skin: Colour, rng: np.random.Generator) -> None:
    along = np.linspace(-1.0, 1.0, 25)
    lip = _mix(_mix(skin, (70, 60, 170), rng.uniform(0.2, 0.5)), BLACK, rng.uniform(0.05, 0.2))
    power = 2.0 + 3.0 * geometry.mouth_square
    bow = (1.0 - np.abs(along) ** power) ** (1.0 / power)
    x = 0.5 * geometry.mouth_width * along
    middle = rng.normal(0.275, 0.008) - geometry.mouth_smile * (along**2 - 0.35)
    lifted = np.clip(along * math.copysign(1.0, geometry.mouth_skew), 0.0, 1.0)
    middle = middle - abs(geometry.mouth_skew) * lifted**1.5
    peak = geometry.lip_raise * np.exp(-((along / 0.7) ** 2))
    upper = middle - 0.42 * geometry.mouth_open * bow - peak
    lower = middle + 0.58 * geometry.mouth_open * bow - 0.3 * peak
    flesh = (1.0 - along**4) * geometry.lip_thickness
    outer_top = np.stack([x * 1.04, upper - flesh], axis=1)
    outer_bottom = np.stack([x * 1.04, lower + 1.3 * flesh], axis=1)
    pen.fill(np.concatenate([outer_top, outer_bottom[::-1]]), lip)
    inner_top, inner_bottom = np.stack([x, upper], axis=1), np.stack([x, lower], axis=1)
    dark = _mix(skin, (10, 5, 25), 0.85)
    pen.fill(np.concatenate([inner_top, inner_bottom[::-1]]), dark)
    if geometry.teeth * geometry.mouth_open > 0.008:
        edge = np.stack([x * 0.93, upper + geometry.teeth * 0.92 * (lower - upper)], axis=1)
        top = np.stack([x * 0.93, upper + 0.06 * (lower - upper)], axis=1)
        pen.fill(np.concatenate([top, edge[::-1]]), _mix(WHITE, skin, 0.15))
    pen.line(inner_top, dark, 0.020)
    pen.line(inner_bottom, dark, 0.008)


def _relief(pen: _Pen, geometry: FaceGeometry, rng: np.random.Generator) -> NDArray[np.float32]:
    """Light and shade of a head as a (64, 64) float32 gain over -0.8 to 0.8 box sides."""
    axis = np.linspace(-0.8, 0.8, 64)
    x, y = np.meshgrid(axis, axis)
    x = x - pen.yaw * np.clip(1.0 - (x / 0.6) ** 2, 0.0, 1.0)
    depth = rng.uniform(0.8, 1.2)
    stubble = 0.25 if rng.random() < 0.15 else 0.0
    side_light = rng.normal(0.0, 0.12)
    # The shade of an eye socket reaches up to the brow, wherever the brow is.
    rise = max(0.5 * (geometry.brow_inner + geometry.brow_outer), 0.0)
    socket_y, socket = -0.14 - 0.5 * rise, 0.085 + 0.5 * rise
    gain = np.ones_like(x)
    for blob_x, blob_y, half_width, half_height, strength in (
        (-0.195, socket_y, 0.14, socket, -0.42), (0.195, socket_y, 0.14, socket, -0.42),
        (0.0, -0.08, 0.045, 0.16, 0.16), (0.0, -0.38 - rise, 0.3, 0.08, 0.12),
        (-0.21, 0.07, 0.11, 0.08, 0.14), (0.21, 0.07, 0.11, 0.08, 0.14),
        (0.0, 0.155, 0.10, 0.03, -0.18), (0.0, 0.375, 0.12, 0.03, -0.14),
        (0.0, 0.45, 0.12, 0.05, 0.08), (0.0, 0.34, 0.33, 0.16, -stubble),
    ):  # fmt: skip
        distance = ((x - blob_x) / half_width) ** 2 + ((y - blob_y) / half_height) ** 2
        gain += depth * strength * np.exp(-distance)
    rim = np.clip((np.hypot(x / 0.52, y / 0.62) - 0.72) / 0.3, 0.0, 1.0)
    gain *= (1.0 - 0.35 * depth * rim**1.5) * (1.0 + side_light * x / 0.5)
    return gain.astype(np.float32)


def _apply_relief(pen: _Pen, outline: Points, gain: NDArray[np.float32]) -> None:
    """Multiply the canvas by the relief inside the outline of the face."""
    height, width = pen.canvas.shape[:2]
    reach = math.ceil(0.8 * pen.side)
    left, top = max(round(pen.centre[0]) - reach, 0), max(round(pen.centre[1]) - reach, 0)
    right = min(round(pen.centre[0]) + reach, width)
    bottom = min(round(pen.centre[1]) + reach, height)
    step = 1.6 / (gain.shape[0] - 1)
    grid_to_units = np.array([[step, 0.0, -0.8], [0.0, step, -0.8], [0.0, 0.0, 1.0]])
    affine = pen.matrix() @ grid_to_units - [[0.0, 0.0, left], [0.0, 0.0, top]]
    spread = cv2.warpAffine(gain, affine, (right - left, bottom - top), borderValue=(1.0,))
    inside = np.zeros((bottom - top, right - left), np.uint8)
    corner = np.array([left, top], np.int32) * 16
    cv2.fillPoly(inside, [pen.pixels(outline) - corner], (1,), cv2.LINE_8, 4)
    spread[inside == 0] = 1.0
    part = pen.canvas[top:bottom, left:right]
    part[:] = cv2.multiply(part, cv2.merge([spread] * 3), dtype=cv2.CV_8U)


def _draw_person(pen: _Pen, emotion: str, rng: np.random.Generator) -> None:
    """Shoulders, neck, hair and face of one person on the pen's canvas."""
    geometry = _vary_geometry(emotion, rng)
    tone = rng.uniform(0.0, len(SKINS) - 1.001)
    skin = _mix(SKINS[int(tone)], SKINS[int(tone) + 1], tone % 1.0)
    hair = _mix(HAIRS[int(rng.integers(len(HAIRS)))], BLACK, rng.uniform(0.0, 0.3))
    grey = rng.uniform(40, 190)
    shirt = _mix((grey, grey, grey), tuple(rng.uniform(20, 230, 3)), 0.45)
    half_width, long_hair = rng.normal(0.475, 0.015), rng.random() < 0.4
    shoulders = _oval(0.0, 1.35, 0.95, 0.62)
    # Below its middle the oval becomes a torso that reaches past the bottom of any picture.
    shoulders[shoulders[:, 1] > 1.35, 1] = 1.35 + pen.canvas.shape[0] / pen.side
    pen.fill(shoulders, shirt)
    if long_hair:
        pen.fill(_oval(0.0, -0.05, half_width + 0.13, 0.72), hair)
    neck = np.array([[-0.24, 0.3], [0.24, 0.3], [0.28, 0.84], [0.0, 0.92], [-0.28, 0.84]])
    pen.fill(neck, _mix(skin, BLACK, 0.38))
    if not long_hair:
        for sign in (-1.0, 1.0):
            pen.fill(_oval(sign * half_width, -0.02, 0.06, 0.12), _mix(skin, BLACK, 0.2))
    outline = _oval(0.0, -0.04, half_width, 0.63)
    jaw = np.clip(outline[:, 1] / 0.6, 0.0, 1.0)
    outline[:, 0] *= 1.0 - rng.uniform(0.02, 0.2) * jaw
    pen.fill(outline, skin)
    _apply_relief(pen, outline, _relief(pen, geometry, rng))
    _draw_nose(pen, geometry, skin, rng)
    _draw_mouth(pen, geometry, skin, rng)
    _draw_eyes(pen, geometry, skin, hair, rng)
    if rng.random() < 0.9:
        hairline, parting = rng.normal(-0.45, 0.03), rng.uniform(-0.2, 0.2)
        round_head = np.linspace(math.pi, 2.0 * math.pi, 21)
        crown = np.stack(
            [half_width * np.cos(round_head), 0.51 * np.sin(round_head) - 0.24], axis=1
        )
        fringe_x = np.linspace(0.5, -0.5, 11)
        fringe_y = np.minimum(hairline + 0.75 * (fringe_x - parting) ** 2, -0.24)
        fringe_y[[0, -1]] = -0.24
        fringe = np.stack([fringe_x * 2.0 * half_width, fringe_y], axis=1)
        pen.fill(np.concatenate([crown, fringe]), hair)


def _draw_background(height: int, width: int, shapes: int, rng: np.random.Generator) -> Image:
    """(height, width, 3) uint8: a gradient between two colours with faint large shapes."""
    corners = rng.uniform(50, 215) + rng.uniform(-40, 40, (2, 2, 3))
    ramp = cv2.resize(corners.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    canvas: Image = np.clip(ramp, 0, 255).astype(np.uint8)
    for _ in range(shapes):
        colour = tuple(corners.mean((0, 1)) + rng.normal(0.0, 35.0, 3))
        x, y = int(rng.integers(width)), int(rng.integers(height))
        across, down = int(rng.uniform(0.08, 0.4) * width), int(rng.uniform(0.1, 0.5) * height)
        cv2.rectangle(canvas, (x, y), (x + across, y + down), colour, -1)
    return canvas


def _develop(
    canvas: Image, width: int, height: int, blur: float, rng: np.random.Generator
) -> Image:
    """The picture a camera might take: smaller, blurred (sigma, pixels), unevenly lit, noisy."""
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


def draw_face(emotion: str, rng: np.random.Generator, *, size: int = 96) -> Image:
    """Draw one face, cropped as a face detector crops it, with a little jitter in the framing.

    The same state of ``rng`` gives the same picture. Returns (size, size, 3) uint8 BGR. Raises
    ValueError for an unknown emotion or a size below 1.
    """
    _check_emotions([emotion])
    if size < 1:
        raise ValueError(f"size must be at least 1 pixel; got {size}")
    scale = max(2, math.ceil(SUPERSAMPLED_FACE / size))
    pixels = size * scale
    canvas = _draw_background(pixels, pixels, 1, rng)
    _draw_person(_pen_for(canvas, _jittered_box(pixels, rng), 6.0, rng), emotion, rng)
    return _develop(canvas, size, size, rng.uniform(0.004, 0.011) * size, rng)


def _jittered_box(pixels: int, rng: np.random.Generator) -> tuple[float, float, float]:
    """Box (left, top, side) about as large as a square picture, as detectors are never exact."""
    side = pixels * rng.normal(1.0, 0.03)
    offset_x, offset_y = rng.normal(0.0, 0.015, 2) * pixels
    return 0.5 * (pixels - side) + offset_x, 0.5 * (pixels - side) + offset_y, side


def _pen_for(
    canvas: Image, box: tuple[float, float, float], tilt_degrees: float, rng: np.random.Generator
) -> _Pen:
    left, top, side = box
    centre = (left + 0.5 * side, top + (0.5 + FRAME_DROP) * side)
    tilt = math.radians(rng.uniform(-tilt_degrees, tilt_degrees))
    yaw = float(np.clip(rng.normal(0.0, 0.02), -0.045, 0.045))
    return _Pen(canvas, centre, side * FRAME_SCALE, tilt, yaw)


def _apart(first: tuple[float, float, float], second: tuple[float, float, float]) -> bool:
    """Whether two heads, each (centre x, centre y, box side), leave each other uncovered."""
    (x, y, side), (other_x, other_y, other) = sorted((first, second), key=lambda head: head[1])
    beside = abs(x - other_x) > HEAD_LEFT_RIGHT * (side + other)
    return beside or other_y - y > HEAD_BOTTOM * side + HEAD_TOP * other


def _place_heads(
    count: int, width: int, height: int, rng: np.random.Generator
) -> list[tuple[float, float, float]]:
    """Heads (centre x, centre y, box side) that neither overlap nor leave the picture."""
    across, down = 2.0 * HEAD_LEFT_RIGHT, HEAD_TOP + HEAD_BOTTOM
    roomy = math.sqrt(width * height / max(count, 1)) / 1.8
    largest = min(width / across, height / down)
    for attempt in range(400 if largest >= SMALLEST_SCENE_FACE else 0):
        # Later attempts draw smaller faces, so a crowded scene still finds room.
        shrunk = max(min(largest, roomy * (1.0 - attempt / 300)), SMALLEST_SCENE_FACE)
        placed: list[tuple[float, float, float]] = []
        for _ in range(count):
            side = rng.uniform(SMALLEST_SCENE_FACE, shrunk)
            for _ in range(30):
                x = HEAD_LEFT_RIGHT * side + rng.uniform(0.0, width - across * side)
                y = HEAD_TOP * side + rng.uniform(0.0, height - down * side)
                if all(_apart((x, y, side), other) for other in placed):
                    placed.append((x, y, side))
                    break
            else:
                break
        if len(placed) == count:
            return placed
    raise ValueError(
        f"{count} faces of at least {SMALLEST_SCENE_FACE} pixels do not fit in a scene of "
        f"{width} x {height} pixels"
    )


def draw_scene(
    emotions: Sequence[str], rng: np.random.Generator, *, width: int = 640, height: int = 480
) -> Scene:
    """Draw a picture with one face for each emotion, in that order in ``Scene.faces``.

    The boxes lie inside the picture, do not overlap, and have sides of at least 70 pixels. The
    image is (height, width, 3) uint8 BGR. Raises ValueError for an unknown emotion and when the
    faces do not fit.
    """
    _check_emotions(emotions)
    heads = _place_heads(len(emotions), width, height, rng)
    canvas = _draw_background(2 * height, 2 * width, 5, rng)
    faces = []
    for emotion, (x, y, exact) in zip(emotions, heads, strict=True):
        side = math.floor(exact)
        faces.append(SceneFace((round(x - side / 2), round(y - side / 2), side, side), emotion))
    # From the top down, so that no shoulders cover a face.
    for face in sorted(faces, key=lambda face: face.box[1] + face.box[3]):
        x, y, side, _ = face.box
        pen = _pen_for(canvas, (2.0 * x, 2.0 * y, 2.0 * side), 6.0, rng)
        _draw_person(pen, face.emotion, rng)
    return Scene(_develop(canvas, width, height, rng.uniform(0.5, 1.0), rng), tuple(faces))


def draw_film(
    emotions: Sequence[str],
    rng: np.random.Generator,
    *,
    frames: int,
    width: int = 640,
    height: int = 360,
) -> Iterator[Scene]:
    """Draw a film of people side by side, each moving to and fro, one for each emotion.

    The faces of a frame stand in the same order as those of the others. Raises ValueError as
    `draw_scene` does.
    """
    background = _draw_background(height, width, 5, rng)
    lane = width // len(emotions)
    people = [
        draw_scene([emotion], rng, width=lane * 4 // 5, height=height * 9 // 10)
        for emotion in emotions
    ]
    swing = np.array([lane - people[0].image.shape[1], height - people[0].image.shape[0]])
    # Radians a frame, across and down; half a cycle takes some 30 to 60 frames.
    speed, phase = rng.uniform(0.05, 0.1, (len(people), 2)), rng.uniform(0, 6, (len(people), 2))
    for index in range(frames):
        image, faces = background.copy(), []
        places = (swing * (0.5 + 0.5 * np.sin(phase + speed * index))).astype(int)
        for number, (person, (x, y)) in enumerate(zip(people, places, strict=True)):
            left, top = number * lane + int(x), int(y)
            rows, columns = person.image.shape[:2]
            image[top : top + rows, left : left + columns] = person.image
            (face,) = person.faces
            box = (left + face.box[0], top + face.box[1], face.box[2], face.box[3])
            faces.append(SceneFace(box, face.emotion))
        yield Scene(image, tuple(faces))


def draw_dataset(
    directory: Path, *, counts: Mapping[str, int], emotions: Sequence[str], seed: int,
    size: int = 64,
) -> None:  # fmt: skip
    """Write a class-folder data set: ``directory/<split>/<emotion>/<emotion>_<nnnnn>.png``.

    ``counts`` gives the images per emotion for each split, such as
    ``{"train": 200, "test": 50}``. Each picture is (size, size, 3). The same arguments write the
    same bytes; no two splits share a random stream. Raises ValueError for an unknown emotion or a
    negative count, before anything is written.
    """
    _check_emotions(emotions)
    for split, count in counts.items():
        if count < 0:
            raise ValueError(f"counts[{split!r}] must not be negative; got {count}")
    for split, count in counts.items():
        for emotion in emotions:
            folder = directory / split / emotion
            folder.mkdir(parents=True, exist_ok=True)
            stream = [seed, zlib.crc32(split.encode()), zlib.crc32(emotion.encode())]
            rng = np.random.default_rng(stream)
            for index in range(count):
                encoded: Any = cv2.imencode(".png", draw_face(emotion, rng, size=size))[1]
                (folder / f"{emotion}_{index:05d}.png").write_bytes(encoded.tobytes())
