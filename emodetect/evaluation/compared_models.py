"""The models of a comparison, by the run or report folders that a user names."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emodetect.config import load_config
from emodetect.data.dataset import Dataset
from emodetect.data.readers.registry import READERS
from emodetect.errors import DataError
from emodetect.evaluation.classify import predict_images
from emodetect.evaluation.image_selection import select_images
from emodetect.evaluation.labelled_data import (
    OWN_DATA,
    open_source,
    open_training_data,
    training_config,
)
from emodetect.evaluation.predictions import PREDICTIONS_FILE, Predictions, read_predictions
from emodetect.model_file.artifact import read_artifact
from emodetect.model_file.shipped_models import model_path
from emodetect.recognition.recognizer import EmotionRecognizer

MODEL = "best_model.keras"


@dataclass(frozen=True, kw_only=True)
class Entrant:
    """A model of a comparison.

    Attributes:
        name: the folder, as the user named it.
        told: what metrics.json tells of the model and its data, and how it was judged.
    """

    name: str
    answers: Predictions
    told: dict[str, Any]

    @property
    def setting(self) -> str:
        """On what images it was judged, and how, in words."""
        if not isinstance(self.told.get("data"), str):
            return "no metrics.json tells on what data"
        faces, tta = self.told.get("faces"), self.told.get("tta")
        return (
            f"{self.told['data']}, split {self.told.get('split')}"
            + (f", faces {faces}" if faces else "")
            + (f", test-time augmentation {tta}" if tta else "")
            + (", most of it seen in training" if self.told.get("seen") else "")
        )


def open_entrant(folder: Path) -> Entrant:
    """Read the answers of a report folder, or those of a run on its own test split.

    A run whose report `evaluation-test` is newer than its model, and of that split whole, has them
    there; of another the model is evaluated.

    Raises:
        DataError: for a folder that is neither, and data that cannot be read.
        ModelError: for a model that cannot be used.
    """
    if (folder / PREDICTIONS_FILE).is_file():
        return _from_report(folder, str(folder))
    model, report = folder / MODEL, folder / "evaluation-test"
    if not model.is_file():
        raise DataError(
            f"{folder}: expected a report folder of evaluate (with {PREDICTIONS_FILE}) or a run "
            f"folder (with {MODEL}); a report of an earlier version: run evaluate again."
        )
    file = report / PREDICTIONS_FILE
    if file.is_file() and file.stat().st_mtime >= model.stat().st_mtime:
        entrant = _from_report(report, str(folder))
        if _is_of_own_split(entrant.told):
            return entrant
    recognizer = EmotionRecognizer(model, detector="none")
    dataset = open_training_data(training_config(recognizer.metadata), recognizer.metadata)
    predictions = predict_images(recognizer, dataset, select_images(dataset, "test").members)
    told = {
        **{"model": str(model), "data": OWN_DATA, "faces": None, "split": "test", "tta": None},
        "fingerprint": dataset.fingerprint,
    }
    return Entrant(name=str(folder), answers=predictions, told=told)


def changed_data(entrants: Sequence[Entrant]) -> list[str]:
    """Tell which models were judged on data that is not the same, though its images' names are."""
    changed = []
    first: dict[str, Entrant] = {}
    for entrant in entrants:
        told = entrant.told
        if told.get("data", OWN_DATA) == OWN_DATA or "fingerprint" not in told:
            continue
        # Of models that take other sizes or colours the fingerprints always differ.
        known = first.setdefault(str([told.get(key) for key in ("faces", "input")]), entrant)
        if told["fingerprint"] == known.told["fingerprint"]:
            continue
        if told["data"] == known.told["data"]:
            changed.append(
                f"{told['data']} was not the same for {known.name} and {entrant.name}: images, "
                "labels or splits differ. Evaluate them again."
            )
        else:
            changed.append(
                f"{known.told['data']} ({known.name}) and {told['data']} ({entrant.name}) are not "
                "the same data: images of one name are paired, but may be others. Evaluate both "
                "on one."
            )
    return changed


def _is_of_own_split(told: dict[str, Any]) -> bool:
    own: dict[str, Any] = {"data": OWN_DATA, "split": "test", "tta": None, "left_out": {}}
    return all(told.get(key) == value for key, value in own.items())


def open_images(entrant: Entrant) -> Dataset:
    """Load the data that a model was evaluated on, for its images.

    Raises EmodetectError where the model or the data are no longer where and as they were.
    """
    told = ("model", "data", "faces", "fingerprint")
    try:
        model, data, faces, fingerprint = (entrant.told[key] for key in told)
    except KeyError as error:
        raise DataError(f"{entrant.name}: its metrics.json does not tell its {error}.") from None
    if not isinstance(model, str) or not isinstance(data, str):
        raise DataError(f"{entrant.name}: its metrics.json does not tell its model and data.")
    metadata = read_artifact(model_path(model)).metadata
    if ":" in data and data.partition(":")[0] in READERS:
        dataset = open_source(data, metadata, faces=faces)
    else:
        config = training_config(metadata) if data == OWN_DATA else load_config(data)
        dataset = open_training_data(config, metadata)
    if dataset.fingerprint != fingerprint:
        raise DataError(
            f"{entrant.name}: {data} is not what it was when the model was evaluated on it (the "
            "fingerprints differ); run evaluate again."
        )
    return dataset


def _from_report(report: Path, name: str) -> Entrant:
    try:
        told = json.loads((report / "metrics.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        told = {}
    told = told if isinstance(told, dict) else {}
    found = read_predictions(report / PREDICTIONS_FILE)
    if told.get("images", len(found.labels)) != len(found.labels):
        raise DataError(
            f"{report / PREDICTIONS_FILE}: expected {told['images']} images, as metrics.json says, "
            f"got {len(found.labels)}; run evaluate again."
        )
    return Entrant(name=name, answers=found, told=told)
