"""Try files of others in a process of their own, before a native library opens them in ours.

A damaged or forged network can end the process that opens it: LiteRT, OpenCV and HDF5 are native
code, and do not check everything. This finds files that crash; it is no protection against one that
was built to exploit a bug, since the trial opens it too.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from emodetect.machine.computer import cache_root, installed_version, python_program
from emodetect.machine.interrupts import how_it_ended

# A network of 150 layers takes 2 s on one core, VGG16's 553 MB of weights 3 s.
LONGEST_TRIAL_S = 60
_STARTED, _SURVIVED = b"emodetect's trial has started", b"survived"
_PROGRAM = "import sys; sys.path[:] = {path!r}; from {module} import main; main()"


def how_it_crashes(
    function: Callable[..., object], *arguments: Any, content: bytes | str, library: str
) -> str | None:
    """Call a function in another process, once for each content and version of a library.

    Args:
        function: of a module, called with `arguments`; it may raise, since what opens the file
            here will then raise the same.
        content: what the file holds, or its hash; if it was survived once, it is not tried again.
        library: the package that opens it, as pip names it.

    Returns:
        None if the process survived, or none could be started here; else how it ended, such as
        "Segmentation fault".
    """
    key = hashlib.sha256(
        f"{function.__module__} {function.__qualname__} {installed_version(library)} ".encode()
        + (content.encode() if isinstance(content, str) else content)
    ).hexdigest()
    mark = cache_root() / "tried" / key
    with suppress(OSError):
        if mark.exists():
            return None
    end = _end_of((function, arguments))
    if end is None:
        with suppress(OSError):  # without a cache it is tried again
            mark.parent.mkdir(parents=True, exist_ok=True)
            mark.touch()
    return end or None


def _end_of(call: tuple[Callable[..., object], Sequence[Any]]) -> str | None:
    """Return how the trial of a call ended, None if it survived, "" if there was none."""
    program = _PROGRAM.format(path=sys.path, module=__name__)
    python = python_program()
    if python is None:
        return ""
    try:
        done = subprocess.run(
            [python, "-c", program],
            input=pickle.dumps(call),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=LONGEST_TRIAL_S,
            # What is read outside the file's own memory is more likely to crash here than later.
            env={**os.environ, "MALLOC_PERTURB_": "165"},
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        end, said = f"no end within {LONGEST_TRIAL_S} seconds", error.stdout or b""
    except OSError:
        return ""
    else:
        end, said = how_it_ended(done.returncode), done.stdout
    if said.endswith(_SURVIVED):
        return None
    # The end of another program, in which Python is embedded, says nothing.
    return end if _STARTED in said else ""


def main() -> None:
    """Make the call that stands on standard input."""
    sys.stdout.buffer.write(_STARTED)
    sys.stdout.flush()
    # From `_end_of` in the parent process, never from the file that is tried.
    function, arguments = pickle.load(sys.stdin.buffer)  # nosec B301
    with suppress(Exception):
        function(*arguments)
    sys.stdout.buffer.write(_SURVIVED)
