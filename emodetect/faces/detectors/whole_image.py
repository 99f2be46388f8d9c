"""No detection: each image is one face."""

from __future__ import annotations

import numpy as np

from emodetect.faces.boxes import Box


class WholeImage:
    """Treats each image as one face, for folders of crops."""

    def detect(self, image: np.ndarray) -> list[Box]:
        """Return the one box that covers the image."""
        height, width = image.shape[:2]
        return [(0, 0, width, height)]

    scan = detect

    def locate(self, patch: np.ndarray, side: float) -> list[Box]:
        """Return the one box that covers the patch."""
        return self.detect(patch)
