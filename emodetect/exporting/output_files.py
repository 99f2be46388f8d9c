"""Where an export is written: its name, what it may replace, and how it gets there in one step."""

from __future__ import annotations

import stat
from pathlib import Path

from emodetect.errors import EmodetectError
from emodetect.exporting.formats.registry import FORMAT_NAMES, format_named
from emodetect.machine.atomic_files import replace_folder
from emodetect.model_file.shipped_models import RUN_MODEL

SIDECAR_SUFFIX = ".json"
# What the folder of a SavedModel contains; a folder with any other file is never replaced.
SAVED_MODEL_FILES = {"saved_model.pb", "fingerprint.pb", "variables", "assets", "assets.extra"}


def default_out(model: Path, name: str, quantize: str) -> Path:
    """Return MODEL-PRECISION.SUFFIX in the working folder; MODEL-FORMAT for a format of folders.

    MODEL is the run of a run's model, which is called like that of every other run.
    """
    stem = model.resolve().parent.name if model.name == RUN_MODEL else model.stem
    suffix = format_named(name).suffix
    precision = "float32" if quantize == "none" else quantize
    return Path(f"{stem}-{precision}{suffix}" if suffix else f"{stem}-{name}")


def check_out(out: Path, name: str, *, force: bool) -> None:
    """Raise EmodetectError for a path that does not fit the format, or exists without `force`.

    A folder is never replaced, unless it contains a SavedModel and nothing else.
    """
    kind = format_named(name)
    if kind.suffix and out.suffix != kind.suffix:
        raise EmodetectError(
            f"--output: expected a file named *{kind.suffix} for {name}, got {out}."
        )
    suffixes = {format_named(other).suffix for other in FORMAT_NAMES} - {""}
    if not kind.suffix and (out.name in ("", "..") or out.suffix in suffixes):
        raise EmodetectError(f"--output: expected the name of a folder for {name}, got {out}.")
    for path in (out, *map(out.with_suffix, kind.companions), sidecar_of(out)):
        try:
            there = path.lstat()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise EmodetectError(f"{path}: cannot be written: {error.strerror}.") from None
        if stat.S_ISLNK(there.st_mode) and path.is_dir():
            raise EmodetectError(
                f"{path}: is a link to a folder; give the folder itself as --output."
            )
        if stat.S_ISDIR(there.st_mode) and (kind.suffix or path != out or not _is_saved_model(out)):
            raise EmodetectError(
                f"{path}: is a folder with other contents; choose another --output."
            )
        if not kind.suffix and path == out and not stat.S_ISDIR(there.st_mode):
            raise EmodetectError(f"{path}: is a file; choose another --output, for a folder.")
        if not force:
            raise EmodetectError(
                f"{path}: already exists; choose another --output, or add --force to replace it."
            )


def _is_saved_model(folder: Path) -> bool:
    names = {path.name for path in folder.iterdir()}
    return "saved_model.pb" in names and names <= SAVED_MODEL_FILES


def move_into_place(folder: Path, out: Path) -> None:
    """Move the contents of a folder to the folder of `out`, and replace what is there."""
    for file in list(folder.iterdir()):
        replace_folder(file, out.parent / file.name, aside=folder / f"{file.name}.old")


def sidecar_of(out: Path) -> Path:
    """Return the path of the JSON next to an export."""
    return out.with_name(out.name + SIDECAR_SUFFIX)


def files_in(folder: Path) -> list[Path]:
    """Return the files in a folder, at any depth, sorted."""
    return sorted(path for path in folder.rglob("*") if path.is_file())
