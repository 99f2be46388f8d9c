"""Video: frames from a camera, file or stream; their faces on a window, in a video and in a log."""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from io import FileIO
from pathlib import Path
from types import FrameType, TracebackType
from typing import Protocol

import cv2
import numpy as np

from emodetect.errors import VideoError
from emodetect.inference.overlay import draw_faces, draw_text
from emodetect.inference.recognizer import EmotionRecognizer, Face
from emodetect.inference.writers import face_record
from emodetect.progress import track
from emodetect.quiet import quiet_stderr

URL_TIMEOUT_MS = 10_000
CAMERAS = 64
MAX_DAMAGED = 30
DEFAULT_FPS = 20.0
# Some containers give the ticks of their clock (90000) as the rate.
MAX_FPS = 500.0

DISPLAY_TIMEOUT_S = 20
WINDOW = "emodetect"
WINDOW_SIZE = (1280, 720)
# RLIMIT_CORE: no core file of the failed trial in the user's folder.
WINDOW_TRIAL = """
import cv2, resource
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
cv2.namedWindow("emodetect")
"""
NO_WINDOWS = "this OpenCV opens no windows (opencv-python does, opencv-python-headless does not)"

CODECS = {".mp4": "mp4v", ".avi": "MJPG"}
# A video is completed by an index at its end, for which there must be room.
RESERVE_BYTES = 16 * 2**20


@dataclass(frozen=True)
class Frame:
    """A picture of a video.

    Attributes:
        index: from 0.
        time_s: seconds from the start; a file's own timestamps, a camera's wall clock.
        image: (height, width, 3) uint8 BGR.
    """

    index: int
    time_s: float
    image: np.ndarray


@dataclass(frozen=True)
class Camera:
    """A camera that can be opened, and its picture size in pixels."""

    index: int
    width: int
    height: int


class Capture(Protocol):
    """The part of cv2.VideoCapture that is used here."""

    def grab(self) -> bool:
        """Take the next picture; False at the end."""
        ...

    def retrieve(self) -> tuple[bool, np.ndarray]:
        """Decode the picture taken; False where it is damaged."""
        ...

    def get(self, propId: int) -> float:  # noqa: N803
        """Return a property, 0 where it is not known."""
        ...


@dataclass(frozen=True)
class Source:
    """An open camera, file or stream.

    Attributes:
        fps: frames a second of a video written from it.
        frame_count: as the file claims; 0 where it is not known.
        live: a camera, whose frames come by the wall clock.
    """

    name: str
    capture: Capture
    fps: float
    frame_count: int
    live: bool


@contextmanager
def open_source(*, camera: int | None = None, source: str | None = None) -> Iterator[Source]:
    """Open a file or URL, or the camera of that number (0 by default); close it at the end.

    Raises VideoError for one that is not there, is in use, or is no video.
    """
    _silence_opencv()
    if source is not None:
        capture, name = _open_file_or_url(source), source
    else:
        number = camera or 0
        capture, name = _open_camera(number), f"camera {number}"
    try:
        fps = capture.get(cv2.CAP_PROP_FPS)
        frames = capture.get(cv2.CAP_PROP_FRAME_COUNT)
        yield Source(
            name,
            capture,
            fps=fps if 0 < fps <= MAX_FPS else DEFAULT_FPS,
            frame_count=int(frames) if math.isfinite(frames) and frames > 0 else 0,
            live=source is None,
        )
    finally:
        capture.release()


def list_cameras() -> list[Camera]:
    """Return the cameras that can be opened now."""
    _silence_opencv()
    cameras = []
    for index in range(CAMERAS):
        if sys.platform == "linux" and not _device(index).exists():
            continue
        with quiet_stderr():
            capture = cv2.VideoCapture(index, _camera_api())
        if not capture.isOpened():
            if sys.platform != "linux":
                break  # others number them without gaps, and a search there is slow
            continue
        width = capture.get(cv2.CAP_PROP_FRAME_WIDTH)
        height = capture.get(cv2.CAP_PROP_FRAME_HEIGHT)
        cameras.append(Camera(index, int(width), int(height)))
        capture.release()
    return cameras


