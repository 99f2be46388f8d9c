"""The options that say how to read the labelled images of SOURCE:PATH."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import click

label_name_option = click.option(
    "--label-name",
    multiple=True,
    metavar="LABEL=EMOTION",
    help="The emotion that a label stands for, such as 3=happy; may be repeated.",
)


def source_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --faces and --label-name, as a config gives them beside data.source and data.path."""
    return click.option(
        "--faces",
        type=click.Choice(["whole", "detect"]),
        multiple=True,
        help="As data.faces in the config you train with: detect uses the photos of raf_db, and "
        "those of affectnet without its boxes. Give it once, or once per SOURCE:PATH. "
        "[default: whole]",
    )(label_name_option(command))


def faces_of_each(
    faces: tuple[Literal["whole", "detect"], ...], sources: Sequence[str]
) -> tuple[Literal["whole", "detect"] | None, ...]:
    """Return the --faces of each source; None if it was not given."""
    if len(faces) <= 1:
        return (faces or (None,)) * len(sources)
    if len(faces) != len(sources):
        raise click.UsageError(
            f"--faces: expected once, or once for each of the {len(sources)} SOURCE:PATH, got "
            f"{len(faces)} times."
        )
    return faces


def label_names(pairs: tuple[str, ...]) -> dict[str, str]:
    """Return the --label-name pairs as data.label_names."""
    names = dict(pair.rpartition("=")[::2] for pair in pairs)
    if "" in names:
        raise click.BadParameter(
            f"expected LABEL=EMOTION such as 3=happy, got {', '.join(pairs)}",
            param_hint="--label-name",
        )
    return names
