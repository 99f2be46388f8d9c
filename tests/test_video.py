"""`emodetect video`: rows, copies and timelines of files, and going on after an interrupt."""

from __future__ import annotations

import contextlib
import csv
import functools
import http.server
import io
import json
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import threading
import time
import wave
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result
from matplotlib.figure import Figure
from running import posix_only, run_python

import emodetect
from emodetect.cli import app
from emodetect.cli.video import video
from emodetect.data.synthetic import draw_film
from emodetect.errors import VideoError
from emodetect.recognition.face import Face
from emodetect.recognition.overlay import draw_faces
from emodetect.recognition.recognizer import EmotionRecognizer, EmotionTracker
from emodetect.recognition.sightings import Seen, Sighting, complete_frames
from emodetect.recognition.videos import row_log, video_files
from emodetect.recognition.videos.reading import capture
from emodetect.recognition.videos.reading.capture import Frame, open_source, read_frames
from emodetect.recognition.videos.reading.mp4_tracks import mp4_tracks
from emodetect.recognition.videos.recording import ffmpeg, sound
from emodetect.recognition.videos.recording.video_writer import VideoWriter
from emodetect.recognition.videos.row_log import RowLog, drop_cut_row, read_rows
from emodetect.recognition.videos.summary.face_record import FaceRecord
from emodetect.recognition.videos.summary.timeline import draw_timeline, save_timeline
from emodetect.recognition.videos.tracker_state import StateFile, TrackerState
from emodetect.recognition.videos.video_plan import VideoOptions, plan_videos

EMOTIONS = ("happy", "sad", "surprise")
FRAMES, FPS = 30, 25.0
SMALL = {"width": 320, "height": 200}


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of one moving person, 30 frames."""
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    write_film(path, FRAMES)
    return path


def write_film(path: Path, frames: int) -> None:
    with VideoWriter(path, fps=FPS) as writer:
        for index, scene in enumerate(
            draw_film(["happy"], np.random.default_rng(0), frames=frames, **SMALL)
        ):
            writer.write(Frame(index, index / FPS, scene.image))


def call(*arguments: object) -> Result:
    """Run the command in this process; the user's mistakes are in `exception`."""
    return CliRunner().invoke(video, [str(argument) for argument in arguments])


def rows_of(path: Path) -> list[tuple[str, int, float, list[Face]]]:
    return list(read_rows(path, EMOTIONS))


def frames_of(path: Path) -> list[np.ndarray]:
    film, images = cv2.VideoCapture(str(path)), []
    while (step := film.read())[0]:
        images.append(step[1])
    return images


def test_a_video_gives_rows_a_copy_and_a_timeline(
    film: Path, artifact: Path, tmp_path: Path
) -> None:
    """One call writes a row for each frame, the drawn copy, and the picture of the emotions."""
    log, output, timeline = (tmp_path / name for name in ("rows.jsonl", "out.mp4", "time.png"))
    result = call(
        film, "--model", artifact, "--log", log, "--output", output, "--timeline", timeline
    )
    assert result.exit_code == 0, result.exception
    assert f"{FRAMES} frames in" in result.stderr
    rows = rows_of(log)
    assert [row[1] for row in rows] == list(range(FRAMES))
    assert [row[2] for row in rows] == pytest.approx([n / FPS for n in range(FRAMES)], abs=1e-3)
    assert all([face.id for face in faces] == [1] for _, _, _, faces in rows)
    copy, original = frames_of(output), frames_of(film)
    assert len(copy) == FRAMES
    assert np.abs(copy[0].astype(int) - original[0]).max() > 60
    assert cv2.imread(str(timeline)).shape[1] > 800


