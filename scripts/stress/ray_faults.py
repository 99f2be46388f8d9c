"""Break `emodetect predict --engine ray` on a cluster of two nodes, and count the photos after it.

\b
    python scripts/stress/ray_faults.py
    python scripts/stress/ray_faults.py --only driver --tries 10

The nodes are two of Ray's on this machine, with a CPU each. After each fault, and a run with
--resume where the fault ends the job, every photo must be in the output exactly once. The full disk
is a small tmpfs, which needs root. Exit status 1 if anything failed.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np
import pyarrow.parquet as pq
from tally import Tally

from emodetect.data.synthetic import draw_face
from emodetect.faces.boxes import Box
from emodetect.recognition.cluster.predict_on_cluster import ClusterOptions, predict_on_cluster
from emodetect.recognition.recognizer import EmotionRecognizer

FATAL_WIDTH = 33
LIMIT_S = 300
DIFFERENT_FACES = 50


class FragileRecognizer(EmotionRecognizer):
    """Kills its process at a photo that is FATAL_WIDTH wide, as a decoder may."""

    def detect(self, image: np.ndarray) -> list[Box]:
        if image.shape[1] == FATAL_WIDTH:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().detect(image)


class Cluster:
    """Two nodes with a CPU each; the second may be killed and started again."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster as TwoNodes

        self.nodes = TwoNodes(initialize_head=True, head_node_args={"num_cpus": 1})
        self.second = self.nodes.add_node(num_cpus=1)

    def kill_node(self) -> None:
        self.nodes.remove_node(self.second, allow_graceful=False)

    def mend(self) -> None:
        if not self.second.live_processes():
            self.second = self.nodes.add_node(num_cpus=1)
        self.nodes.wait_for_nodes()


class Job:
    """A run of the command over a folder of photos, into an output folder of its own."""

    def __init__(self, cluster: Cluster, photos: Path, output: Path) -> None:
        self.cluster, self.photos, self.output = cluster, photos, output

    def start(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [
                *(sys.executable, "-m", "emodetect", "predict", str(self.photos)),
                *("--engine", "ray", "--address", self.cluster.nodes.address),
                *("--detector", "none", "--output", str(self.output), *words),
            ],
            stderr=subprocess.PIPE,
            text=True,
            # A shell starts what runs in the background with the signal ignored.
            preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
        )

    def finish(self, process: subprocess.Popen[str]) -> str:
        _, errors = process.communicate(timeout=LIMIT_S)
        assert process.returncode in (0, 1), f"exit status {process.returncode}: {errors}"
        assert "Traceback" not in errors, errors
        return errors

    def wait_for_work(self, process: subprocess.Popen[str], parts: int = 1) -> None:
        deadline = time.monotonic() + LIMIT_S
        while len(list(self.output.glob("part-*"))) < parts and process.poll() is None:
            assert time.monotonic() < deadline, "nothing was written"
            time.sleep(0.05)
        assert process.poll() is None, "ended before the fault"

    def check(self) -> None:
        """Raise AssertionError unless every photo is in the output exactly once."""
        rows = pq.read_table(self.output, columns=["path", "error"])
        paths = rows.column("path").to_pylist()
        expected = {str(file) for file in self.photos.iterdir()}
        assert len(paths) == len(set(paths)), f"{len(paths) - len(set(paths))} doubled"
        assert set(paths) == expected, f"{len(expected ^ set(paths))} lost or foreign"
        assert rows.column("error").null_count == len(paths), "photos with errors"


