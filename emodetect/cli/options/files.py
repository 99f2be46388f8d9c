"""The options that name files and folders to write, and --force."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


# A folder of this name would be taken for a file of this kind.
FILE_SUFFIXES = (".csv", ".html", ".jpg", ".json", ".jsonl", ".keras", ".mp4", ".png", ".toml")


class FileWithSuffix(click.Path):
    """The path of a file whose name ends in a suffix such as ".csv"."""

    def __init__(self, suffix: str) -> None:
        super().__init__(path_type=Path, dir_okay=False)
        self.suffix = suffix

    def convert(
        self, value: Any, param: click.Parameter | None, context: click.Context | None
    ) -> Path:
        """Return the path. Raises click.BadParameter for another suffix."""
        path = Path(str(super().convert(value, param, context)))
        if path.suffix.lower() != self.suffix:
            self.fail(f"expected a name ending in {self.suffix}, got {path}", param, context)
        return path


class OutputFile(click.Path):
    """The path of a file or folder to write to; `-` is refused, which would be a file named so."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(
        self, value: Any, param: click.Parameter | None, context: click.Context | None
    ) -> Path:
        """Return the path. Raises click.BadParameter for `-`."""
        if value == "-":
            self.fail(
                "expected the name of a file, got -, which is not stdout here", param, context
            )
        return Path(str(super().convert(value, param, context)))


class RenamedOption(click.Option):
    """An option whose old name still works: unlisted, and with a note on stderr.

    Args:
        old: the old name, such as "--out".
    """

    def __init__(self, *names: Any, old: str, **settings: Any) -> None:
        super().__init__(*names, **settings)
        self.old = old

    def add_to_parser(self, parser: Any, ctx: click.Context) -> None:
        super().add_to_parser(parser, ctx)
        parser.add_option(obj=self, opts=[self.old], dest=self.old, nargs=self.nargs)

    def handle_parse_result(
        self, ctx: click.Context, opts: Mapping[str, Any], args: list[str]
    ) -> tuple[Any, list[str]]:
        if self.old in opts:
            if self.name in opts:
                raise click.UsageError(
                    f"{self.old} is the old name of {self.opts[0]}; give only {self.opts[0]}.", ctx
                )
            note_renaming(self.old, self.opts[0])
            opts = {**opts, str(self.name): opts[self.old]}
        return super().handle_parse_result(ctx, opts, args)


def note_renaming(old: str, new: str) -> None:
    """Say on stderr what an option is called now."""
    click.echo(f"note: {old} is now {new}; the old name works until the next release", err=True)


class Folder(click.Path):
    """The path of a folder to write to, which must not look like that of a file."""

    def __init__(self) -> None:
        super().__init__(path_type=Path, file_okay=False)

    def convert(
        self, value: Any, param: click.Parameter | None, context: click.Context | None
    ) -> Path:
        """Return the path. Raises click.BadParameter for the name of a file."""
        path = Path(str(super().convert(value, param, context)))
        if path.suffix.lower() in FILE_SUFFIXES and not path.is_dir():
            self.fail(f"expected a folder, got the name of a file: {path}", param, context)
        return path


FOLDER = Folder()


def output_option(**settings: Any) -> Decorator:
    """Return --output, which used to be --out."""
    return click.option("--output", cls=RenamedOption, old="--out", **settings)


def force_option(*, help: str = "Overwrite existing output.") -> Decorator:
    """Return --force."""
    return click.option("--force", is_flag=True, help=help)


def file_option(name: str, *, help: str, metavar: str = "FILE") -> Decorator:
    """Return an option for a file to write; the command gets a Path or None."""
    return click.option(name, type=OutputFile(), metavar=metavar, help=help)


def folder_option(name: str, *, help: str, default: str | None = None) -> Decorator:
    """Return an option for a folder to write to; the command gets a Path or None."""
    shown = default is not None
    return click.option(
        name, type=FOLDER, metavar="DIR", default=default, show_default=shown, help=help
    )
