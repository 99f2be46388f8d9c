"""The command line as a whole."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner
from pictures import save
from running import posix_only, run_emodetect, run_python

from emodetect import __version__, cli
from emodetect.cli import app
from emodetect.cli.options.source import names_in
from emodetect.cli.tables import print_markdown

ROOT = Path(__file__).parent.parent
PAGES = (ROOT / "README.md", *(ROOT / "docs").glob("*.md"))


def members(group: click.Group) -> Iterator[tuple[str, click.Command]]:
    """Yield the commands of a group, which may import them only when asked."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield name, command


def commands(group: click.Group = app, prefix: str = "") -> Iterator[tuple[str, click.Command]]:
    """Yield every command with its full name."""
    for name, command in members(group):
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


def test_output_takes_a_file_name_in_any_alphabet(tmp_path: Path) -> None:
    """Where output has an encoding with few letters, as pipes on Windows, no name ends the run."""
    (tmp_path / "снимок.jpg").write_bytes((ROOT / "docs" / "scene.jpg").read_bytes())
    latin = {**os.environ, "PYTHONIOENCODING": "cp1252"}
    done = run_emodetect("predict", "снимок.jpg", "--format", "csv", cwd=tmp_path, env=latin)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) > 1


@posix_only
def test_a_deleted_current_folder_is_named(tmp_path: Path) -> None:
    """The error is not just "No such file or directory", as if a file of the user were missing."""
    (tmp_path / "gone").mkdir()
    code = (
        "import os, sys; os.rmdir('../gone'); sys.argv = ['emodetect', 'data', 'show', '.'];"
        "from emodetect.cli import main; main()"
    )
    # Without the current folder in sys.path, as the console script is started.
    done = run_python(code, cwd=tmp_path / "gone", env={**os.environ, "PYTHONSAFEPATH": "1"})
    assert (done.returncode, done.stdout) == (1, "")
    expected = "error: the current folder has been deleted; change to another one (cd).\n"
    assert done.stderr == expected


def test_a_library_that_cannot_be_loaded_is_one_line(tmp_path: Path) -> None:
    """As in a slim container; the doctor, which needs none, knows what is missing there."""
    (tmp_path / "cv2.py").write_text("raise ImportError('libGL.so.1: cannot open shared object')")
    paths = os.pathsep.join([str(tmp_path), str(Path(cli.__file__).parents[2])])
    done = run_emodetect("predict", "a.jpg", env={**os.environ, "PYTHONPATH": paths})
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "error: a library cannot be loaded: libGL.so.1: cannot open shared object. "
        "`emodetect doctor` says which one, and how to repair it.\n"
    )


def test_a_backend_that_matplotlib_lacks_ends_no_command() -> None:
    """An old setting for windows does not matter, since no command opens one with Matplotlib."""
    code = (
        "import sys; from emodetect.cli import main; sys.argv = ['emodetect', '--version']\n"
        "try: main()\nexcept SystemExit: import matplotlib.figure"
    )
    done = run_python(code, env={**os.environ, "MPLBACKEND": "Qt4Agg"})
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("happy,sad", ("happy", "sad")),
        ('"a, b", sad', ("a, b", "sad")),
        ("happy\nsad\n", ("happy", "sad")),
        ("happy\r\nsad,angry\r\n", ("happy", "sad", "angry")),
        ("", ("",)),
    ],
)
def test_names_are_in_a_line_or_one_per_line(text: str, names: tuple[str, ...]) -> None:
    """Also as `--classes "$(cat classes.txt)"` gives them."""
    assert names_in(text) == names


def test_a_name_that_no_table_holds_is_a_usage_error() -> None:
    """The limit of Python's reader is no traceback."""
    with pytest.raises(click.UsageError, match="expected names, as in happy,sad: field larger"):
        names_in("a" * 131_073)


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
        "cli.app = lambda words: logging.getLogger('emodetect.data').info('took 3 images')\n"
        "cli.main()"
    )
    done = run_python(program)
    assert done.returncode == 0, done.stderr
    assert done.stderr == "took 3 images\n"


def test_log_lines_come_where_decoders_are_kept_quiet(tmp_path: Path) -> None:
    """What is not read is said on the real stderr, from which C++ libraries are kept away."""
    for name in ("happy", "sad"):
        (tmp_path / "faces" / name).mkdir(parents=True)
        for number in range(12):
            image = np.random.default_rng([number, len(name)]).integers(0, 256, (48, 48))
            save(tmp_path / "faces" / name / f"{number}.png", image.astype(np.uint8))
    (tmp_path / "faces" / "sad" / "notes.png").write_text("hello")
    (tmp_path / "faces" / "sad" / "raw.cr2").touch()
    words = ("data", "split", "faces", "--output", "faces.csv")
    done = run_emodetect(*words, cwd=tmp_path, env={**os.environ, "XDG_CACHE_HOME": str(tmp_path)})
    assert done.returncode == 0, done.stderr
    assert "left out 1: .cr2" in done.stderr
    assert "skipped faces/sad/notes.png: not an image" in done.stderr


