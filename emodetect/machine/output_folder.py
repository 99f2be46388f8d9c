"""Output files and folders: checked before the work starts, and created."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeAlias, TypeVar

from emodetect.errors import EmodetectError

FileKey: TypeAlias = tuple[int, int] | str
Result = TypeVar("Result")
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def how_to_write_on(error: OSError) -> str:
    """Return what to do about a disk that can no longer be written to."""
    return "free up space" if error.errno in _NO_SPACE else "make it writable"


def file_keys(path: Path | str) -> set[FileKey]:
    """Return what a file shares with itself by another path, and with no other file.

    The real path alone does not tell where case does not matter, as on macOS: photos/a.jpg may be
    Photos/A.JPG. Nor does the number alone, which some drives give anew from time to time.
    """
    keys: set[FileKey] = {os.path.realpath(path)}
    with suppress(OSError, ValueError):
        found = Path(path).stat()
        if found.st_ino and found.st_nlink == 1:  # another link is replaced without harm
            keys.add((found.st_dev, found.st_ino))
    return keys


def check_output_file(
    path: Path,
    *,
    force: bool,
    in_place: bool = False,
    error: type[EmodetectError] = EmodetectError,
) -> None:
    """Raise `error` if a file cannot be written; call it before the work.

    It must not exist unless `force` is set. Its folder must be writable, or the file itself if
    that exists and is written `in_place`; otherwise, a new one takes the place of the old.
    """
    if not path.parent.is_dir():
        raise error(f"{path}: the folder {path.parent} does not exist; create it first.")
    if path.is_dir():
        raise error(f"{path}: is a folder; choose another file.")
    if os.path.lexists(path) and not force:
        raise error(f"{path}: already exists; choose another file, or add --force to replace it.")
    if in_place and path.exists():
        writable = os.access(path, os.W_OK)
    else:
        writable = os.access(path.parent, os.W_OK | os.X_OK)
    if not writable:
        raise error(f"{path}: permission denied; choose another file.")


def check_output_folder(folder: Path, *, force: bool) -> None:
    """Raise EmodetectError if results cannot be written to a folder; call it before the work.

    The folder must be empty or missing unless `force` is set, and it, or its nearest existing
    parent, must be writable.
    """
    parents = (folder, *folder.parents)
    # The last one is the current folder, in which this user may not look up names.
    existing = next((path for path in parents if os.path.lexists(path)), parents[-1])
    if os.path.exists(existing) and not existing.is_dir():
        raise EmodetectError(f"{folder}: {existing} is not a folder; choose another folder.")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise EmodetectError(
            f"{folder}: cannot write to {existing.absolute()}; choose another folder or change its "
            "permissions."
        )
    if folder.is_dir() and any(folder.iterdir()) and not force:
        raise EmodetectError(
            f"{folder}: already contains files; choose another folder, or add --force to replace "
            "them."
        )


def check_outside(output: Path, data: Path | None) -> None:
    """Raise EmodetectError if an output is inside a folder of data, of which it would become part.

    Args:
        data: None if there is no such folder.
    """
    if data is not None and Path(os.path.realpath(output)).is_relative_to(os.path.realpath(data)):
        raise EmodetectError(
            f"{output}: is inside {data}, and would be taken for a part of that data; choose "
            "another folder with --output."
        )


def make_output_folder(folder: Path) -> None:
    """Create the folder if it is missing. Raises EmodetectError if that fails."""
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)


@contextmanager
def told_first(tell: Callable[[Result], None], result: Result) -> Iterator[None]:
    """Tell a result before the body writes it, which it does even if that fails.

    So neither a full disk nor a closed pipe, such as that of `head`, loses the result.
    """
    untold: BaseException | None = None
    try:
        tell(result)
    except (OSError, SystemExit) as error:  # the latter is Rich's for a closed pipe
        untold = error
    yield
    if untold is not None:
        raise untold


@contextmanager
def writing(path: Path, error: type[EmodetectError] = EmodetectError) -> Iterator[None]:
    """Turn an OSError into `error`, which says that `path` cannot be written, and why."""
    try:
        yield
    except OSError as problem:
        raise error(f"{path}: cannot be written: {problem.strerror or problem}.") from None
