"""The results of Python users: an image's and a video's, to draw, save and convert."""

from __future__ import annotations

import csv
import io
import json
import pickle
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import supervision
from click.testing import CliRunner
from running import run_python

import emodetect
from emodetect import EmotionRecognizer, ImageError, Result, VideoError
from emodetect.cli import app
from emodetect.data.synthetic import draw_film, draw_scene
from emodetect.recognition.face import Face
from emodetect.recognition.videos.reading.capture import Frame
from emodetect.recognition.videos.recording.video_writer import VideoWriter

FRAMES, FPS = 12, 25.0


@pytest.fixture(scope="module")
def recognizer(artifact: Path) -> EmotionRecognizer:
    """A recogniser that all tests here share."""
    return EmotionRecognizer(artifact)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A photo of two faces."""
    scene = draw_scene(("happy", "sad"), np.random.default_rng(0), width=480, height=320)
    path = tmp_path / "photo.png"
    cv2.imwrite(str(path), scene.image)
    return path


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of one person, whose last frames are empty."""
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    scenes = draw_film(["happy"], np.random.default_rng(0), frames=8, width=320, height=200)
    with VideoWriter(path, fps=FPS) as writer:
        for index, scene in enumerate(scenes):
            writer.write(Frame(index, index / FPS, scene.image))
        for index in range(8, FRAMES):
            writer.write(Frame(index, index / FPS, np.full((200, 320, 3), 127, np.uint8)))
    return path


def printed(*words: object) -> str:
    """Return what a command prints."""
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == 0, result.exception
    return result.stdout


def test_a_result_is_a_list_of_faces_that_can_be_drawn(
    recognizer: EmotionRecognizer, photo: Path
) -> None:
    """The faces are a list as before; plot draws them into a copy, in either order of channels."""
    result = recognizer.analyze(photo)
    assert result == result.faces
    assert (result.width, result.height, result.path) == (480, 320, str(photo))
    assert len(result) == len(set(result)) == 2
    drawn = result.plot()
    assert drawn.shape == result.image.shape
    assert (drawn != result.image).any()
    assert (result.plot(color="rgb") == drawn[:, :, ::-1]).all()


def test_whatever_was_analysed_can_be_drawn(recognizer: EmotionRecognizer, photo: Path) -> None:
    """An open file, bytes and arrays of either order give the same drawing as the path."""
    expected = recognizer.analyze(photo).plot()
    pixels = cv2.imread(str(photo))
    data = photo.read_bytes()
    for image in (io.BytesIO(data), data, memoryview(data), pixels):
        result = pickle.loads(pickle.dumps(recognizer.analyze(image)))
        assert (result.plot() == expected).all()
    rgb = recognizer.analyze(np.ascontiguousarray(pixels[:, :, ::-1]), color="rgb")
    assert (rgb.plot() == expected).all()
    assert (pickle.loads(pickle.dumps(rgb)).plot() == expected).all()


