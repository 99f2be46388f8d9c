"""Videos that are written: formats, times, sound, and what is left when something goes wrong."""

from __future__ import annotations

import base64
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from playwright.sync_api import Page, sync_playwright
from running import posix_only
from test_serve_page import CHROMIUM

from emodetect.errors import VideoError
from emodetect.recognition.videos.reading.capture import Frame
from emodetect.recognition.videos.recording import encoder, ffmpeg
from emodetect.recognition.videos.recording.encoder import UnwritableVideoError
from emodetect.recognition.videos.recording.output_files import check_files
from emodetect.recognition.videos.recording.video_writer import VideoWriter

COLOURS = ((40, 60, 200), (190, 140, 30), (60, 170, 70))  # BGR
# Ten frames a second, then forty, then a pause: as a screen recorder writes them.
VARIABLE_S = (*(n / 10 for n in range(10)), *(1 + n / 40 for n in range(40)), 2.0, 3.5, 3.6)
PLAY = """([kind, data, at]) => new Promise((done, failed) => {
    const bytes = Uint8Array.from(atob(data), one => one.charCodeAt(0));
    const film = document.createElement(kind);
    const started = performance.now();
    const result = () => {
        const canvas = document.createElement("canvas");
        canvas.width = film.videoWidth || film.naturalWidth;
        canvas.height = film.videoHeight || film.naturalHeight;
        const pen = canvas.getContext("2d");
        pen.drawImage(film, 0, 0);
        const pixels = pen.getImageData(canvas.width / 2, canvas.height / 2, 32, 32).data;
        // "seeked" may come before the frame can be drawn; a canvas that got none is transparent.
        if (pixels[3] === 0 && performance.now() - started < 5000) {
            requestAnimationFrame(result);
            return;
        }
        const mean = part => pixels.filter((_, n) => n % 4 === part).reduce((a, b) => a + b) / 1024;
        const size = [canvas.width, canvas.height];
        done({seconds: film.duration, size, rgb: [0, 1, 2].map(mean)});
    };
    film.onerror = () => failed(new Error("cannot be played"));
    film.onseeked = result;
    film.onloadeddata = () => { film.currentTime = at; };
    if (kind === "img") film.onload = result;
    film.src = URL.createObjectURL(new Blob([bytes]));
})"""


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    """An empty page in Chromium."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser.new_page()
        browser.close()


def picture(number: int, *, width: int = 320, height: int = 200) -> np.ndarray:
    image = np.zeros((height, width, 3), np.uint8)
    image[:] = COLOURS[number % len(COLOURS)]
    return image


def write(path: Path, times_s: tuple[float, ...], **size: int) -> None:
    with VideoWriter(path, fps=25) as writer:
        for index, time_s in enumerate(times_s):
            writer.write(Frame(index, time_s, picture(index, **size)))


def read(path: Path) -> tuple[list[float], list[np.ndarray]]:
    """Return the times in seconds and the frames of a video."""
    film, times_s, images = cv2.VideoCapture(str(path)), [], []
    while (step := film.read())[0]:
        times_s.append(film.get(cv2.CAP_PROP_POS_MSEC) / 1000)
        images.append(step[1])
    return times_s, images


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")
@pytest.mark.parametrize("size", [(320, 200), (321, 201)])
@pytest.mark.parametrize("suffix", [".mp4", ".webm", ".gif"])
def test_a_browser_plays_what_is_written(
    suffix: str, size: tuple[int, int], page: Page, tmp_path: Path
) -> None:
    """Chromium plays each format, also of an odd size: its length, colours and times are right."""
    path, (width, height) = tmp_path / f"film{suffix}", size
    write(path, VARIABLE_S, width=width, height=height)
    data = base64.b64encode(path.read_bytes()).decode()
    kind = "img" if suffix == ".gif" else "video"
    for at, number in ((0.05, 0), (2.3, 50), (3.2, 50), (3.55, 51)):
        seen = page.evaluate(PLAY, [kind, data, at])
        assert seen["size"] == pytest.approx(size, abs=1)
        blue, green, red = COLOURS[0 if kind == "img" else number % len(COLOURS)]
        assert seen["rgb"][:3] == pytest.approx((red, green, blue), abs=12)
        if kind == "video":
            assert seen["seconds"] == pytest.approx(3.64, abs=0.05)


@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
def test_each_frame_is_shown_at_its_time(suffix: str, tmp_path: Path) -> None:
    """A video with a variable frame rate keeps all its frames and their times."""
    write(tmp_path / f"film{suffix}", VARIABLE_S)
    times_s, images = read(tmp_path / f"film{suffix}")
    assert times_s == pytest.approx(VARIABLE_S, abs=2e-3)
    for number, image in enumerate(images):
        assert image[100, 160].tolist() == pytest.approx(COLOURS[number % 3], abs=12)


@pytest.mark.parametrize("suffix", [".gif", ".avi"])
def test_a_format_of_few_rates_keeps_the_length(suffix: str, tmp_path: Path) -> None:
    """Where frames must be dropped or repeated, what is shown when stays right."""
    write(tmp_path / f"film{suffix}", VARIABLE_S)
    times_s, images = read(tmp_path / f"film{suffix}")
    assert times_s[-1] == pytest.approx(VARIABLE_S[-1], abs=0.05)
    assert images[0][90:110, 150:170].mean(axis=(0, 1)) == pytest.approx(COLOURS[0], abs=12)


def test_an_mp4_is_h264_that_starts_at_once(tmp_path: Path) -> None:
    """An .mp4 is H.264 with 4:2:0 colours, and its index comes before its frames."""
    path = tmp_path / "film.mp4"
    write(path, (0.0, 0.04, 0.08), width=63, height=47)
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    told = subprocess.run(
        [next(ffmpeg.installed_ffmpegs()), "-hide_banner", "-i", path],
        capture_output=True,
        text=True,
    ).stderr
    assert "Video: h264" in told
    assert "yuv420p" in told


@posix_only
@pytest.mark.parametrize("user_s", [None, "broken", "without the encoder"])
def test_without_an_ffmpeg_of_the_user_s_the_package_s_is_used(
    user_s: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where PATH has no ffmpeg that can write a video, that of the extra does; without it, one
    line says how to install it.
    """
    if user_s is not None:
        program = tmp_path / "ffmpeg"
        row = "exit 1" if user_s == "broken" else "echo ' V..... mpeg4  MPEG-4 part 2'"
        program.write_text(f"#!/bin/sh\n{row}\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    for suffix in ffmpeg.FORMATS:
        write(tmp_path / f"film{suffix}", (0.0, 0.04, 0.08))
        assert len(read(tmp_path / f"film{suffix}")[0]) >= 2
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(VideoError, match=r'^x\.mp4: .*libx264.*pip install "emodetect\[video\]"$'):
        ffmpeg.ffmpeg_for(Path("x.mp4"))


def test_a_video_is_whole_or_not_there(tmp_path: Path) -> None:
    """While frames arrive, and after a second Ctrl-C, a file of that name is the old one."""
    path = tmp_path / "film.mp4"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), VideoWriter(path, fps=25) as writer:  # noqa: PT012
        writer.write(Frame(0, 0.0, picture(0)))
        assert path.read_text() == "old"
        raise KeyboardInterrupt
    assert [one.name for one in tmp_path.iterdir()] == ["film.mp4"]
    assert path.read_text() == "old"
    with pytest.raises(ValueError, match="other"), VideoWriter(path, fps=25) as writer:  # noqa: PT012
        writer.write(Frame(0, 0.0, picture(0)))
        raise ValueError("other")
    assert len(read(path)[1]) == 1
    assert [one.name for one in tmp_path.iterdir()] == ["film.mp4"]


