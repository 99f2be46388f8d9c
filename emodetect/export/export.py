"""Writing a model for use without emodetect, and holding the file against the original."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from emodetect import __version__
from emodetect.errors import EmodetectError, ModelError, first_line
from emodetect.export.calibration_faces import CALIBRATION_FACES, Faces, drawn_faces, read_faces
from emodetect.export.comparison import Comparison, compare_with_keras
from emodetect.export.formats.format import Format, Network, Run
from emodetect.export.formats.registry import FORMATS
from emodetect.images.model_input import channels_of
from emodetect.machine.output_folder import check_output_folder, make_output_folder
from emodetect.machine.quiet_libraries import quiet_stderr
from emodetect.machine.threads import default_threads
from emodetect.model_file.artifact import read_artifact
from emodetect.model_file.metadata import Metadata
from emodetect.recognition.runtimes.checks import AGREEMENT
from emodetect.recognition.runtimes.runtime import MissingRuntimeError
from emodetect.training.models.keras_files import load_keras
from emodetect.training.models.litert_conversion import with_temperature

# How many faces have to keep their emotion. Float32 may only differ in the last digits; what is
# rounded more may change its mind on a face between two emotions.
LEAST_AGREEMENT = {"none": 0.99, "float16": 0.98, "dynamic": 0.9, "int8": 0.9}
SIDECAR_SUFFIX = ".json"
# What the folder of a SavedModel holds; another's files in it are not ours to replace.
SAVED_MODEL_FILES = {"saved_model.pb", "fingerprint.pb", "variables", "assets", "assets.extra"}


@dataclass(frozen=True, kw_only=True)
class Export:
    """What `export_model` wrote.

    Attributes:
        path: the file, or the folder of a SavedModel.
        sidecar: the JSON beside it: labels, input, output, and the comparison.
        skipped: how many files of `representative` could not be read.
    """

    path: Path
    sidecar: Path
    format: str
    quantize: str
    comparison: Comparison
    skipped: int


def export_model(
    model: Path,
    *,
    format: str,
    quantize: str = "none",
    representative: Path | None = None,
    faces: Faces | None = None,
    least_agreement: float | None = None,
    out: Path | None = None,
    force: bool = False,
) -> Export:
    """Write an artifact's network in another format, compared with its Keras model on the spot.

    The file takes raw crops (0-255, the model's own size) and gives calibrated probabilities.

    Args:
        model: an artifact.
        format: one of FORMATS.
        quantize: "none", "float16", "dynamic" (weights of 8 bits) or "int8" (all of it).
        representative: a folder of face crops that int8 finds its ranges by.
        faces: what to compare on; every second of `representative` if None, else drawn faces.
        least_agreement: the share of the faces that have to keep their emotion, or no file is
            written; as in LEAST_AGREEMENT if None.
        out: MODEL-PRECISION.SUFFIX in the working folder if None; MODEL-saved_model for that.
        force: replaces files that are there.

    Raises:
        EmodetectError: for what cannot be had together, and an `out` that cannot be written.
        MissingRuntimeError: for a library that is not installed.
        ModelError: for a model that cannot be used or written so, and a file that answers
            otherwise than the model.
        DataError: for a `representative` with too few images.
    """
    kind = _format(format, quantize, representative)
    least = LEAST_AGREEMENT[quantize] if least_agreement is None else least_agreement
    out = out or Path(_default_name(model, format, quantize))
    check_output_folder(out.parent, force=True)
    _check_out(out, kind, format, force=force)
    artifact = read_artifact(model)
    make_output_folder(out.parent)
    metadata = artifact.metadata
    calibration, faces = _faces(representative, faces, metadata)
    card = _card(metadata, quantize)
    network = Network(
        artifact=artifact,
        model=with_temperature(load_keras(model), metadata.temperature, path=model),
        calibration=None if calibration is None else calibration.images,
        card=card,
    )
    with _beside(out) as folder:
        run = _written(kind, network, quantize, folder / out.name)
        files = _contents(folder)
        file_bytes = sum(file.stat().st_size for file in files)
        comparison = compare_with_keras(artifact, run, faces, file_bytes=file_bytes)
        _refuse_otherwise(comparison, out, quantize, least)
        description = {
            **card,
            "format": format,
            "quantize": quantize,
            "sha256": {
                file.relative_to(folder).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
                for file in files
            },
            "compared_with_keras": asdict(comparison),
        }
        sidecar = folder / _sidecar(out).name
        sidecar.write_text(json.dumps(description, indent=1), encoding="utf-8")
        _move(folder, out)
    return Export(
        path=out,
        sidecar=_sidecar(out),
        format=format,
        quantize=quantize,
        comparison=comparison,
        skipped=calibration.skipped if calibration else 0,
    )


def _format(name: str, quantize: str, representative: Path | None) -> Format:
    """Return the format of a name. Raises for what it is not offered with, or is not installed."""
    if name not in FORMATS:
        raise EmodetectError(f"--format: expected one of {', '.join(FORMATS)}, got {name!r}.")
    kind = FORMATS[name]
    if quantize not in kind.quantizations:
        raise EmodetectError(
            f"--quantize: {name} comes with {', '.join(kind.quantizations)}, got {quantize!r}."
        )
    if quantize == "int8" and representative is None:
        raise EmodetectError(
            "--quantize int8 finds its ranges by images: name a folder of some hundred face crops, "
            "such as those trained on: --representative DIR."
        )
    if quantize != "int8" and representative is not None:
        raise EmodetectError(f"--representative goes with --quantize int8, got {quantize}.")
    for module, pip_line in kind.needs.items():
        if importlib.util.find_spec(module) is None:
            raise MissingRuntimeError(
                f"the format {name} needs {module}, which is not installed here: {pip_line}"
            )
    return kind


def _default_name(model: Path, format: str, quantize: str) -> str:
    suffix = FORMATS[format].suffix
    precision = "float32" if quantize == "none" else quantize
    return f"{model.stem}-{precision}{suffix}" if suffix else f"{model.stem}-{format}"


def _check_out(out: Path, kind: Format, name: str, *, force: bool) -> None:
    if kind.suffix and out.suffix != kind.suffix:
        raise EmodetectError(f"--out: expected a file named *{kind.suffix} for {name}, got {out}.")
    suffixes = {other.suffix for other in FORMATS.values()} - {""}
    if not kind.suffix and (out.name in ("", "..") or out.suffix in suffixes):
        raise EmodetectError(f"--out: expected the name of a folder for {name}, got {out}.")
    for path in (out, *map(out.with_suffix, kind.companions), _sidecar(out)):
        try:
            there = path.lstat()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise EmodetectError(f"{path}: cannot be written: {error.strerror}.") from None
        if stat.S_ISLNK(there.st_mode) and path.is_dir():
            raise EmodetectError(f"{path}: is a link to a folder; name the folder as --out.")
        if stat.S_ISDIR(there.st_mode) and (kind.suffix or path != out or not _is_saved_model(out)):
            raise EmodetectError(f"{path}: is a folder of something else; name another --out.")
        if not force:
            raise EmodetectError(f"{path}: is there already; name another --out, or add --force.")


def _is_saved_model(folder: Path) -> bool:
    names = {path.name for path in folder.iterdir()}
    return "saved_model.pb" in names and names <= SAVED_MODEL_FILES


def _faces(
    representative: Path | None, faces: Faces | None, metadata: Metadata
) -> tuple[Faces | None, Faces]:
    """Return the faces to calibrate by, and those to compare on."""
    if representative is None:
        return None, faces or drawn_faces(metadata)
    if faces is not None:
        return read_faces(representative, metadata, at_most=CALIBRATION_FACES), faces
    found = read_faces(representative, metadata, at_most=2 * CALIBRATION_FACES)
    # Each on its own half: on images that its ranges were made for, a file does too well.
    half, rest = found.images[::2], found.images[1::2]
    calibration = Faces(images=half, origin=found.origin, skipped=found.skipped)
    return calibration, Faces(images=rest, origin=f"other images of {found.origin}")


def _card(metadata: Metadata, quantize: str) -> dict[str, Any]:
    """Return what a program needs to know to use the file, JSON-ready."""
    size, channels = metadata.image_size, channels_of(metadata.color)
    batch, dtype = (1, "uint8") if quantize == "int8" else ("n", "float32")
    output: dict[str, Any] = {"shape": [batch, len(metadata.emotions)], "dtype": dtype}
    if quantize == "int8":
        output |= {"scale": 1 / 256, "zero_point": 0}
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
            f"a face box grown by {metadata.margin:g} of its side on each side, cut out and resized"
            f" to {size} x {size} pixels, {'gray' if channels == 1 else 'red, green, blue'}, 0 to "
            "255; all else is in the network"
        ),
        "made_by": f"emodetect {__version__}",
    }


def _written(kind: Format, network: Network, quantize: str, path: Path) -> Run:
    """Write the file, and return what runs it."""
    try:
        with quiet_stderr():  # converters tell their progress there
            kind.write(network, quantize, path)
            return kind.open(path, default_threads())
    except EmodetectError:
        raise
    except Exception as error:  # of kinds as many as there are converters
        raise ModelError(
            f"{network.artifact.path}: cannot be written as {path.name}: {first_line(error)}"
        ) from None


def _refuse_otherwise(
    comparison: Comparison, out: Path, quantize: str, least_agreement: float
) -> None:
    """Raise ModelError for a file that answers otherwise than the model that it was made of."""
    allowed = AGREEMENT if quantize == "none" else 1.0
    # Not the other way round, because a file may answer NaN.
    if comparison.max_difference <= allowed and comparison.same_emotion >= least_agreement:
        return
    hint = "" if quantize == "none" else " --quantize none rounds nothing."
    raise ModelError(
        f"{out}: not written, as it answers otherwise than the model: "
        f"{comparison.same_emotion:.1%} of {comparison.faces:,} faces ({comparison.origin}) keep "
        f"their emotion, expected {least_agreement:.1%}; probabilities differ by up to "
        f"{comparison.max_difference:.2g}.{hint}"
    )


@contextmanager
def _beside(out: Path) -> Iterator[Path]:
    """Make a folder beside a path, from which moving something there is one step."""
    folder = Path(tempfile.mkdtemp(prefix=".emodetect-", dir=out.parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def _move(folder: Path, out: Path) -> None:
    """Move what a folder holds to where `out` is, in the place of what is there."""
    files = list(folder.iterdir())
    if out.is_dir():  # which nothing replaces in one step; it goes with the temporary folder
        out.rename(folder / f"{out.name}.old")
    for file in files:
        file.replace(out.parent / file.name)


def _sidecar(out: Path) -> Path:
    return out.with_name(out.name + SIDECAR_SUFFIX)


def _contents(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())
