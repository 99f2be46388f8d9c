"""What runs on the nodes: a recogniser with one thread, which turns photos into rows."""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import cv2

import emodetect
from emodetect.errors import EmodetectError, ImageError
from emodetect.machine.csv_files import printable
from emodetect.machine.threads import bounded_map
from emodetect.recognition.cluster.photo_list import file_sha256
from emodetect.recognition.cluster.remote_files import is_url, read_url
from emodetect.recognition.face_rows import FACE_COLUMNS, csv_face
from emodetect.recognition.photos.analysis import Photo, PhotoOptions, PhotoResult, analyze_photos
from emodetect.recognition.recognizer import EmotionRecognizer

if TYPE_CHECKING:
    import pyarrow as pa

# Requests of a worker that wait for a server at the same time; their photos are held in memory.
URLS_AT_ONCE = 8


@dataclass(frozen=True)
class WorkerSetup:
    """What a worker needs to know.

    Attributes:
        recognizer: the pickled recogniser, which opens its model on the worker's node.
        min_confidence: drop faces below this confidence.
        folder: the folder that relative paths are in.
        version: of emodetect, on the driver.
        model_sha256: of the model's file, on the driver.
        max_pixels: see `PhotoOptions`.
    """

    recognizer: bytes
    min_confidence: float
    folder: str
    version: str
    model_sha256: str
    max_pixels: int


class PhotoWorker:
    """A Ray actor that analyses photos."""

    def __init__(self, setup: WorkerSetup) -> None:
        self.setup = setup
        self.recognizer: EmotionRecognizer | None = None

    def open(self) -> str:
        """Open the recogniser, and return the ID of the node.

        Raises:
            EmodetectError: if emodetect or the model is not the one on the driver. A node may join
                the cluster after all nodes were checked.
        """
        import ray

        cv2.setNumThreads(1)  # the other cores run other workers
        if emodetect.__version__ != self.setup.version:
            raise EmodetectError(
                f"a node has emodetect {emodetect.__version__}, expected {self.setup.version}; "
                "install the same version on all nodes."
            )
        # From the driver, whose code Ray runs here anyway.
        self.recognizer = pickle.loads(self.setup.recognizer)  # nosec B301
        if file_sha256(self.recognizer.path) != self.setup.model_sha256:
            raise EmodetectError(
                f"{self.recognizer.path}: a node has another model there; copy the model to all "
                "nodes."
            )
        return str(ray.get_runtime_context().get_node_id())

    def analyze(self, names: list[str]) -> pa.Table:
        """Return the rows of photos, given as paths and URLs, in order."""
        assert self.recognizer is not None
        with ThreadPoolExecutor(URLS_AT_ONCE) as pool:
            fetched = bounded_map(pool, _fetch, filter(is_url, names), at_once=URLS_AT_ONCE)
            options = PhotoOptions(
                min_confidence=self.setup.min_confidence,
                max_pixels=self.setup.max_pixels,
                fetch=lambda _: _bytes_of(next(fetched)),  # asked for in this order
            )
            photos = (
                Photo(name if is_url(name) else Path(self.setup.folder, name), Path("photo"))
                for name in names
            )
            results = analyze_photos(photos, self.recognizer, options)
            named = (
                replace(result, path=name) for name, result in zip(names, results, strict=True)
            )
            return photo_table(named, self.recognizer.emotions)


def photo_table(results: Iterable[PhotoResult], emotions: tuple[str, ...]) -> pa.Table:
    """Return a row for each face, and one for each photo without a face or with an error.

    The columns are those of the CSV, and `face`: the number of a face in its photo, from 1.
    """
    import pyarrow as pa

    schema = _schema(emotions)
    rows = [row for result in results for row in _rows(result, emotions)]
    columns = zip(*rows, strict=True) if rows else [()] * len(schema)
    return pa.table(
        [pa.array(values, field.type) for values, field in zip(columns, schema, strict=True)],
        schema=schema,
    )


def _rows(result: PhotoResult, emotions: tuple[str, ...]) -> Iterator[list[object]]:
    start = [printable(result.path), result.width, result.height]
    for number, face in enumerate(result.faces, start=1):
        yield [*start, number, *csv_face(face, emotions), None]
    if not result.faces:
        yield [*start, *[None] * (1 + len(FACE_COLUMNS) + len(emotions)), result.error]


def _schema(emotions: tuple[str, ...]) -> pa.Schema:
    import pyarrow as pa

    x, y, width, height, emotion, confidence = FACE_COLUMNS
    whole = ("width", "height", "face", x, y, width, height)
    return pa.schema(
        [
            ("path", pa.string()),
            *((name, pa.int32()) for name in whole),
            (emotion, pa.string()),
            *((name, pa.float64()) for name in (confidence, *emotions)),
            ("error", pa.string()),
        ]
    )


def _fetch(url: str) -> bytes | ImageError:
    try:
        return read_url(url)
    except ImageError as error:
        return error


def _bytes_of(fetched: bytes | ImageError) -> bytes:
    if isinstance(fetched, ImageError):
        raise fetched
    return fetched
