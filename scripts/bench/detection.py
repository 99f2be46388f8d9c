"""Compare the detector `haar` with `haar_exhaustive`, the search of whole photos at full size.

\b
    python scripts/bench/detection.py                  # drawn scenes, faces from 40 pixels
    python scripts/bench/detection.py photos/          # your own photos too

Both sides, in turn and in one process, read each photo, find its faces and classify them, with one
thread, like each worker of `emodetect predict`; the best round of each counts. `found` is how many
of the faces of `haar_exhaustive` (in drawn scenes: those that are faces) `haar` finds too, with an
IoU of at least 0.5, and the sides of those that it does not. `false` counts boxes in drawn scenes
that are not faces, of both.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import click
import cv2
import numpy as np
from drawn_inputs import drawn_scene

from emodetect.emotions import EMOTIONS
from emodetect.faces.boxes import Box, iou
from emodetect.images.reading import read_image
from emodetect.recognition.photos.file_search import find_photos
from emodetect.recognition.recognizer import EmotionRecognizer

WIDTH, HEIGHT = 640, 480
DETECTORS = ("haar_exhaustive", "haar")


@click.command(help=__doc__)
@click.argument("folder", required=False, type=click.Path(exists=True, path_type=Path))
@click.option("--scenes", default=200, show_default=True, type=click.IntRange(1))
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(1))
def main(folder: Path | None, scenes: int, rounds: int) -> None:
    with tempfile.TemporaryDirectory(prefix="emodetect-bench-") as scratch:
        paths, drawn = draw(Path(scratch), scenes)
        compare("drawn", paths, drawn, rounds)
    if folder is not None:
        compare(str(folder), [photo.path for photo in find_photos([folder]) if photo], None, rounds)


def draw(folder: Path, count: int) -> tuple[list[Path], list[list[Box]]]:
    """Write scenes of one to six people; return their paths and boxes."""
    rng, paths, boxes = np.random.default_rng(0), [], []
    for number in range(count):
        image, faces = drawn_scene(rng, EMOTIONS[:7], width=WIDTH, height=HEIGHT)
        paths.append(folder / f"{number:04}.jpg")
        cv2.imwrite(str(paths[-1]), image)
        boxes.append(faces)
    return paths, boxes


def compare(name: str, paths: Sequence[Path], drawn: list[list[Box]] | None, rounds: int) -> None:
    """Measure both detectors on the same photos, and print a table."""
    cv2.setNumThreads(1)
    recognizers = {name: EmotionRecognizer(detector=name, threads=1) for name in DETECTORS}
    found: dict[str, list[list[Box]]] = {}
    seconds = dict.fromkeys(DETECTORS, np.inf)
    for _ in range(rounds):
        for detector, recognizer in recognizers.items():
            started = time.perf_counter()
            found[detector] = [
                [face.box for face in recognizer.analyze(read_image(path))] for path in paths
            ]
            seconds[detector] = min(seconds[detector], time.perf_counter() - started)
    usual, ours = (found[detector] for detector in DETECTORS)
    wanted = usual if drawn is None else [among(*pair) for pair in zip(usual, drawn, strict=True)]
    lost = [
        box
        for boxes, mine in zip(wanted, ours, strict=True)
        for box in boxes
        if not near(box, mine)
    ]
    total = sum(map(len, wanted))
    print(f"{name}: {len(paths)} photos")
    for detector in DETECTORS:
        print(f"  {detector}: {len(paths) / seconds[detector]:.1f} photos/s")
    print(f"  ratio: {seconds[DETECTORS[0]] / seconds[DETECTORS[1]]:.2f}")
    sides = ", ".join(str(box[2]) for box in sorted(lost, key=lambda box: box[2]))
    print(
        f"  found: {total - len(lost)} of {total}" + (f"; not those of {sides} pixels" * bool(lost))
    )
    print(f"  boxes: {sum(map(len, usual))} and {sum(map(len, ours))}")
    if drawn is not None:
        false = [
            sum(len(a) - len(among(a, b)) for a, b in zip(boxes, drawn, strict=True))
            for boxes in (usual, ours)
        ]
        print(f"  false: {false[0]} and {false[1]}")


def near(box: Box, boxes: Sequence[Box]) -> bool:
    return any(iou(box, other) >= 0.5 for other in boxes)


def among(boxes: Sequence[Box], faces: Sequence[Box]) -> list[Box]:
    """Return the boxes that are of one of the faces."""
    return [box for box in boxes if any(iou(box, face) >= 0.4 for face in faces)]


if __name__ == "__main__":
    main()
