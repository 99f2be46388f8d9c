"""The command line: each command checks its options, calls one function and prints."""

from __future__ import annotations

import atexit
import gc
import io
import logging
import os
import signal
import sys
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn

import click

from emodetect.errors import EmodetectError, OptionsError, first_line
from emodetect.machine.interrupts import interrupt_on_termination
from emodetect.machine.quiet_libraries import is_stderr, lossy_stream
from emodetect.machine.terminal_text import on_one_line, shell_command

# In the order of --help; each is a function of the module of its name.
COMMANDS = (
    *("train", "tune", "evaluate", "compare", "predict", "webcam", "video", "export", "serve"),
    *("models", "bench", "data", "config", "demo", "doctor"),
)
STDERR = 2
# As shells call the exit status of a program that Ctrl-C ended.
INTERRUPTED = 128 + signal.SIGINT


# What takes a file that is no video, by its suffix; others are photos, or folders of photos.
TAKES_FILE = {
    ".csv": "data show",
    ".tfrecord": "data show",
    ".toml": "train --config",
    ".keras": "models show",
}
SHOWN_FILES = 3

# What `pip install` calls the modules that a slim installation, as in the Dockerfile, may lack.
PACKAGES = {
    "tensorflow": "tensorflow keras",
    "keras": "tensorflow keras",
    "matplotlib": "matplotlib",
    "scipy": "scipy",
    "sklearn": "scikit-learn",
    "optuna": '"emodetect[tune]"',
}


