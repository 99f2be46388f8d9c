"""`emodetect compare`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from emodetect.errors import EmodetectError

if TYPE_CHECKING:
    from emodetect.data.dataset import Dataset
    from emodetect.evaluation.compared_models import Entrant


@click.command()
@click.argument(
    "folders", nargs=-1, required=True, metavar="RUN_OR_REPORT...", type=click.Path(path_type=Path)
)
@click.option(
    "--common", is_flag=True, help="Where the images are not the same, compare on those in common."
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default="comparison",
    show_default=True,
    help="Folder of compare.html and compare.json.",
)
@click.option("--force", is_flag=True, help="Write into a folder that holds files already.")
def compare(folders: tuple[Path, ...], common: bool, out: Path, force: bool) -> None:
    """Put models side by side on the same images: report folders of evaluate, or run folders.

    \b
    emodetect compare runs/first runs/second
    emodetect compare evaluation-test runs/mine/evaluation-test --out first-or-mine

    The first one is the reference. Differences have intervals by the paired bootstrap and are
    tested by McNemar's test, corrected by Holm's method where there are several. A run without a
    report is evaluated on its own test split.
    """
    if not 2 <= len(folders) <= 26:
        raise click.UsageError(f"Name 2 to 26 runs or reports, got {len(folders)}.")
    from emodetect.evaluation.compared_models import changed_data, open_entrant
    from emodetect.evaluation.comparison import compare_models, match_images
    from emodetect.machine.output_folder import check_output_folder
    from emodetect.reports.comparison_page import write_comparison

    check_output_folder(out, force=force)
    entrants = [open_entrant(folder) for folder in folders]
    names = [entrant.name for entrant in entrants]
    matched, left_out = match_images(
        names, [entrant.answers for entrant in entrants], common=common
    )
    comparison = {
        **compare_models(names, matched),
        "left_out": left_out,
        "settings": [entrant.setting for entrant in entrants],
        "changed": changed_data(entrants),
    }
    _print(comparison)
    for file in write_comparison(comparison, matched, out, images=_images(entrants[0])):
        click.echo(str(file))


def _images(entrant: Entrant) -> Dataset | str:
    """Return the data that a model was evaluated on; or why not, which is no error here."""
    from emodetect.evaluation.compared_models import open_images

    try:
        return open_images(entrant)
    except EmodetectError as error:
        click.echo(f"without pictures: {error}", err=True)
        return str(error)


def _print(comparison: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    from emodetect.reports.comparison_page import LETTERS, p_text, points
    from emodetect.reports.evaluation_page import percent

    models, comparisons = comparison["models"], comparison["comparisons"]
    rows = zip(models, comparison["settings"], comparison["left_out"], strict=True)
    for letter, (model, setting, count) in zip(LETTERS, rows, strict=False):
        left_out = f"; {count:,} images left out" if count else ""
        click.echo(f"{letter}: {model['name']} ({setting}{left_out})")
    for line in comparison["changed"]:
        click.echo(f"warning: {line}", err=True)
    table = Table(title=f"{comparison['images']:,} images, compared with A")
    for name in ("", "accuracy", "points", "95 %", "only A right", "only it right", "p"):
        table.add_column(name, justify="right", no_wrap=name == "95 %")
    table.add_row("A", percent(models[0]["figures"]["accuracy"]))
    for letter, model, row in zip(LETTERS[1:], models[1:], comparisons, strict=False):
        change = row["differences"]["accuracy"]
        table.add_row(
            letter,
            percent(model["figures"]["accuracy"]),
            points(change["difference"]),
            " to ".join(map(points, change["interval_95"])),
            f"{row['only_reference_right']:,}",
            f"{row['only_other_right']:,}",
            p_text(row["mcnemar_p"]),
        )
    recalls = Table(title="recall")
    recalls.add_column("emotion")
    for name in ("images", *LETTERS[: len(models)]):
        recalls.add_column(name, justify="right")
    for emotion, first in comparisons[0]["recall"].items():
        others = (row["recall"][emotion]["other"] for row in comparisons)
        recalls.add_row(
            emotion,
            f"{first['images']:,}",
            percent(first["reference"]),
            *(f"{percent(other)} ({points(other - first['reference'])})" for other in others),
        )
    console = Console()
    console.print(table)
    console.print(recalls)
    click.echo(
        "[95 % by the paired bootstrap; p by McNemar's exact test"
        + (", corrected by Holm's method]" if comparison["holm"] else "]")
    )
