"""Programs that tests start in their own process."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

posix_only = pytest.mark.skipif(
    sys.platform == "win32", reason="signals, pipes, modes and limits of POSIX"
)


def run_python(code: str, *words: object, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a program in a Python of its own, with `words` as its arguments."""
    return _run("-c", code, *words, **options)


def run_emodetect(*words: object, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run the command line as a user does."""
    return _run("-m", "emodetect", *words, **options)


# Python as if modules were not installed; the finders find everything else, and all metadata.
WITHOUT = """
import sys

class Without:
    def __init__(self, finder): self.finder = finder
    def __getattr__(self, name): return getattr(self.finder, name)
    def find_spec(self, name, path=None, target=None):
        missing = name.partition(".")[0] in {modules!r}
        return None if missing else self.finder.find_spec(name, path, target)

sys.meta_path[:] = map(Without, sys.meta_path)
from emodetect.cli import main
main()
"""


def run_without(
    modules: tuple[str, ...], *words: object, **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run the command line where these modules cannot be imported."""
    return run_python(WITHOUT.replace("{modules!r}", repr(modules)), *words, **options)


def _run(*words: object, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *map(str, words)]
    return subprocess.run(command, capture_output=True, encoding="utf-8", check=False, **options)
