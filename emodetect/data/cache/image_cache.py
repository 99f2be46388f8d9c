"""Decoded crops on disk: each image is decoded once, then its crops are read from one file."""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import shutil
import weakref
import zipfile
import zlib
from array import array
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from emodetect.config import DataConfig
from emodetect.data.cache.cache_folder import ANOTHER_FOLDER, publish
from emodetect.data.crops import read_crops
from emodetect.data.listing import Sample, SkippedFile
from emodetect.errors import DataError, ImageError
from emodetect.images.model_input import channels_of, to_input
from emodetect.machine.computer import cache_root
from emodetect.machine.locks import locked
from emodetect.machine.progress import track
from emodetect.machine.quiet_libraries import quiet_libraries
from emodetect.machine.threads import bounded_map

FORMAT = 6  # increase it when the stored content changes, so that older caches are not used
# As much of a cache is compared with its digests whenever it is opened, which takes a second; of a
# larger one, every second block of images or fewer.
CHECKED_BYTES = 2**29
IMAGES_AT_ONCE = 1024
ATTEMPTS = 3  # another process may remove the cache that this one has just written
_loaded_before: set[Path] = set()  # caches that this process has used


class StoredImages:
    """(n, size, size, channels) uint8 in a file, indexed like an array.

    Each access maps the file anew and copies the requested images, so that the memory of the
    process does not grow to the size of the file. The file may be deleted in the meantime.
    """

    def __init__(self, path: Path, shape: tuple[int, int, int]) -> None:
        self._descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        weakref.finalize(self, os.close, self._descriptor)
        self.shape = (os.fstat(self._descriptor).st_size // int(np.prod(shape)), *shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, positions: int | slice | np.ndarray) -> np.ndarray:
        if len(self) == 0:  # an empty file cannot be mapped
            return np.empty(self.shape, np.uint8)[positions]
        mapped = mmap.mmap(self._descriptor, 0, access=mmap.ACCESS_READ)
        return np.array(np.frombuffer(mapped, np.uint8).reshape(self.shape)[positions])


@dataclass(frozen=True)
class ImageCache:
    """The crops of a list of images.

    Attributes:
        images: (n, size, size, channels) uint8, on disk.
        rows: (n,) int64, the position of each crop's image in the list.
        digests: (n,) bytes, a hash of each crop's pixels.
        sides: (n,) int32, the longer side of each crop before resizing, in pixels.
        skipped: images that could not be used.
        skipped_rows: their positions in the list.
        faceless: names of the images in which no face was found.
    """

    images: StoredImages
    rows: np.ndarray
    digests: np.ndarray
    sides: np.ndarray
    skipped: tuple[SkippedFile, ...]
    skipped_rows: tuple[int, ...]
    faceless: tuple[str, ...]


def load_images(
    root: Path, samples: Sequence[Sample], config: DataConfig, *, retry: bool = True
) -> ImageCache:
    """Return the crops of `samples` from the cache; if they are not there, decode them first.

    The cache key includes each file's path, size and modification time, and the settings, so
    moved or changed files are decoded again.

    Args:
        retry: decode all again if one that was skipped can be read now: its permissions, a network
            drive, memory or a missing library may have been the reason. Only when this process
            loads these images first, as those of a run must not change while it lasts.
    """
    folder = cache_root(config.cache_dir) / f"images-{_key(root, samples, config)}"
    shape = (config.image_size, config.image_size, channels_of(config.color))
    retry = retry and folder not in _loaded_before
    _loaded_before.add(folder)
    with quiet_libraries():
        for _ in range(ATTEMPTS):
            cached = _intact(folder, shape)
            if cached is not None:
                skipped = [samples[row] for row in cached.skipped_rows]
                if not (retry and _can_be_read(root, skipped, config)):
                    return cached
            retry = False
            _remove_outdated(folder, shape, cached)
            with publish(folder) as unfinished:
                _decode_all(root, samples, unfinished, config)
    raise DataError(f"{folder}: the cache changes as soon as it is written; {ANOTHER_FOLDER}.")


def _can_be_read(root: Path, skipped: Sequence[Sample], config: DataConfig) -> bool:
    """Return whether any of the images that were skipped can be read now."""

    def can_be_read(sample: Sample) -> bool:
        try:
            read_crops(root, sample, config)
        except ImageError:
            return False
        return True

    if not skipped:
        return False
    with ThreadPoolExecutor() as pool:
        tried = bounded_map(pool, can_be_read, skipped, at_once=IMAGES_AT_ONCE)
        return any(track(tried, description="trying skipped images again", total=len(skipped)))


def _opened(folder: Path, shape: tuple[int, int, int]) -> ImageCache:
    # Opened here, because np.load leaves a damaged file open.
    with (folder / "index.npz").open("rb") as file, np.load(file) as index:
        rows, digests, sides = index["rows"], index["digests"], index["sides"]
    left_out = json.loads((folder / "left_out.json").read_text(encoding="utf-8"))
    return ImageCache(
        images=StoredImages(folder / "images.bin", shape),
        rows=rows,
        digests=digests,
        sides=sides,
        skipped=tuple(SkippedFile(**entry) for entry in left_out["skipped"]),
        skipped_rows=tuple(left_out["skipped_rows"]),
        faceless=tuple(left_out["faceless"]),
    )


def _intact(folder: Path, shape: tuple[int, int, int]) -> ImageCache | None:
    """Return a cache that holds as many images as it should, of which none has changed."""
    try:
        cache = _opened(folder, shape)
        if (folder / "images.bin").stat().st_size != len(cache.rows) * int(np.prod(shape)):
            return None
        step = max(1, -(-len(cache.rows) * int(np.prod(shape)) // CHECKED_BYTES))
        blocks = range(0, len(cache.rows), step * IMAGES_AT_ONCE)
        same = all(
            [pixel_hash(image) for image in cache.images[start : start + IMAGES_AT_ONCE]]
            == cache.digests[start : start + IMAGES_AT_ONCE].tolist()
            for start in blocks
        )
    # Of a damaged archive or array, whatever NumPy and zipfile raise.
    except (
        AttributeError,
        EOFError,
        LookupError,
        OSError,
        RuntimeError,
        TypeError,
        ValueError,
        zipfile.BadZipFile,
        zlib.error,
    ):
        return None
    return cache if same else None


def pixel_hash(image: np.ndarray) -> bytes:
    """Return the hash of an image's pixels, as in `ImageCache.digests`: 32 hexadecimal digits."""
    return hashlib.blake2b(image.tobytes(), digest_size=16).hexdigest().encode()


def _remove_outdated(
    folder: Path, shape: tuple[int, int, int], outdated: ImageCache | None
) -> None:
    if folder.exists():
        # Looked at again under the lock, because another process may have rebuilt it by now.
        with locked(folder.parent, wait=True):
            now = _intact(folder, shape)
            if now is None or (outdated is not None and now.skipped == outdated.skipped):
                shutil.rmtree(folder, ignore_errors=True)


def _key(root: Path, samples: Sequence[Sample], config: DataConfig) -> str:
    settings = (config.image_size, config.color, config.faces, config.faces_per_image)
    margin = config.margin if config.faces == "detect" else None
    digest = hashlib.sha256(f"{FORMAT} {settings} {margin} {root.absolute()}".encode())
    file = state = None
    for sample in samples:
        if sample.file != file:  # the rows of one file are adjacent
            file = sample.file
            try:
                status = os.stat(os.path.join(root, file))  # noqa: PTH116, PTH118  faster
                # With the time of a renaming: archives give all their files the same st_mtime.
                state = f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}"
            except OSError:  # reading it will report why
                state = "unreadable"
        box = "" if sample.box is None else f" {sample.box} {config.margin}"
        digest.update(os.fsencode(f"\n{file} {sample.offset} {state}{box}"))
        if sample.digest is not None:  # so that other pixels than expected are noticed
            digest.update(sample.digest.encode())
    return digest.hexdigest()[:24]


def _decode_all(root: Path, samples: Sequence[Sample], folder: Path, config: DataConfig) -> None:
    def decode(sample: Sample) -> list[tuple[np.ndarray, int]] | ImageError:
        try:
            return [
                (to_input(crop, size=config.image_size, color=config.color), max(crop.shape[:2]))
                for crop in read_crops(root, sample, config)
            ]
        except ImageError as error:
            return error

    rows: list[int] = []
    sides = array("i")
    digests = bytearray()  # not a list: it would take three times the memory
    skipped: list[dict[str, str]] = []
    skipped_rows: list[int] = []
    faceless: list[str] = []
    # Not a memory map: on a full disk a map kills the process, a write raises an error.
    with (folder / "images.bin").open("wb") as file, ThreadPoolExecutor() as pool:
        decoded = bounded_map(pool, decode, samples, at_once=IMAGES_AT_ONCE)
        for row, result in enumerate(track(decoded, description="decoding", total=len(samples))):
            if isinstance(result, ImageError):
                skipped.append({"path": _place(root, samples[row]), "reason": str(result)})
                skipped_rows.append(row)
                continue
            if not result:
                faceless.append(samples[row].name)
            for crop, side in result:
                file.write(crop.tobytes())
                rows.append(row)
                sides.append(side)
                digests += pixel_hash(crop)
    np.savez(
        folder / "index.npz",
        rows=np.array(rows, np.int64),
        digests=np.frombuffer(digests, "S32"),
        sides=np.array(sides, np.int32),
    )
    left_out = {"skipped": skipped, "skipped_rows": skipped_rows, "faceless": faceless}
    (folder / "left_out.json").write_text(json.dumps(left_out), encoding="utf-8")


def _place(root: Path, sample: Sample) -> str:
    return sample.name if sample.offset is not None else str(root / sample.file)
