"""Checks of the installation. Only the standard library is imported: the rest may be broken."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from emodetect.doctor.finding import Finding
from emodetect.errors import first_line
from emodetect.machine.cache_folder import cache_root

PROBE_TIMEOUT_S = 120  # TensorFlow from a cold, slow disk
FREE_BYTES = 2 * 10**9  # the prepared images of a large data set
OPENCV_WHEELS = (
    "opencv-python",
    "opencv-contrib-python",
    "opencv-python-headless",
    "opencv-contrib-python-headless",
)
PROBES = ("packages", "opencv", "models", "tensorflow")
PIP = "python -m pip"


def examine() -> Iterator[Finding]:
    """Yield what every check finds, the quick ones first; none of them raises."""
    with ExitStack() as stack:
        probes = [(name, stack.enter_context(_start(name))) for name in PROBES]
        for check in (_python, _requirements, _opencv_wheels, _extras, _ffmpeg, _cache):
            yield from _guarded(check)
        for name, process in probes:
            yield from _findings_of(name, process)


def reinstall() -> str:
    """Return the command that installs emodetect again, from where it came."""
    return f"{PIP} install --force-reinstall {_source()}"


def _source(extra: str = "") -> str:
    """Return what pip is to install for emodetect from where it came, with an extra if named."""
    extras = f"[{extra}]" if extra else ""
    with suppress(importlib.metadata.PackageNotFoundError, ValueError, KeyError):
        told = importlib.metadata.distribution("emodetect").read_text("direct_url.json")
        if told:
            return _from_url(json.loads(told), extras)
    return shlex.quote(f"emodetect{extras}")


def _from_url(origin: dict[str, Any], extras: str) -> str:
    """Return the same for what `direct_url.json` tells (PEP 610)."""
    url = origin["url"]
    if "vcs_info" in origin:
        url = f"{origin['vcs_info']['vcs']}+{url}@{origin['vcs_info']['commit_id']}"
    elif url.startswith("file:"):
        path = shlex.quote(url2pathname(urlsplit(url).path) + extras)
        return f"-e {path}" if origin.get("dir_info", {}).get("editable") else path
    if "subdirectory" in origin:
        url += f"#subdirectory={origin['subdirectory']}"
    return shlex.quote(f"emodetect{extras} @ {url}")


def unforeseen(error: Exception) -> str:
    """Return the kind and the first line of an error that no check foresaw."""
    return f"{type(error).__name__}: {first_line(error)}"


def _guarded(check: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    try:
        yield from check()
    except Exception as error:
        # Whatever is broken here, the other checks must still be read.
        name = check.__name__.strip("_").replace("_", " ")
        yield Finding(name=name, status="broken", detail=unforeseen(error), mend=reinstall())


def _python() -> Iterator[Finding]:
    detail = (
        f"{platform.python_version()}, {platform.system()} {platform.machine()}, "
        f"{os.cpu_count()} cores"
    )
    if sys.maxsize < 2**32:
        yield Finding(
            name="Python",
            status="broken",
            detail=f"{detail}: 32 bits, for which TensorFlow and LiteRT have no wheel",
            mend="install a 64-bit Python",
        )
        return
    yield Finding(name="Python", status="ok", detail=detail)


def _requirements() -> Iterator[Finding]:
    from packaging.requirements import Requirement

    try:
        lines = importlib.metadata.requires("emodetect") or []
        own = importlib.metadata.version("emodetect")
    except importlib.metadata.PackageNotFoundError:
        yield Finding(
            name="emodetect",
            status="broken",
            detail=f"run from {Path(__file__).parents[1]}, but not installed",
            mend=f"{PIP} install -e .",
        )
        return
    yield Finding(name="emodetect", status="ok", detail=f"{own} in {Path(__file__).parents[1]}")
    needed = [one for one in map(Requirement, lines) if one.marker is None or one.marker.evaluate()]
    wrong = [(one, _version(one.name)) for one in needed]
    wrong = [
        (one, version)
        for one, version in wrong
        if version is None or not one.specifier.contains(version, prereleases=True)
    ]
    for one, version in wrong:
        yield Finding(
            name=one.name,
            status="broken",
            detail=f"{version or 'not installed'}; emodetect needs {one.specifier}",
            mend=f"{PIP} install {shlex.quote(f'{one.name}{one.specifier}')}",
        )
    if not wrong:
        versions = ", ".join(f"{one.name} {_version(one.name)}" for one in needed)
        yield Finding(name="packages", status="ok", detail=versions)


def _opencv_wheels() -> Iterator[Finding]:
    found = [name for name in OPENCV_WHEELS if _version(name)]
    if len(found) > 1:
        # They share one folder, and the last one installed has overwritten the others' files.
        yield Finding(
            name="OpenCV wheels",
            status="broken",
            detail=f"{' and '.join(found)} are both installed, into the same folder",
            mend=f"{PIP} uninstall -y {' '.join(found)} && {PIP} install 'opencv-python<5'",
        )


def _extras() -> Iterator[Finding]:
    from packaging.requirements import Requirement

    metadata = importlib.metadata.metadata("emodetect")
    lines = [Requirement(line) for line in importlib.metadata.requires("emodetect") or []]
    for extra in metadata.get_all("Provides-Extra") or []:
        if extra == "dev":
            continue
        names = [
            one.name
            for one in lines
            if one.marker and one.marker.evaluate({"extra": extra}) and not one.marker.evaluate()
        ]
        absent = [name for name in names if _version(name) is None]
        if absent:
            yield Finding(
                name=f"extra {extra}",
                status="absent",
                detail=f"{', '.join(absent)} not installed",
                mend=f"{PIP} install {_source(extra)}",
            )
        else:
            versions = ", ".join(f"{name} {_version(name)}" for name in names)
            yield Finding(name=f"extra {extra}", status="ok", detail=versions)


def _ffmpeg() -> Iterator[Finding]:
    path = shutil.which("ffmpeg")
    if path:
        yield Finding(name="ffmpeg", status="ok", detail=path)
        return
    install = {
        "Linux": "sudo apt install ffmpeg",
        "Darwin": "brew install ffmpeg",
        "Windows": "winget install ffmpeg",
    }
    yield Finding(
        name="ffmpeg",
        status="absent",
        detail="not found; annotated videos are written without sound",
        mend=install.get(platform.system(), "install ffmpeg"),
    )


def _cache() -> Iterator[Finding]:
    folder = cache_root()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        yield Finding(
            name="cache",
            status="broken",
            detail=f"{folder}: {error.strerror}; prepared images cannot be kept there",
            mend="set XDG_CACHE_HOME to a folder that you may write to",
        )
        return
    free = shutil.disk_usage(folder).free
    yield Finding(
        name="cache",
        status="ok" if free > FREE_BYTES else "absent",
        detail=f"{folder}, {free / 1e9:,.1f} GB free",
        mend="" if free > FREE_BYTES else "free some space; a training keeps its images there",
    )


def _start(probe: str) -> subprocess.Popen:
    """Start a probe in a process of its own, since a broken library may end the one it is in."""
    parent = str(Path(__file__).parents[2])  # last on the path, for a copy that is not installed
    code = (
        f"import sys; sys.path.append({parent!r})\n"
        f"from emodetect.doctor.probes import main; main({probe!r})"
    )
    return subprocess.Popen(
        [sys.executable, "-P", "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        encoding="utf-8",
    )


def _findings_of(probe: str, process: subprocess.Popen) -> Iterator[Finding]:
    try:
        output, _ = process.communicate(timeout=PROBE_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        output, _ = process.communicate()
        trouble = f"no answer within {PROBE_TIMEOUT_S} s"
    else:
        trouble = _ended(process.returncode)
    for line in output.splitlines():
        yield Finding(**json.loads(line))
    if trouble:
        yield Finding(name=probe, status="broken", detail=trouble, mend=reinstall())


def _ended(status: int) -> str:
    """Return what an exit status says of a probe; empty for one that came to its end."""
    if status == 0:
        return ""
    if status > 0:
        return f"the check ended with exit status {status}"
    name = signal.Signals(-status).name
    if name == "SIGILL":
        return "a library needs an instruction that this processor lacks (SIGILL), such as AVX"
    return f"a library ended the process ({name})"


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
