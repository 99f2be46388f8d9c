"""Which photos to analyse: files, folders, patterns and lists, one after the other.

Nothing here holds all paths at once: the memory that is needed grows with the largest folder.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from fnmatch import fnmatch
from itertools import count
from pathlib import Path

from emodetect.errors import EmodetectError
from emodetect.images.formats import has_image_suffix
from emodetect.recognition.photos.analysis import Photo, is_pattern

# Among the arguments, it stands for the list on standard input.
LIST = Path("-")
BYTES_AT_ONCE = 65536  # of a list; longer than any path may be


def find_photos(
    named: Iterable[Path],
    *,
    listed: Iterable[Path | None] = (),
    leave_out: Iterable[Path | None] = (),
    unique: bool = False,
) -> Iterator[Photo | None]:
    """Yield named files as they are, and the images inside named folders, sorted, at any depth.

    A name that does not exist and has `*`, `?` or `[` in it is a pattern, with `**` for folders
    at any depth. It yields the images that it matches, and those in folders that it matches.

    A folder without images, one that cannot be read, and a pattern that matches nothing are
    yielded themselves, so that they end as errors and not in silence. Links to folders inside a
    folder are not followed.

    Args:
        named: files, folders and patterns; `-` stands for the files and folders of `listed`.
        listed: see `listed_paths`. Its None is yielded too, and one before an error.
        leave_out: folders that are not searched, such as those of an earlier run's results.
        unique: give photos that would have the same place among the results, because they come
            from different folders, a number. Needs memory for each photo.

    Raises:
        EmodetectError: for a named folder that is to be left out, and for an empty list.
    """
    named = list(named)
    closed = {os.path.realpath(folder) for folder in leave_out if folder is not None}
    for path in named:
        _check_not_closed(path, closed)
    photos = _photos_of_all(named, listed, closed)
    return _with_places_of_their_own(photos) if unique else photos


def listed_paths(descriptor: int, *, separator: bytes = b"\n") -> Iterator[Path | None]:
    """Yield the paths of a list as they come, and None where more may take a while.

    Args:
        descriptor: an open file, pipe or terminal.
        separator: what ends a path: b"\\n" or b"\\0". Empty lines are left out.

    Raises:
        EmodetectError: for something that is no list of paths.
    """
    rest = b""
    while data := os.read(descriptor, BYTES_AT_ONCE):
        *lines, rest = (rest + data).split(separator)
        yield from map(_listed_path, filter(None, lines))
        if len(rest) > BYTES_AT_ONCE:
            raise EmodetectError("-: no list of paths: expected one a line, or ended by NUL (-0).")
        yield None
    if rest:
        yield _listed_path(rest)


def _listed_path(line: bytes) -> Path:
    if b"\0" in line:
        raise EmodetectError("-: a path in the list has a NUL byte; add -0 if NULs end its paths.")
    return Path(os.fsdecode(line.removesuffix(b"\r")))


def _photos_of_all(
    named: list[Path], listed: Iterable[Path | None], closed: set[str]
) -> Iterator[Photo | None]:
    try:
        for path in named:
            yield from _photos_of_argument(path, listed, closed)
    except EmodetectError:
        yield None  # no result of the photos before waits for one that does not come
        raise


def _photos_of_argument(
    path: Path, listed: Iterable[Path | None], closed: set[str]
) -> Iterator[Photo | None]:
    if path == LIST:
        empty = True
        for entry in listed:
            if entry is None:
                yield None
                continue
            empty = False
            _check_not_closed(entry, closed)
            yield from _photos_of(entry, closed)
        if empty:
            raise EmodetectError(
                "-: the list on standard input is empty; expected paths of photos, one a line."
            )
    elif is_pattern(path):
        yield from _photos_like(path, closed)
    else:
        yield from _photos_of(path, closed)


def _check_not_closed(path: Path, closed: set[str]) -> None:
    if closed and os.path.isdir(path) and os.path.realpath(path) in closed:  # noqa: PTH112
        raise EmodetectError(
            f"{path}: is both searched for photos and written to; name another folder to write to."
        )


def _photos_of(path: Path, closed: set[str]) -> Iterator[Photo]:
    itself = Photo(path, Path(path.name or "photo"))
    if not os.path.isdir(path):  # noqa: PTH112  Path.is_dir raises for some names
        yield itself
        return
    empty = True
    for file in _images_below(path, closed, ()):
        empty = False
        yield itself if file == path else Photo(file, file.relative_to(path))
    if empty:
        yield itself


def _photos_like(pattern: Path, closed: set[str]) -> Iterator[Photo]:
    parts = pattern.parts
    fixed = next(n for n in range(len(parts)) if is_pattern(Path(*parts[: n + 1])))
    folder = Path(*parts[:fixed])
    empty = True
    if os.path.isdir(folder):  # noqa: PTH112  Path.is_dir raises for some names
        for file in _images_below(folder, closed, parts[fixed:]):
            empty = False
            yield Photo(file, Path(file.name) if file == folder else file.relative_to(folder))
    if empty:
        yield Photo(pattern, Path("photo"))


def _images_below(folder: Path, closed: set[str], parts: tuple[str, ...]) -> Iterator[Path]:
    """Yield the images in a folder that match the parts of a pattern, sorted; all without parts.

    A folder that cannot be read is yielded too.
    """
    levels = [iter([(folder, True, _with_next_folders({0}, parts))])]
    while levels:
        for path, is_folder, matched in levels[-1]:
            if not is_folder:
                yield path
                continue
            if closed and os.path.realpath(path) in closed:
                continue
            try:
                levels.append(_matching_entries(path, matched, parts))
            except OSError:
                yield path
                continue
            break
        else:
            levels.pop()


def _matching_entries(
    folder: Path, open_parts: set[int], parts: tuple[str, ...]
) -> Iterator[tuple[Path, bool, set[int]]]:
    """Return the images and folders in a folder, sorted.

    With each comes whether it is a folder, and which parts of the pattern may match inside it.
    """
    names, folders = [], set()
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                folders.add(entry.name)
            elif not has_image_suffix(Path(entry.name)) or entry.is_dir():
                continue
            names.append(entry.name)
    names.sort()

    def matching() -> Iterator[tuple[Path, bool, set[int]]]:
        whole = len(parts)
        for name in names:
            matched = {whole} if whole in open_parts else _matched(name, open_parts, parts)
            if matched and (name in folders or whole in matched):
                yield folder / name, name in folders, matched

    return matching()


def _matched(name: str, open_parts: set[int], parts: tuple[str, ...]) -> set[int]:
    """Return which parts of a pattern may match inside `name`; len(parts) if it matches whole.

    As in a shell, a hidden name is matched only by a part that begins with a dot.
    """
    matched = set()
    for number in open_parts:
        part = parts[number]
        if name.startswith(".") and not part.startswith("."):
            continue
        if part == "**":
            matched.add(number)
        elif fnmatch(name, part):
            matched.add(number + 1)
    return _with_next_folders(matched, parts)


def _with_next_folders(numbers: set[int], parts: tuple[str, ...]) -> set[int]:
    """Add the parts behind each `**`, which may also stand for no folder at all."""
    for number in sorted(numbers):
        while number < len(parts) and parts[number] == "**":
            number += 1
            numbers.add(number)
    return numbers


def _with_places_of_their_own(photos: Iterable[Photo | None]) -> Iterator[Photo | None]:
    taken: set[str] = set()
    highest: dict[str, int] = {}
    for photo in photos:
        if photo is None:
            yield None
            continue
        place, inner = photo.inner, photo.inner
        if str(inner) in taken:
            for number in count(highest.get(str(place), 1) + 1):
                inner = place.with_name(f"{place.stem}-{number}{place.suffix}")
                if str(inner) not in taken:
                    highest[str(place)] = number
                    break
        taken.add(str(inner))
        yield Photo(photo.path, inner)
