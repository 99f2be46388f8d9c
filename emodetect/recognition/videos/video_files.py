"""The whole job of `emodetect video`: log, copy, timeline, figures and page of video files."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from importlib import import_module
from itertools import groupby, takewhile
from pathlib import Path
from typing import Any, Protocol

from emodetect.errors import SourceError, VideoError
from emodetect.machine.interrupts import noted_signals, stopped_by
from emodetect.machine.progress import track
from emodetect.machine.terminal_text import on_one_line
from emodetect.number_format import quantity
from emodetect.recognition.drawn_text import warn_of_boxes
from emodetect.recognition.face import Face
from emodetect.recognition.overlay import blur_faces, draw_faces
from emodetect.recognition.plot_style import own_style
from emodetect.recognition.recognizer import EmotionRecognizer, EmotionTracker
from emodetect.recognition.sightings import Seen, complete_frames
from emodetect.recognition.videos.pipeline import (
    HEARTBEAT_S,
    Analyze,
    Analyzed,
    analyze_frames,
)
from emodetect.recognition.videos.reading.capture import Frame, Source, is_read, open_source
from emodetect.recognition.videos.recording.encoder import UnwritableVideoError
from emodetect.recognition.videos.recording.sound import add_sound
from emodetect.recognition.videos.recording.video_writer import VideoWriter
from emodetect.recognition.videos.row_log import RowLog, read_rows
from emodetect.recognition.videos.summary.best_moments import BestMoments, Moment
from emodetect.recognition.videos.summary.face_record import FaceRecord
from emodetect.recognition.videos.summary.figures import VideoFigures, video_figures
from emodetect.recognition.videos.summary.settings import analysis_settings
from emodetect.recognition.videos.summary.summary_file import (
    SummarizedVideo,
    require_distinct_columns,
    write_summary,
)
from emodetect.recognition.videos.summary.timeline import draw_timeline, save_timeline
from emodetect.recognition.videos.tracker_state import StateFile, TrackerState, check_settings
from emodetect.recognition.videos.video_plan import VideoJob, VideoOptions, plan_videos

# The state of the tracker is written after this many frames, which a resumed run analyses again.
STATE_FRAMES = 25


@dataclass(frozen=True)
class VideoResult:
    """A finished video.

    Attributes:
        frames: number of frames analysed in this run.
        known: number of frames whose rows were in the log before.
        seconds: duration of the run.
        record: the faces of all these frames.
        figures: what they show; None if no frame could be read.
        moments: the best ones of each face, by its ID and the emotion; empty without a page.
        files: the files that were written.
        notes: notes for the user.
        incomplete: why these are not the results of the whole video; "" if they are.
        error: why the video could not be read to its end.
        signal: the one that stopped the run.
    """

    source: str
    frames: int
    known: int
    seconds: float
    record: FaceRecord
    figures: VideoFigures | None
    moments: Mapping[tuple[int | None, str], Moment]
    files: tuple[Path, ...]
    notes: tuple[str, ...]
    incomplete: str
    error: str | None
    signal: int | None

    def lines(self) -> list[str]:
        """Return the lines to print: what was done, the files written or the error, the notes."""
        name = on_one_line(self.source)
        begin = f"error: {on_one_line(self.error)}" if self.error else f"{name}: {self._done()}"
        if self.files:
            begin = begin.removesuffix(".")
            begin += f"; wrote {on_one_line(', '.join(map(str, self.files)))}"
        return [begin, *(f"{name}: {note}" for note in self.notes)]

    def _done(self) -> str:
        if self.known and not self.frames and self.signal is None:
            return f"already finished; all {quantity(self.known, 'frame')} are in the log"
        rate = self.frames / max(self.seconds, 1e-9)
        speed = f"{quantity(self.frames, 'frame')} in {self.seconds:.1f} s ({rate:.0f} frames/s)"
        resumed = f" after {self.known:,} that were in the log" if self.known else ""
        return f"{stopped_by(self.signal)}{speed}{resumed}"


class Page(Protocol):
    """A page about all videos; see `reports.videos.video_page.VideoPage`."""

    def add(self, result: VideoResult) -> None:
        """Add a video, and write the page."""
        ...


OpenPage = Callable[[Path, Sequence[str], dict[str, Any]], Page]
"""Opens the page at a path, given the emotions of the model and the settings."""


def analyze_videos(
    options: VideoOptions, recognizer: EmotionRecognizer, *, open_page: OpenPage | None = None
) -> Iterator[VideoResult]:
    """Analyse video files one after the other; one that fails does not stop the others.

    Ctrl-C, SIGTERM and SIGHUP end the run after the current frame, with all files complete.

    Args:
        open_page: for `options.report`: `reports.videos.video_page.VideoPage`.

    Raises:
        VideoError: see `plan_videos`; also if a file cannot be written, in which case everything
            written so far is complete.
    """
    if options.timeline or options.report:
        import_module("matplotlib.figure")  # if it is missing, before a long video is analysed
    jobs = plan_videos(options, recognizer.emotions)
    if options.output is not None:
        warn_of_boxes(recognizer.emotions)
    overall = _Overall(options, recognizer, open_page)
    if options.resume and options.log is not None:
        check_settings(options.log, overall.settings)
    with ExitStack() as stack:
        signals = stack.enter_context(noted_signals())
        rows = None
        if options.log is not None:
            log = RowLog(options.log, recognizer.emotions, append=options.resume)
            rows = stack.enter_context(log)
        for job in jobs:
            video = _Video(job, recognizer, options, rows, overall.settings)
            yield overall.with_files(video.process(signals))
            if signals:
                return


class _Overall:
    """The files about all videos of a run, which are written again with each video."""

    def __init__(
        self, options: VideoOptions, recognizer: EmotionRecognizer, open_page: OpenPage | None
    ) -> None:
        self.emotions, self.summary = recognizer.emotions, options.summary
        self.settings = analysis_settings(
            recognizer, options.tracking, every=options.every, min_seconds=options.min_seconds
        )
        if self.summary is not None:
            require_distinct_columns(self.summary, emotions=self.emotions, settings=self.settings)
        self.videos: list[SummarizedVideo] = []
        self.page, self.page_file = None, options.report
        if options.report is not None:
            if open_page is None:
                raise VideoError("report: needs open_page=VideoPage.")
            self.page = open_page(options.report, self.emotions, self.settings)

    def with_files(self, result: VideoResult) -> VideoResult:
        """Add a video to the files; return it with their names."""
        video = SummarizedVideo(result.source, result.figures, result.known, result.incomplete)
        self.videos.append(video)
        if self.summary is not None:
            write_summary(self.summary, self.videos, emotions=self.emotions, settings=self.settings)
        if self.page is not None:
            self.page.add(result)
        files = [path for path in (self.summary, self.page_file) if path is not None]
        return replace(result, files=(*result.files, *files))


def _known_rows(
    log: Path, job: VideoJob, emotions: Sequence[str]
) -> Iterator[tuple[int, list[Face]]]:
    """Yield the frame number and faces of each row of a video that was in the log at the start."""
    name, left = on_one_line(job.name), job.known
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
        file: keeps the state of the tracker; None without a log.
        state: that which a resumed run goes on from, until it is there; None to begin with frame 0.
        states: those to be written once the rows of a frame are, with the number of this frame.
        saved: number of frames analysed up to the last of these.
        first_new: number of the first frame that is not in the log.
        first_analyzed: number of the first frame to analyse.
        finished: whether the log has all frames.
        seen: what is seen in the last analysed frame.
        read: number of frames read, including those between two analysed ones.
        done: number of frames analysed that were not in the log.
    """

    def __init__(
        self,
        job: VideoJob,
        recognizer: EmotionRecognizer,
        options: VideoOptions,
        rows: RowLog | None,
        settings: Mapping[str, Any],
    ) -> None:
        self.job, self.rows = job, rows
        self.every, self.privacy = options.every, options.privacy
        self.min_seconds = options.min_seconds
        tracked = options.tracking is not None
        self.tracker = EmotionTracker(recognizer, options.tracking, tracked=tracked)
        self.file = None if options.log is None else StateFile(options.log, job.source, settings)
        self.state: TrackerState | None = None
        self.states: deque[tuple[int, TrackerState]] = deque()
        self.first_new = job.known * self.every
        self.first_analyzed = self.saved = 0
        self.finished = False
        self.only_log = not any((options.output, options.timeline, options.summary, options.report))
        self.known: Iterator[tuple[int, list[Face]]] = iter(())
        if job.known and options.log is not None:
            self.known = _known_rows(options.log, job, recognizer.emotions)
        self.record = FaceRecord(recognizer.emotions, tracked=tracked)
        self.frame_s, self.end_s = 0.0, math.inf
        self.moments: BestMoments | None = None
        if options.report is not None:
            self.moments = BestMoments(privacy=self.privacy)
        self.writer: VideoWriter | None = None
        self.seen = Seen(())
        self.read = self.done = 0

    def process(self, signals: Sequence[int]) -> VideoResult:
        """Read the video to its end, or to the first signal, and complete its files."""
        started = time.monotonic()
        missing, error = None, None
        try:
            self._find_start()
            with open_source(source=self.job.source) as source:
                missing = self._read(source, signals)
                self.end_s = source.end_of_analysis_s(self.every)
        except (SourceError, UnwritableVideoError) as raised:
            error = str(raised)
        if self.file is not None and error is None and not signals:
            self.file.remove(whose="any" if self.done else "own")
        figures = video_figures(
            self.record, frame_s=self.frame_s, min_seconds=self.min_seconds, end_s=self.end_s
        )
        files, notes = self._complete(figures)
        stopped = f"{stopped_by(signals[0])}{quantity(self.read, 'frame')} read" if signals else ""
        return VideoResult(
            source=self.job.name,
            frames=self.done,
            known=min(self.job.known, -(-self.read // self.every)),
            seconds=time.monotonic() - started,
            record=self.record,
            figures=figures,
            moments=self.moments.found if self.moments else {},
            files=tuple(files),
            notes=tuple(notes) if missing is None else (missing, *notes),
            incomplete=on_one_line(error or missing or stopped),
            error=error,
            signal=signals[0] if signals else None,
        )

    def _find_start(self) -> None:
        """Find what of the frames in the log need not be analysed again."""
        job = self.job
        if not job.known or self.file is None:
            return
        self.finished = is_read(job.source, frames=job.known, last_s=job.known_s, every=self.every)
        if self.privacy:
            # A log written without blurring lacks faces that appeared between two scans.
            return
        if self.finished:
            self.first_analyzed = self.first_new
            return
        self.state = self.file.read(frames=job.known, emotions=len(self.record.emotions))
        if self.state is not None:
            self.first_analyzed = self.state.frames * self.every

    def _read(self, source: Source, signals: Sequence[int]) -> str | None:
        """Process each frame; return a note if the end is missing."""
        if source.live:
            raise SourceError(
                f"{source.name}: expected a video file, got a live stream; use `emodetect webcam "
                "--no-display --log FILE --source URL`."
            )
        if self.finished and self.only_log:
            self.read, source.end_s = self.first_new - self.every + 1, self.job.known_s
            return source.missing_end(self.first_new)
        # A copy has all frames; those between two analysed ones get the previous faces.
        step = self.every if self.job.output is None else 1
        self.frame_s = self.every / source.fps
        with ExitStack() as stack:
            if self.job.output is not None:
                self.writer = stack.enter_context(VideoWriter(self.job.output, fps=source.fps))
            for frame, seen in _frames(source, self._look, step, stack, signals):
                self._add(frame, seen)
                if signals:
                    return None
        return None if signals else source.missing_end(self.read + step - 1)

    def _look(self, frame: Frame) -> Seen:
        if frame.index % self.every == 0:
            if frame.index >= self.first_analyzed:
                self.seen = self._analyze(frame)
            elif self.state is not None:
                self.state.show(frame)
                if frame.index == self.first_analyzed - self.every:
                    self.state.restore(self.tracker, frame)
            if frame.index < self.first_new and not self.privacy:
                self.seen = Seen.known(next(self.known)[1])
        return self.seen

    def _analyze(self, frame: Frame) -> Seen:
        seen = self.tracker.look(frame.image, frame.time_s)
        frames = frame.index // self.every + 1
        if self.file is not None and frames >= max(self.job.known, self.saved) + STATE_FRAMES:
            state = TrackerState.of(self.tracker, self.file, frames=frames)
            if state is not None:
                self.states.append((frame.index, state))
                self.saved = frames
        return seen

    def _add(self, frame: Frame, seen: Seen) -> None:
        """Add a frame's faces to the record, the moments, the log and the copy."""
        self.read, faces = frame.index + 1, seen.faces
        if frame.index % self.every == 0:
            self.record.add(frame.time_s, faces)
            if self.moments is not None:
                self.moments.add(frame, faces, everything=seen.everything)
            if frame.index >= self.first_new:
                if self.file is not None and not frame.index:
                    self.file.begin()
                self.done += 1
                if self.rows is not None:
                    self.rows.write(self.job.name, frame, faces)
                self._save_state(frame.index)
        if self.writer is not None:
            image = blur_faces(frame.image, seen.everything) if self.privacy else frame.image
            self.writer.write(Frame(frame.index, frame.time_s, draw_faces(image, faces)))

    def _save_state(self, written: int) -> None:
        """Write the state after a frame, once the rows of all frames up to it are written."""
        if self.file is not None and self.states and self.states[0][0] <= written:
            self.file.write(self.states.popleft()[1])

    def _complete(self, figures: VideoFigures | None) -> tuple[list[Path], list[str]]:
        """Add the sound to the copy and plot the timeline.

        Returns the files written for this video, and a note if the sound is missing.
        """
        files, notes = [], []
        if self.rows is not None and self.done:
            files.append(self.rows.path)
        if self.writer is not None and self.writer.complete:
            notes = add_sound(self.writer.path, self.job.source, seconds=self.writer.length_s)
            files.append(self.writer.path)
        if self.job.timeline is not None and figures is not None:
            title = Path(self.job.name).name
            with own_style():
                figure = draw_timeline(self.record, title=title, left_out=figures.left_out)
                save_timeline(figure, self.job.timeline)
            files.append(self.job.timeline)
        return files, notes


def _frames(
    source: Source, analyze: Analyze, step: int, stack: ExitStack, signals: Sequence[int]
) -> Iterator[Analyzed]:
    """Yield frames with their faces and show a bar.

    A signal ends the frames, even if none arrives. Those that are held back are then left out, so
    that a resumed run analyses them again.
    """
    analyzed = stack.enter_context(
        closing(analyze_frames(source, analyze, every=step, heartbeat_s=HEARTBEAT_S))
    )
    heard = takewhile(lambda item: item is not None or not signals, analyzed)
    items = (item for item in heard if item is not None)
    total = -(-source.frame_count // step)
    shown = track(items, description=Path(source.name).name, total=total)
    return complete_frames(shown, signals=signals)
