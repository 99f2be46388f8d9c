"""What `emodetect video` says about a video as a whole: --summary and --report."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Sequence
from pathlib import Path

import cv2
import matplotlib
import numpy as np
import pytest
from click.testing import CliRunner, Result

from emodetect.cli.video import video
from emodetect.data.synthetic import draw_film
from emodetect.errors import VideoError
from emodetect.recognition.face import Face
from emodetect.recognition.recognizer import EmotionRecognizer
from emodetect.recognition.videos.analyzed_video import analyze_video
from emodetect.recognition.videos.reading.capture import Frame
from emodetect.recognition.videos.recording.video_writer import VideoWriter
from emodetect.recognition.videos.summary.best_moments import BestMoments
from emodetect.recognition.videos.summary.face_record import FaceRecord
from emodetect.recognition.videos.summary.figures import Episode, VideoFigures, video_figures
from emodetect.recognition.videos.summary.summary_file import (
    SummarizedVideo,
    require_distinct_columns,
    video_record,
)

EMOTIONS = ("happy", "sad", "surprise")
FRAMES, FPS = 20, 25.0


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of one person, 20 frames."""
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    with VideoWriter(path, fps=FPS) as writer:
        scenes = draw_film(
            ["happy"], np.random.default_rng(0), frames=FRAMES, width=320, height=200
        )
        for index, scene in enumerate(scenes):
            writer.write(Frame(index, index / FPS, scene.image))
    return path


def call(*arguments: object) -> Result:
    return CliRunner().invoke(video, [str(argument) for argument in arguments])


def face(number: int | None, emotion: str, happy: float = 0.5) -> Face:
    scores = {"happy": happy, "sad": 1 - happy, "surprise": 0.0}
    return Face((2, 2, 9, 9), emotion, max(scores.values()), scores, number)


def figures_of(
    frames: Sequence[tuple[float, list[Face]]], *, min_seconds: float = 0.0
) -> VideoFigures:
    record = FaceRecord(EMOTIONS)
    for time_s, faces in frames:
        record.add(time_s, faces)
    figures = video_figures(record, frame_s=0.04, min_seconds=min_seconds)
    assert figures is not None
    return figures


def test_times_and_shares_are_those_of_the_frames() -> None:
    """A face is visible, with an emotion, from a frame until the next, however far that is."""
    frames = [
        (0.0, [face(1, "sad"), face(2, "happy")]),
        (1.0, [face(2, "sad")]),
        (4.0, []),
        (4.5, [face(1, "sad")]),
    ]
    figures = figures_of(frames)
    assert figures.seconds == 5.0
    assert [one.id for one in figures.faces] == [2, 1]
    assert [one.visible_s for one in figures.faces] == [4.0, 1.5]
    assert [one.shares for one in figures.faces] == [{"sad": 0.75, "happy": 0.25}, {"sad": 1.0}]
    assert (figures.whole.visible_s, figures.whole.face_s) == (4.5, 5.5)
    assert figures.no_face_frame_share == 0.25
    short = figures_of(frames, min_seconds=2.0)
    assert [one.id for one in short.faces] == [2]
    assert short.left_out == {1}
    assert short.whole.visible_s == 4.0
    assert short.no_face_frame_share == 0.5


def test_an_only_frame_counts_for_its_length() -> None:
    """Of a single frame, the frame rate gives the length."""
    figures = figures_of([(0.0, [face(1, "sad")])])
    assert figures.seconds == figures.whole.visible_s == 0.04


@pytest.mark.parametrize("every", [1, 15, 100])
def test_the_last_frame_counts_to_the_end_of_the_video(
    film: Path, artifact: Path, tmp_path: Path, every: int
) -> None:
    """However few frames are analysed, a video and its faces last no longer than the file."""
    summary = tmp_path / "figures.json"
    call(film, "--model", artifact, "--every", every, "--summary", summary)
    (of_summary,) = json.loads(summary.read_text())["videos"]
    recognizer = EmotionRecognizer(artifact)
    of_python = analyze_video(film, recognizer, every=every).figures()
    assert of_python is not None
    assert of_summary["length_s"] == pytest.approx(FRAMES / FPS)
    assert of_python.seconds == of_python.whole.visible_s == pytest.approx(FRAMES / FPS)


def test_without_tracking_faces_are_only_summed_up() -> None:
    """Faces that cannot be told apart have times and shares, but no episodes and transitions."""
    figures = figures_of([(0.0, [face(None, "sad"), face(None, "happy")]), (1.0, [])])
    assert figures.faces == ()
    assert figures.whole.visible_s == 1.0
    assert figures.whole.shares == {"happy": 0.5, "sad": 0.5}
    assert figures.whole.transitions is None
    assert figures.whole.emotions["sad"].episodes is None


