"""Data sets as users name them: SOURCE:PATH, or a path whose source is recognised."""

from __future__ import annotations

import difflib
import io
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from pathlib import Path

from emodetect.config import SEARCHED, DataConfig, Faces, validate_data
from emodetect.data.labels import split_named
from emodetect.data.readers.affectnet import affectnet_folder
from emodetect.data.readers.ckplus import ckplus_folder, refuse_half
from emodetect.data.readers.ferplus import VOTES_FILE
from emodetect.data.readers.folder import has_class_folders, is_emotion
from emodetect.data.readers.raf_db import LIST as RAF_DB_LIST
from emodetect.data.readers.raf_db import raf_db_folder
from emodetect.data.readers.registry import READERS, refuse_no_table
from emodetect.data.readers.tfrecord import SUFFIX
from emodetect.emotions import EMOTIONS
from emodetect.errors import DataError
from emodetect.images.folders import has_direct_photos, levels_below, levels_from
from emodetect.images.formats import has_image_suffix, why_no_table
from emodetect.machine.csv_files import csv_rows, open_csv, spelt_as
from emodetect.machine.terminal_text import quoted

# The sources that a folder or a file can be.
FOLDERS = ("folder", "raf_db", "affectnet", "ckplus", "ferplus", "tfrecord")
FILES = ("manifest", "fer2013_csv", "ferplus", "tfrecord")
# A header is shorter; a file without line breaks may have any size.
LONGEST_HEADER = 2**16
SHOWN_FOLDERS = SHOWN_LISTS = 3  # of other names


@dataclass(frozen=True)
class NamedData:
    """A data set as users name it, SOURCE:PATH: the reader's name, and the path that it reads.

    The path is empty for drawn faces (`synthetic`).
    """

    source: str
    path: str

    def __str__(self) -> str:
        return f"{self.source}:{self.path}"

    @property
    def searched_folder(self) -> Path | None:
        """As `DataConfig.searched_folder`."""
        return Path(self.path) if self.source in SEARCHED else None


def find_data(
    text: str | os.PathLike[str], *, option: str, among: Collection[str] | None = None
) -> NamedData:
    """Return the data set that SOURCE:PATH or a PATH alone names.

    Only the name of a source before a colon counts as SOURCE, so `C:\\faces` and `a:b/faces` are
    paths. The source of a PATH alone is told by what is there: class folders, the columns of a CSV
    file, TFRecord shards, or the files of RAF-DB, AffectNet or CK+ as published. FER+ votes next to
    the images make no difference: "ferplus" is only used if it is named.

    Args:
        option: the option or command to name in errors.
        among: the sources that are possible; by default, all of READERS.

    Raises:
        DataError: for a path that does not exist or whose source cannot be told, and for a source
            that is not `among` the possible ones.
    """
    name = os.fspath(text)
    possible = tuple(READERS if among is None else among)
    source, colon, path = name.partition(":")
    if colon and source in READERS:
        if source not in possible:
            raise _not_possible(NamedData(source, path), option, possible)
        if not path and source != "synthetic":
            raise DataError(f"{option}: {name}: expected a path, such as {source}:data/fer2013.")
        return NamedData(source, path)
    if len(possible) == 1:  # there is nothing to tell apart
        return NamedData(possible[0], name)
    if not os.path.exists(name):
        raise DataError(f"{option}: {_missing(name, possible)}")
    place = Path(name)
    try:
        there = _in_folder(place) if place.is_dir() else _in_file(place)
    except DataError as error:
        raise DataError(f"{option}: {error}") from None
    found = [one for one in there if one in possible]
    if there and not found:
        raise _not_possible(NamedData(there[0], name), option, possible)
    of_this_kind = [one for one in (FOLDERS if place.is_dir() else FILES) if one in possible]
    if among is not None and not there and of_this_kind:  # its reader says what is missing
        found = of_this_kind[:1]
    if len(found) != 1:
        why = _why_unclear_folder if place.is_dir() else _why_unclear_file
        raise DataError(f"{option}: {name}: {why(place, found)}")
    return NamedData(found[0], name)


