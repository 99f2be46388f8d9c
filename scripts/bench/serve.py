"""Compare `emodetect serve` with the recogniser alone, and overload it with too many clients.

\b
    python scripts/bench/serve.py [--seconds 60]

Each client sends its next request, one of the same drawn photos (640x480, one face, JPEG), when the
last is answered or refused. The recogniser alone decodes and analyses these photos in its own
process: in one loop on all cores or in one loop per core, whichever a trial shows to be faster. It,
the server and the server with too many clients are measured in turn, so that changes in the speed
of the machine affect all. What the recogniser could do beside the clients is its speed minus the
share of the cores that the clients use; `served` is the server's speed relative to that.
"""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import cv2
import numpy as np
from measuring import memory_bytes, run_process

from emodetect.data.synthetic import draw_scene
from emodetect.emotions import EMOTIONS
from emodetect.faces.detectors.haar import HaarDetector
from emodetect.machine.computer import usable_cores

PHOTOS = 24
QUEUE = 32
ROUNDS = 6
TRIAL_S = 5.0
ALONE = """
import sys, threading, time
from pathlib import Path
import cv2
from emodetect.recognition.recognizer import EmotionRecognizer
from emodetect.images.reading import decode_image
loops, seconds = int(sys.argv[1]), float(sys.argv[2])
photos = [path.read_bytes() for path in sorted(Path(sys.argv[3]).iterdir())]
if loops > 1:
    cv2.setNumThreads(1)
done = [0] * loops
def work(number, recognizer):
    while time.perf_counter() < end:
        recognizer.analyze(decode_image(photos[(done[number] + number) % len(photos)]))
        done[number] += 1
recognizers = [EmotionRecognizer(threads=1 if loops > 1 else None) for _ in range(loops)]
for one in recognizers:
    one.analyze(decode_image(photos[0]))
started, cpu = time.perf_counter(), time.process_time()
end = started + seconds
threads = [threading.Thread(target=work, args=pair) for pair in enumerate(recognizers)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(sum(done) / (time.perf_counter() - started), (time.process_time() - cpu) / sum(done))
"""


@dataclass
class Load:
    """What clients saw: the seconds of each successful response, and a count of each status."""

    seconds: list[float] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)


@click.command(help=__doc__)
@click.option("--seconds", default=60.0, show_default=True, help="Of each measurement.")
@click.option("--clients", default=16, show_default=True, help="Clients that are served.")
@click.option("--too-many", default=64, show_default=True, help="Clients of the overload.")
def main(seconds: float, clients: int, too_many: int) -> None:
    cores = usable_cores()
    with TemporaryDirectory() as folder:
        photos = draw_photos(Path(folder))
        loops = max({1, cores}, key=lambda loops: recognise(loops, TRIAL_S, folder).speed)
        with server() as (process, port):
            asyncio.run(ask(port, photos, clients, TRIAL_S))  # warms up
            alone, served, overloaded = [], Served(), Served()
            memory_mb = []
            for _ in range(ROUNDS):
                alone.append(recognise(loops, seconds / ROUNDS, folder))
                serve(served, process, port, photos, clients, seconds / ROUNDS)
                serve(overloaded, process, port, photos, too_many, seconds / ROUNDS)
                memory_mb.append((memory_bytes(pid=process.pid) or 0) / 1e6)
            report(alone, served, clients)
            report_overload(served, overloaded, too_many)
            print(f"memory: {' '.join(f'{one:.0f}' for one in memory_mb)} MB")


def draw_photos(folder: Path) -> list[bytes]:
    """Write photos with one face that the detector finds, and return them."""
    rng, detector = np.random.default_rng(0), HaarDetector()
    photos: list[bytes] = []
    while len(photos) < PHOTOS:
        image = draw_scene([EMOTIONS[len(photos) % 7]], rng, width=640, height=480).image
        if len(detector.detect(image)) == 1:
            photos.append(cv2.imencode(".jpg", image)[1].tobytes())
            (folder / f"{len(photos):03}.jpg").write_bytes(photos[-1])
    return photos


@dataclass
class Alone:
    """The recogniser's photos per second, and its processor time per photo."""

    speed: float
    cpu_s: float


def recognise(loops: int, seconds: float, folder: str) -> Alone:
    """Run the recogniser alone, in a number of loops."""
    done = run_process([sys.executable, "-c", ALONE, str(loops), str(seconds), folder])
    return Alone(*map(float, done.output.split()))