def read_frames(source: Source, *, max_frames: int | None = None) -> Generator[Frame]:
    """Yield the frames of a source, none dropped, at most `max_frames`.

    Raises VideoError for a camera that stops, and for a source without a picture.
    """
    capture, index, damaged = source.capture, 0, 0
    started_s = last_s = -math.inf
    while max_frames is None or index < max_frames:
        if damaged == MAX_DAMAGED or not capture.grab():
            if source.live:
                raise VideoError(_camera_stopped(source.name, index))
            break
        good, image = capture.retrieve()
        if not good:
            damaged += 1
            continue
        if source.live:
            started_s = time.monotonic() if index == 0 else started_s
            time_s = time.monotonic() - started_s
        else:
            time_s = max(0.0, capture.get(cv2.CAP_PROP_POS_MSEC) / 1000)
            # Files without usable timestamps repeat the last one.
            time_s = time_s if time_s > last_s else last_s + 1 / source.fps
        yield Frame(index, time_s, image)
        index, damaged, last_s = index + 1, 0, time_s
    if index == 0:
        raise VideoError(f"{source.name}: no picture in it could be decoded; is it damaged?")


def _silence_opencv() -> None:
    """Keep OpenCV's and FFmpeg's logs off stderr; what goes wrong is raised as VideoError."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


def _open_file_or_url(source: str) -> cv2.VideoCapture:
    if "://" in source:
        limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, cv2.CAP_PROP_READ_TIMEOUT_MSEC]
        options = [value for limit in limits for value in (limit, URL_TIMEOUT_MS)]
        capture = cv2.VideoCapture(source, cv2.CAP_FFMPEG, options)
        if not capture.isOpened():
            raise VideoError(
                f"{source}: cannot be opened as a video; is the address right and the other "
                "side running?"
            )
        return capture
    path = Path(source)
    try:
        path.stat()
    except OSError as error:
        hint = f" For a camera use --camera {source}." if source.isdecimal() else ""
        raise VideoError(f"{source}: {error.strerror or error}.{hint}") from None
    if path.is_dir():
        raise VideoError(f"{source}: expected a video file, got a folder.")
    if not os.access(path, os.R_OK):
        raise VideoError(f"{source}: may not be read; check its permissions.")
    if path.is_file() and path.stat().st_size == 0:
        raise VideoError(f"{source}: the file is empty.")
    capture = cv2.VideoCapture(source)
    if not capture.isOpened():
        raise VideoError(f"{source}: no video that can be read in it; expected an .mp4 or alike.")
    return capture


def _open_camera(number: int) -> cv2.VideoCapture:
    listing = "`emodetect webcam --list` shows the cameras that can be opened."
    if sys.platform == "linux":
        if not _device(number).exists():
            raise VideoError(f"camera {number} is not there ({_device(number)}); {listing}")
        if not os.access(_device(number), os.R_OK | os.W_OK):
            raise VideoError(
                f"camera {number}: you may not use {_device(number)}; add yourself to the group "
                "video and log in again."
            )
    with quiet_stderr():
        capture = cv2.VideoCapture(number, _camera_api())
    if not capture.isOpened():
        raise VideoError(
            f"camera {number} cannot be opened: it is not there, or another program uses it; "
            f"{listing}"
        )
    return capture


def _camera_stopped(name: str, index: int) -> str:
    if index == 0:
        return f"{name} gives no picture; does another program use it?"
    return f"{name} stopped after {index} frames; was it unplugged? The frames so far are kept."


def _device(number: int) -> Path:
    return Path(f"/dev/video{number}")


def _camera_api() -> int:
    # Others would be asked in vain, some of them loudly.
    return cv2.CAP_V4L2 if sys.platform == "linux" else cv2.CAP_ANY


class Window(Protocol):
    """Where frames are shown."""

    def show(self, image: np.ndarray) -> None:
        """Show a (height, width, 3) uint8 BGR image."""
        ...

    def key(self) -> str:
        """Return the letter pressed since the last call, in lower case, or an empty string."""
        ...

    def closed(self) -> bool:
        """Tell whether the user closed the window."""
        ...

    def close(self) -> None:
        """Take the window off the screen."""
        ...


def open_window() -> Window:
    """Return a window on the user's display.

    Raises VideoError where there is no display, or none that OpenCV can use.
    """
    advice = "run with --no-display, and --output or --log to keep what is found."
    if sys.platform == "linux":
        display = os.environ.get("DISPLAY")
        if not display:
            raise VideoError(f"no display here to show a window on (DISPLAY is not set); {advice}")
        # Qt aborts the process where it cannot reach the display, so another one tries first.
        try:
            status = subprocess.run(
                [sys.executable, "-P", "-c", WINDOW_TRIAL],
                timeout=DISPLAY_TIMEOUT_S,
                capture_output=True,
                check=False,
            ).returncode
        except subprocess.TimeoutExpired:
            status = -signal.SIGALRM
        if status < 0:
            raise VideoError(f"the display {display} cannot be reached; {advice}")
        if status > 0:
            raise VideoError(f"{NO_WINDOWS}; {advice}")
    return CvWindow()


class CvWindow:
    """A window of OpenCV's."""

    def __init__(self) -> None:
        self.is_open = False

    def show(self, image: np.ndarray) -> None:
        """Show a (height, width, 3) uint8 BGR image, in a window no larger than WINDOW_SIZE."""
        try:
            if not self.is_open:
                flags = cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL
                cv2.namedWindow(WINDOW, flags)
                height, width = image.shape[:2]
                scale = min(1.0, WINDOW_SIZE[0] / width, WINDOW_SIZE[1] / height)
                cv2.resizeWindow(WINDOW, round(width * scale), round(height * scale))
                self.is_open = True
            cv2.imshow(WINDOW, image)
        except cv2.error:
            raise VideoError(f"{NO_WINDOWS}; run with --no-display.") from None

    def key(self) -> str:
        """Return the letter pressed since the last call, in lower case, or an empty string."""
        code = cv2.waitKey(1)
        return chr(code & 0xFF).lower() if code >= 0 else ""

    def closed(self) -> bool:
        """Tell whether the user closed the window."""
        try:
            return cv2.getWindowProperty(WINDOW, cv2.WND_PROP_VISIBLE) < 1
        except cv2.error:
            return True

    def close(self) -> None:
        """Take the window off the screen."""
        if self.is_open and not self.closed():
            cv2.destroyWindow(WINDOW)


