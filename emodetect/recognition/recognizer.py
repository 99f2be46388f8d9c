"""From an image to the emotions of its faces."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from emodetect.errors import EmodetectError, ModelError
from emodetect.faces.boxes import Box
from emodetect.faces.detectors.registry import open_detector
from emodetect.faces.framing import crop_face
from emodetect.faces.tracking import FaceTracker, TrackingOptions, kept_share
from emodetect.images.model_input import check_image, to_input
from emodetect.model_file.artifact import read_artifact
from emodetect.model_file.shipped_models import model_path
from emodetect.model_file.temperature import at_temperature
from emodetect.recognition.runtimes.registry import open_runtime
from emodetect.recognition.runtimes.runtime import MAX_BATCH
from emodetect.recognition.smoothing import SmoothedScores, smooth

# Stands in the place of an emotion where none is probable enough.
UNCERTAIN = "uncertain"


@dataclass(frozen=True)
class Face:
    """A face in an image.

    Attributes:
        box: x, y, width, height in pixels.
        emotion: the most probable one, or "uncertain".
        confidence: the probability of the most probable one.
        scores: the probability of each emotion, in the model's label order.
        id: which face of a video it is, from 1; None in a still image.
    """

    box: Box
    emotion: str
    confidence: float
    scores: dict[str, float]
    id: int | None = None

    @property
    def guesses(self) -> list[tuple[str, float]]:
        """The two most probable emotions with their probabilities, the better one first."""
        return sorted(self.scores.items(), key=lambda guess: guess[1], reverse=True)[:2]


class EmotionRecognizer:
    """Finds faces and names their emotions.

    Args:
        model: an artifact's path, a shipped model's name, or None for the default one.
        detector: "haar", "yunet", the path of a YuNet model (.onnx), or "none" to take each
            image as one face.
        threads: for the classifier; the machine's cores (at most 4) if None.
        runtime: "litert", "keras", "onnxruntime" or "openvino"; LiteRT, or Keras where that has
            no wheel, if None.
        uncertain_below: a face whose best probability is below this has the emotion
            "uncertain"; 0 to 1.

    Raises:
        ModelError: for a model that is missing, damaged or foreign.
        EmodetectError: for a detector or runtime that is not there, and an `uncertain_below` that
            is no probability.

    Not safe to use from several threads at once; make one for each.
    """

    def __init__(
        self,
        model: str | Path | None = None,
        *,
        detector: str | Path = "haar",
        threads: int | None = None,
        runtime: str | None = None,
        uncertain_below: float = 0.0,
    ) -> None:
        if not 0 <= uncertain_below <= 1:
            raise EmodetectError(
                f"uncertain_below: expected a probability from 0 to 1, got {uncertain_below}."
            )
        self.uncertain_below = uncertain_below
        artifact = read_artifact(model_path(model))
        self.path = artifact.path
        self.metadata = artifact.metadata
        self.emotions = artifact.metadata.emotions
        self.detector_name = str(detector)
        self.detector = open_detector(self.detector_name)
        self.runtime = open_runtime(artifact, runtime=runtime, threads=threads)

    def detect(self, image: np.ndarray) -> list[Box]:
        """Return the boxes of the faces of a (height, width, 3) uint8 BGR image, largest first.

        Raises ImageError for anything but such an image, as everything here that takes one.
        """
        check_image(image)
        return self.detector.detect(image)

    def crop(self, image: np.ndarray, box: Box) -> np.ndarray:
        """Cut out a face with the framing that the model was trained on; uint8 BGR.

        Raises ImageError for a box of which nothing is inside the image.
        """
        check_image(image)
        return crop_face(image, box, margin=self.metadata.margin)

    def input_of(self, image: np.ndarray, box: Box) -> np.ndarray:
        """Return the pixels that the model takes for a face; see `preprocessing.to_input`."""
        size, color = self.metadata.image_size, self.metadata.color
        return to_input(self.crop(image, box), size=size, color=color)

    def classify(self, crops: Sequence[np.ndarray]) -> np.ndarray:
        """Return the probabilities of the emotions of face crops.

        Args:
            crops: (height, width, 3) uint8 BGR each; sizes may differ.

        Returns:
            (n, emotions) float32; the columns are `self.emotions`.
        """
        size, color = self.metadata.image_size, self.metadata.color
        return self.classify_inputs([to_input(crop, size=size, color=color) for crop in crops])

    def classify_inputs(self, inputs: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
        """Return the probabilities for crops that `preprocessing.to_input` made.

        Args:
            inputs: (n, size, size, channels) uint8 of the model's size and colour mode.

        Returns:
            (n, emotions) float32.

        Raises:
            ModelError: for a network whose answers are no probabilities.
        """
        results = [
            self.runtime.run(np.asarray(inputs[start : start + MAX_BATCH], np.float32))
            for start in range(0, len(inputs), MAX_BATCH)
        ]
        if not results:
            return np.empty((0, len(self.emotions)), np.float32)
        return self.probabilities(np.concatenate(results))

    def probabilities(self, answers: np.ndarray) -> np.ndarray:
        """Return the calibrated probabilities for what the network answered, (n, emotions).

        Raises ModelError for answers that are no probabilities.
        """
        if not _are_probabilities(answers, classes=len(self.emotions)):
            raise ModelError(
                f"{self.path}: damaged: the answers of its network are no probabilities of "
                f"{len(self.emotions)} emotions; train or download the model again."
            )
        return at_temperature(answers, self.metadata.temperature)

    def analyze(self, image: np.ndarray) -> list[Face]:
        """Return the faces of a (height, width, 3) uint8 BGR image, largest first."""
        boxes = self.detect(image)
        scores = self.classify([self.crop(image, box) for box in boxes])
        return [
            self.face(box, row, best=int(np.argmax(row)))
            for box, row in zip(boxes, scores, strict=True)
        ]

    def track(
        self,
        frames: Iterable[np.ndarray],
        *,
        fps: float = 25.0,
        options: TrackingOptions | None = None,
    ) -> Iterator[list[Face]]:
        """Yield the faces of each frame of a video, with ids and smoothed scores.

        Args:
            frames: (height, width, 3) uint8 BGR each, in order.
            fps: frames a second, by which scores and boxes are smoothed; above 0.
        """
        if not fps > 0:
            raise EmodetectError(f"fps: expected frames a second, more than 0, got {fps}.")
        tracker = EmotionTracker(self, options)
        for index, image in enumerate(frames):
            yield tracker.update(image, index / fps)

    def face(self, box: Box, scores: np.ndarray, *, best: int, id: int | None = None) -> Face:
        """Return a face of (emotions,) probabilities whose emotion is that of index `best`."""
        confidence = float(scores[best])
        emotion = UNCERTAIN if confidence < self.uncertain_below else self.emotions[best]
        named = {name: float(score) for name, score in zip(self.emotions, scores, strict=True)}
        return Face(box, emotion, confidence, named, id)


def _are_probabilities(answers: np.ndarray, *, classes: int) -> bool:
    return bool(
        answers.shape[1:] == (classes,)
        and np.isfinite(answers).all()
        and (answers >= 0).all()
        and np.allclose(answers.sum(axis=1), 1, atol=1e-2)
    )


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
        self.smoothed: dict[int, SmoothedScores] = {}
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
        before, self.smoothed = self.smoothed, {}
        faces = []
        for (number, box), row in zip(found, rows, strict=True):
            now = smooth(before.get(number), row, keep=keep, hysteresis=self.options.hysteresis)
            self.smoothed[number] = now
            faces.append(self.recognizer.face(box, now.average, best=now.shown, id=number))
        return faces
