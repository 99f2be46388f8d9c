"""`emodetect data split`: train, val and test, written down as a manifest."""

from __future__ import annotations

from pathlib import Path

import click
from click.core import ParameterSource

from emodetect.cli.options.files import FileWithSuffix, force_option, output_option
from emodetect.cli.options.numbers import NumberRange, WholeNumber
from emodetect.cli.options.quiet import quiet_decoders
from emodetect.cli.options.source import (
    DATA,
    DataCommand,
    label_name_option,
    label_names,
    named_data,
    own_labels_option,
)


@click.command(
    cls=DataCommand,
    short_help="Split images into train, val and test.",
    expects="labelled images, such as: emodetect data split faces --output faces.csv "
    "(a folder of folders named after emotions, or a manifest)",
)
@click.argument("data", metavar=DATA)
@output_option(
    type=FileWithSuffix(".csv"),
    required=True,
    metavar="FILE.csv",
    help="Manifest to write.",
)
@click.option(
    "--validation",
    type=NumberRange(0, 1, min_open=True, max_open=True),
    metavar="FRACTION",
    help="Fraction of validation images, if PATH has no val split; by default 0.1, more if that is "
    "fewer than 50 images, and at most 0.2.",
)
@click.option(
    "--test",
    type=NumberRange(0, 1, min_open=True, max_open=True),
    default=0.1,
    show_default=True,
    metavar="FRACTION",
    help="Fraction of the images outside PATH's val split to use for testing, if PATH has no test "
    "split.",
)
@click.option(
    "--group",
    multiple=True,
    metavar="COLUMN",
    help="Column of the manifest PATH, such as person or video: images with the same value stay "
    "in one split. Repeatable.",
)
@label_name_option
@own_labels_option
@click.option(
    "--seed",
    type=WholeNumber(0, 2**31 - 1),
    default=0,
    show_default=True,
    metavar="N",
    help="Random seed of the split.",
)
@force_option()
@quiet_decoders
def split(
    data: str,
    output: Path,
    validation: float | None,
    test: float,
    group: tuple[str, ...],
    label_name: tuple[str, ...],
    own_labels: bool,
    seed: int,
    force: bool,
) -> None:
    """Split the images of PATH into train, val and test, and write them to a manifest.

    \b
    emodetect data split faces --output faces.csv
    emodetect data split people.csv --output splits.csv --group person
    emodetect train --data splits.csv

    PATH is a folder of class folders; a manifest, that is, a CSV file with the columns path and
    label, and optionally split and others; or ckplus:PATH. Identical images, groups and the people
    of CK+ are drawn into one split, and existing val and test splits are kept. Unreadable images
    are reported and skipped; the exit status is still 0.
    """
    from emodetect.data.writers.split_manifest import SPLIT_SOURCES, SplitOptions, write_splits

    named = named_data(data, option="data split", among=SPLIT_SOURCES)
    if group and named.source != "manifest":
        why = "keeps each person in one split" if named.source == "ckplus" else "is a folder"
        raise click.BadParameter(
            f"expected a manifest with these columns, but {named} {why}",
            param_hint="--group",
        )
    options = SplitOptions(
        validation_fraction=validation,
        test_fraction=test,
        group=group,
        label_names=label_names(label_name),
        own_labels=own_labels,
        seed=seed,
        force=force,
    )
    dataset = write_splits(str(named), output, options)
    counts = ", ".join(
        f"{sum(of_split.values()):,} {name}" for name, of_split in dataset.counts().items()
    )
    skipped = f"; {len(dataset.skipped):,} unreadable, skipped" if dataset.skipped else ""
    click.echo(f"{output}: {counts}{skipped}")
    source = click.get_current_context().get_parameter_source
    for option, drawn in (("validation", "val"), ("test", "test")):
        if source(option) != ParameterSource.DEFAULT and drawn not in dataset.carved:
            click.echo(f"--{option} is not used: {named.path} has a {drawn} split", err=True)
    if named.source == "ckplus":
        click.echo("for training and evaluation by person: the column person", err=True)
