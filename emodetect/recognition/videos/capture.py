"""Frames from a camera, a video file or a stream."""

from __future__ import annotations

import math
import os
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from emodetect.errors import SourceError
from emodetect.machine.quiet_libraries import quiet_stderr

URL_TIMEOUT_MS = 10_000
CAMERAS = 64
MAX_DAMAGED = 30
# A live source that dropped out is opened again after half a second, one, two... in all a minute.
RECONNECT_S, FIRST_WAIT_S, LONGEST_WAIT_S = 60.0, 0.5, 8.0
DEFAULT_FPS = 20.0
# Some containers give the ticks of their clock (90000) as the rate.
MAX_FPS = 500.0

Size = tuple[int, int]


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

    def release(self) -> None:
        """Close it."""
        ...


@dataclass
class Source:
    """An open camera, file or stream.

    Attributes:
        capture: in use; another one after a live source dropped out and came back.
        fps: frames a second of a video written from it.
        frame_count: as the file claims; 0 where it is not known.
        live: a camera or stream, whose frames come by the wall clock.
        reopen: opens a live source again; None where that is not to be tried.
        mirror: pictures are turned left to right, as in a mirror.
    """

    name: str
    capture: Capture
    fps: float
    frame_count: int
    live: bool
    reopen: Callable[[], Capture] | None = None
    mirror: bool = False


@contextmanager
def open_source(
    *,
    camera: int | None = None,
    source: str | None = None,
    resolution: Size | None = None,
    mirror: bool | None = None,
) -> Iterator[Source]:
    """Open a file or URL, or the camera of that number (0 by default); close it at the end.

    Args:
        resolution: width and height in pixels that a camera is asked for; it may give others.
        mirror: turn pictures left to right; if None, those of a camera only.

    Raises SourceError for one that is not there, is in use, or is no video.
    """
    _silence_opencv()
    number = camera or 0

    def open_it() -> cv2.VideoCapture:
        if source is not None:
            return _open_file_or_url(source)
        return _open_camera(number, resolution)

    capture = open_it()
    fps = capture.get(cv2.CAP_PROP_FPS)
    frames = capture.get(cv2.CAP_PROP_FRAME_COUNT)
    frame_count = int(frames) if math.isfinite(frames) and frames > 0 else 0
    # A stream does not know its end.
    live = source is None or ("://" in source and frame_count == 0)
    opened = Source(
        f"camera {number}" if source is None else source,
        capture,
        fps=fps if 0 < fps <= MAX_FPS else DEFAULT_FPS,
        frame_count=frame_count,
        live=live,
        reopen=open_it if live else None,
        mirror=source is None if mirror is None else mirror,
    )
    try:
        yield opened
    finally:
        opened.capture.release()


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


def read_frames(
    source: Source,
    *,
    max_frames: int | None = None,
    every: int = 1,
    stop: threading.Event | None = None,
    notify: Callable[[str], None] = lambda text: None,
) -> Generator[Frame]:
    """Yield the frames of a source as they come, none dropped.

    A live source that drops out is opened again, RECONNECT_S long.

    Args:
        max_frames: yield at most so many.
        every: yield only frames 0, every, 2 every...; the others of a file are not decoded.
        stop: ends the wait for a source that dropped out.
        notify: is told when it drops out and when it is back.

    Raises SourceError for a source that stays away, and for one without a picture.
    """
    stop = stop or threading.Event()
    index = given = damaged = 0
    started_s = last_s = -math.inf
    while (max_frames is None or given < max_frames) and not stop.is_set():
        if damaged == MAX_DAMAGED or not source.capture.grab():
            if not source.live:
                break
            if index == 0 or not _came_back(source, stop, notify):
                if stop.is_set():
                    return
                raise SourceError(_live_stopped(source.name, index))
            damaged = 0
            continue
        if index % every == 0:
            good, image = source.capture.retrieve()
            if not good:
                damaged += 1
                continue
            started_s = time.monotonic() if index == 0 else started_s
            time_s = _time_s(source, started_s, last_s, every)
            yield Frame(index, time_s, cv2.flip(image, 1) if source.mirror else image)
            given, damaged, last_s = given + 1, 0, time_s
        index += 1
    if index == 0 and not stop.is_set():
        raise SourceError(f"{source.name}: no picture in it could be decoded; is it damaged?")


