"""`emodetect webcam`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from emodetect.cli.model_options import model_options, usable_model
from emodetect.cli.probability import uncertain_option


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
@uncertain_option
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
    help="Write a line of JSON for each frame to this file.",
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
    uncertain_below: float,
    no_display: bool,
    output: Path | None,
    log: Path | None,
    max_frames: int | None,
    force: bool,
) -> None:
    """Name the emotions of faces in a camera's picture, a video file or a stream.

    In the window, q quits and s saves a snapshot to the current folder. Every frame of a file
    is worked on, however long that takes.

    \b
    emodetect webcam
    emodetect webcam --camera 1 --output me.mp4
    emodetect webcam --source talk.mp4 --no-display --log talk.jsonl
    emodetect webcam --source rtsp://192.168.0.7/stream

    A row of --log: {"frame": 0, "time_s": 0.0, "faces": [{"box": [x, y, width, height],
    "emotion": "happy", "confidence": 0.9, "scores": {"happy": 0.9, ...}}]}. With
    --uncertain-below, "emotion" may be "uncertain"; the two highest scores are then its guesses.

    Exit status: 0; 1 for a source, display or file that does not work; 130 after Ctrl-C (143
    after SIGTERM), where what was written until then is complete and playable.
    """
    from emodetect.inference.capture import list_cameras, open_source

    if list_only:
        cameras = list_cameras()
        for found in cameras:
            click.echo(f"camera {found.index}: {found.width}x{found.height}")
        if not cameras:
            click.echo("no camera found")
        return
    if camera is not None and source is not None:
        raise click.UsageError("--camera and --source exclude each other; give one of them.")

    from emodetect.inference.recognizer import EmotionRecognizer
    from emodetect.inference.recording import check_outputs
    from emodetect.inference.video import run_video
    from emodetect.inference.window import open_window

    check_outputs(output, log, source=source, force=force)
    with open_source(camera=camera, source=source) as opened:
        summary = run_video(
            opened,
            EmotionRecognizer(usable_model(model, labels, pixels), uncertain_below=uncertain_below),
            output=output,
            log=log,
            window=None if no_display else open_window(),
            max_frames=max_frames,
            notify=lambda text: click.echo(text, err=True),
        )
    click.echo(str(summary), err=True)
    if summary.signal is not None:
        sys.exit(128 + summary.signal)
