"""The emotions: canonical names, aliases used by data sets, display colours."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from emodetect.errors import DataError

EMOTIONS = ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise", "contempt")

ALIASES = {
    "anger": "angry",
    "angered": "angry",
    "disgusted": "disgust",
    "disgusting": "disgust",
    "afraid": "fear",
    "fearful": "fear",
    "frightened": "fear",
    "scared": "fear",
    "happiness": "happy",
    "joy": "happy",
    "joyful": "happy",
    "calm": "neutral",
    "neutrality": "neutral",
    "saddened": "sad",
    "sadness": "sad",
    "surprised": "surprise",
    "surprising": "surprise",
    "contemptuous": "contempt",
}

# What follows the name in labels such as "ANGRY_faces".
_NOUNS = (
    *("class", "data", "emotion", "emotions", "expression", "expressions", "face", "faces"),
    *("folder", "image", "images", "img", "imgs", "people", "photo", "photos", "pic", "pics"),
    *("picture", "pictures", "sample", "samples", "set"),
)
_SEPARATORS = " \t_-.)"

# Okabe and Ito's palette (2008), which colour-blind people can tell apart; RGB 0-255.
# Black replaces their yellow, which is unreadable as text on white.
COLORS = {
    "angry": (213, 94, 0),
    "disgust": (0, 158, 115),
    "fear": (204, 121, 167),
    "happy": (230, 159, 0),
    "neutral": (120, 120, 120),
    "sad": (0, 114, 178),
    "surprise": (86, 180, 233),
    "contempt": (0, 0, 0),
}


def canonical_emotion(label: str, *, where: str = "") -> str:
    """Return the canonical name of a label.

    Case, spaces, known aliases, a plural s, and what `bare_label` removes do not matter.

    Raises DataError for an unknown label, naming `where` it is (a path, a config key).
    """
    name = bare_label(label)
    for form in (name, name.removesuffix("s")):
        emotion = ALIASES.get(form, form)
        if emotion in EMOTIONS:
            return emotion
    near = difflib.get_close_matches(name, [*EMOTIONS, *ALIASES], n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    place = f"{where}: " if where else ""
    raise DataError(
        f"{place}expected an emotion ({', '.join(EMOTIONS)}, or an alias such as "
        f"'happiness'), got {label!r}.{hint}"
    )


def bare_label(label: str) -> str:
    """Return a label in lower case without a number before it or a noun after it.

    "0_angry", "Angry faces" and "ANGRY_images" become "angry". Words that change the meaning, as
    in "not happy", stay.
    """
    name = label.strip().lower().lstrip("0123456789").lstrip(_SEPARATORS)
    while noun := next(filter(name.endswith, _NOUNS), None):
        name = name.removesuffix(noun).rstrip(_SEPARATORS)
    return name


def in_canonical_order(emotions: Iterable[str]) -> tuple[str, ...]:
    """Return the distinct canonical `emotions` in the order of EMOTIONS."""
    wanted = set(emotions)
    return tuple(emotion for emotion in EMOTIONS if emotion in wanted)
