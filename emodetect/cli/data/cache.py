"""`emodetect data cache`: the decoded images that data sets leave behind."""

from __future__ import annotations

from pathlib import Path

import click

from emodetect.number_format import file_size, quantity


@click.command(short_help="Show or remove the decoded images of earlier runs.")
@click.option("--clear", is_flag=True, help="Remove them.")
@click.option(
    "--folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Cache folder to look at, if a config has another one (data.cache_dir).",
)
def cache(clear: bool, folder: Path | None) -> None:
    """Show how many images earlier runs have left in the cache, or remove them.

    \b
    emodetect data cache
    emodetect data cache --clear

    Commands that read labelled images, such as train, evaluate and export, keep them decoded, so
    that the next run starts faster: pictures of faces, which stay when you delete the data set
    itself. Without them, images are decoded again when they are needed. Downloaded models are not
    removed.
    """
    from emodetect.data.cache.cache_folder import cached_images, clear_cached_images

    cached = cached_images(folder)
    found = f"{quantity(len(cached.sets), 'set')} of images, {file_size(cached.size)}"
    if clear:
        clear_cached_images(cached)
        click.echo(f"{cached.folder}: removed {found}")
    else:
        click.echo(f"{cached.folder}: {found}")
