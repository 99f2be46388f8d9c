"""Encode frames as a video file, with an ffmpeg process."""

from __future__ import annotations

import subprocess
import tempfile
from contextlib import ExitStack, suppress
from pathlib import Path

import numpy as np

from emodetect.errors import VideoError
from emodetect.machine.atomic_files import move
from emodetect.machine.locks import locked
from emodetect.machine.output_folder import writing
from emodetect.recognition.videos.recording.ffmpeg import FORMATS, ffmpeg_for, frame_times_options
from emodetect.recognition.videos.recording.output_files import unfinished
from emodetect.recognition.videos.recording.raw_stream import stream_frame, stream_header


class UnwritableVideoError(VideoError):
    """A video that ffmpeg cannot write, such as one of a size that the format does not allow."""


class Encoder:
    """Encodes frames while they arrive; the file appears under its name when it is complete.

    Args:
        path: its suffix is one of FORMATS.
        size: width and height in pixels.
        fps: frames per second, as far as they are constant.

    Raises:
        VideoError: see `ffmpeg_for`; also if another run is writing the file.
    """

    def __init__(self, path: Path, *, size: tuple[int, int], fps: float) -> None:
        self.path, self.size = path, size
        self.partial = unfinished(path)
        form, program = FORMATS[path.suffix.lower()], ffmpeg_for(path)
        command = [program, "-v", "error", "-y"]
        # All that could be found out about the stream is in its header.
        command += ["-f", "matroska", "-probesize", "32", "-analyzeduration", "0", "-i", "pipe:0"]
        command += ["-c:v", form.encoder, *form.options, *form.final_options]
        if form.variable:
            command += frame_times_options(program)
        # Absolute: FFmpeg would take "Talk: one.mp4" for a URL.
        command.append(str(self.partial.absolute()))
        self.lock = self._locked()
        self.messages = tempfile.TemporaryFile()  # noqa: SIM115  closed by `abort`
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=self.messages,
            # A terminal sends Ctrl-C to all its programs; this one has a file to complete.
            start_new_session=True,
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )
        try:
            self._send(stream_header(size=size, fps=fps))
        except UnwritableVideoError:
            self.abort()
            raise

    def write(self, image: np.ndarray, time_s: float) -> None:
        """Add a (height, width, 3) uint8 BGR frame, to be shown at this time.

        Raises UnwritableVideoError.
        """
        self._send(stream_frame(image, time_s))

    def finish(self) -> None:
        """Complete the file.

        Raises UnwritableVideoError, in which case there is none, or VideoError, if what is there
        cannot be replaced by it.
        """
        try:
            self._end_input()
            if self.process.wait():
                raise self._failure()
        except BaseException:
            self.abort()
            raise
        self.messages.close()
        try:
            move(self.partial, self.path)
        except OSError as error:
            # Not if its folder was moved away.
            kept = f"; the complete video is {self.partial}" if self.partial.exists() else ""
            raise VideoError(f"{self.path}: cannot be written: {error.strerror}{kept}.") from None
        finally:
            self.lock.close()

    def abort(self) -> None:
        """Stop ffmpeg, and remove what is not complete."""
        self.process.kill()
        self._end_input()
        self.process.wait()
        self.messages.close()
        self.partial.unlink(missing_ok=True)
        self.lock.close()

    def _locked(self) -> ExitStack:
        """Create and lock the file; ffmpeg writes into it without replacing it."""
        with writing(self.path, VideoError), ExitStack() as stack:
            self.partial.touch()
            if stack.enter_context(locked(self.partial, wait=False)) == "taken":
                raise VideoError(f"{self.path}: another run is writing it; choose another file.")
            return stack.pop_all()

    def _send(self, data: bytes) -> None:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(data)
        except OSError:  # ffmpeg has ended
            raise self._failure() from None

    def _end_input(self) -> None:
        assert self.process.stdin is not None
        with suppress(OSError):  # ffmpeg has ended
            self.process.stdin.close()

    def _failure(self) -> UnwritableVideoError:
        self._end_input()
        status = self.process.wait()
        self.messages.seek(0)
        lines = self.messages.read().decode("utf-8", "replace").strip().splitlines()
        reason = lines[0] if lines else f"exit status {status}"
        return UnwritableVideoError(
            f"{self.path}: ffmpeg cannot write this video ({self.size[0]}x{self.size[1]} pixels): "
            f"{reason}"
        )
