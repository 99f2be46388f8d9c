"""Write an annotated copy of a video, and give it the sound of the original."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2

from emodetect.errors import VideoError, first_line
from emodetect.recognition.videos.capture import URL_TIMEOUT_MS, Frame

CODECS = {".mp4": "mp4v", ".avi": "MJPG"}
# A video is completed by an index at its end, which needs space too.
RESERVE_BYTES = 16 * 2**20
# The longest time for which a frame is repeated while the next one does not arrive.
LONGEST_STILL_S = 90.0
FFMPEG_TIMEOUT_S = 600


class UnwritableVideoError(VideoError):
    """A video whose size or frame rate the format does not support."""


def check_suffix(path: Path | None, suffixes: Iterable[str]) -> None:
    """Raise VideoError if the name of a file has none of these suffixes; None is allowed."""
    if path is not None and path.suffix.lower() not in suffixes:
        raise VideoError(f"{path}: expected a file name ending in {' or '.join(suffixes)}.")


def check_files(paths: Sequence[Path], *, source: str | None, force: bool) -> None:
    """Raise VideoError if a file cannot be written, or would overwrite one without `force`."""
    for path in paths:
        if [other.absolute() for other in paths].count(path.absolute()) > 1:
            raise VideoError(f"{path}: two results would be written to this file; use two names.")
        if len(os.fsencode(path.name)) > 255:
            raise VideoError(f"{path}: the file name is too long; choose a shorter one.")
        if not path.parent.is_dir():
            raise VideoError(f"{path}: the folder {path.parent} does not exist; create it first.")
        if path.is_dir():
            raise VideoError(f"{path}: expected a file, got a folder.")
        if path.exists():
            if source is not None and _is_same_file(path, source):
                raise VideoError(f"{path}: would overwrite the source; choose another name.")
            if not force:
                raise VideoError(
                    f"{path}: already exists; choose another name, or overwrite it with --force."
                )
        if not os.access(path if path.exists() else path.parent, os.W_OK):
            raise VideoError(f"{path}: permission denied; choose another folder.")


def _is_same_file(path: Path, source: str) -> bool:
    try:
        return path.samefile(source)
    except OSError:  # a URL, or not a file
        return False


class VideoWriter:
    """Writes frames to an .mp4 or .avi file, which is playable after the `with` block.

    The file is created with the first frame, in its size; frames of other sizes are resized.
    Frames are repeated or dropped so that the video plays at the speed of their `time_s`; cameras
    and phones do not deliver frames at a constant rate.

    Raises:
        VideoError: if the file cannot be created or completed.
    """

    def __init__(self, path: Path, *, fps: float) -> None:
        self.path, self.written = path, 0
        # MPEG-4 stores the frame rate as a fraction with a denominator below 65536.
        self.fps = max(0.1, round(fps, 3 if fps < 65 else 2))
        self.size, self.start_s = (0, 0), 0.0
        self.writer: cv2.VideoWriter | None = None

    def __enter__(self) -> VideoWriter:
        return self

    def write(self, frame: Frame) -> None:
        """Write a frame. Raises VideoError if the disk is full."""
        if shutil.disk_usage(self.path.parent).free < RESERVE_BYTES:
            raise VideoError(f"{self.path}: the disk is full; frames up to now are kept.")
        if self.writer is None:
            height, width = frame.image.shape[:2]
            self.size, self.start_s = (width, height), frame.time_s
            code = cv2.VideoWriter.fourcc(*CODECS[self.path.suffix.lower()])
            # FFmpeg would take "Talk: one.mp4" for a URL.
            place = str(self.path.absolute())
            self.writer = cv2.VideoWriter(place, code, self.fps, self.size)
            if not self.writer.isOpened():
                raise UnwritableVideoError(
                    f"{self.path}: OpenCV cannot write this video ({width}x{height} pixels, "
                    f"{self.fps:g} frames/s); try {self._other_suffix()}."
                )
        image = frame.image
        if image.shape[1::-1] != self.size:
            image = cv2.resize(image, self.size, interpolation=cv2.INTER_AREA)
        ahead_s = frame.time_s - self.start_s - self.written / self.fps
        if ahead_s > LONGEST_STILL_S:  # a jump of a faulty clock would fill the disk
            self.start_s += ahead_s
        due = round((frame.time_s - self.start_s) * self.fps) + 1
        while self.written < due:
            self.writer.write(image)
            self.written += 1

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        if self.writer is None:
            return
        self.writer.release()
        if kind is None and self.written > 0 and not _is_complete(self.path, self.written):
            raise VideoError(f"{self.path}: could not be completed; is the disk full?")

    def _other_suffix(self) -> str:
        return next(suffix for suffix in CODECS if suffix != self.path.suffix.lower())


def add_sound(video: Path, source: str, *, seconds: float) -> list[str]:
    """Add the sound of the source to a video of this length, with ffmpeg.

    Returns a note for the user if that fails; a source without sound is not a failure.
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
        # Sound that the format of the copy does not support, such as PCM in .mp4, is re-encoded.
        for codec in (["-c:a", "copy"], []):
            done = subprocess.run(
                [*command, *codec, str(with_sound.absolute())],
                capture_output=True,
                timeout=FFMPEG_TIMEOUT_S,
            )
            if done.returncode == 0:
                with_sound.replace(video)
                return []
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
        reason = lines[0] if lines else f"exit status {done.returncode}"
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
