"""`emodetect data`: looking at data, and preparing it."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, Literal

import click

from emodetect.cli.options.source import (
    faces_of_each,
    label_name_option,
    label_names,
    source_options,
)


@click.group()
def data() -> None:
    """Look at data before training on it, and prepare it."""


@data.command()
@click.option("--config", "config_name", metavar="FILE|PRESET", required=True)
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override one value.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    default="samples.png",
    show_default=True,
    help="The contact sheet: images with labels, before and after augmentation (mixup and CutMix, "
    "which mix labels too, are not drawn).",
)
def show(config_name: str, overrides: tuple[str, ...], out: Path) -> None:
    """Count the images of each emotion in each split, and draw a contact sheet.

    \b
    emodetect data show --config demo
    emodetect data show --config mobilenetv2_fer2013 --set data.path=faces --out faces.png
    """
    from rich.console import Console
    from rich.table import Table

    from emodetect.config import load_config
    from emodetect.data.dataset import SPLITS, load_dataset
    from emodetect.machine.tensorflow_devices import use_tensorflow

    use_tensorflow()
    from emodetect.data.augmentation import augment_images
    from emodetect.reports.plots.image_grids import contact_sheet

    if out.suffix.lower() != ".png":
        raise click.BadParameter(
            f"expected a name that ends in .png, got {out}", param_hint="--out"
        )
    config = load_config(config_name, overrides)
    dataset = load_dataset(config.data, seed=config.seed)
    counts = dataset.counts()
    table = Table()
    table.add_column("emotion")
    for split in SPLITS:
        table.add_column(split, justify="right")
    for emotion in dataset.emotions:
        table.add_row(emotion, *(f"{counts[split][emotion]:,}" for split in SPLITS))
    table.add_section()
    table.add_row("all", *(f"{sum(counts[split].values()):,}" for split in SPLITS))
    Console().print(table)
    contact_sheet(
        dataset,
        out,
        augment=partial(augment_images, config=config.augmentation, seed=config.seed),
    )
    click.echo(str(out))


@data.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path, readable=False))
@click.argument("out", metavar="OUT", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--faces-per-image",
    type=click.Choice(["largest", "all"]),
    default="largest",
    show_default=True,
    help="Which faces of an image.",
)
@click.option(
    "--margin",
    type=float,
    default=0.0,
    show_default=True,
    metavar="M",
    help="Grow a found box by this share of its side; 0 to 10.",
)
@click.option("--force", is_flag=True, help="Replace the crops of an earlier run in OUT.")
def crop(folder: Path, out: Path, faces_per_image: str, margin: float, force: bool) -> None:
    """Find the faces in all images below DIR, as predict does, and write their crops to OUT.

    \b
    emodetect data crop photos crops
    emodetect data crop photos crops --faces-per-image all --margin 0.2

    Folders stay: face 1 of DIR/train/happy/a.jpg becomes OUT/train/happy/a.jpg_1.png, so that
    OUT can be trained on (with data.margin as here). OUT/faces.csv lists every face, and every
    image without one. Faces of one photo may then lie in different splits; they do not where a
    config finds them itself (data.faces = "detect").

    Exit status: 0, also where no face is found; 1 if a file could not be read (it is named, the
    others go on).
    """
    from emodetect.data.writers.face_crops import crop_photos

    counts = crop_photos(folder, out, faces_per_image=faces_per_image, margin=margin, force=force)
    for line in counts.describe():
        click.echo(line)
    if counts.unreadable:
        raise SystemExit(1)


@data.command()
@click.argument("path", metavar="PATH", type=click.Path(path_type=Path, readable=False))
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    metavar="FILE.csv",
    help="The manifest to write; must not exist.",
)
@click.option(
    "--validation",
    type=float,
    default=0.1,
    show_default=True,
    metavar="SHARE",
    help="Share of validation images, where PATH has none.",
)
@click.option(
    "--test",
    type=float,
    default=0.1,
    show_default=True,
    metavar="SHARE",
    help="Share of test images, where PATH has none.",
)
@click.option(
    "--group",
    multiple=True,
    metavar="COLUMN",
    help="A column (person, video) of the manifest PATH whose values never straddle a split; "
    "may be given several times.",
)
@label_name_option
@click.option(
    "--seed",
    type=click.IntRange(0, 2**31 - 1),
    default=0,
    show_default=True,
    help="Another seed draws other splits.",
)
def split(
    path: Path,
    out: Path,
    validation: float,
    test: float,
    group: tuple[str, ...],
    label_name: tuple[str, ...],
    seed: int,
) -> None:
    """Split the images of PATH into train, val and test, and write a manifest of them.

    \b
    emodetect data split faces --out faces.csv
    emodetect data split people.csv --out splits.csv --group person --group video
    emodetect train --config mobilenetv2_fer2013 --set data.source=manifest \\
        --set data.path=splits.csv

    PATH is a folder of class folders, or a manifest: a csv with the columns path and label, and
    maybe split and others. Identical images and groups stay on one side, given val and test
    splits are kept. Unreadable images are left out and named; the exit status is then still 0.
    """
    from emodetect.data.dataset import SPLITS
    from emodetect.data.writers.split_manifest import write_splits

    if out.suffix.lower() != ".csv":
        raise click.BadParameter(
            f"expected a name that ends in .csv, got {out}", param_hint="--out"
        )
    if group and path.is_dir():
        raise click.BadParameter(
            f"names a column of a manifest, but {path} is a folder", param_hint="--group"
        )
    dataset = write_splits(
        path,
        out,
        validation_fraction=validation,
        test_fraction=test,
        group=group,
        label_names=label_names(label_name),
        seed=seed,
    )
    counts = ", ".join(f"{len(dataset.indices(name)):,} {name}" for name in SPLITS)
    left_out = f"; {len(dataset.skipped):,} unreadable left out" if dataset.skipped else ""
    click.echo(f"{out}: {counts}{left_out}")


@data.command()
@click.argument("sources", metavar="SOURCE:PATH...", nargs=-1, required=True)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of the report. [default: audit-NAME, here]",
)
@click.option(
    "--detector",
    metavar="NAME|FILE",
    help="How faces are looked for: yunet, the path of its .onnx file, haar (weak on face crops), "
    "or none. [default: yunet if it was fetched, else haar]",
)
@click.option(
    "--model", metavar="FILE|NAME", help="Also ask this model which labels look wrong to it."
)
@click.option(
    "--unseen",
    is_flag=True,
    help="With --model: it was trained on none of these images. [default: only a test split "
    "counts as unseen]",
)
@source_options
@click.option("--force", is_flag=True, help="Write into a report folder that exists.")
def audit(
    sources: tuple[str, ...],
    out: Path | None,
    detector: str | None,
    model: str | None,
    unseen: bool,
    faces: tuple[Literal["whole", "detect"], ...],
    label_name: tuple[str, ...],
    force: bool,
) -> None:
    """Find leaks, duplicates, contradicting labels and bad images before training on them.

    \b
    emodetect data audit folder:faces
    emodetect data audit folder:data/fer2013 --out audit --model fer2013
    emodetect data audit ferplus:data/fer2013
    emodetect data audit folder:mine folder:data/fer2013

    SOURCE is folder, manifest, fer2013_csv, ferplus, raf_db, affectnet, ckplus, tfrecord or
    synthetic. Writes audit.html (one file, with pictures), audit.json (all figures) and
    manifest.csv (each image with what was found). With data.manifest = "audit/manifest.csv" in a
    config, training leaves leaks, conflicts and duplicates out; see data.cleaning.

    Exit status 0, whatever is found.
    """
    from emodetect.audit.audit import audit_sources
    from emodetect.machine.terminal_text import on_one_line
    from emodetect.recognition.recognizer import EmotionRecognizer
    from emodetect.reports.audit_page import (
        FIGURES,
        MANIFEST,
        PAGE,
        check_audit_folder,
        write_audit,
    )

    if unseen and model is None:
        raise click.UsageError("--unseen goes with --model.")
    if out is None:
        place = sources[0].partition(":")[2]
        out = Path(f"audit-{Path(place).resolve().stem if place else 'synthetic'}")
    check_audit_folder(out, sources, force=force)
    findings = audit_sources(
        sources,
        faces=faces_of_each(faces, sources),
        detector=detector,
        recognizer=EmotionRecognizer(model, detector="none") if model else None,
        unseen=unseen,
        label_names=label_names(label_name),
    )
    figures = write_audit(findings, out, force=force)
    _print_findings(figures)
    for name in (PAGE, MANIFEST, FIGURES):
        click.echo(on_one_line(str(out / name)))


def _print_findings(figures: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    weak = ", weak" if figures["no_face"]["weak"] else ""
    detector = figures["no_face"]["detector"]
    rows = {
        "images": figures["images"],
        "unreadable": figures["unreadable"]["images"],
        "test images in train, pixel for pixel": figures["leaks"]["test_in_train"],
        "test images in train, nearly": figures["leaks"]["near_test_in_train"],
        "val images in train, pixel for pixel": figures["leaks"]["val_in_train"],
        "val images in train, nearly": figures["leaks"]["near_val_in_train"],
        "groups of identical images": figures["duplicates"]["groups"],
        "groups with near-identical ones": figures["duplicates"]["groups_with_near"],
        "groups of identical images with several labels": figures["conflicts"]["groups"],
        "groups with near-identical ones with several labels": figures["conflicts"][
            "groups_with_near"
        ],
        **figures["quality"],
    }
    if len(figures["sources"]) > 1:
        rows["images that stand in another source"] = figures["across_sources"]["identical_or_near"]
    if detector:
        rows[f"no face found ({detector}{weak})"] = figures["no_face"]["images"]
    if "votes" in figures:
        rows["labels that the voters contradict"] = figures["votes"]["contradict"]
        rows["no face, say the voters"] = figures["votes"]["no_face"]
    if "model" in figures:
        rows["labels that the model doubts, unseen images"] = figures["model"]["doubtful_unseen"]
        rows["labels that the model doubts, maybe seen"] = figures["model"]["doubtful_maybe_seen"]
    table = Table(show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for name, count in rows.items():
        table.add_row(name, f"{count:,}")
    Console().print(table)


@data.command("convert")
@click.argument("source", metavar="SOURCE:PATH")
@click.argument("out", metavar="OUT", type=click.Path(path_type=Path))
@click.option(
    "--to",
    "layout",
    type=click.Choice(["folder", "fer2013_csv", "tfrecord"]),  # as in data.convert.LAYOUTS
    required=True,
    help="folder: PNGs in class folders, inside split folders; fer2013_csv: grey, 48x48; "
    "tfrecord: shards of PNGs.",
)
@click.option(
    "--shard-size",
    type=click.IntRange(1),
    default=4096,
    show_default=True,
    metavar="N",
    help="Images in a shard, with --to tfrecord.",
)
@click.option("--classes", metavar="A,B,...", help="Only the images of these emotions.")
@source_options
@click.option("--force", is_flag=True, help="Replace an earlier conversion, or the csv.")
def convert_command(
    source: str,
    out: Path,
    layout: str,
    shard_size: int,
    classes: str | None,
    faces: tuple[Literal["whole", "detect"], ...],
    label_name: tuple[str, ...],
    force: bool,
) -> None:
    """Write the images of SOURCE:PATH to OUT in another layout, with their labels and splits.

    \b
    emodetect data convert fer2013_csv:fer2013.csv data/fer2013 --to folder
    emodetect data convert folder:data/fer2013 fer2013.csv --to fer2013_csv
    emodetect data convert folder:faces shards --to tfrecord --shard-size 10000

    OUT is there whole or not at all. With --faces detect whole photos are written, of which
    training then finds the faces. Images that cannot be read are named and left out; the exit
    status is then 1.
    """
    from emodetect.data.listing import NAMED_AT_MOST
    from emodetect.data.readers.registry import config_of
    from emodetect.data.writers.convert import convert
    from emodetect.machine.terminal_text import on_one_line

    config = config_of(
        source,
        option="data convert",
        faces=faces_of_each(faces, [source])[0],
        label_names=label_names(label_name),
        classes=classes.split(",") if classes else None,
    )
    done = convert(config, out, layout=layout, shard_size=shard_size, force=force)
    for file in done.skipped[:NAMED_AT_MOST]:
        click.echo(f"skipped {on_one_line(str(file))}")
    if (more := len(done.skipped) - NAMED_AT_MOST) > 0:
        click.echo(f"skipped {more:,} more")
    click.echo(f"{on_one_line(str(out))}: {done.images:,} images")
    if done.skipped:
        raise SystemExit(1)