def _time_s(source: Source, started_s: float, last_s: float, every: int) -> float:
    """Return the seconds from the start of the picture just taken, later than the last one's."""
    if source.live:
        return time.monotonic() - started_s
    time_s = max(0.0, source.capture.get(cv2.CAP_PROP_POS_MSEC) / 1000)
    # Files without usable timestamps repeat the last one.
    return time_s if time_s > last_s else last_s + every / source.fps


def _came_back(source: Source, stop: threading.Event, notify: Callable[[str], None]) -> bool:
    """Try to open a live source again, waiting longer each time; tell whether it worked."""
    if source.reopen is None:
        return False
    notify(f"{source.name} gives no more pictures; trying to get it back")
    source.capture.release()
    deadline, wait_s = time.monotonic() + RECONNECT_S, FIRST_WAIT_S
    while time.monotonic() < deadline and not stop.wait(wait_s):
        try:
            source.capture = source.reopen()
        except SourceError:
            wait_s = min(2 * wait_s, LONGEST_WAIT_S)
            continue
        notify(f"{source.name} is back")
        return True
    return False


def _silence_opencv() -> None:
    """Keep OpenCV's and FFmpeg's logs off stderr; what goes wrong is raised as SourceError."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


def _open_file_or_url(source: str) -> cv2.VideoCapture:
    if "://" in source:
        limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, cv2.CAP_PROP_READ_TIMEOUT_MSEC]
        options = [value for limit in limits for value in (limit, URL_TIMEOUT_MS)]
        capture = cv2.VideoCapture(source, cv2.CAP_FFMPEG, options)
        if not capture.isOpened():
            raise SourceError(
                f"{source}: cannot be opened as a video; is the address right and the other "
                "side running?"
            )
        return capture
    path = Path(source)
    try:
        path.stat()
    except OSError as error:
        hint = f" For a camera use --camera {source}." if source.isdecimal() else ""
        raise SourceError(f"{source}: {error.strerror or error}.{hint}") from None
    except ValueError:  # a NUL
        raise SourceError(f"{source!r}: no name of a file.") from None
    if path.is_dir():
        raise SourceError(f"{source}: expected a video file, got a folder.")
    if path.is_fifo():
        raise SourceError(f"{source}: expected a video file, got a pipe.")
    if not _is_unicode(source):  # OpenCV crashes
        raise SourceError(f"{source}: its name is no UTF-8; rename the file.")
    if not os.access(path, os.R_OK):
        raise SourceError(f"{source}: may not be read; check its permissions.")
    if path.is_file() and path.stat().st_size == 0:
        raise SourceError(f"{source}: the file is empty.")
    # "Talk: one.mp4" would be an address of FFmpeg's.
    capture = cv2.VideoCapture(str(path.absolute()))
    if not capture.isOpened():
        raise SourceError(f"{source}: no video that can be read in it; expected an .mp4 or alike.")
    return capture


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _open_camera(number: int, resolution: Size | None) -> cv2.VideoCapture:
    listing = "`emodetect webcam --list` shows the cameras that can be opened."
    if sys.platform == "linux":
        if not _device(number).exists():
            raise SourceError(f"camera {number} is not there ({_device(number)}); {listing}")
        if not os.access(_device(number), os.R_OK | os.W_OK):
            raise SourceError(
                f"camera {number}: you may not use {_device(number)}; add yourself to the group "
                "video and log in again."
            )
    with quiet_stderr():
        capture = cv2.VideoCapture(number, _camera_api())
    if not capture.isOpened():
        raise SourceError(
            f"camera {number} cannot be opened: it is not there, or another program uses it; "
            f"{listing}"
        )
    if resolution is not None:
        capture.set(cv2.CAP_PROP_FRAME_WIDTH, resolution[0])
        capture.set(cv2.CAP_PROP_FRAME_HEIGHT, resolution[1])
    # The driver keeps the newest picture for us, not a queue of old ones.
    capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
    return capture


def _live_stopped(name: str, index: int) -> str:
    if index == 0:
        return f"{name} gives no picture; does another program use it?"
    return f"{name} stopped after {index} frames; was it unplugged? The frames so far are kept."


def _device(number: int) -> Path:
    return Path(f"/dev/video{number}")


def _camera_api() -> int:
    # Others would be asked in vain, some of them loudly.
    return cv2.CAP_V4L2 if sys.platform == "linux" else cv2.CAP_ANY
