"""YuNet: its boxes framed as Haar's, its model fetched and checked, its absence told."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from emodetect.cli.models import models
from emodetect.cli.predict import predict
from emodetect.data.synthetic import draw_scene
from emodetect.errors import EmodetectError
from emodetect.faces.boxes import iou
from emodetect.faces.detectors import yunet
from emodetect.faces.detectors.haar import HaarDetector
from emodetect.faces.detectors.registry import installed_detectors, open_detector
from emodetect.faces.detectors.shared import SharedDetector
from emodetect.faces.tracking import FaceTracker
from emodetect.recognition.photos import faster_detector
from emodetect.recognition.photos import predict as predict_job
from emodetect.recognition.recognizer import EmotionRecognizer


class FakeYuNet:
    """Stands in for cv2.FaceDetectorYN: Haar's faces, in boxes as tall and narrow as YuNet's."""

    def __init__(self) -> None:
        self.haar = HaarDetector()
        self.size = (0, 0)

    @classmethod
    def create(cls, *_: Any) -> FakeYuNet:
        return cls()

    def setScoreThreshold(self, score: float) -> None:  # noqa: N802
        assert 0 < score < 1

    def setInputSize(self, size: tuple[int, int]) -> None:  # noqa: N802
        self.size = size

    def detect(self, image: np.ndarray) -> tuple[int, np.ndarray | None]:
        assert image.shape[1::-1] == self.size
        rows = []
        for x, y, width, height in self.haar.detect(image):
            # Of a crop's side YuNet's boxes have 0.763 across and 0.97 down, in the median.
            narrow, tall = 0.763 * width, 0.97 * height
            left, top = x + (width - narrow) / 2, y + (height - tall) / 2
            rows.append([left, top, narrow, tall, *[0] * 10, 0.9])
        return 1, np.array(rows, np.float32) if rows else None


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A file in the place of YuNet's model, and the stand-in to run it."""
    monkeypatch.setattr(cv2, "FaceDetectorYN", FakeYuNet)
    path = tmp_path / "modèle.onnx"
    path.write_bytes(b"model")
    return path


@pytest.mark.parametrize("times", [1, 2])
def test_boxes_are_framed_as_haars(model: Path, times: int) -> None:
    """YuNet's boxes come out as squares that lie over Haar's, at every way and size to ask."""
    scene = draw_scene(["happy", "sad", "fear"], np.random.default_rng(6))
    image = cv2.resize(scene.image, None, fx=times, fy=times, interpolation=cv2.INTER_CUBIC)
    detector = open_detector(str(model))
    expected = HaarDetector().detect(image)
    found = detector.detect(image)
    assert len(found) == len(expected) == 3
    for box, haar in zip(found, expected, strict=True):
        assert iou(box, haar) > 0.9
        assert box[2] == box[3]
    tracker = FaceTracker(detector)
    tracked = [box for _, box in tracker.update(image, 0)]
    assert all(max(iou(box, haar) for haar in expected) > 0.6 for box in tracked)
    assert len(tracked) == 3
    assert detector.detect(np.zeros((50, 90, 3), np.uint8)) == []


def test_the_emotion_does_not_depend_on_the_detector(model: Path, artifact: Path) -> None:
    """On drawn scenes the shipped model names the same emotion for both detectors' crops.

    Crops one pixel apart differ in the answer where two emotions are about as probable.
    """
    haar = EmotionRecognizer()
    other = EmotionRecognizer(detector=str(model))
    rng, same, faces = np.random.default_rng(4), 0, 0
    for emotion in ("happy", "surprise", "angry", "neutral", "sad") * 4:
        image = draw_scene([emotion], rng, width=320, height=240).image
        for first, second in zip(haar.analyze(image), other.analyze(image), strict=True):
            same += first.emotion == second.emotion
            faces += 1
    assert faces >= 18
    assert same >= 0.8 * faces


def test_a_box_at_the_edge_stays_inside() -> None:
    """A face half outside gives a square inside the picture; numbers that are none give nothing."""
    found = np.array([[-20, 10, 40, 50], [np.nan, 0, 9, 9], [5, 5, 0, 9]], np.float32)
    ((x, y, width, height),) = yunet.YuNetDetector._framed(found, 100, 80)
    assert (x, width) == (0, height)
    assert y >= 0


