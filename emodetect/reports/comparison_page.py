"""The page and the figures of a comparison of models."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from emodetect.data.dataset import Dataset
from emodetect.emotions import in_canonical_order
from emodetect.evaluation.comparison import only_right
from emodetect.evaluation.metrics.significance import SIGNIFICANT
from emodetect.evaluation.predictions import Predictions, image_keys
from emodetect.evaluation.verdict import FEWEST_DECISIVE
from emodetect.machine.atomic_files import write_json
from emodetect.machine.output_folder import make_output_folder
from emodetect.number_format import (
    between,
    p_value,
    percent,
    points,
    points_between,
    quantity,
    signed_decimal,
)
from emodetect.reports.glossary import METRIC_NAMES, SHARES, independence, metric_form
from emodetect.reports.html import page_colors, thumbnail, write_page

FACES = 12  # shown of the images that only one of two models classifies correctly
COMPARED = ("accuracy", "balanced_accuracy", "macro_f1", "log_loss")


def write_comparison(
    comparison: dict[str, Any], entries: Sequence[Predictions], out: Path, *, images: Dataset | str
) -> list[Path]:
    """Write the page and the figures to a folder; return the files, the page first.

    Args:
        comparison: see `ComparisonReport`.
        entries: the matched predictions that it compares.
        images: the data, to show its images; or a sentence that says why they cannot be shown.
    """
    make_output_folder(out)
    page, numbers = out / "compare.html", out / "compare.json"
    reference = entries[0]
    names = [model["name"] for model in comparison["models"]]
    compared = " and ".join(names) if len(names) == 2 else f"{len(names)} models"
    write_page(
        "comparison.html",
        page,
        title=f"{compared} compared on {quantity(comparison['images'], 'image')}",
        comparison=comparison,
        independence=independence(comparison),
        names=names,
        metrics=[METRIC_NAMES[key] for key in COMPARED],
        rows=[_row(comparison, number) for number in range(len(entries))],
        recalls=list(_recalls(comparison, page_colors(reference.emotions))),
        pairs=[
            {
                **row,
                **_matrix(row["disagreements"]),
                "won": list(_faces(other, reference, images)),
                "lost": list(_faces(reference, other, images)),
            }
            for row, other in zip(comparison["comparisons"], entries[1:], strict=True)
        ],
        no_pictures=images if isinstance(images, str) else "",
    )
    write_json(numbers, comparison)
    return [page, numbers]


def _row(comparison: dict[str, Any], number: int) -> dict[str, Any]:
    model = comparison["models"][number]
    versus = comparison["comparisons"][number - 1] if number else None
    row: dict[str, Any] = {
        "name": model["name"],
        "setting": comparison["settings"][number],
        "left_out": comparison["left_out"][number],
        "p": p_value(versus["p"]) if versus else "",
        "won": versus["only_other_right"] if versus else None,
        "lost": versus["only_reference_right"] if versus else None,
        "cells": [],
    }
    for key in COMPARED:
        form = metric_form(key)
        cell = {
            "value": form(model["figures"][key]),
            "between": between(model["intervals_95"][key], form),
        }
        if versus:
            cell |= _change(versus["differences"][key], share=key in SHARES)
            if comparison["groups"] < FEWEST_DECISIVE:
                cell["kind"] = ""  # too few for an interval to be trusted
            if key == "accuracy" and versus["p"] >= SIGNIFICANT:
                cell["kind"] = ""  # as the verdict says, which follows the exact test
        row["cells"].append(cell)
    return row


def _change(change: dict[str, Any], *, share: bool) -> dict[str, str]:
    """Return a difference in words, its interval, and whether it is "good", "bad" or neither."""
    difference, limits = change["difference"], change["interval_95"]
    sure = bool(limits) and (limits[1] < 0 or limits[0] > 0)
    better = (difference > 0) == share  # a log-loss is better if it is lower
    return {
        "change": points(difference) if share else signed_decimal(difference),
        "change_between": points_between(limits) if share else between(limits, signed_decimal),
        "kind": "" if not sure else "good" if better else "bad",
    }


def _recalls(comparison: dict[str, Any], colors: dict[str, str]) -> Iterator[dict[str, Any]]:
    comparisons = comparison["comparisons"]
    for emotion, first in comparisons[0]["recall"].items():
        yield {
            "emotion": emotion,
            "color": colors[emotion],
            "images": first["images"],
            "reference": percent(first["reference"]),
            "others": [
                {
                    "value": percent(row["recall"][emotion]["other"]),
                    "change": points(row["recall"][emotion]["other"] - first["reference"]),
                }
                for row in comparisons
            ],
        }


def _matrix(disagreements: list[list[Any]]) -> dict[str, Any]:
    """Return the "matrix" of disagreements and its "columns".

    It has a row for each emotion that the reference predicts where they disagree, and a column for
    each that the other predicts. A cell has a count and a shade from 0 to 1.
    """
    counts = {(first, second): count for first, second, count in disagreements}
    columns = in_canonical_order(second for _, second in counts)
    most = max(counts.values(), default=1)
    rows = {
        first: [
            {"count": f"{count:,}" if count else "", "share": round(count / most, 3)}
            for count in (counts.get((first, second), 0) for second in columns)
        ]
        for first in in_canonical_order(first for first, _ in counts)
    }
    return {"matrix": rows, "columns": columns}


def _faces(
    winner: Predictions, loser: Predictions, images: Dataset | str
) -> Iterator[dict[str, Any]]:
    """Yield images that only the winner classifies correctly, with their pixels."""
    if isinstance(images, str):
        return
    position = {key: place for place, key in enumerate(image_keys(images))}
    keys = image_keys(winner)
    for place in only_right(winner, loser)[:FACES]:
        found = position.get(keys[place])
        if found is None:
            continue
        yield {
            "image": thumbnail(images.images[found]),
            "path": winner.paths[place],
            "name": winner.paths[place].rpartition("/")[2],
            "true": winner.emotions[winner.labels[place]],
            "predicted": loser.emotions[int(loser.probabilities[place].argmax())],
            "confidence": percent(loser.probabilities[place].max()),
        }
