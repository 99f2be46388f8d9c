"""Programs that tests start in their own process."""

from __future__ import annotations

import subprocess
import sys
from typing import Any


def run_python(code: str, *words: object, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a program in a Python of its own, with `words` as its arguments."""
    return _run("-c", code, *words, **options)


def run_emodetect(*words: object, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run the command line as a user does."""
    return _run("-m", "emodetect", *words, **options)


def run_without(
    modules: tuple[str, ...], *words: object, **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run the command line where these modules cannot be imported."""
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({modules!r}))\n"
        "from emodetect.cli import main; main()"
    )
    return run_python(code, *words, **options)


def _run(*words: object, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)
