"""`emodetect video`."""

from __future__ import annotations

import sys
from typing import Any

import click

from emodetect.cli.options.files import file_option, force_option
from emodetect.cli.options.recognizer import RecognizerChoice, recognizer_options
from emodetect.cli.options.tracking import tracking_options


@click.command(short_help="Recognise the emotions of faces in video files.")
@click.argument("videos", metavar="FILE...", nargs=-1, required=True)
@recognizer_options
@file_option(
    "--output",
    metavar="FILE|DIR",
    help="Write a copy with boxes and labels to this .mp4 or .avi file; for several videos, give a "
    "folder.",
)
@file_option(
    "--log", help="Write the results to this .jsonl or .csv file, one file for all videos."
)
@file_option(
    "--timeline",
    metavar="FILE|DIR",
    help="Plot each face's emotions over time to this .png file; for several videos, give "
    "a folder.",
)
@click.option(
    "--every",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="N",
    help="Analyse only every Nth frame.",
)
@tracking_options(
    blurs="Blur faces in the copies. A face that is not detected is not blurred; --no-tracking "
    "detects smaller ones."
)
@click.option(
    "--resume", is_flag=True, help="Continue an interrupted run that wrote to the same --log."
)
@force_option
def video(recognizer: RecognizerChoice, **chosen: Any) -> None:
    """Recognise the emotions of the faces in video files, frame by frame.

    \b
    emodetect video talk.mp4 --log talk.csv --timeline talk.png
    emodetect video talk.mp4 --output drawn.mp4 --privacy
    emodetect video day1.mp4 day2.mp4 --every 5 --log days.jsonl --output drawn/
    emodetect video day1.mp4 day2.mp4 --every 5 --log days.jsonl --output drawn/ --resume

    Faces are tracked: each keeps its ID, and its scores are smoothed over time. Copies keep their
    sound if ffmpeg is installed. --resume continues after the frames in the log. Copies are
    written again from the log (with --privacy, the frames are analysed again). Faces get new IDs.

    Each row of a .jsonl is a frame: {"video": "talk.mp4", "frame": 0, "time_s": 0.0, "faces":
    [{"id": 1, "box": [x, y, width, height], "emotion": "happy", "confidence": 0.9, "scores":
    {"happy": 0.9, ...}}]}. Each row of a .csv is a face, or a frame without faces.

    Exit status: 0; 1 if a video cannot be read (the others are still processed); 130 after Ctrl-C
    (143 after SIGTERM): what was written up to then is complete.
    """
    from emodetect.recognition.videos.video_files import analyze_videos
    from emodetect.recognition.videos.video_plan import VideoOptions

    options = VideoOptions(**chosen)
    if options.privacy and options.output is None:
        raise click.UsageError("--privacy requires --output, whose faces it blurs.")
    if options.privacy and options.every > 1:
        raise click.UsageError("--privacy needs the faces of every frame; omit --every.")
    failed, stopped = False, None
    for result in analyze_videos(options, recognizer.open()):
        for line in result.lines():
            click.echo(line, err=True)
        failed, stopped = failed or result.error is not None, result.signal
    if stopped is not None:
        sys.exit(128 + stopped)
    if failed:
        sys.exit(1)
