"""The whole job of `emodetect webcam`: frames of a camera, file or stream, shown and written."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

from emodetect.faces.tracking import TrackingOptions
from emodetect.machine.interrupts import noted_signals, stopped_by
from emodetect.machine.progress import track
from emodetect.number_format import quantity
from emodetect.recognition.drawn_text import warn_of_boxes
from emodetect.recognition.recognizer import EmotionRecognizer
from emodetect.recognition.sightings import HeldFrames, Seen
from emodetect.recognition.videos.pipeline import (
    HEARTBEAT_S,
    Analyzed,
    analyze_frames,
    frame_analysis,
)
from emodetect.recognition.videos.reading.cameras import Size
from emodetect.recognition.videos.reading.capture import Frame, Source, open_source
from emodetect.recognition.videos.recording.ffmpeg import FORMATS, ffmpeg_for
from emodetect.recognition.videos.recording.output_files import check_files, check_suffix
from emodetect.recognition.videos.recording.video_writer import VideoWriter
from emodetect.recognition.videos.row_log import LOG_SUFFIXES, RowLog
from emodetect.recognition.videos.webcam_session import Session
from emodetect.recognition.videos.window import Window, open_window


@dataclass(frozen=True, kw_only=True)
class LiveOptions:
    """How to analyse an open source, and what to write.

    Attributes:
        tracking: how faces are tracked; None detects them in each frame independently.
        output: a video file, with a suffix in FORMATS, for the frames with boxes, labels and frame
            rate drawn.
        log: a .jsonl or .csv file; each frame's rows are on disk before the next frame, or, while a
            new face is being confirmed, a few frames later.
        max_frames: stop after this many frames.
        privacy: start with faces blurred in everything that is shown and written.
        corrections: folder for the crops saved by the number keys, in one folder per emotion,
            which `train` reads.
    """

    tracking: TrackingOptions | None = None
    output: Path | None = None
    log: Path | None = None
    max_frames: int | None = None
    privacy: bool = False
    corrections: Path = Path("corrections")


@dataclass(frozen=True, kw_only=True)
class WebcamOptions(LiveOptions):
    """Which source to open, and what to do with its frames.

    Attributes:
        camera, source, resolution, mirror: see `open_source`.
        display: show the frames in a window.
        force: overwrite `output` and `log`.
    """

    camera: int | None = None
    source: str | None = None
    resolution: Size | None = None
    mirror: bool | None = None
    display: bool = True
    force: bool = False


@dataclass(frozen=True)
class Summary:
    """A finished run: frames, seconds, the files written, and the signal that ended it, if any."""

    frames: int
    seconds: float
    files: tuple[Path, ...]
    signal: int | None

    def __str__(self) -> str:
        rate = self.frames / max(self.seconds, 1e-9)
        files = f"; wrote {', '.join(map(str, self.files))}" if self.files else ""
        counted = f"{quantity(self.frames, 'frame')} in {self.seconds:.1f} s ({rate:.1f} frames/s)"
        return f"{stopped_by(self.signal)}{counted}{files}"


def run_webcam(
    options: WebcamOptions,
    open_recognizer: Callable[[], EmotionRecognizer],
    *,
    notify: Callable[[str], None] = lambda text: None,
) -> Summary:
    """Open a source and, if asked for, a window, and run until the user or the source ends it.

    Args:
        notify: see `run_live`.

    Raises:
        VideoError: if the source, the display or an output file does not work.
    """
    check_suffix(options.output, FORMATS)
    check_suffix(options.log, LOG_SUFFIXES)
    check_files([options.output], log=options.log, source=options.source, force=options.force)
    if options.output is not None:
        ffmpeg_for(options.output)
    with open_source(
        camera=options.camera,
        source=options.source,
        resolution=options.resolution,
        mirror=options.mirror,
    ) as source:
        recognizer = open_recognizer()
        window = open_window() if options.display else None
        return run_live(source, recognizer, options, window=window, notify=notify)


def run_live(
    source: Source,
    recognizer: EmotionRecognizer,
    options: LiveOptions | None = None,
    *,
    window: Window | None = None,
    notify: Callable[[str], None] = lambda text: None,
) -> Summary:
    """Recognise the faces in the frames of a source; show, write and log them.

    Ctrl-C, SIGTERM, `q` and the window's close button end the run after the current frame, with
    all files complete; a second Ctrl-C raises KeyboardInterrupt at once.

    Args:
        notify: called with messages for the user, such as the path of a snapshot.

    Raises:
        VideoError: if the source fails or a file cannot be written.
    """
    options = options or LiveOptions()
    if window is not None or options.output is not None:
        warn_of_boxes(recognizer.emotions)
    done, started = 0, time.monotonic()
    with ExitStack() as stack:
        signals = stack.enter_context(noted_signals())
        if window is not None:
            stack.callback(window.close)
        files = stack.enter_context(ExitStack())
        privacy, corrections = options.privacy, options.corrections
        session = Session(recognizer, source, notify, privacy=privacy, corrections=corrections)
        stack.callback(session.stop_recording)
        output = files.enter_context(_Output(source, options, session, shown=window is not None))
        for item in _frames(source, recognizer, options, session, stack, shown=window is not None):
            if item is not None:
                if session.wait_for(item[0].time_s, window, signals):
                    break
                output.add(*item)
                done += 1
            if signals or done == options.max_frames:
                break
            if window is not None and session.show_last(window, signals):
                break
        else:
            if options.max_frames is None and (missing := source.missing_end(done)):
                notify(f"{source.name}: {missing}.")
    seconds = time.monotonic() - started
    return Summary(done, seconds, output.written(), signals[0] if signals else None)


class _Output:
    """The pictures and the files of a run.

    The rows of a frame are written once its new faces are confirmed or dropped. So is its picture,
    unless someone is watching: then it is shown, and written, at once.
    """

    def __init__(
        self, source: Source, options: LiveOptions, session: Session, *, shown: bool
    ) -> None:
        self.source, self.options, self.session = source, options, session
        self.at_once = shown or source.live
        self.shown = shown
        self.held: HeldFrames[Frame] = HeldFrames()
        self.stack = ExitStack()
        self.writer: VideoWriter | None = None
        self.rows: RowLog | None = None

    def __enter__(self) -> _Output:
        if self.options.output is not None:
            writer = VideoWriter(self.options.output, fps=self.source.fps)
            self.writer = self.stack.enter_context(writer)
        if self.options.log is not None:
            rows = RowLog(self.options.log, self.session.recognizer.emotions)
            self.rows = self.stack.enter_context(rows)
        return self

    def __exit__(self, *error: object) -> None:
        with self.stack:
            for frame, seen in self.held.finish():
                self._write(frame, seen)

    def add(self, frame: Frame, seen: Seen) -> None:
        """Add a frame and what is seen in it."""
        if self.at_once:
            self._draw(frame, seen)
        for complete, resolved in self.held.add(frame, seen):
            self._write(complete, resolved)

    def written(self) -> tuple[Path, ...]:
        """Return the files that were written; without a frame, there are none."""
        video = self.writer if self.writer is not None and self.writer.complete else None
        rows = self.rows if self.rows is not None and self.rows.file is not None else None
        return tuple(file.path for file in (video, rows) if file is not None)

    def _write(self, frame: Frame, seen: Seen) -> None:
        if self.rows is not None:
            self.rows.write(self.source.name, frame, seen.faces)
        if not self.at_once:
            self._draw(frame, seen)

    def _draw(self, frame: Frame, seen: Seen) -> None:
        if self.writer is None and not self.shown:
            return
        drawn = Frame(frame.index, frame.time_s, self.session.draw(frame, seen))
        if self.writer is not None:
            self.writer.write(drawn)
        self.session.record(drawn)


def _frames(
    source: Source,
    recognizer: EmotionRecognizer,
    options: LiveOptions,
    session: Session,
    stack: ExitStack,
    *,
    shown: bool,
) -> Iterator[Analyzed | None]:
    """Yield frames with their faces, with a progress bar for a file that is not shown."""
    analyzed = stack.enter_context(
        closing(
            analyze_frames(
                source,
                frame_analysis(recognizer, options.tracking),
                # Some frames of a live source are dropped, so the analysed ones are counted.
                max_frames=None if source.live else options.max_frames,
                heartbeat_s=HEARTBEAT_S if source.live or shown else None,
                notify=session.announce_source,
            )
        )
    )
    if shown or source.frame_count <= 2 * source.fps:
        return analyzed
    total = min(source.frame_count, options.max_frames or source.frame_count)
    return track(analyzed, description="recognising", total=total)
