"""Commands that write, on drawn inputs: what the scripts of this folder interrupt and cut off."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from emodetect.data.synthetic import draw_dataset, draw_film, draw_scene
from emodetect.recognition.videos.reading.capture import Frame
from emodetect.recognition.videos.recording.video_writer import VideoWriter

PHOTOS, FRAMES, FPS = 60, 90, 30


@dataclass(frozen=True)
class Command:
    """A command that writes.

    Attributes:
        words: its words, given the folder to write to.
        again: what is added to run it once more where it was interrupted.
        kills: how often `kills.py` kills it.
        grows: the files that it writes row by row.
        leaves: the files that it writes for the run that goes on from a kill, which removes them.
    """

    words: Callable[[Path], list[str]]
    again: tuple[str, ...] = ("--force",)
    kills: int = 10
    grows: tuple[str, ...] = ()
    leaves: tuple[str, ...] = ()


@dataclass(frozen=True)
class Inputs:
    """Drawn inputs: photos with a face or two, labelled faces, and a film."""

    photos: Path
    faces: Path
    film: Path

    @classmethod
    def draw(cls, folder: Path) -> Inputs:
        """Draw them into a folder."""
        inputs = cls(folder / "photos", folder / "faces", folder / "film.mp4")
        inputs.photos.mkdir()
        for number in range(PHOTOS):
            emotions = ("happy", "sad", "surprise", "angry")[number % 4 :][:2]
            image = draw_scene(emotions, np.random.default_rng(number), width=320, height=200).image
            cv2.imwrite(str(inputs.photos / f"{number:03}.jpg"), image)
        emotions = ("angry", "happy", "sad", "surprise")
        draw_dataset(folder, counts={"faces": 8}, emotions=emotions, seed=1, size=48)
        with VideoWriter(inputs.film, fps=FPS) as writer:
            rng, size = np.random.default_rng(0), {"width": 320, "height": 180}
            scenes = draw_film(["happy"], rng, frames=FRAMES, **size)
            for index, scene in enumerate(scenes):
                writer.write(Frame(index, index / FPS, scene.image))
        return inputs

    def commands(self) -> dict[str, Command]:
        """Return the commands by name."""
        photos, faces, film = str(self.photos), str(self.faces), str(self.film)

        def to(*words: str, name: str) -> Callable[[Path], list[str]]:
            return lambda out: [*words, str(out / name)]

        predict = ("predict", photos, "--workers", "2")
        video = ("video", film)
        return {
            "predict jsonl": Command(
                to(*predict, "--output", name="rows.jsonl"), ("--resume",), 25, ("rows.jsonl",)
            ),
            "predict csv": Command(
                to(*predict, "--output", name="rows.csv"), ("--resume",), 25, ("rows.csv",)
            ),
            "predict pictures": Command(
                lambda out: [
                    *(*predict, "--format", "csv", "--annotate", str(out / "drawn")),
                    *("--save-crops", str(out / "crops")),
                ]
            ),
            "video log": Command(
                to(*video, "--log", name="log.jsonl"),
                ("--resume",),
                20,
                ("log.jsonl",),
                ("log.jsonl.resume",),
            ),
            "video copy": Command(to(*video, "--output", name="drawn.mp4")),
            "video timeline": Command(to(*video, "--timeline", name="times.png")),
            "data audit": Command(to("data", "audit", faces, "--output", name="audit")),
            "data split": Command(to("data", "split", faces, "--output", name="split.csv")),
            "data crop": Command(to("data", "crop", photos, name="cut"), grows=("faces.csv",)),
            "data convert folder": Command(
                to("data", "convert", faces, "--to", "folder", name="converted")
            ),
            "data convert csv": Command(
                to("data", "convert", faces, "--to", "fer2013_csv", name="converted.csv")
            ),
            "data convert tfrecord": Command(
                to("data", "convert", faces, "--to", "tfrecord", name="records")
            ),
            "evaluate": Command(
                to("evaluate", "--data", faces, "--no-explain", "--output", name="report")
            ),
            "export": Command(to("export", "--to", "tflite", "--output", name="model.tflite")),
        }


def start(words: list[str], scratch: Path, **options: object) -> subprocess.Popen[str]:
    """Start emodetect with a cache of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "emodetect", *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "XDG_CACHE_HOME": str(scratch / "cache")},
        **options,
    )


def files_in(folder: Path) -> dict[str, Path]:
    """Return the files below a folder by their relative paths, without hidden ones."""
    inner = {path.relative_to(folder): path for path in sorted(folder.rglob("*")) if path.is_file()}
    return {
        str(name): path
        for name, path in inner.items()
        if not any(part.startswith(".") for part in name.parts)
    }


def difference(found: Path, whole: Path, *, may_be_shorter: bool = False) -> str | None:
    """Return what is wrong with a file, compared with the same of an undisturbed run.

    Args:
        may_be_shorter: it may lack rows, or frames of a video, at its end.
    """
    data, expected = found.read_bytes(), whole.read_bytes()
    if data == expected:
        return None
    if may_be_shorter and found.suffix in (".csv", ".jsonl"):
        return None if expected.startswith(data[: data.rfind(b"\n") + 1]) else "other rows"
    check = CHECKS.get(found.suffix)
    return f"has {len(data):,} bytes of {len(expected):,}" if check is None else check(data, found)


def _ends_with(end: bytes, data: bytes, _: Path) -> str | None:
    return None if data.rstrip().endswith(end) else f"is cut off: {data[-30:]!r}"


def _is_video(_: bytes, path: Path) -> str | None:
    capture = cv2.VideoCapture(str(path))
    whole = capture.read()[0]
    capture.release()
    return None if whole else "cannot be played"


# Of files that say when they were made, or that another run encodes in another way.
CHECKS: dict[str, Callable[[bytes, Path], str | None]] = {
    ".html": partial(_ends_with, b"</html>"),
    ".json": partial(_ends_with, b"}"),
    ".mp4": _is_video,
}
