"""`emodetect data`: a module for each of its commands."""

from __future__ import annotations

import click

from emodetect.cli.data.audit import audit
from emodetect.cli.data.cache import cache
from emodetect.cli.data.convert import convert
from emodetect.cli.data.crop import crop
from emodetect.cli.data.show import show
from emodetect.cli.data.split import split


@click.group(short_help="Inspect and prepare data sets.")
def data() -> None:
    """Inspect and prepare data sets."""


for command in (show, audit, crop, split, convert, cache):
    data.add_command(command)
