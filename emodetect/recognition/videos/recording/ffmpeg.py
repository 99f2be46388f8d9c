"""The formats in which videos are written, and the ffmpeg program that encodes them."""

from __future__ import annotations

import math
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from emodetect.errors import VideoError

PIP_LINE = 'pip install "emodetect[video]"'
START_TIMEOUT_S = 60
# 4:2:0 is the only layout of colours that all browsers and phones play, and H.264 needs even sides
# for it. The matrix is the one that OpenCV assumes; browsers read it from the file.
_YUV420P = (
    *(
        "-vf",
        "scale=ceil(iw/2)*2:ceil(ih/2)*2:out_color_matrix=bt601:out_range=tv,"
        "setsar=1,format=yuv420p",
    ),
    *("-colorspace", "smpte170m", "-color_primaries", "bt709", "-color_trc", "bt709"),
    *("-color_range", "tv"),
)


@dataclass(frozen=True)
class Format:
    """How a kind of video is encoded.

    Attributes:
        encoder: what ffmpeg calls it; not every ffmpeg has each.
        options: for ffmpeg, when it encodes.
        final_options: for ffmpeg, whenever it writes such a file.
        max_fps: frames per second at most.
        variable: frames may be shown for different times; else ffmpeg repeats and drops frames.
        has_sound: the format can hold sound.
    """

    encoder: str
    options: tuple[str, ...]
    final_options: tuple[str, ...] = ()
    max_fps: float = math.inf
    variable: bool = True
    has_sound: bool = True


FORMATS = {
    ".mp4": Format(
        "libx264",
        # With B-frames, a video whose frames are shown for different times states a wrong length.
        ("-preset", "veryfast", "-crf", "20", "-bf", "0", *_YUV420P),
        # The index at the beginning, or a browser could not play before it has the whole file.
        ("-movflags", "+faststart"),
    ),
    ".webm": Format(
        "libvpx-vp9",
        # For VP9, "-b:v 0" is what makes the quality constant.
        (
            *("-crf", "36", "-b:v", "0", "-deadline", "realtime", "-cpu-used", "6"),
            *("-row-mt", "1", *_YUV420P),
        ),
    ),
    # A GIF stores whole pictures, so large or fast ones would be enormous.
    ".gif": Format(
        "gif",
        ("-vf", "scale=w='min(iw,640)':h='min(ih,640)':force_original_aspect_ratio=decrease"),
        max_fps=15.0,
        has_sound=False,
    ),
    ".avi": Format("mjpeg", ("-q:v", "3", "-pix_fmt", "yuvj420p"), variable=False),
}


def ffmpeg_for(path: Path) -> str:
    """Return the ffmpeg program that writes videos of this name: the user's, else the package's.

    Raises VideoError if there is none.
    """
    encoder = FORMATS[path.suffix.lower()].encoder
    for program in installed_ffmpegs():
        if encoder in encoders(program):
            return program
    raise VideoError(
        f"{path}: expected ffmpeg with the encoder {encoder}, found none; install it with: "
        f"{PIP_LINE}"
    )


def installed_ffmpegs() -> Iterator[str]:
    """Yield the ffmpeg on PATH, then that of the package imageio-ffmpeg, as far as they exist."""
    if found := shutil.which("ffmpeg"):
        yield found
    try:
        import imageio_ffmpeg

        yield imageio_ffmpeg.get_ffmpeg_exe()
    except (ImportError, RuntimeError):  # RuntimeError: not for this platform
        return


@cache
def encoders(program: str) -> frozenset[str]:
    """Return the names of the encoders that an ffmpeg has; none if it does not run."""
    rows = (line.split() for line in _output(program, "-encoders").splitlines())
    return frozenset(row[1] for row in rows if len(row) > 1)


@cache
def frame_times_options(program: str) -> tuple[str, ...]:
    """Return the options with which an ffmpeg keeps the time of each frame."""
    # The new name of an option that is gone in new versions; 5.1 is the first to know it.
    name = "-fps_mode" if "-fps_mode" in _output(program, "-h", "long") else "-vsync"
    return (name, "vfr", "-enc_time_base", "1:90000")


def _output(program: str, *arguments: str) -> str:
    try:
        done = subprocess.run(
            [program, "-hide_banner", *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=START_TIMEOUT_S,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.decode("utf-8", "replace")
