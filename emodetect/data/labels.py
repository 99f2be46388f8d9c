"""The labels and splits of a source, translated to ours."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from unicodedata import normalize

from emodetect.config import OWN_LABELS, DataConfig
from emodetect.data.listing import NAMED_AT_MOST, Sample
from emodetect.emotions import (
    bare_label,
    canonical_emotion,
    in_canonical_order,
    misspelt_emotion,
    plain_label,
)
from emodetect.errors import DataError
from emodetect.machine.terminal_text import quoted

# A split of FER2013 that is validation or test; see `public_test_split`.
PUBLIC_TEST = "PublicTest"

SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
    "publictest": PUBLIC_TEST,
    "privatetest": "test",
}

# The emotions by the numbers that data sets give them.
FER2013_EMOTIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
RAF_DB_EMOTIONS = {
    "1": "surprise",
    "2": "fear",
    "3": "disgust",
    "4": "happy",
    "5": "sad",
    "6": "angry",
    "7": "neutral",
}
AFFECTNET_EMOTIONS = {
    "0": "neutral",
    "1": "happy",
    "2": "sad",
    "3": "surprise",
    "4": "fear",
    "5": "disgust",
    "6": "angry",
    "7": "contempt",
}
CKPLUS_EMOTIONS = (
    "neutral",
    "angry",
    "contempt",
    "disgust",
    "fear",
    "happy",
    "sad",
    "surprise",
)

_NUMBERS = (
    f"What a number means depends on the data set: in RAF-DB (data.source = 'raf_db') 1 to 7 are "
    f"{', '.join(RAF_DB_EMOTIONS.values())}; in AffectNet (data.source = 'affectnet') 0 to 7 are "
    f"{', '.join(AFFECTNET_EMOTIONS.values())}; in FER2013 0 to 6 are "
    f"{', '.join(FER2013_EMOTIONS)}; in CK+ 0 to 7 are {', '.join(CKPLUS_EMOTIONS)}."
)


class UnknownLabelError(DataError):
    """A label that cannot be used, or several.

    Attributes:
        problem: the message without what to do about it.
        advice: what to do about it.
        labels: the labels.
        has_number: whether one is a number, which means something else in each data set.
    """

    def __init__(self, problem: str, advice: str, *, labels: tuple[str, ...]) -> None:
        super().__init__(f"{problem} {advice}")
        self.problem, self.advice, self.labels = problem, advice, labels
        self.has_number = any(label.strip().isdecimal() for label in labels)


class LabelReader:
    """Translates the labels of a source, each once, and names all unknown ones in one error.

    Attributes:
        names: the emotion of each known label so far; see `emotion_of`.
    """

    def __init__(self, config: DataConfig) -> None:
        self.names: dict[str, str] = {}
        self._config = config
        self._unknown: dict[str, UnknownLabelError] = {}

    def __contains__(self, label: str) -> bool:
        return label in self.names or label in self._unknown

    def add(self, label: str, *, where: str) -> None:
        """Look a new label up."""
        try:
            self.names[label] = emotion_of(label, self._config, where=where)
        except UnknownLabelError as error:
            self._unknown[label] = error

    def refuse_unknown(self) -> None:
        """Raise UnknownLabelError if any label was unknown."""
        if self._unknown:
            raise all_unknown([*self._unknown.values()])


def all_unknown(errors: Sequence[UnknownLabelError]) -> UnknownLabelError:
    """Return one error for all labels that a source names, so that they can be fixed at once."""
    labels = tuple(label for error in errors for label in error.labels)
    named = [repr(label) for label in labels[1 : NAMED_AT_MOST + 1]]
    if more := len(labels) - 1 - len(named):
        named.append(f"{more:,} more")
    likewise = f" The same goes for {', '.join(named)}." if named else ""
    return UnknownLabelError(f"{errors[0].problem}{likewise}", errors[0].advice, labels=labels)


def emotion_of(label: str, config: DataConfig, *, where: str) -> str:
    """Return the emotion of a source's label, or with `data.labels` "own" the label itself.

    What `data.label_names` says takes precedence.

    Raises UnknownLabelError for a label that is neither in `data.label_names` nor a known alias,
    and with labels of one's own for what looks like a misspelt emotion. A number means another
    emotion in each data set, so it is not guessed.
    """
    # A Mac's archives spell ä as two characters.
    if (composed := normalize("NFC", label)) in config.label_names:
        return config.label_names[composed]
    if config.labels == "own":
        return _own_label(label, where)
    try:
        return canonical_emotion(label, where=where)
    except DataError as error:
        numbers = f"{_NUMBERS} " if label.strip().isdecimal() else ""
        raise UnknownLabelError(
            str(error),
            f"{numbers}{OWN_LABELS} If {label!r} is an emotion by another name, say which: "
            f"{_label_names(label, 'EMOTION')} in a config, or {_option(label, 'EMOTION')}.",
            labels=(label,),
        ) from None


def _own_label(label: str, where: str) -> str:
    try:
        name = plain_label(label, where=where)
    except DataError as error:
        raise UnknownLabelError(
            str(error),
            f"Rename it: {_label_names(label, 'NEW NAME')} in a config does, too.",
            labels=(label,),
        ) from None
    if near := misspelt_emotion(name):
        raise UnknownLabelError(
            f"{where}: {name!r} looks like a misspelt {near!r}.",
            f"If it is, rename it. To keep it as a label of its own, say so: "
            f"{_label_names(label, name)} in a config, or {_option(label, name)}.",
            labels=(label,),
        )
    return name


def _label_names(label: str, name: str) -> str:
    # JSON's strings are TOML's, too.
    text = [json.dumps(one, ensure_ascii=False) for one in (label, name)]
    return f"data.label_names = {{{' = '.join(text)}}}"


def _option(label: str, name: str) -> str:
    return f"--label-name {quoted(f'{label}={name}')}"


def split_named(name: str) -> str | None:
    """Return the split that a name such as "train", "Validation" or "test_set" means, or None.

    The names of FER2013 are known too: "fer_train" is "train", and "public_test" is PUBLIC_TEST.
    """
    bare = re.sub(r"[\s_-]", "", bare_label(name))
    return SPLIT_NAMES.get(re.sub(r"^fer(2013)?", "", bare))


def public_test_split(splits: Collection[str | None]) -> str:
    """Return the split that PUBLIC_TEST serves as beside the other `splits` of a data set.

    The contest (Goodfellow et al. 2013) ranked entries by PublicTest while it ran and by
    PrivateTest at the end, so PublicTest is validation; without another test split, it is that.
    """
    return "val" if "test" in splits else "test"


def split_of(value: str, *, where: str) -> str | None:
    """Return the split that a source names in its own words; None for empty text.

    Raises DataError for an unknown name.
    """
    split = split_named(value)
    if split is None and value.strip():
        raise DataError(
            f"{where}: expected a split ({', '.join(SPLIT_NAMES)}, or nothing), got {value!r}."
        )
    return split


def folder_emotion(folder: Path, *, numbers: Mapping[str, str], layout: str) -> str:
    """Return the emotion of a class folder, named by a number of the data set or by an emotion.

    Args:
        numbers: the emotion of each number.
        layout: what the data set should contain, for the DataError raised for any other folder.
    """
    if folder.name in numbers:
        return numbers[folder.name]
    try:
        return canonical_emotion(folder.name)
    except DataError:
        raise DataError(f"{folder}: expected {layout}, got {folder.name!r}.") from None


def label_order(samples: Sequence[Sample], config: DataConfig, *, where: str) -> tuple[str, ...]:
    """Return the emotions in the order of the outputs: data.classes, or those found.

    Raises DataError if there are no images, or none of a class in data.classes.
    """
    found = in_canonical_order({sample.emotion for sample in samples})
    _refuse_same_but_case(found, where)
    emotions = config.classes or found
    missing = [emotion for emotion in emotions if emotion not in found]
    if missing:
        raise DataError(
            f"{where}: no images of {', '.join(missing)}, which data.classes asks for; "
            f"found {', '.join(found) or 'none'}."
        )
    if not samples:
        raise DataError(f"{where}: no labelled images found.")
    return emotions


def _refuse_same_but_case(labels: Sequence[str], where: str) -> None:
    """Raise DataError for labels that would be one folder on some systems, and probably are one."""
    spelt: dict[str, str] = {}
    for label in labels:
        if (other := spelt.setdefault(label.casefold(), label)) != label:
            raise DataError(
                f"{where}: the labels {other!r} and {label!r} differ only in case. Spell them "
                f"alike, or in a config: {_label_names(other, label)}."
            )
