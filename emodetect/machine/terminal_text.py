"""Text for the terminal: what files and users contain, escaped; and each log line once."""

from __future__ import annotations

import logging
import re
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from unicodedata import category

_SPECIAL_ON_WINDOWS = re.compile(r"[^\w@+=:,./\\-]")


def on_one_line(text: str) -> str:
    """Return text with line breaks and terminal control codes escaped."""
    return "".join(
        letter if _is_shown(letter) else letter.encode("unicode_escape").decode() for letter in text
    )


def quoted(word: str) -> str:
    """Return a word as it must be written in a command: in quotes if a shell needs them."""
    if sys.platform != "win32":
        return shlex.quote(word)
    if word and not _SPECIAL_ON_WINDOWS.search(word):
        return word
    # As programs read their command line there: backslashes count only before a double quote.
    inner = re.sub(r'(\\*)("|$)', lambda end: 2 * end[1] + end[2].replace('"', r"\""), word)
    return f'"{inner}"'


def shell_command(*words: str) -> str:
    """Return a command that can be pasted into a shell, on one line."""
    return on_one_line(" ".join(map(quoted, words)))


def _is_shown(letter: str) -> bool:
    # Python calls no space but that of ASCII printable, nor the joiners that some alphabets need.
    return letter.isprintable() or category(letter) == "Zs" or letter in "\u200c\u200d"


@contextmanager
def said_once(*loggers: str) -> Iterator[None]:
    """Drop log lines that were logged before within, as where the same data is loaded repeatedly.

    Args:
        loggers: names of the loggers whose lines these are.
    """
    said: set[str] = set()

    def is_new(record: logging.LogRecord) -> bool:
        line = record.getMessage()
        new = line not in said
        said.add(line)
        return new

    try:
        for name in loggers:
            logging.getLogger(name).addFilter(is_new)
        yield
    finally:
        for name in loggers:
            logging.getLogger(name).removeFilter(is_new)
