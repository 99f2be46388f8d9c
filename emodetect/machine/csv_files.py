"""Text and CSV files, with one-line errors."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from emodetect.errors import DataError


@contextmanager
def open_text(path: Path, *, kind: str = "text") -> Iterator[TextIO]:
    """Open a UTF-8 text file. Raises DataError if it cannot be read or is not UTF-8.

    Args:
        kind: the kind of file that errors say was expected.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            yield file
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise DataError(f"{path}: expected {kind} in UTF-8, got other bytes.") from None


@contextmanager
def open_csv(path: Path) -> Iterator[TextIO]:
    """Open a UTF-8 CSV file. Raises DataError if it cannot be read or is not UTF-8 CSV."""
    try:
        with open_text(path, kind="a csv file") as file:
            yield file
    except csv.Error as error:
        raise DataError(f"{path}: expected a csv file: {error}.") from None


def require_columns(path: Path, found: object, wanted: tuple[str, ...]) -> None:
    """Raise DataError if a CSV lacks one of the `wanted` columns or has it twice."""
    columns = list(found) if isinstance(found, list | tuple) else []
    if missing := [name for name in wanted if name not in columns]:
        raise DataError(
            f"{path}: expected the columns {', '.join(wanted)}; missing: {', '.join(missing)}; "
            f"the first line has: {', '.join(columns)[:200] or 'nothing'}."
        )
    # Only one would be read. The split column is optional, but read if it is there.
    if repeated := [name for name in (*wanted, "split") if columns.count(name) > 1]:
        raise DataError(
            f"{path}: expected one column {repeated[0]!r}, got {columns.count(repeated[0])}; "
            "rename or remove the others."
        )


def csv_line(values: list[Any]) -> str:
    """Return a CSV row without its line break."""
    text = io.StringIO()
    # The writer only quotes characters of its own line terminator, and file names may hold either.
    csv.writer(text, lineterminator="\r\n").writerow(values)
    return text.getvalue().removesuffix("\r\n")


def printable(path: str) -> str:
    """Return a path that can be encoded as UTF-8: bytes that are not valid Unicode are escaped."""
    return path.encode("utf-8", "backslashreplace").decode("utf-8")
