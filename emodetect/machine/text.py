"""Text that came from elsewhere, made fit for a terminal."""

from __future__ import annotations


def on_one_line(text: str) -> str:
    """Return text with line breaks, and codes that change the terminal, written as escapes."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in text
    )
