"""Text from files and users, escaped for the terminal."""

from __future__ import annotations


def on_one_line(text: str) -> str:
    """Return text with line breaks and terminal control codes escaped."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in text
    )