def test_a_video_that_cannot_be_put_in_place_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A player that shows the old one holds it on Windows; the error says where the new one is."""
    path = tmp_path / "film.mp4"
    path.write_text("old")

    def refuse(source: Path, target: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(encoder, "move", refuse)
    with pytest.raises(VideoError, match=r"film\.mp4: cannot be written: .* video is ") as refused:
        write(path, (0.0, 0.1))
    assert path.read_text() == "old"
    (kept,) = set(tmp_path.iterdir()) - {path}
    assert str(kept) in str(refused.value)
    assert len(read(kept)[1]) == 2


@posix_only
def test_a_killed_run_leaves_no_broken_video(tmp_path: Path) -> None:
    """After SIGKILL there is no file of the name, and the next run is not in its way."""
    path = tmp_path / "film.mp4"
    code = (
        "import os, sys, time, numpy as np\nfrom pathlib import Path\n"
        "from emodetect.recognition.videos.reading.capture import Frame\n"
        "from emodetect.recognition.videos.recording.video_writer import VideoWriter\n"
        "with VideoWriter(Path(sys.argv[1]), fps=25) as writer:\n"
        "    for index in range(50):\n"
        "        writer.write(Frame(index, index / 25, np.zeros((200, 320, 3), np.uint8)))\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, path])
    assert done.returncode == -signal.SIGKILL
    assert not path.exists()
    write(path, (0.0, 0.04))
    assert len(read(path)[1]) == 2
    assert [one.name for one in tmp_path.iterdir()] == ["film.mp4"]


def test_a_video_that_cannot_be_encoded_is_named(tmp_path: Path) -> None:
    """A size that H.264 does not have ends in one line, and leaves no file."""
    with pytest.raises(UnwritableVideoError, match="20000x2 pixels") as raised:
        write(tmp_path / "wide.mp4", (0.0, 0.04), width=20_000, height=2)
    assert "\n" not in str(raised.value)
    assert list(tmp_path.iterdir()) == []


@posix_only
def test_two_runs_do_not_write_one_video(tmp_path: Path) -> None:
    """The second is refused, and that of the first is complete."""
    path = tmp_path / "film.mp4"
    with VideoWriter(path, fps=25) as first:
        first.write(Frame(0, 0.0, picture(0)))
        second = VideoWriter(path, fps=25)
        with pytest.raises(VideoError, match="another run is writing it"):
            second.write(Frame(0, 0.0, picture(0)))
        first.write(Frame(1, 0.04, picture(1)))
    assert len(read(path)[1]) == 2
    assert [file.name for file in tmp_path.iterdir()] == ["film.mp4"]


def test_a_folder_that_may_not_be_written_to_is_told_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that may be written is not enough: the new one appears beside it first."""
    monkeypatch.setattr("os.access", lambda path, mode: path != tmp_path)
    old = tmp_path / "old.mp4"
    old.touch()
    with pytest.raises(VideoError, match=r"old\.mp4: permission denied; choose another file"):
        check_files([old], log=None, source=None, force=True)
    (tmp_path / "old.csv").touch()
    check_files([], log=tmp_path / "old.csv", source=None, force=True)
    with pytest.raises(VideoError, match=r"new\.csv: permission denied"):
        check_files([], log=tmp_path / "new.csv", source=None, force=True)


def test_a_gif_shows_15_frames_a_second_at_most(tmp_path: Path) -> None:
    """Of a faster film it takes each frame that comes a 15th of a second after the last."""
    with VideoWriter(tmp_path / "film.gif", fps=60) as writer:
        for index in range(60):
            writer.write(Frame(index, index / 60, np.zeros((20, 20, 3), np.uint8)))
    assert writer.frames == 15
