"""The folders and images below a folder, and the one of them that is meant."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path

from emodetect.errors import DataError
from emodetect.images.formats import HIDDEN_FILE, has_image_suffix, is_junk, why_not_read

LISTED_AT_MOST = 5
# Downloads nest their folders; deeper ones are not searched, so that the answer comes at once.
DEEPEST_CLASS_FOLDER = 6


def is_folder_entry(entry: os.DirEntry[str]) -> bool:
    """Return whether an entry is a folder, or a link to one that this user may look up.

    `DirEntry.is_dir` raises for other links: to themselves, or into a folder that is closed.
    """
    try:
        return entry.is_dir()
    except OSError:
        return False


def subfolders(folder: Path) -> Iterator[Path]:
    """Yield the folders in a folder, without hidden ones, junk, and those that cannot be read."""
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                hidden = entry.name.startswith(".") or is_junk(entry.name)
                if not hidden and is_folder_entry(entry):
                    yield Path(entry.path)
    except OSError:
        return


def levels_from(root: Path) -> Iterator[list[Path]]:
    """Yield a folder and those below it, level by level, as deep as class folders may be."""
    return chain([[root]], levels_below(root))


def levels_below(root: Path) -> Iterator[list[Path]]:
    """Yield the folders below a folder, level by level, as deep as class folders may be."""
    level = [root]
    for _ in range(DEEPEST_CLASS_FOLDER):
        level = [inner for folder in level for inner in subfolders(folder)]
        yield level


def nested_folder(levels: Iterable[Sequence[Path]], is_it: Callable[[Path], bool]) -> Path | None:
    """Return the nearest folder that is looked for, as downloads nest them, or None.

    Args:
        levels: the folders to search, as of `levels_from`.

    Raises DataError if several are equally near.
    """
    for level in levels:
        found = [folder for folder in level if is_it(folder)]
        if len(found) > 1:
            raise several_folders(found[0].parent, found)
        if found:
            return found[0]
    return None


def several_folders(root: Path, found: Sequence[Path], hint: str = "") -> DataError:
    """Return the error, which ends with the hint, for folders of which one must be chosen."""
    named = ", ".join(map(str, found[:LISTED_AT_MOST]))
    more = len(found) - LISTED_AT_MOST
    return DataError(
        f"{root}: found {len(found):,} folders that could be meant: {named}"
        f"{f' and {more:,} more' if more > 0 else ''}. Set data.path to one of them, or list the "
        f"images in a manifest.{hint}"
    )


def direct_files(folder: Path) -> list[Path]:
    """Return the files in a folder itself, without those that `is_junk` names."""
    return [path for path in folder.iterdir() if not os.path.isdir(path) and not is_junk(path.name)]


def has_direct_photos(folder: Path) -> bool:
    """Return whether images lie in a folder itself."""
    return any(map(has_image_suffix, direct_files(folder)))


def photos_below(
    folder: Path, closed: frozenset[str] = frozenset(), *, left_out: Counter[str] | None = None
) -> Iterator[Path]:
    """Yield the images below a folder as `files_below` does, and unreadable folders.

    Args:
        left_out: gets the number of all other files, by kind; see `why_not_read`.
    """
    for path in files_below(folder, closed, left_out=left_out):
        # A folder that cannot be read is yielded as well.
        if has_image_suffix(path) or os.path.isdir(path):
            yield path
        elif left_out is not None:
            left_out[why_not_read(path)] += 1


def files_below(
    folder: Path, closed: frozenset[str] = frozenset(), *, left_out: Counter[str] | None = None
) -> Iterator[Path]:
    """Yield the files below a folder at any depth, sorted, without hidden ones.

    What `is_junk` names is left out too. Links are followed. A folder that cannot be read is
    yielded itself, so that it is reported as an unreadable file.

    Args:
        closed: real paths of folders that are not searched. The parents of a folder are added, so
            that a link to one of them does not lead to an endless search.
        left_out: gets the number of hidden files.
    """
    real = os.path.realpath(folder)
    if real in closed:
        return
    try:
        names = sorted(os.listdir(folder))  # noqa: PTH208  a million Paths take too much memory
    except OSError:
        yield folder
        return
    for name in names:
        path = folder / name
        is_folder = os.path.isdir(path)
        if is_junk(name):
            continue
        if name.startswith("."):
            if left_out is not None:
                files = sum(len(names) for _, _, names in os.walk(path)) if is_folder else 1
                left_out[HIDDEN_FILE] += files
        elif is_folder:
            yield from files_below(path, closed | {real}, left_out=left_out)
        else:
            yield path