def config_of(
    data: NamedData,
    *,
    faces: Faces | None = None,
    label_names: Mapping[str, str] | None = None,
    classes: Sequence[str] | None = None,
    own_labels: bool = False,
) -> DataConfig:
    """Return the config of a data set with these settings.

    Raises ConfigError for settings that the source does not take.
    """
    values = {
        "source": data.source,
        "path": data.path,
        "faces": faces,
        "labels": "own" if own_labels else None,
        "label_names": dict(label_names or {}),
        "classes": list(classes or ()),
    }
    return validate_data({key: value for key, value in values.items() if value}, origin=str(data))


def _not_possible(data: NamedData, option: str, possible: Sequence[str]) -> DataError:
    return DataError(
        f"{option}: expected PATH or {_choices(possible, 'PATH')}, got {data}; first make class "
        f"folders of it: emodetect data convert {quoted(str(data))} FOLDER --to folder (with "
        "--label-name or --own-labels, if it needs them)."
    )


def _choices(sources: Sequence[str], path: str) -> str:
    return " or ".join(f"{source}:{path}" for source in sources)


def _missing(name: str, possible: Sequence[str]) -> str:
    source, colon, path = name.partition(":")
    near = difflib.get_close_matches(source.lower().replace("-", "_"), possible, n=1)
    hint = f" Did you mean {near[0]}:{path}?" if near and colon else ""
    if name in possible:
        hint = f" Did you mean {name}:{'' if name == 'synthetic' else 'PATH'}?"
    return (
        f"{name or 'an empty path'}: no such file or folder; expected PATH, or SOURCE:PATH such as "
        f"folder:data/fer2013 (sources: {', '.join(possible)}).{hint}"
    )


def _in_folder(root: Path) -> list[str]:
    """Return the sources whose files a folder contains."""
    sorted_by_emotion = has_class_folders(root)
    # All folders of a million images take long to list.
    levels = [[root]] if sorted_by_emotion else list(levels_from(root))
    found = [
        source
        for source, there in (
            ("folder", sorted_by_emotion),
            ("raf_db", raf_db_folder(levels)),
            ("affectnet", affectnet_folder(levels)),
            ("ckplus", ckplus_folder(levels)),
            ("tfrecord", any(path.suffix == SUFFIX for path in root.iterdir())),
        )
        if there
    ]
    if not found and _has_own_class_folders(root):
        return ["folder"]
    if not found:
        refuse_half(root, levels)
    return found


def _has_own_class_folders(root: Path) -> bool:
    """Return whether folders of images lie side by side that are not splits.

    What numbers mean depends on the source, so they do not count.
    """
    for level in levels_below(root):
        for _, side_by_side in groupby(level, key=lambda folder: folder.parent):
            others = [
                one
                for one in side_by_side
                if split_named(one.name) is None and not one.name.isdigit()
            ]
            if len(list(islice(filter(has_direct_photos, others), 2))) == 2:
                return True
    return False


def _numbered_folders(root: Path) -> set[str]:
    """Return the names of the folders nearest to `root` that are named by a number."""
    for level in levels_below(root):
        if numbers := {folder.name for folder in level if folder.name.isdigit()}:
            return numbers
    return set()


