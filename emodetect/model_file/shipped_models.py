"""The models that come with the package, and the file that a --model argument stands for."""

from __future__ import annotations

import difflib
import os
from pathlib import Path

from emodetect.errors import ModelError
from emodetect.machine.terminal_text import on_one_line

ASSETS = Path(__file__).parents[1] / "assets"
DEFAULT_MODEL = "fer2013"
# The file of a run folder that holds its model.
RUN_MODEL = "best_model.keras"
SHOWN_NAMES = 5
# The well-known names of the shipped models' training data; their configs name manifests built
# from it.
TRAINED_ON = {"fer2013": "FER2013", "ferplus": "FER2013 with FER+ votes"}


def shipped_models() -> dict[str, Path]:
    """Return the files of the shipped models by name."""
    return {path.stem: path for path in sorted(ASSETS.glob("*.keras"))}


def is_shipped(path: Path) -> bool:
    """Return whether a file is one of the models that come with the package."""
    return shipped_models().get(path.stem) == path


def model_path(name_or_path: str | Path | None) -> Path:
    """Return the file of a model.

    Args:
        name_or_path: the name of a shipped model, a file, or a run folder, which stands for the
            model that was saved there; None for the default model.

    Raises ModelError if it is none of these, or the folder contains no such model.
    """
    shipped = shipped_models()
    name = DEFAULT_MODEL if name_or_path is None else str(name_or_path)
    if name in shipped:
        return shipped[name]
    if os.path.isdir(name):
        return _model_of_run(Path(name))
    if os.path.exists(name):
        path = Path(name)
        # Without its "./", the path of a file may be the name of a shipped model.
        return path.absolute() if str(path) in shipped else path
    near = difflib.get_close_matches(name, shipped)
    hint = f" Did you mean {' or '.join(near)}?" if near else ""
    raise ModelError(
        f"{name}: expected the path of a .keras file, a run folder, or the name of a shipped model "
        f"({', '.join(shipped) or 'this installation has none'}).{hint}"
    )


def _model_of_run(run: Path) -> Path:
    model = run / RUN_MODEL
    if model.is_file():
        return model
    if (run / "config.toml").is_file() and (run / "checkpoints").is_dir():
        raise ModelError(
            f"{run}: training is not finished, so there is no {RUN_MODEL}; finish it with: "
            f"emodetect train --resume {run}"
        )
    raise ModelError(
        f"{run}: expected a run folder with {RUN_MODEL}; this folder {contents_of(run)}."
    )


def contents_of(folder: Path) -> str:
    """Return what a folder contains in words, models first, such as "contains a.keras, b.png"."""
    names = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    names.sort(key=lambda name: not name.endswith(".keras"))
    more = f" and {len(names) - SHOWN_NAMES:,} more" if len(names) > SHOWN_NAMES else ""
    shown = ", ".join(on_one_line(name) for name in names[:SHOWN_NAMES])
    return f"contains {shown}{more}" if names else "is empty"