def test_a_relative_path_is_found_from_another_folder(
    recognizer: EmotionRecognizer, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A photo is read again to be drawn, wherever the program is by then; a lost one is told."""
    monkeypatch.chdir(photo.parent)
    result = recognizer.analyze(photo.name)
    monkeypatch.chdir("/")
    assert result.path == "photo.png"
    assert result.plot().shape == (320, 480, 3)
    photo.unlink()
    with pytest.raises(ImageError, match=r"photo\.png"):
        result.plot()
    assert "no such file" in result._repr_html_()
    assert result[0].emotion in result._repr_html_()
    assert result._repr_png_() is None


def test_a_result_is_saved(recognizer: EmotionRecognizer, photo: Path) -> None:
    """save writes the drawing, but not over the photo, nor to an unknown format or folder."""
    result, out = recognizer.analyze(photo), photo.parent / "drawn é.png"
    assert result.save(out) == out
    saved = cv2.imdecode(np.frombuffer(out.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
    assert (saved == result.plot()).all()
    for path, expected in (
        (photo, "overwrite the analysed image"),
        (photo.with_suffix(".txt"), "file name ending in"),
        (photo.parent / "none" / "a.png", "cannot be written"),
    ):
        with pytest.raises(ImageError, match=expected):
            result.save(path)


def test_a_result_converts_as_the_command_prints(
    recognizer: EmotionRecognizer, artifact: Path, photo: Path
) -> None:
    """to_dict is the JSON of predict, and to_df has the columns and rows of its CSV."""
    result = recognizer.analyze(photo)
    words = ("predict", photo, "--model", artifact, "--format")
    assert json.loads(printed(*words, "json")) == [result.to_dict()]
    read = pd.read_csv(io.StringIO(printed(*words, "csv")))
    frame = result.to_df()
    assert list(frame.columns) == list(read.columns)
    assert (
        frame[["x", "y", "emotion", "happy"]].values.tolist()
        == read[["x", "y", "emotion", "happy"]].values.tolist()
    )
    empty = recognizer.analyze(np.full((50, 60, 3), 127, np.uint8)).to_df()
    assert len(empty) == 1
    assert empty["width"].tolist() == [60]
    assert empty[["x", "emotion", "happy"]].isna().all(axis=None)
    assert (empty.dtypes == frame.dtypes)[["x", "happy", "confidence"]].all()


def test_a_result_becomes_detections(recognizer: EmotionRecognizer, photo: Path) -> None:
    """Boxes have corners, classes are the emotions, and annotators take them, even if empty."""
    result = recognizer.analyze(photo)
    detections = result.to_supervision()
    x, y, width, height = result[0].box
    assert detections.xyxy[0].tolist() == [x, y, x + width, y + height]
    names = [recognizer.emotions[number] for number in detections.class_id]
    assert names == [face.emotion for face in result] == detections["class_name"].tolist()
    assert detections.tracker_id is None
    drawn = supervision.BoxAnnotator().annotate(result.image.copy(), detections)
    assert (drawn != result.image).any()
    assert len(recognizer.analyze(np.full((50, 60, 3), 127, np.uint8)).to_supervision()) == 0


def test_an_uncertain_face_becomes_a_detection(artifact: Path, photo: Path) -> None:
    """A face without an emotion has the class after the last."""
    result = EmotionRecognizer(artifact, uncertain_below=1.0).analyze(photo)
    detections = result.to_supervision()
    assert set(detections["class_name"]) == {"uncertain"}
    assert set(detections.class_id) == {len(result.emotions)}


def test_a_notebook_shows_the_photo(recognizer: EmotionRecognizer) -> None:
    """The picture is part of the output and not larger than a notebook, and names are escaped."""
    scene = draw_scene(("happy",), np.random.default_rng(0), width=1600, height=1200).image
    result = recognizer.analyze(scene)
    shown = cv2.imdecode(np.frombuffer(result._repr_png_(), np.uint8), cv2.IMREAD_COLOR)
    assert max(shown.shape) == 800
    result.path = '"><script>'
    page = result._repr_html_()
    assert "data:image/jpeg;base64," in page
    assert "<script>" not in page
    assert result[0].emotion in page


def test_a_notebook_shows_a_thin_strip() -> None:
    """Reduced to the size of a notebook, a line of pixels still has a width."""
    strip = np.full((2000, 1, 3), 127, np.uint8)
    result = Result([], strip, pixels=strip, emotions=("happy", "sad"))
    shown = cv2.imdecode(np.frombuffer(result._repr_png_(), np.uint8), cv2.IMREAD_COLOR)
    assert shown.shape == (800, 1, 3)


def test_a_notebook_enlarges_a_face_crop(recognizer: EmotionRecognizer) -> None:
    """On a picture of 48 pixels, its label would not fit; its box grows with the picture."""
    crop = np.full((48, 32, 3), 127, np.uint8)
    face = Face((8, 8, 16, 16), "happy", 0.9, {"happy": 0.9, "sad": 0.1})
    result = Result([face], crop, pixels=crop, emotions=("happy", "sad"))
    shown = cv2.imdecode(np.frombuffer(result._repr_png_(), np.uint8), cv2.IMREAD_COLOR)
    assert shown.shape == (240, 160, 3)
    right, below = (np.ptp(np.argwhere(np.any(shown != 127, axis=2)), axis=0) + 1)[::-1]
    assert right >= 5 * 16
    assert below >= 5 * 16
    assert result[0] is face
    assert result.plot().shape == crop.shape


def test_a_video_is_an_iterator_of_results(recognizer: EmotionRecognizer, film: Path) -> None:
    """Each frame comes with its number, time, image and tracked faces, and each comes once."""
    with emodetect.analyze_video(film, recognizer) as video:
        results = list(video)
    assert [result.frame for result in results] == list(range(FRAMES))
    assert results[3].time_s == pytest.approx(3 / FPS, abs=1e-3)
    assert [face.id for face in results[0]] == [1]
    assert results[0].plot().shape == (200, 320, 3)
    assert results[0].to_supervision().tracker_id.tolist() == [1]
    assert list(video) == []
    assert video.frames == FRAMES


@pytest.mark.parametrize("tracked", [True, False])
def test_a_video_converts_as_the_command_writes(
    recognizer: EmotionRecognizer, artifact: Path, film: Path, tmp_path: Path, tracked: bool
) -> None:
    """to_df has the rows of the log, whether or not frames were asked for before."""
    options = [] if tracked else ["--no-tracking"]
    for name in ("log.csv", "log.jsonl"):
        printed("video", film, "--model", artifact, "--log", tmp_path / name, *options)
    how = {} if tracked else {"tracking": None}
    video = emodetect.analyze_video(film, recognizer, **how)
    next(video)
    frame, read = video.to_df(), pd.read_csv(tmp_path / "log.csv")
    assert list(frame.columns) == list(read.columns)
    assert frame["frame"].tolist() == read["frame"].tolist()
    assert frame["time_s"].tolist() == read["time_s"].tolist()
    for column in ("face", "x", "happy"):
        assert frame[column].fillna(-1).tolist() == read[column].fillna(-1).tolist()
    with (tmp_path / "log.jsonl").open() as file:
        assert video.to_dict()["frames"] == [json.loads(line) for line in file]


def test_a_video_has_the_figures_of_the_summary(
    recognizer: EmotionRecognizer, artifact: Path, film: Path, tmp_path: Path
) -> None:
    """figures says what --summary writes."""
    printed("video", film, "--model", artifact, "--summary", tmp_path / "s.csv")
    with (tmp_path / "s.csv").open(newline="") as file:
        whole, *_ = csv.DictReader(file)
    figures = emodetect.analyze_video(film, recognizer).figures()
    assert figures is not None
    assert figures.whole.visible_s == pytest.approx(float(whole["visible_s"]), abs=1e-4)
    assert figures.no_face_frame_share == pytest.approx(
        float(whole["no_face_frame_share"]), abs=1e-4
    )


def test_a_video_shows_itself_as_far_as_it_is_analysed(
    recognizer: EmotionRecognizer, film: Path
) -> None:
    """Displaying it starts no work; afterwards it shows the timeline and the faces."""
    video = emodetect.analyze_video(film, recognizer)
    assert "0 frames analysed" in video._repr_html_()
    assert video.frames == 0
    assert video.timeline().axes
    page = video._repr_html_()
    assert f"{FRAMES} frames analysed" in page
    assert "data:image/png;base64," in page


def test_a_part_of_a_video_is_not_taken_for_the_whole(
    recognizer: EmotionRecognizer, film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After an interrupt or an error its frames are not given as those of the whole video."""
    video = emodetect.analyze_video(film, recognizer)
    next(video)

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(video._record, "add", interrupted)
        with pytest.raises(KeyboardInterrupt):
            list(video)
    for method in (video.to_df, video.figures, video.to_dict, video.timeline):
        with pytest.raises(VideoError, match="ended with an error or an interrupt after 2 frames"):
            method()
    video.close()
    assert set(video.to_df()["frame"]) == {0, 1}


def test_a_video_is_released_before_its_end(recognizer: EmotionRecognizer, film: Path) -> None:
    """After a with block, nothing more is read, and what was analysed is kept."""
    with emodetect.analyze_video(film, recognizer, every=2) as video:
        first: Result = next(video)
    assert first.to_df()["frame"].tolist() == [0]
    assert list(video) == []
    assert set(video.to_df()["frame"]) == {0}


def test_a_video_that_cannot_be_used_is_told_at_once(
    recognizer: EmotionRecognizer, tmp_path: Path
) -> None:
    """A missing file, text and a wrong step are errors when the video is opened."""
    (tmp_path / "text.mp4").write_text("no video")
    for name in ("none.mp4", "text.mp4"):
        with pytest.raises(VideoError, match=name):
            emodetect.analyze_video(tmp_path / name, recognizer)
    with pytest.raises(VideoError, match="every"):
        emodetect.analyze_video(tmp_path / "text.mp4", recognizer, every=0)


@pytest.mark.parametrize(
    ("library", "call"), [("pandas", "to_df"), ("supervision", "to_supervision")]
)
def test_a_missing_library_is_named(library: str, call: str, photo: Path) -> None:
    """Without pandas or supervision all else works, and one line says how to install it."""
    code = (
        "import sys, emodetect\n"
        f"sys.modules[{library!r}] = None\n"
        f"result = emodetect.EmotionRecognizer().analyze({str(photo)!r})\n"
        "result.plot(), result.to_dict(), result._repr_html_()\n"
        f"try: result.{call}()\n"
        "except emodetect.EmodetectError as error: print(error)\n"
    )
    done = run_python(code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].endswith(f'pip install "emodetect[{library}]"')
