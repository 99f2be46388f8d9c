"""Video files: rows for each frame, an annotated copy with its sound, a timeline; resumable."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import groupby, takewhile
from pathlib import Path

from emodetect.errors import SourceError, VideoError, first_line
from emodetect.faces.tracking import TrackingOptions
from emodetect.machine.interrupts import noted_signals, stopped_by
from emodetect.machine.progress import track
from emodetect.machine.terminal_text import on_one_line
from emodetect.recognition.overlay import blur_faces, draw_faces
from emodetect.recognition.recognizer import EmotionRecognizer, Face
from emodetect.recognition.videos.capture import URL_TIMEOUT_MS, Frame, Source, open_source
from emodetect.recognition.videos.frame_analysis import HEARTBEAT_S, frame_analysis
from emodetect.recognition.videos.frame_queue import Analyze, analyze_frames
from emodetect.recognition.videos.recording import (
    CODECS,
    UnwritableVideoError,
    VideoWriter,
    check_files,
    check_suffix,
)
from emodetect.recognition.videos.row_log import (
    LOG_SUFFIXES,
    RowLog,
    check_beginning,
    drop_cut_row,
    read_rows,
)
from emodetect.recognition.videos.timeline import Timeline

FFMPEG_TIMEOUT_S = 600


@dataclass(frozen=True)
class VideoJob:
    """A video file and what is to be written of it.

    Attributes:
        output: an .mp4 or .avi file for the annotated copy.
        timeline: a .png file for the picture of the emotions over time.
        known: frames whose rows the log holds already.
        first_id: the number of the next face; those before are in the log.
    """

    source: str
    output: Path | None = None
    timeline: Path | None = None
    known: int = 0
    first_id: int = 1


@dataclass(frozen=True)
class VideoResult:
    """A worked-off video: frames analysed, seconds, notes for the user.

    `error` says why it could not be read to its end, `signal` what ended the run before.
    """

    source: str
    frames: int
    seconds: float
    notes: tuple[str, ...]
    error: str | None
    signal: int | None

    def lines(self) -> list[str]:
        """Return what a user is told: the speed, or the error; then the notes."""
        rate = self.frames / max(self.seconds, 1e-9)
        counted = "1 frame" if self.frames == 1 else f"{self.frames} frames"
        done = f"{stopped_by(self.signal)}{counted} in {self.seconds:.1f} s ({rate:.0f} frames/s)"
        name = on_one_line(self.source)
        begin = f"error: {on_one_line(self.error)}" if self.error else f"{name}: {done}"
        return [begin, *(f"{name}: {note}" for note in self.notes)]


def plan_videos(
    sources: Sequence[str],
    emotions: Sequence[str],
    *,
    output: Path | None = None,
    log: Path | None = None,
    timeline: Path | None = None,
    every: int = 1,
    resume: bool = False,
    force: bool = False,
) -> list[VideoJob]:
    """Return what is to be done for each video, after all places to write to were checked.

    For several videos `output` and `timeline` are folders, made here, for files with the
    videos' names.

    Raises VideoError for a place that cannot be written to, holds something already (without
    `force` or `resume`), or would get two videos' results; and for a log that cannot be resumed.
    """
    if doubles := sorted({source for source in sources if sources.count(source) > 1}):
        raise VideoError(f"{doubles[0]}: named twice; name each video once.")
    check_suffix(log, LOG_SUFFIXES)
    if len(sources) == 1:
        check_suffix(output, CODECS)
        check_suffix(timeline, (".png",))
    if resume and log is None:
        raise VideoError("--resume needs the --log of the interrupted run.")
    known: dict[str, tuple[int, int]] = {}
    if resume and log is not None and log.exists():
        known = resumable(log, emotions, every=every)
    if len(sources) > 1:
        for folder in filter(None, (output, timeline)):
            if folder.suffix.lower() in (*CODECS, ".png") or folder.is_file():
                raise VideoError(f"{folder}: expected a folder, for the files of several videos.")
            folder.mkdir(parents=True, exist_ok=True)
    jobs = []
    for source in sources:
        frames, largest_id = known.get(on_one_line(source), (0, 0))
        jobs.append(
            VideoJob(
                source,
                output=_place(output, source, ".mp4", sources),
                timeline=_place(timeline, source, ".png", sources),
                known=frames,
                first_id=largest_id + 1,
            )
        )
    for job in jobs:
        files = [path for path in (job.output, job.timeline, log) if path is not None]
        check_files(files, source=job.source, force=force or resume)
    written = [path for job in jobs for path in (job.output, job.timeline) if path is not None]
    for path in written:
        if written.count(path) > 1:
            raise VideoError(f"{path}: two videos would be written to it; rename one of them.")
    return jobs


def _place(given: Path | None, source: str, suffix: str, sources: Sequence[str]) -> Path | None:
    """Return where a video's result goes: the given file, or a file in the given folder."""
    if given is None or len(sources) == 1:
        return given
    return given / f"{Path(source).stem}{suffix}"


