"""Video: the faces of each frame, on a window, in a video and in a log."""

from __future__ import annotations

import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import numpy as np

from emodetect.inference.capture import Frame, Source, read_frames
from emodetect.inference.overlay import draw_faces, draw_text
from emodetect.inference.recognizer import EmotionRecognizer
from emodetect.inference.recording import VideoWriter, open_log, write_row
from emodetect.inference.window import Window, save_snapshot
from emodetect.progress import track


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
            frames = track(frames, description="recognising", total=total)
        for frame in stack.enter_context(closing(frames)):
            faces = recognizer.analyze(frame.image)
            frame_times.append(time.monotonic())
            if log is not None:
                rows = rows or stack.enter_context(open_log(log))
                write_row(rows, frame, faces)
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
