"""Video files, and videos and streams with an address."""

from __future__ import annotations

import os
from pathlib import Path

import cv2

from emodetect.errors import SourceError
from emodetect.images.formats import is_photo, is_video
from emodetect.machine.terminal_text import quoted
from emodetect.recognition.videos.reading.mp4_tracks import Track, mp4_tracks

URL_TIMEOUT_MS = 10_000


def shown_name(source: str) -> str:
    """Return how a source is called in messages and logs: an address without user and query.

    Both may hold a password: `rtsp://me:secret@cam/live?token=x` is `rtsp://cam/live`.
    """
    scheme, mark, address = source.partition("://")
    return scheme + mark + address.partition("?")[0].rpartition("@")[2] if mark else source


def open_file_or_url(source: str) -> cv2.VideoCapture:
    """Open a video. Raises SourceError if it does not exist, or is none."""
    if "://" in source:
        limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, cv2.CAP_PROP_READ_TIMEOUT_MSEC]
        options = [value for limit in limits for value in (limit, URL_TIMEOUT_MS)]
        capture = cv2.VideoCapture(source, cv2.CAP_FFMPEG, options)
        if not capture.isOpened():
            raise SourceError(
                f"{shown_name(source)}: cannot be opened as a video; is the address correct and "
                "the server running?"
            )
        return capture
    path = Path(source)
    try:
        path.stat()
    except OSError as error:
        hint = f" For a camera use --camera {source}." if source.isdecimal() else ""
        raise SourceError(f"{source}: {error.strerror or error}.{hint}") from None
    except ValueError:  # a NUL
        raise SourceError(f"{source!r}: not a valid file name.") from None
    if path.is_dir():
        raise SourceError(f"{source}: expected a video file, got a folder.")
    if path.is_fifo():
        raise SourceError(f"{source}: expected a video file, got a pipe.")
    if not _is_unicode(source):  # OpenCV crashes
        raise SourceError(f"{source}: the file name is not valid UTF-8; rename the file.")
    if not os.access(path, os.R_OK):
        raise SourceError(f"{source}: permission denied; check the permissions of the file.")
    if path.is_file() and path.stat().st_size == 0:
        raise SourceError(f"{source}: the file is empty.")
    # FFmpeg would take "Talk: one.mp4" for a URL.
    capture = cv2.VideoCapture(str(path.absolute()))
    if is_photo(path):
        # Animations are read like videos.
        if not (capture.grab() and capture.grab()):
            raise SourceError(
                f"{source}: a photo, not a video; use `emodetect predict {quoted(source)}`."
            )
        capture = cv2.VideoCapture(str(path.absolute()))
    if not capture.isOpened():
        if _is_only_sound(path):
            raise SourceError(f"{source}: contains no video, only sound.")
        if is_video(path):
            raise SourceError(
                f"{source}: cannot be read as a video; the file may be cut short or damaged."
            )
        raise SourceError(f"{source}: cannot be read as a video; expected a file such as .mp4.")
    return capture


def video_track(source: str | None) -> Track:
    """Return what an MP4 file says of its pictures."""
    tracks = mp4_tracks(Path(source)) if source is not None and "://" not in source else []
    return next((track for track in tracks if track.kind == "vide"), Track("vide"))


def _is_only_sound(path: Path) -> bool:
    """Return whether a file that OpenCV cannot open is audio, by its tracks or its first bytes."""
    kinds = {track.kind for track in mp4_tracks(path)}
    if "soun" in kinds:
        return "vide" not in kinds
    with path.open("rb") as file:
        head = file.read(12)
    return head.startswith((b"ID3", b"\xff\xfb", b"\xff\xf3", b"\xff\xf1", b"fLaC")) or (
        head.startswith(b"RIFF") and head[8:12] == b"WAVE"
    )


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
