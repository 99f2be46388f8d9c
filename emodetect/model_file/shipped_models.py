"""The models that come with the package, and the file of a --model argument."""

from __future__ import annotations

import difflib
import os
from importlib.resources import files
from pathlib import Path

from emodetect.errors import ModelError

DEFAULT_MODEL = "fer2013"
# The well-known names of the shipped models' training data; their configs name manifests built
# from it.
TRAINED_ON = {"fer2013": "FER2013", "ferplus": "FER2013 with FER+ votes"}


def shipped_models() -> dict[str, Path]:
    """Return the files of the shipped models by name."""
    assets = Path(str(files("emodetect"))) / "assets"
    return {path.stem: path for path in sorted(assets.glob("*.keras"))}


def model_path(name_or_path: str | Path | None) -> Path:
    """Return the file of a model: a shipped model by name, the default model for None, or a path.

    Raises ModelError if it is neither a shipped model nor an existing file.
    """
    shipped = shipped_models()
    name = DEFAULT_MODEL if name_or_path is None else str(name_or_path)
    if name in shipped:
        return shipped[name]
    if os.path.exists(name):  # noqa: PTH110  Path.exists raises for some names
        return Path(name)
    near = difflib.get_close_matches(name, shipped)
    hint = f" Did you mean {' or '.join(near)}?" if near else ""
    raise ModelError(
        f"{name}: expected the path of a .keras file or the name of a shipped model "
        f"({', '.join(shipped) or 'this installation has none'}).{hint}"
    )
