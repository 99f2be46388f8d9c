"""Many photos: worker processes, their ends, and the order of what they find."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from running import posix_only, run_emodetect, run_python

from emodetect.data.synthetic import draw_face
from emodetect.errors import EmodetectError, ModelError
from emodetect.faces.boxes import Box
from emodetect.recognition.photos import workers
from emodetect.recognition.photos.analysis import Photo, PhotoOptions, analyze_photos
from emodetect.recognition.photos.file_search import find_photos
from emodetect.recognition.photos.workers import analyze_many
from emodetect.recognition.recognizer import EmotionRecognizer

FATAL_WIDTH = 33  # of the photo at which FragileRecognizer's process ends
COUNT = 50

open_recognizer = partial(EmotionRecognizer, detector="none")


class FragileRecognizer(EmotionRecognizer):
    """Dies as a decoder may that meets a damaged file."""

    def detect(self, image: np.ndarray) -> list[Box]:
        if image.shape[1] == FATAL_WIDTH:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().detect(image)


class AbsentRecognizer(EmotionRecognizer):
    """Ends its process as soon as it is opened."""

    def __init__(self, **options: Any) -> None:
        os._exit(3)


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of crops, so many that workers are started, and one file that is none."""
    folder = tmp_path_factory.mktemp("faces")
    for number in range(COUNT):
        face = draw_face(("happy", "sad")[number % 2], np.random.default_rng(number), size=40)
        (folder / f"{number:02d}.png").write_bytes(cv2.imencode(".png", face)[1].tobytes())
    (folder / "40.png").write_bytes(b"no photo")
    return folder


@pytest.fixture(scope="module")
def recognizer() -> EmotionRecognizer:
    """The shipped model."""
    return open_recognizer()


def _command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "emodetect", "predict", *map(str, arguments)]


def _run(*arguments: object, **options: Any) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(_command(*arguments), capture_output=True, timeout=120, **options)


def test_results_do_not_depend_on_the_workers(faces: Path, tmp_path: Path) -> None:
    """With and without workers come the same rows, copies and crops, in the order of the list."""
    written = []
    for count in (0, 2):
        out = tmp_path / str(count)
        words = (
            "--detector",
            "none",
            "--workers",
            count,
            "--output",
            tmp_path / f"{count}.csv",
        )
        result = _run(faces, *words, "--annotate", out / "drawn", "--save-crops", out / "crops")
        assert result.returncode == 1
        assert b"1 of 50" in result.stderr
        files = {path.relative_to(out): path.read_bytes() for path in out.rglob("*.png")}
        assert len(files) == 2 * (COUNT - 1)
        written.append((files, (tmp_path / f"{count}.csv").read_bytes()))
    assert written[0] == written[1]
    rows = written[0][1].splitlines()[1:]
    assert [Path(row.decode().split(",")[0]).name for row in rows] == sorted(
        path.name for path in faces.iterdir()
    )


@posix_only
def test_a_photo_that_kills_its_worker_is_an_error(
    faces: Path, tmp_path: Path, recognizer: EmotionRecognizer
) -> None:
    """The photo at which a process dies is told, and all others are done."""
    fatal = tmp_path / "fatal.png"
    fatal.write_bytes(cv2.imencode(".png", np.zeros((20, FATAL_WIDTH, 3), np.uint8))[1].tobytes())
    named = [*sorted(faces.iterdir()), fatal, *sorted(faces.iterdir())[:3]]
    photos = list(find_photos(named))
    expected = list(analyze_photos(photos, recognizer))
    results = analyze_many(
        photos, recognizer, open_recognizer=partial(FragileRecognizer, detector="none"), workers=2
    )
    for result, wanted in zip(results, expected, strict=True):
        if result.path == str(fatal):
            assert result.error is not None
            assert "died" in result.error
            assert "Killed" in result.error
        else:
            assert result == wanted


