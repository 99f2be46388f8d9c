"""The pip commands that install emodetect again, or an extra, from the original source."""

from __future__ import annotations

import importlib.metadata
import json
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from emodetect.machine.terminal_text import quoted

PIP = "python -m pip"
OPENCV = '"opencv-python>=4.13,<5"'


def reinstall_command() -> str:
    """Return the command that reinstalls emodetect."""
    return f"{PIP} install --force-reinstall {install_source()}"


def install_source(extra: str = "") -> str:
    """Return the argument for `pip install`, with an extra if given."""
    extras = f"[{extra}]" if extra else ""
    with suppress(importlib.metadata.PackageNotFoundError, ValueError, KeyError):
        origin = importlib.metadata.distribution("emodetect").read_text("direct_url.json")
        if origin:
            return _from_url(json.loads(origin), extras)
    return quoted(f"emodetect{extras}")


def _from_url(origin: dict[str, Any], extras: str) -> str:
    """Return the argument for the origin in `direct_url.json` (PEP 610)."""
    url = origin["url"]
    if "vcs_info" in origin:
        url = f"{origin['vcs_info']['vcs']}+{url}@{origin['vcs_info']['commit_id']}"
    elif url.startswith("file:"):
        path = quoted(url2pathname(urlsplit(url).path) + extras)
        return f"-e {path}" if origin.get("dir_info", {}).get("editable") else path
    if "subdirectory" in origin:
        url += f"#subdirectory={origin['subdirectory']}"
    return quoted(f"emodetect{extras} @ {url}")
