"""YuNet (Wu et al. 2023), a small network that also finds turned, tilted and small faces.

Its model is not part of the package: `emodetect models fetch yunet` downloads it from OpenCV Zoo.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import cv2
import numpy as np

from emodetect.errors import EmodetectError
from emodetect.faces.boxes import Box, merge
from emodetect.images.resizing import reduced
from emodetect.machine.atomic_files import atomic_write
from emodetect.machine.computer import cache_root
from emodetect.model_file.crash_check import how_it_crashes

YUNET_URL = (
    "https://media.githubusercontent.com/media/opencv/opencv_zoo/"
    "82b38c8f98e7b52aa171400f3e4c722352d0669f/models/face_detection_yunet/"
    "face_detection_yunet_2023mar.onnx"
)
YUNET_SHA256 = "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4"
YUNET_BYTES = 232_589

# Photos are reduced to this longer side, at which YuNet finds faces of some 16 pixels.
SCAN_SIDE = 640
# Patches are padded to a square of this side, because each new size costs a set-up.
PATCH_SIDE = 96
MIN_SCORE = 0.7
# YuNet's boxes are tall and end at the hairline. On FER2013's crops, which are Haar boxes, the
# median side of the crop is 1.15 times the square root of YuNet's area (345 crops, scale by scale
# within 18%), with the same centre.
SIDE_RATIO = 1.15


class YuNetDetector:
    """YuNet on OpenCV's DNN module, with boxes framed like Haar's.

    Args:
        model: an .onnx file; the downloaded one if None.

    Raises:
        EmodetectError: if the model is missing or not a YuNet model.
    """

    def __init__(self, model: Path | None = None) -> None:
        path = model or yunet_path()
        if not path.is_file():
            raise EmodetectError(
                f"{path}: no such file; expected a YuNet model."
                if model
                else "detector yunet: the model is not installed; download it (230 KB) with: "
                "emodetect models fetch yunet"
            )
        try:
            data = path.read_bytes()
        except OSError as error:
            raise EmodetectError(f"{path}: cannot be read: {error.strerror}.") from None
        if hashlib.sha256(data).hexdigest() != YUNET_SHA256:
            if model is None:
                raise EmodetectError(
                    f"{path}: not the file that was downloaded; download it again with: emodetect "
                    "models fetch yunet"
                )
            _check_crashes(path, data)
        try:
            self.network = _opened(data)
            self._find(np.zeros((PATCH_SIDE, PATCH_SIDE, 3), np.uint8))
        except cv2.error:
            raise EmodetectError(
                f"{path}: not a YuNet model that OpenCV {cv2.__version__} can run; download one "
                "with: emodetect models fetch yunet"
            ) from None

    def detect(self, image: np.ndarray) -> list[Box]:
        """Return the boxes of the faces of a (height, width, 3) uint8 BGR image, largest first."""
        height, width = image.shape[:2]
        scale = max(1.0, max(height, width) / SCAN_SIDE)
        return self._framed(self._find(reduced(image, scale)) * scale, width, height)

    def scan(self, image: np.ndarray) -> list[Box]:
        """Return the faces in a small image."""
        return self._framed(self._find(image), image.shape[1], image.shape[0])

    def locate(self, patch: np.ndarray, side: float) -> list[Box]:
        """Return the faces in a patch; YuNet does not need `side`."""
        height, width = patch.shape[:2]
        scale = max(1.0, max(height, width) / PATCH_SIDE)
        if scale > 1:
            small = max(1, int(width / scale)), max(1, int(height / scale))
            patch = cv2.resize(patch, small, interpolation=cv2.INTER_AREA)
        below, right = PATCH_SIDE - patch.shape[0], PATCH_SIDE - patch.shape[1]
        square = cv2.copyMakeBorder(patch, 0, below, 0, right, cv2.BORDER_REPLICATE)
        return self._framed(self._find(square) * scale, width, height)

    def _find(self, image: np.ndarray) -> np.ndarray:
        """Return the raw boxes of YuNet, (n, 4) float32."""
        return _raw_boxes(self.network, image)

    @staticmethod
    def _framed(found: np.ndarray, width: int, height: int) -> list[Box]:
        """Return squares like Haar's, moved inside an image of this size."""
        boxes = []
        for x, y, w, h in found.astype(float):
            if not np.isfinite((x, y, w, h)).all() or w <= 0 or h <= 0:
                continue
            side = max(1, min(round(SIDE_RATIO * (w * h) ** 0.5), width, height))
            left = max(0, min(round(x + w / 2 - side / 2), width - side))
            top = max(0, min(round(y + h / 2 - side / 2), height - side))
            boxes.append((left, top, side, side))
        return merge(boxes)


def _opened(data: bytes) -> cv2.FaceDetectorYN:
    # From memory, because OpenCV cannot open all Unicode paths.
    content = np.frombuffer(data, np.uint8)
    network = cv2.FaceDetectorYN.create("onnx", content, np.empty(0, np.uint8), (32, 32))
    network.setScoreThreshold(MIN_SCORE)
    return network


def _raw_boxes(network: cv2.FaceDetectorYN, image: np.ndarray) -> np.ndarray:
    network.setInputSize(image.shape[1::-1])
    _, found = network.detect(image)
    return np.empty((0, 4), np.float32) if found is None else found[:, :4]


def _check_crashes(path: Path, data: bytes) -> None:
    """Raise EmodetectError if OpenCV crashes on a model, which another process tries first."""
    end = how_it_crashes(_try_out, data, content=data, library="opencv-python")
    if end is not None:
        raise EmodetectError(
            f"{path}: damaged: OpenCV crashes on it ({end}); download a YuNet model with: "
            "emodetect models fetch yunet"
        )


def _try_out(data: bytes) -> None:
    network = _opened(data)
    for height, width in ((PATCH_SIDE, PATCH_SIDE), (SCAN_SIDE, SCAN_SIDE), (90, 160)):
        _raw_boxes(network, np.full((height, width, 3), 128, np.uint8))


def yunet_path() -> Path:
    """Return the path of the downloaded model, which may not exist yet; see `cache_root`."""
    return cache_root() / "models" / "face_detection_yunet_2023mar.onnx"


def has_yunet() -> bool:
    """Return whether the model is downloaded; it is not where there is no place for it."""
    try:
        return yunet_path().is_file()
    except EmodetectError:
        return False


def fetch_yunet(url: str = YUNET_URL) -> Path:
    """Download YuNet's model, verify its hash, and return its path.

    Raises EmodetectError if the download fails or delivers another file.
    """
    from http.client import HTTPException
    from urllib.error import URLError
    from urllib.request import urlopen

    path = yunet_path()
    by_hand = f"Or download {url} yourself and pass the file as the detector (--detector FILE.onnx)"
    try:
        # The address is the caller's own; what it delivers is checked by its hash.
        with urlopen(url, timeout=30) as answer:  # nosec B310
            data = answer.read(4 * YUNET_BYTES)
    except (URLError, OSError, HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise EmodetectError(f"yunet could not be downloaded: {reason}. {by_hand}") from None
    if (found := hashlib.sha256(data).hexdigest()) != YUNET_SHA256:
        raise EmodetectError(
            f"yunet: expected a file with SHA-256 {YUNET_SHA256}, got {len(data)} bytes with "
            f"{found}; nothing was saved. {by_hand}"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as partial:
        partial.write_bytes(data)
    return path
