"""The whole job of `emodetect video`: log, annotated copy and timeline of each video file."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import groupby, takewhile
from pathlib import Path

from emodetect.errors import SourceError
from emodetect.machine.interrupts import noted_signals, stopped_by
from emodetect.machine.progress import track
from emodetect.machine.terminal_text import on_one_line
from emodetect.recognition.overlay import blur_faces, draw_faces
from emodetect.recognition.recognizer import EmotionRecognizer, Face
from emodetect.recognition.videos.capture import Frame, Source, open_source
from emodetect.recognition.videos.pipeline import (
    HEARTBEAT_S,
    Analyze,
    analyze_frames,
    frame_analysis,
)
from emodetect.recognition.videos.recording import UnwritableVideoError, VideoWriter, add_sound
from emodetect.recognition.videos.row_log import RowLog, read_rows
from emodetect.recognition.videos.timeline import Timeline
from emodetect.recognition.videos.video_plan import VideoJob, VideoOptions, plan_videos


@dataclass(frozen=True)
class VideoResult:
    """A finished video: frames analysed, seconds, notes for the user.

    `error` says why it could not be read to its end; `signal` is the one that stopped the run.
    """

    source: str
    frames: int
    seconds: float
    notes: tuple[str, ...]
    error: str | None
    signal: int | None

    def lines(self) -> list[str]:
        """Return the lines to print: the speed or the error, then the notes."""
        rate = self.frames / max(self.seconds, 1e-9)
        counted = "1 frame" if self.frames == 1 else f"{self.frames} frames"
        done = f"{stopped_by(self.signal)}{counted} in {self.seconds:.1f} s ({rate:.0f} frames/s)"
        name = on_one_line(self.source)
        begin = f"error: {on_one_line(self.error)}" if self.error else f"{name}: {done}"
        return [begin, *(f"{name}: {note}" for note in self.notes)]


def analyze_videos(options: VideoOptions, recognizer: EmotionRecognizer) -> Iterator[VideoResult]:
    """Analyse video files one after the other; one that fails does not stop the others.

    Ctrl-C and SIGTERM end the run after the current frame, with all files complete.

    Raises:
        VideoError: see `plan_videos`; also if a file cannot be written, in which case everything
            written so far is complete.
    """
    jobs = plan_videos(options, recognizer.emotions)
    with ExitStack() as stack:
        signals = stack.enter_context(noted_signals())
        rows = None
        if options.log is not None:
            log = RowLog(options.log, recognizer.emotions, append=options.resume)
            rows = stack.enter_context(log)
        for job in jobs:
            yield _Video(job, recognizer, options, rows).process(signals)
            if signals:
                return


def _known_rows(
    log: Path, job: VideoJob, emotions: Sequence[str]
) -> Iterator[tuple[int, list[Face]]]:
    """Yield the frame number and faces of each row of a video that was in the log at the start."""
    name, left = on_one_line(job.source), job.known
    for video, rows in groupby(read_rows(log, emotions), key=lambda row: row[0]):
        if video == name:
            for _, frame, _, faces in rows:
                yield frame, faces
                left -= 1
                if left == 0:
                    return


class _Video:
    """A video in progress: where the faces of its frames come from, and where they go.

    Attributes:
        faces: the faces of the last analysed frame.
        read: number of frames read, including those between two analysed ones.
        done: number of frames analysed that were not in the log.
    """

    def __init__(
        self,
        job: VideoJob,
        recognizer: EmotionRecognizer,
        options: VideoOptions,
        rows: RowLog | None,
    ) -> None:
        self.job, self.rows = job, rows
        self.every, self.privacy = options.every, options.privacy
        self.analyze = frame_analysis(recognizer, options.tracking, first_id=job.first_id)
        self.first_new = job.known * self.every
        self.known: Iterator[tuple[int, list[Face]]] = iter(())
        if rows is not None:
            self.known = _known_rows(rows.path, job, recognizer.emotions)
        self.timeline = Timeline(recognizer.emotions)
        self.writer: VideoWriter | None = None
        self.faces: list[Face] = []
        self.read = self.done = 0

    def process(self, signals: Sequence[int]) -> VideoResult:
        """Read the video to its end, or to the first signal, and complete its files."""
        started = time.monotonic()
        notes, error = [], None
        try:
            with open_source(source=self.job.source) as source:
                notes += self._read(source, signals)
        except (SourceError, UnwritableVideoError) as raised:
            error = str(raised)
        notes += self._complete()
        seconds = time.monotonic() - started
        stopped = signals[0] if signals else None
        return VideoResult(self.job.source, self.done, seconds, tuple(notes), error, stopped)

    def _read(self, source: Source, signals: Sequence[int]) -> list[str]:
        """Process each frame; return a note if the end is missing."""
        if source.live:
            raise SourceError(
                f"{source.name}: expected a video file, got a live stream; use `emodetect webcam "
                "--no-display --log FILE --source URL`."
            )
        # A copy has all frames; those between two analysed ones get the previous faces.
        step = self.every if self.job.output is None else 1
        with ExitStack() as stack:
            if self.job.output is not None:
                self.writer = stack.enter_context(VideoWriter(self.job.output, fps=source.fps))
            for frame, faces in _frames(source, self._faces_of, step, stack, signals):
                self._add(frame, faces)
                if signals:
                    return []
        missing = None if signals else source.missing_end(self.read + step - 1)
        return [] if missing is None else [missing]

    def _faces_of(self, frame: Frame) -> list[Face]:
        if frame.index % self.every == 0:
            # A log written without blurring lacks faces that appeared between two scans.
            known = frame.index < self.first_new and not self.privacy
            self.faces = next(self.known)[1] if known else self.analyze(frame)
        return self.faces

    def _add(self, frame: Frame, faces: list[Face]) -> None:
        """Add a frame's faces to the timeline, the log and the copy."""
        self.read = frame.index + 1
        if frame.index % self.every == 0:
            if self.job.timeline is not None:
                self.timeline.add(frame.time_s, faces)
            if frame.index >= self.first_new:
                self.done += 1
                if self.rows is not None:
                    self.rows.write(self.job.source, frame, faces)
        if self.writer is not None:
            image = blur_faces(frame.image, faces) if self.privacy else frame.image
            self.writer.write(Frame(frame.index, frame.time_s, draw_faces(image, faces)))

    def _complete(self) -> list[str]:
        """Add the sound to the copy and plot the timeline; return a note if sound is missing."""
        notes = []
        if self.writer is not None and self.writer.written:
            seconds = self.writer.written / self.writer.fps
            notes = add_sound(self.writer.path, self.job.source, seconds=seconds)
        if self.job.timeline is not None and self.read:
            self.timeline.draw(self.job.timeline, title=Path(self.job.source).name)
        return notes


def _frames(
    source: Source, analyze: Analyze, step: int, stack: ExitStack, signals: Sequence[int]
) -> Iterator[tuple[Frame, list[Face]]]:
    """Yield frames with their faces and show a bar; stop at a signal, even if no frame arrives."""
    analyzed = stack.enter_context(
        closing(analyze_frames(source, analyze, every=step, heartbeat_s=HEARTBEAT_S))
    )
    heard = takewhile(lambda item: item is not None or not signals, analyzed)
    items = (item for item in heard if item is not None)
    return track(items, description=Path(source.name).name, total=-(-source.frame_count // step))