def groups(group: click.Group = app, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the words of every group of commands."""
    yield words
    for name, command in members(group):
        if isinstance(command, click.Group):
            yield from groups(command, (*words, name))


@pytest.mark.parametrize("words", list(groups()), ids=" ".join)
@pytest.mark.parametrize("width", [80, 60])
def test_no_description_is_cut_off(words: tuple[str, ...], width: int) -> None:
    """The list of commands ends no line in "...", also on a narrow terminal."""
    result = CliRunner().invoke(app, [*words, "--help"], terminal_width=width)
    assert result.exit_code == 0
    listed = result.stdout.partition("Commands:")[2]
    assert listed
    assert "..." not in listed
    assert all(len(line) <= width for line in listed.splitlines())


@pytest.mark.parametrize(("name", "command"), list(commands()), ids=lambda item: str(item))
def test_one_name_for_one_thing(name: str, command: click.Command) -> None:
    """Where results go is --output, and the form they are printed or listed in is --format."""
    names = {one for option in command.params for one in option.opts}
    assert not names & {"--out", "--output-format"}
    help = CliRunner().invoke(app, [*name.split(), "--help"]).stdout
    assert "--out " not in help
    assert "--output-format" not in help
    for option in command.params:
        if "--format" in option.opts:
            assert {"table", "json"} <= set(option.type.choices)


@pytest.mark.parametrize(
    "words",
    [
        ["evaluate", "--out", "a.html"],
        ["compare", "a", "b", "--out", "a.html"],
        ["data", "audit", "a", "--out=a.html"],
        ["data", "show", "a", "--out", "a.html"],
        ["data", "split", "a", "--out", "a.html"],
        ["config", "write", "demo", "--out", "a.html"],
        ["demo", "--out", "a.html"],
    ],
    ids=lambda words: " ".join(words[:2]),
)
def test_the_old_name_of_output_still_works(words: list[str]) -> None:
    """--out reaches --output, which refuses this value, and a line says what it is called now."""
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 2
    assert "Invalid value for '--output': expected a" in result.stderr
    assert result.stderr.startswith("note: --out is now --output; ")
    assert result.stdout == ""
    both = CliRunner().invoke(app, [*words, "--output", "b"])
    assert "give only --output" in both.stderr


def test_the_old_names_of_export_still_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--format FORMAT, --output-format and --out export as before, with a note for each."""
    monkeypatch.chdir(tmp_path)
    words = ["export", "--format", "onnx", "--out", "a.tflite", "--output-format", "json"]
    for given in (words, ["export", *words[3:], *words[1:3]]):
        result = CliRunner().invoke(app, given)
        assert "expected a file named *.onnx for onnx, got a.tflite" in str(result.exception)
        notes = [line.partition(";")[0] for line in result.stderr.splitlines()]
        assert sorted(notes) == [
            "note: --format is now --to",
            "note: --out is now --output",
            "note: --output-format is now --format",
        ]


@pytest.mark.parametrize(
    "words",
    [
        ["evaluate"],
        ["evaluate", "--model", "ferplus"],
        ["compare", "fer2013", "ferplus"],
        ["data", "audit"],
        ["data", "show"],
        ["data", "split"],
        ["data", "convert"],
        ["train"],
    ],
    ids=" ".join,
)
def test_whoever_gives_no_data_is_asked_for_it(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line asks for labelled images and says what they look like."""
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, words)
    said = result.stderr if result.exit_code == 2 else str(result.exception)
    line = said.strip().splitlines()[-1]
    assert "faces" in line
    assert "a folder of folders named after emotions" in line
    assert "cannot be read" not in said
    assert list(tmp_path.iterdir()) == []


def test_compare_without_anything_says_what_it_compares() -> None:
    """`compare` alone asks for runs or reports."""
    result = CliRunner().invoke(app, ["compare"])
    assert result.exit_code == 2
    assert "expected at least 2 run or report folders" in result.stderr


def test_evaluate_without_anything_names_no_file_of_ours(tmp_path: Path) -> None:
    """What the shipped model was trained on is on no user's disk."""
    result = CliRunner().invoke(app, ["evaluate"])
    assert "expected labelled images" in str(result.exception)
    assert "fer2013" not in str(result.exception)


RAW_NAMES = re.compile(r"^  (-\S+,? )+(TEXT|INTEGER|FLOAT|BOOLEAN|PATH|DIRECTORY|FILENAME)\b")


@pytest.mark.parametrize("words", [*groups(), *(tuple(name.split()) for name, _ in commands())])
def test_help_fits_a_terminal_and_names_its_values(words: tuple[str, ...]) -> None:
    """No line of --help is longer than 80 columns, and no value is called TEXT or INTEGER RANGE."""
    result = CliRunner().invoke(app, [*words, "--help"], terminal_width=80)
    for line in result.stdout.splitlines():
        assert len(line) <= 80, line
        assert not RAW_NAMES.match(line), line


@pytest.mark.parametrize("command", ["train", "tune", "predict", "video", "webcam"])
def test_out_is_corrected_to_output_alone(command: str) -> None:
    """--out has an old meaning or a likely one; --log and --format are not suggested."""
    result = CliRunner().invoke(app, [command, "--out", "x"])
    assert result.exit_code == 2
    assert re.search(r"Did you mean '?--output'?\?", result.stderr)  # click 8.2 has no quotes


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["export"], "expected --to and one of tflite, onnx, saved_model, openvino."),
        (["data", "convert", "a", "b"], "expected --to and one of folder, fer2013_csv, tfrecord."),
        (["data", "split", "faces"], "expected --output FILE.csv: Manifest to write."),
        (["tune", "--data", "faces"], "expected --search KEY=LOW..HIGH|KEY=A,B: A key"),
    ],
)
def test_a_missing_option_is_one_line(words: list[str], expected: str) -> None:
    """The line says which option, its values, and what it is for."""
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 2
    assert expected in result.stderr.splitlines()[-1]


