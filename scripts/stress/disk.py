"""Run each command that writes where files can only have a few bytes, as on a full disk.

\b
    python scripts/stress/disk.py
    python scripts/stress/disk.py --only "predict csv" --only "video log"

The system's limit on the size of a file stands for the disk: a write beyond it fails in the same
way. A command must end with one line and status 1, or be done; what is under a final name must be
whole; files that grow row by row hold whole rows of the same. Exit status 1 if anything failed.
"""

from __future__ import annotations

import resource
import shutil
import tempfile
from functools import partial
from pathlib import Path

import click
from commands import Command, Inputs, difference, files_in, start
from tally import Tally

BYTES = (0, 500, 3_000, 30_000, 300_000)
LONGEST_S = 300


def run_limited(command: Command, out: Path, scratch: Path, most: int | None) -> tuple[int, str]:
    """Run a command; return its status and what it says on stderr.

    Args:
        most: the most bytes that a file may have.
    """
    out.mkdir()
    limit = None
    if most is not None:
        limit = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (most, most))
    process = start(command.words(out), scratch, preexec_fn=limit)
    _, errors = process.communicate(timeout=LONGEST_S)
    return process.returncode, errors


def check_limited(command: Command, out: Path, whole: Path, status: int, errors: str) -> None:
    """Raise AssertionError unless a command ended as it should."""
    assert "Traceback" not in errors, errors[-800:]
    assert status in (0, 1), f"status {status}: {errors[-300:]}"
    told = [line for line in errors.splitlines() if line.startswith("error:")]
    found, expected = files_in(out), files_in(whole)
    if status == 1:
        assert len(told) == 1, f"expected one line, got: {errors[-500:]}"
    else:
        assert found.keys() == expected.keys(), f"done, without {expected.keys() - found.keys()}"
    for name, path in found.items():
        assert name in expected, f"{name} is left"
        grows = status == 1 and (path.name in command.grows or path.suffix == ".mp4")
        wrong = difference(path, expected[name], may_be_shorter=grows)
        assert wrong is None, f"{name} {wrong}; it said: {errors[-300:]}"


def try_command(
    name: str, command: Command, sizes: tuple[int, ...], scratch: Path, tally: Tally
) -> None:
    """Run a command without a limit, and then with each one."""
    whole = scratch / "whole"
    status, errors = run_limited(command, whole, scratch, None)
    assert status == 0, f"without a limit: {errors}"
    for most in sizes:
        out = scratch / "limited"
        with tally.attempt(name, f"at most {most:,} bytes"):
            check_limited(command, out, whole, *run_limited(command, out, scratch, most))
        shutil.rmtree(out)
    shutil.rmtree(whole)


@click.command(help=__doc__)
@click.option("--only", multiple=True, help="The name of a command. [default: all]")
@click.option(
    "--bytes", "sizes", multiple=True, type=int, default=BYTES, show_default=True, metavar="N"
)
def main(only: tuple[str, ...], sizes: tuple[int, ...]) -> None:
    """See the module."""
    tally = Tally()
    with tempfile.TemporaryDirectory(prefix="emodetect-stress-") as folder:
        scratch = Path(folder)
        for name, command in Inputs.draw(scratch).commands().items():
            if not only or name in only:
                try_command(name, command, sizes, scratch, tally)
                print(f"{name}: {tally.failed} failures so far", flush=True)
    tally.finish()


if __name__ == "__main__":
    main()
