"""An annotated copy of a video."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType

import cv2

from emodetect.errors import VideoError, first_line
from emodetect.recognition.videos.capture import URL_TIMEOUT_MS, Frame

CODECS = {".mp4": "mp4v", ".avi": "MJPG"}
# A video is completed by an index at its end, for which there must be room.
RESERVE_BYTES = 16 * 2**20
# How long a frame is repeated at most while the next one does not come.
LONGEST_STILL_S = 90.0
FFMPEG_TIMEOUT_S = 600


class UnwritableVideoError(VideoError):
    """A video whose size or rate the format cannot hold."""


def check_suffix(path: Path | None, suffixes: Iterable[str]) -> None:
    """Raise VideoError for a file whose name ends otherwise; None is no file."""
    if path is not None and path.suffix.lower() not in suffixes:
        raise VideoError(f"{path}: expected a name that ends in {' or '.join(suffixes)}.")


def check_files(paths: Sequence[Path], *, source: str | None, force: bool) -> None:
    """Raise VideoError where a file to write cannot be, or would replace one without `force`."""
    for path in paths:
        if [other.absolute() for other in paths].count(path.absolute()) > 1:
            raise VideoError(f"{path}: two results would go into this file; give them two names.")
        if len(os.fsencode(path.name)) > 255:
            raise VideoError(f"{path}: the name is too long; choose a shorter one.")
        if not path.parent.is_dir():
            raise VideoError(f"{path}: the folder {path.parent} does not exist; make it first.")
        if path.is_dir():
            raise VideoError(f"{path}: expected the name of a file, got a folder.")
        if path.exists():
            if source is not None and _is_same_file(path, source):
                raise VideoError(f"{path}: would replace the source; choose another name.")
            if not force:
                raise VideoError(
                    f"{path}: exists already; choose another name, or replace it with --force."
                )
        if not os.access(path if path.exists() else path.parent, os.W_OK):
            raise VideoError(f"{path}: may not be written; choose another folder.")


def _is_same_file(path: Path, source: str) -> bool:
    try:
        return path.samefile(source)
    except OSError:  # a URL, or no file at all
        return False


class VideoWriter:
    """Writes frames into an .mp4 or .avi file, which is playable once the block is left.

    The file is made at the first frame and has its size; frames of other sizes are resized.
    Frames are repeated or left out so that the video plays at the speed of their `time_s`, which
    a camera's and a phone's do not keep even.

    Raises VideoError where the file cannot be made or completed.
    """

    def __init__(self, path: Path, *, fps: float) -> None:
        self.path, self.written = path, 0
        # MPEG-4 holds the rate as a fraction with a denominator below 65536.
        self.fps = max(0.1, round(fps, 3 if fps < 65 else 2))
        self.size, self.start_s = (0, 0), 0.0
        self.writer: cv2.VideoWriter | None = None

    def __enter__(self) -> VideoWriter:
        return self

    def write(self, frame: Frame) -> None:
        """Write a frame; VideoError where the disk is full."""
        if shutil.disk_usage(self.path.parent).free < RESERVE_BYTES:
            raise VideoError(f"{self.path}: the disk is full; the frames so far are kept.")
        if self.writer is None:
            height, width = frame.image.shape[:2]
            self.size, self.start_s = (width, height), frame.time_s
            code = cv2.VideoWriter.fourcc(*CODECS[self.path.suffix.lower()])
            # "Talk: one.mp4" would be an address of FFmpeg's.
            place = str(self.path.absolute())
            self.writer = cv2.VideoWriter(place, code, self.fps, self.size)
            if not self.writer.isOpened():
                raise UnwritableVideoError(
                    f"{self.path}: OpenCV cannot write this video ({width}x{height} pixels, "
                    f"{self.fps:g} frames a second); try {self._other_suffix()}."
                )
        image = frame.image
        if image.shape[1::-1] != self.size:
            image = cv2.resize(image, self.size, interpolation=cv2.INTER_AREA)
        ahead_s = frame.time_s - self.start_s - self.written / self.fps
        if ahead_s > LONGEST_STILL_S:  # a jump of a broken clock would fill the disk
            self.start_s += ahead_s
        due = round((frame.time_s - self.start_s) * self.fps) + 1
        while self.written < due:
            self.writer.write(image)
            self.written += 1

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.writer is None:
            return
        self.writer.release()
        if kind is None and self.written > 0 and not _is_complete(self.path, self.written):
            raise VideoError(f"{self.path}: could not be completed; is the disk full?")

    def _other_suffix(self) -> str:
        return next(suffix for suffix in CODECS if suffix != self.path.suffix.lower())


def add_sound(video: Path, source: str, *, seconds: float) -> list[str]:
    """Give a video of that length the sound of its source, with ffmpeg.

    Returns a note where that is not done; a source without sound needs none.
    """
    ffmpeg = shutil.which("ffmpeg")
    if ffmpeg is None:
        return [f"{video} has no sound: ffmpeg is not installed"]
    with_sound = video.with_name(f".sound-{os.getpid()}{video.suffix}")
    original = ["-i", str(Path(source).absolute())]
    if "://" in source:
        original = ["-rw_timeout", str(1000 * URL_TIMEOUT_MS), "-i", source]
    command = [ffmpeg, "-nostdin", "-v", "error", "-y", "-i", str(video.absolute()), *original]
    # An interrupted copy is shorter than its source.
    command += ["-map", "0:v:0", "-map", "1:a?", "-c:v", "copy", "-t", f"{seconds:.3f}"]
    try:
        # Sound that the copy's format cannot hold, such as PCM in an .mp4, is encoded anew.
        for codec in (["-c:a", "copy"], []):
            done = subprocess.run(
                [*command, *codec, str(with_sound.absolute())],
                capture_output=True,
                timeout=FFMPEG_TIMEOUT_S,
            )
            if done.returncode == 0:
                with_sound.replace(video)
                return []
        told = done.stderr.decode("utf-8", "replace").strip().splitlines()
        reason = told[0] if told else f"exit status {done.returncode}"
    except (OSError, subprocess.SubprocessError) as error:
        reason = first_line(error)
    finally:
        with_sound.unlink(missing_ok=True)
    return [f"{video} has no sound: ffmpeg: {reason}"]


def _is_complete(path: Path, frames: int) -> bool:
    capture = cv2.VideoCapture(str(path.absolute()))
    complete = capture.isOpened() and capture.get(cv2.CAP_PROP_FRAME_COUNT) >= frames
    capture.release()
    return complete
