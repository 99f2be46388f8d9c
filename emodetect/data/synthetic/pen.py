"""Drawing in the coordinates of a face, which may be tilted and turned.

The origin is the centre of the face's box, x points right and y points down. The unit is the side
of the box, so the box spans -0.5 to 0.5 on both axes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Points = NDArray[np.float64]
Colour = tuple[float, float, float]

ANGLES = np.linspace(0.0, 2.0 * math.pi, 40, endpoint=False)
CIRCLE: Points = np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=1)
BLACK: Colour = (0.0, 0.0, 0.0)
WHITE: Colour = (235.0, 240.0, 242.0)


@dataclass(frozen=True)
class Pen:
    """Draws in box units on a supersampled canvas, following the pose of the head."""

    canvas: Image
    centre: tuple[float, float]
    side: float
    tilt: float  # radians
    yaw: float  # how far the middle of the face moves sideways, in box sides

    @cached_property
    def matrix(self) -> Points:
        """The (2, 3) affine map from box units, after the yaw, to canvas pixels."""
        cosine, sine = math.cos(self.tilt) * self.side, math.sin(self.tilt) * self.side
        return np.array([[cosine, -sine, self.centre[0]], [sine, cosine, self.centre[1]]])

    def turned(self, points: Points) -> Points:
        """Return points in box units after the yaw of the head."""
        moved = points.copy()
        moved[:, 0] += self.yaw * np.maximum(1.0 - (points[:, 0] / 0.6) ** 2, 0.0)
        return moved

    def pixels(self, points: Points) -> NDArray[np.int32]:
        """Return canvas positions in sixteenths of a pixel."""
        placed = self.turned(points) @ self.matrix[:, :2].T + self.matrix[:, 2]
        return np.rint(placed * 16).astype(np.int32)

    def fill(self, points: Points, colour: Colour) -> None:
        """Fill a polygon."""
        cv2.fillPoly(self.canvas, [self.pixels(points)], colour, cv2.LINE_AA, 4)

    def line(self, points: Points, colour: Colour, width: float) -> None:
        """Draw a line of a width in box units."""
        thickness = max(1, round(width * self.side))
        pixels = self.pixels(points)
        cv2.polylines(self.canvas, [pixels], False, colour, thickness, cv2.LINE_AA, 4)


def mix(first: Colour, second: Colour, part: float) -> Colour:
    """Blend two colours; `part` is that of the second, 0 to 1."""
    blue, green, red = (
        float(one * (1.0 - part) + other * part) for one, other in zip(first, second, strict=True)
    )
    return blue, green, red


def oval(x: float, y: float, half_width: float, half_height: float) -> Points:
    """Return an ellipse as a polygon of 40 points."""
    return CIRCLE * (half_width, half_height) + (x, y)
