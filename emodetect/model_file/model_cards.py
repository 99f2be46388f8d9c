"""The list of shipped models, and a model's card in Markdown."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from emodetect.emotions import in_canonical_order
from emodetect.errors import ModelError
from emodetect.images.model_input import Color
from emodetect.machine.terminal_text import on_one_line
from emodetect.model_file.artifact import Artifact, read_artifact
from emodetect.model_file.shipped_models import DEFAULT_MODEL, model_path, shipped_models
from emodetect.number_format import decimal, file_size, percent

# scripts/measure_shipped.py writes its tables between such comments.
COMMENT = re.compile(r"<!--.*?-->\n?")


@dataclass(frozen=True, kw_only=True)
class ShippedModel:
    """A model that comes with the package.

    Attributes:
        default: whether it is used if no --model is given.
        emotions: in the order of its outputs.
        image_size: side of its input in pixels.
        file_bytes: size of its file.
        summary: the first line of its card.
    """

    name: str
    default: bool
    path: Path
    emotions: tuple[str, ...]
    image_size: int
    color: Color
    file_bytes: int
    summary: str


def list_shipped() -> list[ShippedModel]:
    """Return the models that come with the package, sorted by name.

    Raises ModelError if one is damaged or has no card.
    """
    found = []
    for name, path in shipped_models().items():
        metadata = read_artifact(path).metadata
        found.append(
            ShippedModel(
                name=name,
                default=name == DEFAULT_MODEL,
                path=path,
                emotions=metadata.emotions,
                image_size=metadata.image_size,
                color=metadata.color,
                file_bytes=path.stat().st_size,
                summary=_summary(_shipped_card(path)),
            )
        )
    return found


def model_card(name_or_path: str, *, check: Callable[[Artifact], object] | None = None) -> str:
    """Return a model's card in Markdown: a shipped model's own, or one built from its metadata.

    Args:
        check: called with a model that is not shipped; raises ModelError for one that cannot run,
            such as `recognition.runtimes.default.open_default`.

    Raises ModelError if there is no such model, or it is damaged or not from emodetect.
    """
    path = model_path(name_or_path)
    if name_or_path in shipped_models():
        return COMMENT.sub("", _shipped_card(path))
    artifact = read_artifact(path)
    if check is not None:
        check(artifact)
    return "\n".join(_described(artifact)) + "\n"


def _shipped_card(path: Path) -> str:
    card = path.with_suffix(".md")
    try:
        return card.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ModelError(f"{path.stem}: its card {card} is missing; reinstall emodetect.") from None


def _summary(card: str) -> str:
    """Return the first line of a card that is not empty, a heading or a comment."""
    lines = (line.strip() for line in card.splitlines())
    return next((line for line in lines if line and not line.startswith(("#", "<!--"))), "")


def _described(artifact: Artifact) -> Iterator[str]:
    metadata = artifact.metadata
    yield f"# {on_one_line(metadata.name)}"
    yield ""
    yield f"- file: {on_one_line(artifact.path.name)}, {file_size(artifact.path.stat().st_size)}"
    yield f"- emotions, in output order: {', '.join(metadata.emotions)}"
    yield f"- input: {metadata.image_size} x {metadata.image_size} pixels, {metadata.color}"
    yield f"- margin: {metadata.margin:g} (enlargement of detected boxes, as a share of their side)"
    yield (
        f"- temperature: {metadata.temperature:g} (divides the network's outputs to make "
        "confidence match accuracy; 1 if none was fitted)"
    )
    if counts := metadata.dataset.get("counts"):
        yield from ("", "## Images", "")
        emotions = in_canonical_order(metadata.emotions)
        yield f"| | {' | '.join(map(_cell, emotions))} |"
        yield "| --- " * (len(emotions) + 1) + "|"
        for split, count in counts.items():
            row = (f"{count.get(emotion, 0):,}" for emotion in emotions)
            yield f"| {_cell(split)} | {' | '.join(row)} |"
        yield ""
        yield f"Fingerprint: {on_one_line(metadata.dataset.get('fingerprint', 'none'))}"
    figures = {
        _metric_name(name, metadata.metrics): (percent if "accuracy" in name else decimal)(value)
        for name, value in metadata.metrics.items()
    }
    for title, entries in (
        ("Metrics of the best epoch, without temperature scaling", figures),
        ("Library versions", metadata.versions),
    ):
        if entries:
            yield from ("", f"## {title}", "")
            yield from (f"- {on_one_line(k)}: {on_one_line(v)}" for k, v in entries.items())


def _cell(text: str) -> str:
    """Return a text for a cell of a Markdown table."""
    return on_one_line(text).replace("|", "\\|")


def _metric_name(name: str, among: Collection[str]) -> str:
    """Return a metric's name with the images it was measured on, where Keras' name says it."""
    if name.startswith("val_"):
        return f"validation {name.removeprefix('val_')}"
    return f"training {name}" if f"val_{name}" in among else name
