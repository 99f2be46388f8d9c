"""Images that show too little: tiny, blank, dark, bright or blurred.

The thresholds were chosen by inspecting the extreme images of FER2013's training split; the
percentage of them that a threshold flags is in parentheses.
"""

from __future__ import annotations

import numpy as np

from emodetect.auditing.scan import Scan

# Shorter side in pixels. FER2013 has 48; at half of that, eyebrows are not visible.
TINY_BELOW = 24
# Contrast in grey levels; a face in deep shadow still has 9 (none).
BLANK_BELOW = 6.0
# Brightness in grey levels. Not higher, so that dark skin in normal light is not flagged: such
# faces start at 40 (0.06%).
DARK_BELOW = 30.0
# Line drawings and white backgrounds are above it (0.06%).
BRIGHT_ABOVE = 220.0
# Sharpness (see Scan): all images below it look blurred, many above it do not (0.1%).
BLURRED_BELOW = 0.125


def quality_flags(scan: Scan) -> dict[str, np.ndarray]:
    """Return the images with each fault, (n,) bool."""
    seen = scan.readable
    blank = seen & (scan.contrast < BLANK_BELOW)
    return {
        "tiny": seen & (scan.sizes.min(axis=1) < TINY_BELOW),
        "blank": blank,
        "dark": seen & (scan.brightness < DARK_BELOW),
        "bright": seen & (scan.brightness > BRIGHT_ABOVE),
        "blurred": seen & ~blank & (scan.sharpness < BLURRED_BELOW),
    }
