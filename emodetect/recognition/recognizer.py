"""Find the faces in an image and recognise their emotions."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Self, overload

import numpy as np

from emodetect.emotions import UNCERTAIN
from emodetect.errors import EmodetectError, ImageError, ModelError, OptionsError
from emodetect.faces.boxes import Box
from emodetect.faces.detectors.registry import Detector, full_name, open_detector
from emodetect.faces.detectors.shared import SharedDetector
from emodetect.faces.framing import crop_face
from emodetect.faces.tracking import FaceTracker, FrameByFrame, TrackingOptions
from emodetect.faces.tracks import Track
from emodetect.images.conversion import AnyImage, ChannelOrder, Images, OneImage, to_bgr
from emodetect.images.model_input import channels_of, check_image
from emodetect.model_file.artifact import read_artifact
from emodetect.model_file.shipped_models import is_shipped, model_path
from emodetect.model_file.temperature import at_temperature
from emodetect.recognition.face import Face
from emodetect.recognition.results import Result
from emodetect.recognition.runtimes.mirrored import MirroredRuntime, Tta
from emodetect.recognition.runtimes.registry import open_runtime
from emodetect.recognition.runtimes.runtime import MAX_BATCH, Runtime
from emodetect.recognition.runtimes.shared import SharedRuntime
from emodetect.recognition.sightings import Seen, Sighting, complete_frames
from emodetect.recognition.smoothing import SmoothedScores, smooth


class EmotionRecognizer:
    """Finds faces and recognises their emotions.

    Args:
        model: run folder, path of a model file, name of a shipped model, or None for the default
            model.
        detector: "haar", "haar_exhaustive", "yunet", the path of a YuNet model (.onnx), or "none"
            to treat each image as one face.
        threads: threads of the classifier; the number of cores, at most 4, if None.
        runtime: "litert", "keras", "onnxruntime" or "openvino"; if None, LiteRT, or Keras where
            LiteRT has no wheel.
        uncertain_below: a face whose highest probability is below this gets the emotion
            "uncertain"; 0 to 1.
        tta: test-time augmentation: "flip" averages the network's outputs for each face and its
            mirror image, before they are calibrated, so the classifier takes twice as long.

    Raises:
        ModelError: if the model is missing, damaged or not from emodetect.
        EmodetectError: if the detector or runtime is not available, `uncertain_below` is not a
            probability, or `tta` is unknown.

    Any number of threads may share one: searches for faces run in parallel, one per usable core,
    and the classifier, which uses all cores by itself, takes turns. A pickle holds the settings
    only, and what it becomes in another process opens the model anew there; so does a forked
    process, on first use. What is changed on an open recogniser (`detector`, `runtime`) is not
    shared with either.

    Examples:
        >>> from emodetect import EmotionRecognizer
        >>> recognizer = EmotionRecognizer()
        >>> [face.emotion for face in recognizer.analyze("docs/scene.jpg")][:2]
        ['neutral', 'angry']
    """

    def __init__(
        self,
        model: str | Path | None = None,
        *,
        detector: str | Path = "haar",
        threads: int | None = None,
        runtime: str | None = None,
        uncertain_below: float = 0.0,
        tta: Tta | None = None,
    ) -> None:
        if not _is_a(Real, uncertain_below) or not 0 <= uncertain_below <= 1:
            raise EmodetectError(
                f"uncertain_below: expected a probability from 0 to 1, got {uncertain_below!r}."
            )
        if threads is not None and not _is_a(Integral, threads):
            raise EmodetectError(f"threads: expected a whole number or None, got {threads!r}.")
        if tta not in (None, "flip"):
            raise EmodetectError(f'tta: expected "flip" or None, got {tta!r}.')
        threads = None if threads is None else int(threads)
        self.detector_name = full_name(detector)
        self.uncertain_below = uncertain_below
        self.tta = tta
        self.threads = threads
        self.runtime_name = runtime
        path = model_path(model)
        # The package's own models are trusted like its code; `emodetect doctor` verifies them.
        self.artifact = artifact = read_artifact(path, verify=not is_shipped(path))
        self.path = artifact.path
        self.metadata = artifact.metadata
        self.emotions = artifact.metadata.emotions
        self.detector: Detector = SharedDetector(partial(open_detector, self.detector_name))
        self.runtime: Runtime = SharedRuntime(
            partial(open_runtime, artifact, runtime=runtime, threads=threads)
        )
        if tta == "flip":
            self.runtime = MirroredRuntime(self.runtime)

    def __getstate__(self) -> dict[str, Any]:
        return {
            "model": self.model_name,
            "detector": self.detector_name,
            "threads": self.threads,
            "runtime": self.runtime_name,
            "uncertain_below": self.uncertain_below,
            "tta": self.tta,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        EmotionRecognizer.__init__(self, **state)

    def __copy__(self) -> Self:
        same = object.__new__(type(self))
        same.__dict__.update(self.__dict__)
        return same

    @property
    def model_name(self) -> str:
        """The name of a shipped model, which another machine may have elsewhere; or a full path."""
        return self.path.stem if is_shipped(self.path) else str(self.path.absolute())

    def detect(self, image: np.ndarray) -> list[Box]:
        """Return the boxes of the faces of a (height, width, 3) uint8 BGR image, largest first.

        Raises ImageError for any other kind of image, as do all methods here that take one.
        """
        check_image(image)
        return self.detector.detect(image)

    def crop(self, image: np.ndarray, box: Box) -> np.ndarray:
        """Crop a face as the model's training faces were cropped; uint8 BGR.

        Raises ImageError if the box lies outside the image.
        """
        check_image(image)
        return crop_face(image, box, margin=self.metadata.margin)

    def input_of(self, image: np.ndarray, box: Box) -> np.ndarray:
        """Return the model input for a face; see `images.model_input.to_input`."""
        return self.metadata.input_of(self.crop(image, box))

    def classify(self, crops: Sequence[np.ndarray]) -> np.ndarray:
        """Return the probability of each emotion for face crops.

        Args:
            crops: (height, width, 3) uint8 BGR each; sizes may differ.

        Returns:
            (n, emotions) float32; the columns are `self.emotions`.
        """
        return self.classify_inputs([self.metadata.input_of(crop) for crop in crops])

    def classify_inputs(self, inputs: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
        """Return the probability of each emotion for crops prepared by `input_of`.

        Args:
            inputs: (n, size, size, channels) uint8 of the model's size and colour mode.

        Returns:
            (n, emotions) float32.

        Raises:
            ImageError: for inputs of another shape or type, such as pixels from 0 to 1.
            ModelError: if the outputs of the network are not probabilities.
        """
        results = [
            self.runtime.run(self._batch_of(inputs[start : start + MAX_BATCH]))
            for start in range(0, len(inputs), MAX_BATCH)
        ]
        if not results:
            return np.empty((0, len(self.emotions)), np.float32)
        return self.probabilities(np.concatenate(results))

    def _batch_of(self, inputs: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
        size = self.metadata.image_size
        expected = (size, size, channels_of(self.metadata.color))
        if isinstance(inputs, np.ndarray) and inputs.ndim == 4:
            kinds = [(inputs.shape[1:], inputs.dtype)]
        else:
            kinds = [(np.shape(one), np.asarray(one).dtype) for one in inputs]
        for shape, dtype in kinds:
            if shape != expected or dtype != np.uint8:
                raise ImageError(
                    f"expected a sequence of inputs as input_of makes them, each of shape "
                    f"{expected}, uint8 from 0 to 255, got one of shape {shape}, {dtype}"
                )
        return np.asarray(inputs, np.float32)

    def probabilities(self, outputs: np.ndarray) -> np.ndarray:
        """Return the calibrated probabilities for outputs of the network, (n, emotions).

        Raises ModelError if the outputs are not probabilities.
        """
        if not _are_probabilities(outputs, classes=len(self.emotions)):
            raise ModelError(
                f"{self.path}: damaged: expected the network to output the probabilities of "
                f"{len(self.emotions)} emotions, got other values. Train or download the model "
                "again."
            )
        return at_temperature(outputs, self.metadata.temperature)

    @overload
    def analyze(self, image: AnyImage, *, color: ChannelOrder = "bgr") -> Result: ...

    @overload
    def analyze(self, image: Images, *, color: ChannelOrder = "bgr") -> list[Result]: ...

    @overload  # a list[Path] is no list[AnyImage]
    def analyze(self, image: list[OneImage], *, color: ChannelOrder = "bgr") -> list[Result]: ...

    def analyze(
        self, image: AnyImage | Images | list[OneImage], *, color: ChannelOrder = "bgr"
    ) -> Result | list[Result]:
        """Return the faces of an image, largest first; of a list of images, a result for each.

        A result is a list of faces that can also be drawn, saved and converted; see `Result`.

        Args:
            image: a path, the bytes of an image file, a file opened in binary mode, a Pillow
                image, a uint8 array (grey, BGR or BGRA; see `images.conversion.to_bgr`), or a
                list of them.
            color: "rgb" for arrays whose channels are in that order.

        Raises:
            ImageError: if an image cannot be read; of a list, the first one, which it names.
        """
        if not isinstance(image, list | tuple):
            return self._analyze(image, color)
        results = []
        for number, one in enumerate(image, start=1):
            try:
                results.append(self._analyze(one, color))
            except ImageError as error:
                raise ImageError(f"image {number} of {len(image)}: {error}") from None
        return results

    def _analyze(self, image: AnyImage, color: ChannelOrder) -> Result:
        pixels = to_bgr(image, color=color)
        boxes = self.detect(pixels)
        scores = self.classify([self.crop(pixels, box) for box in boxes])
        faces = self.faces(boxes, scores)
        return Result(faces, image, pixels=pixels, emotions=self.emotions, color=color)

    def track(
        self,
        frames: Iterable[AnyImage],
        *,
        fps: float = 25.0,
        tracking: TrackingOptions | None = None,
        color: ChannelOrder = "bgr",
    ) -> Iterator[list[Face]]:
        """Yield the faces of each frame of a video, with ids and smoothed scores.

        A new face is a face once it is found in a fourth frame; the frames up to there are held
        back. For a file, see `analyze_video`; for a camera, whose results must not wait,
        `EmotionTracker`.

        Args:
            frames: an image each, in order; see `analyze`.
            fps: frames per second, needed to smooth scores and boxes over time; above 0.
            tracking: how faces are tracked; the defaults if None.
            color: "rgb" for arrays whose channels are in that order.
        """
        if not (_is_a(Real, fps) and 0 < fps < math.inf):
            raise EmodetectError(f"fps: expected frames per second, above 0, got {fps!r}.")
        if not _are_frames(frames):
            raise EmodetectError(
                f"frames: expected images one after the other, got {type(frames).__name__}; for a "
                "video file, use emodetect.analyze_video, or run `emodetect video`."
            )
        tracker = EmotionTracker(self, tracking)
        analyzed = (
            (index, tracker.look(to_bgr(image, color=color), index / fps))
            for index, image in enumerate(frames)
        )
        for _, seen in complete_frames(analyzed):
            yield seen.faces

    def faces(self, boxes: Iterable[Box], scores: Iterable[np.ndarray]) -> list[Face]:
        """Return a face for each box and its (emotions,) probabilities."""
        return [
            self.face(box, row, best=int(np.argmax(row)))
            for box, row in zip(boxes, scores, strict=True)
        ]

    def face(self, box: Box, scores: np.ndarray, *, best: int, id: int | None = None) -> Face:
        """Return a face with (emotions,) probabilities and the emotion at index `best`."""
        named = {name: float(score) for name, score in zip(self.emotions, scores, strict=True)}
        # Not of the emotion at `best`, which in a video stays while another leads by little.
        unsure = max(named.values()) < self.uncertain_below
        emotion = UNCERTAIN if unsure else self.emotions[best]
        return Face(box, emotion, named[self.emotions[best]], named, id)


def _is_a(kind: type, number: object) -> bool:
    return isinstance(number, kind)  # also NumPy's, which are no Python numbers


def _are_frames(frames: object) -> bool:
    """Return whether iterating gives images; a single array would give its rows."""
    if isinstance(frames, np.ndarray):
        return frames.ndim == 4
    return isinstance(frames, Iterable) and not isinstance(frames, str | bytes | bytearray)


def _are_probabilities(outputs: np.ndarray, *, classes: int) -> bool:
    return bool(
        outputs.shape[1:] == (classes,)
        and (outputs >= 0).all()  # nan is not
        and (np.abs(outputs.sum(axis=1) - 1) <= 1e-2).all()
    )


class EmotionTracker:
    """Recognises the emotions of a video's faces, frame by frame, without flickering labels.

    A face's scores are an exponential moving average over time. Its emotion changes only when
    another one leads by `options.hysteresis`. Not thread-safe.

    Args:
        options: how faces are tracked.
        tracked: find the faces of each frame independently if False: no IDs, no smoothing.
    """

    def __init__(
        self,
        recognizer: EmotionRecognizer,
        options: TrackingOptions | None = None,
        *,
        tracked: bool = True,
    ) -> None:
        if not isinstance(options, TrackingOptions | None):
            raise OptionsError(f"tracking: expected TrackingOptions or None, got {options!r}.")
        self.recognizer, self.tracked = recognizer, tracked
        self.faces: FaceTracker | FrameByFrame
        if tracked:
            self.options = options or TrackingOptions()
            self.faces = FaceTracker(recognizer.detector, self.options)
        else:
            self.options = TrackingOptions(score_smoothing_s=0.0, hysteresis=0.0)
            self.faces = FrameByFrame(recognizer.detector)
        self.smoothed: dict[int, SmoothedScores] = {}
        self.last_s = -np.inf

    def update(self, image: np.ndarray, time_s: float) -> list[Face]:
        """Return the confirmed faces of a frame; see `look`."""
        return self.look(image, time_s).faces

    def look(self, image: np.ndarray, time_s: float) -> Seen:
        """Return what is seen in a (height, width, 3) uint8 BGR frame.

        Faces are sorted, longest tracked first; without tracking, largest first.

        Args:
            time_s: time of the frame, later than that of the previous frame.

        Raises:
            ImageError: for any other kind of image.
            OptionsError: for a time before that of the previous frame, or no number.
        """
        check_image(image)
        if not (_is_a(Real, time_s) and math.isfinite(time_s) and time_s >= self.last_s):
            raise OptionsError(
                "time_s: expected the time of a frame in seconds, not before that of the previous "
                f"one ({self.last_s:g}), got {time_s!r}. Take it from time.monotonic(), which "
                "never goes back, and make a new EmotionTracker for another video."
            )
        self.last_s = time_s
        self.faces.detector = self.recognizer.detector  # a key may have changed it
        found = self.faces.update(image, time_s)
        before = self.smoothed
        # Also of those that this frame misses, which may be in the next one again.
        tracks = self.faces.tracks
        shown = {track.key for track, _ in found}
        alive = shown | {track.key for track in tracks.known}
        self.smoothed = {key: scores for key, scores in before.items() if key in alive}
        # Where a face was lost, there may be anything now: it keeps its scores.
        visible = [pair for pair in found if pair[0].seen_s == time_s or pair[0].key not in before]
        rows = self.recognizer.classify([self.recognizer.crop(image, box) for _, box in visible])
        for (track, _), row in zip(visible, rows, strict=True):
            self.smoothed[track.key] = smooth(
                before.get(track.key),
                row,
                time_s=float(time_s),
                constant_s=self.options.score_smoothing_s,
                hysteresis=self.options.hysteresis,
            )

        def face_of(track: Track, box: Box) -> Face:
            now = self.smoothed[track.key]
            number = (track.id or track.key) if self.tracked else None
            return self.recognizer.face(box, now.average, best=now.shown, id=number)

        sightings = [
            Sighting(face_of(track, box), None if track.id else track.key) for track, box in found
        ]
        ids = tracks.confirmed if self.tracked else dict.fromkeys(tracks.confirmed)
        missed = tuple(
            face_of(track, track.box)
            for track in tracks.known
            if track.key in self.smoothed and track.key not in shown
        )
        return Seen(tuple(sightings), ids, tracks.dropped, missed)
