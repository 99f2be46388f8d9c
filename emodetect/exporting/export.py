"""Export a model for use without emodetect, and compare the file with the original."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from emodetect import __version__
from emodetect.errors import EmodetectError, ModelError, OptionsError, first_line
from emodetect.exporting.comparison_with_keras import (
    ORIGINAL_NOTE,
    Comparison,
    check_agreement,
    compare_with_keras,
    comparison_rows,
)
from emodetect.exporting.formats.format import INT8_OUTPUT, Format, Network, Run
from emodetect.exporting.formats.registry import FORMAT_NAMES, format_named
from emodetect.exporting.int8_calibration import calibration_faces
from emodetect.exporting.output_files import (
    check_out,
    default_out,
    files_in,
    move_into_place,
    sidecar_of,
)
from emodetect.exporting.sample_faces import FaceCrops, drawn_faces, labelled_faces
from emodetect.images.model_input import channels_of
from emodetect.machine.atomic_files import folder_beside
from emodetect.machine.computer import default_threads
from emodetect.machine.output_folder import check_output_folder, make_output_folder
from emodetect.machine.quiet_libraries import quiet_stderr
from emodetect.model_file.artifact import read_artifact
from emodetect.model_file.metadata import Metadata
from emodetect.notebook import heading, lines, table
from emodetect.recognition.runtimes.runtime import MissingRuntimeError
from emodetect.training.models.keras_files import load_keras
from emodetect.training.models.litert_conversion import with_temperature


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """What to export a model to, and what to check the file on.

    Raises OptionsError for `split` or `label_names` without `data`.

    Attributes:
        format: one of FORMAT_NAMES.
        quantize: "none", "float16", "dynamic" (8-bit weights) or "int8" (8 bits throughout).
        representative: a folder of face crops to calibrate int8 on.
        data: labelled images to compare on, as SOURCE:PATH or PATH. If None, half of the images of
            `representative`, or drawn faces.
        label_names: emotions of labels of `data` by other names.
        split: of `data`: "train", "val", "test" or "all"; see `labelled_faces`.
        least_agreement: minimum share of faces, 0 to 1, for which file and model predict the same
            emotion; as in LEAST_AGREEMENT if None.
        output: the file, or the folder of a SavedModel; see `default_out` if None.
        force: replace existing files.
    """

    format: str
    quantize: str = "none"
    representative: Path | None = None
    data: str | None = None
    label_names: Mapping[str, str] = field(default_factory=dict)
    split: str | None = None
    least_agreement: float | None = None
    output: Path | None = None
    force: bool = False

    def __post_init__(self) -> None:
        for option, value in (("--split", self.split), ("--label-name", self.label_names)):
            if value and self.data is None:
                raise OptionsError(f"{option} requires --data.")
        least = self.least_agreement
        if least is not None and not 0 <= least <= 1:
            raise OptionsError(f"--least-agreement: expected 0 to 1, got {least:g}.")


@dataclass(frozen=True, kw_only=True)
class Export:
    """What `export_model` wrote; a notebook shows how it compares with the original.

    Attributes:
        path: the file, or the folder of a SavedModel.
        sidecar: the JSON next to it: labels, input, output, and the comparison.
        skipped: how many files of `representative` could not be read.
    """

    path: Path
    sidecar: Path
    format: str
    quantize: str
    comparison: Comparison
    skipped: int

    def _repr_html_(self) -> str:
        rows = comparison_rows(self.comparison)
        shown = table(("", "original", self.path.name), rows)
        return heading(str(self.path)) + shown + lines([ORIGINAL_NOTE])


def export_model(model: Path, options: ExportOptions) -> Export:
    """Write a model file's network in another format, and compare it with the Keras model.

    The exported file takes raw crops (0-255, the model's own size) and returns calibrated
    probabilities.

    Raises:
        EmodetectError: for options that do not go together, and an `output` that cannot be written.
        MissingRuntimeError: for a library that is not installed.
        ModelError: for a model that cannot be used or converted, and for a file whose predictions
            differ from the model's.
        DataError: for `data` that cannot be read, and a `representative` with too few images.
    """
    kind = _format(options)
    out = options.output or default_out(model, options.format, options.quantize)
    check_output_folder(out.parent, force=True)
    check_out(out, options.format, force=options.force)
    artifact = read_artifact(model)
    metadata = artifact.metadata
    calibration, faces = _faces(options, metadata)
    make_output_folder(out.parent)
    network = Network(
        artifact=artifact,
        model=with_temperature(load_keras(model), metadata.temperature, path=model),
        calibration=None if calibration is None else calibration.images,
        card=_card(metadata, options.quantize),
    )
    with folder_beside(out) as folder:
        run = _written(kind, network, options.quantize, folder / out.name)
        file_bytes = sum(file.stat().st_size for file in files_in(folder))
        comparison = compare_with_keras(artifact, run, faces, file_bytes=file_bytes)
        check_agreement(comparison, out, options.quantize, at_least=options.least_agreement)
        description = _description(network.card, options, folder, comparison)
        sidecar_of(folder / out.name).write_text(json.dumps(description, indent=1) + "\n", "utf-8")
        move_into_place(folder, out)
    return Export(
        path=out,
        sidecar=sidecar_of(out),
        format=options.format,
        quantize=options.quantize,
        comparison=comparison,
        skipped=calibration.skipped if calibration else 0,
    )


def _format(options: ExportOptions) -> Format:
    """Return the chosen format. Raises if it is not available as asked, or not installed."""
    name, quantize = options.format, options.quantize
    if name not in FORMAT_NAMES:
        raise EmodetectError(f"--to: expected one of {', '.join(FORMAT_NAMES)}, got {name!r}.")
    kind = format_named(name)
    if quantize not in kind.quantizations:
        raise EmodetectError(
            f"--quantize: {name} supports {', '.join(kind.quantizations)}, got {quantize!r}."
        )
    if quantize == "int8" and options.representative is None:
        raise EmodetectError(
            "--quantize int8 is calibrated on images: add --representative DIR, a folder of a few "
            "hundred face crops such as those the model was trained on."
        )
    if quantize != "int8" and options.representative is not None:
        raise EmodetectError(f"--representative requires --quantize int8, got {quantize}.")
    for module, pip_line in kind.needs.items():
        if importlib.util.find_spec(module) is None:
            raise MissingRuntimeError(
                f"the format {name} needs {module}, which is not installed. Install it: {pip_line}"
            )
    return kind


def _faces(options: ExportOptions, metadata: Metadata) -> tuple[FaceCrops | None, FaceCrops]:
    """Return the faces to calibrate on, and those to compare on."""
    labelled = calibration = rest = None
    if options.data is not None:
        labelled = labelled_faces(
            options.data, options.split, metadata, label_names=options.label_names
        )
    if options.representative is not None:
        calibration, rest = calibration_faces(
            options.representative, metadata, hold_out=labelled is None
        )
    return calibration, labelled or rest or drawn_faces(metadata)


def _card(metadata: Metadata, quantize: str) -> dict[str, Any]:
    """Return what a program needs to know to use the file, ready for JSON."""
    size, channels = metadata.image_size, channels_of(metadata.color)
    batch, dtype = (1, "uint8") if quantize == "int8" else ("n", "float32")
    output: dict[str, Any] = {"shape": [batch, len(metadata.emotions)], "dtype": dtype}
    if quantize == "int8":
        output |= dict(zip(("scale", "zero_point"), INT8_OUTPUT, strict=True))
    return {
        "name": metadata.name,
        "labels": list(metadata.emotions),
        "input": {
            "shape": [batch, size, size, channels],
            "dtype": dtype,
            "range": [0, 255],
            "color": metadata.color,
        },
        "output": {"meaning": "probability of each label, calibrated", **output},
        "margin": metadata.margin,
        "preprocessing": (
            f"enlarge the face box by {metadata.margin / 2:g} of its side on each side, crop, "
            "pad to a square with the pixels of its edges, resize to "
            f"{size} x {size} pixels (averaging areas if it is larger), "
            f"{'gray' if channels == 1 else 'red, green, blue'}, 0 to 255; the network does the "
            "rest"
        ),
        "made_by": f"emodetect {__version__}",
    }


def _written(kind: Format, network: Network, quantize: str, path: Path) -> Run:
    """Write the file, and return a function that runs it."""
    try:
        with quiet_stderr():  # where converters report their progress
            kind.write(network, quantize, path)
            return kind.open(path, default_threads())
    except EmodetectError:
        raise
    except Exception as error:  # each converter raises its own kind
        raise ModelError(
            f"{network.artifact.path}: cannot be exported as {path.name}: {first_line(error)}"
        ) from None


def _description(
    card: dict[str, Any], options: ExportOptions, folder: Path, comparison: Comparison
) -> dict[str, Any]:
    """Return what the JSON next to an export says, given the folder of the exported files."""
    digests = {
        file.relative_to(folder).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in files_in(folder)
    }
    return {
        **card,
        "format": options.format,
        "quantize": options.quantize,
        "sha256": digests,
        "compared_with_keras": asdict(comparison),
    }
