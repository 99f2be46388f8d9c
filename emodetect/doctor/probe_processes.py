"""Run probes in separate processes, because a broken library may end the process it is in."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from emodetect.doctor.finding import Finding, broken
from emodetect.doctor.pip_commands import reinstall_command

ILLEGAL_INSTRUCTION_ON_WINDOWS = 0xC000001D
PROBE_TIMEOUT_S = 120  # TensorFlow from a slow disk with a cold cache


def start_probe(probe: str) -> subprocess.Popen:
    """Start a probe of `probes.PROBES`."""
    parent = str(Path(__file__).parents[2])  # last on the path, for a copy that is not installed
    code = (
        f"import sys; sys.path.append({parent!r})\n"
        f"from emodetect.doctor.probes import main; main({probe!r})"
    )
    return subprocess.Popen(
        [sys.executable, "-P", "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        encoding="utf-8",
    )


def probe_findings(probe: str, process: subprocess.Popen) -> Iterator[Finding]:
    """Wait for a probe and yield its findings; a crash or timeout is a finding too."""
    try:
        output, _ = process.communicate(timeout=PROBE_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        output, _ = process.communicate()
        problem = f"no result within {PROBE_TIMEOUT_S} s"
    else:
        problem = _explain(process.returncode)
    for line in output.splitlines():
        yield Finding(**json.loads(line))
    if problem:
        yield broken(probe, problem, reinstall_command())


def _explain(status: int) -> str:
    """Return what the exit status of a probe means; empty for success."""
    if status == 0:
        return ""
    if status == ILLEGAL_INSTRUCTION_ON_WINDOWS:
        return "a library needs an instruction that this processor lacks, such as AVX"
    if status > 0:
        return f"the check ended with exit status {status}"
    name = signal.Signals(-status).name
    if name == "SIGILL":
        return "a library needs an instruction that this processor lacks (SIGILL), such as AVX"
    return f"a library crashed the process ({name})"
