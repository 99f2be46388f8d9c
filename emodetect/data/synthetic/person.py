"""Drawing a person: shoulders, neck, hair and face."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from emodetect.data.synthetic.geometry import WEAKEST, FaceGeometry, vary_geometry
from emodetect.data.synthetic.pen import BLACK, WHITE, Colour, Pen, Points, mix, oval

SKINS: tuple[Colour, ...] = (
    (175, 195, 225), (155, 180, 216), (135, 166, 210), (115, 150, 205),
    (95, 130, 185), (75, 105, 160), (62, 88, 138),
)  # fmt: skip
HAIRS: tuple[Colour, ...] = (
    (25, 25, 30), (30, 40, 60), (45, 65, 95), (70, 110, 150), (120, 165, 195), (150, 150, 155),
)  # fmt: skip


def draw_person(
    pen: Pen, emotion: str, rng: np.random.Generator, *, weakest: float = WEAKEST
) -> None:
    """Draw a person who shows an emotion on the pen's canvas; see `vary_geometry`."""
    geometry = vary_geometry(emotion, rng, weakest=weakest)
    tone = rng.uniform(0.0, len(SKINS) - 1.001)
    skin = mix(SKINS[int(tone)], SKINS[int(tone) + 1], tone % 1.0)
    hair = mix(HAIRS[int(rng.integers(len(HAIRS)))], BLACK, rng.uniform(0.0, 0.3))
    grey = rng.uniform(40, 190)
    shirt = mix((grey, grey, grey), tuple(rng.uniform(20, 230, 3)), 0.45)
    half_width, long_hair = rng.normal(0.475, 0.015), rng.random() < 0.4
    shoulders = oval(0.0, 1.35, 0.95, 0.62)
    # Below its middle the oval becomes a torso that reaches past the bottom of the picture.
    shoulders[shoulders[:, 1] > 1.35, 1] = 1.35 + pen.canvas.shape[0] / pen.side
    pen.fill(shoulders, shirt)
    if long_hair:
        pen.fill(oval(0.0, -0.05, half_width + 0.13, 0.72), hair)
    neck = np.array([[-0.24, 0.3], [0.24, 0.3], [0.28, 0.84], [0.0, 0.92], [-0.28, 0.84]])
    pen.fill(neck, mix(skin, BLACK, 0.38))
    if not long_hair:
        for sign in (-1.0, 1.0):
            pen.fill(oval(sign * half_width, -0.02, 0.06, 0.12), mix(skin, BLACK, 0.2))
    outline = oval(0.0, -0.04, half_width, 0.63)
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


def _draw_eyes(
    pen: Pen, geometry: FaceGeometry, skin: Colour, hair: Colour, rng: np.random.Generator
) -> None:
    spread, half_width = rng.normal(0.195, 0.008), rng.normal(0.085, 0.004)
    eye_y, brow_y = -0.115, rng.normal(-0.235, 0.008)
    brow_thickness = rng.uniform(0.036, 0.052)
    iris = mix((20, 25, 35), (90, 75, 55), rng.random())
    brow_colour = mix(mix(hair, skin, 0.15), BLACK, 0.6)
    gaze = rng.normal(0.0, 0.008)
    along = np.linspace(-1.0, 1.0, 15)
    for sign in (-1.0, 1.0):
        arch = 1.0 - along**2
        upper = np.stack(
            [sign * spread + half_width * along, eye_y - 0.62 * geometry.eye_open * arch], axis=1
        )
        lower = np.stack([upper[:, 0], eye_y + 0.38 * geometry.eye_open * arch], axis=1)
        pen.fill(np.concatenate([upper, lower[::-1]]), mix(WHITE, skin, 0.35))
        for radius, colour in ((0.041, iris), (0.022, (8.0, 8.0, 8.0))):
            disc = oval(sign * spread + gaze, eye_y - 0.008, radius, radius)
            disc[:, 1] = np.clip(
                disc[:, 1],
                np.interp(disc[:, 0], upper[:, 0], upper[:, 1]),
                np.interp(disc[:, 0], lower[:, 0], lower[:, 1]),
            )
            pen.fill(disc, colour)
        pen.line(upper, mix(skin, BLACK, 0.85), 0.022)
        pen.line(lower, mix(skin, BLACK, 0.5), 0.010)
        pen.line(upper - [0.0, 0.03], mix(skin, BLACK, 0.35), 0.010)
        part = np.linspace(0.0, 1.0, 9)
        brow_x = sign * (geometry.brow_gap + part * (spread + 0.11 - geometry.brow_gap))
        rise = geometry.brow_inner * (1.0 - part) + geometry.brow_outer * part
        brow_line = brow_y - rise - 0.022 * np.sin(math.pi * part**1.3)
        half = 0.5 * brow_thickness * (1.0 - 0.6 * part**2)
        top = np.stack([brow_x, brow_line - half], axis=1)
        bottom = np.stack([brow_x, brow_line + half], axis=1)
        pen.fill(np.concatenate([top, bottom[::-1]]), brow_colour)


