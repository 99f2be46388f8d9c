"""Check the installation. Imports only the standard library, as everything else may be broken."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

from emodetect.doctor.finding import Finding, absent, broken, ok
from emodetect.doctor.pip_commands import OPENCV, PIP, install_source, reinstall_command
from emodetect.doctor.probe_processes import probe_findings, start_probe
from emodetect.errors import EmodetectError, first_line
from emodetect.machine.computer import cache_root, installed_version
from emodetect.machine.terminal_text import quoted

FREE_BYTES = 2 * 10**9  # the prepared images of a large data set
OPENCV_WHEELS = (
    "opencv-python",
    "opencv-contrib-python",
    "opencv-python-headless",
    "opencv-contrib-python-headless",
)
TENSORFLOW = ("keras", "tensorflow")
PROBES = ("packages", "opencv", "models", "tensorflow")


def examine() -> Iterator[Finding]:
    """Yield the findings of all checks, quick ones first; no check raises."""
    with ExitStack() as stack:
        names = [name for name in PROBES if name != "tensorflow" or not _is_without_tensorflow()]
        probes = [(name, stack.enter_context(start_probe(name))) for name in names]
        for check in (
            _python,
            _requirements,
            _opencv_wheels,
            _extras,
            _ffmpeg,
            _cache,
            _temporary_folder,
        ):
            yield from _guarded(check)
        for name, process in probes:
            yield from probe_findings(name, process)


def unexpected(error: Exception) -> str:
    """Return the type and the first line of an error that no check expected."""
    return f"{type(error).__name__}: {first_line(error)}"


def _guarded(check: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    try:
        yield from check()
    except Exception as error:
        # The other checks must still run, whatever is broken here.
        name = check.__name__.strip("_").replace("_", " ")
        yield broken(name, unexpected(error), reinstall_command())


def _python() -> Iterator[Finding]:
    detail = (
        f"{platform.python_version()}, {platform.system()} {platform.machine()}, "
        f"{os.cpu_count()} cores"
    )
    if sys.maxsize < 2**32:
        yield broken(
            "Python",
            f"{detail}: 32-bit; TensorFlow and LiteRT only have 64-bit wheels",
            "install a 64-bit Python",
        )
        return
    yield ok("Python", detail)


def _requirements() -> Iterator[Finding]:
    from packaging.requirements import Requirement

    try:
        lines = importlib.metadata.requires("emodetect") or []
        own = importlib.metadata.version("emodetect")
    except importlib.metadata.PackageNotFoundError:
        yield broken(
            "emodetect",
            f"run from {Path(__file__).parents[1]}, but not installed",
            f"{PIP} install -e .",
        )
        return
    yield ok("emodetect", f"{own} in {Path(__file__).parents[1]}")
    needed = [one for one in map(Requirement, lines) if one.marker is None or one.marker.evaluate()]
    wrong = [
        (one, version)
        for one in needed
        if (version := installed_version(one.name)) is None
        or not one.specifier.contains(version, prereleases=True)
    ]
    if _is_without_tensorflow():
        removed = [one for one, _ in wrong if one.name in TENSORFLOW]
        wrong = [(one, version) for one, version in wrong if one not in removed]
        needed = [one for one in needed if one not in removed]
        yield absent(
            "TensorFlow",
            "not installed, nor Keras; train, export and other commands need them",
            f"{PIP} install {' '.join(quoted(f'{one.name}{one.specifier}') for one in removed)}",
        )
    for one, version in wrong:
        yield broken(
            one.name,
            f"{version or 'not installed'}; emodetect needs {one.specifier}",
            f"{PIP} install {quoted(f'{one.name}{one.specifier}')}",
        )
    if not wrong:
        versions = ", ".join(f"{one.name} {installed_version(one.name)}" for one in needed)
        yield ok("packages", versions)


def _is_without_tensorflow() -> bool:
    """Return whether neither is there: removed on purpose, as in an image that only serves."""
    return not any(map(installed_version, TENSORFLOW))


def _opencv_wheels() -> Iterator[Finding]:
    found = [name for name in OPENCV_WHEELS if installed_version(name)]
    if len(found) > 1:
        # They share one folder, so the last one installed has overwritten the others' files.
        yield broken(
            "OpenCV wheels",
            f"{' and '.join(found)} are installed into the same folder",
            f"{PIP} uninstall -y {' '.join(found)}, then {PIP} install {OPENCV}",
        )


def _extras() -> Iterator[Finding]:
    metadata = importlib.metadata.metadata("emodetect")
    for extra in metadata.get_all("Provides-Extra") or []:
        if extra == "dev":
            continue
        names = list(_packages_of("emodetect", extra))
        missing = [name for name in names if installed_version(name) is None]
        if missing:
            yield absent(
                f"extra {extra}",
                f"{', '.join(missing)} not installed",
                f"{PIP} install {install_source(extra)}",
            )
        else:
            versions = ", ".join(f"{name} {installed_version(name)}" for name in names)
            yield ok(f"extra {extra}", versions)


def _packages_of(package: str, extra: str) -> Iterator[str]:
    """Yield the names of what an extra adds, with the extras of those, such as tensorflow's."""
    from packaging.requirements import Requirement

    for one in map(Requirement, importlib.metadata.requires(package) or []):
        added = one.marker and one.marker.evaluate({"extra": extra}) and not one.marker.evaluate()
        if not added:
            continue
        yield one.name
        if installed_version(one.name) is not None:
            for inner in sorted(one.extras):
                yield from _packages_of(one.name, inner)


def _ffmpeg() -> Iterator[Finding]:
    from emodetect.recognition.videos.recording.ffmpeg import (
        FORMATS,
        encoders,
        installed_ffmpegs,
    )

    programs = list(installed_ffmpegs())
    found = set().union(*map(encoders, programs))
    missing = [suffix for suffix, form in FORMATS.items() if form.encoder not in found]
    if missing:
        yield absent(
            "ffmpeg",
            f"{', '.join(programs) or 'not found'}; annotated videos cannot be written as "
            f"{', '.join(missing)}",
            f"{PIP} install {install_source('video')}",
        )
    else:
        yield ok("ffmpeg", f"{', '.join(programs)}; writes {', '.join(FORMATS)}")


def _cache() -> Iterator[Finding]:
    fix = "set XDG_CACHE_HOME (Linux) or data.cache_dir in the config to a writable folder"
    try:
        folder = cache_root()
    except EmodetectError as error:
        yield broken("cache", str(error), fix)
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        yield broken(
            "cache",
            f"{folder}: {error.strerror}; prepared images cannot be stored there",
            fix,
        )
        return
    free = shutil.disk_usage(folder).free
    found = f"{folder}, {free / 1e9:,.1f} GB free"
    if free > FREE_BYTES:
        yield ok("cache", found)
    else:
        yield absent("cache", found, "free some space; training stores its images there")


def _temporary_folder() -> Iterator[Finding]:
    try:
        yield ok("temporary folder", tempfile.gettempdir())
    except FileNotFoundError as error:
        yield broken("temporary folder", str(error.strerror), "set TMPDIR to a writable folder")
