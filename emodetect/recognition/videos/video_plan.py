"""What to do with each video file: checked as a whole before any work starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from emodetect.errors import VideoError
from emodetect.faces.tracking import TrackingOptions
from emodetect.machine.terminal_text import on_one_line
from emodetect.recognition.videos.reading.files_and_streams import shown_name
from emodetect.recognition.videos.recording.ffmpeg import FORMATS, ffmpeg_for
from emodetect.recognition.videos.recording.output_files import check_files, check_suffix
from emodetect.recognition.videos.row_log import (
    LOG_SUFFIXES,
    check_beginning,
    drop_cut_row,
    read_rows,
)
from emodetect.recognition.videos.summary.summary_file import SUMMARY_SUFFIXES
from emodetect.recognition.videos.tracker_state import certain_frames


@dataclass(frozen=True, kw_only=True)
class VideoOptions:
    """Which videos to analyse, and what to write.

    Attributes:
        videos: video files.
        tracking: how faces are tracked; None detects them in each frame independently.
        every: analyse only frames 0, every, 2 * every...
        output: a file for the annotated copy, with a suffix in FORMATS; a folder for several
            videos.
        log: a .jsonl or .csv file for the rows of all videos.
        timeline: a .png file for the emotions over time; a folder for several videos.
        summary: a .csv or .json file for the figures of all videos.
        report: an .html file for a page about all videos.
        min_seconds: leave faces visible for less out of the timeline, the figures and the page.
        privacy: blur faces in the annotated copies and on the page.
        resume: continue after the rows that `log` already contains.
        force: overwrite existing files.
    """

    videos: tuple[str, ...]
    tracking: TrackingOptions | None = None
    every: int = 1
    output: Path | None = None
    log: Path | None = None
    timeline: Path | None = None
    summary: Path | None = None
    report: Path | None = None
    min_seconds: float = 0.0
    privacy: bool = False
    resume: bool = False
    force: bool = False


@dataclass(frozen=True)
class VideoJob:
    """A video file and what to write for it.

    Attributes:
        output: a file for the annotated copy.
        timeline: a .png file for the plot of the emotions over time.
        known: number of analysed frames whose rows are already in the log.
        known_s: time of the last of them.
    """

    source: str
    output: Path | None = None
    timeline: Path | None = None
    known: int = 0
    known_s: float = 0.0

    @property
    def name(self) -> str:
        """What the video is called in results."""
        return shown_name(self.source)


def plan_videos(options: VideoOptions, emotions: Sequence[str]) -> list[VideoJob]:
    """Return a job for each video, after checking every path to write to.

    For several videos `output` and `timeline` are folders, created here; their files are named
    after the videos.

    Raises:
        VideoError: if a path cannot be written to, already exists (without `force` or `resume`),
            or would get the results of two videos; if there is no ffmpeg for the copies; and if a
            log cannot be resumed.
    """
    videos, log = options.videos, options.log
    names = [on_one_line(shown_name(video)) for video in videos]  # as in the log
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise VideoError(
            f"{repeated[0]}: given twice; give each video once, and addresses that differ only in "
            "what follows the ? in runs of their own."
        )
    if options.resume and log is None:
        raise VideoError("--resume requires the --log of the interrupted run.")
    _check_names(options)
    known: dict[str, tuple[int, float]] = {}
    if options.resume and log is not None and log.exists():
        known = _known_frames(log, emotions, every=options.every)
    jobs = []
    for video, name in zip(videos, names, strict=True):
        frames, last_s = known.get(name, (0, 0.0))
        output = _place(options.output, video, ".mp4", videos)
        timeline = _place(options.timeline, video, ".png", videos)
        jobs.append(VideoJob(video, output, timeline, known=frames, known_s=last_s))
    for job in jobs:
        check_files(
            (job.output, job.timeline, options.summary, options.report),
            log=log,
            source=job.source,
            force=options.force or options.resume,
        )
        if job.output is not None:
            ffmpeg_for(job.output)
    written = [path for job in jobs for path in (job.output, job.timeline) if path is not None]
    for path in written:
        if written.count(path) > 1:
            raise VideoError(f"{path}: two videos would be written to it; rename one of them.")
    return jobs


def _check_names(options: VideoOptions) -> None:
    """Raise VideoError for a path of the wrong kind; create the folders for several videos."""
    check_suffix(options.log, LOG_SUFFIXES)
    check_suffix(options.summary, SUMMARY_SUFFIXES)
    check_suffix(options.report, (".html",))
    if len(options.videos) == 1:
        check_suffix(options.output, FORMATS)
        check_suffix(options.timeline, (".png",))
        return
    for folder in filter(None, (options.output, options.timeline)):
        if folder.suffix.lower() in (*FORMATS, ".png") or folder.is_file():
            raise VideoError(f"{folder}: expected a folder for the files of several videos.")
        folder.mkdir(parents=True, exist_ok=True)


def _place(given: Path | None, video: str, suffix: str, videos: Sequence[str]) -> Path | None:
    """Return where a video's result goes: the given file, or a file in the given folder."""
    if given is None or len(videos) == 1:
        return given
    return given / f"{Path(shown_name(video)).stem}{suffix}"


def _known_frames(
    log: Path, emotions: Sequence[str], *, every: int
) -> dict[str, tuple[int, float]]:
    """Return how many frames of each video a log contains, and the time of the last in seconds.

    Rows that a crash may have cut off are removed from the log.

    Raises VideoError for a log of another model or another `every`, and for another kind of file.
    """
    check_beginning(log, emotions)
    drop_cut_row(log, doubtful=certain_frames(log) * every)
    known: dict[str, tuple[int, float]] = {}
    for video, frame, time_s, _ in read_rows(log, emotions):
        frames, _ = known.get(video, (0, 0.0))
        if frame != frames * every:
            raise VideoError(
                f"{log}: expected frame {frames * every} of {video} with --every {every}, got "
                f"frame {frame}; resume with the same --every, or start over with --force."
            )
        known[video] = frames + 1, time_s
    return known
