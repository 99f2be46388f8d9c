"""The options by which a command is told how to read the labelled images of SOURCE:PATH."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import click

label_name_option = click.option(
    "--label-name",
    multiple=True,
    metavar="LABEL=EMOTION",
    help="The emotion of a label by another name, such as 3=happy; may be given several times.",
)


def source_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add what a config says of its data beside source and path."""
    return click.option(
        "--faces",
        type=click.Choice(["whole", "detect"]),
        multiple=True,
        help="As data.faces of the config that is to train on it: detect takes the photos of "
        "raf_db, and of affectnet without its boxes. Once, or once for each SOURCE:PATH. "
        "[default: whole]",
    )(label_name_option(command))


def faces_of_each(
    faces: tuple[Literal["whole", "detect"], ...], sources: Sequence[str]
) -> tuple[Literal["whole", "detect"] | None, ...]:
    """Return what --faces says of each source; None where it was not given."""
    if len(faces) <= 1:
        return (faces or (None,)) * len(sources)
    if len(faces) != len(sources):
        raise click.UsageError(
            f"--faces: expected it once, or once for each of {len(sources)} SOURCE:PATH, got "
            f"{len(faces)}."
        )
    return faces


def label_names(pairs: tuple[str, ...]) -> dict[str, str]:
    """Return what --label-name says, as data.label_names."""
    names = dict(pair.rpartition("=")[::2] for pair in pairs)
    if "" in names:
        raise click.BadParameter(
            f"expected LABEL=EMOTION such as 3=happy, got {', '.join(pairs)}",
            param_hint="--label-name",
        )
    return names
