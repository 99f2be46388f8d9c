"""The readers by name: each lists the labelled images of one layout."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from emodetect.config import DataConfig, validate_data
from emodetect.data.cleaning import clean
from emodetect.data.listing import Listing
from emodetect.data.readers.affectnet import read_affectnet
from emodetect.data.readers.ckplus import read_ckplus
from emodetect.data.readers.fer2013_csv import read_fer2013_csv
from emodetect.data.readers.ferplus import read_ferplus
from emodetect.data.readers.folder import read_folder
from emodetect.data.readers.manifest import read_manifest
from emodetect.data.readers.raf_db import read_raf_db
from emodetect.data.readers.synthetic import read_synthetic
from emodetect.data.readers.tfrecord import read_tfrecord
from emodetect.errors import DataError

logger = logging.getLogger(__name__)


def list_samples(config: DataConfig) -> Listing:
    """List the images of a data set with the reader of `config.source`, and clean them if asked.

    What the reader took for what, such as a label for an emotion, is logged.

    Raises DataError for a missing file or folder, an unknown label, an empty class, or a
    `config.manifest` that does not match.
    """
    read = READERS[config.source]
    listing = read(config)
    for note in listing.notes:
        logger.info(note)
    if config.manifest is None:
        return listing
    # Images that data.classes excludes still count as copies of others.
    every_class = {"classes": None, "soft_labels": False}
    return clean(
        listing,
        read(config.model_copy(update=every_class)) if config.classes else listing,
        config,
    )


def split_source(text: str, *, option: str) -> tuple[str, str]:
    """Return the reader's name and the path of SOURCE:PATH, such as "folder:data/fer2013".

    Raises DataError, which names the option, for any other text.
    """
    kind, separator, path = text.partition(":")
    if not separator or kind not in READERS:
        raise DataError(
            f"{option}: expected SOURCE:PATH such as folder:data/fer2013 (sources: "
            f"{', '.join(READERS)}), got {text!r}."
        )
    return kind, path


def config_of(
    text: str,
    *,
    option: str,
    faces: Literal["whole", "detect"] | None = None,
    label_names: Mapping[str, str] | None = None,
    classes: Sequence[str] | None = None,
) -> DataConfig:
    """Return the config of SOURCE:PATH with these settings.

    Raises DataError as `split_source`, and ConfigError for settings that the source does not take.
    """
    kind, path = split_source(text, option=option)
    values = {
        "source": kind,
        "path": path,
        "faces": faces,
        "label_names": dict(label_names or {}),
        "classes": list(classes or ()),
    }
    return validate_data({key: value for key, value in values.items() if value}, origin=text)


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
