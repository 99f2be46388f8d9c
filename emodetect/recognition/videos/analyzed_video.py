"""Analyse a video file from Python: an iterator of its frames' results."""

from __future__ import annotations

import io
import logging
import os
from collections.abc import Generator, Iterator
from contextlib import ExitStack, closing
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from emodetect.errors import SourceError, VideoError
from emodetect.faces.tracking import TrackingOptions
from emodetect.machine.terminal_text import on_one_line
from emodetect.notebook import heading, lines, picture, table
from emodetect.number_format import percent, quantity
from emodetect.recognition.face import Face
from emodetect.recognition.face_rows import FRAME_COLUMNS, frame_record, frame_rows
from emodetect.recognition.plot_style import own_style
from emodetect.recognition.recognizer import EmotionRecognizer
from emodetect.recognition.results import FrameResult, data_frame
from emodetect.recognition.sightings import complete_frames
from emodetect.recognition.videos.pipeline import analyze_frames, frame_analysis
from emodetect.recognition.videos.reading.capture import open_source
from emodetect.recognition.videos.summary.face_record import FaceRecord
from emodetect.recognition.videos.summary.figures import VideoFigures, video_figures
from emodetect.recognition.videos.summary.timeline import draw_timeline

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

logger = logging.getLogger(__name__)
DEFAULT_TRACKING = TrackingOptions()


def analyze_video(
    video: str | os.PathLike[str],
    recognizer: EmotionRecognizer | None = None,
    *,
    every: int = 1,
    tracking: TrackingOptions | None = DEFAULT_TRACKING,
) -> AnalyzedVideo:
    """Open a video file whose frames are analysed as they are read, as by `emodetect video`.

    Args:
        recognizer: the default model with the default detector, if None.
        every: analyse only frames 0, every, 2 * every...
        tracking: how faces are tracked; None detects them in each frame independently.

    Raises:
        VideoError: if the video cannot be opened or is a live stream, or for another kind of
            argument.

    Examples:
        >>> import emodetect
        >>> video = emodetect.analyze_video("talk.mp4")
        >>> for result in video:
        ...     happy = [face.id for face in result if face.emotion == "happy"]
        >>> table = video.to_df()
        >>> list(table.columns[:6])
        ['video', 'frame', 'time_s', 'face', 'x', 'y']
        >>> video.figures().frames
        10
    """
    if not isinstance(video, str | os.PathLike):
        raise VideoError(f"video: expected the path of a video file, got {type(video).__name__}.")
    if not isinstance(tracking, TrackingOptions | None):
        raise VideoError(f"tracking: expected TrackingOptions or None, got {tracking!r}.")
    if not isinstance(every, Integral) or every < 1:
        raise VideoError(f"every: expected a whole number, 1 or more, got {every!r}.")
    if not isinstance(recognizer, EmotionRecognizer | None):
        raise VideoError(f"recognizer: expected an EmotionRecognizer or None, got {recognizer!r}.")
    return AnalyzedVideo(os.fspath(video), recognizer or EmotionRecognizer(), every, tracking)


