"""Images that are hard to see anything in: tiny, blank, dark, bright, blurred.

The bounds were set by looking at the images of FER2013's training split at each end; the share
of them that a bound flags stands behind it.
"""

from __future__ import annotations

import numpy as np

from emodetect.audit.scan import Scan

# Shorter side, pixels. FER2013 has 48; half of that shows no eyebrows.
TINY_BELOW = 24
# Contrast, grey levels: a face in deep shadow still has 9 (none).
BLANK_BELOW = 6.0
# Brightness, grey levels. Not higher, so that dark skin in plain light is not taken for a fault:
# such faces begin at 40 (0.06 %).
DARK_BELOW = 30.0
# Line drawings and white backgrounds lie above it (0.06 %).
BRIGHT_ABOVE = 220.0
# Sharpness (see Scan): below it every image looks blurred, above it many do not (0.1 %).
BLURRED_BELOW = 0.125


def quality_flags(scan: Scan) -> dict[str, np.ndarray]:
    """Return for each fault which images have it, (n,) bool."""
    seen = scan.readable
    blank = seen & (scan.contrast < BLANK_BELOW)
    return {
        "tiny": seen & (scan.sizes.min(axis=1) < TINY_BELOW),
        "blank": blank,
        "dark": seen & (scan.brightness < DARK_BELOW),
        "bright": seen & (scan.brightness > BRIGHT_ABOVE),
        "blurred": seen & ~blank & (scan.sharpness < BLURRED_BELOW),
    }
