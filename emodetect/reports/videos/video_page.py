"""The page about videos: `emodetect video --report`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from emodetect.emotions import UNCERTAIN
from emodetect.machine.terminal_text import on_one_line
from emodetect.notebook import data_uri
from emodetect.recognition.videos.summary.best_moments import Moment
from emodetect.recognition.videos.summary.figures import FaceFigures, VideoFigures
from emodetect.recognition.videos.summary.settings import MEANINGS
from emodetect.recognition.videos.summary.timeline import MAX_FACES, draw_timeline
from emodetect.recognition.videos.video_files import VideoResult
from emodetect.reports.html import page_colors, write_page

SHOWN_FACES = 12
# Lighter and darker than neutral's grey, in both themes.
UNCERTAIN_COLOR = "color-mix(in srgb, var(--soft) 45%, transparent)"


class VideoPage:
    """A page about one or several videos, written again with each.

    Args:
        path: the .html file.
        emotions: of the model, in its label order.
        settings: see `analysis_settings`.
    """

    def __init__(self, path: Path, emotions: Sequence[str], settings: dict[str, Any]) -> None:
        self.path, self.settings = path, settings
        self.colors = {**page_colors(emotions), UNCERTAIN: UNCERTAIN_COLOR}
        self.videos: list[dict[str, Any]] = []

    def add(self, result: VideoResult) -> None:
        """Add a video, and write the page. Raises EmodetectError if it cannot be written."""
        self.videos.append(_video(result, f"timeline{len(self.videos)}", self.colors))
        names = [video["name"] for video in self.videos]
        shown = [video for video in self.videos if video["blocks"]]
        write_page(
            "video.html",
            self.path,
            title=names[0] if len(names) == 1 else f"{len(names)} videos",
            videos=self.videos,
            colors=self.colors,
            uncertain=self.settings["uncertain_below"] > 0,
            tracked=all(video["tracked"] for video in shown),
            settings=[
                (key, _plain(value), MEANINGS.get(key, "")) for key, value in self.settings.items()
            ],
        )


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "—" if value is None else str(value)


def _video(result: VideoResult, name: str, colors: Mapping[str, str]) -> dict[str, Any]:
    """Return what the template needs to know about a video."""
    figures = result.figures
    video = {
        "name": on_one_line(Path(result.source).name or result.source),
        "path": on_one_line(result.source),
        "incomplete": result.incomplete,
        "known": result.known,
        "figures": figures,
        "tracked": result.record.tracked,
        "blocks": [],
    }
    if figures is None:
        return video
    faces = figures.faces[:SHOWN_FACES]
    # A single face's figures are those of the whole.
    blocks = faces if len(figures.faces) == 1 else (figures.whole, *faces)
    return video | {
        "bars": list(_bars(figures.whole, colors)),
        "blocks": [_block(face, figures, result.moments) for face in blocks],
        "hidden": figures.faces[SHOWN_FACES:],
        "timeline": _timeline(result, figures, name),
        "not_in_timeline": max(0, len(result.record.faces) - len(figures.left_out) - MAX_FACES),
    }


def _timeline(result: VideoResult, figures: VideoFigures, name: str) -> Markup:
    from emodetect.reports.plots.style import styled, to_svg  # here, because it loads Matplotlib

    with styled():
        figure = draw_timeline(result.record, title="", left_out=figures.left_out)
    return to_svg(figure, name=name, title="Probability of each emotion over time, for each face")


def _bars(face: FaceFigures, colors: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    for emotion, share in face.shares.items():
        yield {"emotion": emotion, "share": share, "color": colors[emotion]}


def _block(
    face: FaceFigures,
    figures: VideoFigures,
    moments: Mapping[tuple[int | None, str], Moment],
) -> dict[str, Any]:
    """Return what the template needs to know about a face, or about all faces."""
    title = "All faces together" if face.id is None else f"Face {face.id}"
    changes = face.transitions or {}
    most = max(changes.values(), default=1)
    involved = {label for change in changes for label in change}
    labels = [label for label in face.emotions if label in involved]
    return {
        "title": title,
        "face": face,
        "visible_share": face.visible_s / figures.seconds,
        "labels": labels,
        "transitions": {
            before: [(changes.get((before, after), 0), most) for after in labels]
            for before in labels
        },
        "moments": [
            {
                "emotion": emotion,
                "confidence": moment.confidence,
                "time": clock(moment.time_s),
                "source": data_uri(moment.jpeg, "jpeg"),
            }
            for emotion in face.emotions
            if (moment := moments.get((face.id, emotion)))
        ],
    }


def clock(seconds: float) -> str:
    """Return a time in a video as minutes and seconds, such as "1:02.5"."""
    tenths = round(10 * seconds)
    return f"{tenths // 600}:{tenths % 600 // 10:02}.{tenths % 10}"
