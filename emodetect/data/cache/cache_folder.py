"""The folder of the cache: filled in one step, listed and cleared."""

from __future__ import annotations

import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from emodetect.errors import DataError
from emodetect.machine.atomic_files import move
from emodetect.machine.computer import cache_root
from emodetect.machine.locks import locked
from emodetect.machine.output_folder import how_to_write_on

UNFINISHED = ".unfinished"  # subfolder of a cache folder for incomplete work
ANOTHER_FOLDER = (
    "choose another folder with data.cache_dir in a config or the environment variable "
    "XDG_CACHE_HOME"
)
# What can be made again from the data set or the config; downloaded and imported models stay.
_MADE_HERE = re.compile(r"images-[0-9a-f]{24}|synthetic-[0-9a-f]{16}")


@contextmanager
def publish(folder: Path) -> Iterator[Path]:
    """Yield an unfinished folder to fill, which becomes `folder` in one step at the end.

    A killed process leaves nothing at `folder`, and the next process removes its remains. If two
    processes fill the folder at once, the first wins and the other's work is discarded.
    """
    claim = ExitStack()
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        # Locked, so that a folder created but not yet locked is not taken for an abandoned one.
        workshop = folder.parent / UNFINISHED
        workshop.mkdir(exist_ok=True)
        with locked(workshop, wait=True):
            _remove_abandoned(workshop)
            # Not by mkdtemp, whose folders are private, on Windows for good.
            unfinished = workshop / secrets.token_hex(8)
            unfinished.mkdir()
            unfinished.chmod(workshop.stat().st_mode)  # a cache may be shared by a group
            claim.enter_context(locked(unfinished, wait=True))
    except OSError as error:
        raise DataError(
            f"{folder.parent}: cannot write the cache: {error.strerror}; {ANOTHER_FOLDER}."
        ) from None
    try:
        yield unfinished
        try:
            move(unfinished, folder)
        except OSError:
            if not folder.is_dir():
                raise
    except OSError as error:
        raise DataError(
            f"{folder}: cannot write the cache: {error.strerror}; {how_to_write_on(error)}, or "
            f"{ANOTHER_FOLDER}."
        ) from None
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
        claim.close()


def _remove_abandoned(workshop: Path) -> None:
    """Remove the unfinished folders of killed processes: those that no process has locked."""
    for folder in workshop.iterdir():
        # It may belong to another user, or be finished in the meantime.
        with suppress(OSError), locked(folder, wait=False) as lock:
            if lock == "held":
                shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True)
class CachedImages:
    """The pictures of faces in a cache folder.

    Attributes:
        folder: the cache folder, which may be missing.
        sets: a folder for each data set and each setting that its images were decoded with.
        size: of all their files, in bytes.
    """

    folder: Path
    sets: tuple[Path, ...]
    size: int


def cached_images(folder: Path | None = None) -> CachedImages:
    """Return what a cache folder holds, the user's by default.

    Raises:
        DataError: if it cannot be read.
    """
    folder = cache_root(folder)
    try:
        inside = sorted(folder.iterdir()) if folder.exists() else []
        sets = tuple(
            each
            for each in inside
            if _MADE_HERE.fullmatch(each.name) and each.is_dir() and not each.is_symlink()
        )
        size = sum(file.stat().st_size for each in sets for file in each.rglob("*"))
    except OSError as error:
        raise DataError(
            f"{error.filename or folder}: cannot read the cache: {error.strerror}."
        ) from None
    return CachedImages(folder, sets, size)


def clear_cached_images(cached: CachedImages) -> None:
    """Remove the pictures of a cache folder, and what killed processes left there unfinished.

    A training that uses the pictures goes on: on Linux and macOS a file stays readable while it is
    open, and on Windows it is not removed.

    Raises:
        DataError: if one cannot be removed.
    """
    try:
        for folder in cached.sets:
            with suppress(FileNotFoundError):  # removed by another process
                shutil.rmtree(folder)
        if (workshop := cached.folder / UNFINISHED).is_dir():
            with locked(workshop, wait=True):
                _remove_abandoned(workshop)
    except OSError as error:
        raise DataError(f"{error.filename}: cannot remove it: {error.strerror}.") from None