def _draw_nose(pen: Pen, geometry: FaceGeometry, skin: Colour, rng: np.random.Generator) -> None:
    shade = mix(skin, BLACK, 0.55)
    tip_y, half = rng.normal(0.125, 0.01), rng.normal(0.062, 0.006)
    tip_y -= 0.02 * geometry.nose_wrinkle
    for sign in (-1.0, 1.0):
        pen.fill(oval(sign * 0.55 * half, tip_y, 0.026, 0.014), shade)
        wing = np.array([[0.75, -0.045], [1.1, -0.012], [0.9, 0.008]])
        pen.line(wing * [sign * half, 1.0] + [0.0, tip_y], mix(skin, BLACK, 0.35), 0.012)
        if geometry.nose_wrinkle > 0.3:
            dark = mix(skin, BLACK, 0.5 * geometry.nose_wrinkle)
            for level in (-0.115, -0.075, -0.035):
                crease = np.array([[0.012, level + 0.018], [0.055, level], [0.075, level + 0.025]])
                pen.line(crease * [sign, 1.0], dark, 0.011)
        if geometry.brow_furrow > 0.3:
            dark = mix(skin, BLACK, 0.5 * geometry.brow_furrow)
            furrow = np.array([[0.022, -0.27], [0.018, -0.19]])
            pen.line(furrow * [sign, 1.0], dark, 0.012)
        if geometry.cheek_fold > 0.05:
            lifted = min(max(sign * geometry.mouth_skew / 0.1, 0.0), 1.0)
            dark = mix(skin, BLACK, 0.42 * max(geometry.cheek_fold, lifted))
            corner = max(0.5 * geometry.mouth_width, 0.14) + 0.035
            fold = np.array([[half + 0.025, tip_y - 0.02], [corner - 0.01, 0.2], [corner, 0.27]])
            pen.line(fold * [sign, 1.0], dark, 0.012)


def _draw_mouth(pen: Pen, geometry: FaceGeometry, skin: Colour, rng: np.random.Generator) -> None:
    along = np.linspace(-1.0, 1.0, 25)
    lip = mix(mix(skin, (70, 60, 170), rng.uniform(0.2, 0.5)), BLACK, rng.uniform(0.05, 0.2))
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
    dark = mix(skin, (10, 5, 25), 0.85)
    pen.fill(np.concatenate([inner_top, inner_bottom[::-1]]), dark)
    if geometry.teeth * geometry.mouth_open > 0.008:
        edge = np.stack([x * 0.93, upper + geometry.teeth * 0.92 * (lower - upper)], axis=1)
        top = np.stack([x * 0.93, upper + 0.06 * (lower - upper)], axis=1)
        pen.fill(np.concatenate([top, edge[::-1]]), mix(WHITE, skin, 0.15))
    pen.line(inner_top, dark, 0.020)
    pen.line(inner_bottom, dark, 0.008)


def _relief(pen: Pen, geometry: FaceGeometry, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return light and shade as a (64, 64) float32 gain over -0.8 to 0.8 box sides."""
    y = np.linspace(-0.8, 0.8, 64)[:, None]
    x = y.T - pen.yaw * np.maximum(1.0 - (y.T / 0.6) ** 2, 0.0)
    depth = rng.uniform(0.8, 1.2)
    stubble = 0.25 if rng.random() < 0.15 else 0.0
    side_light = rng.normal(0.0, 0.12)
    # The shade of the eye socket reaches up to the brow.
    rise = max(0.5 * (geometry.brow_inner + geometry.brow_outer), 0.0)
    socket_y, socket = -0.14 - 0.5 * rise, 0.085 + 0.5 * rise
    gain = np.ones((64, 64))
    for blob_x, blob_y, half_width, half_height, strength in (
        (-0.195, socket_y, 0.14, socket, -0.42), (0.195, socket_y, 0.14, socket, -0.42),
        (0.0, -0.08, 0.045, 0.16, 0.16), (0.0, -0.38 - rise, 0.3, 0.08, 0.12),
        (-0.21, 0.07, 0.11, 0.08, 0.14), (0.21, 0.07, 0.11, 0.08, 0.14),
        (0.0, 0.155, 0.10, 0.03, -0.18), (0.0, 0.375, 0.12, 0.03, -0.14),
        (0.0, 0.45, 0.12, 0.05, 0.08), (0.0, 0.34, 0.33, 0.16, -stubble),
    ):  # fmt: skip
        across = np.exp(-(((x - blob_x) / half_width) ** 2))
        down = np.exp(-(((y - blob_y) / half_height) ** 2))
        gain += (depth * strength * across) * down
    rim = np.clip((np.hypot(x / 0.52, y / 0.62) - 0.72) / 0.3, 0.0, 1.0)
    gain *= (1.0 - 0.35 * depth * rim**1.5) * (1.0 + side_light * x / 0.5)
    return gain.astype(np.float32)


def _apply_relief(pen: Pen, outline: Points, gain: NDArray[np.float32]) -> None:
    """Multiply the canvas by the relief inside the outline of the face."""
    height, width = pen.canvas.shape[:2]
    reach = math.ceil(0.8 * pen.side)
    left, top = max(round(pen.centre[0]) - reach, 0), max(round(pen.centre[1]) - reach, 0)
    right = min(round(pen.centre[0]) + reach, width)
    bottom = min(round(pen.centre[1]) + reach, height)
    step = 1.6 / (gain.shape[0] - 1)
    grid_to_units = np.array([[step, 0.0, -0.8], [0.0, step, -0.8], [0.0, 0.0, 1.0]])
    affine = pen.matrix @ grid_to_units - [[0.0, 0.0, left], [0.0, 0.0, top]]
    spread = cv2.warpAffine(gain, affine, (right - left, bottom - top), borderValue=(1.0,))
    inside = np.zeros((bottom - top, right - left), np.uint8)
    corner = np.array([left, top], np.int32) * 16
    cv2.fillPoly(inside, [pen.pixels(outline) - corner], (1,), cv2.LINE_8, 4)
    spread[inside == 0] = 1.0
    part = pen.canvas[top:bottom, left:right]
    part[:] = cv2.multiply(part, cv2.merge([spread] * 3), dtype=cv2.CV_8U)
