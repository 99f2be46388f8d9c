"""`emodetect webcam`: what users see, get written, and are told when something is missing."""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result
from running import posix_only, run_emodetect

from emodetect.cli.webcam import webcam
from emodetect.data.synthetic import draw_scene
from emodetect.errors import ModelError, SourceError, VideoError
from emodetect.recognition.face import Face
from emodetect.recognition.overlay import draw_text
from emodetect.recognition.recognizer import EmotionRecognizer
from emodetect.recognition.videos import (
    pipeline,
    webcam_session,
)
from emodetect.recognition.videos import (
    webcam as webcam_module,
)
from emodetect.recognition.videos.reading import capture, files_and_streams
from emodetect.recognition.videos.recording.video_writer import VideoWriter
from emodetect.recognition.videos.webcam import LiveOptions

FPS, FRAMES, SHIFT = 12.5, 12, 3
COMMAND = [sys.executable, "-m", "emodetect", "webcam"]


class FakeCapture:
    """Stands in for cv2.VideoCapture, with some seconds from one picture to the next."""

    def __init__(self, images: Iterable[np.ndarray], *, wait_s: float = 0.0) -> None:
        self.images, self.wait_s = iter(images), wait_s
        self.image: np.ndarray | None = None

    def grab(self) -> bool:
        time.sleep(self.wait_s)
        self.image = next(self.images, None)
        return self.image is not None

    def retrieve(self) -> tuple[bool, np.ndarray | None]:
        return True, self.image

    def get(self, propId: int) -> float:  # noqa: N803
        return 0.0

    def release(self) -> None:
        self.images = iter(())


class FakeWindow:
    """Stands in for a window whose user presses `keys`, one a frame, and then closes it."""

    def __init__(self, keys: str = "") -> None:
        self.keys = list(keys)
        self.shown: list[np.ndarray] = []
        self.is_gone = False

    def show(self, image: np.ndarray) -> None:
        self.shown.append(image)

    def key(self) -> str:
        return self.keys.pop(0).strip() if self.keys else ""

    def closed(self) -> bool:
        return not self.keys

    def close(self) -> None:
        self.is_gone = True


@pytest.fixture(scope="module")
def scene() -> np.ndarray:
    """A picture of two faces, (240, 320, 3)."""
    return draw_scene(["happy", "surprise"], np.random.default_rng(3), width=320, height=240).image


@pytest.fixture(scope="module")
def film(scene: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of the scene that moves to the right."""
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    write_video(path, [np.roll(scene, SHIFT * index, axis=1) for index in range(FRAMES)])
    return path


@pytest.fixture(scope="module")
def recognizer(artifact: Path) -> EmotionRecognizer:
    return EmotionRecognizer(artifact)


@pytest.fixture
def steady(monkeypatch: pytest.MonkeyPatch) -> None:
    """A window that shows each frame once, without notices over it."""
    monkeypatch.setattr(webcam_module, "HEARTBEAT_S", 60.0)
    monkeypatch.setattr(webcam_session, "NOTICE_S", 0.0)
    monkeypatch.setattr(webcam_session, "HINT_S", 0.0)


def write_video(path: Path, images: Iterable[np.ndarray], *, code: str = "mp4v") -> None:
    writer = None
    for image in images:
        if writer is None:
            size = (image.shape[1], image.shape[0])
            writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*code), FPS, size)
        writer.write(image)
    assert writer is not None
    writer.release()


def read_video(path: Path) -> list[np.ndarray]:
    capture, images = cv2.VideoCapture(str(path)), []
    while (step := capture.read())[0]:
        images.append(step[1])
    return images


def read_rows(path: Path) -> list[dict[str, Any]]:
    text = path.read_text(encoding="utf-8")
    assert text.endswith("\n")
    return [json.loads(line) for line in text.splitlines()]


def fake_source(
    images: Iterable[np.ndarray], *, live: bool = False, wait_s: float = 0.2
) -> capture.Source:
    fake = FakeCapture(images, wait_s=wait_s if live else 0)
    return capture.Source("fake", fake, fps=FPS, frame_count=0, live=live)


def call(*arguments: object) -> Result:
    """Run the command in this process; the user's mistakes are in `exception`."""
    return CliRunner().invoke(webcam, [str(argument) for argument in arguments])


def no_display() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if "DISPLAY" not in name}


