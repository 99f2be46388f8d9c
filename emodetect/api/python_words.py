"""What errors advise, as a Python caller would write it: parameters instead of options.

The library speaks of the options of the command line, which most of its users see.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from emodetect.config import toml_or_text
from emodetect.errors import EmodetectError

Parameters = ParamSpec("Parameters")
Returned = TypeVar("Returned")

OTHER_NAMES = {"classes": "emotions", "label-name": "label_names", "pixels": "pixel_range"}
FLAGS = ("common", "force", "own-labels", "unseen")
# Commands to run stay as they are.
COMMAND = r"(?P<command>\b(?:emodetect|pip) (?:[a-z]+ )+--[^`;)]*)"
OVERRIDE = r"--set (?P<key>[a-z_.0-9]+)=(?P<value>[^\s;,)]*[^\s;,.)])"
LABEL_NAME = r"--label-name (?P<quote>'?)(?P<label>[^\s'=]+)=(?P<emotion>[^\s',;.)]+)(?P=quote)"
# Values that messages give, not words of a sentence that follow an option.
OPTION = (
    r"--(?P<option>[a-z]+(?:-[a-z]+)*)"
    r"(?: (?P<text>all|detect|faces|int8|none|test|(?<=resume )(?!to\b)[^\s;,]*[^\s;,.])(?![\w-])"
    r"| (?P<name>DIR|FILE|FOLDER|PATH)\b)?"
)
WORDS = re.compile("|".join((COMMAND, OVERRIDE, LABEL_NAME, OPTION)))


def in_python_words(
    function: Callable[Parameters, Returned],
) -> Callable[Parameters, Returned]:
    """Let the errors of a function speak of its parameters."""

    @functools.wraps(function)
    def call(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Returned:
        try:
            return function(*args, **kwargs)
        except EmodetectError as error:
            error.args = (python_words(str(error)),)
            raise

    return call


def python_words(text: str) -> str:
    """Return a message with parameters in place of options.

    Examples:
        >>> python_words("already exists; add --force to replace it.")
        'already exists; add force=True to replace it.'
        >>> python_words("more epochs (--set training.epochs=20)")
        'more epochs (training__epochs=20)'
    """
    return WORDS.sub(_translated, text)


def _translated(words: re.Match[str]) -> str:
    if words["command"]:
        return words["command"]
    if words["key"]:
        return f"{words['key'].replace('.', '__')}={toml_or_text(words['value'])!r}"
    if words["label"]:
        return f"label_names={{{words['label']!r}: {words['emotion']!r}}}"
    name = OTHER_NAMES.get(words["option"], words["option"].replace("-", "_"))
    if words["option"] in FLAGS:
        return f"{name}=True"
    if words["text"]:
        return f"{name}={words['text']!r}"
    return f"{name}={words['name']}" if words["name"] else name
