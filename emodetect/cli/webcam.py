"""`emodetect webcam`."""

from __future__ import annotations

import re
import sys
from typing import Any

import click

from emodetect.cli.options.files import file_option, folder_option, force_option
from emodetect.cli.options.numbers import WholeNumber
from emodetect.cli.options.recognizer import RecognizerChoice, recognizer_options
from emodetect.cli.options.tracking import tracking_options


class Resolution(click.ParamType):
    """Width and height in pixels, written 1280x720."""

    name = "resolution"

    def convert(
        self, value: Any, param: click.Parameter | None, context: click.Context | None
    ) -> tuple[int, int]:
        """Return width and height. Raises click.BadParameter."""
        found = re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})", str(value))
        if found is None:
            self.fail(f"expected a size such as 1280x720, got {value!r}", param, context)
        return int(found[1]), int(found[2])


@click.command(short_help="Recognise the emotions of faces from a camera or stream.")
@click.option("--camera", type=WholeNumber(0), metavar="N", help="Camera number. [default: 0]")
@click.option(
    "--source", metavar="FILE|URL", help="Use a video file or stream instead of a camera."
)
@click.option("--list", "list_only", is_flag=True, help="List the cameras and exit.")
@recognizer_options
@tracking_options(
    blurs="Blur faces in everything that is shown and written. A face that is not detected is "
    "not blurred; --no-tracking detects smaller ones. With the key b instead, new faces are "
    "found only every --scan-interval."
)
@click.option(
    "--resolution",
    type=Resolution(),
    metavar="WxH",
    help="Frame size to request from the camera, such as 1280x720.",
)
@click.option(
    "--mirror/--no-mirror", default=None, help="Flip frames left to right. [default: cameras only]"
)
@folder_option(
    "--corrections",
    default="corrections",
    help="Where the number keys save faces, in one folder per emotion.",
)
@click.option("--no-display", is_flag=True, help="Do not open a window.")
@file_option(
    "--output",
    help="Write the frames with boxes and labels to this .mp4, .webm, .gif or .avi file; no sound.",
)
@file_option("--log", help="Write the results of each frame to this .jsonl or .csv file.")
@click.option("--max-frames", type=WholeNumber(1), metavar="N", help="Stop after N frames.")
@force_option()
def webcam(recognizer: RecognizerChoice, list_only: bool, no_display: bool, **chosen: Any) -> None:
    """Recognise the emotions of faces from a camera, a video file or a stream.

    Keys in the window: q quit, s snapshot, r record, space pause, d next detector, b blur faces,
    p panel with all scores, h help. 1 to 8 save the largest face to --corrections as angry,
    disgust, fear, happy, neutral, sad, surprise or contempt. With a few hundred of these,
    `emodetect train --data corrections` adapts a model to your face.

    Of a camera or stream, frames that cannot be processed in time are dropped, so that what is
    shown does not fall behind. If the connection is lost, emodetect tries to reconnect for a
    minute. Every frame of a file is analysed, however long that takes; in a window, a file plays at
    its own speed or slower.

    \b
    emodetect webcam
    emodetect webcam --camera 1 --output me.mp4 --privacy
    emodetect webcam --source talk.mp4 --no-display --log talk.jsonl
    emodetect webcam --source rtsp://192.168.0.7/stream

    The rows of --log are those of `emodetect video`. With --uncertain-below, "emotion" can be
    "uncertain"; the two highest scores are then its guesses.

    Exit status: 0; 1 if a source, display or file does not work; 130 after Ctrl-C (143 after
    SIGTERM): what was written up to then is complete and playable.
    """
    if list_only:
        _print_cameras()
        return
    from emodetect.recognition.videos.webcam import WebcamOptions, run_webcam

    options = WebcamOptions(display=not no_display, **chosen)
    if options.camera is not None and options.source is not None:
        raise click.UsageError("--camera and --source cannot be combined; give only one.")
    if options.resolution is not None and options.source is not None:
        raise click.UsageError("--resolution is for cameras; a file or stream has its own.")
    summary = run_webcam(options, recognizer.open, notify=lambda text: click.echo(text, err=True))
    click.echo(str(summary), err=True)
    if summary.signal is not None:
        sys.exit(128 + summary.signal)


def _print_cameras() -> None:
    from emodetect.recognition.videos.reading.cameras import list_cameras

    cameras = list_cameras()
    for camera in cameras:
        click.echo(f"camera {camera.index}: {camera.width}x{camera.height}")
    if not cameras:
        click.echo("no camera found")