def analyze_videos(
    jobs: Sequence[VideoJob],
    recognizer: EmotionRecognizer,
    *,
    tracking: TrackingOptions | None = None,
    every: int = 1,
    log: Path | None = None,
    resume: bool = False,
    privacy: bool = False,
) -> Iterator[VideoResult]:
    """Work off video files one after the other; a file at fault does not stop the others.

    Args:
        tracking: how faces are followed; None finds them in each frame anew.
        every: analyse frames 0, every, 2 every...
        log: a .jsonl or .csv file for the rows of all videos.
        resume: go on after the rows that the log holds, of whatever videos.
        privacy: blur the faces of the annotated copies.

    Raises:
        VideoError: for files that cannot be written; what was written until then is whole.
    """
    with ExitStack() as stack:
        signals = stack.enter_context(noted_signals())
        rows = None
        if log is not None:
            rows = stack.enter_context(RowLog(log, recognizer.emotions, append=resume))
        for job in jobs:
            yield _Video(
                job, recognizer, tracking=tracking, every=every, rows=rows, privacy=privacy
            ).work_off(signals)
            if signals:
                return


def resumable(log: Path, emotions: Sequence[str], *, every: int) -> dict[str, tuple[int, int]]:
    """Return how many frames of each video a log holds, and the largest number of a face in it.

    A cut last row is removed from the log.

    Raises VideoError for a file that is no log of this model, or of another `every`.
    """
    check_beginning(log, emotions)
    drop_cut_row(log)
    known: dict[str, tuple[int, int]] = {}
    for video, frame, _, faces in read_rows(log, emotions):
        frames, largest_id = known.get(video, (0, 0))
        if frame != frames * every:
            raise VideoError(
                f"{log}: frame {frame} of {video} is not the one expected with --every {every}; "
                "resume with the same --every, or start anew with --force."
            )
        known[video] = frames + 1, max([largest_id, *(face.id or 0 for face in faces)])
    return known


def _known_rows(
    log: Path, job: VideoJob, emotions: Sequence[str]
) -> Iterator[tuple[int, list[Face]]]:
    """Yield the frame and faces of each row that the log held of a video at the start."""
    name, left = on_one_line(job.source), job.known
    for video, rows in groupby(read_rows(log, emotions), key=lambda row: row[0]):
        if video == name:
            for _, frame, _, faces in rows:
                yield frame, faces
                left -= 1
                if left == 0:
                    return


