"""The cameras of this computer."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

import cv2

from emodetect.errors import SourceError
from emodetect.machine.quiet_libraries import quiet_stderr, silence_opencv

Size = tuple[int, int]
CAMERAS = 64
ALLOWED_ON_MACOS = (
    ", or macOS has not let the terminal use it yet (System Settings > Privacy & Security > "
    "Camera; then try again)"
)


@dataclass(frozen=True)
class Camera:
    """A camera that can be opened, and its frame size in pixels."""

    index: int
    width: int
    height: int


def list_cameras() -> list[Camera]:
    """Return the cameras that can currently be opened."""
    silence_opencv()
    cameras = []
    for index in range(CAMERAS):
        if sys.platform == "linux" and not _device(index).exists():
            continue
        with quiet_stderr():
            capture = cv2.VideoCapture(index, _camera_api())
        if not capture.isOpened():
            if sys.platform != "linux":
                break  # other systems number them without gaps, and searching is slow there
            continue
        width = capture.get(cv2.CAP_PROP_FRAME_WIDTH)
        height = capture.get(cv2.CAP_PROP_FRAME_HEIGHT)
        cameras.append(Camera(index, int(width), int(height)))
        capture.release()
    return cameras


def open_camera(number: int, resolution: Size | None) -> cv2.VideoCapture:
    """Open the camera with this number, if possible with frames of this width and height.

    Raises SourceError if it does not exist, may not be used, or is in use.
    """
    listing = "list the available cameras with `emodetect webcam --list`."
    if sys.platform == "linux":
        if not _device(number).exists():
            raise SourceError(
                f"camera {number} not found ({_device(number)} does not exist); {listing}"
            )
        if not os.access(_device(number), os.R_OK | os.W_OK):
            raise SourceError(
                f"camera {number}: no permission to use {_device(number)}; add yourself to the "
                'group "video" and log in again.'
            )
    with quiet_stderr():
        capture = cv2.VideoCapture(number, _camera_api())
    if not capture.isOpened():
        raise SourceError(
            f"camera {number} cannot be opened: it does not exist or is used by another program"
            f"{ALLOWED_ON_MACOS if sys.platform == 'darwin' else ''}; {listing}"
        )
    if resolution is not None:
        capture.set(cv2.CAP_PROP_FRAME_WIDTH, resolution[0])
        capture.set(cv2.CAP_PROP_FRAME_HEIGHT, resolution[1])
    # Let the driver keep the newest frame, not a queue of old ones.
    capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
    return capture


def _device(number: int) -> Path:
    return Path(f"/dev/video{number}")


def _camera_api() -> int:
    # Trying other backends is pointless, and some of them print errors.
    return cv2.CAP_V4L2 if sys.platform == "linux" else cv2.CAP_ANY
