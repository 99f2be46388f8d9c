"""The tables and lines that `emodetect evaluate` prints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from emodetect.cli.tables import explain, new_table, print_table
from emodetect.number_format import (
    between,
    p_equals,
    percent,
    points,
    points_apart,
    quantity,
    with_interval,
)
from emodetect.reports.glossary import METRIC_NAMES, SHARES, independence, metric_form

if TYPE_CHECKING:
    from rich.table import Table

    from emodetect.evaluation.cross_dataset import CrossDatasetResult
    from emodetect.evaluation.evaluate import Evaluation


def print_result(result: Evaluation | list[CrossDatasetResult]) -> None:
    """Print the metrics of one model on one data set, or the matrix of several."""
    if isinstance(result, list):
        _print_matrix(result)
    else:
        _print_metrics(result.metrics)


def _print_metrics(metrics: dict[str, Any]) -> None:
    print_table(_emotions_table(metrics))
    explain("precision", "recall", "F1", "macro average", "weighted average")
    print_table(_metrics_table(metrics))
    explain(*METRIC_NAMES.values(), "95% interval", "bootstrap")
    click.echo(
        f"(accuracy: Wilson's interval; others: {metrics['bootstrap']:,} bootstrap resamples)"
    )
    if sentence := independence(metrics):
        click.echo(sentence)
    if metrics["robustness"]:
        table = new_table(text=("corrupted copies",), numbers=("accuracy", "difference"))
        for name, row in metrics["robustness"].items():
            table.add_row(name, percent(row["accuracy"]), points(row["difference_points"] / 100))
        print_table(table)
        explain("corrupted copies", "points")
    gaps = [way for way in metrics["slices"] if way["gap"]]
    for way in gaps:
        click.echo(_gap_line(way))
    if gaps:
        explain("p", "Holm's method")
    if metrics["never_predicted"]:
        click.echo(f"never predicted: {', '.join(metrics['never_predicted'])}")
    if metrics["absent"]:
        click.echo(f"no images of: {', '.join(metrics['absent'])} (not in the averages)")
    for reason, count in metrics["left_out"].items():
        click.echo(f"excluded {count:,}: {reason}")
    if metrics["skipped"]:
        files = quantity(len(metrics["skipped"]), "unreadable file")
        click.echo(f"skipped {files}, listed in metrics.json")
    _warn_of_batches(metrics)


def _metrics_table(metrics: dict[str, Any]) -> Table:
    table = new_table(text=("metric",), numbers=("value", "95% interval"))
    for key, name in METRIC_NAMES.items():
        form, limits = metric_form(key), metrics["intervals_95"].get(key)
        table.add_row(name, form(metrics[key]), between(limits, form))
    return table


def _metric(metrics: dict[str, Any], key: str) -> str:
    """Return a metric with its 95% interval, if any, in brackets."""
    return with_interval(metrics[key], metrics["intervals_95"][key], metric_form(key))


def _gap_line(way: dict[str, Any]) -> str:
    """Return the accuracy gap of a way to slice the images in words; see `measure_slices`."""
    from emodetect.evaluation.metrics.significance import SIGNIFICANT  # loads SciPy

    gap = way["gap"]
    apart = points_apart(gap["points"] / 100)
    if apart == points_apart(0):
        return f"no accuracy gap by {way['by']}: all subsets have the same accuracy"
    chance = "; may be due to chance" if gap["p"] >= SIGNIFICANT else ""
    return (
        f"accuracy gap by {way['by']}: {apart} (best: {gap['best']}; worst: {gap['worst']}; "
        f"{p_equals(gap['p'])}{chance})"
    )


def _emotions_table(metrics: dict[str, Any]) -> Table:
    from emodetect.reports.evaluation_files import class_rows

    title = f"{metrics['images']:,} images, split {metrics['split']}"
    if metrics["tta"]:
        title += f", tta {metrics['tta']}"
    table = new_table(
        title=title, text=("emotion",), numbers=("precision", "recall", "F1", "images")
    )
    for name, (precision, recall, f1, support) in class_rows(metrics):
        if name == "macro average":
            table.add_section()
        shown = "-" if name in metrics["never_predicted"] else percent(precision)
        table.add_row(name, shown, percent(recall), percent(f1), f"{support:,}")
    return table


def _print_matrix(results: Sequence[CrossDatasetResult]) -> None:
    data = list(dict.fromkeys(result.data for result in results))
    table = new_table(title="models (rows) on data sets (columns)", text=("model", *data))
    table.show_lines = True
    for model in dict.fromkeys(result.model for result in results):
        row = [result for result in results if result.model == model]
        table.add_row(f"{model}\n(trained on {row[0].trained_on})", *map(_cell, row))
    print_table(table)
    explain(*(METRIC_NAMES[key] for key in SHARES))
    click.echo(
        "  in brackets: 95% intervals: Wilson's for accuracy, others from bootstrap resamples"
    )
    explain("95% interval", "bootstrap")
    if any(result.same_data for result in results):
        click.echo("* the model was trained on this data set")
    for source in data:
        _print_labels([result for result in results if result.data == source])
    for result in results:
        _print_notes(result)


def _cell(result: CrossDatasetResult) -> str:
    metrics = result.metrics
    lines = [f"{METRIC_NAMES[key]} {_metric(metrics, key)}" for key in SHARES]
    lines[0] += " *" if result.same_data else ""
    available = sum(result.available.values())
    lines.append(f"{metrics['images']:,} of {available:,} images")
    lines.append(f"split {result.split}, faces {result.faces}")
    return "\n".join(lines)


def _print_labels(results: Sequence[CrossDatasetResult]) -> None:
    """Print the emotion of each label of one data set, and each model's recall of it."""
    from emodetect.emotions import in_canonical_order
    from emodetect.machine.csv_files import csv_line

    first = results[0]
    table = new_table(
        title=first.data,
        text=("label", "emotion"),
        numbers=("images", *(f"recall, {result.model}" for result in results)),
    )
    known = {emotion for result in results for emotion in result.metrics["emotions"]}
    for emotion in in_canonical_order([*first.available, *known]):
        names = [label for label, of in first.label_names.items() if of == emotion]
        images = first.available.get(emotion, 0)
        table.add_row(
            ", ".join(names) if images else "-",
            emotion,
            f"{images:,}",
            *(_recall(result, emotion) for result in results),
        )
    print_table(table)
    emotions = {result.emotions() for result in results}
    if len(emotions) > 1:
        common = set.intersection(*map(set, emotions))
        click.echo(
            "The models are evaluated on different emotions here; --classes "
            f"{csv_line([*in_canonical_order(common)])} compares them on the same ones."
        )