def save_snapshot(image: np.ndarray, folder: Path) -> Path:
    """Save a uint8 BGR image as snapshot-YYYYmmdd-HHMMSS.png, replacing no file; return its path.

    Raises OSError where it cannot be written.
    """
    # Encoded in memory, because OpenCV's own file writing fails on some Unicode paths.
    encoded = cv2.imencode(".png", image)[1].tobytes()
    stem = f"snapshot-{datetime.now():%Y%m%d-%H%M%S}"
    for suffix in ("", *(f"-{number}" for number in range(2, 1000))):
        path = folder / f"{stem}{suffix}.png"
        try:
            with path.open("xb") as file:
                file.write(encoded)
        except FileExistsError:
            continue
        return path
    raise FileExistsError(f"{stem}.png")


def check_outputs(
    output: Path | None, log: Path | None, *, source: str | None, force: bool
) -> None:
    """Raise VideoError where a file to write cannot be, or would replace one without `force`."""
    if output is not None and output.suffix.lower() not in CODECS:
        raise VideoError(f"{output}: expected a name that ends in {' or '.join(CODECS)}.")
    if output is not None and log is not None and output.absolute() == log.absolute():
        raise VideoError(f"{log}: --output and --log are the same file; give them two names.")
    for path in (output, log):
        if path is None:
            continue
        if len(os.fsencode(path.name)) > 255:
            raise VideoError(f"{path}: the name is too long; choose a shorter one.")
        if not path.parent.is_dir():
            raise VideoError(f"{path}: the folder {path.parent} does not exist; make it first.")
        if path.is_dir():
            raise VideoError(f"{path}: expected the name of a file, got a folder.")
        if path.exists():
            if source is not None and _is_same_file(path, source):
                raise VideoError(f"{path}: would replace the source; choose another name.")
            if not force:
                raise VideoError(
                    f"{path}: exists already; choose another name, or replace it with --force."
                )
        if not os.access(path if path.exists() else path.parent, os.W_OK):
            raise VideoError(f"{path}: may not be written; choose another folder.")


