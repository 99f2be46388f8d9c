"""The shape of the code: which part may import which, and what stays out of quick commands."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
from running import run_python

import emodetect
from emodetect.model_file.shipped_models import DEFAULT_MODEL, shipped_models

PACKAGE = Path(emodetect.__file__).parent
# From the lowest room to the highest: each may use those before it.
ROOMS = (
    "errors",
    "emotions",
    "number_format",
    "notebook",
    "machine",
    "images",
    "config",
    "model_file",
    "faces",
    "data",
    "recognition",
    "training",
    "evaluation",
    "auditing",
    "reports",
    "tuning",
    "exporting",
    "serve",
    "doctor",
    "api",
    "cli",
)
HEAVY = ("tensorflow", "keras", "matplotlib", "sklearn", "scipy")


def imports_of(path: Path) -> set[str]:
    """Return every emodetect module that a file imports, at any level, but for type checkers."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found


def room_of(module: str) -> str | None:
    """Return the room that a module of the package lies in; None for others and the front door."""
    names = module.split(".")
    return names[1] if names[0] == "emodetect" and len(names) > 1 and names[1] in ROOMS else None


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE))
)
def test_imports_go_one_way(path: Path) -> None:
    """A module imports only its own room and those below, so that no room drags in another."""
    if path in (PACKAGE / "__main__.py", PACKAGE / "__init__.py"):  # the doors to the rest
        return
    own = path.relative_to(PACKAGE).with_suffix("").parts[0]
    for module in imports_of(path):
        room = room_of(module)
        assert room is None or ROOMS.index(room) <= ROOMS.index(own), f"{path.name} uses {module}"


def test_no_import_circle() -> None:
    """No module imports itself by way of others, at the top or inside a function."""
    modules = {_module_name(path): path for path in PACKAGE.rglob("*.py")}
    uses = {name: imports_of(path) & modules.keys() - {name} for name, path in modules.items()}
    # A package that is only the way to a module inside it is not what is imported.
    uses = {
        name: {one for one in used if not any(other.startswith(f"{one}.") for other in used)}
        for name, used in uses.items()
    }
    list(TopologicalSorter(uses).static_order())  # raises CycleError


def _module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@pytest.mark.parametrize(
    "folder",
    sorted({path.parent for path in PACKAGE.rglob("*.py")}),
    ids=lambda folder: str(folder.relative_to(PACKAGE)),
)
def test_a_newcomer_finds_a_module_by_its_folder(folder: Path) -> None:
    """A folder says in a sentence what lives in it, and holds at most a dozen modules."""
    assert ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8")))
    if folder != PACKAGE / "cli":  # a file for each command
        assert len(list(folder.glob("*.py"))) <= 12


def test_only_the_learn_flow_imports_tensorflow_on_loading() -> None:
    """TensorFlow and Keras are imported at module level only where training needs them."""
    users = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            modules: list[str] = []
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                modules = [node.module or ""]
            if any(module.split(".")[0] in ("tensorflow", "keras") for module in modules):
                users.add(path.relative_to(PACKAGE).as_posix())
    assert all(
        user.startswith("training/") or user in ("data/augmentation.py", "data/batches.py")
        for user in users
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["predict", "--help"],
        ["webcam", "--help"],
        ["video", "--help"],
        ["bench", "--help"],
        ["evaluate", "--help"],
        ["compare", "--help"],
        ["doctor", "--help"],
        ["export", "--help"],
        ["serve", "--help"],
        ["tune", "--help"],
        ["config", "list"],
        ["models"],
        ["models", "show", DEFAULT_MODEL],
        ["models", "show", str(shipped_models()[DEFAULT_MODEL])],
    ],
)
def test_quick_commands_import_nothing_heavy(arguments: list[str]) -> None:
    """Help and lists appear at once because no heavy library is loaded for them."""
    code = (
        "import sys\nfrom emodetect.cli import app\n"
        f"app({arguments!r}, standalone_mode=False)\n"
        f"loaded = [name for name in {HEAVY!r} if name in sys.modules]\n"
        "assert not loaded, loaded"
    )
    done = run_python(code)
    assert done.returncode == 0, done.stderr


def test_the_public_names_are_listed_and_loaded_on_first_use() -> None:
    """dir() shows what the package exports; importing it loads none of it."""
    code = (
        "import sys, emodetect\n"
        "assert dir(emodetect) == sorted(emodetect.__all__)\n"
        "assert not {'os', 'annotations', 'TYPE_CHECKING'} & set(dir(emodetect))\n"
        f"loaded = [name for name in (*{HEAVY!r}, 'cv2', 'numpy') if name in sys.modules]\n"
        "assert not loaded, loaded\n"
        "from emodetect import EmotionRecognizer, __version__, read_image\n"
        "assert callable(read_image)\n"
    )
    done = run_python(code)
    assert done.returncode == 0, done.stderr
