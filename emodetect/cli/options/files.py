"""The options that name files and folders to write, and --force."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


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


force_option = click.option("--force", is_flag=True, help="Overwrite existing output.")


def file_option(name: str, *, help: str, metavar: str = "FILE", dir_okay: bool = True) -> Decorator:
    """Return an option for a file to write; the command gets a Path or None."""
    path = click.Path(path_type=Path, dir_okay=dir_okay)
    return click.option(name, type=path, metavar=metavar, help=help)


def folder_option(name: str, *, help: str, default: str | None = None) -> Decorator:
    """Return an option for a folder to write to; the command gets a Path or None."""
    path = click.Path(path_type=Path, file_okay=False)
    shown = default is not None
    return click.option(
        name, type=path, metavar="DIR", default=default, show_default=shown, help=help
    )
