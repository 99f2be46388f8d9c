"""Analyse photos in worker processes, each with its own recogniser.

A worker does everything from the file to the result: the classifier takes most of the time, and
two classifiers with one thread each are faster than one with two threads. Little is exchanged
between the processes: the paths of some photos, and their results.

This is not the standard library's ProcessPoolExecutor, nor loky: if a worker dies there, all
pending tasks fail, without a hint which photo caused it; here only that photo's row gets an error.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, wait
from itertools import chain, islice
from queue import Empty, Queue
from typing import IO, Any

import cv2

from emodetect.errors import EmodetectError, ModelError
from emodetect.machine.computer import python_program, usable_cores
from emodetect.machine.interrupts import how_it_ended
from emodetect.recognition.photos.analysis import (
    FACES_AT_ONCE,
    Photo,
    PhotoOptions,
    PhotoResult,
    analyze_photos,
)
from emodetect.recognition.recognizer import EmotionRecognizer

# The results of this few are ready before worker processes would have started.
PHOTOS_WITHOUT_WORKERS = 32
PHOTOS_AT_ONCE = 2 * FACES_AT_ONCE
# Photos per worker that are in progress, or done but not yet consumed: one slow photo must not
# leave the other workers idle.
PHOTOS_IN_FLIGHT = 4 * PHOTOS_AT_ONCE

_Answer = Future[list[PhotoResult]]


def analyze_many(
    photos: Iterable[Photo | None],
    recognizer: EmotionRecognizer,
    options: PhotoOptions | None = None,
    *,
    open_recognizer: Callable[..., EmotionRecognizer],
    workers: int | None = None,
    without_workers: int = PHOTOS_WITHOUT_WORKERS,
) -> Generator[PhotoResult]:
    """Analyse any number of photos, in order, all but the first few in worker processes.

    The results do not depend on the number of workers. If a worker dies, each photo that it was
    given is retried alone; one that kills a worker again gets an error.

    Args:
        photos: see `analyze_photos`. All but the first few are consumed by another thread.
        open_recognizer: opens the same recogniser in a worker, with a keyword `threads`; must be
            picklable, such as `functools.partial(EmotionRecognizer, "model.keras")`.
        workers: number of additional processes; 0 to do all work in this one. If None, the number
            of cores that this process may use, at most 8, or 0 for a single core.
        without_workers: number of photos, the first ones, to analyse in this process; one that
            crashes it ends the run.

    Raises:
        EmodetectError: if a result would overwrite a photo or cannot be written, or a worker
            cannot be started.
    """
    photos, options = iter(photos), options or PhotoOptions()
    if options.explainer is not None:
        workers = 0  # each worker would load TensorFlow
    if workers is None:
        workers = _usual_workers()
    if workers == 0:
        yield from analyze_photos(photos, recognizer, options)
        return
    yield from analyze_photos(islice(photos, without_workers), recognizer, options)
    following = list(islice(photos, 1))
    if not following:
        return
    setup = (open_recognizer, options, recognizer.artifact.identity())
    pool = _Pool(chain(following, photos), setup, workers)
    try:
        while (answer := pool.next_answer()) is not None:
            yield from answer.result()
    finally:
        pool.close()


def _usual_workers() -> int:
    cores = usable_cores()
    return min(cores, 8) if cores > 1 and python_program() is not None else 0


class _Pool:
    """Worker processes, a thread for each, and a thread that distributes the photos.

    `answers` holds the results of the photos in order, and None at the end. It is bounded, which
    limits the number of photos in flight.
    """

    def __init__(self, photos: Iterable[Photo | None], setup: object, workers: int) -> None:
        self.answers: Queue[_Answer | None] = Queue(workers * PHOTOS_IN_FLIGHT // PHOTOS_AT_ONCE)
        self.tasks: Queue[tuple[list[Photo], _Answer] | None] = Queue()
        self.closed = threading.Event()
        self.workers = [_Worker(setup, self.closed) for _ in range(workers)]
        self.threads = [
            threading.Thread(target=self._work, args=(worker,), daemon=True)
            for worker in self.workers
        ]
        for thread in self.threads:
            thread.start()
        # Not joined: it may wait forever for the end of a list on standard input.
        threading.Thread(target=self._hand_out, args=(photos,), daemon=True).start()

    def next_answer(self) -> _Answer | None:
        """Wait for the next answer, and until it is complete; None at the end.

        Only for a second at a time: on Windows, Ctrl-C is not noticed in between.
        """
        while True:
            with contextlib.suppress(Empty):
                answer = self.answers.get(timeout=1)
                break
        while answer is not None and not wait([answer], timeout=1).done:
            pass
        return answer

    def close(self) -> None:
        """Kill the worker processes, whatever they are doing."""
        self.closed.set()
        with contextlib.suppress(Empty):
            while True:  # makes room for the distributing thread, which then ends
                self.answers.get_nowait()
        for worker in self.workers:
            worker.kill()
            self.tasks.put(None)
        for thread in self.threads:
            thread.join()

    def _hand_out(self, photos: Iterable[Photo | None]) -> None:
        try:
            for chunk in _chunks(photos):
                answer = _Answer()
                self.answers.put(answer)
                if self.closed.is_set():
                    return
                self.tasks.put((chunk, answer))
        except Exception as error:  # from the iterable; raised where the results are consumed
            failed = _Answer()
            failed.set_exception(error)
            self.answers.put(failed)
        self.answers.put(None)

    def _work(self, worker: _Worker) -> None:
        while (task := self.tasks.get()) is not None:
            photos, answer = task
            try:
                answer.set_result(worker.analyze(photos))
            except Exception as error:
                answer.set_exception(error)
        worker.close()


class _DiedError(Exception):
    """A worker process ended before it answered; the message says how."""


class _Worker:
    """Analyses lists of photos in a process, which is started, or restarted, when needed."""

    def __init__(self, setup: object, closed: threading.Event) -> None:
        self.setup = setup
        self.closed = closed
        self.lock = threading.Lock()  # so that no process starts after `kill`
        self.process: _Process | None = None

    def analyze(self, photos: list[Photo]) -> list[PhotoResult]:
        """Return the photos' results."""
        process = self.process or self._start()
        try:
            results: list[PhotoResult] = process.ask(photos)
        except _DiedError as death:
            self.process = None
            if self.closed.is_set():
                raise
            if len(photos) > 1:
                return [result for photo in photos for result in self.analyze([photo])]
            error = f"its worker process died ({death}): the file is damaged, or memory ran out"
            return [PhotoResult(str(photos[0].path), error=error)]
        return results

    def kill(self) -> None:
        """Kill the process. The thread that waits for its answer gets a _DiedError."""
        with self.lock:
            if self.process is not None:
                self.process.kill()

    def close(self) -> None:
        """Stop the process and wait until it has ended."""
        if self.process is not None:
            self.process.close()

    def _start(self) -> _Process:
        with self.lock:
            if self.closed.is_set():
                raise _DiedError
            process = self.process = _Process()
        try:
            process.ask(self.setup)
        except _DiedError as death:
            self.process = None
            raise EmodetectError(
                f"a worker process could not start ({death}); --workers 0 runs without workers."
            ) from None
        return process


