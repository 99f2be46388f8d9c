"""`emodetect data audit`: what is wrong with labelled images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from emodetect.cli.options.files import FOLDER, force_option, output_option
from emodetect.cli.options.model import MODEL
from emodetect.cli.options.quiet import quiet_decoders
from emodetect.cli.options.source import (
    DATA,
    FORMS_OF_DATA,
    DataCommand,
    faces_of_each,
    label_names,
    named_data,
    source_options,
)
from emodetect.cli.tables import explain, new_table, print_table

if TYPE_CHECKING:
    from emodetect.config import Faces


@click.command(
    cls=DataCommand,
    short_help="Find leaks, duplicates, wrong labels and bad images.",
    expects=f"labelled images, such as: emodetect data audit faces ({FORMS_OF_DATA})",
)
@click.argument("sources", metavar=f"{DATA}...", nargs=-1, required=True)
@output_option(
    type=FOLDER, metavar="DIR", help="Report folder. [default: audit-NAME in the current folder]"
)
@click.option(
    "--detector",
    metavar="NAME|FILE",
    help="Face detector: yunet, the path of its .onnx file, haar (weak on face crops), or none. "
    "[default: yunet if it was fetched, else haar]",
)
@click.option("--model", metavar=MODEL, help="Also report labels with which this model disagrees.")
@click.option(
    "--unseen",
    is_flag=True,
    help="With --model: it was trained on none of these images. [default: only the test split "
    "counts as unseen]",
)
@source_options
@force_option(help="Write to an existing report folder.")
@quiet_decoders
def audit(
    sources: tuple[str, ...],
    output: Path | None,
    detector: str | None,
    model: str | None,
    unseen: bool,
    faces: tuple[Faces, ...],
    label_name: tuple[str, ...],
    own_labels: bool,
    force: bool,
) -> None:
    """Find leaks, duplicates, conflicting labels and bad images before you train on them.

    \b
    emodetect data audit faces
    emodetect data audit folder:data/fer2013 --output audit --model fer2013
    emodetect data audit ferplus:data/fer2013
    emodetect data audit my_faces data/fer2013

    SOURCE is folder, manifest, fer2013_csv, ferplus, raf_db, affectnet, ckplus, tfrecord or
    synthetic; omit it where the path shows what it is. Writes audit.html (one file, pictures
    included), audit.json (all figures) and manifest.csv (every image with its flags). With
    data.manifest = "audit/manifest.csv" in a config, training excludes leaks, conflicts and
    duplicates; see data.cleaning.

    Exit status: 0, whatever is found.
    """
    from emodetect.auditing.audit import AuditOptions
    from emodetect.machine.terminal_text import on_one_line
    from emodetect.reports.audit_report import audit_to_folder

    sources = tuple(str(named_data(source, option="data audit")) for source in sources)
    options = AuditOptions(
        sources=sources,
        faces=faces_of_each(faces, sources),
        detector=detector,
        model=model,
        unseen=unseen,
        label_names=label_names(label_name),
        own_labels=own_labels,
    )
    report = audit_to_folder(options, output, force=force)
    table = new_table(text=("",), numbers=("",))
    table.show_header = False
    for name, count in report.findings.items():
        table.add_row(name, f"{count:,}")
    print_table(table)
    explain("near-identical", "val", *(["unseen"] if model is not None else []))
    for reason, count in report.figures["left_out"].items():
        click.echo(f"left out {count:,}, {reason}")
    for file in report.files:
        click.echo(on_one_line(str(file)))