class _Commands(click.Group):
    """The commands, each imported when it is needed.

    Whoever begins with a file is told which of them takes it.
    """

    def list_commands(self, context: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        return _load(name) if name in COMMANDS else None

    def resolve_command(
        self, context: click.Context, words: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if not context.resilient_parsing:
            _check_not_empty(words, context)
        unknown = self.get_command(context, words[0]) is None and not context.resilient_parsing
        if unknown and (command := _taking(Path(words[0]))):
            more = " ..." if len(words) > SHOWN_FILES else ""
            given = shell_command(*words[:SHOWN_FILES]) + more
            _fail(
                f"{words[0]!r} is not a command; did you mean: emodetect {command} {given}",
                status=2,
            )
        if unknown:
            self.commands = {name: _load(name) for name in COMMANDS}  # of which one may be meant
        resolved = super().resolve_command(context, words)
        _, chosen, rest = resolved
        if chosen is not None and not context.resilient_parsing:
            _check_one_data_set(chosen, rest, context)
        return resolved

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except (KeyboardInterrupt, click.Abort):
            click.echo("interrupted", err=True)
            sys.exit(INTERRUPTED)
        except OptionsError as error:
            _fail(str(error), status=2)
        except click.NoSuchOption as error:
            # --out means --output, not --log, which is no further from it in letters.
            begun = [
                name for name in error.possibilities or () if name.startswith(error.option_name)
            ]
            if not begun:
                raise
            raise click.NoSuchOption(
                error.option_name, possibilities=begun, ctx=error.ctx
            ) from None
        except click.MissingParameter as error:
            if not isinstance(error.param, click.Option):
                raise
            raise click.UsageError(f"expected {_in_words(error.param)}", error.ctx) from None


def _check_not_empty(words: list[str], context: click.Context) -> None:
    """Raise click.UsageError for an empty argument, which as a path is the current folder."""
    for before, word in pairwise(["", *words]):
        option = word.removesuffix("=") if word else before
        if not word or (option != word and option.startswith("--") and "=" not in option):
            place = f"{option}: " if option.startswith("--") else ""
            raise click.UsageError(
                f"{place}got an empty argument; is it a variable of the shell that is not set?",
                context,
            )


def _check_one_data_set(command: click.Command, words: list[str], context: click.Context) -> None:
    """Raise click.UsageError for a second --data of a command that takes one, which click drops."""
    takes_one = any("--data" in option.opts and not option.multiple for option in command.params)
    given = sum(word.partition("=")[0] == "--data" for word in words)
    if takes_one and given > 1:
        raise click.UsageError(f"--data: {command.name} takes one data set, got {given}.", context)


def _load(name: str) -> click.Command:
    command: click.Command = getattr(import_module(f"emodetect.cli.{name}"), name)
    return command


def _in_words(option: click.Option) -> str:
    """Return how an option is given, and what it is for."""
    name = option.opts[0]
    if isinstance(option.type, click.Choice):
        return f"{name} and one of {', '.join(option.type.choices)}."
    return f"{name} {option.metavar}: {option.help}"


def _taking(path: Path) -> str | None:
    """Return the command that takes a file or folder; None for a word that is neither."""
    from emodetect.images.formats import has_image_suffix, has_video_suffix

    if has_video_suffix(path):
        return "video"
    there = os.path.exists(path)
    command = TAKES_FILE.get(path.suffix.lower(), "predict")
    return command if there or has_image_suffix(path) else None


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="emodetect", prog_name="emodetect")
def app() -> None:
    """Train, evaluate and run facial emotion recognition on your own machine."""


class _PlainLines(logging.Handler):
    """Prints log messages on stderr, whatever it is at the moment: see `quiet_libraries`."""

    def emit(self, record: logging.LogRecord) -> None:
        # Names of files in a message may hold control codes of a terminal.
        lines = self.format(record).split("\n")
        click.echo("\n".join(map(on_one_line, lines)), err=True)


def main() -> None:
    """Run the command line; user errors end with a one-line message and exit status 1.

    So does a library that is not installed and that only some commands need.
    """
    # Python's last search for unused objects takes longer than to classify a face; everything goes
    # with the process anyway. Registered first, so it runs after the other functions.
    atexit.register(gc.freeze)
    # No command opens a window with Matplotlib, which refuses a name it does not know.
    os.environ["MPLBACKEND"] = "agg"
    _prepare_streams()
    logger = logging.getLogger("emodetect")
    logger.addHandler(_PlainLines())
    logger.setLevel(logging.INFO)
    logger.propagate = (
        False  # TensorFlow adds a handler to the root logger, which would repeat them
    )
    with interrupt_on_termination() as received:
        _run(received)


def _run(received: list[int]) -> None:
    """Run the command; `received` holds the signal that has ended it, if one has."""
    try:
        app(_words())
    except SystemExit as end:
        if received and end.code == INTERRUPTED:
            raise SystemExit(128 + received[0]) from None
        raise
    except EmodetectError as error:
        _fail(str(error))
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in PACKAGES:
            raise
        _fail(
            f"this needs {missing}, which is not installed. Install it: pip install "
            f"{PACKAGES[missing]}"
        )
    except ImportError as error:  # a library that is installed, but lacks something itself
        if (error.name or "").partition(".")[0] == "emodetect":
            raise
        _fail(
            f"a library cannot be loaded: {first_line(error).rstrip('.')}. `emodetect doctor` says "
            "which one, and how to repair it."
        )
    except OSError as error:  # a disk, folder or permission problem that no module handled
        try:
            Path.cwd()
        except FileNotFoundError:
            _fail("the current folder has been deleted; change to another one (cd).")
        place = f"{error.filename}: " if error.filename else ""
        # Python's words if it finds no folder for temporary files.
        hint = "; set TMPDIR to a writable folder" if "temporary directory" in str(error) else ""
        _fail(f"{place}{error.strerror or error}{hint}")


def _words() -> list[str] | None:
    """Return the words of predict on Windows; None for click's own.

    There click expands what other shells do, also the patterns that predict takes as they are.
    """
    if sys.platform != "win32" or sys.argv[1:2] != ["predict"]:
        return None
    return [os.path.expanduser(os.path.expandvars(word)) for word in sys.argv[1:]]  # noqa: PTH111


def _prepare_streams() -> None:
    """Let the standard streams take every file name, and no failing stderr end the work.

    Closed ones, with which some services start programs, go to /dev/null. Otherwise the next file
    opened would get the stream's number, and with it what C++ libraries print. On Windows, output
    to a pipe or file would have the system's code page; ours is UTF-8.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= STDERR:
        pass
    os.close(descriptor)
    sys.stdout = sys.stdout or Path(os.devnull).open("w")  # noqa: SIM115
    sys.stderr = sys.stderr or Path(os.devnull).open("w")  # noqa: SIM115
    file = getattr(sys.stderr, "buffer", None)
    # A Windows console is not such a file.
    if is_stderr(sys.stderr) and type(getattr(file, "raw", file)) is io.FileIO:
        sys.stderr = lossy_stream(STDERR, encoding=sys.stderr.encoding, close=False)
    own_choice = "PYTHONIOENCODING" in os.environ
    for stream in (sys.stdout, sys.stderr):
        windows = sys.platform == "win32"
        if isinstance(stream, io.TextIOWrapper) and (windows or stream.errors == "strict"):
            encoding = "utf-8" if windows and not own_choice else None
            stream.reconfigure(encoding=encoding, errors="backslashreplace")


def _fail(message: str, *, status: int = 1) -> NoReturn:
    click.secho("error: ", fg="red", bold=True, nl=False, err=True)
    click.echo(message, err=True)
    sys.exit(status)
