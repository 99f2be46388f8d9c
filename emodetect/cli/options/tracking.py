"""The options for tracking and blurring the faces of a video."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from emodetect.cli.options.numbers import NumberRange, Probability

if TYPE_CHECKING:
    from emodetect.faces.tracking import TrackingOptions


def tracking_options(*, blurs: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add --no-tracking, --scan-interval, --smoothing, --hysteresis and --privacy.

    The command gets `tracking`, which is a TrackingOptions or None, and `privacy`.

    Args:
        blurs: the help text of --privacy, which says where faces are blurred.
    """

    def add(command: Callable[..., Any]) -> Callable[..., Any]:
        @click.option(
            "--no-tracking",
            is_flag=True,
            help="Search every frame from scratch at full size: no face IDs, no smoothing; slow.",
        )
        @click.option(
            "--scan-interval",
            type=NumberRange(min=0),
            metavar="SECONDS",
            help="Time between full-frame scans for new faces. [default: 0.5; 0 with --privacy]",
        )
        @click.option(
            "--smoothing",
            type=NumberRange(min=0),
            metavar="SECONDS",
            help="Time constant for smoothing a face's scores. [default: 0.4]",
        )
        @click.option(
            "--hysteresis",
            type=Probability(),
            metavar="0..1",
            help="Change a label only if another emotion leads by at least this. [default: 0.1]",
        )
        @click.option("--privacy", is_flag=True, help=blurs)
        @wraps(command)
        def with_tracking(
            *,
            no_tracking: bool,
            scan_interval: float | None,
            smoothing: float | None,
            hysteresis: float | None,
            privacy: bool,
            **others: Any,
        ) -> Any:
            given = {
                "scan_interval_s": scan_interval,
                "score_smoothing_s": smoothing,
                "hysteresis": hysteresis,
            }
            given = {name: value for name, value in given.items() if value is not None}
            tracking = _tracking(given, no_tracking=no_tracking, privacy=privacy)
            return command(tracking=tracking, privacy=privacy, **others)

        return with_tracking

    return add


def _tracking(given: dict[str, Any], *, no_tracking: bool, privacy: bool) -> TrackingOptions | None:
    from emodetect.faces.tracking import TrackingOptions

    if no_tracking:
        if given:
            raise click.UsageError(
                "--no-tracking cannot be combined with --scan-interval, --smoothing or "
                "--hysteresis."
            )
        return None
    if privacy:
        # A new face must be blurred at once, so every frame is scanned; and a smoothed box lags
        # behind a fast face.
        given = {"scan_interval_s": 0.0, **given, "box_smoothing_s": 0.0}
    return TrackingOptions(**given)
