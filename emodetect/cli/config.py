"""`emodetect config`: list and copy the presets."""

from __future__ import annotations

from pathlib import Path

import click

from emodetect.cli.options.files import FileWithSuffix, force_option, output_option
from emodetect.cli.tables import hanging
from emodetect.machine.output_folder import writing


@click.group(short_help="List and copy the presets for training.")
def config() -> None:
    """List and copy the presets that come with emodetect."""


@config.command("list", short_help="List the presets.")
def list_presets() -> None:
    """List the presets, with a short description of each."""
    from emodetect.config import preset_names, preset_text

    names = preset_names()
    for name in names:
        first_line = preset_text(name).splitlines()[0].lstrip("# ")
        click.echo(hanging(f"{name:<{max(map(len, names))}}  ", first_line))


@config.command(short_help="Copy a preset to a file, to edit and train with.")
@click.argument("name")
@output_option(
    type=FileWithSuffix(".toml"),
    metavar="FILE.toml",
    help="File to write. [default: NAME.toml]",
)
@force_option()
def write(name: str, output: Path | None, force: bool) -> None:
    """Copy the preset NAME to a file, to edit and use with `train --config`."""
    from emodetect.config import preset_text
    from emodetect.errors import ConfigError
    from emodetect.machine.atomic_files import write_text
    from emodetect.machine.output_folder import check_output_file

    text = preset_text(name)
    output = output or Path(f"{name}.toml")
    check_output_file(output, force=force)
    with writing(output, ConfigError):
        write_text(output, text)
    click.echo(str(output))