def worker_pids() -> list[int]:
    """Return the processes of our actors."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if (folder / "cmdline").read_bytes().startswith(b"ray::PhotoWorker"):
                found.append(int(folder.name))
        except OSError:  # it has ended
            continue
    return found


def node_killed(job: Job) -> None:
    """One of two nodes is killed during the run."""
    process = job.start()
    job.wait_for_work(process)
    job.cluster.kill_node()
    job.finish(process)
    job.check()


def worker_killed(job: Job) -> None:
    """Workers are killed during the run."""
    process = job.start()
    job.wait_for_work(process)
    for _ in range(2):
        if pids := worker_pids():
            os.kill(random.choice(pids), signal.SIGKILL)
        time.sleep(1)
    job.finish(process)
    job.check()


def fatal_photo(job: Job) -> None:
    """Two photos kill their worker, whenever they are read."""
    fatal = [job.photos / name for name in ("00100-fatal.png", "00900-fatal.png")]
    for path in fatal:
        cv2.imwrite(str(path), np.zeros((20, FATAL_WIDTH, 3), np.uint8))
    try:
        counts = predict_on_cluster(
            ClusterOptions(
                images=(job.photos,), output=job.output, address=job.cluster.nodes.address
            ),
            # By the name under which the nodes import it.
            partial(sys.modules["ray_faults"].FragileRecognizer, detector="none"),
            say=lambda _: None,
        )
        rows = pq.read_table(job.output, columns=["path", "error"]).to_pylist()
        failed = [row["path"] for row in rows if row["error"]]
        assert failed == [str(path) for path in fatal], failed
        assert counts.failed == len(fatal)
        assert len({row["path"] for row in rows}) == len(rows) == len(list(job.photos.iterdir()))
    finally:
        for path in fatal:
            path.unlink()


def driver_killed(job: Job) -> None:
    """The command is killed with SIGKILL at a random moment, and run again with --resume."""
    process = job.start()
    time.sleep(random.uniform(0.5, 15))
    process.kill()
    process.communicate()
    job.finish(job.start("--resume"))
    job.check()


def interrupted(job: Job) -> None:
    """Ctrl-C ends the job on the cluster too, and it can be resumed."""
    process = job.start()
    job.wait_for_work(process)
    process.send_signal(signal.SIGINT)
    errors = job.finish(process)
    assert "--resume" in errors, errors
    deadline = time.monotonic() + 20
    while worker_pids():
        assert time.monotonic() < deadline, "workers are left on the cluster"
        time.sleep(0.2)
    job.finish(job.start("--resume"))
    job.check()


def disk_full(job: Job) -> None:
    """The disk of the output is full; after it is larger, --resume completes the job."""
    job.output.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=48k", "tmpfs", str(job.output)]
    subprocess.run(mount, check=True)
    try:
        errors = job.finish(job.start())
        assert "No space left" in errors, errors
        assert "--resume" in errors, errors
        subprocess.run(["mount", "-o", "remount,size=64m", str(job.output)], check=True)
        job.finish(job.start("--resume"))
        job.check()
    finally:
        subprocess.run(["umount", str(job.output)], check=True)


FAULTS: dict[str, tuple[Callable[[Job], None], int]] = {  # and how often each is tried
    "node": (node_killed, 1),
    "worker": (worker_killed, 1),
    "photo": (fatal_photo, 1),
    "interrupt": (interrupted, 1),
    "disk": (disk_full, 1),
    "driver": (driver_killed, 10),
}


@click.command(help=__doc__)
@click.option("--photos", "count", default=5000, show_default=True, type=click.IntRange(2000))
@click.option("--only", type=click.Choice(list(FAULTS)), multiple=True, help="[default: all]")
@click.option("--tries", type=click.IntRange(1), help="How often each is tried.")
@click.option("--seed", default=0, show_default=True)
def main(count: int, only: tuple[str, ...], tries: int | None, seed: int) -> None:
    random.seed(seed)
    tally = Tally()
    with tempfile.TemporaryDirectory(prefix="emodetect-stress-") as scratch, two_nodes() as cluster:
        photos = Path(scratch) / "photos"
        draw(photos, count)
        for name in only or FAULTS:
            fault, usual = FAULTS[name]
            for turn in range(tries or usual):
                cluster.mend()
                with tally.attempt(name, f"try {turn + 1}"):
                    fault(Job(cluster, photos, Path(scratch) / f"{name}-{turn}"))
                print(f"{name} {turn + 1}: {tally.failed} failures so far", flush=True)
    tally.finish()


@contextmanager
def two_nodes() -> Iterator[Cluster]:
    """Start the cluster, whose nodes can import this file."""
    here = str(Path(__file__).parent)
    os.environ["PYTHONPATH"] = os.pathsep.join(
        filter(None, [here, os.environ.get("PYTHONPATH", "")])
    )
    sys.path.insert(0, here)
    __import__("ray_faults")
    cluster = Cluster()
    try:
        yield cluster
    finally:
        cluster.nodes.shutdown()


def draw(folder: Path, count: int) -> None:
    """Fill a folder with drawn faces."""
    folder.mkdir()
    drawn: list[Any] = [
        cv2.imencode(".png", draw_face(("happy", "sad")[n % 2], np.random.default_rng(n), size=48))
        for n in range(DIFFERENT_FACES)
    ]
    for number in range(count):
        data = drawn[number % len(drawn)][1].tobytes()
        (folder / f"{number:05d}.png").write_bytes(data)


if __name__ == "__main__":
    main()
