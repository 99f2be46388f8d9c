"""Give a copy of a video the sound of the original."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

from emodetect.errors import first_line
from emodetect.machine.atomic_files import move
from emodetect.recognition.videos.reading.files_and_streams import URL_TIMEOUT_MS, shown_name
from emodetect.recognition.videos.recording.ffmpeg import FORMATS, ffmpeg_for

FFMPEG_TIMEOUT_S = 600


def add_sound(video: Path, source: str, *, seconds: float) -> list[str]:
    """Add the sound of the source to a video of this length, in the usual codec of its format.

    Returns a note for the user if that fails; a source without sound is not a failure.
    """
    form = FORMATS[video.suffix.lower()]
    if not form.has_sound:
        return []
    with_sound = video.with_name(f".{video.stem}.sound{video.suffix}")
    original = ["-i", str(Path(source).absolute())]
    if "://" in source:
        original = ["-rw_timeout", str(1000 * URL_TIMEOUT_MS), "-i", source]
    program = ffmpeg_for(video)
    command = [program, "-nostdin", "-v", "error", "-y", "-i", str(video.absolute())]
    try:
        # The copy begins with the first picture, which may come after the first sound.
        if start_s := _first_picture_s(program, original):
            command += ["-ss", f"{start_s:.3f}"]
        command += original
        # An interrupted copy is shorter than its source.
        command += ["-map", "0:v:0", "-map", "1:a?", "-t", f"{seconds:.3f}"]
        command += ["-c:v", "copy", *form.final_options, str(with_sound.absolute())]
        done = subprocess.run(command, capture_output=True, timeout=FFMPEG_TIMEOUT_S)
        if done.returncode == 0:
            move(with_sound, video)
            return []
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
        reason = lines[0] if lines else f"exit status {done.returncode}"
    except (OSError, subprocess.SubprocessError) as error:
        reason = first_line(error)
    finally:
        with_sound.unlink(missing_ok=True)
    return [f"{video} has no sound: ffmpeg: {reason.replace(source, shown_name(source))}"]


def _first_picture_s(program: str, original: Sequence[str]) -> float:
    """Return when the picture of a video begins, in seconds from the start of its file."""
    command = [program, "-nostdin", "-hide_banner", *original, "-map", "0:V:0", "-frames:v", "1"]
    command += ["-vf", "showinfo", "-f", "null", "-"]
    done = subprocess.run(command, capture_output=True, timeout=FFMPEG_TIMEOUT_S)
    found = re.search(rb"pts_time: *(\d\S*)", done.stderr)
    return float(found[1]) if found else 0.0
