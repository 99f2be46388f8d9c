"""The command line: each command checks its options, calls one function and prints."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

import click

from emodetect.cli.bench import bench
from emodetect.cli.compare import compare
from emodetect.cli.config import config
from emodetect.cli.data import data
from emodetect.cli.demo import demo
from emodetect.cli.doctor import doctor
from emodetect.cli.evaluate import evaluate
from emodetect.cli.export import export
from emodetect.cli.models import models
from emodetect.cli.predict import predict
from emodetect.cli.serve import serve
from emodetect.cli.train import train
from emodetect.cli.video import video
from emodetect.cli.webcam import webcam
from emodetect.errors import EmodetectError

STDERR = 2


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="emodetect", prog_name="emodetect")
def app() -> None:
    """Train, evaluate and run facial emotion recognition on your own machine."""


COMMANDS = (
    *(train, evaluate, compare, predict, webcam, video, export, serve),
    *(models, bench, data, config, demo, doctor),
)
for command in COMMANDS:
    app.add_command(command)


def main() -> None:
    """Run the command line; user errors end with a one-line message and exit status 1."""
    _open_closed_streams()
    logger = logging.getLogger("emodetect")
    logger.addHandler(logging.StreamHandler())  # plain lines on stderr
    logger.setLevel(logging.INFO)
    logger.propagate = (
        False  # TensorFlow adds a handler to the root logger, which would repeat them
    )
    try:
        app()
    except EmodetectError as error:
        _fail(str(error))
    except OSError as error:  # a disk, folder or permission problem that no module handled
        place = f"{error.filename}: " if error.filename else ""
        _fail(f"{place}{error.strerror or error}")


def _open_closed_streams() -> None:
    """Redirect closed standard streams, with which some services start programs, to /dev/null.

    Otherwise the next file opened gets the stream's number, and with it what C++ libraries print.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= STDERR:
        pass
    os.close(descriptor)
    sys.stdout = sys.stdout or Path(os.devnull).open("w")  # noqa: SIM115
    sys.stderr = sys.stderr or Path(os.devnull).open("w")  # noqa: SIM115


def _fail(message: str) -> None:
    click.secho("error: ", fg="red", bold=True, nl=False, err=True)
    click.echo(message, err=True)
    sys.exit(1)
