"""Write the figures of videos as a CSV or JSON file."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path
from typing import Any

from emodetect.emotions import UNCERTAIN
from emodetect.errors import VideoError
from emodetect.machine.atomic_files import write_text
from emodetect.machine.csv_files import csv_text, printable
from emodetect.machine.output_folder import writing
from emodetect.machine.terminal_text import on_one_line
from emodetect.recognition.videos.summary.figures import FaceFigures, VideoFigures

SUMMARY_SUFFIXES = (".csv", ".json")
WHOLE = "all"  # in the place of a face's ID
_OF_VIDEO = (
    *("video", "face", "length_s", "frames", "frames_from_log", "no_face_frame_share"),
    *("uncertain_frame_share", "first_s", "visible_s", "face_s", "episodes", "transitions"),
)
_OF_EMOTION = {  # what follows the emotion in the name of a column: the attribute
    "share": "share",
    "mean_probability": "mean_probability",
    "seconds": "seconds",
    "episodes": "episode_count",
    "mean_episode_s": "mean_episode_s",
    "longest_episode_s": "longest_episode_s",
}


@dataclass(frozen=True)
class SummarizedVideo:
    """A video and its figures.

    Attributes:
        figures: None if no frame could be read.
        frames_from_log: number of frames whose rows were in the log of an earlier run, which may
            have had other settings.
        incomplete: why the figures are not those of the whole video; "" if they are.
    """

    video: str
    figures: VideoFigures | None
    frames_from_log: int = 0
    incomplete: str = ""


def require_distinct_columns(
    path: Path, *, emotions: Sequence[str], settings: dict[str, Any]
) -> None:
    """Raise VideoError if labels make two columns of the CSV have one name."""
    if path.suffix.lower() == ".json":
        return
    columns = Counter(summary_columns(emotions, settings))
    ((name, count),) = columns.most_common(1)
    if count > 1:
        raise VideoError(
            f"{path}: two columns would be called {on_one_line(name)}, with the labels of this "
            f"model; write {path.with_suffix('.json').name} instead."
        )


def write_summary(
    path: Path,
    videos: Sequence[SummarizedVideo],
    *,
    emotions: Sequence[str],
    settings: dict[str, Any],
) -> None:
    """Write a .csv with a row for each video and face, or a .json, completely or not at all.

    Args:
        emotions: of the model, in its label order.
        settings: see `analysis_settings`.

    Raises VideoError if the file cannot be written.
    """
    if path.suffix.lower() == ".json":
        records = [video_record(video) for video in videos]
        text = json.dumps({"settings": settings, "videos": records}, indent=1) + "\n"
    else:
        rows = [summary_columns(emotions, settings)]
        for video in videos:
            rows += summary_rows(video, emotions, settings)
        text = csv_text(rows)
    with writing(path, VideoError):
        write_text(path, text)


def video_record(video: SummarizedVideo) -> dict[str, Any]:
    """Return a video's figures as plain, JSON-ready values."""
    figures = video.figures
    record: dict[str, Any] = {"video": printable(video.video), "incomplete": video.incomplete}
    if figures is None:
        return {**record, "frames": 0}
    return {
        **record,
        "length_s": _rounded(figures.seconds),
        "frames": figures.frames,
        "frames_from_log": video.frames_from_log,
        "no_face_frame_share": _rounded(figures.no_face_frame_share),
        "uncertain_frame_share": _rounded(figures.uncertain_frame_share),
        "faces_left_out": len(figures.left_out),
        "whole": _face_record(figures.whole),
        "faces": [_face_record(face) for face in figures.faces],
    }


def _face_record(face: FaceFigures) -> dict[str, Any]:
    """Return a face's figures; each episode is its start and its length in seconds."""
    changes = face.transitions
    return {
        "face": WHOLE if face.id is None else face.id,
        "first_s": _rounded(face.first_s),
        "visible_s": _rounded(face.visible_s),
        "face_s": _rounded(face.face_s),
        "frames": face.frames,
        "emotions": {
            name: {
                "seconds": _rounded(figures.seconds),
                "share": _rounded(figures.share),
                "mean_probability": _rounded(figures.mean_probability),
                "episodes": None
                if figures.episodes is None
                else [[_rounded(one.start_s), _rounded(one.seconds)] for one in figures.episodes],
            }
            for name, figures in face.emotions.items()
        },
        "transitions": None
        if changes is None
        else [
            {"from": before, "to": after, "count": count}
            for (before, after), count in sorted(changes.items(), key=lambda item: -item[1])
        ],
    }


def summary_columns(emotions: Sequence[str], settings: dict[str, Any]) -> list[str]:
    """Return the column names of the CSV."""
    labels = (*emotions, UNCERTAIN)
    figures = [
        f"{label}_{name}"
        for label in labels
        for name in _OF_EMOTION
        if (label, name) != (UNCERTAIN, "mean_probability")
    ]
    changes = [f"{before}_to_{after}" for before, after in permutations(labels, 2)]
    return [*_OF_VIDEO, *figures, *changes, "incomplete", *settings]


def summary_rows(
    video: SummarizedVideo, emotions: Sequence[str], settings: dict[str, Any]
) -> Iterator[list[Any]]:
    """Yield the CSV's rows of a video: all faces together, then each face.

    A cell without a value, such as the mean length of no episodes, is empty.
    """
    columns = summary_columns(emotions, settings)
    figures = video.figures
    common = {"video": printable(video.video), "incomplete": video.incomplete, **settings}
    if figures is None:
        row = {**common, "face": WHOLE, "frames": 0}
        yield [row.get(column) for column in columns]
        return
    common |= {"length_s": figures.seconds, "frames_from_log": video.frames_from_log}
    for face in (figures.whole, *figures.faces):
        row = common | _face_cells(face, frames=figures.frames)
        yield [_rounded(row.get(column)) for column in columns]


def _face_cells(face: FaceFigures, *, frames: int) -> dict[str, Any]:
    """Return the cells of a face; `frames` is the number of frames of the video."""
    whole = face.id is None
    counted = frames if whole else face.frames
    cells: dict[str, Any] = {
        "face": WHOLE if whole else face.id,
        "frames": counted,
        "no_face_frame_share": 1 - face.frames / frames if whole else None,
        "uncertain_frame_share": face.uncertain_frames / counted,
        "first_s": face.first_s,
        "visible_s": face.visible_s,
        "face_s": face.face_s,
        "episodes": face.episode_count,
    }
    for label, figures in face.emotions.items():
        cells |= {f"{label}_{name}": getattr(figures, of) for name, of in _OF_EMOTION.items()}
    if face.transitions is not None:
        cells["transitions"] = sum(face.transitions.values())
        for before, after in permutations(face.emotions, 2):
            cells[f"{before}_to_{after}"] = face.transitions.get((before, after), 0)
    return cells


def _rounded(value: Any) -> Any:
    return round(value, 4) if isinstance(value, float) else value
