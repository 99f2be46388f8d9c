"""Break configs, manifests, FER2013 and FER+ tables and earlier results, and read them.

\b
    python scripts/stress/texts.py
    python scripts/stress/texts.py --count 500 --only manifest

Only our own errors may come out, in one line and within 5 s. Exit status 1 if anything failed.
"""

from __future__ import annotations

import logging
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import click
import cv2
import numpy as np
from mutations import mutated_bytes, mutated_text
from tally import Tally

from emodetect.config import DataConfig
from emodetect.config.loading import load_config, preset_names, preset_text
from emodetect.data.cleaning import read_audit_rows
from emodetect.data.dataset import load_for_evaluation
from emodetect.data.synthetic import draw_face
from emodetect.errors import EmodetectError
from emodetect.evaluation.predictions import read_predictions
from emodetect.recognition.photos.result_file import open_photo_rows
from emodetect.recognition.videos.row_log import read_rows

LONGEST_S = 5.0
LONGEST_ERROR = 8000  # with a name from the text, of which one may have 5,000 letters
EMOTIONS = ("angry", "happy", "sad", "surprise")
CONTEST = {"angry": 0, "happy": 3, "sad": 4, "surprise": 5}
VOTES = "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"


def faces(folder: Path) -> None:
    """Write four drawn faces of each emotion."""
    for emotion in EMOTIONS:
        (folder / emotion).mkdir(parents=True)
        for number in range(4):
            face = draw_face(emotion, np.random.default_rng(number), size=48)
            cv2.imwrite(str(folder / emotion / f"{number}.png"), face)


def manifest_text(folder: Path) -> str:
    """Return a manifest of the faces, with the people they show."""
    rows = [
        f"{emotion}/{number}.png,{emotion},{('train', 'val', 'test')[number % 3]},p{number % 3}"
        for emotion in EMOTIONS
        for number in range(4)
    ]
    return "\n".join(["path,label,split,person", *rows, ""])


def fer2013_text() -> str:
    """Return a table of twelve faces as in FER2013."""
    rows = []
    for number in range(12):
        emotion = EMOTIONS[number % 4]
        face = cv2.resize(draw_face(emotion, np.random.default_rng(number), size=48), (48, 48))
        pixels = " ".join(map(str, cv2.cvtColor(face, cv2.COLOR_BGR2GRAY).ravel()))
        usage = ("Training", "PublicTest", "PrivateTest")[number % 3]
        rows.append(f"{CONTEST[emotion]},{pixels},{usage}")
    return "\n".join(["emotion,pixels,Usage", *rows, ""])


def votes_text() -> str:
    """Return FER+ votes for the same faces."""
    rows = [
        f"{('Training', 'PublicTest', 'PrivateTest')[number % 3]},fer{number:07d}.png,"
        + ",".join("10" if place == number % 5 else "0" for place in range(10))
        for number in range(12)
    ]
    return "\n".join([VOTES, *rows, ""])


def rows_text(form: str) -> str:
    """Return results of `predict`."""
    if form == "csv":
        head = "path,width,height,x,y,box_width,box_height,emotion,confidence,"
        face = "a.png,48,48,1,2,40,40,happy,0.9,0.05,0.9,0.05,"
        return f"{head}angry,happy,sad,error\n{face}\nb.png,48,48,,,,,,,,,,\n"
    face = (
        '{"box": [1, 2, 40, 40], "emotion": "happy", "confidence": 0.9, '
        '"scores": {"angry": 0.05, "happy": 0.9, "sad": 0.05}}'
    )
    row = '{"path": "a.png", "width": 48, "height": 48, "faces": [%s], "error": null}\n'
    return row % face + row % ""


def log_text() -> str:
    """Return a log of `video`."""
    face = (
        '{"id": 1, "box": [1, 2, 40, 40], "emotion": "happy", "confidence": 0.9, '
        '"scores": {"angry": 0.05, "happy": 0.9, "sad": 0.05}}'
    )
    return "".join(
        f'{{"video": "a.mp4", "frame": {n}, "time_s": {n / 25}, "faces": [{face}]}}\n'
        for n in range(3)
    )


def read_results(path: Path) -> None:
    """Resume results of `predict`."""
    form = path.suffix.removeprefix(".")
    with open_photo_rows(path, form, ("angry", "happy", "sad"), resume=True, force=False):
        pass


