"""Write frames to a video, each with its time."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2

from emodetect.errors import VideoError
from emodetect.recognition.videos.reading.capture import Frame
from emodetect.recognition.videos.recording.encoder import Encoder, UnwritableVideoError
from emodetect.recognition.videos.recording.ffmpeg import FORMATS

# A video is completed by an index, which needs space too.
RESERVE_BYTES = 16 * 2**20
# Timestamps are rounded: a frame is not too many if it is early by this share of a frame's time.
EARLY = 0.1


class VideoWriter:
    """Writes frames to a video file, which is complete and playable after the `with` block.

    Also if an error or a first Ctrl-C ends the block; after a second Ctrl-C there is no new file.
    The file has the size of the first frame; frames of other sizes are resized. Each frame is shown
    from its `time_s` on: cameras, phones and screen recorders have no constant frame rate.

    Args:
        path: its suffix is one of FORMATS.
        fps: frames per second of the source, as far as they are constant.

    Attributes:
        frames: number of frames written.
        length_s: length of the video in seconds.
        complete: the file is written.

    Raises:
        VideoError: if the file cannot be created or completed.
    """

    def __init__(self, path: Path, *, fps: float) -> None:
        self.path, self.fps = path, fps
        self.least_step_s = (1 - EARLY) / FORMATS[path.suffix.lower()].max_fps
        self.size, self.start_s, self.last_s = (0, 0), 0.0, 0.0
        self.frames, self.complete = 0, False
        self.encoder: Encoder | None = None

    @property
    def length_s(self) -> float:
        return self.last_s - self.start_s + 1 / self.fps if self.frames else 0.0

    def __enter__(self) -> VideoWriter:
        return self

    def write(self, frame: Frame) -> None:
        """Write a frame, unless its format does not allow so many frames per second.

        Raises VideoError if the disk is full or the video cannot be encoded.
        """
        if shutil.disk_usage(self.path.parent).free < RESERVE_BYTES:
            kept = "frames up to now are kept" if self.frames else "nothing was written"
            raise VideoError(f"{self.path}: the disk is full; {kept}.")
        image = frame.image
        if self.encoder is None:
            self.size, self.start_s = (image.shape[1], image.shape[0]), frame.time_s
            self.encoder = Encoder(self.path, size=self.size, fps=self.fps)
        elif frame.time_s - self.last_s < self.least_step_s:
            return
        if image.shape[1::-1] != self.size:
            image = cv2.resize(image, self.size, interpolation=cv2.INTER_AREA)
        self.encoder.write(image, frame.time_s - self.start_s)
        self.last_s, self.frames = frame.time_s, self.frames + 1

    def close(self) -> None:
        """Complete the file. Raises VideoError if there is none; see `Encoder.finish`."""
        encoder, self.encoder = self.encoder, None
        if encoder is not None:
            encoder.finish()
            self.complete = True

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        if self.encoder is not None and kind is KeyboardInterrupt:
            self.encoder.abort()
            return
        try:
            self.close()
        except UnwritableVideoError:
            if kind is None:  # else it is probably that error
                raise