def test_every_frame_has_a_row_and_a_picture(film: Path, artifact: Path, tmp_path: Path) -> None:
    """A user gets one row and one drawn frame for each frame of a file, none lost."""
    output, log = tmp_path / "out.mp4", tmp_path / "rows.jsonl"
    result = call(
        "--source", film, "--model", artifact, "--no-display", "--output", output, "--log", log
    )
    assert result.exit_code == 0, result.exception
    rows = read_rows(log)
    assert [row["frame"] for row in rows] == list(range(FRAMES))
    assert [row["time_s"] for row in rows] == pytest.approx([n / FPS for n in range(FRAMES)])
    for row in rows:
        assert set(row) == {"video", "frame", "time_s", "faces"}
        assert row["video"] == str(film)
        assert {face["id"] for face in row["faces"]} == {1, 2}
        for face in row["faces"]:
            assert set(face) == {"id", "box", "emotion", "confidence", "scores"}
            assert set(face["scores"]) == {"happy", "sad", "surprise"}
            assert sum(face["scores"].values()) == pytest.approx(1, abs=1e-4)
            assert face["scores"][face["emotion"]] == face["confidence"]
    drawn = read_video(output)
    assert len(drawn) == FRAMES
    assert drawn[0].shape == (240, 320, 3)
    for text in (f"{FRAMES} frames", str(output), str(log)):
        assert text in result.stderr


def test_uncertain_faces_are_logged_and_drawn(film: Path, artifact: Path, tmp_path: Path) -> None:
    """--uncertain-below marks faces in the rows, whose scores stay, and in the video."""
    words = ["--source", film, "--model", artifact, "--no-display", "--max-frames", 3]
    for below in (0, 1):
        written = ["--output", tmp_path / f"{below}.avi", "--log", tmp_path / f"{below}.jsonl"]
        assert call(*words, *written, "--uncertain-below", below).exit_code == 0
    sure, unsure = (read_rows(tmp_path / f"{below}.jsonl") for below in (0, 1))
    assert {face["emotion"] for row in unsure for face in row["faces"]} == {"uncertain"}
    for row in sure:
        for face in row["faces"]:
            face["emotion"] = "uncertain"
    assert unsure == sure
    first, second = (read_video(tmp_path / f"{below}.avi")[0] for below in (0, 1))
    assert np.abs(first.astype(int) - second).max() > 60
    assert call(*words, "--uncertain-below", "2").exit_code == 2


def test_without_tracking_each_frame_is_a_photo(
    film: Path, recognizer: EmotionRecognizer, scene: np.ndarray, tmp_path: Path
) -> None:
    """The rows of a moving video are those of its own frames, and the boxes are drawn there."""
    with capture.open_source(source=str(film)) as source:
        options = LiveOptions(output=tmp_path / "out.avi", log=tmp_path / "rows.jsonl")
        webcam_module.run_live(source, recognizer, options)
    boxes = [face["box"] for row in read_rows(tmp_path / "rows.jsonl") for face in row["faces"]]
    found = [recognizer.detect(image) for image in read_video(film)]
    assert boxes == [list(box) for frame in found for box in frame]
    assert len(boxes) > FRAMES
    change = np.abs(read_video(tmp_path / "out.avi")[0].astype(int) - scene).max(axis=2) > 60
    for x, y, width, height in found[0]:
        assert change[y + height - 2 : y + height + 2, x : x + width].any(axis=0).mean() > 0.8


def test_a_run_can_be_limited_and_need_not_write(film: Path, artifact: Path) -> None:
    """--max-frames ends early, and a run that writes nothing still tells its speed."""
    result = call("--source", film, "--model", artifact, "--no-display", "--max-frames", 5)
    assert result.exit_code == 0, result.exception
    assert re.fullmatch(r"5 frames in [\d.]+ s \([\d.]+ frames/s\)\n", result.stderr)


