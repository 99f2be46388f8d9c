"""Find the photos to analyse in files, folders, patterns and lists.

No function keeps all paths at once: memory use depends on the largest folder only.
"""

from __future__ import annotations

import codecs
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from fnmatch import fnmatch
from itertools import count
from pathlib import Path

from emodetect.errors import EmodetectError
from emodetect.images.folders import is_folder_entry
from emodetect.images.formats import (
    LINKED_FOLDER,
    SYSTEM_FILE,
    has_image_suffix,
    is_junk,
    why_not_read,
)
from emodetect.recognition.photos.analysis import Photo, is_pattern, written_place

# As an argument: the list on standard input.
LIST = Path("-")
BYTES_AT_ONCE = 65536  # of a list; longer than any path


def find_photos(
    named: Iterable[Path],
    *,
    listed: Iterable[Path | None] = (),
    leave_out: Iterable[Path | None] = (),
    not_read: Counter[str] | None = None,
) -> Iterator[Photo | None]:
    """Yield the given files, and the images inside the given folders, recursively and sorted.

    A path that does not exist and contains `*`, `?` or `[` is a pattern, in which `**` matches
    folders at any depth. It yields the matching images and the images in matching folders.

    A folder that is unreadable or has no images, and a pattern without matches, are yielded
    themselves, so that they end as errors instead of being skipped silently. Symbolic links to
    folders inside a folder are not followed. What `is_junk` names is left out wherever it is.

    Args:
        named: files, folders and patterns; `-` stands for the files and folders in `listed`.
        listed: see `names_on_stdin`. Its None is yielded too, and one before an error.
        leave_out: folders not to search, and files that are not photos but results of this run
            or an earlier one.
        not_read: gets the number of files that were found and not yielded, by kind, so that both
            together are all files of the searched folders that match; see `why_not_read`.

    Raises:
        EmodetectError: if a given folder is also in `leave_out`, or the list is empty.
    """
    named = list(named)
    closed = {os.path.realpath(path) for path in leave_out if path is not None}
    for path in named:
        _check_not_closed(path, closed)
    return _Search(closed, not_read).photos_of_all(named, listed)


def names_on_stdin(*, null: bool) -> Iterator[str | None]:
    """Return the lines of the list on standard input; see `listed_names`.

    Args:
        null: whether each ends with a NUL.

    Raises:
        EmodetectError: if standard input is closed.
    """
    if sys.stdin is None:  # closed by the program that started this one
        raise EmodetectError("-: standard input is closed; expected a list of paths on it.")
    return listed_names(sys.stdin.fileno(), separator=b"\0" if null else b"\n")


def listed_names(
    descriptor: int, *, name: Path | str = "-", separator: bytes = b"\n"
) -> Iterator[str | None]:
    """Yield the lines of a list as they arrive, and None when the next may take a while.

    Args:
        descriptor: an open file, pipe or terminal.
        name: of the list, for errors.
        separator: the end of each path: b"\\n" or b"\\0". Empty lines are skipped, also those
            that end with CR LF: as a path, they would be the current folder.

    Raises:
        EmodetectError: if the input is not a list of paths.
    """
    rest, first = b"", True
    while data := os.read(descriptor, BYTES_AT_ONCE):
        if first:
            # Without a NUL, it is an odd name of Linux.
            if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) and b"\0" in data[2:4]:
                raise EmodetectError(f"{name}: expected a list of paths in UTF-8, got UTF-16.")
            if separator == b"\n":
                data = data.removeprefix(codecs.BOM_UTF8)
            first = False
        *lines, rest = (rest + data).split(separator)
        yield from (path for line in lines if (path := _listed_name(line, name, separator)))
        if len(rest) > BYTES_AT_ONCE:
            ends = "one per line or ended by NUL (-0)" if name == "-" else "one per line"
            raise EmodetectError(f"{name}: expected a list of paths, {ends}; got a longer line.")
        yield None
    if path := _listed_name(rest, name, separator):
        yield path


def _listed_name(line: bytes, name: Path | str, separator: bytes) -> str:
    if b"\0" in line:
        hint = "; add -0 if paths end with NUL" if name == "-" else ""
        raise EmodetectError(f"{name}: expected one path per line, got a NUL byte{hint}.")
    try:
        return os.fsdecode(line.removesuffix(b"\r") if separator == b"\n" else line)
    except UnicodeDecodeError:  # on Windows; elsewhere, file names may be any bytes
        raise EmodetectError(f"{name}: expected a list of paths in UTF-8, got {line!r}.") from None


