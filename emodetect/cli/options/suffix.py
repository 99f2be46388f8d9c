"""The type of options that name a file to write in a given format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click


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
