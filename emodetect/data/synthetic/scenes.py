"""Drawing scenes and films of several people, with the box and emotion of each face."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from emodetect.data.synthetic.faces import develop, draw_background, pen_for
from emodetect.data.synthetic.geometry import check_emotions
from emodetect.data.synthetic.pen import Image
from emodetect.data.synthetic.person import draw_person

SMALLEST_SCENE_FACE = 70
# What a head covers around its box centre: hair above, ears beside, chin and neck below.
HEAD_LEFT_RIGHT, HEAD_TOP, HEAD_BOTTOM = 0.6, 0.73, 0.63


@dataclass(frozen=True)
class SceneFace:
    """A drawn face: its square box (x, y, width, height) in pixels, and its emotion."""

    box: tuple[int, int, int, int]
    emotion: str


@dataclass(frozen=True)
class Scene:
    """A drawn picture, (height, width, 3) uint8 BGR, and its faces."""

    image: Image
    faces: tuple[SceneFace, ...]


def draw_scene(
    emotions: Sequence[str], rng: np.random.Generator, *, width: int = 640, height: int = 480
) -> Scene:
    """Draw a picture with one face per emotion, in that order in `Scene.faces`.

    The boxes are inside the picture, do not overlap, and have sides of at least 70 pixels.

    Raises:
        ValueError: for an unknown emotion, or faces that do not fit.
    """
    check_emotions(emotions)
    heads = _place_heads(len(emotions), width, height, rng)
    canvas = draw_background(2 * height, 2 * width, 5, rng)
    faces = []
    for emotion, (x, y, exact) in zip(emotions, heads, strict=True):
        side = math.floor(exact)
        faces.append(SceneFace((round(x - side / 2), round(y - side / 2), side, side), emotion))
    # From the top down, so that shoulders do not cover faces.
    for face in sorted(faces, key=lambda face: face.box[1] + face.box[3]):
        x, y, side, _ = face.box
        pen = pen_for(canvas, (2.0 * x, 2.0 * y, 2.0 * side), rng)
        draw_person(pen, face.emotion, rng)
    return Scene(develop(canvas, width, height, rng.uniform(0.5, 1.0), rng), tuple(faces))


def draw_film(
    emotions: Sequence[str],
    rng: np.random.Generator,
    *,
    frames: int,
    width: int = 640,
    height: int = 360,
) -> Iterator[Scene]:
    """Draw a film of people who move to and fro side by side, one per emotion.

    The faces are in the same order in every frame. Raises ValueError as `draw_scene`.
    """
    background = draw_background(height, width, 5, rng)
    lane = width // len(emotions)
    people = [
        draw_scene([emotion], rng, width=lane * 4 // 5, height=height * 9 // 10)
        for emotion in emotions
    ]
    swing = np.array([lane - people[0].image.shape[1], height - people[0].image.shape[0]])
    # Radians per frame, across and down; half a cycle takes some 30 to 60 frames.
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


def _apart(first: tuple[float, float, float], second: tuple[float, float, float]) -> bool:
    """Return whether two heads, each (centre x, centre y, box side), do not cover each other."""
    (x, y, side), (other_x, other_y, other) = sorted((first, second), key=lambda head: head[1])
    beside = abs(x - other_x) > HEAD_LEFT_RIGHT * (side + other)
    return beside or other_y - y > HEAD_BOTTOM * side + HEAD_TOP * other


def _place_heads(
    count: int, width: int, height: int, rng: np.random.Generator
) -> list[tuple[float, float, float]]:
    """Return heads (centre x, centre y, box side) that do not overlap or leave the picture."""
    across, down = 2.0 * HEAD_LEFT_RIGHT, HEAD_TOP + HEAD_BOTTOM
    roomy = math.sqrt(width * height / max(count, 1)) / 1.8
    largest = min(width / across, height / down)
    for attempt in range(400 if largest >= SMALLEST_SCENE_FACE else 0):
        # Later attempts use smaller faces, so that a crowded scene still fits.
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