def _why_unclear_folder(root: Path, found: Sequence[str]) -> str:
    if found:
        return f"contains the files of several sources; say which: {_choices(found, str(root))}."
    if numbers := _numbered_folders(root):
        sources = [
            *(["raf_db"] if numbers <= set("1234567") else []),
            *(["affectnet"] if numbers <= {*"0123456789", "10"} else []),
        ]
        return (
            "its class folders are numbers, which mean other emotions in each data set; say which: "
            f"{_choices([*sources, 'folder'], str(root))} (folder needs a name for each number: "
            'data.label_names, or --label-name 3=happy; or data.labels = "own").'
        )
    if is_emotion(root.resolve().name):
        return f"is a class folder itself; name the folder that contains it: {root.parent}."
    files = sorted(path for path in root.iterdir() if path.is_file())
    lists = [path for path in files if path.suffix.lower() == ".csv" and path.name != VOTES_FILE]
    if any(map(_is_affectnet_list, lists)):
        return f"contains lists of AffectNet; name its folder: {_affectnet_of(lists[0])}."
    if lists:
        return (
            "contains no class folders; if a list names its images, use that: "
            f"{' or '.join(map(str, lists[:SHOWN_LISTS]))}."
        )
    photos = any(map(has_image_suffix, files))
    if photos and any((folder / VOTES_FILE).is_file() for folder in (root, root.parent)):
        return f"contains no class folders; for the FER+ votes in {VOTES_FILE}, say ferplus:{root}."
    below = [folder for level in levels_below(root) for folder in level]
    with_photos = [folder for folder in below if has_direct_photos(folder)]
    others = [folder.name for folder in with_photos if split_named(folder.name) is None]
    missing = f"no folders named after emotions ({', '.join(EMOTIONS)})"
    if with_photos and not others:
        names = ", ".join(dict.fromkeys(folder.name for folder in with_photos))
        lists = sorted(with_photos[0].glob("*.csv"))
        made = f", made from {lists[0]} and its like" if lists else ""
        return (
            f"contains images in {names}, but {missing} in there; list them in a CSV with the "
            f"columns path, label and split{made}."
        )
    if not photos and not others:
        inside = "has no images" if below or files else "is empty"
        return f"{inside}: {missing}, and no {SUFFIX} files."
    if not others:
        return (
            f"contains images but {missing}; sort them into such folders, or list them in a CSV "
            "with the columns path and label (and person, if there are several of one)."
        )
    more = f" and {len(others) - SHOWN_FOLDERS:,} more" if len(others) > SHOWN_FOLDERS else ""
    return (
        f"contains {missing}, but images in {', '.join(others[:SHOWN_FOLDERS])}{more}; for labels "
        f"of your own, say folder:{root} with --own-labels; for emotions by other names, say "
        f"folder:{root} with --label-name {quoted(others[0])}=EMOTION for each; for labels in "
        f"file names, list the images in a CSV with the columns path and label; for another source,"
        f" SOURCE:{root} ({', '.join(FOLDERS)})."
    )


def _in_file(path: Path) -> list[str]:
    """Return the sources that read a file: by its suffix, or by the columns of a CSV."""
    if SUFFIX in path.name.lower():
        return ["tfrecord"]
    try:
        refuse_no_table(path)
        columns = {name.lower() for name in _columns(path)}
    except DataError as error:
        unknown = _is_binary(path) and not why_no_table(path)
        got = str(path) if unknown else f"another file: {error}"
        expected = f"expected a folder, a CSV or a {SUFFIX} file"
        raise DataError(f"{expected}, got {got.rstrip('.')}.") from None
    return [
        source
        for source, needed in (("manifest", {"path", "label"}), ("fer2013_csv", {"pixels"}))
        if needed <= columns
    ]


def _is_affectnet_list(path: Path) -> bool:
    try:
        return "subDirectory_filePath" in _columns(path)
    except DataError:
        return False


def _affectnet_of(path: Path) -> str:
    """Return the data set that a list belongs to, as it is named; its folder if none is found."""
    parents = path.absolute().parents[:2]
    return quoted(f"affectnet:{affectnet_folder([[one] for one in parents]) or parents[0]}")


def _is_binary(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return b"\0" in file.read(LONGEST_HEADER)
    except OSError:
        return False


def _columns(path: Path) -> list[str]:
    """Return the names in the header of a CSV file."""
    known = ("path", "label", "emotion", "pixels", "Image name", "subDirectory_filePath")
    with open_csv(path) as file:
        start = io.StringIO(file.read(LONGEST_HEADER), newline="")
        return [name.strip() for name in spelt_as(next(csv_rows(start, known), []), known)]


def _why_unclear_file(path: Path, found: Sequence[str]) -> str:
    columns = _columns(path)
    if "Image name" in columns:
        return "contains votes, but no images; name these: ferplus:fer2013.csv, or ferplus:FOLDER."
    if "subDirectory_filePath" in columns:
        return f"is a list of AffectNet; name its folder: {_affectnet_of(path)}."
    if len(found) > 1:
        return f"fits several sources; say which it is: {_choices(found, str(path))}."
    if path.name == RAF_DB_LIST.name:
        folder = path.absolute().parent.parent
        return f"is RAF-DB's list; name its folder: {quoted(f'raf_db:{folder}')}."
    if any(has_image_suffix(Path(cell.split()[0])) for cell in columns if cell.strip()):
        return (
            f"has no header: its first line is {', '.join(columns)[:200]!r}. Add a line that names "
            "its columns, such as path,label, and separate the values by commas."
        )
    return (
        "expected a CSV with the columns path and label (manifest) or emotion and pixels "
        f"(fer2013_csv), got the first line {', '.join(columns)[:200] or 'nothing'!r}; rename its "
        "columns."
    )
