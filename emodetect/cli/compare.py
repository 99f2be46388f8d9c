"""`emodetect compare`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from emodetect.cli.options.files import FOLDER, force_option, output_option
from emodetect.cli.options.quiet import quiet_decoders
from emodetect.cli.options.source import (
    DATA,
    group_option,
    label_name_option,
    label_names,
    named_data,
)
from emodetect.cli.tables import explain, new_table, print_table
from emodetect.number_format import p_value, percent, points, points_between, quantity

if TYPE_CHECKING:
    from rich.table import Table


DIFFERENCE = "difference, 95% interval"


@click.command(short_help="Compare models on the same images.")
@click.argument("folders", nargs=-1, metavar="RUN_OR_REPORT...", type=click.Path(path_type=Path))
@click.option(
    "--data",
    metavar=DATA,
    help="Evaluate all on these labelled images: run folders, .keras files or names of shipped "
    "models, but no reports.",
)
@label_name_option
@group_option
@click.option(
    "--common", is_flag=True, help="If the images differ, compare on those that all models have."
)
@output_option(
    type=FOLDER,
    metavar="DIR",
    default="comparison",
    show_default=True,
    help="Folder for compare.html and compare.json.",
)
@force_option(help="Write into a folder that already contains files.")
@quiet_decoders
def compare(
    folders: tuple[Path, ...],
    data: str | None,
    label_name: tuple[str, ...],
    group: tuple[str, ...],
    common: bool,
    output: Path,
    force: bool,
) -> None:
    """Compare models on the same images, from report folders of evaluate or from run folders.

    \b
    emodetect compare runs/first runs/second
    emodetect compare evaluation-test runs/mine/evaluation-test
    emodetect compare fer2013 runs/mine --data kept_apart

    The first is the reference. For each other model, a sentence below the tables says whether it
    is better or worse, or that no difference is shown. Differences have 95% intervals from the
    paired bootstrap and are tested with McNemar's exact test, corrected with Holm's method for
    several comparisons; with groups of images, by resamples and random signs of whole groups. A
    run without a report is evaluated on its own test split.
    """
    from emodetect.reports.comparison_report import ComparisonOptions
    from emodetect.reports.comparison_report import compare as write_comparison

    if data is not None:
        data = str(named_data(data, option="--data"))
    options = ComparisonOptions(
        folders=folders,
        data=data,
        label_names=label_names(label_name),
        group=group,
        common=common,
        output=output,
        force=force,
    )
    report = write_comparison(options, on_result=_print)
    if report.no_pictures:
        click.echo(f"no pictures: {report.no_pictures}", err=True)
    for file in report.files:
        click.echo(str(file))


def _print(comparison: dict[str, Any]) -> None:
    from emodetect.reports.glossary import independence

    rows = zip(comparison["models"], comparison["settings"], comparison["left_out"], strict=True)
    for model, setting, count in rows:
        excluded = f"; {quantity(count, 'image')} excluded" if count else ""
        click.echo(f"{model['name']}: {setting}{excluded}")
    for line in comparison["changed"]:
        click.echo(f"warning: {line}", err=True)
    print_table(accuracy_table(comparison))
    sentence = independence(comparison)
    test = "sign-flip test" if sentence else "McNemar's test"
    explain("points", "95% interval", "gains", "losses", "p", test)
    if comparison["holm"]:
        explain("Holm's method")
    if sentence:
        click.echo(sentence)
    print_table(_recall_table(comparison))
    explain("recall")
    for sentence in comparison["verdict"]:
        click.echo(sentence)


def accuracy_table(comparison: dict[str, Any]) -> Table:
    """Return the table of a `compare_models`: accuracies, and differences from the first."""
    models, comparisons = comparison["models"], comparison["comparisons"]
    reference = models[0]
    table = new_table(
        title=f"{comparison['images']:,} images, compared with {reference['name']}",
        text=("model",),
        numbers=("accuracy", DIFFERENCE, "gains", "losses", "p"),
    )
    for column in table.columns:
        # Half a p-value is another one. The two others have spaces to be broken at.
        column.no_wrap = column.header not in ("model", DIFFERENCE)
    table.add_row(reference["name"], percent(reference["figures"]["accuracy"]))
    for model, row in zip(models[1:], comparisons, strict=True):
        change = row["differences"]["accuracy"]
        table.add_row(
            model["name"],
            percent(model["figures"]["accuracy"]),
            f"{points(change['difference'])}\n{points_between(change['interval_95'])}".rstrip(),
            f"{row['only_other_right']:,}",
            f"{row['only_reference_right']:,}",
            p_value(row["p"]),
        )
    return table


def _recall_table(comparison: dict[str, Any]) -> Table:
    comparisons = comparison["comparisons"]
    names = (model["name"] for model in comparison["models"])
    table = new_table(title="recall", text=("emotion",), numbers=("images", *names))
    for emotion, first in comparisons[0]["recall"].items():
        others = (row["recall"][emotion]["other"] for row in comparisons)
        table.add_row(
            emotion,
            f"{first['images']:,}",
            percent(first["reference"]),
            *(f"{percent(other)} ({points(other - first['reference'])})" for other in others),
        )
    return table
