"""Analyse images for many requests at once: threads find the faces, all share one model."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from copy import copy
from dataclasses import dataclass, replace

import cv2
import numpy as np

from emodetect.errors import ImageError
from emodetect.faces.boxes import Box
from emodetect.faces.detectors.whole_image import WholeImage
from emodetect.images.reading import BoundedImage, decode_bounded
from emodetect.images.resizing import reduced
from emodetect.machine.computer import usable_cores
from emodetect.recognition.face import Face
from emodetect.recognition.photos.analysis import PhotoResult
from emodetect.recognition.recognizer import EmotionRecognizer, EmotionTracker
from emodetect.serve.batching import BatchingRuntime
from emodetect.serve.limits import (
    SECONDS_BEFORE_REFUSAL,
    DecodingMemory,
    Limits,
    RefusedError,
)
from emodetect.serve.uploads import Upload

# The width or height of a preview in pixels, whichever is larger: a few hundred kilobytes.
PREVIEW_SIDE = 1280
PREVIEW_QUALITY = 80


@dataclass(frozen=True)
class AnalyzedImage:
    """An image's result.

    Attributes:
        preview: a JPEG of the image, upright and of at most PREVIEW_SIDE pixels a side; None if it
            was not asked for, or if the image could not be read.
    """

    result: PhotoResult
    preview: bytes | None = None


@dataclass(frozen=True)
class _Found:
    """An image and its faces, not yet classified.

    Attributes:
        boxes: in pixels of the whole image.
        inputs: (n, size, size, channels) float32.
        preview: see `AnalyzedImage`.
    """

    width: int
    height: int
    boxes: list[Box]
    inputs: np.ndarray
    preview: bytes | None


class Analysis:
    """Analyses encoded images for many requests at once, each image in one of its threads.

    Args:
        recognizer: must not be used elsewhere afterwards.
        workers: threads that decode images and find faces; the number of cores, at most 8, if
            None. Limits OpenCV to one core per thread, in the whole process.
    """

    def __init__(
        self, recognizer: EmotionRecognizer, limits: Limits, *, workers: int | None = None
    ) -> None:
        self.limits = limits
        # Two images in parallel on one core each are faster than one after the other on two.
        cv2.setNumThreads(1)
        self.model = BatchingRuntime(recognizer.runtime)
        self.recognizer = copy(recognizer)
        self.recognizer.runtime = self.model
        self.for_crops = copy(self.recognizer)
        self.for_crops.detector = WholeImage()
        self.pool = ThreadPoolExecutor(workers or min(usable_cores(), 8), "analysis")
        self.memory = DecodingMemory(limits.decoding_bytes)
        self.taken_on = 0  # images of all requests; only used on the event loop

    def close(self) -> None:
        """Finish the images in the queue, and stop the threads."""
        self.pool.shutdown()
        self.model.close()

    async def photos(self, uploads: Sequence[Upload]) -> list[AnalyzedImage]:
        """Return the faces in photos, in order. Raises as `crops`."""
        return await self._analyze(uploads, self.recognizer)

    async def previewed_photo(self, uploads: Sequence[Upload]) -> list[AnalyzedImage]:
        """Return the faces in one photo, with a preview of it.

        Raises RefusedError for several photos, whose previews together would take too much memory
        until a slow client has read them; and as `crops`.
        """
        if len(uploads) > 1:
            raise RefusedError(
                400, f"expected one image with preview=true, got {len(uploads)}; send each alone"
            )
        return await self._analyze(uploads, self.recognizer, preview=True)

    async def crops(self, uploads: Sequence[Upload]) -> list[AnalyzedImage]:
        """Return the emotions of images that are one face each, in order.

        Raises RefusedError if the queue is full, or if the analysis takes too long.
        """
        return await self._analyze(uploads, self.for_crops)

    def tracker(self) -> EmotionTracker:
        """Return a tracker for the faces of one stream."""
        return EmotionTracker(self.recognizer)

    async def frame(self, tracker: EmotionTracker, data: bytes, time_s: float) -> PhotoResult:
        """Return the faces in the next frame of a stream, as in a photo without a name.

        Frames do not count towards the queue.

        Args:
            time_s: when it arrived, in seconds since any moment.
        """
        return await asyncio.wrap_future(self.pool.submit(self._track, tracker, data, time_s))

    async def _analyze(
        self, uploads: Sequence[Upload], recognizer: EmotionRecognizer, *, preview: bool = False
    ) -> list[AnalyzedImage]:
        if self._is_full(uploads):
            await asyncio.sleep(SECONDS_BEFORE_REFUSAL)
            if self._is_full(uploads):
                raise RefusedError(503, "the queue is full; try again later")
        self.taken_on += len(uploads)
        loop = asyncio.get_running_loop()
        found = [
            self.pool.submit(self._find, upload.data, recognizer, preview) for upload in uploads
        ]
        try:
            async with asyncio.timeout(self.limits.seconds):
                return await asyncio.gather(
                    *(
                        self._result(upload.name, asyncio.wrap_future(one), recognizer)
                        for upload, one in zip(uploads, found, strict=True)
                    )
                )
        except TimeoutError:
            raise RefusedError(
                503, f"not finished within {self.limits.seconds:g} s; try again later"
            ) from None
        finally:
            # A thread may still be working for a request that has ended.
            for one in found:
                one.cancel()
                one.add_done_callback(lambda _: loop.call_soon_threadsafe(self._forget_one))

    def _is_full(self, uploads: Sequence[Upload]) -> bool:
        return self.taken_on + len(uploads) > self.limits.queue

    def _forget_one(self) -> None:
        self.taken_on -= 1

    @contextmanager
    def _decoded(self, data: bytes) -> Iterator[BoundedImage]:
        """Yield an image, whose memory is reserved as long as its faces are searched, too."""
        with ExitStack() as held:

            def reserve(size: int) -> AbstractContextManager[None]:
                held.enter_context(self.memory.hold(size))
                return nullcontext()

            yield decode_bounded(data, most=self.limits.pixels, reserve=reserve)

    def _find(self, data: bytes, recognizer: EmotionRecognizer, preview: bool) -> _Found:
        with self._decoded(data) as image:
            boxes = recognizer.detect(image.pixels)
            inputs = [recognizer.input_of(image.pixels, box) for box in boxes]
            return _Found(
                image.width,
                image.height,
                [_in_whole(box, image) for box in boxes],
                np.array(inputs, np.float32),
                _preview(image.pixels) if preview else None,
            )

    async def _result(
        self, name: str, finding: asyncio.Future[_Found], recognizer: EmotionRecognizer
    ) -> AnalyzedImage:
        try:
            found = await finding
        except ImageError as error:
            return AnalyzedImage(PhotoResult(name, error=str(error)))
        faces: tuple[Face, ...] = ()
        if found.boxes:
            outputs = await asyncio.wrap_future(self.model.submit(found.inputs))
            faces = tuple(recognizer.faces(found.boxes, recognizer.probabilities(outputs)))
        return AnalyzedImage(PhotoResult(name, found.width, found.height, faces), found.preview)

    def _track(self, tracker: EmotionTracker, data: bytes, time_s: float) -> PhotoResult:
        try:
            with self._decoded(data) as image:
                faces = tracker.update(image.pixels, time_s)
                whole = tuple(replace(face, box=_in_whole(face.box, image)) for face in faces)
                return PhotoResult("", image.width, image.height, whole)
        except ImageError as error:
            return PhotoResult("", error=str(error))


def _preview(pixels: np.ndarray) -> bytes:
    """Return a JPEG of an image, (height, width, 3) uint8 BGR, reduced to PREVIEW_SIDE."""
    small = reduced(pixels, max(pixels.shape[:2]) / PREVIEW_SIDE)
    return cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, PREVIEW_QUALITY])[1].tobytes()


def _in_whole(box: Box, image: BoundedImage) -> Box:
    """Return a box in the image's pixels, which may be reduced, in pixels of the whole image."""
    rows, columns = image.pixels.shape[:2]
    across, down = image.width / columns, image.height / rows
    x, y, width, height = box
    left, top = round(x * across), round(y * down)
    right, bottom = round((x + width) * across), round((y + height) * down)
    return left, top, right - left, bottom - top
