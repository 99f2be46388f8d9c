"""Write the manifests that the shipped models are trained on: FER2013 with FER+ votes as weights.

    python scripts/soft_targets.py votes data/fer2013 data/ferplus_votes.csv

Both manifests have one validation split, drawn from FER2013's train with identical images on one
side, so that a model that was taught by one of them has not seen the other's validation images.
"""

from __future__ import annotations

import csv
import os
from pathlib import Path

import click
import numpy as np

from emodetect.config import validate_data
from emodetect.data.dataset import Dataset, load_dataset
from emodetect.data.fer2013 import OTHER_VOTES, VOTE_COLUMNS
from emodetect.emotions import EMOTIONS

SEED = 0


@click.group()
def main() -> None:
    """Write manifests of FER2013 with soft targets."""


@main.command("votes")
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--votes", "votes_file", type=click.Path(path_type=Path), help="fer2013new.csv.")
def write_votes(folder: Path, out: Path, votes_file: Path | None) -> None:
    """FER+ votes for eight emotions.

    Train takes every image for which "unknown" and "no face" together have fewer votes than the
    leading emotion, ties of emotions too; val and test only those with one column strictly ahead,
    as the published figures on FER+ do.
    """
    dataset = _fer2013(folder)
    votes = _read_votes(votes_file or folder / "fer2013new.csv")
    rows = []
    for path, split in zip(dataset.paths, dataset.splits, strict=True):
        counts = votes.get(Path(path).name)
        if counts is None:
            continue
        emotions, others = counts[: len(EMOTIONS)], counts[len(EMOTIONS) :]
        leading = np.sort(counts)[-2:]
        if split == "train":
            usable = others.sum() < emotions.max()
        else:
            usable = leading[0] < leading[1] and emotions.max() == leading[1]
        if usable:
            rows.append([_path(folder / path, out), EMOTIONS[emotions.argmax()], split, *emotions])
    _write(out, rows)


def _fer2013(folder: Path) -> Dataset:
    data = {"source": "folder", "path": str(folder)}
    return load_dataset(validate_data(data, origin="soft_targets"), seed=SEED)


def _read_votes(path: Path) -> dict[str, np.ndarray]:
    columns = [VOTE_COLUMNS[emotion] for emotion in EMOTIONS] + list(OTHER_VOTES.values())
    columns = [*columns[: len(EMOTIONS)], *OTHER_VOTES]
    with path.open(newline="", encoding="utf-8") as file:
        return {
            row["Image name"].strip(): np.array([int(row[name]) for name in columns])
            for row in csv.DictReader(file)
        }


def _path(image: Path, out: Path) -> str:
    return Path(os.path.relpath(image.absolute(), out.parent.absolute())).as_posix()


def _write(out: Path, rows: list[list[object]]) -> None:
    with out.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["path", "label", "split", *EMOTIONS])
        writer.writerows(rows)
    click.echo(f"{out}: {len(rows):,} images")


if __name__ == "__main__":
    main()
