"""The emotions: canonical names, aliases used by data sets, display colours."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from emodetect.errors import DataError

EMOTIONS = ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise", "contempt")

ALIASES = {
    "anger": "angry",
    "disgusted": "disgust",
    "afraid": "fear",
    "fearful": "fear",
    "scared": "fear",
    "happiness": "happy",
    "joy": "happy",
    "calm": "neutral",
    "neutrality": "neutral",
    "sadness": "sad",
    "surprised": "surprise",
    "contemptuous": "contempt",
}

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
    """Return the canonical name of a label: case, spaces and known aliases do not matter.

    Raises DataError for an unknown label, naming `where` it is (a path, a config key).
    """
    name = label.strip().lower()
    name = ALIASES.get(name, name)
    if name in EMOTIONS:
        return name
    near = difflib.get_close_matches(name, [*EMOTIONS, *ALIASES], n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    place = f"{where}: " if where else ""
    raise DataError(
        f"{place}expected an emotion ({', '.join(EMOTIONS)}, or an alias such as "
        f"'happiness'), got {label!r}.{hint}"
    )


def in_canonical_order(emotions: Iterable[str]) -> tuple[str, ...]:
    """Return the distinct canonical `emotions` in the order of EMOTIONS."""
    wanted = set(emotions)
    return tuple(emotion for emotion in EMOTIONS if emotion in wanted)
