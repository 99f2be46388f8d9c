"""Text and CSV files, with one-line errors."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, TextIO
from unicodedata import normalize

from emodetect.errors import DataError
from emodetect.machine.terminal_text import on_one_line

# In the order of preference, if a header fits several.
DELIMITERS = (",", ";", "\t")
# A first line such as "sep=;" tells Excel the delimiter.
_DELIMITER_LINE = re.compile(r'"?sep=(?P<delimiter>[,;\t])"?')


@contextmanager
def open_text(path: Path, *, kind: str = "text") -> Iterator[TextIO]:
    """Open a text file in UTF-8, or in UTF-16 if it begins with that byte-order mark.

    Raises DataError if it cannot be read or has another encoding.

    Args:
        kind: the kind of file that errors say was expected.
    """
    try:
        with path.open("rb") as data:
            # Excel saves "Unicode text" as UTF-16.
            utf16 = data.peek(2)[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
            encoding = "utf-16" if utf16 else "utf-8-sig"
            with io.TextIOWrapper(data, encoding=encoding, newline="") as file:
                yield file
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise DataError(
            f"{path}: expected {kind} in UTF-8, got other bytes; save it as UTF-8."
        ) from None


@contextmanager
def open_csv(path: Path) -> Iterator[TextIO]:
    """Open a CSV file. Raises DataError as `open_text`, and for text that is not CSV."""
    try:
        with open_text(path, kind="a csv file") as file:
            yield file
    except csv.Error as error:
        raise DataError(f"{path}: expected a csv file: {error}.") from None


@dataclass(frozen=True)
class Table:
    """The rows below the header of an open CSV file.

    Attributes:
        columns: the names in the header; those asked for are spelt as asked.
        delimiter: what separates the values.
    """

    columns: tuple[str, ...]
    delimiter: str
    _rows: Any  # of csv.reader

    @property
    def line(self) -> int:
        """The number of the line that was read last, from 1."""
        return int(self._rows.line_num)

    def __iter__(self) -> Iterator[list[str]]:
        """Yield the values of each row, without rows of empty values, which spreadsheets add."""
        return filter(any, self._rows)

    def named(self, values: Sequence[str]) -> dict[str, str]:
        """Return the values of a row by column. Raises ValueError for too many or too few."""
        if len(values) != len(self.columns):
            raise ValueError(f"expected {len(self.columns)} values, got {len(values)}")
        return dict(zip(self.columns, values, strict=True))


@contextmanager
def open_table(
    path: Path, required: tuple[str, ...], optional: tuple[str, ...] = ()
) -> Iterator[Table]:
    """Open a CSV file with a header, separated by commas, semicolons or tabs.

    Raises DataError as `open_csv`, and for a column that is missing or there twice.
    """
    with open_csv(path) as file:
        rows = csv_rows(file, (*required, *optional))
        columns = spelt_as(next(rows, []), (*required, *optional))
        require_columns(path, columns, required, optional)
        yield Table(tuple(columns), rows.dialect.delimiter, rows)


def csv_rows(file: TextIO, known: Sequence[str]) -> Any:
    """Return a csv.reader of an open file, with the delimiter that its first line has.

    Args:
        known: the names of columns by which a header is recognised.
    """
    first = next(file, "")
    told = _DELIMITER_LINE.fullmatch(first.strip("\r\n"))
    delimiter = told["delimiter"] if told else delimiter_of(first, known)
    rows = csv.reader(chain([first], file), delimiter=delimiter)
    if told:
        next(rows)
    return rows


def delimiter_of(line: str, known: Sequence[str]) -> str:
    """Return the delimiter with which the first line of a file has the most `known` columns.

    In a line that names none, it is the one that gives as many values, or else the most.
    """

    def fit(delimiter: str) -> tuple[int, bool, int]:
        names = spelt_as(next(csv.reader([line], delimiter=delimiter), []), known)
        return len({*names} & {*known}), len(names) == len(known), len(names)

    return max(DELIMITERS, key=fit)


def spelt_as(names: Sequence[str], known: Sequence[str]) -> list[str]:
    """Return the names of columns; those that are `known` but for their spelling, as there.

    That is case, spaces around the name, and é as one character or, as on a Mac, as two.
    """

    def plain(name: str) -> str:
        return normalize("NFC", name.strip().lower())

    # Of several that differ only in that, each column goes by the one it is, or by the first.
    spelling = {plain(name): name for name in reversed(known)}
    spelling |= {name: name for name in known}
    return [spelling.get(name, spelling.get(plain(name), name)) for name in names]


def require_columns(
    path: Path, columns: Sequence[str], required: Sequence[str], optional: Sequence[str] = ()
) -> None:
    """Raise DataError if a CSV lacks a `required` column, or has one of them all twice."""
    if missing := [name for name in required if name not in columns]:
        raise DataError(
            f"{path}: expected the columns {', '.join(required)}; missing: {', '.join(missing)}; "
            f"the first line has: {on_one_line(', '.join(columns)[:200]) or 'nothing'}."
        )
    # Only one would be read.
    if repeated := [name for name in (*required, *optional) if columns.count(name) > 1]:
        raise DataError(
            f"{path}: expected one column {repeated[0]!r}, got {columns.count(repeated[0])}; "
            "rename or remove the others."
        )


def csv_line(values: Iterable[object], *, delimiter: str = ",") -> str:
    """Return a CSV row without its line break."""
    text = io.StringIO()
    # The writer only quotes characters of its own line terminator, and file names may hold either.
    csv.writer(text, delimiter=delimiter, lineterminator="\r\n").writerow(values)
    return text.getvalue().removesuffix("\r\n")


def csv_text(rows: Iterable[Iterable[object]]) -> str:
    """Return CSV rows, each with a line break."""
    return "".join(csv_line(row) + "\n" for row in rows)


def printable(path: str) -> str:
    """Return a path that can be encoded as UTF-8: bytes that are not valid Unicode are escaped."""
    return path.encode("utf-8", "backslashreplace").decode("utf-8")
