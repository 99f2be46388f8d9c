"""Train, judge and run facial-emotion recognition on your own machine."""

import os
from importlib.metadata import version

__version__ = version("emodetect")

# OpenCV reads these once, when it is loaded, so they must stand before any module imports it.
# Decoding a small file that claims gigapixels would take all memory.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", "200000000")
os.environ.setdefault("OPENCV_LOG_LEVEL", "ERROR")
