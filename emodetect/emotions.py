"""The emotions and labels of one's own: names, aliases used by data sets, order, colours.

A model's classes are plain names. Those that are emotions have aliases, come first and in a fixed
order, and have fixed colours; any other name is a label of the user's own (data.labels = "own").
"""

from __future__ import annotations

import colorsys
import difflib
import unicodedata
from collections.abc import Collection, Iterable, Sequence
from reprlib import repr as brief

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
# For other labels. Each is as far as possible from those above, from white and from those before
# it, in CIELAB and as deuteranopes see it (after Glasbey et al. 2007).
_OTHER_COLORS = (
    *((34, 85, 221), (68, 85, 0), (221, 170, 119), (136, 17, 119), (34, 153, 51), (136, 0, 51)),
    *((119, 153, 255), (238, 153, 153), (0, 68, 153), (136, 119, 170), (187, 187, 68)),
    *((119, 51, 85), (255, 119, 221), (153, 85, 68), (153, 85, 0), (136, 153, 102)),
)
_GOLDEN_RATIO = 0.618034

# The emotion of a face of which the model is not sure enough.
UNCERTAIN = "uncertain"
# What our own tables call their columns and rows, so no label.
RESERVED = frozenset(
    (
        UNCERTAIN,
        *("video", "frame", "time_s", "face", "path", "width", "height", "x", "y", "box_width"),
        *("box_height", "emotion", "confidence", "error", "crop", "group", "true"),
        *("predicted", "macro average", "weighted average"),
    )
)
LONGEST_LABEL = 60  # characters; as a folder's name, at most 240 bytes


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
        f"'happiness'), got {brief(label)}.{hint}"
    )


def plain_label(label: str, *, where: str = "") -> str:
    """Return a label of the user's own in its usual form: an emotion in lower case, others as is.

    Spaces around it do not matter, nor does how its accents are encoded (NFC is returned). Aliases
    of emotions stay as they are: who calls a class "calm" need not mean "neutral".

    Raises DataError, naming `where` it is, for a name that could not be written everywhere that
    labels are: in folder names, in CSV files that a spreadsheet opens, on one line.
    """
    name = unicodedata.normalize("NFC", label.strip())
    if name.lower() in EMOTIONS:
        return name.lower()
    # The two joiners are letters' neighbours in Persian, Indian scripts and emoji.
    printable = all(letter.isprintable() or letter in "\u200c\u200d" for letter in name)
    wrong = ""
    if not 0 < len(name) <= LONGEST_LABEL:
        wrong = f"a name of 1 to {LONGEST_LABEL} characters"
    elif not printable or "/" in name or "\\" in name:
        wrong = "a name without slashes, line breaks and control characters"
    elif name.startswith((".", "_", "=", "+", "-", "@")):
        wrong = "a name that begins with none of . _ (hidden) and = + - @ (a formula)"
    elif name.lower() in RESERVED:
        wrong = "another name, because emodetect's own tables use this one"
    if wrong:
        place = f"{where}: " if where else ""
        raise DataError(f"{place}a label must be {wrong}, got {label!r}.")
    return name


def are_labels(names: Sequence[object]) -> bool:
    """Return whether names are what the outputs of a model may be called: two or more labels."""
    try:
        usual = {plain_label(name) for name in names if isinstance(name, str)}
    except DataError:
        return False
    return len(names) > 1 and usual == {*names} and len(usual) == len(names)


def known_labels(classes: Iterable[str], known: Collection[str]) -> list[str]:
    """Return the usual form of names in --classes: of emotions, or of other labels in `known`.

    Raises DataError for a name that is neither.
    """
    found = []
    for name in classes:
        usual = plain_label(name, where="--classes")
        found.append(usual if usual in known else canonical_emotion(name, where="--classes"))
    return found


def misspelt_emotion(label: str) -> str:
    """Return the emotion, or alias, that a label of the user's own looks like; "" for none."""
    name, known = label.lower(), (*EMOTIONS, *ALIASES)
    if name in known:
        return ""
    # Words such as "mad" and "unhappy" are not misspelt; few misspell the first letter.
    same_initial = [emotion for emotion in known if emotion[0] == name[0]]
    return next(iter(difflib.get_close_matches(name, same_initial, n=1, cutoff=0.8)), "")


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
    """Return the distinct names: emotions in the order of EMOTIONS, then other labels, sorted."""
    wanted = set(emotions)
    return (
        *(emotion for emotion in EMOTIONS if emotion in wanted),
        *sorted(wanted.difference(EMOTIONS)),
    )


def emotion_colors(emotions: Iterable[str]) -> dict[str, tuple[int, int, int]]:
    """Return the colour of each of a model's emotions or other labels: RGB, 0 to 255.

    The same names have the same colours, whatever their order; no two share one.
    """
    names = in_canonical_order(emotions)
    others = [name for name in names if name not in COLORS]
    return {
        name: COLORS[name] if name in COLORS else _other_color(others.index(name)) for name in names
    }


def hex_colors(emotions: Iterable[str]) -> dict[str, str]:
    """Return the colours of `emotion_colors` as #rrggbb."""
    return {name: f"#{bytes(color).hex()}" for name, color in emotion_colors(emotions).items()}


def _other_color(number: int) -> tuple[int, int, int]:
    if number < len(_OTHER_COLORS):
        return _OTHER_COLORS[number]
    # Neighbours differ most in hue, and the next round of hues in lightness.
    lightness = 0.35 + 0.1 * (number % 3)
    red, green, blue = colorsys.hls_to_rgb(number * _GOLDEN_RATIO % 1, lightness, 0.7)
    return round(255 * red), round(255 * green), round(255 * blue)


def luminance(red: float, green: float, blue: float) -> float:
    """Return the relative luminance of a colour (parts and result 0-1; WCAG 2.1)."""
    parts = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
        for part in (red, green, blue)
    )
    return sum(share * part for share, part in zip((0.2126, 0.7152, 0.0722), parts, strict=True))


def contrast(one: Iterable[float], other: Iterable[float]) -> float:
    """Return the contrast of two colours, RGB of 0-1: from 1 to 21 (WCAG 2.1)."""
    dark, light = sorted((luminance(*one), luminance(*other)))
    return (light + 0.05) / (dark + 0.05)
