"""What this machine has: cores, memory, a processor, installed packages, a folder for caches."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from emodetect.errors import EmodetectError


def usable_cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def default_threads() -> int:
    """Return the default number of threads of a runtime: one per core, at most 4."""
    return min(4, usable_cores())


def memory_bytes() -> int | None:
    """Return the memory of the machine, whatever its containers may use; None on Windows."""
    if sys.platform == "win32":
        return None
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (OSError, ValueError):
        return None


def processor() -> str:
    """Return the model of the processor, or its architecture where that is not known."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    if sys.platform == "darwin":
        with suppress(OSError):
            asked = ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"]
            return subprocess.run(asked, capture_output=True, text=True).stdout.strip()
    return platform.processor() or platform.machine()


def python_program() -> str | None:
    """Return the path of the Python that runs this program, to start another one.

    None if there is none: a frozen program, such as PyInstaller's, would start itself, and where
    Python is embedded, it may not know.
    """
    return None if getattr(sys, "frozen", False) else sys.executable or None


def installed_version(package: str) -> str | None:
    """Return the version of an installed package, or None."""
    # Imported here because it takes as long as NumPy.
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return None


def cache_root(configured: Path | None = None) -> Path:
    """Return the root of all caches, for files that can be created or downloaded again.

    It is the configured folder, or the platform's user cache: on Linux $XDG_CACHE_HOME/emodetect,
    or ~/.cache/emodetect if the variable is not set. Raises EmodetectError for a user without a
    home folder, as services may be.
    """
    if configured is not None:
        return configured
    from platformdirs import user_cache_path

    try:
        return user_cache_path("emodetect", appauthor=False)
    except RuntimeError:
        raise EmodetectError(
            "the cache: this user has no home folder; set XDG_CACHE_HOME to the full path of a "
            "folder that may be written to."
        ) from None
