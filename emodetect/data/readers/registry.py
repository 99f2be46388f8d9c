"""The readers by name: each lists the labelled images of one layout."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from emodetect.config import DataConfig
from emodetect.data.cleaning import clean
from emodetect.data.listing import Listing
from emodetect.data.readers.affectnet import read_affectnet
from emodetect.data.readers.ckplus import notes_on_people, read_ckplus
from emodetect.data.readers.fer2013_csv import read_fer2013_csv
from emodetect.data.readers.ferplus import read_ferplus
from emodetect.data.readers.folder import read_folder
from emodetect.data.readers.manifest import read_manifest
from emodetect.data.readers.raf_db import read_raf_db
from emodetect.data.readers.synthetic import read_synthetic
from emodetect.data.readers.tfrecord import read_tfrecord
from emodetect.errors import DataError
from emodetect.images.formats import why_no_table

logger = logging.getLogger(__name__)


def list_samples(config: DataConfig) -> Listing:
    """List the images of a data set with the reader of `config.source`, and clean them if asked.

    What the reader took for what, such as a label for an emotion, is logged.

    Raises DataError for a missing file or folder, an unknown label, an empty class, or a
    `config.manifest` that does not match.
    """
    if config.path is not None and config.source != "tfrecord":
        refuse_no_table(config.path)
    read = READERS[config.source]
    listing = read(config)
    if config.manifest is not None:
        # Images that data.classes excludes still count as copies of others.
        every_class = config.model_copy(update={"classes": None, "soft_labels": False})
        listing = clean(listing, read(every_class) if config.classes else listing, config)
    people = notes_on_people(listing) if config.source == "folder" else ()
    for note in (*listing.notes, *people):
        logger.info(note)
    return listing


def refuse_no_table(path: Path) -> None:
    """Raise DataError, which says what to do, for an archive, a workbook, a photo or a video."""
    if what := why_no_table(path):
        raise DataError(f"{path}: is {what}.")


READERS: dict[str, Callable[[DataConfig], Listing]] = {
    "folder": read_folder,
    "manifest": read_manifest,
    "fer2013_csv": read_fer2013_csv,
    "ferplus": read_ferplus,
    "raf_db": read_raf_db,
    "affectnet": read_affectnet,
    "ckplus": read_ckplus,
    "tfrecord": read_tfrecord,
    "synthetic": read_synthetic,
}