def test_unusable_sources_are_named(tmp_path: Path, artifact: Path) -> None:
    """A missing, empty, foreign or absent source is told apart, and leaves no file behind."""
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("no video\n" * 100)
    for arguments, message in (
        (["--source", tmp_path / "missing.mp4"], "No such file"),
        (["--source", tmp_path / "empty.mp4"], "the file is empty"),
        (["--source", tmp_path / "text.mp4"], "cannot be read as a video"),
        (["--source", tmp_path], "a folder"),
        (["--source", "7"], "--camera 7"),
        (["--source", "x" * 300], "too long"),
        (["--source", "http://127.0.0.1:9/video"], "cannot be opened"),
        (["--camera", 99], "camera 99"),
    ):
        output = tmp_path / "out.mp4"
        result = call(*arguments, "--model", artifact, "--no-display", "--output", output)
        assert isinstance(result.exception, VideoError)
        assert message in str(result.exception)
        assert "\n" not in str(result.exception)
        assert not output.exists()
    assert call("--camera", 0, "--source", "film.mp4").exit_code == 2


def test_files_of_the_user_are_kept(film: Path, artifact: Path, tmp_path: Path) -> None:
    """What exists is replaced only with --force, and the source never."""
    old = tmp_path / "old.mp4"
    old.write_text("precious")
    rows = tmp_path / "rows.csv"
    rows.write_text("precious")
    folder = tmp_path / "folder.csv"
    folder.mkdir()
    copy = shutil.copy(film, tmp_path / "copy.mp4")
    for arguments, message in (
        (["--output", old], "--force"),
        (["--log", rows], "--force"),
        (["--log", old], ".jsonl or .csv"),
        (["--output", copy, "--force"], "the source"),
        (["--output", tmp_path / "film.mkv"], ".mp4, .webm, .gif or .avi"),
        (["--output", tmp_path / "no" / "film.mp4"], "does not exist"),
        (["--log", folder], "a folder"),
    ):
        result = call("--source", copy, "--model", artifact, "--no-display", *arguments)
        assert isinstance(result.exception, VideoError)
        assert message in str(result.exception)
    assert old.read_text() == rows.read_text() == "precious"
    assert copy.read_bytes() == film.read_bytes()
    again = ["--source", film, "--model", artifact, "--no-display", "--output", old, "--force"]
    assert call(*again).exit_code == 0
    assert len(read_video(old)) == FRAMES


@pytest.mark.parametrize("display", [None, "", ":4071", "127.0.0.1:4071"])
def test_a_missing_display_is_one_line(display: str | None, film: Path, artifact: Path) -> None:
    """Where no window can be shown the user reads what to do, and Qt does not crash."""
    environment = no_display() if display is None else {**no_display(), "DISPLAY": display}
    done = run_emodetect("webcam", "--source", film, "--model", artifact, env=environment)
    assert done.returncode == 1
    assert re.fullmatch(r"error: .*--no-display.*\n", done.stderr)


def test_an_absent_camera_is_one_line(artifact: Path) -> None:
    """A camera that is not there ends in one line, without the noise of OpenCV."""
    for camera, status, told in (
        (["--camera", "99"], 1, r"error: camera 99 .*\n"),
        (["--list"], 0, ""),
    ):
        done = run_emodetect("webcam", *camera, "--model", artifact)
        assert done.returncode == status
        assert re.fullmatch(told, done.stderr)
    assert re.fullmatch(r"no camera found\n|(camera \d+: \d+x\d+\n)+", done.stdout)


