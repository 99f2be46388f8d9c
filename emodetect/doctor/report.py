"""The findings as a text for a bug report, which says nothing about the person who sends it."""

from __future__ import annotations

import getpass
import os
import platform
import re
import socket
import sys
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from urllib.request import pathname2url

from emodetect.doctor.finding import Finding
from emodetect.machine.computer import memory_bytes, processor
from emodetect.machine.terminal_text import quoted

# The folders of a path, which may stand in quotes, in brackets or in a URL.
_FOLDERS = re.compile(r"(?:\.\.\.|[A-Za-z]:|(?<![\w.~/\\]))[\\/](?:[^\s'\",;:()<>|]*[\\/])?")
_SHORTEST_NAME = 3


def bug_report(findings: Iterable[Finding]) -> str:
    """Return the machine and the findings as text, without the names of persons, folders and hosts.

    Of paths, only the last part is left.
    """
    lines = [
        f"system     {platform.system()} {platform.release()}, {platform.machine()}, "
        f"{_libc() or 'C library unknown'}",
        f"processor  {processor()}, {os.cpu_count()} cores, {_memory()}",
        f"Python     {platform.python_implementation()} {platform.python_version()}, "
        f"{'virtual environment' if sys.prefix != sys.base_prefix else 'no virtual environment'}, "
        f"{sys.getfilesystemencoding()}",
        "",
        *(f"{one.status:8} {one.name:18} {one.detail}" for one in findings),
    ]
    return without_names("\n".join(lines))


def without_names(text: str) -> str:
    """Return a text without the folders of this machine, its name, and the name of its user."""
    for folder in _known_folders():
        spellings = [folder, quoted(folder)]
        with suppress(OSError):  # a malformed entry of PATH on Windows
            spellings.append(pathname2url(folder))
        for spelling in dict.fromkeys(spellings):
            text = text.replace(spelling, "...")
    text = _FOLDERS.sub(".../", text)
    for name, placeholder in _known_names().items():
        text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", placeholder, text, flags=re.IGNORECASE)
    return text


def _known_folders() -> list[str]:
    """Return folders whose names may hold spaces, the longest first."""
    package = Path(__file__).parents[1]
    found = {str(package.parent), sys.prefix}
    for known in (Path.home, Path.cwd, tempfile.gettempdir):
        with suppress(OSError, RuntimeError):  # a user without a home, a folder that is gone
            found.add(str(known()))
    found |= set(os.environ.get("PATH", "").split(os.pathsep))
    found |= {os.environ.get(name, "") for name in ("XDG_CACHE_HOME", "LOCALAPPDATA")}
    return sorted((one for one in found if len(one) > 1), key=len, reverse=True)


def _known_names() -> dict[str, str]:
    """Return what stands for each name of a person or a machine."""
    names = {}
    with suppress(RuntimeError):  # a user without a home
        names[Path.home().name] = "USER"
    with suppress(OSError, KeyError):  # a user without a name
        names[getpass.getuser()] = "USER"
    host = socket.gethostname()
    names |= {host: "HOST", host.partition(".")[0]: "HOST"}
    return {name: to for name, to in names.items() if len(name) >= _SHORTEST_NAME}


def _libc() -> str:
    return " ".join(platform.libc_ver()).strip()


def _memory() -> str:
    size = memory_bytes()
    return "memory unknown" if size is None else f"{size / 2**30:.0f} GiB of memory"