@posix_only
def test_resume_gets_past_a_photo_that_killed_the_command(faces: Path, tmp_path: Path) -> None:
    """A photo among the first ones ends the run; the next run tells it and does the others."""
    fatal, out = tmp_path / "fatal.png", tmp_path / "rows.jsonl"
    fatal.write_bytes(cv2.imencode(".png", np.zeros((20, FATAL_WIDTH, 3), np.uint8))[1].tobytes())
    program = (
        "import sys; from functools import partial; from pathlib import Path\n"
        "sys.path.insert(0, sys.argv[1]); from test_workers import FragileRecognizer\n"
        "from emodetect.recognition.photos.predict import PredictOptions, predict_photos\n"
        "options = PredictOptions(images=(Path(sys.argv[2]), Path(sys.argv[3])), workers=1,\n"
        "    output=Path(sys.argv[4]), output_format='jsonl', resume=True)\n"
        "predict_photos(options, partial(FragileRecognizer, detector='none'))"
    )
    words = (Path(__file__).parent, fatal, faces / "00.png", out)
    assert run_python(program, *words).returncode == -signal.SIGKILL
    done = run_python(program, *words)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert "its worker process died (Killed)" in rows[0]["error"]
    assert [len(row["faces"]) for row in rows] == [0, 1]


def test_a_worker_that_cannot_start_is_told(faces: Path, recognizer: EmotionRecognizer) -> None:
    """Where no worker comes up the run ends in one line, and not in an endless trying."""
    with pytest.raises(EmodetectError, match=r"could not start \(exit status 3\)"):
        list(
            analyze_many(
                find_photos([faces]), recognizer, open_recognizer=AbsentRecognizer, workers=2
            )
        )


def test_an_error_in_a_worker_ends_the_run(
    faces: Path, tmp_path: Path, recognizer: EmotionRecognizer
) -> None:
    """Where copies cannot be written, that is said as it is without workers."""
    (tmp_path / "file").touch()
    with pytest.raises(EmodetectError, match="cannot be written"):
        list(
            analyze_many(
                find_photos([faces]),
                recognizer,
                PhotoOptions(annotate=tmp_path / "file"),
                open_recognizer=open_recognizer,
                workers=2,
                without_workers=0,
            )
        )


def test_a_model_that_is_replaced_meanwhile_ends_the_run(
    faces: Path, recognizer: EmotionRecognizer
) -> None:
    """Workers, which open the file later, do not go on with another model."""
    other = partial(EmotionRecognizer, "ferplus", detector="none")
    with pytest.raises(ModelError, match="was replaced by another model during the run"):
        list(analyze_many(find_photos([faces]), recognizer, open_recognizer=other, workers=2))


def test_an_error_among_the_photos_comes_in_its_place(
    faces: Path, recognizer: EmotionRecognizer
) -> None:
    """What was found before a list turned out to be none is not lost."""

    def listed() -> Iterator[Path]:
        yield from sorted(faces.iterdir())
        raise EmodetectError("no list")

    photos = find_photos([Path("-")], listed=listed())
    results = analyze_many(photos, recognizer, open_recognizer=open_recognizer, workers=2)
    assert len([next(results) for _ in range(COUNT)]) == COUNT
    with pytest.raises(EmodetectError, match="no list"):
        next(results)


def test_photos_are_not_taken_far_ahead(faces: Path, recognizer: EmotionRecognizer) -> None:
    """Only a bounded number of photos is in flight, however many there are."""
    taken = 0

    def endless() -> Iterator[Photo]:
        nonlocal taken
        while True:
            taken += 1
            yield Photo(faces / "00.png", Path("00.png"))

    results = analyze_many(endless(), recognizer, open_recognizer=open_recognizer, workers=2)
    for _ in range(300):
        next(results)
    time.sleep(0.2)
    assert taken < 300 + 2 * (workers.PHOTOS_IN_FLIGHT + workers.PHOTOS_AT_ONCE)
    results.close()
    after = taken
    time.sleep(0.2)
    assert taken <= after + workers.PHOTOS_AT_ONCE