def _is_same_file(path: Path, source: str) -> bool:
    try:
        return path.samefile(source)
    except OSError:  # a URL, or no file at all
        return False


class VideoWriter:
    """Writes frames into an .mp4 or .avi file, which is playable once the block is left.

    The file is made at the first frame and has its size; frames of other sizes are resized.
    With `live`, frames are repeated or left out so that the video plays at the speed of their
    `time_s`; otherwise each is written once.

    Raises VideoError where the file cannot be made or completed.
    """

    def __init__(self, path: Path, *, fps: float, live: bool = False) -> None:
        self.path, self.live, self.written = path, live, 0
        # MPEG-4 holds the rate as a fraction with a denominator below 65536.
        self.fps = round(fps, 3 if fps < 65 else 2)
        self.size = (0, 0)
        self.writer: cv2.VideoWriter | None = None

    def __enter__(self) -> VideoWriter:
        return self

    def write(self, frame: Frame) -> None:
        """Write a frame; VideoError where the disk is full."""
        if shutil.disk_usage(self.path.parent).free < RESERVE_BYTES:
            raise VideoError(f"{self.path}: the disk is full; the frames so far are kept.")
        if self.writer is None:
            height, width = frame.image.shape[:2]
            self.size = (width, height)
            code = cv2.VideoWriter.fourcc(*CODECS[self.path.suffix.lower()])
            self.writer = cv2.VideoWriter(str(self.path), code, self.fps, self.size)
            if not self.writer.isOpened():
                raise VideoError(
                    f"{self.path}: OpenCV cannot write this video ({width}x{height} pixels, "
                    f"{self.fps:g} frames a second); try {self._other_suffix()}."
                )
        image = frame.image
        if image.shape[1::-1] != self.size:
            image = cv2.resize(image, self.size, interpolation=cv2.INTER_AREA)
        due = round(frame.time_s * self.fps) + 1 if self.live else self.written + 1
        while self.written < due:
            self.writer.write(image)
            self.written += 1

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.writer is None:
            return
        self.writer.release()
        if kind is None and self.written > 0 and not _is_complete(self.path, self.written):
            raise VideoError(f"{self.path}: could not be completed; is the disk full?")

    def _other_suffix(self) -> str:
        return next(suffix for suffix in CODECS if suffix != self.path.suffix.lower())


def _is_complete(path: Path, frames: int) -> bool:
    capture = cv2.VideoCapture(str(path))
    complete = capture.isOpened() and capture.get(cv2.CAP_PROP_FRAME_COUNT) >= frames
    capture.release()
    return complete


def _open_log(path: Path) -> FileIO:
    try:
        # Unbuffered, so that each row is a whole one however the run ends.
        return path.open("wb", buffering=0)
    except OSError as error:
        raise VideoError(f"{path}: cannot be written: {error.strerror}.") from None


def _write_row(file: FileIO, frame: Frame, faces: Sequence[Face]) -> None:
    row = {
        "frame": frame.index,
        "time_s": round(frame.time_s, 4),
        "faces": [face_record(face) for face in faces],
    }
    line = (json.dumps(row) + "\n").encode()
    try:
        whole = file.write(line) == len(line)
    except OSError as error:
        raise VideoError(f"{file.name}: cannot be written: {error.strerror}.") from None
    if not whole:
        raise VideoError(f"{file.name}: the disk is full; the last row is cut.")


