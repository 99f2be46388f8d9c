"""Decoded images on disk: every file is decoded once, then read as one memory-mapped array."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from emodetect.errors import DataError, ImageError
from emodetect.preprocessing import Color, channels_of, read_image, to_input
from emodetect.progress import track

FORMAT = 1  # raise it when the stored pixels change, so that older caches are not used


@dataclass(frozen=True)
class SkippedFile:
    """A file that could not be used, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class ImageCache:
    """The decoded images of a list of files, without those that could not be decoded.

    `images` is (n, size, size, channels) uint8, memory-mapped; `rows` gives for each of them
    the position of its file in the list; `digests` holds a hash of each one's pixels.
    """

    images: np.ndarray
    rows: np.ndarray
    digests: np.ndarray
    skipped: tuple[SkippedFile, ...]


def cache_root(configured: Path | None) -> Path:
    """Return the folder of all caches: the configured one, else one in the user's cache."""
    if configured is not None:
        return configured
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "emodetect"


@contextmanager
def publish(folder: Path) -> Iterator[Path]:
    """Give an unfinished folder to fill, which becomes `folder` in one step at the end.

    A process killed half way leaves nothing at `folder`; of two processes that fill it at
    once, the first wins and the other's work is dropped.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=f"{folder.name}.", dir=folder.parent))
    except OSError as error:
        raise DataError(
            f"{folder.parent}: cannot write the cache: {error.strerror}; name another folder "
            "with data.cache_dir in a config, or with the variable XDG_CACHE_HOME."
        ) from None
    try:
        yield unfinished
        try:
            unfinished.rename(folder)
        except OSError:
            if not folder.is_dir():
                raise
    except OSError as error:
        raise DataError(
            f"{folder}: writing the cache failed: {error.strerror}; free some space, or name "
            "another folder with data.cache_dir in a config or the variable XDG_CACHE_HOME."
        ) from None
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def load_images(
    paths: Sequence[Path], *, size: int, color: Color, cache_dir: Path | None
) -> ImageCache:
    """Return the decoded images of `paths`, from the cache or decoded now, in parallel.

    The cache is keyed by each file's path, size and time of change, and by the settings, so
    moved or changed files are decoded anew.
    """
    folder = cache_root(cache_dir) / f"images-{_key(paths, size, color)}"
    shape = (size, size, channels_of(color))
    if not _is_complete(folder, shape):
        shutil.rmtree(folder, ignore_errors=True)
        with publish(folder) as unfinished:
            _decode_all(paths, unfinished, size=size, color=color)
    rows, digests, skipped = _read_index(folder)
    return ImageCache(_open_images(folder, shape), rows, digests, skipped)


def _read_index(folder: Path) -> tuple[np.ndarray, np.ndarray, tuple[SkippedFile, ...]]:
    # Opened here, because np.load leaves a damaged file open.
    with (folder / "index.npz").open("rb") as file, np.load(file) as index:
        rows, digests = index["rows"], index["digests"]
    skipped = json.loads((folder / "skipped.json").read_text(encoding="utf-8"))
    return rows, digests, tuple(SkippedFile(**entry) for entry in skipped)


def _open_images(folder: Path, shape: tuple[int, int, int]) -> np.ndarray:
    file = folder / "images.bin"
    if file.stat().st_size == 0:
        return np.empty((0, *shape), np.uint8)
    return np.memmap(file, np.uint8, mode="r").reshape(-1, *shape)


def _is_complete(folder: Path, shape: tuple[int, int, int]) -> bool:
    try:
        rows, _, _ = _read_index(folder)
        return (folder / "images.bin").stat().st_size == len(rows) * int(np.prod(shape))
    except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile):
        return False


def _key(paths: Sequence[Path], size: int, color: Color) -> str:
    digest = hashlib.sha256(f"{FORMAT} {size} {color}".encode())
    for path in paths:
        try:
            status = path.stat()
            state = f"{status.st_size} {status.st_mtime_ns}"
        except OSError:  # reading it will say what is wrong with it
            state = "unreadable"
        digest.update(os.fsencode(f"\n{path.absolute()} {state}"))
    return digest.hexdigest()[:24]


def _decode_all(paths: Sequence[Path], folder: Path, *, size: int, color: Color) -> None:
    def decode(path: Path) -> np.ndarray | str:
        try:
            return to_input(read_image(path), size=size, color=color)
        except ImageError as error:
            return str(error)

    rows: list[int] = []
    digests: list[str] = []
    skipped: list[dict[str, str]] = []
    # Plain writes, not a memory map: on a full disk a map dies by a signal, a write says why.
    with (folder / "images.bin").open("wb") as file, ThreadPoolExecutor() as pool:
        decoded = _bounded_map(pool, decode, paths)
        for row, result in enumerate(track(decoded, description="decoding", total=len(paths))):
            if isinstance(result, str):
                skipped.append({"path": str(paths[row]), "reason": result})
                continue
            file.write(result.tobytes())
            rows.append(row)
            digests.append(hashlib.blake2b(result.tobytes(), digest_size=16).hexdigest())
    np.savez(
        folder / "index.npz",
        rows=np.array(rows, np.int64),
        digests=np.array(digests, "U32"),
    )
    (folder / "skipped.json").write_text(json.dumps(skipped), encoding="utf-8")


def _bounded_map(
    pool: ThreadPoolExecutor, decode: Callable[[Path], np.ndarray | str], paths: Sequence[Path]
) -> Iterator[np.ndarray | str]:
    # pool.map would queue every file at once and hold all results that are not yet written.
    for start in range(0, len(paths), 1024):
        yield from pool.map(decode, paths[start : start + 1024])