class AnalyzedVideo(Iterator[FrameResult]):
    """The frames of a video with their faces, each analysed when it is asked for.

    Iterating gives a `FrameResult` for each frame, once. Faces are kept, images are not: `to_df`,
    `figures` and `timeline` first analyse the frames that are left. In a notebook it shows what
    has been analysed.

    It can be used in a `with` block, or closed, to release the file before its end.

    Attributes:
        video: the path, as it was given.
        emotions: those of the model, in its label order.
        fps: frames per second, as the file states.
        incomplete: once it is read, why the end of the video is missing; "" if it is not.
    """

    def __init__(
        self,
        video: str,
        recognizer: EmotionRecognizer,
        every: int,
        tracking: TrackingOptions | None,
    ) -> None:
        self.video, self.emotions = video, recognizer.emotions
        self.incomplete = ""
        self._settled = False  # read to its end, or closed on purpose
        self._every = every
        self._record = FaceRecord(self.emotions, tracked=tracking is not None)
        self._faces: list[tuple[int, float, list[Face]]] = []
        with ExitStack() as stack:
            self._source = stack.enter_context(open_source(source=video))
            if self._source.live:
                raise SourceError(f"{self._source.name}: expected a video file, got a live stream.")
            self._analyze = frame_analysis(recognizer, tracking)
            self._opened = stack.pop_all()
        self.fps = self._source.fps
        self._results = self._read()

    @property
    def frames(self) -> int:
        """The number of frames analysed."""
        return len(self._faces)

    def __next__(self) -> FrameResult:
        return next(self._results)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop the analysis and release the file; what was analysed can still be used."""
        self._settled = True
        self._results.close()
        self._opened.close()

    def _read(self) -> Generator[FrameResult]:
        last = 0
        with self._opened:
            frames = analyze_frames(self._source, self._analyze, every=self._every)
            with closing(frames):
                complete = complete_frames(item for item in frames if item is not None)
                for frame, seen in complete:
                    last, faces = frame.index, seen.faces
                    self._faces.append((last, frame.time_s, faces))
                    self._record.add(frame.time_s, faces)
                    yield FrameResult(
                        faces,
                        frame.image,
                        emotions=self.emotions,
                        video=self.video,
                        frame=last,
                        time_s=frame.time_s,
                    )
            self.incomplete = self._source.missing_end(last + self._every) or ""
        self._settled = True
        if self.incomplete:
            logger.warning("%s: %s", on_one_line(self._source.name), self.incomplete)

    def _finish(self) -> None:
        for _ in self:
            pass
        if not self._settled:
            raise VideoError(
                f"{on_one_line(self._source.name)}: the analysis ended with an error or an "
                f"interrupt after {self.frames:,} frames. Analyse the video again; or call "
                "close(), to use these frames alone."
            )

    def to_df(self) -> pd.DataFrame:
        """Return a data frame with a row for each face of each frame.

        A frame without faces has one row without a box. The columns are those of the .csv of
        `emodetect video --log`: "time_s" is the time, "face" the number of the face.

        Raises:
            EmodetectError: if pandas is not installed.
            VideoError: if the video cannot be read to its end.
        """
        self._finish()
        rows = [
            row for frame in self._faces for row in frame_rows(self.video, *frame, self.emotions)
        ]
        return data_frame(rows, [*FRAME_COLUMNS, *self.emotions], self.emotions)

    def figures(self, *, min_seconds: float = 0.0) -> VideoFigures | None:
        """Return the figures of the video, as `emodetect video --summary` writes them.

        Args:
            min_seconds: leave out faces visible for less.

        Returns:
            None if the video has no frames.

        Raises:
            VideoError: if the video cannot be read to its end.
        """
        self._finish()
        return self._figures(min_seconds)

    def _figures(self, min_seconds: float = 0.0) -> VideoFigures | None:
        return video_figures(
            self._record,
            frame_s=self._every / self.fps,
            min_seconds=min_seconds,
            end_s=self._source.end_of_analysis_s(self._every),
        )

    def timeline(self) -> Figure:
        """Plot the probability of each emotion over time, a row for each face.

        Raises:
            VideoError: if the video cannot be read to its end.
        """
        self._finish()
        return self._timeline()

    def _timeline(self) -> Figure:
        return draw_timeline(self._record, title=on_one_line(Path(self.video).name))

    def to_dict(self) -> dict[str, Any]:
        """Return plain, JSON-ready values: the video and a list of its frames, as in a .jsonl.

        Raises:
            VideoError: if the video cannot be read to its end.
        """
        self._finish()
        frames = [frame_record(self.video, *frame) for frame in self._faces]
        return {"video": self.video, "incomplete": self.incomplete, "frames": frames}

    def _repr_html_(self) -> str:
        figures = self._figures()
        begin = heading(self.video) + lines([f"{quantity(self.frames, 'frame')} analysed"])
        if figures is None:
            return begin
        plot = io.BytesIO()
        with own_style():
            self._timeline().savefig(plot, format="png", dpi=80)
        rows = [
            (
                "any" if face.id is None else str(face.id),
                f"{face.visible_s:.1f} s",
                ", ".join(f"{emotion} {percent(share)}" for emotion, share in face.shares.items()),
            )
            for face in figures.faces or (figures.whole,)
        ]
        found = table(("face", "visible", "share of time"), rows) if figures.whole.frames else ""
        return begin + picture(plot.getvalue(), alt="emotions over time") + found
