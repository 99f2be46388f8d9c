"""One model for many requests: what is asked within a few milliseconds goes through in one run."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from dataclasses import dataclass, field

import numpy as np

from emodetect.recognition.photos.analysis import FACES_AT_ONCE
from emodetect.recognition.runtimes.runtime import MAX_BATCH, Runtime

# How long the first face waits for others; finding one in a photo takes some ten times as long.
LONGEST_WAIT_S = 0.003


@dataclass(frozen=True)
class _Question:
    """A batch, (n, size, size, channels) float32, and where its answer will be."""

    batch: np.ndarray
    answer: Future[np.ndarray] = field(default_factory=Future)


class GatheringRuntime:
    """A runtime that any number of threads may use at once; one thread of its own runs the model.

    Args:
        runtime: the model, for this object alone from now on.
        wait_s: how long the first batch waits for others, unless there are enough.
    """

    def __init__(self, runtime: Runtime, *, wait_s: float = LONGEST_WAIT_S) -> None:
        self.runtime, self.wait_s = runtime, wait_s
        self.waiting: list[_Question] = []
        self.changed = threading.Condition()
        self.closed = False
        self.thread = threading.Thread(target=self._work, name="model", daemon=True)
        self.thread.start()

    def submit(self, batch: np.ndarray) -> Future[np.ndarray]:
        """Return what will be the answer of `run`, or the error that it raises."""
        question = _Question(batch)
        with self.changed:
            if self.closed:
                raise RuntimeError("the model is closed")
            self.waiting.append(question)
            self.changed.notify()
        return question.answer

    def run(self, batch: np.ndarray) -> np.ndarray:
        """Return (n, classes) float32 for (n, size, size, channels) float32 in 0-255."""
        return self.submit(batch).result()

    def close(self) -> None:
        """Answer what was asked, and end the thread."""
        with self.changed:
            self.closed = True
            self.changed.notify()
        self.thread.join()

    def _work(self) -> None:
        while (questions := self._take()) is not None:
            try:
                answers = self._run(questions)
            except Exception as error:  # belongs to who asked
                for question in questions:
                    question.answer.set_exception(error)
            else:
                for question, answer in zip(questions, answers, strict=True):
                    question.answer.set_result(answer)

    def _take(self) -> list[_Question] | None:
        """Wait for questions, and a little longer for more; None after the last one."""
        with self.changed:
            self.changed.wait_for(lambda: self.waiting or self.closed)
            self.changed.wait_for(self._are_enough, self.wait_s)
            taken, self.waiting = self.waiting, []
        if not taken:
            return None
        # Of those that nobody waits for any more the model is spared.
        return [one for one in taken if one.answer.set_running_or_notify_cancel()]

    def _are_enough(self) -> bool:
        return self.closed or sum(len(one.batch) for one in self.waiting) >= FACES_AT_ONCE

    def _run(self, questions: list[_Question]) -> list[np.ndarray]:
        if not questions:
            return []
        batch = np.concatenate([one.batch for one in questions])
        answers = np.concatenate(
            [
                self.runtime.run(batch[start : start + MAX_BATCH])
                for start in range(0, len(batch), MAX_BATCH)
            ]
        )
        ends = np.cumsum([len(one.batch) for one in questions])
        return np.split(answers, ends[:-1])
