"""A window on the user's display, and saving images such as snapshots."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np

from emodetect.errors import VideoError
from emodetect.machine.computer import python_program

DISPLAY_TIMEOUT_S = 20
TITLE = "emodetect"
WINDOW_SIZE = (1280, 720)
# RLIMIT_CORE: a failed trial must not leave a core file in the user's folder.
WINDOW_TRIAL = """
import cv2, resource
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
cv2.namedWindow("emodetect")
"""
NO_WINDOWS = "this OpenCV cannot open windows; install opencv-python, not opencv-python-headless"


def open_window() -> Window:
    """Return a window on the user's display.

    Raises VideoError if there is no display, or OpenCV cannot use it.
    """
    advice = "run with --no-display, and keep the results with --output or --log."
    if sys.platform == "linux":
        display = os.environ.get("DISPLAY")
        if not display:
            raise VideoError(f"no display available (DISPLAY is not set); {advice}")
        # Qt aborts the process if it cannot reach the display, so another process tries first.
        status, python = 0, python_program()
        try:
            if python is not None:
                status = subprocess.run(
                    [python, "-P", "-c", WINDOW_TRIAL],
                    timeout=DISPLAY_TIMEOUT_S,
                    capture_output=True,
                    check=False,
                ).returncode
        except subprocess.TimeoutExpired:
            status = -signal.SIGALRM
        if status < 0:
            raise VideoError(f"the display {display} cannot be reached; {advice}")
        if status > 0:
            raise VideoError(f"{NO_WINDOWS}; {advice}")
    return Window()


class Window:
    """An OpenCV window."""

    def __init__(self) -> None:
        self.is_open = False

    def show(self, image: np.ndarray) -> None:
        """Show a (height, width, 3) uint8 BGR image, in a window no larger than WINDOW_SIZE."""
        try:
            if not self.is_open:
                flags = cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL
                cv2.namedWindow(TITLE, flags)
                height, width = image.shape[:2]
                scale = min(1.0, WINDOW_SIZE[0] / width, WINDOW_SIZE[1] / height)
                cv2.resizeWindow(TITLE, round(width * scale), round(height * scale))
                self.is_open = True
            cv2.imshow(TITLE, image)
        except cv2.error:
            raise VideoError(f"{NO_WINDOWS}; run with --no-display.") from None

    def key(self) -> str:
        """Return the key pressed since the last call, in lower case, or an empty string."""
        code = cv2.waitKeyEx(1)
        letter = code & 0xFFFF  # higher bits are modifiers; arrows and the like are not letters
        return chr(letter).lower() if code >= 0 and 0 < letter < 0x100 else ""

    def closed(self) -> bool:
        """Return whether the user closed the window."""
        try:
            return cv2.getWindowProperty(TITLE, cv2.WND_PROP_VISIBLE) < 1
        except cv2.error:
            return True

    def close(self) -> None:
        """Close the window."""
        if self.is_open and not self.closed():
            cv2.destroyWindow(TITLE)


def save_image(image: np.ndarray, folder: Path, stem: str) -> Path:
    """Save a uint8 BGR image as a PNG with this name, without overwriting; return its path.

    Raises OSError if it cannot be written.
    """
    # Encoded in memory, because OpenCV's own file writing fails on some Unicode paths.
    encoded = cv2.imencode(".png", image)[1].tobytes()
    for suffix in ("", *(f"-{number}" for number in range(2, 1000))):
        path = folder / f"{stem}{suffix}.png"
        try:
            with path.open("xb") as file:
                file.write(encoded)
        except FileExistsError:
            continue
        return path
    raise FileExistsError(f"{stem}.png")
