"""How commands take labelled images: SOURCE:PATH or PATH, and the options for reading them."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any

import click

from emodetect.machine.terminal_text import on_one_line, quoted

if TYPE_CHECKING:
    from emodetect.config import Faces
    from emodetect.data.named_data import NamedData

DATA = "[SOURCE:]PATH"
FORMS_OF_DATA = "a folder of folders named after emotions, a CSV, or SOURCE:PATH"

label_name_option = click.option(
    "--label-name",
    multiple=True,
    metavar="LABEL=EMOTION",
    help="Emotion for a label with another name, such as 3=happy. Repeatable.",
)
group_option = click.option(
    "--group",
    multiple=True,
    metavar="COLUMN",
    help="Column of a manifest, such as person or video: images with the same value are not "
    "independent, so intervals and p-values count them together. Repeatable.",
)
own_labels_option = click.option(
    "--own-labels",
    is_flag=True,
    help='Labels of your own instead of emotions, like data.labels = "own" in a config.',
)


def label_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --label-name and --own-labels."""
    return label_name_option(own_labels_option(command))


def named_data(text: str, *, option: str, among: Collection[str] | None = None) -> NamedData:
    """Return the data set that the user gave; print it once on stderr if it was a PATH alone.

    Args and raises as `find_data`.
    """
    from emodetect.data.named_data import find_data

    found = find_data(text, option=option, among=among)
    told = click.get_current_context().meta.setdefault(__name__, set())
    if str(found) != text and found not in told:
        told.add(found)
        click.echo(f"data: {on_one_line(str(found))}", err=True)
    return found


class DataCommand(click.Command):
    """A command that takes data; whoever gives none, or gives it as something else, is told how.

    Args:
        expects: what its arguments are, with an example, for whoever omits one.
    """

    def __init__(self, *names: Any, expects: str = "", **settings: Any) -> None:
        super().__init__(*names, **settings)
        self.expects = expects

    def parse_args(self, context: click.Context, words: list[str]) -> list[str]:
        given = list(words)  # click empties its own
        try:
            return super().parse_args(context, words)
        except click.NoSuchOption:
            raise
        except click.MissingParameter as error:
            if not isinstance(error.param, click.Argument):
                raise
            raise click.UsageError(f"expected {self.expects}.", context) from None
        except click.UsageError as error:
            _, extra, _ = self.make_parser(context).parse_args(given)
            takes_data = any("--data" in option.opts for option in self.params)
            there = extra and os.path.exists(extra[0])
            if not (takes_data and there):
                raise
            hint = f"; did you mean: --data {quoted(extra[0])}?"
            raise click.UsageError(error.message.rstrip(".") + hint, context) from None


def source_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --label-name, --own-labels and --faces, as a config's data section has them."""
    return click.option(
        "--faces",
        type=click.Choice(["whole", "detect"]),
        multiple=True,
        help="Same as data.faces of the config for training: detect uses the original photos of "
        "RAF-DB, and ignores AffectNet's boxes. Give it once, or once per data set. "
        "[default: whole]",
    )(label_options(command))


def faces_of_each(faces: tuple[Faces, ...], sources: Sequence[str]) -> tuple[Faces | None, ...]:
    """Return the value of --faces for each source; None if it was not given."""
    if len(faces) <= 1:
        return (faces or (None,)) * len(sources)
    if len(faces) != len(sources):
        raise click.UsageError(
            f"--faces: expected one value, or {len(sources)} (one per data set), got {len(faces)}."
        )
    return faces


def names_in(text: str) -> tuple[str, ...]:
    """Return the names in A,B,... or one per line; one with a comma is in double quotes."""
    import csv

    try:
        rows = list(csv.reader(text.strip().splitlines() or [""], skipinitialspace=True))
    except csv.Error as error:
        raise click.UsageError(f"expected names, as in happy,sad: {error}.") from None
    return tuple(name for row in rows for name in row) or ("",)


def label_names(pairs: tuple[str, ...]) -> dict[str, str]:
    """Return the values of --label-name as data.label_names."""
    names: dict[str, str] = {}
    for pair in pairs:
        label, _, emotion = pair.rpartition("=")
        if not label or not emotion:
            raise click.BadParameter(
                f"expected LABEL=EMOTION such as 3=happy, got {pair}", param_hint="--label-name"
            )
        if names.setdefault(label, emotion) != emotion:
            raise click.BadParameter(
                f"{label} is given twice, as {names[label]} and as {emotion}; remove one",
                param_hint="--label-name",
            )
    return names
