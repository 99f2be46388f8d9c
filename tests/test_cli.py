"""The command line as a whole."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from running import run_emodetect, run_python, run_without

from emodetect import __version__
from emodetect.cli import app

ROOT = Path(__file__).parent.parent
PAGES = (ROOT / "README.md", *(ROOT / "docs").glob("*.md"))


def commands(group: click.Group = app, prefix: str = "") -> Iterator[tuple[str, click.Command]]:
    """Yield every command with its full name."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}", command


@pytest.mark.parametrize(("name", "command"), list(commands()), ids=lambda item: str(item))
def test_every_command_and_option_has_help(name: str, command: click.Command) -> None:
    """--help explains each command and each of its options."""
    assert command.help
    assert len(command.help) > 30, name
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help or parameter.name == "config_name", f"{name} {parameter.name}"


@pytest.mark.parametrize(("name", "command"), list(commands()), ids=lambda item: str(item))
def test_every_command_stands_in_the_pages(name: str, command: click.Command) -> None:
    """The README or a page that it leads to shows each command."""
    assert any(f"emodetect {name}" in page.read_text(encoding="utf-8") for page in PAGES)


def run(*words: str) -> subprocess.CompletedProcess[str]:
    """Run emodetect as a user does, in a process of its own."""
    return run_emodetect(*words)


def test_module_and_version() -> None:
    """`python -m emodetect --version` is the same program and says its version."""
    done = run("--version")
    assert done.returncode == 0
    assert __version__ in done.stdout


def test_a_users_mistake_is_one_line_and_exit_status_1() -> None:
    """A mistake ends in one clear line on stderr, never in a traceback."""
    done = run("train", "--config", "nothing_like_it")
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert "mobilenetv2_fer2013" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unknown_option_shows_usage_and_exit_status_2() -> None:
    """A wrong option is a usage error, told apart from a failure by its exit status."""
    done = run("predict", "--no-such-option", "a.jpg")
    assert done.returncode == 2
    assert "--no-such-option" in done.stderr


def test_every_source_network_and_detector_can_be_chosen() -> None:
    """What the schema and options offer is what there is: no name is refused or leads nowhere."""
    from typing import get_args

    from emodetect.cli.predict import predict
    from emodetect.config import DataConfig, ModelConfig
    from emodetect.data.readers.registry import READERS
    from emodetect.faces.detectors.registry import DETECTORS
    from emodetect.training.models.registry import BUILDERS

    assert set(get_args(DataConfig.model_fields["source"].annotation)) == set(READERS)
    assert set(get_args(ModelConfig.model_fields["name"].annotation)) == set(BUILDERS)
    (detector,) = (option for option in predict.params if option.name == "detector")
    assert isinstance(detector, click.Option)
    assert all(name in str(detector.help) for name in DETECTORS)


def test_log_lines_come_once() -> None:
    """A handler of the root logger, which TensorFlow sets when it is loaded, repeats no line."""
    program = (
        "import logging; from emodetect import cli; logging.basicConfig()\n"
        "cli.app = lambda: logging.getLogger('emodetect.data').info('took 3 images')\n"
        "cli.main()"
    )
    done = run_python(program)
    assert done.returncode == 0, done.stderr
    assert done.stderr == "took 3 images\n"


@pytest.mark.parametrize(
    "words",
    [
        ("train", "--config", "demo"),
        ("train", "--resume", "{faces}"),
        ("export", "--format", "tflite"),
        ("predict", "{photo}", "--explain", "why"),
        ("predict", "{photo}", "--runtime", "keras"),
        ("predict", "{photo}", "--model", "{model}", "--labels", "bored,tired"),
        ("data", "show", "{faces}"),
        ("data", "convert", "{faces}", "shards", "--to", "tfrecord"),
        ("demo",),
    ],
)
def test_without_tensorflow_a_command_that_needs_it_says_how_to_install_it(
    words: tuple[str, ...], faces: Path, artifact: Path
) -> None:
    """As in the slim Docker image: one line with the pip command, exit status 1, no traceback."""
    photo = next((faces / "happy").iterdir())
    done = run_without(
        ("tensorflow", "keras"),
        *(word.format(faces=faces, photo=photo, model=artifact) for word in words),
        cwd=faces.parent,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    error = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(error) == 1
    assert "pip install tensorflow keras" in error[0]
    assert not (faces.parent / "runs").exists()


@pytest.mark.parametrize(
    "words",
    [
        ("evaluate", "--data", "{faces}", "--out", "report", "--bootstrap", "100"),
        ("data", "audit", "{faces}"),
        ("data", "split", "{faces}", "--out", "splits.csv", "--test", "0.3", "--validation", "0.4"),
        ("predict", "{faces}"),
    ],
)
def test_without_tensorflow_all_else_works(words: tuple[str, ...], faces: Path) -> None:
    """Evaluating and predicting needs LiteRT only; what is left out for its lack is said."""
    named = [word.format(faces=faces) for word in words]
    done = run_without(("tensorflow", "keras"), *named, cwd=faces.parent)
    assert done.returncode == 0, done.stderr
    if words[0] == "evaluate":  # there are no heat maps
        assert "pip install tensorflow keras" in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("module", "package", "words"),
    [
        ("matplotlib", "matplotlib", ("evaluate", "--data", "{faces}")),
        ("matplotlib", "matplotlib", ("video", "none.mp4", "--timeline", "plot.png")),
        ("sklearn", "scikit-learn", ("data", "split", "{faces}", "--out", "splits.csv")),
        ("scipy", "scipy", ("data", "audit", "{faces}")),
    ],
)
def test_any_other_missing_library_is_one_line(
    module: str, package: str, words: tuple[str, ...], faces: Path
) -> None:
    """The line has the name that pip knows the library by."""
    named = [word.format(faces=faces) for word in words]
    done = run_without((module,), *named, cwd=faces.parent)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        f"error: this needs {module}, which is not installed. Install it: pip install {package}"
    )
