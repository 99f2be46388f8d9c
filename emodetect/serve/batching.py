"""One model for many requests: faces that arrive within a few milliseconds form one batch."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from dataclasses import dataclass, field

import numpy as np

from emodetect.recognition.photos.analysis import FACES_AT_ONCE
from emodetect.recognition.runtimes.runtime import MAX_BATCH, Runtime

# How long the first face waits for others. Finding a face in a photo takes ten times as long.
LONGEST_WAIT_S = 0.003


@dataclass(frozen=True)
class _Job:
    """A batch, (n, size, size, channels) float32, and its future output."""

    batch: np.ndarray
    output: Future[np.ndarray] = field(default_factory=Future)


class BatchingRuntime:
    """A runtime that any number of threads may use at once; its own thread runs the model.

    Args:
        runtime: must not be used elsewhere afterwards.
        wait_s: how long the first batch waits for others, unless there are enough already.
    """

    def __init__(self, runtime: Runtime, *, wait_s: float = LONGEST_WAIT_S) -> None:
        self.runtime, self.wait_s = runtime, wait_s
        self.waiting: list[_Job] = []
        self.changed = threading.Condition()
        self.closed = False
        self.thread = threading.Thread(target=self._work, name="model", daemon=True)
        self.thread.start()

    def submit(self, batch: np.ndarray) -> Future[np.ndarray]:
        """Return a future with the output of `run`, or with the error that it raises."""
        job = _Job(batch)
        with self.changed:
            if self.closed:
                raise RuntimeError("the model is closed")
            self.waiting.append(job)
            self.changed.notify()
        return job.output

    def run(self, batch: np.ndarray) -> np.ndarray:
        """Return (n, classes) float32 for (n, size, size, channels) float32 in 0-255."""
        return self.submit(batch).result()

    def close(self) -> None:
        """Finish the waiting batches, and stop the thread."""
        with self.changed:
            self.closed = True
            self.changed.notify()
        self.thread.join()

    def _work(self) -> None:
        while (jobs := self._take()) is not None:
            try:
                outputs = self._run(jobs)
            except Exception as error:  # for those who wait for it
                for job in jobs:
                    job.output.set_exception(error)
            else:
                for job, output in zip(jobs, outputs, strict=True):
                    job.output.set_result(output)

    def _take(self) -> list[_Job] | None:
        """Wait for jobs, and a little longer for more; return None once closed and empty."""
        with self.changed:
            self.changed.wait_for(lambda: self.waiting or self.closed)
            self.changed.wait_for(self._are_enough, self.wait_s)
            taken, self.waiting = self.waiting, []
        if not taken:
            return None
        # Skip the jobs that nobody waits for any more.
        return [one for one in taken if one.output.set_running_or_notify_cancel()]

    def _are_enough(self) -> bool:
        return self.closed or sum(len(one.batch) for one in self.waiting) >= FACES_AT_ONCE

    def _run(self, jobs: list[_Job]) -> list[np.ndarray]:
        if not jobs:
            return []
        batch = np.concatenate([one.batch for one in jobs])
        outputs = np.concatenate(
            [
                self.runtime.run(batch[start : start + MAX_BATCH])
                for start in range(0, len(batch), MAX_BATCH)
            ]
        )
        ends = np.cumsum([len(one.batch) for one in jobs])
        return np.split(outputs, ends[:-1])