@posix_only
@pytest.mark.parametrize("asked", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_leaves_whole_files(
    asked: signal.Signals, scene: np.ndarray, artifact: Path, tmp_path: Path
) -> None:
    """Ctrl-C and a polite kill leave a playable video, whole rows, and a line that says where."""
    film, output, log = tmp_path / "long.avi", tmp_path / "out.mp4", tmp_path / "rows.jsonl"
    written = ["--output", output, "--log", log]
    write_video(film, [scene] * 3000, code="MJPG")
    process = subprocess.Popen(
        [*COMMAND, "--source", film, "--model", artifact, "--no-display", *written],
        stderr=subprocess.PIPE,
        text=True,
        # A shell starts jobs in the background with SIGINT ignored; the tests may be one.
        preexec_fn=lambda: signal.signal(asked, signal.SIG_DFL),
    )
    while process.poll() is None and not (log.exists() and log.read_bytes().count(b"\n") > 5):
        time.sleep(0.01)
    process.send_signal(asked)
    told = process.communicate(timeout=60)[1]
    assert process.returncode == 128 + asked
    rows = read_rows(log)
    assert 5 < len(rows) < 3000
    assert len(read_video(output)) == len(rows)
    assert told.startswith(f"stopped by {asked.name}: {len(rows)} frames")
    assert str(output) in told


def test_frames_may_change_their_size(
    scene: np.ndarray, recognizer: EmotionRecognizer, tmp_path: Path
) -> None:
    """A stream that changes its size gives a whole video of the first size, and all rows."""
    images = [scene, cv2.resize(scene, (640, 480)), cv2.resize(scene, (160, 120)), scene]
    output, log = tmp_path / "out.mp4", tmp_path / "rows.jsonl"
    summary = webcam_module.run_live(
        fake_source(images), recognizer, LiveOptions(output=output, log=log)
    )
    assert summary.frames == len(read_rows(log)) == 4
    assert [image.shape for image in read_video(output)] == [scene.shape] * 4


def test_a_camera_pulled_out_keeps_what_it_gave(
    scene: np.ndarray, recognizer: EmotionRecognizer, tmp_path: Path
) -> None:
    """A camera that stops is an error, and what was recorded until then can be played."""
    output, log = tmp_path / "out.mp4", tmp_path / "rows.jsonl"
    options = LiveOptions(output=output, log=log)
    with pytest.raises(VideoError, match="stopped after 3 frames"):
        webcam_module.run_live(fake_source([scene] * 3, live=True, wait_s=0.6), recognizer, options)
    assert len(read_rows(log)) == 3
    assert read_video(output)
    with pytest.raises(VideoError, match="sends no frames"):
        webcam_module.run_live(fake_source([], live=True), recognizer)


def test_a_camera_s_video_plays_at_its_speed(scene: np.ndarray, tmp_path: Path) -> None:
    """A video recorded from a slow machine lasts as long as what it shows."""
    with VideoWriter(tmp_path / "out.mp4", fps=10) as writer:
        for index, time_s in enumerate((0.0, 0.31, 1.02)):
            writer.write(capture.Frame(index, time_s, scene))
    with capture.open_source(source=str(tmp_path / "out.mp4")) as source:
        times_s = [frame.time_s for frame in capture.read_frames(source)]
    assert times_s == pytest.approx([0.0, 0.31, 1.02], abs=1e-3)


def test_a_full_disk_is_told_in_time(
    scene: np.ndarray,
    recognizer: EmotionRecognizer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A disk that fills up ends the run while the video can still be completed."""
    free = iter([2**40, 2**40, 0])
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=next(free)))
    options = LiveOptions(output=tmp_path / "out.mp4")
    with pytest.raises(VideoError, match="disk is full"):
        webcam_module.run_live(fake_source([scene] * 9), recognizer, options)
    assert len(read_video(tmp_path / "out.mp4")) == 2


def test_a_cut_file_is_told(
    scene: np.ndarray, recognizer: EmotionRecognizer, tmp_path: Path
) -> None:
    """A file that breaks off is not passed off as whole."""
    film, told = tmp_path / "cut.avi", []
    write_video(film, [scene] * 20, code="MJPG")
    film.write_bytes(film.read_bytes()[: film.stat().st_size // 2])
    with capture.open_source(source=str(film)) as source:
        summary = webcam_module.run_live(source, recognizer, notify=told.append)
    assert 0 < summary.frames < 20
    assert len(told) == 1
    assert f"only {summary.frames} of 20 frames" in told[0]


def test_keys_of_the_window(
    scene: np.ndarray,
    recognizer: EmotionRecognizer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    steady: None,
) -> None:
    """`s` saves what is shown and replaces no other snapshot, `q` quits, the window is closed."""
    monkeypatch.chdir(tmp_path)
    window, told = FakeWindow("s sq sss"), []
    summary = webcam_module.run_live(
        fake_source([scene] * 9, live=True, wait_s=0.6),
        recognizer,
        window=window,
        notify=told.append,
    )
    assert summary.frames == 4
    assert window.is_gone
    snapshots = sorted(tmp_path.glob("snapshot-*.png"))
    assert len(snapshots) == 2
    assert sorted(told) == [f"saved {path}" for path in snapshots]
    shown = [image.tobytes() for image in window.shown]
    saved = {cv2.imread(str(path)).tobytes() for path in snapshots}
    assert saved == {shown[0], shown[2]}
    assert not np.array_equal(window.shown[0], scene)


def test_closing_the_window_ends_the_run(
    scene: np.ndarray, recognizer: EmotionRecognizer, tmp_path: Path, steady: None
) -> None:
    """The window's close button ends a camera's run, with its files complete."""
    output = tmp_path / "out.mp4"
    summary = webcam_module.run_live(
        fake_source([scene] * 9, live=True, wait_s=0.6),
        recognizer,
        LiveOptions(output=output),
        window=FakeWindow("  "),
    )
    assert summary.frames == 2
    assert summary.files == (output,)
    assert read_video(output)


def press_keys(
    keys: str, scene: np.ndarray, recognizer: EmotionRecognizer, **options: Any
) -> tuple[FakeWindow, list[str]]:
    """Run over as many frames as there are keys, one key a frame; a space is no key."""
    window, told = FakeWindow(keys + "q"), []
    webcam_module.run_live(
        fake_source([scene] * (len(keys) + 1)),
        recognizer,
        LiveOptions(**options),
        window=window,
        notify=told.append,
    )
    return window, told


def test_corrections_are_data_to_train_on(
    scene: np.ndarray, recognizer: EmotionRecognizer, tmp_path: Path, steady: None
) -> None:
    """Keys 1 to 8 save the largest face's crop in its emotion's folder, as `train` reads it."""
    folder = tmp_path / "corrections"
    # A new face is shown from the fourth frame on.
    _, told = press_keys("   4464", scene, recognizer, corrections=folder)
    assert len(told) == 4
    counts = {place.name: len(list(place.glob("*.png"))) for place in folder.iterdir()}
    assert counts == {"happy": 3, "sad": 1}
    largest = recognizer.detect(scene)[0]
    saved = cv2.imread(str(next(folder.rglob("*.png"))))
    assert saved.shape[0] == pytest.approx(largest[3], rel=0.2)
    _, told = press_keys("4", np.zeros_like(scene), recognizer, corrections=folder)
    assert told == ["no face to save"]


def test_blurred_faces_are_blurred_wherever_they_go(
    scene: np.ndarray,
    recognizer: EmotionRecognizer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    steady: None,
) -> None:
    """`b` and --privacy blur faces in window, snapshot, recording and output; none is saved."""
    monkeypatch.chdir(tmp_path)
    plain, _ = press_keys("  ", scene, recognizer)
    window, told = press_keys("rs4r", scene, recognizer, privacy=True, output=tmp_path / "out.avi")
    assert not (tmp_path / "corrections").exists()
    assert any("none is saved" in line for line in told)
    x, y, width, height = recognizer.detect(scene)[0]
    inner = np.s_[y + height // 4 : y + height * 3 // 4, x + width // 4 : x + width * 3 // 4]
    pictures = [
        window.shown[0],
        cv2.imread(str(next(tmp_path.glob("snapshot-*.png")))),
        read_video(next(tmp_path.glob("recording-*.mp4")))[0],
        read_video(tmp_path / "out.avi")[0],
    ]
    sharp = cv2.Laplacian(plain.shown[0][inner], cv2.CV_64F).var()
    for picture in pictures:
        assert cv2.Laplacian(picture[inner], cv2.CV_64F).var() < sharp / 10
    window, _ = press_keys("b b ", scene, recognizer)
    assert np.array_equal(window.shown[0], plain.shown[0])
    assert not np.array_equal(window.shown[1][inner], plain.shown[0][inner])


def test_blurring_while_paused_blurs_the_snapshot(
    scene: np.ndarray,
    recognizer: EmotionRecognizer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    steady: None,
) -> None:
    """`b` counts at once: a snapshot taken after it, of the frame shown before, is blurred."""
    monkeypatch.chdir(tmp_path)
    window = FakeWindow()
    keys = iter(" bs q")
    window.key = lambda: next(keys)  # type: ignore[method-assign]
    monkeypatch.setattr(window, "closed", lambda: False)
    webcam_module.run_live(fake_source([scene] * 3), recognizer, window=window)
    x, y, width, height = recognizer.detect(scene)[0]
    inner = np.s_[y + height // 4 : y + height * 3 // 4, x + width // 4 : x + width * 3 // 4]
    saved = cv2.imread(str(next(tmp_path.glob("snapshot-*.png"))))
    sharp = cv2.Laplacian(scene[inner], cv2.CV_64F).var()
    assert cv2.Laplacian(saved[inner], cv2.CV_64F).var() < sharp / 10


def test_a_pause_can_be_interrupted(
    scene: np.ndarray,
    recognizer: EmotionRecognizer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    steady: None,
) -> None:
    """Ctrl-C and a polite kill, noted during a pause, end the run with its files complete."""
    noted: list[int] = []
    monkeypatch.setattr(webcam_module, "noted_signals", lambda: contextlib.nullcontext(noted))
    window, presses = FakeWindow(), iter([" ", "interrupt", *[""] * 50])

    def key() -> str:
        pressed = next(presses)  # ends, where the pause does not
        if pressed == "interrupt":
            noted.append(signal.SIGTERM)
        return pressed

    window.key, window.closed = key, lambda: False  # type: ignore[method-assign]
    output = tmp_path / "out.mp4"
    options = LiveOptions(output=output)
    summary = webcam_module.run_live(fake_source([scene] * 9), recognizer, options, window=window)
    assert summary.signal == signal.SIGTERM
    assert len(read_video(output)) == summary.frames < 9


def test_a_recording_holds_the_frames_between_two_presses(
    scene: np.ndarray,
    recognizer: EmotionRecognizer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    steady: None,
) -> None:
    """`r` begins and ends a recording, which can be played; one left on is completed at the end."""
    monkeypatch.chdir(tmp_path)
    _, told = press_keys("r   r ", scene, recognizer)
    path = next(tmp_path.glob("recording-*.mp4"))
    assert len(read_video(path)) == 4
    assert told == [f"recorded {path}"]
    path.unlink()
    press_keys("r  ", scene, recognizer)
    assert len(read_video(next(tmp_path.glob("recording-*.mp4")))) == 3


def test_notices_leave_the_rate_readable() -> None:
    """What is written above the frame rate covers no letter of it."""
    picture = np.zeros((200, 300, 3), np.uint8)
    draw_text(picture, "31.4 FPS")
    noted = picture.copy()
    draw_text(noted, "recording", "")
    letters = picture > 60
    assert letters.any()
    assert np.array_equal(noted[letters], picture[letters])
    assert not np.array_equal(noted, picture)


class FakeClock:
    """Stands in for the module time: sleeping takes no time, but moves the clock."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def monotonic(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


def test_a_file_plays_at_its_speed(
    scene: np.ndarray, recognizer: EmotionRecognizer, monkeypatch: pytest.MonkeyPatch, steady: None
) -> None:
    """A window shows the frames of a file at their times, and does not hurry after a pause."""
    clock, shown_s = FakeClock(), []
    monkeypatch.setattr(webcam_session, "time", clock)
    window = FakeWindow("     q")

    def show(image: np.ndarray) -> None:
        shown_s.append(clock.now_s - 100.0)
        if len(shown_s) == 3:
            clock.sleep(5.0)  # the user drags the window

    monkeypatch.setattr(window, "show", show)
    webcam_module.run_live(fake_source([scene] * 9), recognizer, window=window)
    step_s = 1 / FPS
    after_s = 2 * step_s + 5
    expected = [0, step_s, 2 * step_s, after_s, after_s + step_s, after_s + 2 * step_s]
    assert shown_s == pytest.approx(expected)


def test_the_first_seconds_name_the_key_for_help(
    scene: np.ndarray, recognizer: EmotionRecognizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The window says at first that h is help, files do not, and later it is gone."""
    monkeypatch.setattr(webcam_module, "HEARTBEAT_S", 60.0)
    clock = FakeClock()
    monkeypatch.setattr(webcam_session, "time", clock)
    texts: list[tuple[str, ...]] = []
    monkeypatch.setattr(webcam_session, "draw_text", lambda image, *lines: texts.append(lines))
    seconds = round(webcam_session.HINT_S + 2)
    keys = " " * seconds * round(FPS) + "q"
    webcam_module.run_live(fake_source([scene] * len(keys)), recognizer, window=FakeWindow(keys))
    hinted = [any("h for help" in line for line in lines) for lines in texts]
    assert hinted[1]
    assert not any(hinted[-FRAMES:])
    assert not any("help" in line for lines in texts[::2][:1] for line in lines)


def test_panel_help_and_detector_keys(
    scene: np.ndarray, recognizer: EmotionRecognizer, steady: None
) -> None:
    """`p` draws the scores, `h` the keys, `d` names the detector; pressed again they go."""
    window, told = press_keys("p p h h d", scene, recognizer)
    plain, panel, _, _, helped, _, gone = window.shown[:7]
    corner = np.s_[:100, :100]
    assert not np.array_equal(panel[corner], plain[corner])
    assert not np.array_equal(helped, plain)
    assert np.array_equal(gone[corner], plain[corner])
    assert told[-1].startswith("detector: haar")


def test_a_camera_that_comes_back_goes_on(
    scene: np.ndarray, recognizer: EmotionRecognizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A camera pulled out and put in again is opened again, with a notice; time goes on."""
    monkeypatch.setattr(capture, "FIRST_WAIT_S", 0.01)
    tries = []

    def reopen() -> FakeCapture:
        tries.append(1)
        if len(tries) < 3:
            raise SourceError("not there")
        return FakeCapture([scene] * 2, wait_s=0.2)

    source = fake_source([scene] * 2, live=True)
    source.reopen = reopen
    frames, told = [], []
    for frame in capture.read_frames(source, max_frames=4, notify=told.append):
        frames.append(frame)
    assert [frame.index for frame in frames] == [0, 1, 2, 3]
    assert [frame.time_s for frame in frames] == sorted(frame.time_s for frame in frames)
    assert len(tries) == 3
    assert "sends no more frames" in told[0]
    assert "is back" in told[1]


def test_a_lost_camera_is_shown_until_it_is_back(
    scene: np.ndarray, recognizer: EmotionRecognizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a camera is away the window stays alive, says so, and takes keys."""
    monkeypatch.setattr(capture, "FIRST_WAIT_S", 30.0)
    monkeypatch.setattr(webcam_module, "HEARTBEAT_S", 0.02)
    source = fake_source([scene], live=True)
    source.reopen = lambda: FakeCapture([])
    window, told = FakeWindow("q"), []
    waited = iter([""] * 40 + ["q"])
    window.key = lambda: next(waited)  # type: ignore[method-assign]
    summary = webcam_module.run_live(source, recognizer, window=window, notify=told.append)
    assert summary.frames == 1
    assert told == ["fake sends no more frames; trying to reconnect"]
    assert not np.array_equal(window.shown[-1], window.shown[0])


def test_a_camera_that_stays_away_ends_the_run(
    scene: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the time for it, a camera that cannot be opened again is an error."""
    monkeypatch.setattr(capture, "FIRST_WAIT_S", 0.01)
    monkeypatch.setattr(capture, "RECONNECT_S", 0.1)

    def reopen() -> FakeCapture:
        raise SourceError("not there")

    source = fake_source([scene], live=True)
    source.reopen = reopen
    with pytest.raises(SourceError, match="stopped after 1 frame;"):
        list(capture.read_frames(source))


def test_a_run_without_a_frame_names_no_files(
    recognizer: EmotionRecognizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C before a camera sends its first frame leaves no file, and the summary says so."""
    monkeypatch.setattr(
        webcam_module, "noted_signals", lambda: contextlib.nullcontext([signal.SIGINT])
    )
    monkeypatch.setattr(webcam_module, "HEARTBEAT_S", 0.01)
    options = LiveOptions(output=tmp_path / "none.avi", log=tmp_path / "none.csv")
    summary = webcam_module.run_live(fake_source([], live=True), recognizer, options)
    assert (summary.frames, summary.files) == (0, ())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("rtsp://me:s@cr:t@cam:554/live?a=b@c", "rtsp://cam:554/live"),
        ("rtsp://me:p/w@cam/live", "rtsp://cam/live"),
        ("http://192.168.0.7/cgi/mjpg?user=admin&pwd=secret", "http://192.168.0.7/cgi/mjpg"),
        ("http://cam/video", "http://cam/video"),
        ("me@home?.mp4", "me@home?.mp4"),
    ],
)
def test_no_password_is_shown(source: str, shown: str) -> None:
    """Logs and messages are shared."""
    assert files_and_streams.shown_name(source) == shown


def test_a_stream_that_stalls_is_opened_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A real stream that hangs, or ends, is noticed within the time limit and goes on."""
    monkeypatch.setattr(files_and_streams, "URL_TIMEOUT_MS", 700)
    monkeypatch.setattr(capture, "FIRST_WAIT_S", 0.05)
    picture = cv2.imencode(".jpg", np.full((120, 160, 3), 90, np.uint8))[1].tobytes()
    head = b"--next\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(picture)
    stalled = threading.Event()

    class Camera(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=next")
            self.end_headers()
            with contextlib.suppress(OSError):
                for _ in range(20):
                    self.wfile.write(head + picture + b"\r\n")
                if not stalled.is_set():
                    stalled.set()
                    time.sleep(2)

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Camera) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        told: list[str] = []
        with capture.open_source(source=f"http://127.0.0.1:{server.server_port}/a") as source:
            assert source.live
            frames = list(capture.read_frames(source, max_frames=50, notify=told.append))
        server.shutdown()
    assert [frame.index for frame in frames] == list(range(50))
    assert "sends no more frames" in told[0]
    assert told[1].endswith("is back")


def test_a_slow_analysis_gets_the_newest_picture() -> None:
    """Of a camera faster than the analysis pictures are left out, none waits for its turn."""
    images = [np.full((8, 8, 3), value, np.uint8) for value in range(40)]
    source = capture.Source("fake", FakeCapture(images, wait_s=0.01), 100.0, 0, live=True)
    behind = []

    def analyze(frame: capture.Frame) -> list[Face]:
        behind.append(frame.index)
        time.sleep(0.05)
        return []

    with pytest.raises(SourceError):
        list(pipeline.analyze_frames(source, analyze))
    assert behind == sorted(behind)
    assert behind[-1] == 39
    assert len(behind) < 30


def test_what_fails_in_a_thread_ends_the_run(scene: np.ndarray) -> None:
    """An error of the analysis comes out where the frames are taken, and the threads end."""

    def analyze(frame: capture.Frame) -> list[Face]:
        if frame.index == 2:
            raise ModelError("damaged")
        return []

    before = set(threading.enumerate())
    with pytest.raises(ModelError, match="damaged"):
        list(pipeline.analyze_frames(fake_source([scene] * 50), analyze))
    assert set(threading.enumerate()) <= before


def test_a_mirror_turns_the_picture(film: Path, scene: np.ndarray) -> None:
    """--mirror turns frames left to right before anything else sees them."""
    with capture.open_source(source=str(film), mirror=True) as source:
        frame = next(capture.read_frames(source))
    assert np.abs(frame.image[:, ::-1].astype(int) - scene).mean() < 6


def test_resolution_is_a_size(film: Path) -> None:
    """--resolution takes WxH and nothing else, and is for cameras."""
    assert call("--source", film, "--no-display", "--resolution", "1280x720").exit_code == 2
    for wrong in ("1280", "0x5", "axb", "1280x-5"):
        result = call("--source", film, "--no-display", "--resolution", wrong)
        assert result.exit_code == 2
        assert "1280x720" in result.output


@pytest.mark.skipif(
    not (shutil.which("Xvfb") and shutil.which("xdotool")), reason="needs Xvfb and xdotool"
)
def test_a_real_window(scene: np.ndarray, artifact: Path, tmp_path: Path) -> None:
    """On a display the window opens, `s` saves a snapshot, `q` quits, and nothing else is said."""
    film = tmp_path / "long.avi"
    write_video(film, [scene] * 3000, code="MJPG")
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", "1", "-screen", "0", "800x600x24"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    process = None
    try:
        assert server.stdout is not None
        environment = {**no_display(), "DISPLAY": f":{server.stdout.readline().strip()}"}
        process = subprocess.Popen(
            [*COMMAND, "--source", film, "--model", artifact],
            env=environment,
            cwd=tmp_path,
            stderr=subprocess.PIPE,
            text=True,
        )
        while process.poll() is None and not list(tmp_path.glob("snapshot-*.png")):
            press("s", environment)
        while process.poll() is None:
            press("q", environment)
        told = process.communicate(timeout=60)[1].splitlines()
    finally:
        for started in filter(None, (process, server)):
            started.kill()
            started.communicate()
    assert process.returncode == 0
    assert all(line.startswith("saved ") for line in told[:-1])
    assert re.match(r"\d+ frames in", told[-1])
    assert cv2.imread(str(next(tmp_path.glob("snapshot-*.png")))).shape == scene.shape


def press(key: str, environment: dict[str, str]) -> None:
    """Press a key in the window, if there is one."""
    search = ["xdotool", "search", "--onlyvisible", "--name", "^emodetect$"]
    command = [*search, "windowfocus", "key", "--window", "%1", key]
    subprocess.run(command, env=environment, capture_output=True, check=False, timeout=30)
    time.sleep(0.1)
