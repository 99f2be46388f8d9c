"""Find the cuts of a video by comparing the colour histograms of consecutive frames."""

from __future__ import annotations

import cv2
import numpy as np

# Pixels to which a frame is reduced before its colours are counted, and bins per channel.
THUMBNAIL, BINS = (64, 36), 8
# Bhattacharyya distance (0-1) of two histograms that indicates a cut to another scene. Within one
# shot, neighbouring frames measured up to 0.15 and frames half a second apart up to 0.31; other
# scenes begin at 0.41.
CUT_DISTANCE = 0.35
# Frames further apart than this differ more without a cut. In drawn films they measured up to 0.33
# within one shot, and between two at least 0.62; light that became 10% brighter measured as much
# as 0.63, so that it can pass for a cut.
NEAR_S = 0.5
FAR_CUT_DISTANCE = 0.5


class CutFinder:
    """Compares each frame of a video with the previous one."""

    def __init__(self) -> None:
        self.histogram: np.ndarray | None = None

    def is_cut(self, image: np.ndarray, elapsed_s: float) -> bool:
        """Return whether another scene begins with a frame.

        Args:
            image: (height, width, 3) uint8 BGR.
            elapsed_s: time since the previous frame.
        """
        small = cv2.resize(image, THUMBNAIL, interpolation=cv2.INTER_LINEAR)
        counts = cv2.calcHist([small], [0, 1, 2], None, [BINS] * 3, [0, 256] * 3)
        before, self.histogram = self.histogram, counts
        if before is None:
            return False
        limit = CUT_DISTANCE if elapsed_s <= NEAR_S else FAR_CUT_DISTANCE
        return cv2.compareHist(before, counts, cv2.HISTCMP_BHATTACHARYYA) > limit
