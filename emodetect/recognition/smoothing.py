"""The emotions of faces that are followed through a video."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from emodetect.faces.tracking import FaceTracker, TrackingOptions, kept_share
from emodetect.images.preprocessing import check_image
from emodetect.recognition.recognizer import EmotionRecognizer, Face


@dataclass
class _Mood:
    """A face's moving average of probabilities, (emotions,), and the emotion that it shows."""

    scores: np.ndarray
    shown: int


class EmotionTracker:
    """Names the emotions of a video's faces, frame by frame, so that labels do not flicker.

    A face's scores are an exponential moving average over time. Its emotion changes only when
    another one leads by `options.hysteresis`. Not safe to use from several threads at once.
    """

    def __init__(
        self,
        recognizer: EmotionRecognizer,
        options: TrackingOptions | None = None,
        *,
        first_id: int = 1,
    ) -> None:
        self.recognizer = recognizer
        self.options = options or TrackingOptions()
        self.faces = FaceTracker(recognizer.detector, self.options, first_id=first_id)
        self.moods: dict[int, _Mood] = {}
        self.last_s = -np.inf

    def update(self, image: np.ndarray, time_s: float) -> list[Face]:
        """Return the faces of a (height, width, 3) uint8 BGR frame, those longest followed first.

        Args:
            time_s: of the frame, later than the one's before.

        Raises ImageError for anything but such a frame.
        """
        check_image(image)
        keep = kept_share(time_s - self.last_s, self.options.score_smoothing_s)
        self.last_s = time_s
        self.faces.detector = self.recognizer.detector  # which a key may have changed
        found = self.faces.update(image, time_s)
        rows = self.recognizer.classify([self.recognizer.crop(image, box) for _, box in found])
        before, self.moods = self.moods, {}
        faces = []
        for (number, box), row in zip(found, rows, strict=True):
            mood = before.get(number)
            scores = row if mood is None else keep * mood.scores + (1 - keep) * row
            best = int(np.argmax(scores))
            if mood is not None and scores[best] - scores[mood.shown] < self.options.hysteresis:
                best = mood.shown
            self.moods[number] = _Mood(scores, best)
            faces.append(self.recognizer.face(box, scores, best=best, id=number))
        return faces
