"""Kill each command that writes at random moments, and run it again until it is done.

\b
    python scripts/stress/kills.py
    python scripts/stress/kills.py --only "predict csv" --tries 5

After SIGKILL nothing half-written may be under a final name; a second run, with --resume or
--force, must give what an undisturbed run gives. Exit status 1 if anything failed.
"""

from __future__ import annotations

import random
import shutil
import tempfile
import time
from pathlib import Path

import click
from commands import Command, Inputs, difference, files_in, start
from tally import Tally

LONGEST_S = 300


def run(command: Command, out: Path, scratch: Path, *, again: bool = False) -> None:
    """Run a command to its end. Raises AssertionError if it fails."""
    words = [*command.words(out), *(command.again if again else ())]
    process = start(words, scratch)
    _, errors = process.communicate(timeout=LONGEST_S)
    assert process.returncode == 0, f"{words}: status {process.returncode}: {errors[-500:]}"


def kill(command: Command, out: Path, scratch: Path, after_s: float) -> None:
    """Start a command, and kill it after a time."""
    process = start(command.words(out), scratch)
    time.sleep(after_s)
    process.kill()
    process.communicate()


def check_left(command: Command, out: Path, whole: Path) -> None:
    """Raise AssertionError if anything half-written is under its final name."""
    expected = files_in(whole)
    for name, path in files_in(out).items():
        if name in command.leaves:
            continue
        assert name in expected, f"{name} is left"
        grows = path.name in command.grows
        wrong = difference(path, expected[name], may_be_shorter=grows)
        assert wrong is None, f"{name} {wrong} after the kill"


def check_result(out: Path, whole: Path) -> None:
    """Raise AssertionError unless two runs gave the same."""
    found, expected = files_in(out), files_in(whole)
    assert found.keys() == expected.keys(), f"{found.keys() ^ expected.keys()}"
    for name, path in found.items():
        wrong = difference(path, expected[name])
        assert wrong is None, f"{name} {wrong} in the end"


def try_command(name: str, command: Command, tries: int, scratch: Path, tally: Tally) -> None:
    """Kill a command at random moments within the time that it takes."""
    whole, out = scratch / "whole", scratch / "killed"
    whole.mkdir()
    started = time.monotonic()
    run(command, whole, scratch)
    length_s = time.monotonic() - started
    for _ in range(tries):
        out.mkdir()
        after_s = random.uniform(0, length_s)
        with tally.attempt(name, f"killed after {after_s:.2f} s"):
            kill(command, out, scratch, after_s)
            check_left(command, out, whole)
            run(command, out, scratch, again=True)
            check_result(out, whole)
        shutil.rmtree(out)
    shutil.rmtree(whole)


@click.command(help=__doc__)
@click.option("--only", multiple=True, help="The name of a command. [default: all]")
@click.option("--tries", type=click.IntRange(1), help="Kills of each command.")
@click.option("--seed", default=0, show_default=True)
def main(only: tuple[str, ...], tries: int | None, seed: int) -> None:
    """See the module."""
    random.seed(seed)
    tally = Tally()
    with tempfile.TemporaryDirectory(prefix="emodetect-stress-") as folder:
        scratch = Path(folder)
        for name, command in Inputs.draw(scratch).commands().items():
            if not only or name in only:
                try_command(name, command, tries or command.kills, scratch, tally)
                print(f"{name}: {tally.failed} failures so far", flush=True)
    tally.finish()


if __name__ == "__main__":
    main()
