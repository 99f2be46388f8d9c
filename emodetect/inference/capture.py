"""Frames from a camera, a video file or a stream."""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from emodetect.errors import VideoError
from emodetect.quiet import quiet_stderr

URL_TIMEOUT_MS = 10_000
CAMERAS = 64
MAX_DAMAGED = 30
DEFAULT_FPS = 20.0
# Some containers give the ticks of their clock (90000) as the rate.
MAX_FPS = 500.0


@dataclass(frozen=True)
class Frame:
    """A picture of a video.

    Attributes:
        index: from 0.
        time_s: seconds from the start; a file's own timestamps, a camera's wall clock.
        image: (height, width, 3) uint8 BGR.
    """

    index: int
    time_s: float
    image: np.ndarray


@dataclass(frozen=True)
class Camera:
    """A camera that can be opened, and its picture size in pixels."""

    index: int
    width: int
    height: int


class Capture(Protocol):
    """The part of cv2.VideoCapture that is used here."""

    def grab(self) -> bool:
        """Take the next picture; False at the end."""
        ...

    def retrieve(self) -> tuple[bool, np.ndarray]:
        """Decode the picture taken; False where it is damaged."""
        ...

    def get(self, propId: int) -> float:  # noqa: N803
        """Return a property, 0 where it is not known."""
        ...


@dataclass(frozen=True)
class Source:
    """An open camera, file or stream.

    Attributes:
        fps: frames a second of a video written from it.
        frame_count: as the file claims; 0 where it is not known.
        live: a camera, whose frames come by the wall clock.
    """

    name: str
    capture: Capture
    fps: float
    frame_count: int
    live: bool


@contextmanager
def open_source(*, camera: int | None = None, source: str | None = None) -> Iterator[Source]:
    """Open a file or URL, or the camera of that number (0 by default); close it at the end.

    Raises VideoError for one that is not there, is in use, or is no video.
    """
    _silence_opencv()
    if source is not None:
        capture, name = _open_file_or_url(source), source
    else:
        number = camera or 0
        capture, name = _open_camera(number), f"camera {number}"
    try:
        fps = capture.get(cv2.CAP_PROP_FPS)
        frames = capture.get(cv2.CAP_PROP_FRAME_COUNT)
        yield Source(
            name,
            capture,
            fps=fps if 0 < fps <= MAX_FPS else DEFAULT_FPS,
            frame_count=int(frames) if math.isfinite(frames) and frames > 0 else 0,
            live=source is None,
        )
    finally:
        capture.release()


def list_cameras() -> list[Camera]:
    """Return the cameras that can be opened now."""
    _silence_opencv()
    cameras = []
    for index in range(CAMERAS):
        if sys.platform == "linux" and not _device(index).exists():
            continue
        with quiet_stderr():
            capture = cv2.VideoCapture(index, _camera_api())
        if not capture.isOpened():
            if sys.platform != "linux":
                break  # others number them without gaps, and a search there is slow
            continue
        width = capture.get(cv2.CAP_PROP_FRAME_WIDTH)
        height = capture.get(cv2.CAP_PROP_FRAME_HEIGHT)
        cameras.append(Camera(index, int(width), int(height)))
        capture.release()
    return cameras


def read_frames(source: Source, *, max_frames: int | None = None) -> Generator[Frame]:
    """Yield the frames of a source, none dropped, at most `max_frames`.

    Raises VideoError for a camera that stops, and for a source without a picture.
    """
    capture, index, damaged = source.capture, 0, 0
    started_s = last_s = -math.inf
    while max_frames is None or index < max_frames:
        if damaged == MAX_DAMAGED or not capture.grab():
            if source.live:
                raise VideoError(_camera_stopped(source.name, index))
            break
        good, image = capture.retrieve()
        if not good:
            damaged += 1
            continue
        if source.live:
            started_s = time.monotonic() if index == 0 else started_s
            time_s = time.monotonic() - started_s
        else:
            time_s = max(0.0, capture.get(cv2.CAP_PROP_POS_MSEC) / 1000)
            # Files without usable timestamps repeat the last one.
            time_s = time_s if time_s > last_s else last_s + 1 / source.fps
        yield Frame(index, time_s, image)
        index, damaged, last_s = index + 1, 0, time_s
    if index == 0:
        raise VideoError(f"{source.name}: no picture in it could be decoded; is it damaged?")


def _silence_opencv() -> None:
    """Keep OpenCV's and FFmpeg's logs off stderr; what goes wrong is raised as VideoError."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


def _open_file_or_url(source: str) -> cv2.VideoCapture:
    if "://" in source:
        limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, cv2.CAP_PROP_READ_TIMEOUT_MSEC]
        options = [value for limit in limits for value in (limit, URL_TIMEOUT_MS)]
        capture = cv2.VideoCapture(source, cv2.CAP_FFMPEG, options)
        if not capture.isOpened():
            raise VideoError(
                f"{source}: cannot be opened as a video; is the address right and the other "
                "side running?"
            )
        return capture
    path = Path(source)
    try:
        path.stat()
    except OSError as error:
        hint = f" For a camera use --camera {source}." if source.isdecimal() else ""
        raise VideoError(f"{source}: {error.strerror or error}.{hint}") from None
    if path.is_dir():
        raise VideoError(f"{source}: expected a video file, got a folder.")
    if not os.access(path, os.R_OK):
        raise VideoError(f"{source}: may not be read; check its permissions.")
    if path.is_file() and path.stat().st_size == 0:
        raise VideoError(f"{source}: the file is empty.")
    capture = cv2.VideoCapture(source)
    if not capture.isOpened():
        raise VideoError(f"{source}: no video that can be read in it; expected an .mp4 or alike.")
    return capture


def _open_camera(number: int) -> cv2.VideoCapture:
    listing = "`emodetect webcam --list` shows the cameras that can be opened."
    if sys.platform == "linux":
        if not _device(number).exists():
            raise VideoError(f"camera {number} is not there ({_device(number)}); {listing}")
        if not os.access(_device(number), os.R_OK | os.W_OK):
            raise VideoError(
                f"camera {number}: you may not use {_device(number)}; add yourself to the group "
                "video and log in again."
            )
    with quiet_stderr():
        capture = cv2.VideoCapture(number, _camera_api())
    if not capture.isOpened():
        raise VideoError(
            f"camera {number} cannot be opened: it is not there, or another program uses it; "
            f"{listing}"
        )
    return capture


def _camera_stopped(name: str, index: int) -> str:
    if index == 0:
        return f"{name} gives no picture; does another program use it?"
    return f"{name} stopped after {index} frames; was it unplugged? The frames so far are kept."


def _device(number: int) -> Path:
    return Path(f"/dev/video{number}")


def _camera_api() -> int:
    # Others would be asked in vain, some of them loudly.
    return cv2.CAP_V4L2 if sys.platform == "linux" else cv2.CAP_ANY