def test_csv_and_jsonl_say_the_same(film: Path, artifact: Path, tmp_path: Path) -> None:
    """The two formats of the log hold the same frames, faces and scores."""
    for name in ("rows.jsonl", "rows.csv"):
        assert call(film, "--model", artifact, "--log", tmp_path / name).exit_code == 0
    assert rows_of(tmp_path / "rows.jsonl") == rows_of(tmp_path / "rows.csv")
    with (tmp_path / "rows.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == FRAMES
    assert set(EMOTIONS) <= set(rows[0])


def test_every_nth_frame(film: Path, artifact: Path, tmp_path: Path) -> None:
    """--every N has rows of those frames alone; the copy has all, each with its last boxes."""
    log, output = tmp_path / "rows.jsonl", tmp_path / "out.avi"
    assert call(film, "--model", artifact, "--every", 7, "--log", log).exit_code == 0
    assert [row[1] for row in rows_of(log)] == [0, 7, 14, 21, 28]
    again = ["--log", log, "--output", output, "--force"]
    assert call(film, "--model", artifact, "--every", 7, *again).exit_code == 0
    assert [row[1] for row in rows_of(log)] == [0, 7, 14, 21, 28]
    assert len(frames_of(output)) == FRAMES


def test_a_name_with_a_colon_is_a_file(
    film: Path, artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A video named like an address is read and written as the file that it is."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(film, "Talk: one.mp4")
    result = call("Talk: one.mp4", "--model", artifact, "--output", "Talk: drawn.mp4")
    assert result.exit_code == 0, result.stderr
    assert "no sound" not in result.stderr
    assert len(frames_of(tmp_path / "Talk: drawn.mp4")) == FRAMES


def test_several_videos_and_one_that_is_none(film: Path, artifact: Path, tmp_path: Path) -> None:
    """A file at fault is named and the others are worked off; results go into folders."""
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("no video\n" * 100)
    (tmp_path / "cut.mp4").write_bytes(film.read_bytes()[:200])
    other = shutil.copy(film, tmp_path / "other.mp4")
    log, folder, lines = tmp_path / "rows.csv", tmp_path / "drawn", tmp_path / "lines"
    faulty = [tmp_path / f"{name}.mp4" for name in ("empty", "text", "cut", "gone")]
    names = [film, *faulty, other]
    written = ["--log", log, "--output", folder, "--timeline", lines]
    result = call(*names, "--model", artifact, *written)
    assert result.exit_code == 1
    for name in (
        "empty.mp4: the file is empty",
        "text.mp4: cannot be read as a video; expected a file such as .mp4.",
        "cut.mp4: cannot be read as a video; the file may be cut short",
        "gone.mp4: No such file",
    ):
        assert f"error: {tmp_path}/{name}" in result.stderr
    rows = rows_of(log)
    assert [row[0] for row in rows] == [str(film)] * FRAMES + [str(other)] * FRAMES
    assert [row[1:3] for row in rows[:FRAMES]] == [row[1:3] for row in rows[FRAMES:]]
    for place, suffix in ((folder, ".mp4"), (lines, ".png")):
        assert {path.name for path in place.iterdir()} == {f"film{suffix}", f"other{suffix}"}


@posix_only
def test_a_killed_run_is_resumed(artifact: Path, tmp_path: Path) -> None:
    """After SIGKILL --resume analyses what the log lacks, and the copy is whole again."""
    film, log, output = tmp_path / "long.mp4", tmp_path / "rows.jsonl", tmp_path / "out.mp4"
    write_film(film, 700)
    words = [str(film), "--model", str(artifact), "--log", str(log), "--output", str(output)]
    process = subprocess.Popen([sys.executable, "-m", "emodetect", "video", *words])
    while process.poll() is None and not (log.exists() and log.read_bytes().count(b"\n") > 20):
        time.sleep(0.01)
    process.kill()
    process.wait()
    known = log.read_bytes().count(b"\n")
    with log.open("ab") as file:
        file.write(b'{"video": "')  # as a full disk leaves it
    result = call(*words, "--resume")
    assert result.exit_code == 0, result.exception
    assert f"{700 - known} frames in" in result.stderr
    assert 20 < known < 700
    rows = rows_of(log)
    assert [row[1] for row in rows] == list(range(700))
    assert len(frames_of(output)) == 700
    assert call(*words, "--resume").exit_code == 0
    assert rows_of(log) == rows


def test_resuming_keeps_the_rows_of_other_videos(
    film: Path, artifact: Path, tmp_path: Path
) -> None:
    """--resume adds another video's rows to a log, and goes on with any of them."""
    other, log = shutil.copy(film, tmp_path / "other.mp4"), tmp_path / "rows.jsonl"
    words = ["--model", artifact, "--log", log]
    assert call(film, *words).exit_code == 0
    assert call(other, *words, "--resume").exit_code == 0
    assert [row[0] for row in rows_of(log)] == [str(film)] * FRAMES + [str(other)] * FRAMES
    lines = log.read_text().splitlines(keepends=True)
    log.write_text("".join(lines[:10]))
    assert call(film, *words, "--resume").exit_code == 0
    assert log.read_text() == "".join(lines[:FRAMES])


class Interrupted:
    """A film's rows, and the states of the tracker that were beside them on the way."""

    def __init__(self, film: Path, artifact: Path, log: Path, patch: pytest.MonkeyPatch) -> None:
        self.log, self.words = log, (film, "--model", artifact, "--log", log)
        self.state, self.states = log.with_name(f"{log.name}.resume"), dict[int, str]()
        self.analyzed, write, look = 0, StateFile.write, EmotionTracker.look

        def note(file: StateFile, state: TrackerState) -> None:
            write(file, state)
            self.states[state.frames] = self.state.read_text()

        def count(tracker: EmotionTracker, image: np.ndarray, time_s: float) -> Seen:
            self.analyzed += 1
            return look(tracker, image, time_s)

        patch.setattr(StateFile, "write", note)
        patch.setattr(EmotionTracker, "look", count)
        patch.setattr(video_files, "STATE_FRAMES", 5)
        assert call(*self.words).exit_code == 0
        self.rows = log.read_text()

    def resumed(self, known: int, state: str) -> str:
        """The rows after a run that goes on from the first ones, and from a state."""
        self.log.write_text("".join(self.rows.splitlines(keepends=True)[:known]))
        self.state.write_text(state)
        self.analyzed = 0
        result = call(*self.words, "--resume")
        assert result.exit_code == 0, result.exception
        assert not self.state.exists()
        return self.log.read_text()


@pytest.fixture
def interrupted(artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Interrupted:
    """The rows and states of a film with a cut after 15 frames."""
    film = tmp_path / "shots.mp4"
    shots = [
        scene.image
        for emotion, seed in (("happy", 0), ("sad", 3))
        for scene in draw_film([emotion], np.random.default_rng(seed), frames=15, **SMALL)
    ]
    with VideoWriter(film, fps=FPS) as writer:
        for index, image in enumerate(shots):
            writer.write(Frame(index, index / FPS, image))
    return Interrupted(film, artifact, tmp_path / "rows.jsonl", monkeypatch)


def test_a_resumed_run_is_as_if_it_was_never_interrupted(interrupted: Interrupted) -> None:
    """Wherever a run was killed, all rows are those of an undisturbed one, to the last digit."""
    assert len(interrupted.states) > 3
    for frames, state in list(interrupted.states.items()):
        for known in {frames, frames + 3} - {FRAMES, FRAMES + 3}:
            assert interrupted.resumed(known, state) == interrupted.rows
            assert interrupted.analyzed == FRAMES - frames
    assert interrupted.resumed(12, state="") == interrupted.rows


def test_a_state_that_does_not_fit_is_not_used(interrupted: Interrupted) -> None:
    """A forged or damaged state, or one of other settings, changes no row and ends no run."""
    _, (frames, text), *_ = sorted(interrupted.states.items())
    state = json.loads(text)
    (face,) = state["faces"]
    scores = face["scores"]
    forged: list[object] = [
        [],
        {**state, "made_by": "0" * 64},
        {**state, "frames": 31},
        {**state, "faces": [{**face, "box": [0, 0, 0, 9]}]},
        {**state, "faces": [{**face, "shown": [1e308, 0.0, 9.0, 9.0]}]},
        {**state, "faces": [{**face, "seen_s": float("nan")}]},
        {**state, "search": {**state["search"], "full_interval_s": -1e308}},
        {**state, "faces": [{**face, "scores": {**scores, "average": [1.0]}}]},
        {**state, "faces": [{**face, "scores": {**scores, "shown": 3}}]},
        {**state, "and": "more"},
    ]
    for wrong in (*map(json.dumps, forged), "[" * 100_000, text[:-9]):
        assert interrupted.resumed(frames, wrong) == interrupted.rows
        assert interrupted.analyzed == FRAMES


def test_a_log_of_other_options_is_not_gone_on_with(interrupted: Interrupted) -> None:
    """Rows of two settings in one log would be one table of two measurements."""
    (_, beginning), (frames, state), *_ = sorted(interrupted.states.items())
    rows = "".join(interrupted.rows.splitlines(keepends=True)[:frames])
    for option in (("--uncertain-below", "0.99"), ("--tta", "flip"), ("--smoothing", "0.1")):
        early = "".join(interrupted.rows.splitlines(keepends=True)[:2])
        interrupted.log.write_text(early)
        interrupted.state.write_text(beginning)
        assert isinstance(call(*interrupted.words, *option, "--resume").exception, VideoError)
        assert interrupted.log.read_text() == early
        interrupted.log.write_text(rows)
        interrupted.state.write_text(state)
        result = call(*interrupted.words, *option, "--resume")
        assert isinstance(result.exception, VideoError)
        assert "another model or other options" in str(result.exception)
        assert interrupted.log.read_text() == rows
    summary = interrupted.log.with_name("summary.csv")
    done = call(*interrupted.words, "--resume", "--summary", summary, "--min-seconds", "0.1")
    assert done.exit_code == 0, done.exception
    assert interrupted.log.read_text() == interrupted.rows
    assert call(*interrupted.words, "--resume", "--force").exit_code == 2


def test_the_end_of_a_video_is_known(film: Path, tmp_path: Path) -> None:
    """Whether a log has all frames is told in files with and without a place for each time."""
    raw = tmp_path / "film.h264"
    tool = ffmpeg.ffmpeg_for(film)
    subprocess.run([tool, "-v", "error", "-i", film, "-c", "copy", raw], check=True)
    for path in (film, raw):
        for every, frames, expected in ((1, 30, True), (1, 29, False), (7, 5, True), (7, 4, False)):
            time_s = (frames - 1) * every / FPS
            found = capture.is_read(str(path), frames=frames, last_s=time_s, every=every)
            assert found == expected


def test_a_resumed_copy_is_blurred_where_the_log_has_no_face(
    film: Path, artifact: Path, tmp_path: Path
) -> None:
    """With --privacy no frame trusts a log, which may be of a run that scanned seldom."""
    log, output = tmp_path / "rows.jsonl", tmp_path / "out.avi"
    words = [film, "--model", artifact, "--log", log]
    assert call(*words).exit_code == 0
    x, y, width, height = rows_of(log)[0][3][0].box
    missed = [{**json.loads(row), "faces": []} for row in log.read_text().splitlines()[:10]]
    log.write_text("".join(json.dumps(row) + "\n" for row in missed))
    assert call(*words, "--resume", "--output", output, "--privacy").exit_code == 0
    inner = np.s_[y + height // 4 : y + height * 3 // 4, x + width // 4 : x + width * 3 // 4]
    copy, original = (
        cv2.Laplacian(frames_of(path)[0][inner], cv2.CV_64F).var() for path in (output, film)
    )
    assert copy < original / 10
    assert [row[1] for row in rows_of(log)] == list(range(FRAMES))


@pytest.mark.parametrize("name", ["rows.csv", "rows.jsonl"])
def test_an_empty_or_cut_log_is_resumed(
    name: str, film: Path, artifact: Path, tmp_path: Path
) -> None:
    """A log with nothing whole in it is gone on with from the start."""
    log = tmp_path / name
    words = [film, "--model", artifact, "--log", log]
    assert call(*words).exit_code == 0
    whole = log.read_bytes()
    for kept in (0, 7, whole.index(b"\n") + 5):
        log.write_bytes(whole[:kept])
        result = call(*words, "--resume")
        assert result.exit_code == 0, result.exception
        assert len(rows_of(log)) == FRAMES


@posix_only
@pytest.mark.parametrize("asked", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_keeps_what_was_done(
    asked: signal.Signals, artifact: Path, tmp_path: Path
) -> None:
    """Ctrl-C and a polite kill leave whole rows, a playable copy and a timeline; 130 or 143."""
    film = tmp_path / "long.mp4"
    write_film(film, 700)
    log, output, timeline = (tmp_path / name for name in ("rows.csv", "out.mp4", "time.png"))
    written = ["--log", log, "--output", output, "--timeline", timeline]
    process = subprocess.Popen(
        [sys.executable, "-m", "emodetect", "video", film, "--model", artifact, *written],
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(asked, signal.SIG_DFL),
    )
    while process.poll() is None and not (log.exists() and log.read_bytes().count(b"\n") > 20):
        time.sleep(0.01)
    process.send_signal(asked)
    told = process.communicate(timeout=60)[1]
    assert process.returncode == 128 + asked
    assert asked.name in told
    assert "Traceback" not in told
    rows = rows_of(log)
    assert 20 <= len(rows) < 700
    assert len(frames_of(output)) == len(rows)
    assert timeline.exists()


@posix_only
def test_files_are_neither_lost_nor_mixed_up(film: Path, artifact: Path, tmp_path: Path) -> None:
    """Existing files, doubled names, other logs and other --every are each told in one line."""
    log, old = tmp_path / "rows.csv", tmp_path / "old.mp4"
    old.write_text("precious")
    foreign = {name: tmp_path / name for name in ("note.csv", "note.jsonl")}
    for file in foreign.values():
        file.write_text("what,else\n1,2")
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "sub").mkdir()
    twin = shutil.copy(film, tmp_path / "sub" / "film.mp4")
    assert call(film, "--model", artifact, "--log", log, "--every", 5).exit_code == 0
    before = log.read_bytes()
    for arguments, message in (
        ([film, "--log", log], "--force"),
        ([film, "--output", old], "--force"),
        ([film, "--output", film, "--force"], "overwrite the source"),
        ([film, "--output", "x.mkv"], ".mp4, .webm, .gif or .avi"),
        ([film, "--timeline", "x.jpg"], ".png"),
        ([film, "--log", "x.txt"], ".jsonl or .csv"),
        ([film, film], "given twice"),
        (["http://h/v?key=1", "http://h/v?key=2"], "http://h/v: given twice"),
        ([film, twin, "--output", tmp_path / "both"], "two videos"),
        ([film, "--resume"], "--log"),
        ([film, "--log", log, "--resume"], "--every"),
        ([film, "--log", foreign["note.csv"], "--resume"], "expected rows of this model"),
        ([film, "--log", foreign["note.jsonl"], "--resume"], "expected rows of this model"),
        ([film, twin, "--output", tmp_path / "a.mp4"], "expected a folder"),
    ):
        result = call(*arguments, "--model", artifact)
        assert isinstance(result.exception, VideoError), arguments
        assert message in str(result.exception)
        assert "\n" not in str(result.exception)
    assert old.read_text() == "precious"
    assert log.read_bytes() == before
    assert {file.read_text() for file in foreign.values()} == {"what,else\n1,2"}
    for name, message in (("pipe.mp4", "a pipe"), ("\udcff.mp4", "rename")):
        shutil.copy(film, tmp_path / "\udcff.mp4")
        result = call(tmp_path / name, "--model", artifact)
        assert result.exit_code == 1
        assert message in result.stderr
    for wrong in (["--privacy"], ["--privacy", "--output", "x.mp4", "--every", 2]):
        assert call(film, *wrong).exit_code == 2
    assert call(film, "--no-tracking", "--smoothing", 1).exit_code == 2
    for option in ("--scan-interval", "--smoothing", "--hysteresis"):
        assert call(film, option, "nan").exit_code == 2
    assert call(film, "--detector", "haarr").exception is not None


class FakeFile:
    """Stands in for cv2.VideoCapture: a file with the time of each frame, and what it states."""

    def __init__(
        self, times_s: list[float], *, fps: float, duration_s: float, start_s: float = 0.0
    ) -> None:
        self.times_s, self.start_s = iter(times_s), start_s
        self.stated = {cv2.CAP_PROP_FPS: fps, cv2.CAP_PROP_FRAME_COUNT: round(fps * duration_s)}
        self.now_s = 0.0

    def grab(self) -> bool:
        self.now_s = next(self.times_s, -1.0)
        return self.now_s >= 0

    def retrieve(self) -> tuple[bool, np.ndarray]:
        return True, np.full((120, 160, 3), 127, np.uint8)

    def get(self, propId: int) -> float:  # noqa: N803
        if propId == cv2.CAP_PROP_PTS:
            return max(0.0, self.now_s + self.start_s) * self.stated[cv2.CAP_PROP_FPS]
        if propId == cv2.CAP_PROP_POS_MSEC:
            return max(0.0, self.now_s) * 1000
        return self.stated.get(propId, 0.0)

    def release(self) -> None:
        pass


def call_on(
    file: Callable[[], FakeFile], monkeypatch: pytest.MonkeyPatch, *arguments: object
) -> Result:
    """Run the command on a file that cannot be written without ffmpeg."""
    monkeypatch.setattr(capture, "open_file_or_url", lambda source: file())
    return call("film.mkv", *arguments)


VARIABLE_S = [number / 25 for number in range(60)] + [2.4 + number / 5 for number in range(40)]


@pytest.mark.parametrize("every", [1, 30])
@pytest.mark.parametrize(
    ("times_s", "stated"),
    [
        (VARIABLE_S, {"duration_s": 10.4}),
        # A rate of 1000 is the clock of the container.
        (VARIABLE_S, {"duration_s": 10.4, "fps": 1000.0}),
        # The stated length begins at 0, the frames later.
        (VARIABLE_S, {"duration_s": 30.4, "start_s": 20.0}),
        (VARIABLE_S[:60], {"duration_s": 2.4}),
        # Its timestamps are unusable, its number of frames is right.
        ([0.0] * 50, {"duration_s": 2.0}),
    ],
)
def test_a_whole_film_is_not_called_damaged(
    times_s: list[float],
    stated: dict[str, float],
    every: int,
    artifact: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Neither with a variable frame rate nor with times that begin late is a word said."""
    log = tmp_path / "rows.jsonl"
    result = call_on(
        lambda: FakeFile(times_s, **{"fps": 25.0, **stated}),
        monkeypatch,
        *("--model", artifact, "--log", log, "--every", every),
    )
    assert result.exit_code == 0, result.exception
    assert len(result.stderr.splitlines()) == 1
    rows = rows_of(log)
    assert len(rows) == -(-len(times_s) // every)
    if any(times_s):
        assert [row[2] for row in rows] == pytest.approx(times_s[::every], abs=1e-3)


@pytest.mark.parametrize("every", [1, 30])
@pytest.mark.parametrize("times_s", [VARIABLE_S[:70], VARIABLE_S[:5]])
def test_a_film_that_ends_early_is_told(
    times_s: list[float],
    every: int,
    artifact: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A file with a variable frame rate that is cut off is told with the times."""
    result = call_on(
        lambda: FakeFile(times_s, fps=25.0, duration_s=10.4),
        monkeypatch,
        *("--model", artifact, "--every", every),
    )
    assert result.exit_code == 1
    (note,) = result.stderr.splitlines()
    assert f"{times_s[-1]:.1f} s of 10.4 s" in note
    assert "truncated" in note


def test_sound_with_a_cover_is_no_film(artifact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A song's cover picture, which FFmpeg gives as a video of one frame, is told as such."""
    result = call_on(
        lambda: FakeFile([0.0], fps=90_000.0, duration_s=4.0), monkeypatch, "--model", artifact
    )
    assert result.exit_code == 1
    assert "error: film.mkv: contains no video, only sound" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def _box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", 8 + len(content)) + kind + content


def test_a_file_of_sound_alone_is_named(artifact: Path, tmp_path: Path) -> None:
    """A recording without a picture is told as such, in a .wav, .mp3 or .mp4."""
    song, speech, talk = (tmp_path / name for name in ("a.wav", "b.mp3", "c.mp4"))
    with wave.open(str(song), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(16_000))
    speech.write_bytes(b"ID3\x04" + bytes(100))
    track = _box(b"trak", _box(b"mdia", _box(b"hdlr", bytes(8) + b"soun" + bytes(13))))
    talk.write_bytes(_box(b"ftyp", b"isom" + bytes(4)) + _box(b"moov", track))
    for path in (song, speech, talk):
        result = CliRunner().invoke(app, ["video", str(path), "--model", str(artifact)])
        assert result.exit_code == 1
        assert "contains no video, only sound" in f"{result.exception} {result.stderr}"


def test_the_copy_keeps_the_sound(film: Path, artifact: Path, tmp_path: Path) -> None:
    """The copy has its source's sound, also of an address, and where its format cannot hold the
    sound as it is; a source without sound gives none.
    """
    program = next(ffmpeg.installed_ffmpegs())
    loud, pcm, output = (tmp_path / name for name in ("loud.mp4", "pcm.mov", "out.mp4"))
    tone = ["-f", "lavfi", "-i", "sine=duration=2", "-c:v", "copy", "-shortest"]
    for path, codec in ((loud, "aac"), (pcm, "pcm_s16le")):
        made = ["-c:a", codec, "-movflags", "+faststart", path]
        subprocess.run([program, "-v", "error", "-i", film, *tone, *made], check=True)
    with served(tmp_path) as address:
        for source, streams in (
            (loud, ["h264", "aac"]),
            (pcm, ["h264", "aac"]),
            (f"{address}/loud.mp4", ["h264", "aac"]),
            (film, ["h264"]),
        ):
            result = call(source, "--model", artifact, "--output", output, "--force")
            assert result.exit_code == 0
            assert "no sound" not in result.stderr
            done = subprocess.run([program, "-i", output], capture_output=True, text=True)
            assert re.findall(r"(?:Video|Audio): (\w+)", done.stderr) == streams
            assert len(frames_of(output)) == FRAMES


def test_the_sound_of_a_copy_fits_a_picture_that_begins_late(
    film: Path, artifact: Path, tmp_path: Path
) -> None:
    """What is heard with the first picture of a video is heard with that of its copy."""
    program, late, output = next(ffmpeg.installed_ffmpegs()), tmp_path / "l.mp4", tmp_path / "o.mp4"
    tone = ["-f", "lavfi", "-i", "aevalsrc='gt(t,0.5)*sin(2000*t)':duration=1.7"]
    made = ["-c:v", "copy", "-c:a", "aac", late]
    subprocess.run(
        [program, "-v", "error", "-itsoffset", "0.5", "-i", film, *tone, *made], check=True
    )
    assert call(late, "--model", artifact, "--output", output).exit_code == 0
    heard = {}
    for path in (late, output):
        words = [program, "-v", "error", "-i", path, "-ac", "1", "-ar", "1000", "-f", "s16le", "-"]
        samples = np.frombuffer(
            subprocess.run(words, capture_output=True, check=True).stdout, "<i2"
        )
        heard[path] = np.flatnonzero(np.abs(samples.astype(int)) > 3000)[0] / 1000
    assert heard[late] == pytest.approx(0.5, abs=0.1)
    assert heard[output] == pytest.approx(0.0, abs=0.1)


def test_pixels_that_are_not_square_are_made_so(film: Path, tmp_path: Path) -> None:
    """Frames of an anamorphic film look as in a player, also where the film lies on its side."""
    program, squeezed, turned = next(ffmpeg.installed_ffmpegs()), *map(tmp_path.joinpath, "ab")
    form = ["-f", "mp4", squeezed]
    subprocess.run(
        [program, "-v", "error", "-i", film, "-vf", "scale=160:200,setsar=2", *form], check=True
    )
    with capture.open_source(source=str(squeezed)) as source:
        (frame,) = capture.read_frames(source, max_frames=1)
    assert np.abs(frame.image.astype(int) - frames_of(film)[0]).mean() < 8
    upright = struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    on_side = struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30)
    before, found, after = squeezed.read_bytes().rpartition(upright)  # that of the track
    assert found
    turned.write_bytes(before + on_side + after)
    with capture.open_source(source=str(turned)) as source:
        (frame,) = capture.read_frames(source, max_frames=1)
    assert frame.image.shape == (320, 200, 3)


@pytest.mark.parametrize(
    "turn",
    [(x, 0, 0, y) for x in (1, -1) for y in (1, -1)]
    + [(0, x, y, 0) for x in (1, -1) for y in (1, -1)],
)
def test_frames_are_turned_and_mirrored_as_in_a_player(
    film: Path, tmp_path: Path, turn: tuple[int, int, int, int]
) -> None:
    """As the track says: the pixel at x, y goes to a x + c y, b x + d y."""
    a, b, c, d = turn
    upright = struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    told = struct.pack(">9i", *(n << 16 for n in (a, b, 0, c, d, 0, 0, 0)), 1 << 30)
    before, found, after = film.read_bytes().rpartition(upright)
    assert found
    turned = tmp_path / "turned.mp4"
    turned.write_bytes(before + told + after)
    image = frames_of(film)[0]
    y, x = np.indices(image.shape[:2])
    across, down = a * x + c * y, b * x + d * y
    expected = np.empty((np.ptp(down) + 1, np.ptp(across) + 1, 3), np.uint8)
    expected[down - down.min(), across - across.min()] = image
    for mirror in (False, True):
        with capture.open_source(source=str(turned), mirror=mirror) as source:
            (frame,) = capture.read_frames(source, max_frames=1)
        np.testing.assert_array_equal(frame.image, expected[:, ::-1] if mirror else expected)


def test_a_trimmed_file_is_whole(film: Path, artifact: Path, tmp_path: Path) -> None:
    """Frames before the start of a film that was cut without encoding it anew are not missed."""
    program, trimmed = next(ffmpeg.installed_ffmpegs()), tmp_path / "trimmed.mp4"
    start = ["-ss", f"{0.5 * FRAMES / FPS}"]
    subprocess.run([program, "-v", "error", *start, "-i", film, "-c", "copy", trimmed], check=True)
    result = call(trimmed, "--model", artifact, "--log", tmp_path / "rows.csv")
    assert result.exit_code == 0, result.stderr
    assert len(rows_of(tmp_path / "rows.csv")) == pytest.approx(0.5 * FRAMES, abs=2)
    with capture.open_source(source=str(trimmed)) as source:
        assert source.frame_count == pytest.approx(0.5 * FRAMES, abs=2)


def test_lengths_that_are_not_known_hide_no_frames(film: Path, tmp_path: Path) -> None:
    """All ones, in either header, say nothing on how much of a film is shown."""
    data = film.read_bytes()
    for kind, at in ((b"tkhd", 24), (b"mdhd", 20)):
        place = data.index(kind) + at
        unknown = tmp_path / "unknown.mp4"
        unknown.write_bytes(data[:place] + b"\xff" * 4 + data[place + 4 :])
        assert [track.shown for track in mp4_tracks(unknown)] == [1.0]


def test_a_damaged_list_of_tracks_says_nothing(film: Path, tmp_path: Path) -> None:
    """Wherever the file ends, and whatever its bytes are, no track or some track is found."""
    data, damaged = film.read_bytes(), tmp_path / "damaged.mp4"
    assert [track.kind for track in mp4_tracks(film)] == ["vide"]
    at = data.index(b"moov") - 4
    rng = np.random.default_rng(0)
    for end in range(at, len(data), 31):
        damaged.write_bytes(data[:end])
        mp4_tracks(damaged)
        changed = np.frombuffer(data, np.uint8).copy()
        changed[rng.integers(at, len(data), 3)] = rng.choice([0, 1, 8, 255], 3)
        damaged.write_bytes(changed.tobytes())
        mp4_tracks(damaged)
    damaged.write_bytes(bytes(7) + b"\x01moov")
    assert mp4_tracks(damaged) == mp4_tracks(tmp_path / "none.mp4") == []


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address under which the files of a folder are there, for the block."""
    handler = functools.partial(QuietHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    """Serves files and prints nothing."""

    def log_message(self, *arguments: object) -> None:
        pass


def test_without_an_encoder_nothing_is_begun(
    film: Path, artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without ffmpeg a copy is refused before the run, with the line that installs one."""
    monkeypatch.setenv("PATH", os.devnull)
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    log = tmp_path / "rows.csv"
    for output in (tmp_path / "out.mp4", tmp_path / "out.webm", tmp_path / "out.gif"):
        result = call(film, "--model", artifact, "--log", log, "--output", output)
        assert isinstance(result.exception, VideoError)
        assert str(result.exception).startswith(f"{output}: expected ffmpeg")
        assert str(result.exception).endswith('pip install "emodetect[video]"')
    assert list(tmp_path.iterdir()) == []
    assert call(film, "--model", artifact, "--log", log).exit_code == 0


def test_sound_that_cannot_be_added_is_told(
    film: Path, artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy whose sound fails is there, with a note that it is mute."""
    monkeypatch.setattr(sound, "FFMPEG_TIMEOUT_S", 0)
    output = tmp_path / "out.mp4"
    result = call(film, "--model", artifact, "--output", output)
    assert result.exit_code == 0
    assert f"{output} has no sound: ffmpeg: " in result.stderr
    assert len(frames_of(output)) == FRAMES
    assert list(tmp_path.iterdir()) == [output]


def test_the_files_written_are_named(
    film: Path, artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last line of a video names its files; that of a finished job says that it is."""
    log, output, timeline = (tmp_path / name for name in ("rows.csv", "out.mp4", "time.png"))
    words = [film, "--model", artifact, "--log", log]
    result = call(*words, "--output", output, "--timeline", timeline)
    assert result.stderr.endswith(f"; wrote {log}, {output}, {timeline}\n")
    assert result.stdout == ""
    monkeypatch.setattr(video_files, "analyze_frames", None)  # at once, without reading it again
    again = call(*words, "--resume")
    monkeypatch.undo()
    assert again.stderr == f"{film}: already finished; all {FRAMES} frames are in the log\n"
    redrawn = call(*words, "--resume", "--output", output)
    assert redrawn.stderr.endswith(
        f"already finished; all 30 frames are in the log; wrote {output}\n"
    )
    log.write_text("".join(log.read_text().splitlines(keepends=True)[:11]))
    assert "20 frames in" in (told := call(*words, "--resume").stderr)
    assert "after 10 that were in the log" in told


def test_what_was_seen_is_summed_up(film: Path, artifact: Path, tmp_path: Path) -> None:
    """Without a file to write, stdout says which faces were seen, how long and with what."""
    result = call(film, "--model", artifact)
    assert result.exit_code == 0
    assert result.stderr == ""
    title, *table = result.stdout.splitlines()
    assert title == f"{film}: 1.2 s, 1 face"
    assert re.search(
        r"│ 1 +│ (happy|sad|surprise) \d+\.\d%.* │ 1\.2 s \(100\.0%\) │", "\n".join(table)
    )
    blank = tmp_path / "blank.mp4"
    with VideoWriter(blank, fps=FPS) as writer:
        for index in range(5):
            writer.write(Frame(index, index / FPS, np.full((200, 320, 3), 127, np.uint8)))
    assert call(blank, "--model", artifact).stdout == f"{blank}: 0.2 s, no face found\n"
    useless = call(film, "--model", artifact, "--min-seconds", 1, "--log", tmp_path / "no.csv")
    assert useless.exit_code == 2
    assert "add --timeline" in useless.stderr
    untracked = call(film, "--model", artifact, "--no-tracking").stdout
    assert "faces found" in untracked
    assert "any" in untracked


def test_faces_that_are_seen_shortly_can_be_left_out(
    film: Path, artifact: Path, tmp_path: Path
) -> None:
    """--min-seconds leaves them out of the summary and the timeline, and says how many."""
    whole = call(film, "--model", artifact).stdout
    assert "less than --min-seconds" not in whole
    shown = call(film, "--model", artifact, "--min-seconds", 60).stdout
    assert "1 face\n" in shown
    assert "1 face visible for less than --min-seconds" in shown
    log = tmp_path / "rows.csv"
    options = ("--log", log, "--min-seconds", 60, "--timeline", tmp_path / "time.png")
    assert call(film, "--model", artifact, *options).exit_code == 0
    assert all(len(faces) == 1 for _, _, _, faces in rows_of(log))
    untracked = call(film, "--model", artifact, "--min-seconds", 1, "--no-tracking")
    assert untracked.exit_code == 2
    assert "--min-seconds requires tracked faces" in untracked.stderr


@pytest.mark.parametrize("tracking", [[], ["--no-tracking"]])
def test_rows_of_the_first_sightings_are_written(
    tracking: list[str], film: Path, artifact: Path, tmp_path: Path
) -> None:
    """A face is in the log from the first frame on, in which it was not confirmed yet."""
    log = tmp_path / "rows.jsonl"
    assert call(film, "--model", artifact, "--log", log, *tracking).exit_code == 0
    rows = rows_of(log)
    assert [frame for _, frame, _, _ in rows] == list(range(FRAMES))
    assert all(len(faces) == 1 for _, _, _, faces in rows)


def test_a_video_that_cannot_be_opened_leaves_no_log(
    film: Path, artifact: Path, tmp_path: Path
) -> None:
    """A mistyped name does not stand in the way of the next run, nor empty an older log."""
    for name in ("rows.csv", "rows.jsonl"):
        log = tmp_path / name
        assert call(tmp_path / "tolk.mp4", "--model", artifact, "--log", log).exit_code == 1
        assert not log.exists()
        assert call(film, "--model", artifact, "--log", log).exit_code == 0
        before = log.read_bytes()
        wrong = call(tmp_path / "tolk.mp4", "--model", artifact, "--log", log, "--force")
        assert wrong.exit_code == 1
        assert log.read_bytes() == before


def test_a_photo_is_sent_to_predict_and_a_video_to_video(
    film: Path, artifact: Path, tmp_path: Path
) -> None:
    """Who gives the one command what the other takes is told so, whatever the file is called."""
    photo = tmp_path / "group.jpg"
    cv2.imwrite(str(photo), frames_of(film)[0])
    for name in ("unnamed", "group.mp4"):
        shutil.copy(photo, tmp_path / name)
    (tmp_path / "broken.jpg").write_text("no photo")
    for name in ("group.jpg", "unnamed", "group.mp4", "broken.jpg"):
        result = call(tmp_path / name, "--model", artifact)
        assert result.exit_code == 1
        assert f"a photo, not a video; use `emodetect predict {tmp_path / name}`" in result.stderr
    (tmp_path / "old.wmv").write_bytes(b"of no known kind")
    for name in (film, shutil.copy(film, tmp_path / "film.jpg"), tmp_path / "old.wmv"):
        result = CliRunner().invoke(app, ["predict", str(name), "--model", str(artifact)])
        assert result.exit_code == 1
        assert "a video, not a photo; use `emodetect video`" in result.stdout
    moving = tmp_path / "moving.gif"
    assert call(film, "--model", artifact, "--output", moving).exit_code == 0
    assert "1 face" in call(moving, "--model", artifact).stdout


def test_a_cut_row_of_a_csv_takes_its_frame_along(tmp_path: Path) -> None:
    """Where a line of a frame with several faces is cut, the whole frame is analysed again."""
    log, scores = tmp_path / "rows.csv", dict.fromkeys(EMOTIONS, 1 / 3)
    faces = [Face((1, 2, 3, 4), "sad", 1 / 3, scores, number) for number in (1, 2)]
    with RowLog(log, EMOTIONS) as rows:
        for index in range(3):
            rows.write("a,b.mp4", Frame(index, index / FPS, np.empty(0)), faces)
    whole = log.read_bytes()
    drop_cut_row(log)
    assert log.read_bytes() == whole
    log.write_bytes(whole[:-5])
    drop_cut_row(log)
    assert [(name, index, len(found)) for name, index, _, found in rows_of(log)] == [
        ("a,b.mp4", 0, 2),
        ("a,b.mp4", 1, 2),
    ]


def test_a_csv_cut_between_two_faces_gets_both(artifact: Path, tmp_path: Path) -> None:
    """A frame of an unfinished video, of which a crash left one face of two, is analysed again."""
    log, scores = tmp_path / "rows.csv", dict.fromkeys(EMOTIONS, 1 / 3)
    faces = [Face((1, 2, 3, 4), "sad", 1 / 3, scores, number) for number in (1, 2)]
    with RowLog(log, EMOTIONS) as rows:
        for index in range(3):
            rows.write("a.mp4", Frame(index, index / FPS, np.empty(0)), faces)
    log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[:-1]))
    file = StateFile(log, "a.mp4", {})
    tracker = EmotionTracker(EmotionRecognizer(artifact), tracked=False)
    state = TrackerState.of(tracker, file, frames=2)
    assert state is not None
    file.write(state)
    for _ in range(2):  # the state was written after all rows of two frames
        (job,) = plan_videos(VideoOptions(videos=("a.mp4",), log=log, resume=True), EMOTIONS)
        assert job.known == 2


def test_a_copy_does_not_change_the_rows_of_few_frames(artifact: Path, tmp_path: Path) -> None:
    """Frames that are only copied do not count among those that could confirm a face."""
    film, log, output = tmp_path / "short.mp4", tmp_path / "rows.jsonl", tmp_path / "out.avi"
    write_film(film, 15)
    words = (film, "--model", artifact, "--every", 5, "--log", log)
    assert call(*words).exit_code == 0
    rows = rows_of(log)
    assert [[face.id for face in faces] for _, _, _, faces in rows] == [[1]] * 3
    assert call(*words, "--output", output, "--force").exit_code == 0
    assert rows_of(log) == rows


def test_rows_of_another_model_are_refused(tmp_path: Path) -> None:
    """A log with other emotions is not gone on with."""
    for name in ("rows.csv", "rows.jsonl"):
        with RowLog(tmp_path / name, ("angry", "sad")) as rows:
            face = Face((1, 2, 3, 4), "sad", 0.5, {"angry": 0.5, "sad": 0.5}, 1)
            rows.write("a.mp4", Frame(0, 0.0, np.empty(0)), [face])
        with pytest.raises(VideoError, match="--force"):
            rows_of(tmp_path / name)


@pytest.mark.parametrize("name", ["rows.csv", "rows.jsonl"])
def test_a_log_that_is_replaced_begins_anew(name: str, tmp_path: Path) -> None:
    """Of the rows that were there nothing stays, and the columns of a csv are named."""
    for _ in range(2):
        with RowLog(tmp_path / name, EMOTIONS) as rows:
            rows.write("a.mp4", Frame(0, 0.0, np.empty(0)), [])
        assert [index for _, index, _, _ in rows_of(tmp_path / name)] == [0]


def test_two_runs_do_not_share_a_log(film: Path, artifact: Path, tmp_path: Path) -> None:
    """A log that another run writes to is refused, and keeps what that one wrote."""
    log = tmp_path / "rows.jsonl"
    with RowLog(log, EMOTIONS) as rows:
        rows.write("a.mp4", Frame(0, 0.0, np.empty(0)), [])
        for choice in ("--resume", "--force"):
            result = call(film, "--model", artifact, "--log", log, choice)
            assert isinstance(result.exception, VideoError)
            assert "another run is writing to it" in str(result.exception)
    assert [row[0] for row in rows_of(log)] == ["a.mp4"]
    assert call(film, "--model", artifact, "--log", log, "--resume").exit_code == 0
    assert len(rows_of(log)) == 1 + FRAMES


def test_a_full_disk_is_told(tmp_path: Path) -> None:
    """A log on a full disk ends in one line."""
    with (
        RowLog(tmp_path / "rows.jsonl", EMOTIONS) as rows,
        Path("/dev/full").open("wb", buffering=0) as full,
    ):
        rows.file = full
        with pytest.raises(VideoError, match="cannot be written: No space left"):
            rows.write("a.mp4", Frame(0, 0.0, np.empty(0)), [])


def test_a_timeline_says_which_faces_it_does_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    """Faces beyond the first rows, and those too short for --min-seconds, are counted apart."""
    titles: list[str] = []
    monkeypatch.setattr(Figure, "suptitle", lambda self, text, **_: titles.append(text))
    record = FaceRecord(EMOTIONS)
    scores = dict.fromkeys(EMOTIONS, 1 / 3)
    faces = [Face((0, 0, 9, 9), "happy", 0.5, scores, number) for number in range(1, 10)]
    for time_s in (0.0, 1.0):
        record.add(time_s, faces)
    for left_out in ((), {1, 2}, range(1, 10)):
        draw_timeline(record, title="t", left_out=left_out)
    whole, shorter, none = (" ".join(title.split()) for title in titles)
    assert whole.endswith("(longest visible; 3 more not shown)")
    assert shorter.endswith("1 more not shown; 2 visible for less than --min-seconds not shown)")
    assert none.endswith("(9 visible for less than --min-seconds not shown)")


def test_a_timeline_shows_the_faces_seen_longest(tmp_path: Path) -> None:
    """Of nine faces, the six that are visible longest have a row; none at all is a plot too."""
    record = FaceRecord(EMOTIONS)
    save_timeline(draw_timeline(record, title=r"a$\b$"), tmp_path / "none.png")
    scores = dict(zip(EMOTIONS, (0.5, 0.3, 0.2), strict=True))
    for index in range(100):
        faces = [
            Face((0, 0, 9, 9), "happy", 0.5, scores, number)
            for number in range(1, 10)
            if index % (10 * (10 - number)) < 40
        ]
        record.add(index * 0.2, faces)
    figure = draw_timeline(record, title="many")
    assert [axes.get_ylabel() for axes in figure.axes] == [f"face {n}" for n in range(4, 10)]
    save_timeline(figure, tmp_path / "many.png")
    none, many = (cv2.imread(str(tmp_path / name)) for name in ("none.png", "many.png"))
    assert many.shape[0] > 3 * none.shape[0]
    with pytest.raises(VideoError, match="cannot be written"):
        save_timeline(draw_timeline(record, title=""), tmp_path / "no" / "folder.png")


def test_a_timeline_names_any_label(tmp_path: Path) -> None:
    """Labels are no formulas, which could be wrong, and none is left out of the legend."""
    emotions = ("a_{$", "$x$", "_hidden")
    record = FaceRecord(emotions)
    scores = dict(zip(emotions, (0.5, 0.3, 0.2), strict=True))
    for time_s in (0.0, 1.0):
        record.add(time_s, [Face((0, 0, 9, 9), "$x$", 0.5, scores, 1)])
    figure = draw_timeline(record, title="")
    save_timeline(figure, tmp_path / "time.png")
    names = figure.legends[0].get_texts()
    assert tuple(name.get_text() for name in names) == emotions
    assert not any(name.get_parse_math() for name in names)


def test_a_timeline_s_title_is_whole(tmp_path: Path) -> None:
    """A long name goes on in a second line, and letters that the font has not are no warning."""
    for title in ("talk.mp4", "x" * 70 + " " + "y" * 110 + ".mp4", "日本.mp4"):
        record = FaceRecord(EMOTIONS)
        save_timeline(draw_timeline(record, title=title), tmp_path / "time.png")
        picture = cv2.imread(str(tmp_path / "time.png"))
        assert (picture[:, :3] == 255).all()
        assert (picture[:, -3:] == 255).all()


def test_a_timeline_of_few_frames_is_not_all_gaps(tmp_path: Path) -> None:
    """Frames further apart than a gap are long are still joined."""
    scores = dict(zip(EMOTIONS, (0.5, 0.3, 0.2), strict=True))
    pictures = []
    for step_s in (0.5, 3.0):
        record = FaceRecord(EMOTIONS)
        for index in range(10):
            record.add(index * step_s, [Face((0, 0, 9, 9), "happy", 0.5, scores, 1)])
        save_timeline(draw_timeline(record, title="few"), tmp_path / "few.png")
        pictures.append(cv2.imread(str(tmp_path / "few.png")))
    middle = np.s_[60:150, 100:-100]
    assert (pictures[1][middle] != 255).any(axis=2).mean() > 0.9
    assert np.abs(pictures[0][middle].astype(int) - pictures[1][middle]).mean() < 3


def test_the_copy_tells_faces_apart_as_the_rows_do() -> None:
    """A followed face's label begins with its number; a photo's faces have none."""
    image, scores = np.zeros((200, 300, 3), np.uint8), dict.fromkeys(EMOTIONS, 1 / 3)
    for emotion in ("sad", "uncertain"):
        faces = [Face((50, 80, 90, 90), emotion, 1 / 3, scores, number) for number in (None, 1, 2)]
        assert len({draw_faces(image, [face]).tobytes() for face in faces}) == 3


def test_rows_are_json(film: Path, artifact: Path, tmp_path: Path) -> None:
    """Each line of a .jsonl stands for itself, with the keys that the help names."""
    log = tmp_path / "rows.jsonl"
    assert call(film, "--model", artifact, "--log", log).exit_code == 0
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    assert len(rows) == FRAMES
    for row in rows:
        assert set(row) == {"video", "frame", "time_s", "faces"}
        assert row["faces"]
        for face in row["faces"]:
            assert set(face) == {"id", "box", "emotion", "confidence", "scores"}


@pytest.mark.parametrize(
    ("names", "columns"),
    [
        (tuple("abcdefgh"), 8),
        (tuple(f"label {number:02d}" for number in range(20)), 8),
        (("x" * 200, "y"), 1),
        (("表情" * 40, "怒り"), 1),
    ],
)
def test_the_legend_of_a_timeline_is_inside_it(names: tuple[str, ...], columns: int) -> None:
    """Names that do not fit side by side get further lines."""
    record = FaceRecord(names)
    for time_s in (0.0, 0.2):
        scores = dict.fromkeys(names, 1 / len(names))
        record.add(time_s, [Face((0, 0, 9, 9), names[0], 0.5, scores, 1)])
    figure = draw_timeline(record, title="")
    figure.canvas.draw()
    (legend,) = figure.legends
    assert legend._ncols == min(columns, len(names))
    if names[0].isascii() and len(names[0]) < 100:
        place = legend.get_window_extent()
        assert 0 <= place.x0 < place.x1 <= figure.bbox.width


@pytest.mark.parametrize(
    "argument",
    [{"every": 1.5}, {"every": 0}, {"recognizer": "ferplus"}, {"tracking": 3}, {"video": b"RIFF"}],
)
def test_analyze_video_refuses_other_kinds_of_arguments(
    film: Path, argument: dict[str, Any]
) -> None:
    """Half a frame, a model's name in place of a recogniser, bytes in place of a path."""
    with pytest.raises(VideoError, match=next(iter(argument))):
        emodetect.analyze_video(**{"video": film, **argument})


def test_a_program_may_end_with_a_video_half_read(film: Path, artifact: Path) -> None:
    """Threads that still decode and analyse do not make the interpreter crash at its end."""
    program = (
        "import sys, emodetect\n"
        "recognizer = emodetect.EmotionRecognizer(sys.argv[2])\n"
        "video = emodetect.analyze_video(sys.argv[1], recognizer=recognizer)\n"
        "for frame in video:\n"
        "    if frame.frame == 1: break\n"
    )
    for _ in range(3):
        done = run_python(program, film, artifact)
        assert (done.returncode, done.stderr) == (0, "")


def test_names_that_are_one_in_the_log_are_refused(tmp_path: Path, artifact: Path) -> None:
    """A name with a line break, and one with its escape, would share their rows."""
    names = ("a\nb.mp4", "a\\nb.mp4")
    for name in names:
        write_film(tmp_path / name, 5)
    result = call(*(tmp_path / name for name in names), "--model", artifact)
    assert "given twice" in str(result.exception)


def test_what_follows_a_damaged_part_is_read(film: Path) -> None:
    """Frames that cannot be read do not end a file, in which OpenCV finds its way again."""

    class Damaged:
        """A capture whose third and fourth frame are not to be had."""

        def __init__(self, capture: cv2.VideoCapture) -> None:
            self.capture, self.grabbed = capture, 0

        def grab(self) -> bool:
            self.grabbed += 1
            return self.capture.grab() and self.grabbed not in (3, 4)

        def __getattr__(self, name: str) -> Any:
            return getattr(self.capture, name)

    with open_source(source=str(film)) as source:
        source.capture = Damaged(source.capture)
        times_s = [frame.time_s for frame in read_frames(source)]
    assert len(times_s) == FRAMES - 2
    assert times_s == sorted(set(times_s))


@pytest.mark.parametrize(("frames", "kept"), [(3, 1), (6, 0)])
def test_what_is_seen_in_the_last_frame_alone_is_no_face(frames: int, kept: int) -> None:
    """Unless the film is too short to tell."""
    face = Face((0, 0, 9, 9), {"happy": 1.0}, "happy", 1.0)
    seen = [Seen(()) for _ in range(frames - 1)] + [Seen((Sighting(face, 1),))]
    *_, (_, last) = complete_frames(list(enumerate(seen)))
    assert len(last.faces) == kept


@pytest.mark.parametrize(("suffix", "dropped"), [(".csv", 2), (".jsonl", 1)])
def test_a_cut_row_is_dropped_from_a_log_of_any_length(
    suffix: str, dropped: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a long log only the end is read; a line longer than that is none of a log."""
    log = tmp_path / f"rows{suffix}"
    with RowLog(log, EMOTIONS) as rows:
        for index in range(50):
            rows.write("a.mp4", Frame(index, index / 25, np.empty(0)), [])
    whole = log.read_bytes()
    monkeypatch.setattr(row_log, "TAIL_BYTES", 200)
    log.write_bytes(whole[:-5])
    drop_cut_row(log)
    assert log.read_bytes() == b"".join(whole.splitlines(keepends=True)[:-dropped])
    log.write_bytes(whole + b"x" * 200)
    with pytest.raises(VideoError, match="too long for a log"):
        drop_cut_row(log)
    assert log.read_bytes() == whole + b"x" * 200


def test_a_row_that_the_disk_takes_in_part_ends_the_run(tmp_path: Path) -> None:
    """Where a disk becomes full within a row, the system writes the beginning, without an error."""

    class AlmostFull(io.FileIO):
        def write(self, data: bytes) -> int:
            return super().write(data[:5])

    with RowLog(tmp_path / "rows.jsonl", EMOTIONS) as rows:
        rows.file = AlmostFull(tmp_path / "rows.jsonl", "w")
        with rows.file, pytest.raises(VideoError, match=r"rows\.jsonl: the disk is full"):
            rows.write("a.mp4", Frame(0, 0.0, np.empty(0)), [])


@posix_only
def test_rows_may_go_to_another_program(tmp_path: Path) -> None:
    """A named pipe takes the rows of a log one by one."""
    log = tmp_path / "rows.jsonl"
    os.mkfifo(log)
    read = os.open(log, os.O_RDONLY | os.O_NONBLOCK)
    with RowLog(log, EMOTIONS) as rows:
        for index in range(2):
            rows.write("a.mp4", Frame(index, index / 25, np.empty(0)), [])
            assert json.loads(os.read(read, 1000))["frame"] == index
    os.close(read)


def test_a_frame_is_on_disk_before_the_next(tmp_path: Path) -> None:
    """So a run loses no row, however it ends."""
    log = tmp_path / "rows.csv"
    with RowLog(log, EMOTIONS) as rows:
        for index in range(3):
            rows.write("a.mp4", Frame(index, index / 25, np.empty(0)), [])
            assert len(list(read_rows(log, EMOTIONS))) == index + 1
