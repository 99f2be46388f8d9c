"""Commands that read images keep stderr for what they say themselves."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any


def quiet_decoders(command: Callable[..., Any]) -> Callable[..., Any]:
    """Hide what decoders, which are C code, print about damaged images, in worker processes too."""

    @wraps(command)
    def quiet(*words: Any, **options: Any) -> Any:
        from emodetect.machine.quiet_libraries import quiet_libraries

        with quiet_libraries():
            return command(*words, **options)

    return quiet
