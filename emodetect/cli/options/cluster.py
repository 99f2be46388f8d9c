"""The options that let `predict` run on a Ray cluster, and what cannot be combined with them."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from emodetect.cli.options.numbers import NumberRange

if TYPE_CHECKING:
    from emodetect.cli.options.recognizer import RecognizerChoice
    from emodetect.recognition.photos.predict import PredictCounts

# Of the nodes, or files that each node would write to its own disk.
LOCAL_ONLY = {"annotate": "--annotate", "save_crops": "--save-crops", "explain": "--explain"}


class PhotoSource(click.Path):
    """A file, folder or pattern, as a Path, or a URL, as text: a Path would change its slashes."""

    def __init__(self) -> None:
        super().__init__(path_type=Path, readable=False, allow_dash=True)

    def convert(
        self, value: Any, param: click.Parameter | None, context: click.Context | None
    ) -> Path | str:
        """Return the path, or the URL."""
        if isinstance(value, str) and "://" in value:
            return value
        return Path(str(super().convert(value, param, context)))


def cluster_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --engine, --address and --start-timeout.

    The command gets them as `cluster`: a dict of values for ClusterOptions, or None.
    """

    @click.option(
        "--engine",
        type=click.Choice(["local", "ray"]),
        default="local",
        show_default=True,
        help="ray: on a Ray cluster, or on one that is started here; results are Parquet files.",
    )
    @click.option(
        "--address",
        metavar="auto|HOST:PORT",
        help="With --engine ray: the running cluster to use. [default: start Ray here]",
    )
    @click.option(
        "--start-timeout",
        type=NumberRange(0, min_open=True),
        metavar="SECONDS",
        help="With --engine ray: how long to wait while no worker can start, such as for new "
        "nodes. [default: 60]",
    )
    @wraps(command)
    def with_cluster(
        *, engine: str, address: str | None, start_timeout: float | None, **others: Any
    ) -> Any:
        given = {"address": address, "start_timeout_s": start_timeout}
        given = {name: value for name, value in given.items() if value is not None}
        if engine == "local" and given:
            raise click.UsageError("--address and --start-timeout require --engine ray.")
        return command(cluster=given if engine == "ray" else None, **others)

    return with_cluster


def check_local(images: tuple[Path | str, ...], output: Path | None) -> None:
    """Raise click.UsageError for what only --engine ray can do."""
    for image in images:
        if isinstance(image, str):
            raise click.UsageError(
                f"{image}: expected a file, folder or pattern, got a URL; add --engine ray."
            )
    if output is not None and output.is_dir():
        raise click.UsageError(
            f"--output: {output} is a folder; expected a file for jsonl or csv. A folder of "
            "Parquet files requires --engine ray."
        )


def on_cluster(
    recognizer: RecognizerChoice,
    output_format: str | None,
    chosen: dict[str, Any],
    cluster: dict[str, Any],
) -> PredictCounts:
    """Check the options of `predict --engine ray`, and run it.

    Raises click.UsageError for options that cannot be combined with it, and EmodetectError as
    `predict_on_cluster`.
    """
    unusable = [option for name, option in LOCAL_ONLY.items() if chosen.pop(name) is not None]
    if unusable:
        raise click.UsageError(f"{unusable[0]} cannot be combined with --engine ray.")
    output = chosen["output"]
    if output_format is not None:
        raise click.UsageError("--engine ray writes Parquet files; omit --format.")
    if output is None:
        raise click.UsageError("--engine ray requires --output DIR, a folder on this machine.")
    if "://" in str(output) or ":/" in str(output):
        raise click.UsageError(f"--output: expected a folder on this machine, got {output}.")
    if output.exists() and not output.is_dir():
        raise click.UsageError(
            f"--output: expected a folder for Parquet files, got a file: {output}"
        )
    if chosen["workers"] == 0:
        raise click.UsageError("--workers: --engine ray requires at least 1.")
    from emodetect.recognition.cluster.predict_on_cluster import ClusterOptions, predict_on_cluster

    options = ClusterOptions(**chosen, **cluster)
    try:
        return predict_on_cluster(
            options, recognizer.opener(), say=lambda line: click.echo(line, err=True)
        )
    except KeyboardInterrupt:
        click.echo(f"{output}: stopped; continue with --resume", err=True)
        raise
