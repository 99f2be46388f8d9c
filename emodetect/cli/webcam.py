"""`emodetect webcam`."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import click

from emodetect.cli.options.model import model_options, runtime_option, usable_model
from emodetect.cli.options.numbers import uncertain_option
from emodetect.cli.options.tracking import chosen_tracking, detector_option, tracking_options


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


@click.command()
@click.option(
    "--camera",
    type=click.IntRange(min=0),
    metavar="N",
    help="Number of the camera. [default: 0]",
)
@click.option("--source", metavar="FILE|URL", help="A video file or stream instead of a camera.")
@click.option("--list", "list_only", is_flag=True, help="Print the cameras and exit.")
@model_options
@runtime_option
@detector_option
@uncertain_option
@tracking_options
@click.option(
    "--resolution",
    type=Resolution(),
    metavar="WxH",
    help="Ask the camera for pictures of this size, such as 1280x720.",
)
@click.option(
    "--mirror/--no-mirror",
    default=None,
    help="Turn pictures left to right. [default: a camera's only]",
)
@click.option(
    "--privacy",
    is_flag=True,
    help="Blur faces in all that is shown and written. One that is not found is not blurred; with "
    "--no-tracking smaller ones are found. The key b scans only every --scan-interval.",
)
@click.option(
    "--corrections",
    type=click.Path(path_type=Path, file_okay=False),
    default="corrections",
    show_default=True,
    metavar="DIR",
    help="Where the keys 1 to 8 save faces, in a folder for each emotion.",
)
@click.option("--no-display", is_flag=True, help="Open no window.")
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write the frames with boxes and labels to this .mp4 or .avi file, without sound.",
)
@click.option(
    "--log",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write what is found in each frame to this .jsonl or .csv file.",
)
@click.option(
    "--max-frames", type=click.IntRange(min=1), metavar="N", help="Stop after this many frames."
)
@click.option("--force", is_flag=True, help="Replace files of --output and --log that exist.")
def webcam(
    camera: int | None,
    source: str | None,
    list_only: bool,
    model: str | None,
    labels: str | None,
    pixels: str | None,
    runtime: str | None,
    detector: str,
    uncertain_below: float,
    resolution: tuple[int, int] | None,
    mirror: bool | None,
    privacy: bool,
    corrections: Path,
    no_display: bool,
    output: Path | None,
    log: Path | None,
    max_frames: int | None,
    force: bool,
    **tracking: Any,
) -> None:
    """Name the emotions of faces in a camera's picture, a video file or a stream.

    Keys in the window: q quit, s snapshot, r record, space pause, d next detector, b blur faces,
    p panel with all scores, h help; 1 to 8 save the largest face into --corrections as angry,
    disgust, fear, happy, neutral, sad, surprise or contempt. From some dozens of those,
    `emodetect train --config fine_tuning --set data.path=corrections` makes a model that knows
    your face.

    Of a camera or stream the newest picture is shown, and what the machine has no time for is
    left out; one that drops out is opened again for a minute. Of a file every frame is worked
    on, however long that takes.

    \b
    emodetect webcam
    emodetect webcam --camera 1 --output me.mp4 --privacy
    emodetect webcam --source talk.mp4 --no-display --log talk.jsonl
    emodetect webcam --source rtsp://192.168.0.7/stream

    A row of --log is that of `emodetect video`. With --uncertain-below, "emotion" may be
    "uncertain"; the two highest scores are then its guesses.

    Exit status: 0; 1 for a source, display or file that does not work; 130 after Ctrl-C (143
    after SIGTERM), where what was written until then is complete and playable.
    """
    from emodetect.recognition.videos.capture import list_cameras, open_source

    if list_only:
        cameras = list_cameras()
        for found in cameras:
            click.echo(f"camera {found.index}: {found.width}x{found.height}")
        if not cameras:
            click.echo("no camera found")
        return
    if camera is not None and source is not None:
        raise click.UsageError("--camera and --source exclude each other; give one of them.")
    if resolution is not None and source is not None:
        raise click.UsageError("--resolution is for cameras; a file or stream has its own.")

    from emodetect.recognition.recognizer import EmotionRecognizer
    from emodetect.recognition.videos.live import run_live
    from emodetect.recognition.videos.recording import CODECS, check_files, check_suffix
    from emodetect.recognition.videos.row_log import LOG_SUFFIXES
    from emodetect.recognition.videos.window import open_window

    check_suffix(output, CODECS)
    check_suffix(log, LOG_SUFFIXES)
    check_files([path for path in (output, log) if path is not None], source=source, force=force)
    with open_source(camera=camera, source=source, resolution=resolution, mirror=mirror) as opened:
        summary = run_live(
            opened,
            EmotionRecognizer(
                usable_model(model, labels, pixels),
                detector=detector,
                runtime=runtime,
                uncertain_below=uncertain_below,
            ),
            tracking=chosen_tracking(**tracking, privacy=privacy),
            output=output,
            log=log,
            window=None if no_display else open_window(),
            max_frames=max_frames,
            privacy=privacy,
            corrections=corrections,
            notify=lambda text: click.echo(text, err=True),
        )
    click.echo(str(summary), err=True)
    if summary.signal is not None:
        sys.exit(128 + summary.signal)
