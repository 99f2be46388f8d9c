"""The options by which a command is told how faces are found and followed in a video."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from emodetect.cli.options.numbers import NumberRange, Probability

if TYPE_CHECKING:
    from emodetect.faces.tracking import TrackingOptions

detector_option = click.option(
    "--detector",
    default="haar",
    show_default=True,
    metavar="NAME|FILE",
    help="How faces are found: haar; yunet, which also finds turned and small ones (`emodetect "
    "models fetch yunet`, or the path of its .onnx file); none takes each image as one face.",
)


def tracking_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --no-tracking, --scan-interval, --smoothing and --hysteresis."""
    for option in (
        click.option(
            "--hysteresis",
            type=Probability(),
            metavar="P",
            help="By how much another emotion must lead for a label to change. [default: 0.1]",
        ),
        click.option(
            "--smoothing",
            type=NumberRange(min=0),
            metavar="SECONDS",
            help="Time constant of the moving average of a face's scores. [default: 0.4]",
        ),
        click.option(
            "--scan-interval",
            type=NumberRange(min=0),
            metavar="SECONDS",
            help="Time between searches of the whole frame for new faces. [default: 0.5; 0 with "
            "--privacy]",
        ),
        click.option(
            "--no-tracking",
            is_flag=True,
            help="Search every frame anew at full size: no ids, nothing smoothed; slow.",
        ),
    ):
        command = option(command)
    return command


def chosen_tracking(
    no_tracking: bool,
    scan_interval: float | None,
    smoothing: float | None,
    hysteresis: float | None,
    *,
    privacy: bool,
) -> TrackingOptions | None:
    """Return how faces are followed; None for --no-tracking.

    Where faces are to be blurred, none may go unseen until the next scan: every frame has one.
    """
    from emodetect.faces.tracking import TrackingOptions

    given: dict[str, Any] = {
        "scan_interval_s": scan_interval,
        "score_smoothing_s": smoothing,
        "hysteresis": hysteresis,
    }
    given = {name: value for name, value in given.items() if value is not None}
    if not no_tracking:
        if privacy:
            given.setdefault("scan_interval_s", 0.0)
            given["box_smoothing_s"] = 0.0  # a smoothed box lags behind a fast face
        return TrackingOptions(**given)
    if given:
        raise click.UsageError(
            "--no-tracking goes without --scan-interval, --smoothing and --hysteresis."
        )
    return None
