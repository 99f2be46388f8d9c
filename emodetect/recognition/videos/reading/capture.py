"""Read frames from a camera, a video file or a stream."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import cv2
import numpy as np

from emodetect.errors import SourceError
from emodetect.machine.quiet_libraries import silence_opencv
from emodetect.number_format import quantity
from emodetect.recognition.videos.reading.cameras import Size, open_camera
from emodetect.recognition.videos.reading.files_and_streams import (
    open_file_or_url,
    shown_name,
    video_track,
)

MAX_DAMAGED = 30
# A live source that drops out is reopened after 0.5 s, 1 s, 2 s... for a minute in total.
RECONNECT_S, FIRST_WAIT_S, LONGEST_WAIT_S = 60.0, 0.5, 8.0
DEFAULT_FPS = 20.0
# Some containers report their clock rate (90000) as the frame rate.
MAX_FPS = 500.0
# Pixels further from square than this are an error of the file; anamorphic films have up to 2.
MOST_STRETCH = 4.0
# To see whether a file ends after a certain frame, it is read from this long before it.
REVIEWED_S = 1.0
# Logs round the time of a frame to 0.1 ms.
SEEK_TOLERANCE_S = 1e-3


@dataclass(frozen=True)
class Frame:
    """A frame of a video.

    Attributes:
        index: from 0.
        time_s: seconds from the start: the timestamps of a file, the wall clock for a camera.
        image: (height, width, 3) uint8 BGR.
    """

    index: int
    time_s: float
    image: np.ndarray


@dataclass
class Source:
    """An open camera, file or stream.

    Attributes:
        name: as the user gave it, but an address without user and query; see `shown_name`.
        capture: the current capture; replaced when a live source drops out and returns.
        fps: frames per second of a video written from it.
        frame_count: as stated by the file, or estimated from its length; 0 if unknown.
        duration_s: length that the file states, in seconds; 0 if unknown.
        end_s: time of the last frame that was read, in seconds by the clock of the file, which
            need not begin at 0.
        until_s: when the last frame that was read ends, in seconds by the clock of
            `Frame.time_s`; a frame is taken to last as long as the one before it.
        live: a camera or stream, whose frames arrive in real time.
        reopen: reopens a live source; None to not try.
        mirror: frames are flipped left to right.
        flip: how OpenCV must flip frames to look as in a player; None for not at all.
        stretch: by how much frames are enlarged in width and height to make their pixels square.
    """

    name: str
    capture: cv2.VideoCapture
    fps: float
    frame_count: int
    live: bool
    reopen: Callable[[], cv2.VideoCapture] | None = None
    mirror: bool = False
    flip: int | None = None
    stretch: tuple[float, float] = (1.0, 1.0)
    duration_s: float = 0.0
    end_s: float = 0.0
    until_s: float = 0.0

    def end_of_analysis_s(self, every: int) -> float:
        """Return when the frames read so far end, in seconds; no limit if each was analysed."""
        return self.until_s if every > 1 else math.inf

    def missing_end(self, frames: int) -> str | None:
        """Return a sentence on an end that is missing after `frames` frames; None if it is not.

        The number of frames does not tell: with a variable frame rate it is a guess.
        """
        frame_s = self.end_s / frames if frames else 0.0
        whole = frames >= 0.9 * self.frame_count
        if whole or self.end_s + frame_s >= 0.9 * self.duration_s:
            return None
        return (
            f"only {frames} of {self.frame_count} frames ({self.end_s:.1f} s of "
            f"{self.duration_s:.1f} s) could be read; the file may be truncated or damaged, or its "
            "sound longer than its picture"
        )


@contextmanager
def open_source(
    *,
    camera: int | None = None,
    source: str | None = None,
    resolution: Size | None = None,
    mirror: bool | None = None,
) -> Iterator[Source]:
    """Open a file, a URL, or the camera with this number (0 by default); close it at the end.

    Args:
        resolution: width and height in pixels to request from a camera, which may choose others.
        mirror: flip frames left to right; if None, only those of a camera.

    Raises:
        SourceError: if the source does not exist, is in use, or is not a video.
    """
    silence_opencv()
    number = camera or 0

    def open_it() -> cv2.VideoCapture:
        if source is not None:
            return open_file_or_url(source)
        return open_camera(number, resolution)

    capture = open_it()
    if source is not None and capture.get(cv2.CAP_PROP_FPS) > MAX_FPS:
        if capture.grab() and not capture.grab():
            raise SourceError(
                f"{shown_name(source)}: contains no video, only sound with a cover picture."
            )
        capture = open_it()
    fps = capture.get(cv2.CAP_PROP_FPS)
    frames = capture.get(cv2.CAP_PROP_FRAME_COUNT)
    frame_count = int(frames) if math.isfinite(frames) and frames > 0 else 0
    track = video_track(source)
    frame_count = round(frame_count * track.shown)
    # The length of a stream is unknown.
    live = source is None or ("://" in source and frame_count == 0)
    opened = Source(
        f"camera {number}" if source is None else shown_name(source),
        capture,
        fps=fps if 0 < fps <= MAX_FPS else DEFAULT_FPS,
        frame_count=frame_count,
        live=live,
        reopen=open_it if live else None,
        mirror=source is None if mirror is None else mirror,
        flip=_flip(capture) if track.mirrored else None,
        stretch=_stretch(capture),
        duration_s=frame_count / fps if fps > 0 else 0.0,
    )
    try:
        yield opened
    finally:
        opened.capture.release()


def read_frames(
    source: Source,
    *,
    max_frames: int | None = None,
    every: int = 1,
    stop: threading.Event | None = None,
    notify: Callable[[str], None] = lambda text: None,
) -> Generator[Frame]:
    """Yield the frames of a source as soon as they are ready, dropping none.

    If a live source drops out, it is reopened; this is tried for RECONNECT_S.

    Args:
        max_frames: yield at most this many frames.
        every: yield only frames 0, every, 2 * every...; the others of a file are not converted.
        stop: ends the wait for a source that dropped out.
        notify: called with a message when the source drops out and when it returns.

    Raises:
        SourceError: if the source does not return, or has no readable frame.
    """
    stop = stop or threading.Event()
    index = given = damaged = 0
    started_s = last_s = read_s = -math.inf
    while (max_frames is None or given < max_frames) and not stop.is_set():
        if damaged == MAX_DAMAGED or not _grab(source):
            if not source.live:
                break
            if index == 0 or not _came_back(source, stop, notify):
                if stop.is_set():
                    return
                raise SourceError(_live_stopped(source.name, index))
            damaged = 0
            continue
        if source.duration_s:
            source.end_s = max(source.end_s, _clock_s(source))
        if not source.live:
            before_s, read_s = read_s, _time_s(source, started_s, read_s, 1)
            frame_s = read_s - before_s if index else 1 / source.fps
            source.until_s = read_s + frame_s
        if index % every == 0:
            good, image = source.capture.retrieve()
            if not good:
                damaged += 1
                continue
            started_s = time.monotonic() if index == 0 else started_s
            time_s = _time_s(source, started_s, last_s, every)
            yield Frame(index, time_s, _as_shown(image, source))
            given, damaged, last_s = given + 1, 0, time_s
        index += 1
    if index == 0 and not stop.is_set():
        raise SourceError(f"{source.name}: no frame could be decoded; is the file damaged?")


def _grab(source: Source) -> bool:
    """Go to the next frame; return False if there is none. In a file, go past a damaged part."""
    return source.capture.grab() or (
        not source.live and any(source.capture.grab() for _ in range(MAX_DAMAGED))
    )


def _stretch(capture: cv2.VideoCapture) -> tuple[float, float]:
    """Return by how much frames must be enlarged in width and height to look as in a player."""
    width, height = capture.get(cv2.CAP_PROP_SAR_NUM), capture.get(cv2.CAP_PROP_SAR_DEN)
    ratio = width / height if width > 0 and height > 0 else 1.0
    if not 1 / MOST_STRETCH <= ratio <= MOST_STRETCH:
        ratio = 1.0
    turned = capture.get(cv2.CAP_PROP_ORIENTATION_META) % 180 == 90  # OpenCV turns it upright
    return (1.0, ratio) if turned else (ratio, 1.0)


def _flip(capture: cv2.VideoCapture) -> int:
    """Return how to flip mirrored frames, which OpenCV has turned as if they were not mirrored."""
    return 0 if capture.get(cv2.CAP_PROP_ORIENTATION_META) % 180 == 0 else 1


def _as_shown(image: np.ndarray, source: Source) -> np.ndarray:
    if source.flip is not None:
        image = cv2.flip(image, source.flip)
    if source.stretch != (1.0, 1.0):
        x, y = source.stretch
        image = cv2.resize(image, None, fx=x, fy=y, interpolation=cv2.INTER_LINEAR)
    return cv2.flip(image, 1) if source.mirror else image


def is_read(name: str, *, frames: int, last_s: float, every: int) -> bool:
    """Return whether a video file has no frame left to analyse after these.

    Args:
        frames: how many were analysed: 0, every, 2 * every...
        last_s: time of the last of them, in seconds.

    Raises SourceError if the source does not exist, is in use, or is not a video.
    """
    with open_source(source=name) as source:
        if source.live:
            return False
        source.capture.set(cv2.CAP_PROP_POS_MSEC, 1000 * max(0.0, last_s - REVIEWED_S))
        found, left = False, 0
        while left < every and _grab(source):
            if found:
                left += 1
            else:
                time_s = source.capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
                found = abs(time_s - last_s) < SEEK_TOLERANCE_S
        if found:
            return left < every
    # OpenCV cannot find places in a file without timestamps, and in some of variable frame rate.
    with open_source(source=name) as source:
        return all(frame.index < frames * every for frame in read_frames(source, every=every))


def _time_s(source: Source, started_s: float, last_s: float, every: int) -> float:
    """Return the time of the frame just grabbed, which is always later than the last one."""
    if source.live:
        return time.monotonic() - started_s
    time_s = max(0.0, source.capture.get(cv2.CAP_PROP_POS_MSEC) / 1000)
    # Files without usable timestamps repeat the last timestamp.
    return time_s if time_s > last_s else last_s + every / source.fps


def _clock_s(source: Source) -> float:
    """Return the time of the frame just grabbed by the clock of a file with a frame rate."""
    stamp_s = source.capture.get(cv2.CAP_PROP_PTS) / source.capture.get(cv2.CAP_PROP_FPS)
    return max(stamp_s, source.capture.get(cv2.CAP_PROP_POS_MSEC) / 1000)


def _came_back(source: Source, stop: threading.Event, notify: Callable[[str], None]) -> bool:
    """Try to reopen a live source, waiting longer each time; return whether it worked."""
    if source.reopen is None:
        return False
    notify(f"{source.name} sends no more frames; trying to reconnect")
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


def _live_stopped(name: str, index: int) -> str:
    if index == 0:
        return f"{name} sends no frames; is it used by another program?"
    frames = quantity(index, "frame")
    return f"{name} stopped after {frames}; was it unplugged? Frames up to then are kept."
