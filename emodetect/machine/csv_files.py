"""Reading and writing CSV files, with one-line errors."""

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
    """Open a file as UTF-8 text. Raises DataError for one that cannot be read as such.

    Args:
        kind: what errors say that was expected.
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
    """Open a csv file as UTF-8 text. Raises DataError for one that cannot be read as such."""
    try:
        with open_text(path, kind="a csv file") as file:
            yield file
    except csv.Error as error:
        raise DataError(f"{path}: expected a csv file: {error}.") from None


def require_columns(path: Path, found: object, wanted: tuple[str, ...]) -> None:
    """Raise DataError where the csv lacks one of the `wanted` columns, or has it twice."""
    columns = list(found) if isinstance(found, list | tuple) else []
    if missing := [name for name in wanted if name not in columns]:
        raise DataError(
            f"{path}: expected the columns {', '.join(wanted)}; missing: {', '.join(missing)}; "
            f"the first line has: {', '.join(columns)[:200] or 'nothing'}."
        )
    # Only one would be read. A split is read wherever there is one.
    if repeated := [name for name in (*wanted, "split") if columns.count(name) > 1]:
        raise DataError(
            f"{path}: expected one column {repeated[0]!r}, got {columns.count(repeated[0])}; "
            "rename or remove the others."
        )


def csv_line(values: list[Any]) -> str:
    """Return a row of the CSV without its line break."""
    text = io.StringIO()
    # Only values with parts of this line end are quoted, and a file's name may have any.
    csv.writer(text, lineterminator="\r\n").writerow(values)
    return text.getvalue().removesuffix("\r\n")


def printable(path: str) -> str:
    """Return a path as UTF-8 can hold it: a byte of a name that is no Unicode is escaped."""
    return path.encode("utf-8", "backslashreplace").decode("utf-8")
