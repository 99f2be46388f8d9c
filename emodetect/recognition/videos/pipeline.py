"""From a source to frames with faces: capture and analysis, each in its own thread."""

from __future__ import annotations

import atexit
import threading
import time
from collections.abc import Callable, Generator

from emodetect.faces.tracking import TrackingOptions
from emodetect.recognition.recognizer import EmotionRecognizer, EmotionTracker
from emodetect.recognition.sightings import Seen
from emodetect.recognition.videos.bounded_queue import BoundedQueue, EndOfItems
from emodetect.recognition.videos.reading.capture import Frame, Source, read_frames

Analyze = Callable[[Frame], Seen]
Analyzed = tuple[Frame, Seen]

# Frames of a file that wait between two threads: enough to even out their speeds.
WAITING = 4
# Without a new frame for this long, the caller gets control, to redraw a window and check keys.
HEARTBEAT_S = 0.2
# How long to wait at the end for a thread that hangs in a driver; a camera's own limit is 10 s.
JOIN_TIMEOUT_S = 15.0


def frame_analysis(recognizer: EmotionRecognizer, tracking: TrackingOptions | None) -> Analyze:
    """Return a function that recognises the faces of one frame after the other.

    Args:
        tracking: how faces are tracked; None detects them in each frame independently.
    """
    tracker = EmotionTracker(recognizer, tracking, tracked=tracking is not None)
    return lambda frame: tracker.look(frame.image, frame.time_s)


def analyze_frames(
    source: Source,
    analyze: Analyze,
    *,
    max_frames: int | None = None,
    every: int = 1,
    heartbeat_s: float | None = None,
    notify: Callable[[str], None] = lambda text: None,
) -> Generator[Analyzed | None]:
    """Yield frames with their faces, in order, while others are captured and analysed.

    A live source delivers its newest frame whenever the analysis is ready for one, so results do
    not fall behind; every frame of a file is analysed. The source's capture is in use until the
    generator is closed.

    Args:
        analyze: called in another thread, with one frame after the other.
        every: analyse only frames 0, every, 2 * every... of a file.
        heartbeat_s: yield None after this long without a frame, so that a window stays responsive.
        notify: called from another thread with a message when a live source drops out or returns.

    Raises:
        VideoError: if the source fails, after yielding the frames before that.
    """
    stop, size = threading.Event(), 1 if source.live else WAITING
    captured: BoundedQueue[Frame] = BoundedQueue(size, drop_oldest=source.live)
    analyzed: BoundedQueue[Analyzed] = BoundedQueue(size)

    def capture() -> None:
        for frame in read_frames(
            source, max_frames=max_frames, every=every, stop=stop, notify=notify
        ):
            if not captured.put(frame):
                return

    def work() -> None:
        while (frame := captured.get()) is not None:
            if not analyzed.put((frame, analyze(frame))):
                return

    threads = [
        threading.Thread(target=_until_end, args=(run, into), name=name, daemon=True)
        for run, into, name in ((capture, captured, "capture"), (work, analyzed, "analysis"))
    ]

    def end() -> None:
        stop.set()
        analyzed.end()
        captured.end()
        deadline = time.monotonic() + JOIN_TIMEOUT_S
        for thread in threads:
            # Garbage collection may end it in one of the threads themselves.
            if thread is not threading.current_thread():
                thread.join(max(0.0, deadline - time.monotonic()))

    for thread in threads:
        thread.start()
    # A program may end with this generator half read, and would crash in the threads' libraries.
    atexit.register(end)
    try:
        while True:
            try:
                yield analyzed.get(heartbeat_s)
            except EndOfItems:
                return
    finally:
        atexit.unregister(end)
        end()


def _until_end(run: Callable[[], None], into: BoundedQueue) -> None:
    """Run a thread's work, then end its queue, with the error if it raised one."""
    try:
        run()
    except EndOfItems:
        into.end()
    except BaseException as error:  # raised again in the thread that takes the items
        into.end(error)
    else:
        into.end()