@dataclass(frozen=True)
class Summary:
    """A finished run: frames, seconds, the files written, and the signal that ended it if any."""

    frames: int
    seconds: float
    files: tuple[Path, ...]
    signal: int | None

    def __str__(self) -> str:
        stopped = "" if self.signal is None else f"stopped by {signal.Signals(self.signal).name}: "
        count = "1 frame" if self.frames == 1 else f"{self.frames} frames"
        rate = self.frames / max(self.seconds, 1e-9)
        files = "".join(f"; wrote {path}" for path in self.files)
        return f"{stopped}{count} in {self.seconds:.1f} s ({rate:.1f} frames/s){files}"


def run_video(
    source: Source,
    recognizer: EmotionRecognizer,
    *,
    output: Path | None = None,
    log: Path | None = None,
    window: Window | None = None,
    max_frames: int | None = None,
    notify: Callable[[str], None] = lambda text: None,
) -> Summary:
    """Recognise the faces of a source's frames; show, write and log them.

    Ctrl-C, SIGTERM, `q` and the window's close button end it after the frame in work, with all
    files complete; a second Ctrl-C raises KeyboardInterrupt at once.

    Args:
        output: an .mp4 or .avi file of the frames with boxes, labels and the rate drawn.
        log: a file of JSON lines, one a frame, each on the disk before the next frame.
        notify: takes a line for the user, such as where a snapshot lies.

    Raises:
        VideoError: for a source that stops, and for files that cannot be written.
    """
    done, started = 0, time.monotonic()
    frame_times: deque[float] = deque(maxlen=30)
    with ExitStack() as stack:
        signals = stack.enter_context(_noted_signals())
        if window is not None:
            stack.callback(window.close)
        writer = rows = None
        if output is not None:
            writer = stack.enter_context(VideoWriter(output, fps=source.fps, live=source.live))
        frames = read_frames(source, max_frames=max_frames)
        if window is None and source.frame_count > 2 * source.fps:
            total = min(source.frame_count, max_frames or source.frame_count)
            frames = _with_progress(frames, total)
        for frame in stack.enter_context(closing(frames)):
            faces = recognizer.analyze(frame.image)
            frame_times.append(time.monotonic())
            if log is not None:
                rows = rows or stack.enter_context(_open_log(log))
                _write_row(rows, frame, faces)
            done += 1
            if writer is not None or window is not None:
                drawn = draw_faces(frame.image, faces)
                draw_text(drawn, f"{_rate(frame_times):.1f} FPS")
                if writer is not None:
                    writer.write(Frame(frame.index, frame.time_s, drawn))
                if window is not None and _show_last(window, drawn, notify):
                    break
            if signals:
                break
        else:
            if max_frames is None and done < 0.9 * source.frame_count:
                notify(
                    f"{source.name}: only {done} of {source.frame_count} frames could be read; "
                    "it may be cut off or damaged."
                )
    files = tuple(path for path in (output, log) if path is not None)
    return Summary(done, time.monotonic() - started, files, signals[0] if signals else None)


def _show_last(window: Window, image: np.ndarray, notify: Callable[[str], None]) -> bool:
    """Show a frame and do what the user's key says; tell whether they want to stop."""
    window.show(image)
    key = window.key()
    if key == "s":
        try:
            notify(f"saved {save_snapshot(image, Path.cwd())}")
        except OSError as error:
            notify(f"the snapshot could not be saved: {error}")
    return key == "q" or window.closed()


def _with_progress(frames: Iterator[Frame], total: int) -> Generator[Frame]:
    yield from track(frames, description="recognising", total=total)


def _rate(times: Sequence[float]) -> float:
    """Return how many frames a second were done at these times in seconds."""
    return (len(times) - 1) / max(times[-1] - times[0], 1e-9)


@contextmanager
def _noted_signals() -> Iterator[list[int]]:
    """Note the first signal that asks to stop, for the loop to see; let the second one through."""
    noted: list[int] = []

    def note(number: int, _: FrameType | None) -> None:
        if noted:
            raise KeyboardInterrupt
        noted.append(number)

    previous = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            # nohup and shells ask to ignore some, which holds.
            if signal.getsignal(number) is not signal.SIG_IGN:
                previous[number] = signal.signal(number, note)
    try:
        yield noted
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
