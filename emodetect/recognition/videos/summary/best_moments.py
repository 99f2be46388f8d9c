"""A picture of each face of a video at its most confident moment of each emotion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from emodetect.emotions import UNCERTAIN
from emodetect.faces.framing import crop_face
from emodetect.recognition.face import Face
from emodetect.recognition.overlay import blur_faces
from emodetect.recognition.videos.reading.capture import Frame

SIDE = 160  # pixels
MARGIN = 0.25  # share of the box
JPEG_QUALITY = 85


@dataclass(frozen=True)
class Moment:
    """A face when the model was most confident of an emotion.

    Attributes:
        confidence: probability of the emotion, 0 to 1.
        jpeg: the face as a JPEG file, 160 pixels a side.
    """

    time_s: float
    confidence: float
    jpeg: bytes


class BestMoments:
    """Collects the moments of a video.

    Attributes:
        found: by face ID (None without tracking, for all faces together) and emotion.
    """

    def __init__(self, *, privacy: bool = False) -> None:
        self.privacy = privacy
        self.found: dict[tuple[int | None, str], Moment] = {}

    def add(self, frame: Frame, faces: Sequence[Face], *, everything: Sequence[Face]) -> None:
        """Add the faces of a frame.

        Args:
            everything: what is blurred if faces are: the faces, and what may be one.
        """
        image: np.ndarray | None = None
        for face in faces:
            best = self.found.get((face.id, face.emotion))
            if face.emotion == UNCERTAIN or (best and face.confidence <= best.confidence):
                continue
            if image is None:
                image = blur_faces(frame.image, everything) if self.privacy else frame.image
            crop = crop_face(image, face.box, margin=MARGIN)
            small = cv2.resize(crop, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
            jpeg = cv2.imencode(".jpg", small, (cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY))[1]
            moment = Moment(frame.time_s, face.confidence, jpeg.tobytes())
            self.found[face.id, face.emotion] = moment