def test_episodes_end_with_the_emotion_and_with_the_face() -> None:
    """A new label ends an episode and is a transition; a face that is away only ends one."""
    labels = ["happy", "happy", "sad", "uncertain", "sad", None, "sad", "happy"]
    frames = [(float(n), [] if one is None else [face(1, one)]) for n, one in enumerate(labels)]
    (one,) = figures_of(frames).faces
    assert one.emotions["happy"].episodes == (Episode(0.0, 2.0), Episode(7.0, 1.0))
    assert one.emotions["happy"].mean_episode_s == 1.5
    assert one.emotions["happy"].longest_episode_s == 2.0
    assert one.emotions["sad"].episodes == tuple(Episode(start, 1.0) for start in (2.0, 4.0, 6.0))
    assert one.emotions["surprise"].episodes == ()
    assert one.emotions["surprise"].mean_episode_s is None
    assert one.transitions == {
        ("happy", "sad"): 1,
        ("sad", "uncertain"): 1,
        ("uncertain", "sad"): 1,
        ("sad", "happy"): 1,
    }
    assert one.uncertain_frames == 1


def test_the_mean_probability_is_weighted_by_time() -> None:
    """A frame that is shown for longer counts for more, in the whole as in each face."""
    figures = figures_of(
        [
            (0.0, [face(1, "happy", 0.9), face(2, "happy", 0.6)]),
            (3.0, [face(1, "happy", 0.5)]),
            (4.0, []),
            (5.0, []),
        ]
    )
    assert figures.faces[0].emotions["happy"].mean_probability == pytest.approx(0.8)
    assert figures.whole.emotions["happy"].mean_probability == pytest.approx(5.0 / 7)
    assert figures.whole.emotions["uncertain"].mean_probability is None


def test_the_best_moment_is_the_most_confident_one() -> None:
    """A face has one picture for each emotion that it was given, blurred if asked for."""
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (40, 40, 3), np.uint8) for _ in range(3)]
    shown = [face(1, "happy", 0.6), face(1, "happy", 0.9), face(1, "sad", 0.2)]
    sharp, blurred = BestMoments(), BestMoments(privacy=True)
    for index, (image, one) in enumerate(zip(images, shown, strict=True)):
        for moments in (sharp, blurred):
            moments.add(Frame(index, index / 10, image), [one], everything=[one])
    assert {key: moment.time_s for key, moment in sharp.found.items()} == {
        (1, "happy"): 0.1,
        (1, "sad"): 0.2,
    }
    contrast = [
        cv2.imdecode(np.frombuffer(moments.found[1, "happy"].jpeg, np.uint8), 0).std()
        for moments in (sharp, blurred)
    ]
    assert contrast[1] < contrast[0] / 2


def test_a_summary_has_a_row_for_each_video_and_face(
    film: Path, artifact: Path, tmp_path: Path
) -> None:
    """The CSV has the whole first, then the faces, with the settings; a bad file has a row too."""
    bad = tmp_path / "bad.mp4"
    bad.write_text("no video")
    words = (film, bad, "--model", artifact, "--every", 2, "--uncertain-below", 0.4)
    for name in ("summary.csv", "summary.json"):
        result = call(*words, "--summary", tmp_path / name)
        assert result.exit_code == 1
        assert f"such as .mp4; wrote {tmp_path / name}" in result.stderr
    with (tmp_path / "summary.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["video"], row["face"]) for row in rows] == [
        (str(film), "all"),
        (str(film), "1"),
        (str(bad), "all"),
    ]
    whole, one, unread = rows
    assert whole["frames"] == one["frames"] == "10"
    assert float(whole["length_s"]) == pytest.approx(FRAMES / FPS)
    assert float(one["visible_s"]) == pytest.approx(FRAMES / FPS)
    assert sum(float(one[f"{name}_share"]) for name in (*EMOTIONS, "uncertain")) == pytest.approx(1)
    assert sum(float(one[f"{name}_mean_probability"]) for name in EMOTIONS) == pytest.approx(
        1, abs=1e-3
    )
    assert {row["every"] for row in rows} == {"2"}
    assert {row["uncertain_below"] for row in rows} == {"0.4"}
    assert whole["incomplete"] == ""
    assert "cannot be read as a video" in unread["incomplete"]
    assert unread["visible_s"] == ""
    record = json.loads((tmp_path / "summary.json").read_text())
    assert record["settings"]["every"] == 2
    assert [video["frames"] for video in record["videos"]] == [10, 0]
    (only,) = record["videos"][0]["faces"]
    for name in EMOTIONS:
        assert only["emotions"][name]["share"] == float(one[f"{name}_share"])
        assert len(only["emotions"][name]["episodes"]) == int(one[f"{name}_episodes"])


def test_a_matplotlibrc_does_not_reach_the_plots(
    film: Path, artifact: Path, tmp_path: Path
) -> None:
    """LaTeX, which is not here, would otherwise end the run after all the work."""
    files = (tmp_path / "time.png", tmp_path / "page.html")
    words = (film, "--model", artifact, "--timeline", files[0], "--report", files[1], "--force")
    assert call(*words).exit_code == 0

    def drawn() -> list[bytes]:
        return [re.sub(rb"\d\d:\d\d</p>", b"", file.read_bytes()) for file in files]  # the time

    before = drawn()
    with matplotlib.rc_context({"text.usetex": True, "font.size": 30, "savefig.dpi": 10}):
        assert call(*words).exit_code == 0
    assert drawn() == before