def test_a_missing_or_foreign_model_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without its model YuNet names the command that fetches it; a foreign file is refused."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert installed_detectors() == ("haar",)
    with pytest.raises(EmodetectError, match="emodetect models fetch yunet"):
        open_detector("yunet")
    for name in ("gone.onnx", "GONE.ONNX"):
        with pytest.raises(EmodetectError, match=f"{name}: no such file"):
            open_detector(str(tmp_path / name))
    foreign = tmp_path / "foreign.onnx"
    for content in (b"", b"no model" * 100):
        foreign.write_bytes(content)
        with pytest.raises(EmodetectError, match=r"foreign\.onnx: not a YuNet model"):
            open_detector(str(foreign))
    with pytest.raises(EmodetectError, match="expected haar, haar_exhaustive, yunet, none"):
        open_detector("haarr")


def test_the_model_is_fetched_once_and_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fetching keeps only the very file it expects, where `--detector yunet` finds it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    file = tmp_path / "served.onnx"
    file.write_bytes(b"model")
    url = file.as_uri()
    with pytest.raises(EmodetectError, match=r"SHA-256.*nothing was saved"):
        yunet.fetch_yunet(url)
    assert not yunet.yunet_path().exists()
    with pytest.raises(EmodetectError, match="could not be downloaded"):
        yunet.fetch_yunet((tmp_path / "gone.onnx").as_uri())
    digest = "9372c470eeadd5ecd9c3c74c2b3cb633f8e2f2fad799250a0f70d652b6b825e4"  # of b"model"
    monkeypatch.setattr(yunet, "YUNET_SHA256", digest)
    assert yunet.fetch_yunet(url).read_bytes() == b"model"
    assert [path.name for path in yunet.yunet_path().parent.iterdir()] == [yunet.yunet_path().name]
    assert installed_detectors() == ("haar", "yunet")


def test_fetching_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`models fetch yunet` prints where the file lies; other names are refused."""
    monkeypatch.setattr(yunet, "fetch_yunet", lambda: tmp_path / "face.onnx")
    result = CliRunner().invoke(models, ["fetch", "yunet"])
    assert result.output == f"yunet: {tmp_path / 'face.onnx'}\n"
    assert CliRunner().invoke(models, ["fetch", "other"]).exit_code == 2


def crash(_: bytes) -> None:
    """Die as OpenCV does on some damaged networks."""
    os.kill(os.getpid(), signal.SIGFPE)


def test_a_model_that_crashes_opencv_is_refused(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of another hash than the known one is tried in another process first, once."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(yunet, "_try_out", crash)
    with pytest.raises(EmodetectError, match=r"modèle\.onnx: damaged: OpenCV crashes on it"):
        open_detector(str(model))
    monkeypatch.undo()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    downloaded = yunet.yunet_path()
    downloaded.parent.mkdir(parents=True)
    downloaded.write_bytes(b"one flipped bit")
    with pytest.raises(EmodetectError, match="not the file that was downloaded"):
        open_detector("yunet")


def test_after_a_long_run_a_faster_detector_is_named(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hint comes where YuNet is installed and was measured to be faster, and not otherwise."""
    photo = tmp_path / "scene.png"
    cv2.imwrite(str(photo), draw_scene(["happy"], np.random.default_rng(1)).image)
    monkeypatch.setattr(faster_detector, "installed_detectors", lambda: ("haar", "yunet"))
    monkeypatch.setattr(faster_detector, "open_detector", lambda _: open_detector(str(model)))
    recognizer = EmotionRecognizer(threads=1)
    speedup = faster_detector.yunet_speedup(recognizer, [str(photo)] * 2)
    assert speedup is not None
    assert 0 < speedup < 100
    assert isinstance(recognizer.detector, SharedDetector)  # not changed
    assert faster_detector.yunet_speedup(recognizer, [str(tmp_path / "gone.png")]) is None
    monkeypatch.setattr(predict_job, "LONG_RUN_S", 0)
    for measured, hints in ((3.14, 1), (1.0, 0), (None, 0)):
        monkeypatch.setattr(predict_job, "yunet_speedup", lambda *_, measured=measured: measured)
        result = CliRunner().invoke(predict, [str(photo)])
        assert result.exit_code == 0
        assert result.stderr.count("about 3.1 times as fast") == hints
    monkeypatch.undo()
    assert faster_detector.yunet_speedup(recognizer, [str(photo)]) is None
