"""Capture, analysis and whatever follows, each in a thread, with a bounded hand-over between."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Generator
from typing import Generic, TypeVar

from emodetect.recognition.recognizer import Face
from emodetect.recognition.videos.capture import Frame, Source, read_frames

Item = TypeVar("Item")
Analyze = Callable[[Frame], list[Face]]
Analyzed = tuple[Frame, list[Face]]

# Frames of a file that wait between two threads: enough to even out their speeds.
WAITING = 4
# How long the end waits for a thread that hangs in a driver; a camera's own limit is 10 s.
JOIN_TIMEOUT_S = 15.0


class Handover(Generic[Item]):
    """Passes items from one thread to another.

    Args:
        size: how many may wait.
        latest: where there is no room, the oldest is dropped; otherwise `put` waits.
    """

    def __init__(self, size: int, *, latest: bool = False) -> None:
        self.items: deque[Item] = deque()
        self.size, self.latest = size, latest
        self.changed = threading.Condition()
        self.ended = False
        self.error: BaseException | None = None

    def put(self, item: Item) -> bool:
        """Hand over an item; False where nobody takes any more."""
        with self.changed:
            if self.latest and len(self.items) == self.size:
                self.items.popleft()
            self.changed.wait_for(lambda: self.ended or len(self.items) < self.size)
            if self.ended:
                return False
            self.items.append(item)
            self.changed.notify_all()
            return True

    def get(self, timeout_s: float | None = None) -> Item | None:
        """Return the next item, None if none came in time.

        Raises EndOfItems after the last one, or the error with which the other side ended.
        """
        with self.changed:
            self.changed.wait_for(lambda: self.ended or self.items, timeout_s)
            if self.items:
                self.changed.notify_all()
                return self.items.popleft()
            if not self.ended:
                return None
            raise self.error or EndOfItems

    def end(self, error: BaseException | None = None) -> None:
        """Let no more in; what waits can still be taken."""
        with self.changed:
            if not self.ended:
                self.ended, self.error = True, error
            self.changed.notify_all()


class EndOfItems(Exception):  # noqa: N818  no error
    """All items were handed over."""


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

    A live source gives its newest frame when the analysis is ready for one, so that what comes
    out is never old; of a file every frame is analysed. The source's capture is used until the
    generator is closed.

    Args:
        analyze: called in another thread, with one frame after the other.
        every: of a file, only frames 0, every, 2 every... are decoded and analysed.
        heartbeat_s: yields None when nothing came for so long, so that a window stays alive.
        notify: is told, from another thread, when a live source drops out and comes back.

    Raises:
        VideoError: for a source that stops, after the frames before.
    """
    stop = threading.Event()
    captured: Handover[Frame] = Handover(1 if source.live else WAITING, latest=source.live)
    analyzed: Handover[Analyzed] = Handover(1 if source.live else WAITING)

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
    for thread in threads:
        thread.start()
    try:
        while True:
            try:
                yield analyzed.get(heartbeat_s)
            except EndOfItems:
                return
    finally:
        stop.set()
        analyzed.end()
        captured.end()
        deadline = time.monotonic() + JOIN_TIMEOUT_S
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))


def _until_end(run: Callable[[], None], into: Handover) -> None:
    """Run a thread's work; its end, or what it raised, comes after its last item."""
    try:
        run()
    except EndOfItems:
        into.end()
    except BaseException as error:  # raised again in the thread that takes the items
        into.end(error)
    else:
        into.end()
