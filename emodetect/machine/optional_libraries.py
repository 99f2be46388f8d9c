"""Import libraries that are only needed if they are used."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from emodetect.errors import EmodetectError


def optional_library(name: str) -> ModuleType:
    """Import a library that an extra of the same name installs.

    Raises EmodetectError with the pip command if it is not installed.
    """
    try:
        return import_module(name)
    except ImportError:
        raise EmodetectError(
            f"this needs {name}, which is not installed. Install it: "
            f"pip install 'emodetect[{name}]'"
        ) from None
