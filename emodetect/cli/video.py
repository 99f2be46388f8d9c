"""`emodetect video`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from emodetect.cli.options.model import model_options, runtime_option, usable_model
from emodetect.cli.options.numbers import uncertain_option
from emodetect.cli.options.tracking import chosen_tracking, detector_option, tracking_options


@click.command()
@click.argument("videos", metavar="FILE...", nargs=-1, required=True)
@model_options
@runtime_option
@detector_option
@uncertain_option
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE|DIR",
    help="Write a copy with boxes and labels: an .mp4 or .avi; for several videos a folder.",
)
@click.option(
    "--log",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write what is found to this .jsonl or .csv file, for all videos one.",
)
@click.option(
    "--timeline",
    type=click.Path(path_type=Path),
    metavar="FILE|DIR",
    help="Draw each face's emotions over time: a .png; for several videos a folder.",
)
@click.option(
    "--every",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="N",
    help="Look at every Nth frame only.",
)
@tracking_options
@click.option(
    "--privacy",
    is_flag=True,
    help="Blur the faces in the copies. One that is not found is not blurred; with --no-tracking "
    "smaller ones are found.",
)
@click.option(
    "--resume", is_flag=True, help="Go on where an interrupted run with the same --log stopped."
)
@click.option("--force", is_flag=True, help="Replace files that exist.")
def video(
    videos: tuple[str, ...],
    model: str | None,
    labels: str | None,
    pixels: str | None,
    runtime: str | None,
    detector: str,
    uncertain_below: float,
    output: Path | None,
    log: Path | None,
    timeline: Path | None,
    every: int,
    privacy: bool,
    resume: bool,
    force: bool,
    **tracking: Any,
) -> None:
    """Name the emotions of the faces in video files, frame by frame.

    \b
    emodetect video talk.mp4 --log talk.csv --timeline talk.png
    emodetect video talk.mp4 --output drawn.mp4 --privacy
    emodetect video day1.mp4 day2.mp4 --every 5 --log days.jsonl --output drawn/
    emodetect video day1.mp4 day2.mp4 --every 5 --log days.jsonl --output drawn/ --resume

    Faces are followed: each keeps its number, and its scores are smoothed over time. A copy keeps
    the sound where ffmpeg is installed. --resume goes on after the frames that the log holds;
    copies are written anew, without a second analysis but for --privacy; faces get new numbers.

    A row of a .jsonl is a frame: {"video": "talk.mp4", "frame": 0, "time_s": 0.0, "faces":
    [{"id": 1, "box": [x, y, width, height], "emotion": "happy", "confidence": 0.9, "scores":
    {"happy": 0.9, ...}}]}; of a .csv a face, or a frame without faces.

    Exit status: 0; 1 if a video could not be read (the others go on); 130 after Ctrl-C (143
    after SIGTERM), where what was written until then is whole.
    """
    from emodetect.recognition.recognizer import EmotionRecognizer
    from emodetect.recognition.videos.analysis import analyze_videos, plan_videos

    if privacy and output is None:
        raise click.UsageError("--privacy is for the copies of --output.")
    if privacy and every > 1:
        raise click.UsageError("--privacy needs the faces of every frame; leave --every out.")
    recognizer = EmotionRecognizer(
        usable_model(model, labels, pixels),
        detector=detector,
        runtime=runtime,
        uncertain_below=uncertain_below,
    )
    jobs = plan_videos(
        videos,
        recognizer.emotions,
        output=output,
        log=log,
        timeline=timeline,
        every=every,
        resume=resume,
        force=force,
    )
    failed, stopped = False, None
    for result in analyze_videos(
        jobs,
        recognizer,
        tracking=chosen_tracking(**tracking, privacy=privacy),
        every=every,
        log=log,
        resume=resume,
        privacy=privacy,
    ):
        for line in result.lines():
            click.echo(line, err=True)
        failed, stopped = failed or result.error is not None, result.signal
    if stopped is not None:
        sys.exit(128 + stopped)
    if failed:
        sys.exit(1)