def _recall(result: CrossDatasetResult, emotion: str) -> str:
    if emotion in result.metrics["per_class"]:
        return percent(result.metrics["per_class"][emotion]["recall"])
    return "excluded" if result.available.get(emotion) else "-"


def _print_notes(result: CrossDatasetResult) -> None:
    """Print which images were excluded, and other limits of the metrics of a result."""
    where, metrics = f"{result.model} on {result.data}", result.metrics
    if sentence := independence(metrics):
        click.echo(f"{where}: {sentence}")
    if result.seen:
        click.echo(f"{where}: includes training images of the model")
    for reason, count in metrics["left_out"].items():
        click.echo(f"{where}: excluded {count:,}: {reason}")
    if metrics["skipped"]:
        files = quantity(len(metrics["skipped"]), "unreadable file")
        click.echo(f"{where}: skipped {files}, listed in matrix.json")
    if absent := [name for name in metrics["absent"] if not result.available.get(name)]:
        names = ", ".join(absent)
        click.echo(f"{where}: no images of {names}; predicting {names} counts as an error")
    if never := [name for name in metrics["never_predicted"] if name in metrics["per_class"]]:
        click.echo(f"{where}: never predicted {', '.join(never)}")
    _warn_of_batches(metrics)


def _warn_of_batches(metrics: dict[str, Any]) -> None:
    """Warn on stderr if the predictions of a model depend on the batch."""
    from emodetect.evaluation.classify import BATCH_TOLERANCE

    difference = metrics["batch_size_difference"]
    if difference > BATCH_TOLERANCE:
        click.echo(
            f"warning: a probability differs by {difference:.2g} between single images and a "
            "batch; batch normalisation may have been left in training mode.",
            err=True,
        )
