"""Measure the shipped models, and update the tables in their cards and in README.md.

    python scripts/measure_shipped.py data/fer2013

The folder contains FER2013 as class folders in `train` and `test`, and fer2013new.csv. Run this in
the folder that the relative paths of the training configs refer to (`data/fer2013_blend.csv` and
`data/ferplus_votes.csv`, see scripts/soft_targets.py): corruption robustness is measured on the
validation images. Only text between `<!-- begin NAME -->` and `<!-- end NAME -->` is replaced.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from emodetect.data.named_data import NamedData
from emodetect.errors import EmodetectError
from emodetect.evaluation.evaluate import evaluate_model
from emodetect.evaluation.labelled_images.image_selection import select_images
from emodetect.evaluation.labelled_images.labelled_data import load_source
from emodetect.evaluation.labelled_images.training_data import (
    open_training_data,
    training_config,
)
from emodetect.model_file.shipped_models import DEFAULT_MODEL, shipped_models
from emodetect.number_format import decimal, percent, points, with_interval
from emodetect.recognition.recognizer import EmotionRecognizer
from emodetect.reports.glossary import metric_form

README = Path(__file__).parent.parent / "README.md"
# The source of a model's own labels, and that of the other labels of the same test images.
SOURCES = {"fer2013": ("folder", "ferplus"), "ferplus": ("ferplus", "folder")}
LABEL_SETS = {"folder": "FER2013's labels", "ferplus": "the winners of the FER+ votes"}
CARD_BLOCKS = ("summary", "test", "classes", "confusion", "calibration", "robustness")

Metrics = dict[str, Any]


@dataclass(frozen=True)
class Measured:
    """The metrics of a model.

    Attributes:
        size: of the model file, in bytes.
        test: on the official test split.
        unique: on the test images that do not also appear in train.
        flipped: on the test split, with the mean probabilities of image and mirror image.
        other: on the same test images with the other labels, for emotions that both sets have.
        validation: on the validation images, with corruption robustness.
    """

    recognizer: EmotionRecognizer
    size: int
    test: Metrics
    unique: Metrics
    flipped: Metrics
    other: Metrics
    validation: Metrics


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
def main(folder: Path) -> None:
    """Measure every shipped model on FOLDER, and update the tables."""
    if unknown := shipped_models().keys() - SOURCES.keys():
        raise click.ClickException(f"SOURCES has no entry for {', '.join(unknown)}; add one.")
    # Fail before the measurements, which take minutes.
    for path in shipped_models().values():
        _with_blocks(path.with_suffix(".md"), dict.fromkeys(CARD_BLOCKS, ""))
    _with_blocks(README, {"shipped": ""})
    all_measured = {}
    for name, path in shipped_models().items():
        click.echo(f"measuring {name}", err=True)
        measured = _measure(name, path, folder)
        all_measured[name] = measured
        card = path.with_suffix(".md")
        card.write_text(_with_blocks(card, _card(measured, SOURCES[name])), encoding="utf-8")
        test = measured.test
        click.echo(f"{name}: {_percent(test, 'accuracy')} of {test['images']:,} test images")
    readme = _with_blocks(README, {"shipped": _overview(all_measured)})
    README.write_text(readme, encoding="utf-8")


def _measure(name: str, path: Path, folder: Path) -> Measured:
    recognizer = EmotionRecognizer(path, detector="none")
    own, other = (NamedData(source, str(folder)) for source in SOURCES[name])
    metadata = recognizer.metadata

    def on(
        source: NamedData,
        *,
        unique: bool = False,
        emotions: Sequence[str] | None = None,
        recognizer: EmotionRecognizer = recognizer,
    ) -> Metrics:
        data = load_source(source, metadata, faces="whole")
        # All of FER2013's train split, including images without the model's own labels.
        train = NamedData("folder", str(folder))
        seen = {str(train): load_source(train, metadata, faces="whole")} if unique else None
        chosen = select_images(data, "test", emotions=emotions, trained_on=seen)
        return evaluate_model(recognizer, data, chosen).metrics

    trained = open_training_data(training_config(metadata), metadata)
    validation = evaluate_model(
        recognizer, trained, select_images(trained, "val"), robustness=True
    ).metrics
    known = [name for name in recognizer.emotions if name != "contempt"]
    return Measured(
        recognizer=recognizer,
        size=path.stat().st_size,
        test=on(own),
        unique=on(own, unique=True),
        flipped=on(own, recognizer=EmotionRecognizer(path, detector="none", tta="flip")),
        other=on(other, emotions=known),
        validation=validation,
    )


def _card(measured: Measured, sources: tuple[str, str]) -> dict[str, str]:
    blocks = (
        _summary(measured, sources[0]),
        _figures(measured, sources),
        _classes(measured.test),
        _confusion(measured.test),
        _calibration(measured),
        _robustness(measured.validation),
    )
    return dict(zip(CARD_BLOCKS, blocks, strict=True))


def _summary(measured: Measured, source: str) -> str:
    test = measured.test
    return (
        f"MobileNetV2, {len(test['emotions'])} emotions: {_percent(test, 'accuracy')} on the "
        f"{test['images']:,} images of FER2013's public test split, measured against "
        f"{LABEL_SETS[source]}."
    )


def _figures(measured: Measured, sources: tuple[str, str]) -> str:
    own, other = (LABEL_SETS[source] for source in sources)
    rows = {
        f"test split, {own}": measured.test,
        "the same without images that also appear in train": measured.unique,
        "test split, mean of image and mirror image (`--tta flip`)": measured.flipped,
        f"test split, {other}, without contempt": measured.other,
    }
    names = ("accuracy", "balanced_accuracy", "macro_f1", "log_loss")
    return _table(
        ["measured on", "images", "accuracy", "balanced accuracy", "macro F1", "log-loss"],
        [
            [name, f"{metrics['images']:,}", *(_with_interval(metrics, key) for key in names)]
            for name, metrics in rows.items()
        ],
    )


def _classes(metrics: Metrics) -> str:
    return _table(
        ["emotion", "precision", "recall", "F1", "images"],
        [
            [
                name,
                *(percent(row[key]) for key in ("precision", "recall", "f1-score")),
                f"{row['support']:,.0f}",
            ]
            for name, row in metrics["per_class"].items()
        ],
    )


def _confusion(metrics: Metrics) -> str:
    emotions = metrics["emotions"]
    return _table(
        ["true \\ predicted", *emotions],
        [
            [name, *(f"{count:,}" for count in row)]
            for name, row in zip(emotions, metrics["confusion_matrix"], strict=True)
        ],
    )


def _calibration(measured: Measured) -> str:
    return (
        f"Temperature {decimal(measured.recognizer.metadata.temperature)}, fitted on validation: "
        "the network's outputs are divided by it to make confidence match accuracy. Expected "
        "calibration error on test (ECE, the mean gap between confidence and accuracy in 15 bins): "
        f"{decimal(measured.test['expected_calibration_error'])}."
    )


def _robustness(metrics: Metrics) -> str:
    return _table(
        ["validation images", "accuracy", "difference"],
        [
            ["unchanged", _percent(metrics, "accuracy"), ""],
            *(
                [name, _percent(row, "accuracy"), points(row["difference_points"] / 100)]
                for name, row in metrics["robustness"].items()
            ),
        ],
    )


def _overview(all_measured: Mapping[str, Measured]) -> str:
    rows = []
    for name, measured in all_measured.items():
        test, unique = measured.test, measured.unique
        rows.append(
            [
                f"`{name}`" + (" (default)" if name == DEFAULT_MODEL else ""),
                str(len(test["emotions"])),
                f"{test['images']:,}",
                _with_interval(test, "accuracy"),
                f"{_percent(unique, 'accuracy')} of {unique['images']:,}",
                _percent(test, "balanced_accuracy"),
                f"{test['expected_calibration_error']:.3f}",
                f"{measured.size / 1e6:.1f} MB",
            ]
        )
    return _table(
        [
            "model",
            "emotions",
            "test images",
            "accuracy (95% interval)",
            "without test images that are also in train",
            "balanced accuracy",
            "ECE",
            "file size",
        ],
        rows,
    )


def _percent(metrics: Metrics, name: str) -> str:
    return percent(metrics[name])


def _with_interval(metrics: Metrics, name: str) -> str:
    return with_interval(metrics[name], metrics["intervals_95"][name], metric_form(name))


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _with_blocks(path: Path, blocks: Mapping[str, str]) -> str:
    text = path.read_text(encoding="utf-8")
    for name, block in blocks.items():
        begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
        between = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
        text, found = between.subn(lambda _, new=f"{begin}\n{block}\n{end}": new, text)
        if found != 1:
            raise click.ClickException(f"{path}: expected {begin} and {end} once, found {found}.")
    return text


if __name__ == "__main__":
    try:
        main()
    except EmodetectError as error:
        sys.exit(f"Error: {error}")
