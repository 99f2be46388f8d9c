"""`emodetect.export`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from emodetect.api.arguments import AnyPath, emotions_of_labels
from emodetect.api.python_words import in_python_words
from emodetect.model_file.shipped_models import DEFAULT_MODEL, model_path

if TYPE_CHECKING:
    from emodetect.exporting.export import Export


@in_python_words
def export(
    model: AnyPath = DEFAULT_MODEL,
    to: str = "tflite",
    *,
    quantize: str = "none",
    representative: AnyPath | None = None,
    data: AnyPath | None = None,
    label_names: Mapping[str, str] | None = None,
    split: str | None = None,
    least_agreement: float | None = None,
    output: AnyPath | None = None,
    force: bool = False,
) -> Export:
    """Export a model for use without emodetect, and compare it, as `emodetect export` does.

    Args:
        model: a run folder, a .keras file or the name of a shipped model.
        to: "tflite", "onnx", "openvino" or "saved_model".
        quantize: "none", "float16", "dynamic" or "int8".
        representative: a folder of a few hundred face crops to calibrate int8 on.
        data: labelled images to compare on, as PATH or SOURCE:PATH. If None, half of the images of
            `representative`, or drawn faces.
        label_names: of `data`, the emotions of labels by other names, such as {"3": "happy"}.
        split: of `data`: "train", "val", "test" or "all".
        least_agreement: minimum share of faces, 0 to 1, with the same prediction as the model.
        output: the file, or the folder of a SavedModel; named after the model if None.
        force: replace existing files.

    Returns:
        The file and its comparison with the original, which a notebook shows.

    Raises:
        EmodetectError: if the model, the data or the options cannot be used, or the predictions of
            the file differ from the model's; then nothing is written.

    Examples:
        >>> import emodetect
        >>> exported = emodetect.export("runs/mine", "tflite", output="mine.tflite")
        >>> exported.sidecar.name
        'mine.tflite.json'
        >>> exported.comparison.same_emotion
        1.0
    """
    from emodetect.exporting.export import ExportOptions, export_model

    options = ExportOptions(
        format=to,
        quantize=quantize,
        representative=None if representative is None else Path(representative),
        data=None if data is None else os.fspath(data),
        label_names=emotions_of_labels(label_names),
        split=split,
        least_agreement=least_agreement,
        output=None if output is None else Path(output),
        force=force,
    )
    return export_model(model_path(os.fspath(model)), options)