class _Process:
    """A fresh Python process that runs `serve`."""

    def __init__(self) -> None:
        python = python_program()
        if python is None:
            raise EmodetectError(
                "worker processes: this program cannot start Python; use 0 workers."
            )
        program = (
            f"import sys; sys.path[:] = {sys.path!r}; "
            "from emodetect.recognition.photos.workers import serve; serve()"
        )
        self.popen = subprocess.Popen(
            [python, "-c", program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # Ctrl-C must not reach the workers.
            start_new_session=True,
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )

    def ask(self, request: object) -> Any:
        """Return the answer to a request; raise it if it is an error, or _DiedError without one."""
        requests, answers = self._pipes()
        try:
            pickle.dump(request, requests)
            requests.flush()
            # From `serve` below, in a process that only this one can write to.
            answer = pickle.load(answers)  # nosec B301
        except (OSError, EOFError, pickle.UnpicklingError):
            raise _DiedError(self.close()) from None
        if isinstance(answer, Exception):
            raise answer
        return answer

    def kill(self) -> None:
        self.popen.kill()

    def close(self) -> str:
        """Stop the process if it is still running, and return how it ended."""
        requests, answers = self._pipes()
        # The rest of the buffer has nowhere to go.
        with contextlib.suppress(OSError):
            requests.close()
        answers.close()
        try:
            # A process that no longer answers has ended or soon will; its status says why.
            status = self.popen.wait(1)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            status = self.popen.wait()
        return how_it_ended(status)

    def _pipes(self) -> tuple[IO[bytes], IO[bytes]]:
        requests, answers = self.popen.stdin, self.popen.stdout
        assert requests is not None
        assert answers is not None
        return requests, answers


def serve() -> None:
    """Answer requests on standard input until it ends: first the setup, then lists of photos."""
    # Output that a library prints must not get into the answers.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    cv2.setNumThreads(1)  # the other cores run other workers
    recognizer: EmotionRecognizer | None = None
    # The parent process may end at any moment.
    with contextlib.suppress(EOFError, OSError, pickle.UnpicklingError), answers:
        while True:
            request = pickle.load(sys.stdin.buffer)  # nosec B301
            answer: list[PhotoResult] | Exception | None = None
            try:
                if recognizer is None:
                    recognizer, options = _opened(*request)
                else:
                    answer = list(analyze_photos(request, recognizer, options))
            except Exception as error:
                error.add_note(traceback.format_exc())
                answer = error
            pickle.dump(answer, answers)
            answers.flush()


def _opened(
    open_recognizer: Callable[..., EmotionRecognizer], options: PhotoOptions, model: str
) -> tuple[EmotionRecognizer, PhotoOptions]:
    """Open the recogniser of a worker. Raises ModelError if its file is another model now."""
    recognizer = open_recognizer(threads=1)
    if recognizer.artifact.identity() != model:
        raise ModelError(
            f"{recognizer.path}: was replaced by another model during the run; start again, with "
            "a copy of the model that stays."
        )
    return recognizer, options


def _chunks(photos: Iterable[Photo | None]) -> Iterator[list[Photo]]:
    chunk: list[Photo] = []
    for photo in photos:
        if photo is not None:
            chunk.append(photo)
        if chunk and (photo is None or len(chunk) == PHOTOS_AT_ONCE):
            yield chunk
            chunk = []
    if chunk:
        yield chunk