def test_long_descriptions_are_wrapped(monkeypatch: pytest.MonkeyPatch) -> None:
    """What follows a name is indented below itself."""
    monkeypatch.setenv("COLUMNS", "80")
    result = CliRunner().invoke(app, ["config", "list"])
    assert [line for line in result.stdout.splitlines() if len(line) > 80] == []


@pytest.mark.parametrize(
    ("words", "place"),
    [
        (["predict", ""], ""),
        (["data", "crop", "", "crops"], ""),
        (["video", "a.mp4", "--log", ""], "--log: "),
        (["train", "--config="], "--config: "),
    ],
)
def test_an_empty_argument_is_not_the_current_folder(words: list[str], place: str) -> None:
    """An empty argument, as of an unset variable, is refused before anything is read."""
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 2
    assert f"Error: {place}got an empty argument" in result.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["train", "--data", "a", "--data", "b"],
        ["compare", "fer2013", "ferplus", "--data=a", "--data", "b"],
    ],
)
def test_a_second_data_set_is_not_dropped(words: list[str]) -> None:
    """Of an option given twice, click keeps the last; a model would lack half of its images."""
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 2
    assert f"Error: --data: {words[0]} takes one data set, got 2." in result.stderr
    several = CliRunner().invoke(app, ["evaluate", "--data", "nowhere", "--data", "b"])
    assert "nowhere: no such file" in str(several.exception)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["predict", "a.jpg", "--max-pixels", "0.5"], "from 1 to 1000, got 0.5"),
        (["serve", "--port", "70000"], "from 0 to 65535, got 70000"),
        (["video", "a.mp4", "--every", "0"], "of at least 1, got 0"),
    ],
)
def test_a_number_out_of_bounds_is_told_in_words(words: list[str], expected: str) -> None:
    """An error names what is expected, not what a library calls the type."""
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 2
    assert f"expected a whole number {expected}" in result.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["predict", "a.jpg", "--format", "csv", "--output", "-"],
        ["video", "a.mp4", "--log", "-"],
        ["export", "--to", "onnx", "--output", "-"],
    ],
)
def test_no_file_is_called_like_standard_output(words: list[str]) -> None:
    """`-` is the list on standard input; as an output, it is refused, and no file is made."""
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 2
    assert "expected the name of a file, got -" in result.stderr


def test_markdown_is_laid_out_on_a_terminal_only(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A pipe gets the card as it is; a terminal gets its tables with aligned columns."""
    card = "# Title\n\n| name | value |\n| --- | --- |\n| a | 1 |\n"
    print_markdown(card)
    assert capsys.readouterr().out == card
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    print_markdown(card)
    shown = capsys.readouterr().out
    assert "|" not in shown
    assert "Title" in shown
    assert "# Title" not in shown


def test_predict_gets_its_patterns_as_they_are_on_windows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """There click would expand IMG[1].jpg to IMG1.jpg; the home folder and variables are wanted."""
    words = ["predict", "IMG[1].jpg", "albums/**/*.jpg", "~/photos", "$ALBUM/a.jpg"]
    monkeypatch.setattr("sys.argv", ["emodetect", *words])
    assert cli._words() is None
    monkeypatch.setattr("sys.platform", "win32")
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, "/home/anna")
    monkeypatch.setenv("ALBUM", "2026")
    assert cli._words() == [*words[:3], "/home/anna/photos", "2026/a.jpg"]
    monkeypatch.setattr("sys.argv", ["emodetect", "video", "*.mp4"])
    assert cli._words() is None
