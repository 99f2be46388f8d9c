"""What users' files are called, on a line of a terminal or of a table."""

from __future__ import annotations

import shlex

import pytest

from emodetect.machine.terminal_text import on_one_line, shell_command


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a\nb\r\x1b[31m", r"a\nb\r\x1b[31m"),
        ("a\u2028b\u202eb", r"a\u2028b\u202eb"),
        ("東京\u3000駅.mp4", "東京\u3000駅.mp4"),
        ("9.41\u202fAM\u00a0x", "9.41\u202fAM\u00a0x"),
        ("\u0645\u06cc\u200c\u062e", "\u0645\u06cc\u200c\u062e"),
    ],
)
def test_only_what_breaks_a_line_is_escaped(text: str, line: str) -> None:
    """Line breaks, control codes and changes of direction are; spaces and joiners of any alphabet
    stay as they are."""
    assert on_one_line(text) == line


def test_a_command_that_is_shown_can_be_pasted() -> None:
    """Paths with spaces and quotes stay one word, and none sends anything to the terminal."""
    words = ("emodetect", "evaluate", "--model", "runs/own é's 1.5")
    assert shlex.split(shell_command(*words)) == list(words)
    assert shell_command(*words[:3], "runs/a") == "emodetect evaluate --model runs/a"
    assert "\x1b" not in shell_command("\x1b[31m")


@pytest.mark.parametrize(
    ("word", "written"),
    [
        (r"C:\Users\anna\runs", r"C:\Users\anna\runs"),
        (r"C:\My faces", r'"C:\My faces"'),
        ("emodetect[serve]", '"emodetect[serve]"'),
        ("opencv-python>=4.13,<5", '"opencv-python>=4.13,<5"'),
        ("it's", '"it\'s"'),
        ("C:\\My faces\\", '"C:\\My faces\\\\"'),
        ('say "cheese"', r'"say \"cheese\""'),
        ("", '""'),
    ],
)
def test_windows_has_its_own_quotes(
    word: str, written: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its cmd takes single quotes for letters, and > in them for a redirection."""
    monkeypatch.setattr("sys.platform", "win32")
    assert shell_command("pip", word) == f"pip {written}"