class _Search:
    """A search of files and folders.

    Args:
        closed: the real paths of what is left out; see `find_photos`.
        not_read: see `find_photos`; None to not look at what the other files are.
    """

    def __init__(self, closed: set[str], not_read: Counter[str] | None) -> None:
        self.closed, self.not_read = closed, not_read
        self.closed_names = set(map(os.path.basename, closed))

    def photos_of_all(
        self, named: list[Path], listed: Iterable[Path | None]
    ) -> Iterator[Photo | None]:
        try:
            for path in named:
                yield from self._photos_of_argument(path, listed)
        except EmodetectError:
            yield None  # release the results of earlier photos; no further photo will come
            raise

    def _photos_of_argument(
        self, path: Path, listed: Iterable[Path | None]
    ) -> Iterator[Photo | None]:
        if path == LIST:
            empty = True
            for entry in listed:
                if entry is None:
                    yield None
                    continue
                empty = False
                _check_not_closed(entry, self.closed)
                yield from self._photos_of(entry)
            if empty:
                raise EmodetectError(
                    "-: the list on standard input is empty; expected paths of photos, one per "
                    "line."
                )
        elif is_pattern(path):
            yield from self._photos_like(path)
        else:
            yield from self._photos_of(path)

    def _photos_of(self, path: Path) -> Iterator[Photo]:
        itself = Photo(path, Path(path.name or "photo"))
        if is_junk(path.name):  # as a shell's pattern or `find` names it
            self._count_junk(path)
            return
        if not os.path.isdir(path):
            yield itself
            return
        empty = True
        for file in self._images_below(path, ()):
            empty = False
            yield itself if file == path else Photo(file, file.relative_to(path))
        if empty:
            yield itself

    def _photos_like(self, pattern: Path) -> Iterator[Photo]:
        parts = pattern.parts
        fixed = next(n for n in range(len(parts)) if is_pattern(Path(*parts[: n + 1])))
        folder = Path(*parts[:fixed])
        empty = True
        if os.path.isdir(folder):
            for file in self._images_below(folder, parts[fixed:]):
                empty = False
                yield Photo(file, Path(file.name) if file == folder else file.relative_to(folder))
        if empty:
            yield Photo(pattern, Path("photo"))

    def _images_below(self, folder: Path, parts: tuple[str, ...]) -> Iterator[Path]:
        """Yield the images in a folder that match the parts of a pattern, sorted.

        Without parts, all match. Folders that cannot be read are yielded too.
        """
        levels = [iter([(folder, True, _with_next_folders({0}, parts))])]
        while levels:
            for path, is_folder, matched in levels[-1]:
                if not is_folder:
                    yield path
                    continue
                if self.closed and os.path.realpath(path) in self.closed:
                    continue
                try:
                    levels.append(self._matching_entries(path, matched, parts))
                except OSError:
                    yield path
                    continue
                break
            else:
                levels.pop()

    def _matching_entries(
        self, folder: Path, open_parts: set[int], parts: tuple[str, ...]
    ) -> Iterator[tuple[Path, bool, set[int]]]:
        """Return the images and folders in a folder, sorted.

        Each comes with whether it is a folder, and which parts of the pattern may match inside it.
        """
        names, folders, others = [], set(), []
        with os.scandir(folder) as entries:
            for entry in entries:
                if is_junk(entry.name):
                    others.append(entry.name)
                    continue
                if entry.is_dir(follow_symlinks=False):
                    folders.add(entry.name)
                elif not has_image_suffix(Path(entry.name)) or is_folder_entry(entry):
                    others.append(entry.name)
                    continue
                names.append(entry.name)
        names.sort()

        def matching() -> Iterator[tuple[Path, bool, set[int]]]:
            whole = len(parts)
            for name in names:
                matched = {whole} if whole in open_parts else _matched(name, open_parts, parts)
                if matched and (name in folders or whole in matched):
                    yield folder / name, name in folders, matched
            for name in others:
                if whole in open_parts or whole in _matched(name, open_parts, parts):
                    self._count(folder / name)

        return matching()

    def _count(self, path: Path) -> None:
        if is_junk(path.name):
            self._count_junk(path)
        elif self.not_read is not None and not self._is_closed(path):
            folder = os.path.isdir(path)
            self.not_read[LINKED_FOLDER if folder else why_not_read(path)] += 1

    def _is_closed(self, path: Path) -> bool:
        # By its name first, because a real path takes longer than all else.
        return path.name in self.closed_names and os.path.realpath(path) in self.closed

    def _count_junk(self, path: Path) -> None:
        if self.not_read is not None:
            below = sum(len(files) for _, _, files in os.walk(path))
            self.not_read[SYSTEM_FILE] += below if os.path.isdir(path) else 1


def _check_not_closed(path: Path, closed: set[str]) -> None:
    if closed and os.path.isdir(path) and os.path.realpath(path) in closed:
        raise EmodetectError(
            f"{path}: is both searched for photos and written to; choose another output folder."
        )


def matches(names: Iterable[str], parts: tuple[str, ...]) -> bool:
    """Return whether the names of a path, folders first, match the parts of a pattern."""
    open_parts = _with_next_folders({0}, parts)
    for name in names:
        open_parts = _matched(name, open_parts, parts)
    return len(parts) in open_parts


def _matched(name: str, open_parts: set[int], parts: tuple[str, ...]) -> set[int]:
    """Return which parts of a pattern may match inside `name`; len(parts) for a full match.

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
    """Add the parts after each `**`, which can also match no folder at all."""
    for number in sorted(numbers):
        while number < len(parts) and parts[number] == "**":
            number += 1
            numbers.add(number)
    return numbers


def with_own_places(
    photos: Iterable[Photo | None], *, after: Iterable[Photo] = ()
) -> Iterator[Photo | None]:
    """Yield photos so that the results of no two of them are written to the same files.

    A photo whose results would overwrite those of another, such as one of the same name in a
    different folder, gets a number in its `inner` path. Needs memory for every photo.

    Args:
        after: photos whose results were written earlier; they keep their places.
    """

    def key(place: Path) -> str:
        # To many file systems, a.jpg and A.JPG are one file.
        return str(written_place(place)).casefold()

    taken: set[str] = set()
    highest: dict[str, int] = {}

    def own_place(place: Path) -> Path:
        inner = place
        if key(inner) in taken:
            for number in count(highest.get(key(place), 1) + 1):
                inner = place.with_name(f"{place.stem}-{number}{place.suffix}")
                if key(inner) not in taken:
                    highest[key(place)] = number
                    break
        taken.add(key(inner))
        return inner

    for earlier in after:
        own_place(earlier.inner)
    for photo in photos:
        yield None if photo is None else Photo(photo.path, own_place(photo.inner))