@contextmanager
def server() -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Run `emodetect serve`; yields its process and port."""
    words = ["serve", "--port", "0", "--queue", str(QUEUE)]
    process = subprocess.Popen(
        [sys.executable, "-m", "emodetect", *words], stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stderr is not None
        found = re.search(r":(\d+) ", process.stderr.readline())
        assert found is not None
        yield process, int(found[1])
    finally:
        process.terminate()
        process.wait()


@dataclass
class Served:
    """The totals of all rounds with the server, in wall time and processor time."""

    load: Load = field(default_factory=Load)
    taken_s: float = 0.0
    cpu_s: float = 0.0
    clients_cpu_s: float = 0.0


def serve(
    served: Served,
    process: subprocess.Popen[str],
    port: int,
    photos: list[bytes],
    clients: int,
    seconds: float,
) -> None:
    """Let clients send requests for some seconds, and add up what they saw."""
    cpu_s, own_cpu_s = cpu_of(process.pid), time.process_time()
    load, taken_s = asyncio.run(ask(port, photos, clients, seconds))
    served.cpu_s += cpu_of(process.pid) - cpu_s
    served.clients_cpu_s += time.process_time() - own_cpu_s
    served.taken_s += taken_s
    served.load.statuses += load.statuses
    served.load.seconds += load.seconds


def report(alone: list[Alone], served: Served, clients: int) -> None:
    """Print the server's speed and latency, and the recogniser's."""
    cores, seconds = usable_cores(), served.load.seconds
    alone_speed = float(np.mean([one.speed for one in alone]))
    alone_cpu_s = float(np.mean([one.cpu_s for one in alone]))
    speed, cpu_s = len(seconds) / served.taken_s, served.cpu_s / len(seconds)
    clients_share = served.clients_cpu_s / served.taken_s / cores
    possible = alone_speed * (1 - clients_share)
    each = ", ".join(f"{one.speed:.1f}" for one in alone)
    median_s, p99_s = np.percentile(seconds, [50, 99])
    print(
        f"recogniser alone: {alone_speed:.1f} photos/s ({each}), "
        f"{alone_cpu_s * 1000:.1f} ms CPU per photo"
    )
    print(
        f"{clients} clients, {served.taken_s:.0f} s: {dict(served.load.statuses)}, "
        f"{speed:.1f} photos/s, {cpu_s * 1000:.1f} ms CPU per photo; "
        f"the clients used {clients_share:.1%} of {cores} cores"
    )
    print(f"  served: {speed / possible:.1%} of the possible {possible:.1f} photos/s")
    print(
        f"  median {median_s * 1000:.0f} ms, p99 {p99_s * 1000:.0f} ms: "
        f"{p99_s / median_s:.2f} times the median"
    )


def report_overload(served: Served, overloaded: Served, clients: int) -> None:
    """Print how many photos the server answers while it refuses, and what a refusal costs."""
    answers = len(overloaded.load.seconds)
    speed, usual = answers / overloaded.taken_s, len(served.load.seconds) / served.taken_s
    answer_s = served.cpu_s / len(served.load.seconds)
    refusals = overloaded.load.statuses.total() - answers
    refusal_s = (overloaded.cpu_s - answers * answer_s) / max(1, refusals)
    print(
        f"{clients} clients that retry at once, queue of {QUEUE}: "
        f"{dict(overloaded.load.statuses)}, {speed:.1f} photos/s, {speed / usual:.1%} of before"
    )
    print(
        f"  a refusal takes {refusal_s * 1000:.2f} ms CPU (what is left beside the answers), "
        f"{refusal_s / answer_s:.1%} of an answer"
    )


async def ask(port: int, photos: list[bytes], clients: int, seconds: float) -> tuple[Load, float]:
    """Let clients send requests in a loop for some seconds; return what they saw, and the time."""
    load = Load()
    started = time.perf_counter()

    async def client(number: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while time.perf_counter() - started < seconds:
            photo = photos[number % len(photos)]
            number += 1
            asked = time.perf_counter()
            head = f"POST /v1/analyze HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(photo)}"
            writer.write(head.encode() + b"\r\n\r\n" + photo)
            header = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", header)
            assert length is not None
            await reader.readexactly(int(length[1]))
            status = header.split(b" ", 2)[1].decode()
            load.statuses[status] += 1
            if status == "200":
                load.seconds.append(time.perf_counter() - asked)
        writer.close()

    failed = [
        one
        for one in await asyncio.gather(*map(client, range(clients)), return_exceptions=True)
        if one is not None
    ]
    for error in failed:
        load.statuses[type(error).__name__] += 1
    return load, time.perf_counter() - started


def cpu_of(pid: int) -> float:
    """Return the processor time of a process in seconds; Linux only."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
