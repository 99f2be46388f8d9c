"""Signals that end a program wherever it is."""

from __future__ import annotations

import pytest
from running import posix_only, run_python

IN_A_CALLBACK = """
import os, signal, sys, time, weakref
from emodetect.machine.interrupts import interrupt_on_termination

class Thing: pass

number = getattr(signal, sys.argv[1])
if number == signal.SIGINT:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # whatever started this program
thing = Thing()
reference = weakref.ref(thing, lambda _: (os.kill(os.getpid(), number), time.sleep(0.1)))
with interrupt_on_termination() as received:
    try:
        del thing
        for _ in range(100):
            time.sleep(0.1)
    except KeyboardInterrupt:
        print("interrupted", received)
"""
AT_THE_END = """
import atexit, os, signal, time
from emodetect.machine.interrupts import interrupt_on_termination

@atexit.register
def upload():
    time.sleep(0.5)
    print("uploaded")

@atexit.register
def first():
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(0.1)

with interrupt_on_termination():
    pass
"""


@posix_only
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGINT"])
@pytest.mark.usefixtures("hangups_arrive")
def test_an_interrupt_that_python_discards_is_not_lost(name: str) -> None:
    """Python only prints what is raised in the callback of a weak reference, and goes on."""
    done = run_python(IN_A_CALLBACK, name)
    assert done.stdout.startswith("interrupted"), done.stderr
    assert done.stderr == ""


@posix_only
def test_a_signal_at_the_end_does_not_cut_off_all_clean_up() -> None:
    """As of trackers, which send their last figures then."""
    assert run_python(AT_THE_END).stdout == "uploaded\n"
