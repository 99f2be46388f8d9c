"""`emodetect serve` against the recogniser alone, and against more clients than it has room for.

    python scripts/bench/serve.py [--seconds 60]

Clients ask in a closed loop, each with one of the same drawn photos (640x480, one face, JPEG). The
recogniser alone decodes and analyses those in a process of its own: in one loop that may use all
cores, or in a loop for each core, with one core each, whichever a trial shows to be faster. Both
sides are measured in turns, so that a machine that grows slower or faster does so for both. What
the recogniser could do beside the clients is its speed less the share of the cores that they take;
`served` is the server's speed divided by that.
"""

from __future__ import annotations

import argparse
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

import cv2
import numpy as np
from measuring import memory_bytes, run_process

from emodetect.data.synthetic import draw_scene
from emodetect.emotions import EMOTIONS
from emodetect.faces.detectors.haar import HaarDetector
from emodetect.machine.threads import usable_cores

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
    """What clients saw: the seconds of each answer that was 200, and how often each status came."""

    seconds: list[float] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)


def main() -> None:
    """Print both sides and their ratio, then the overload."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--too-many", type=int, default=64)
    arguments = parser.parse_args()
    cores = usable_cores()
    with TemporaryDirectory() as folder:
        photos = draw_photos(Path(folder))
        loops = max({1, cores}, key=lambda loops: recognise(loops, TRIAL_S, folder).speed)
        with server() as (process, port):
            asyncio.run(ask(port, photos, arguments.clients, TRIAL_S))  # to warm up
            alone, served = [], Served()
            for _ in range(ROUNDS):
                alone.append(recognise(loops, arguments.seconds / ROUNDS, folder))
                serve(served, process, port, photos, arguments.clients, arguments.seconds / ROUNDS)
            report(alone, served, arguments.clients)
            overload(process, port, photos, arguments.too_many, arguments.seconds)


def draw_photos(folder: Path) -> list[bytes]:
    """Write photos of one face that the detector finds, and return them."""
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
    """The recogniser's photos a second, and its seconds of the processor for each."""

    speed: float
    cpu_s: float


def recognise(loops: int, seconds: float, folder: str) -> Alone:
    """Run the recogniser alone, in so many loops."""
    done = run_process([sys.executable, "-c", ALONE, str(loops), str(seconds), folder])
    return Alone(*map(float, done.output.split()))


@contextmanager
def server() -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Run `emodetect serve`; gives its process and port."""
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
    """What all rounds with the server came to; seconds on the clock and of the processor."""

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
    """Let clients ask for some seconds, and add up what they saw."""
    cpu_s, own_cpu_s = cpu_of(process.pid), time.process_time()
    load, taken_s = asyncio.run(ask(port, photos, clients, seconds))
    served.cpu_s += cpu_of(process.pid) - cpu_s
    served.clients_cpu_s += time.process_time() - own_cpu_s
    served.taken_s += taken_s
    served.load.statuses += load.statuses
    served.load.seconds += load.seconds


def report(alone: list[Alone], served: Served, clients: int) -> None:
    """Print the server's speed and latency beside the recogniser's."""
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
        f"{alone_cpu_s * 1000:.1f} ms of the processor each"
    )
    print(
        f"{clients} clients, {served.taken_s:.0f} s: {dict(served.load.statuses)}, "
        f"{speed:.1f} photos/s, {cpu_s * 1000:.1f} ms of the processor each; "
        f"the clients took {clients_share:.1%} of {cores} cores"
    )
    print(f"  served: {speed / possible:.1%} of the {possible:.1f} photos/s that are possible")
    print(
        f"  median {median_s * 1000:.0f} ms, 99 % under {p99_s * 1000:.0f} ms: "
        f"{p99_s / median_s:.2f} times the median"
    )


def overload(
    process: subprocess.Popen[str], port: int, photos: list[bytes], clients: int, seconds: float
) -> None:
    """Print what clients that ask again at once get from a queue with too little room."""
    memory_mb = [(memory_bytes(pid=process.pid) or 0) / 1e6]
    load = Load()
    for _ in range(6):
        part, _ = asyncio.run(ask(port, photos, clients, seconds / 6))
        load.statuses += part.statuses
        load.seconds += part.seconds
        memory_mb.append((memory_bytes(pid=process.pid) or 0) / 1e6)
    print(
        f"{clients} clients, a queue of {QUEUE}, asking again at once: {dict(load.statuses)}, "
        f"{len(load.seconds) / seconds:.1f} photos/s"
    )
    print(f"  memory: {' '.join(f'{one:.0f}' for one in memory_mb)} MB")


async def ask(port: int, photos: list[bytes], clients: int, seconds: float) -> tuple[Load, float]:
    """Let clients ask one after the other for some seconds; return what they saw, and the time."""
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
            answer = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", answer)
            assert length is not None
            await reader.readexactly(int(length[1]))
            status = answer.split(b" ", 2)[1].decode()
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
    """Return the seconds that a process has had of the processor; Linux only."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
