"""How each emotion shapes a face."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from emodetect.emotions import EMOTIONS


@dataclass(frozen=True)
class FaceGeometry:
    """The shape of a face; lengths are in box sides, the others are strengths from 0 to 1."""

    mouth_width: float = 0.30
    mouth_open: float = 0.0  # gap between the lips
    mouth_smile: float = 0.0  # corners above the middle; below if negative
    mouth_skew: float = 0.0  # right corner pulled up; the left one if negative
    mouth_square: float = 0.0  # 0 opens as an oval, 1 as a rectangle
    lip_raise: float = 0.0  # middle of the upper lip pulled up
    lip_thickness: float = 0.028
    teeth: float = 0.0  # how much of the opening the upper teeth fill
    brow_inner: float = 0.0  # inner end above its neutral position
    brow_outer: float = 0.0
    brow_gap: float = 0.09  # distance of the inner end from the midline
    eye_open: float = 0.062  # height of the eye opening
    nose_wrinkle: float = 0.0
    brow_furrow: float = 0.0
    cheek_fold: float = 0.15


# The strengths of expressions that are easy to recognise.
WEAKEST, STRONGEST = 0.85, 1.15

NEUTRAL = FaceGeometry()
# Some emotions have several looks, of which a face gets one at random.
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


def check_emotions(emotions: Sequence[str]) -> None:
    """Raise ValueError for an unknown emotion."""
    for emotion in emotions:
        if emotion not in GEOMETRIES:
            raise ValueError(f"expected an emotion ({', '.join(EMOTIONS)}), got {emotion!r}")


def vary_geometry(
    emotion: str, rng: np.random.Generator, *, weakest: float = WEAKEST
) -> FaceGeometry:
    """Return one person's version of an emotion: stronger or weaker, with small variations.

    Args:
        weakest: the lowest strength of the expression; 1 is that of `GEOMETRIES`, 0 is neutral.
    """
    looks = GEOMETRIES[emotion]
    look = looks[int(rng.integers(len(looks)))]
    strength = rng.uniform(weakest, STRONGEST)
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