def data_reader(source: str, cache: Path, **more: object) -> Callable[[Path], object]:
    """Return what lists and decodes a data set."""
    return lambda path: load_for_evaluation(
        DataConfig(source=source, path=path, cache_dir=cache, image_size=32, **more)
    )


def kinds(scratch: Path) -> dict[str, tuple[str, str, Callable[[Path], object]]]:
    """Return for each kind of text: the name of its file, a good text, and what reads it."""
    folder, cache = scratch / "faces", scratch / "cache"
    faces(folder)
    table = folder / "fer2013.csv"
    table.write_text(fer2013_text())
    audited = (
        "source,path,hash,label,split,duplicate_group,flags\n"
        "folder:faces,happy/0.png,0123456789abcdef,happy,train,1,duplicate\n"
    )
    predicted = (
        "path,crop,group,true,predicted,angry,happy\n"
        "a.png,1/2,1,happy,happy,0.1,0.9\na.png,2/2,1,angry,happy,0.4,0.6\n"
    )
    configs = random.Random(0).choice([preset_text(name) for name in preset_names()])
    return {
        "config": ("config.toml", configs, lambda path: load_config(str(path), [])),
        "manifest": (
            "faces.csv",
            manifest_text(folder),
            data_reader("manifest", cache, group=("person",)),
        ),
        "fer2013": ("broken.csv", table.read_text(), data_reader("fer2013_csv", cache)),
        "votes": (
            "votes.csv",
            votes_text(),
            lambda path: data_reader("ferplus", cache, votes=path)(table),
        ),
        "audit": ("audit.csv", audited, read_audit_rows),
        "predictions": ("predictions.csv", predicted, read_predictions),
        "rows csv": ("rows.csv", rows_text("csv"), read_results),
        "rows jsonl": ("rows.jsonl", rows_text("jsonl"), read_results),
        "log": (
            "log.jsonl",
            log_text(),
            lambda path: list(read_rows(path, ("angry", "happy", "sad"))),
        ),
    }


def try_text(path: Path, text: str, read: Callable[[Path], object], rng: random.Random) -> None:
    """Break a text and read it. Raises AssertionError unless all is as it should be."""
    if rng.random() < 0.2:
        path.write_bytes(mutated_bytes(text.encode(), [text.encode()], rng))
    else:
        data = mutated_text(text, rng).encode("utf-8", "surrogatepass")
        if rng.random() < 0.05:
            data = data.decode("utf-8", "replace").encode("utf-16")
        path.write_bytes(data)
    started = time.monotonic()
    try:
        read(path)
    except EmodetectError as error:
        said = str(error)
        # A config is told all that is wrong with it, a line each.
        said = said.replace("\n  ", " ") if path.suffix == ".toml" else said
        assert "\n" not in said, f"several lines: {said[:300]!r}"
        assert len(said) < LONGEST_ERROR, f"a long error: {said[:300]!r}"
    assert time.monotonic() - started < LONGEST_S, "too slow"


@click.command(help=__doc__)
@click.option("--count", default=5000, show_default=True, help="Of the broken texts together.")
@click.option("--only", multiple=True, help="A kind, such as manifest. [default: all]")
@click.option("--seed", default=0, show_default=True)
def main(count: int, only: tuple[str, ...], seed: int) -> None:
    """See the module."""
    logging.disable()
    tally = Tally()
    with tempfile.TemporaryDirectory(prefix="emodetect-stress-") as folder:
        scratch = Path(folder)
        chosen = {name: kind for name, kind in kinds(scratch).items() if not only or name in only}
        for name, (file, text, read) in chosen.items():
            rng = random.Random(f"{name} {seed}")
            path = scratch / "faces" / file
            path.write_text(text)
            read(path)  # unbroken, or all of them could be refused for the same reason
            for _ in range(count // len(chosen)):
                with tally.attempt(name, path.name):
                    try:
                        try_text(path, text, read, rng)
                    except Exception:
                        kept = Path(tempfile.gettempdir()) / f"failed-{len(tally.failures)}-{file}"
                        kept.write_bytes(path.read_bytes())
                        print(f"kept: {kept}")
                        raise
                path.unlink()
    tally.finish()


if __name__ == "__main__":
    main()
