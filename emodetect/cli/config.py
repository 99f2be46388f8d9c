"""`emodetect config`: list and copy the presets."""

from __future__ import annotations

from pathlib import Path

import click


@click.group()
def config() -> None:
    """List and copy the presets that come with emodetect."""


@config.command("list")
def list_presets() -> None:
    """List the presets, with a short description of each."""
    from emodetect.config import preset_names, preset_text

    names = preset_names()
    for name in names:
        first_line = preset_text(name).splitlines()[0].lstrip("# ")
        click.echo(f"{name:<{max(map(len, names))}}  {first_line}")


@config.command(short_help="Copy a preset to a file, to edit and train with.")
@click.argument("name")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File to write. [default: NAME.toml]",
)
def write(name: str, out: Path | None) -> None:
    """Copy the preset NAME to a file, to edit and use with `train --config`."""
    from emodetect.config import preset_text
    from emodetect.errors import ConfigError

    text = preset_text(name)
    out = out or Path(f"{name}.toml")
    try:
        with out.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise ConfigError(f"{out}: already exists; choose another file with --out.") from None
    except OSError as error:
        raise ConfigError(f"{out}: cannot be written: {error.strerror}.") from None
    click.echo(str(out))
