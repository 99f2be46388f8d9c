"""Compare the frame rate of `emodetect webcam --source VIDEO --no-display` with the usual approach.

\b
    python scripts/bench/video.py talk.mp4
    python scripts/bench/video.py            # a drawn film of one person
    python scripts/bench/video.py --people 4

The usual approach is what most scripts do: OpenCV's detectMultiScale(gray, 1.1, 5, minSize=(40,
40)) on every whole frame, and Keras' model.predict on each face. Both run in this process, in turn,
on the whole video; the best round counts. Agreement counts the frames with a face in the usual
approach where one of our boxes overlaps one of its boxes with an IoU of at least 0.5, and all its
boxes (false ones too) that one of ours overlaps.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import click
import cv2
import numpy as np
from drawn_inputs import drawn_film

from emodetect.faces.boxes import Box, iou
from emodetect.faces.framing import crop_face
from emodetect.faces.tracking import TrackingOptions
from emodetect.images.model_input import to_input
from emodetect.machine.tensorflow_devices import use_tensorflow
from emodetect.model_file.shipped_models import model_path
from emodetect.recognition.recognizer import EmotionRecognizer
from emodetect.recognition.videos.reading.capture import Frame, open_source
from emodetect.recognition.videos.recording.video_writer import VideoWriter
from emodetect.recognition.videos.row_log import read_rows
from emodetect.recognition.videos.webcam import LiveOptions, run_live

FILM_FRAMES = 250


@click.command(help=__doc__)
@click.argument(
    "video", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
@click.option("--people", default=1, show_default=True, type=click.IntRange(1, 4))
@click.option("--rounds", default=3, show_default=True, help="Rounds of both, in turn.")
def main(video: Path | None, people: int, rounds: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        video = video or draw(Path(folder) / "film.mp4", people)
        log = Path(folder) / "rows.jsonl"
        usual, ours = UsualApproach(), EmotionRecognizer()
        usual_rates, our_rates = [], []
        for _ in range(rounds):
            rate, found = usual.run(video)
            usual_rates.append(rate)
            our_rates.append(run_ours(video, ours, None))
        run_ours(video, ours, log)
        boxes = [[face.box for face in faces] for *_, faces in read_rows(log, ours.emotions)]
    print(f"frames: {len(found)}")
    print(f"usual approach: {max(usual_rates):.1f} frames/s")
    print(f"emodetect: {max(our_rates):.1f} frames/s")
    print(f"ratio: {max(our_rates) / max(usual_rates):.1f}")
    pairs = [(a, b) for a, b in zip(found, boxes, strict=True) if a]
    frames = [any(is_same(x, y) for x in a for y in b) for a, b in pairs]
    faces = [any(is_same(box, other) for other in ours) for usual, ours in pairs for box in usual]
    print(f"agreement: {sum(frames)} of {len(frames)} frames, {sum(faces)} of {len(faces)} boxes")


def is_same(a: Box, b: Box) -> bool:
    return iou(a, b) >= 0.5


def draw(path: Path, people: int) -> Path:
    """Write a film; of one person it has 596x336 pixels, a common size of small videos."""
    width, height = (596, 336) if people == 1 else (320 * people, 480)
    film = drawn_film(FILM_FRAMES, width=width, height=height, people=people)
    with VideoWriter(path, fps=25) as writer:
        for index, image in enumerate(film):
            writer.write(Frame(index, index / 25, image))
    return path


class UsualApproach:
    """The cascade on every frame, model.predict on every face."""

    def __init__(self) -> None:
        use_tensorflow()
        import keras

        self.model = keras.models.load_model(model_path(None), compile=False)
        file = "haarcascade_frontalface_default.xml"
        self.cascade = cv2.CascadeClassifier(cv2.data.haarcascades + file)
        self.predict(np.zeros((60, 60, 3), np.uint8))

    def predict(self, crop: np.ndarray) -> np.ndarray:
        """Return the probabilities of one (height, width, 3) uint8 BGR crop."""
        side, channels = self.model.input_shape[1], self.model.input_shape[3]
        color = "gray" if channels == 1 else "rgb"
        batch = to_input(crop, size=side, color=color)[None].astype(np.float32)
        return self.model.predict(batch, verbose=0)

    def run(self, video: Path) -> tuple[float, list[list[Box]]]:
        """Return the frames per second, and the boxes of each frame."""
        capture, found, started = cv2.VideoCapture(str(video)), [], time.perf_counter()
        while True:
            there, frame = capture.read()
            if not there:
                return len(found) / (time.perf_counter() - started), found
            gray = cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY)
            hits = self.cascade.detectMultiScale(gray, 1.1, 5, minSize=(40, 40))
            boxes = [tuple(map(int, hit)) for hit in hits]
            for box in boxes:
                self.predict(crop_face(frame, box))
            found.append(boxes)


def run_ours(video: Path, recognizer: EmotionRecognizer, log: Path | None) -> float:
    """Return the frames per second of what the command does."""
    with open_source(source=str(video)) as source:
        options = LiveOptions(tracking=TrackingOptions(), log=log)
        summary = run_live(source, recognizer, options)
    return summary.frames / summary.seconds


if __name__ == "__main__":
    main()
