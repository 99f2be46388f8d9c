"""A server that finishes what is in progress before it ends."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Iterator
from types import FrameType

import uvicorn
from uvicorn.server import HANDLED_SIGNALS

from emodetect.machine.interrupts import HANGUPS, handled
from emodetect.serve.process.memory import trim_memory
from emodetect.serve.routes import Services

# After large photos, the gaps between smaller blocks are given back too, once no request is open.
TRIM_EVERY_TICKS = 50  # of 0.1 s


class DrainingServer(uvicorn.Server):
    """Drains after the first signal; the next one has its usual effect."""

    def __init__(
        self,
        config: uvicorn.Config,
        services: Services,
        seconds: float,
        announce: Callable[[str], None],
    ) -> None:
        super().__init__(config)
        self.drain, self.analysis = services.drain, services.analysis
        self.seconds, self.announce = seconds, announce
        self.signal: int | None = None

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """As uvicorn's, which knows no SIGHUP, that of a terminal that is closed."""
        with handled(HANGUPS, self.handle_exit), super().capture_signals():
            yield

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Note the first signal, for the event loop."""
        self.signal = self.signal or sig
        for one in HANDLED_SIGNALS:
            signal.signal(one, signal.SIG_DFL)

    async def on_tick(self, counter: int) -> bool:
        """Return whether to stop; called every 0.1 s."""
        memory = self.analysis.memory
        if counter % TRIM_EVERY_TICKS == 0 and memory.was_large and not self.analysis.taken_on:
            memory.was_large = False
            await asyncio.to_thread(trim_memory)
        if self.signal is not None and not self.drain.begun.is_set():
            if self.drain.in_work:
                self.announce(
                    "shutting down: requests and streams in progress: "
                    f"{len(self.drain.in_work)}, for at most {self.seconds:g} s "
                    "(a second signal stops at once)"
                )
            self.drain.begin(self.seconds)
        return await super().on_tick(counter) or self.drain.is_over