def test_a_slow_list_gets_its_results_at_once(faces: Path) -> None:
    """The results of what was listed come while the list is still open, few photos or many."""
    with subprocess.Popen(
        _command("-", "--detector", "none", "--format", "jsonl", "--workers", 1),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for count in (1, 2, 40, 1):
            process.stdin.write(b"%s/00.png\n" % os.fsencode(faces) * count)
            process.stdin.flush()
            for _ in range(count):
                assert json.loads(process.stdout.readline())["faces"]
        process.stdin.close()
        assert process.stdout.read() == b""


def _children(process: int) -> list[str]:
    tasks = Path(f"/proc/{process}/task").glob("*/children")
    return [child for task in tasks for child in task.read_text().split()]


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="looks for children in /proc")
def test_an_interrupt_ends_at_once_and_leaves_whole_rows(faces: Path, tmp_path: Path) -> None:
    """After Ctrl-C the status is 130, every row in the file is whole, no worker is left."""
    rows = tmp_path / "rows.jsonl"
    process = subprocess.Popen(
        _command(*[faces] * 200, "--detector", "none", "--output", rows, "--workers", 2),
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    while not rows.exists() or rows.read_bytes().count(b"\n") < 60:
        assert process.poll() is None
        time.sleep(0.05)
    children = _children(process.pid)
    assert len(children) == 2
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    _, errors = process.communicate(timeout=60)
    assert errors.decode() == f"{rows}: stopped; continue with --resume\ninterrupted\n"
    assert process.returncode == 130
    assert rows.read_bytes().endswith(b"\n")
    for line in rows.read_bytes().splitlines():
        json.loads(line)
    assert not any(Path("/proc", worker).exists() for worker in children)


def test_a_closed_standard_input_is_told() -> None:
    """Without a standard input `-` is one clear line."""
    done = subprocess.run(
        ["sh", "-c", '"$@" <&-', "sh", *_command("-")], capture_output=True, timeout=60
    )
    assert done.returncode == 1
    assert done.stderr.startswith(b"error: -: standard input is closed")
    assert done.stdout == b""


def test_lists_come_on_standard_input(faces: Path) -> None:
    """A list names photos and folders in any order, twice too, and files that are missing."""
    named = [faces / "03.png", faces / "missing.png", faces / "03.png", faces]
    data = b"\0".join(os.fsencode(path) for path in named)
    done = _run("-", "-0", "--detector", "none", "--format", "jsonl", input=data)
    paths = [json.loads(line)["path"] for line in done.stdout.splitlines()]
    assert paths[:3] == [str(path) for path in named[:3]]
    assert len(paths) == 3 + COUNT
    assert b"2 of 53 could not be read" in done.stderr


def test_decoders_print_nothing_about_damaged_photos(tmp_path: Path) -> None:
    """Neither this process nor its workers let what libjpeg says through."""
    image = np.frombuffer(np.random.default_rng(0).bytes(3 * 90 * 120), np.uint8)
    data = bytearray(cv2.imencode(".jpg", image.reshape(90, 120, 3))[1].tobytes())
    data[2000:2400] = bytes(400)
    for emotion in ("happy", "sad"):
        for number in range(20):
            (tmp_path / "faces" / emotion).mkdir(parents=True, exist_ok=True)
            (tmp_path / "faces" / emotion / f"{number}.jpg").write_bytes(data)
    done = run_emodetect("predict", tmp_path / "faces", "--detector", "none", "--format", "csv")
    assert done.returncode == 0
    assert done.stderr == ""
    assert done.stdout.count("\n") == 41
    done = run_emodetect("data", "audit", tmp_path / "faces", "--output", tmp_path / "audit")
    assert "JPEG" not in done.stderr
