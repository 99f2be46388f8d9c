"""`emodetect video`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from emodetect.cli.options.files import file_option, force_option
from emodetect.cli.options.numbers import NumberRange, WholeNumber
from emodetect.cli.options.recognizer import RecognizerChoice, recognizer_options
from emodetect.cli.options.tracking import tracking_options
from emodetect.cli.tables import new_table, print_table
from emodetect.number_format import percent, quantity

if TYPE_CHECKING:
    from emodetect.recognition.videos.summary.figures import FaceFigures, VideoFigures

# Rows of the summary, and emotions in each.
SHOWN_FACES = 10
SHOWN_EMOTIONS = 3


@click.command(short_help="Recognise the emotions of faces in video files.")
@click.argument("videos", metavar="FILE...", nargs=-1, required=True)
@recognizer_options
@file_option(
    "--output",
    metavar="FILE|DIR",
    help="Write a copy with boxes and labels to this .mp4, .webm, .gif or .avi file; for several "
    "videos, give a folder.",
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
@file_option(
    "--summary",
    metavar="FILE.csv|json",
    help="Write the figures of each video and each of its faces to this file: time visible, share, "
    "mean probability and episodes of each emotion, transitions, and the settings.",
)
@file_option(
    "--report",
    metavar="FILE.html",
    help="Write a page with the timeline, pictures of each face's emotions and the figures, one "
    "file for all videos.",
)
@click.option(
    "--every",
    type=WholeNumber(1),
    default=1,
    show_default=True,
    metavar="N",
    help="Analyse only every Nth frame. In frames more than 0.5 s apart, IDs are less certain.",
)
@click.option(
    "--min-seconds",
    type=NumberRange(min=0),
    default=0.0,
    show_default=True,
    metavar="SECONDS",
    help="Leave faces visible for less than this out of the timeline, summary, report and printed "
    "results. The log keeps them.",
)
@tracking_options(
    blurs="Blur faces in the copies and the report. A face that is not detected is not blurred; "
    "--no-tracking detects smaller ones."
)
@click.option(
    "--resume", is_flag=True, help="Continue an interrupted run that wrote to the same --log."
)
@force_option()
def video(recognizer: RecognizerChoice, **chosen: Any) -> None:
    """Recognise the emotions of the faces in video files, frame by frame. Prints which faces were
    seen, for how long and with which emotions, unless an option below writes the results to files.

    \b
    emodetect video talk.mp4
    emodetect video talk.mp4 --log talk.csv --timeline talk.png
    emodetect video talk.mp4 --summary talk_summary.csv --report talk.html
    emodetect video talk.mp4 --output drawn.mp4 --privacy
    emodetect video day1.mp4 day2.mp4 --every 5 --log days.jsonl
    emodetect video day1.mp4 day2.mp4 --every 5 --log days.jsonl --resume

    Faces are tracked: each keeps its ID, and its scores are smoothed over time. --resume continues
    after the frames in the log, which becomes that of an undisturbed run. For this, LOG.resume
    holds the last places and probabilities of the faces until the video is finished; without it,
    the video is analysed from its start. Copies are written again from the log (with --privacy,
    the frames are analysed again).

    Copies need ffmpeg (or pip install "emodetect[video]"). They keep the sound. An .mp4 is H.264
    and a .webm VP9; both play in browsers. A .gif has at most 15 frames/s and 640 pixels a side.

    Each row of a .jsonl is a frame: {"video": "talk.mp4", "frame": 0, "time_s": 0.0, "faces":
    [{"id": 1, "box": [x, y, width, height], "emotion": "happy", "confidence": 0.9, "scores":
    {"happy": 0.9, ...}}]}. Each row of a .csv is a face, or a frame without faces.

    A --summary has a row for each video as a whole (face "all") and for each of its faces. An
    episode is a time in which a face shows one emotion without interruption; a transition is a
    change from one to the next. The mean probability is over all the time that the face is visible.

    Exit status: 0; 1 if a video cannot be read to its end (what could be read is written,
    and the others are still processed); 130 after Ctrl-C
    (143 after SIGTERM): what was written up to then is complete.
    """
    from emodetect.recognition.videos.video_files import analyze_videos
    from emodetect.recognition.videos.video_plan import VideoOptions
    from emodetect.reports.videos.video_page import VideoPage

    options = VideoOptions(**chosen)
    if options.resume and options.force:
        raise click.UsageError(
            "--resume continues --log and --force overwrites it; give only one of them."
        )
    if options.privacy and options.output is options.report is None:
        raise click.UsageError("--privacy requires --output or --report, whose faces it blurs.")
    if options.privacy and options.every > 1:
        raise click.UsageError("--privacy requires the faces of every frame; omit --every.")
    rows = (options.output, options.log)
    figures = (options.timeline, options.summary, options.report)
    if options.min_seconds and any(rows) and not any(figures):
        raise click.UsageError(
            "--min-seconds has no effect on --output and --log; add --timeline, --summary or "
            "--report, or omit it."
        )
    if options.min_seconds and options.tracking is None:
        raise click.UsageError("--min-seconds requires tracked faces; omit --no-tracking.")
    failed, stopped = False, None
    for result in analyze_videos(options, recognizer.open(), open_page=VideoPage):
        lines = result.lines()
        if not any((*rows, *figures)) and result.figures is not None:
            _print_seen(result.source, result.figures)
            if result.error is None and result.signal is None:
                del lines[0]  # only how fast that was
        for line in lines:
            click.echo(line, err=True)
        failed, stopped = failed or bool(result.incomplete), result.signal
    if stopped is not None:
        sys.exit(128 + stopped)
    if failed:
        sys.exit(1)


def _print_seen(source: str, figures: VideoFigures) -> None:
    """Print which faces a video shows, for how long and with which emotions, on stdout."""
    from emodetect.machine.terminal_text import on_one_line

    found = "faces found" if figures.whole.frames or figures.left_out else "no face found"
    if total := len(figures.faces) + len(figures.left_out):
        found = quantity(total, "face")
    click.echo(f"{on_one_line(source)}: {figures.seconds:.1f} s, {found}")
    if figures.whole.frames:
        _print_faces(figures.faces or (figures.whole,), figures.seconds)
    if short := len(figures.left_out):
        click.echo(f"{quantity(short, 'face')} visible for less than --min-seconds")


def _print_faces(faces: Sequence[FaceFigures], seconds: float) -> None:
    table = new_table(text=["face", "emotion"], numbers=["visible"])
    for face in faces[:SHOWN_FACES]:
        visible = f"{face.visible_s:.1f} s ({percent(face.visible_s / seconds)})"
        table.add_row("any" if face.id is None else str(face.id), _emotions(face), visible)
    print_table(table)
    if rest := faces[SHOWN_FACES:]:
        click.echo(f"{len(rest):,} more, each visible for at most {rest[0].visible_s:.1f} s")


def _emotions(face: FaceFigures) -> str:
    shares = list(face.shares.items())
    named = [f"{emotion} {percent(share)}" for emotion, share in shares[:SHOWN_EMOTIONS]]
    if rest := sum(share for _, share in shares[SHOWN_EMOTIONS:]):
        named.append(f"others {percent(rest)}")
    return ", ".join(named)