class _Video:
    """A video in work: where the faces of its frames come from, and where they go.

    Attributes:
        faces: of the last frame analysed.
        read: frames that were read, those between two analysed ones among them.
        done: frames analysed that the log did not hold.
    """

    def __init__(
        self,
        job: VideoJob,
        recognizer: EmotionRecognizer,
        *,
        tracking: TrackingOptions | None,
        every: int,
        rows: RowLog | None,
        privacy: bool,
    ) -> None:
        self.job, self.every, self.rows, self.privacy = job, every, rows, privacy
        self.analyze = frame_analysis(recognizer, tracking, first_id=job.first_id)
        self.first_new = job.known * every
        self.known: Iterator[tuple[int, list[Face]]] = iter(())
        if rows is not None:
            self.known = _known_rows(rows.path, job, recognizer.emotions)
        self.timeline = Timeline(recognizer.emotions)
        self.writer: VideoWriter | None = None
        self.faces: list[Face] = []
        self.read = self.done = 0

    def work_off(self, signals: Sequence[int]) -> VideoResult:
        """Read it to its end, or to the first signal, and complete what is written of it."""
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
        """Work on each frame; return a note where too few of them could be read."""
        if source.live:
            raise SourceError(
                f"{source.name}: a live stream, of which frames may be left out; follow it "
                "with `emodetect webcam --source`, --no-display and --log."
            )
        # A copy has all frames, those between two analysed ones with the faces before.
        step = self.every if self.job.output is None else 1
        with ExitStack() as stack:
            if self.job.output is not None:
                self.writer = stack.enter_context(VideoWriter(self.job.output, fps=source.fps))
            for frame, faces in _frames(source, self._faces_of, step, stack, signals):
                self._add(frame, faces)
                if signals:
                    return []
        if signals or self.read + step > 0.9 * source.frame_count:
            return []
        return [
            f"only {self.read} of {source.frame_count} frames could be read; it may be cut off or "
            "damaged"
        ]

    def _faces_of(self, frame: Frame) -> list[Face]:
        if frame.index % self.every == 0:
            # A log made without blurring lacks faces that came between two scans.
            known = frame.index < self.first_new and not self.privacy
            self.faces = next(self.known)[1] if known else self.analyze(frame)
        return self.faces

    def _add(self, frame: Frame, faces: list[Face]) -> None:
        """Put a frame's faces into the timeline, the log and the copy."""
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
        """Give the copy its sound and draw the timeline; return a note on sound that is missing."""
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
    """Yield frames with their faces, with a bar, until a signal, also where no frame comes."""
    analyzed = stack.enter_context(
        closing(analyze_frames(source, analyze, every=step, heartbeat_s=HEARTBEAT_S))
    )
    heard = takewhile(lambda item: item is not None or not signals, analyzed)
    items = (item for item in heard if item is not None)
    return track(items, description=Path(source.name).name, total=-(-source.frame_count // step))


def add_sound(video: Path, source: str, *, seconds: float) -> list[str]:
    """Give a video of that length the sound of its source, with ffmpeg.

    Returns a note where that is not done; a source without sound needs none.
    """
    ffmpeg = shutil.which("ffmpeg")
    if ffmpeg is None:
        return [f"{video} has no sound: ffmpeg is not installed"]
    with_sound = video.with_name(f".sound-{os.getpid()}{video.suffix}")
    original = ["-i", str(Path(source).absolute())]
    if "://" in source:
        original = ["-rw_timeout", str(1000 * URL_TIMEOUT_MS), "-i", source]
    command = [ffmpeg, "-nostdin", "-v", "error", "-y", "-i", str(video.absolute()), *original]
    # An interrupted copy is shorter than its source.
    command += ["-map", "0:v:0", "-map", "1:a?", "-c:v", "copy", "-t", f"{seconds:.3f}"]
    try:
        # Sound that the copy's format cannot hold, such as PCM in an .mp4, is encoded anew.
        for codec in (["-c:a", "copy"], []):
            done = subprocess.run(
                [*command, *codec, str(with_sound.absolute())],
                capture_output=True,
                timeout=FFMPEG_TIMEOUT_S,
            )
            if done.returncode == 0:
                with_sound.replace(video)
                return []
        told = done.stderr.decode("utf-8", "replace").strip().splitlines()
        reason = told[0] if told else f"exit status {done.returncode}"
    except (OSError, subprocess.SubprocessError) as error:
        reason = first_line(error)
    finally:
        with_sound.unlink(missing_ok=True)
    return [f"{video} has no sound: ffmpeg: {reason}"]
