"""Give photos to workers on a Ray cluster, and collect their rows part by part.

Ray Core's actors, not Ray Data: there, a pool of actors that takes all CPUs leaves none for the
stages before it, and a job waits forever; its checkpoints are by rows, not by photos, and depend on
the source. Here the actors are the only ones to need CPUs, and a part is written or it is not.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from types import ModuleType
from typing import TYPE_CHECKING, Any

from emodetect.errors import EmodetectError
from emodetect.recognition.cluster.dataset_folder import Part
from emodetect.recognition.cluster.worker import PhotoWorker, WorkerSetup, photo_table
from emodetect.recognition.photos.analysis import PhotoResult

if TYPE_CHECKING:
    import pyarrow as pa

PHOTOS_PER_TASK = 64
# One is in progress, and one waits at the worker, so that it need not wait for the driver.
TASKS_PER_WORKER = 2
# With the list that it came in, and alone: its worker may have died of something else.
DEATHS_PER_PHOTO = 3
# Machines that fail together may be noticed one after another, and each time the photo was there.
NODES_PER_PHOTO = 5
FAILED_STARTS = 5
SECONDS_BEFORE_WORD = 20


@dataclass
class _OpenPart:
    """A part in progress: the rows that are there, by the index of their first photo."""

    number: int
    missing: int  # photos
    tables: dict[int, pa.Table] = field(default_factory=dict)


@dataclass(frozen=True)
class _Task:
    """Photos for a worker, from index `start` of a part on.

    Attributes:
        deaths: how many workers died with them, whose node lives.
        nodes_lost: with how many nodes they went down.
    """

    of: _OpenPart
    start: int
    photos: list[str]
    deaths: int = 0
    nodes_lost: int = 0


@dataclass(eq=False)
class _Worker:
    """An actor; `node` is None until its recogniser is open. It does its tasks in order."""

    actor: Any
    opened: Any
    node: str | None = None
    tasks: dict[Any, _Task] = field(default_factory=dict)

    def refs(self) -> list[Any]:
        """Return what the actor has been asked and not yet answered."""
        return [self.opened] if self.node is None else list(self.tasks)


class Dispatcher:
    """Analyses parts on a cluster.

    Args:
        count: number of workers to start; those for which the cluster has no CPU yet join later.
        emotions: of the model.
        write_part: gets the number of a part and all its rows.
        start_timeout_s: how long to wait for a worker when there is none.
        say: gets a line for the user if nothing can be done yet.
    """

    def __init__(
        self,
        ray: ModuleType,
        setup: WorkerSetup,
        *,
        count: int,
        emotions: tuple[str, ...],
        write_part: Callable[[int, pa.Table], None],
        start_timeout_s: float,
        say: Callable[[str], object],
    ) -> None:
        errors = ray.exceptions
        # Ray itself ends workers on a node that is low on memory, with an error of its own.
        self.deaths = (
            errors.RayActorError,
            errors.ObjectLostError,
            errors.OutOfMemoryError,
            errors.WorkerCrashedError,
        )
        self.ray, self.count, self.emotions = ray, count, emotions
        self.write_part, self.say = write_part, say
        self.setup = ray.put(setup)
        self.actor = ray.remote(num_cpus=1, max_restarts=0)(PhotoWorker)
        self.workers: list[_Worker] = []
        self.queue: deque[_Task] = deque()
        self.finished: list[tuple[int, int, int]] = []
        self.starts = WorkerStarts(ray, start_timeout_s, say)

    def run(self, parts: Iterable[Part]) -> Iterator[tuple[int, int, int]]:
        """Yield how many photos, with an error and without a face there are, as they are analysed.

        Raises:
            EmodetectError: if no worker can start, or a part cannot be written.
        """
        tasks = _tasks(parts)
        try:
            while self._hand_out(tasks):
                self._collect()
                self.starts.check(running=any(worker.node for worker in self.workers))
                yield from self.finished
                self.finished.clear()
        finally:
            for worker in self.workers:
                self.ray.kill(worker.actor)

    def _hand_out(self, tasks: Iterator[_Task]) -> bool:
        """Give tasks to the workers that have room; return whether anything is left to do."""
        while len(self.workers) < self.count:
            actor = self.actor.remote(self.setup)
            self.workers.append(_Worker(actor, actor.open.remote()))
        for held in range(TASKS_PER_WORKER):  # one for each before a second for any
            for worker in self.workers:
                if worker.node and len(worker.tasks) == held and self._has_task(tasks):
                    task = self.queue.popleft()
                    worker.tasks[worker.actor.analyze.remote(task.photos)] = task
        return self._has_task(tasks) or any(worker.tasks for worker in self.workers)

    def _has_task(self, tasks: Iterator[_Task]) -> bool:
        if not self.queue:
            self.queue.extend(islice(tasks, 1))
        return bool(self.queue)

    def _collect(self) -> None:
        """Wait up to a second until a worker is ready, and take what it has done."""
        owners = {ref: worker for worker in self.workers for ref in worker.refs()}
        ready, _ = self.ray.wait(list(owners), num_returns=1, timeout=1)
        for worker in {owners[ref] for ref in ready}:
            try:
                self._take_from(worker)
            except self.deaths as error:
                self._replace(worker, error)
            except self.ray.exceptions.RayTaskError as error:
                if isinstance(error.cause, EmodetectError):
                    raise error.cause from None
                raise

    def _take_from(self, worker: _Worker) -> None:
        for ref in worker.refs():
            if not self.ray.wait([ref], timeout=0)[0]:
                return
            answer = self.ray.get(ref)
            if worker.node is None:
                worker.node = answer
                self.starts.succeeded()
            else:
                self._add(worker.tasks.pop(ref), answer)

    def _add(self, task: _Task, rows: pa.Table) -> None:
        import pyarrow as pa

        opened = task.of
        opened.tables[task.start] = rows
        opened.missing -= len(task.photos)
        if not opened.missing:
            tables = [opened.tables[start] for start in sorted(opened.tables)]
            self.write_part(opened.number, pa.concat_tables(tables))
        failed = len(rows) - rows.column("error").null_count
        faceless = rows.column("face").null_count - failed
        self.finished.append((len(task.photos), failed, faceless))

    def _replace(self, worker: _Worker, death: Exception) -> None:
        """Forget a worker that died; another gets its tasks, the first of which may be why."""
        self.workers.remove(worker)
        self.ray.kill(worker.actor)  # it may only be out of reach
        tasks = list(worker.tasks.values())
        if worker.node is None:
            self.starts.failed(death)
        elif tasks:
            tasks[:1] = self._suspects(tasks[0], lost=not self._is_alive(worker.node))
        self.queue.extendleft(reversed(tasks))

    def _is_alive(self, node: str) -> bool:
        return any(one["NodeID"] == node and one["Alive"] for one in self.ray.nodes())

    def _suspects(self, task: _Task, *, lost: bool) -> list[_Task]:
        """Return what is left to try of a task at which a worker died: each photo alone.

        Args:
            lost: its whole node is.
        """
        deaths, nodes_lost = task.deaths + (not lost), task.nodes_lost + lost
        gives_up = deaths >= DEATHS_PER_PHOTO or nodes_lost >= NODES_PER_PHOTO
        if len(task.photos) == 1 and gives_up:
            what = "the nodes that had it went down" if lost else "its worker process died"
            error = f"{what}: the file is damaged, or memory ran out"
            result = PhotoResult(task.photos[0], error=error)
            self._add(task, photo_table([result], self.emotions))
            return []
        return [
            _Task(task.of, task.start + number, [photo], deaths, nodes_lost)
            for number, photo in enumerate(task.photos)
        ]


class WorkerStarts:
    """Ends a job for which no worker starts, and says what the cluster lacks."""

    def __init__(self, ray: ModuleType, timeout_s: float, say: Callable[[str], object]) -> None:
        self.ray, self.timeout_s, self.say = ray, timeout_s, say
        self.failures = 0
        self.since_s = time.monotonic()
        self.said = False

    def succeeded(self) -> None:
        """Note that a worker has started."""
        self.failures = 0

    def failed(self, death: Exception) -> None:
        """Note that a worker died before it had started. Raises EmodetectError if many did."""
        self.failures += 1
        if self.failures >= FAILED_STARTS:
            raise EmodetectError(
                f"{self.failures} workers in a row ended before they had started: "
                f"{' '.join(str(death).split())[:500]}"
            )

    def check(self, *, running: bool) -> None:
        """Raise EmodetectError if no worker has been running for too long."""
        if running:
            self.since_s = time.monotonic()
            self.said = False
            return
        waited_s = time.monotonic() - self.since_s
        if waited_s > self.timeout_s:
            raise EmodetectError(
                f"no worker started within {self.timeout_s:g} seconds: {self._lack()}; end other "
                "jobs, add nodes, or wait longer with --start-timeout. Then continue with --resume."
            )
        if waited_s > SECONDS_BEFORE_WORD and not self.said:
            self.said = True
            self.say(f"waiting for a worker to start: {self._lack()}")

    def _lack(self) -> str:
        has, free = self.ray.cluster_resources(), self.ray.available_resources()
        if not has.get("CPU"):
            return "each needs 1 CPU, and no node of the cluster has any"
        return (
            f"each needs 1 CPU; the cluster has {has['CPU']:g}, of which "
            f"{free.get('CPU', 0):g} are free, and other jobs or starting workers have the rest"
        )


def _tasks(parts: Iterable[Part]) -> Iterator[_Task]:
    for part in parts:
        opened = _OpenPart(part.number, len(part.photos))
        for start in range(0, len(part.photos), PHOTOS_PER_TASK):
            yield _Task(opened, start, part.photos[start : start + PHOTOS_PER_TASK])
