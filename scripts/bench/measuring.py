"""Time and memory of processes.

The memory of the parent counts towards the peak of a new process, so a script that compares peaks
must not import NumPy or OpenCV. Neither does this module.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click


@dataclass(frozen=True)
class Finished:
    """A process that has ended: what it took, and what it printed.

    Attributes:
        seconds: wall time.
        cpu_s: processor time in all threads, and in processes it waited for.
        peak_bytes: peak memory.
    """

    seconds: float
    cpu_s: float
    peak_bytes: int
    output: str


def run_process(command: Sequence[str | Path], *, accepted: Sequence[int] = (0,)) -> Finished:
    """Run a command to its end.

    Raises ClickException with its error output for an exit status that is not `accepted`.
    """
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        started = time.perf_counter()
        process = subprocess.Popen(command, stdout=output, stderr=errors)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        errors.seek(0)
        if process.returncode not in accepted:
            raise click.ClickException(f"{command}: {errors.read().strip()}")
        cpu_s = usage.ru_utime + usage.ru_stime
        return Finished(seconds, cpu_s, peak_bytes(usage.ru_maxrss), output.read())


def peak_bytes(ru_maxrss: int) -> int:
    """Return getrusage's peak memory in bytes; macOS counts in bytes, Linux in KiB."""
    return ru_maxrss if sys.platform == "darwin" else ru_maxrss * 1024


def memory_bytes(field: str = "VmRSS", *, pid: int | str = "self") -> int | None:
    """Return a memory field of /proc/PID/status; None off Linux, and for a process that ended."""
    status = Path(f"/proc/{pid}/status")
    if not status.is_file():
        return None
    lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
    return int(lines[field].split()[0]) * 1024 if field in lines else None