def test_a_summary_of_a_resumed_run_is_that_of_the_whole(
    film: Path, artifact: Path, tmp_path: Path
) -> None:
    """Frames from the log count as those analysed now, and the summary says how many they are."""
    log, summary = tmp_path / "rows.csv", tmp_path / "summary.csv"
    words = (film, "--model", artifact, "--log", log, "--summary", summary)
    assert call(*words).exit_code == 0
    whole = list(csv.DictReader(summary.read_text().splitlines()))
    log.write_text("".join(log.read_text().splitlines(keepends=True)[:6]))
    assert call(*words, "--resume").exit_code == 0
    resumed = list(csv.DictReader(summary.read_text().splitlines()))
    assert {row["frames_from_log"] for row in resumed} == {"5"}
    for column in ("length_s", "frames", "visible_s", "face_s", "no_face_frame_share"):
        assert resumed[0][column] == whole[0][column]


def test_a_report_is_one_page_that_needs_nothing_else(
    film: Path, artifact: Path, tmp_path: Path
) -> None:
    """The page has an overview, timelines, pictures, figures and settings, and loads nothing."""
    other = tmp_path / "<b>other.mp4"
    other.write_bytes(film.read_bytes())
    report = tmp_path / "talk.html"
    result = call(film, other, "--model", artifact, "--report", report)
    assert result.exit_code == 0, result.exception
    page = report.read_text(encoding="utf-8")
    assert page.count('aria-label="Probability of each emotion') == 2
    assert page.count("data:image/jpeg;base64,") >= 2
    assert '<section id="overview">' in page
    for text in ("transitions", "mean probability", "episodes", "score_smoothing_s"):
        assert text in page
    assert "<b>other" not in page
    assert not re.search(r'(?:src|href)="(?!data:|#)', page)
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert "overview" not in _page(film, artifact, tmp_path / "one.html")


def test_a_report_does_without_faces_and_without_tracking(
    film: Path, artifact: Path, tmp_path: Path
) -> None:
    """A page of a video without faces, or whose faces have no IDs, says so."""
    blank = tmp_path / "blank.mp4"
    with VideoWriter(blank, fps=FPS) as writer:
        for index in range(5):
            writer.write(Frame(index, index / FPS, np.full((200, 320, 3), 127, np.uint8)))
    page = _page(blank, artifact, tmp_path / "blank.html")
    assert "No face was found." in page
    assert "<b>0</b>" in page
    page = _page(blank, artifact, tmp_path / "untracked.html", "--no-tracking")
    assert "<b>0</b>" not in page  # there are no transitions to count
    page = _page(film, artifact, tmp_path / "any.html", "--no-tracking")
    assert "All faces together" in page
    assert "need tracked faces" in page
    page = _page(film, artifact, tmp_path / "short.html", "--min-seconds", 60)
    assert "No face is visible for long enough." in page


def _page(film: Path, artifact: Path, report: Path, *options: object) -> str:
    result = call(film, "--model", artifact, "--report", report, *options)
    assert result.exit_code == 0, result.exception
    return report.read_text(encoding="utf-8")


def test_mistakes_are_found_before_the_work(film: Path, artifact: Path, tmp_path: Path) -> None:
    """A wrong suffix, an existing file and columns of one name are refused; --privacy needs
    pictures to blur."""
    for option, name in (("--summary", "s.txt"), ("--report", "r.pdf")):
        result = call(film, "--model", artifact, option, tmp_path / name)
        assert "expected a file name ending in" in str(result.exception)
    with pytest.raises(VideoError, match=r"called happy_to_sad_to_happy.*write s\.json"):
        require_distinct_columns(
            tmp_path / "s.csv", emotions=(*EMOTIONS, "happy_to_sad", "sad_to_happy"), settings={}
        )
    (tmp_path / "r.html").touch()
    result = call(film, "--model", artifact, "--report", tmp_path / "r.html")
    assert "already exists" in str(result.exception)
    refused = call(film, "--model", artifact, "--privacy", "--summary", tmp_path / "s.csv")
    assert refused.exit_code == 2
    assert "--privacy requires --output or --report" in refused.stderr


def test_the_json_tells_faces_and_changes_apart() -> None:
    """Each face has its ID, all together "all", and changes come with the most frequent first."""
    labels = ["happy", "sad", "surprise", "sad", "surprise", "sad"]
    frames = [(float(n), [face(7, one)]) for n, one in enumerate(labels)]
    record = video_record(SummarizedVideo("a.mp4", figures_of(frames)))
    (one,) = record["faces"]
    assert (record["whole"]["face"], one["face"]) == ("all", 7)
    changes = [tuple(change.values()) for change in one["transitions"]]
    assert changes == [("sad", "surprise", 2), ("surprise", "sad", 2), ("happy", "sad", 1)]
    assert one["emotions"]["sad"]["episodes"] == [[1.0, 1.0], [3.0, 1.0], [5.0, 1.0]]
    assert record["whole"]["transitions"] == one["transitions"]
