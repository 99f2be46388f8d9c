"""Runs that are killed, at random and where it hurts most, or meet a full disk, and go on.

Every attempt is a fork of one server process that has imported TensorFlow and run nothing yet,
so that it costs seconds.
"""

from __future__ import annotations

import csv
import errno
import itertools
import json
import multiprocessing
import os
import random
import re
import shutil
import signal
import sys
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NoReturn

import h5py
import numpy as np
import pytest
from small import SMALL

from emodetect.model_file.artifact import COMPILED, read_artifact
from emodetect.recognition.recognizer import EmotionRecognizer

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL and forks are POSIX")

KILLED = -9  # the exit status; Windows has no signal.SIGKILL
RANDOM_KILLS = 10
STEPS = 6  # of an epoch, below
EPOCHS = 30  # early stopping ends the run before
OVERRIDES = (
    'data.classes=["happy", "sad", "surprise"]',
    "data.image_size=32",
    "data.synthetic.train_per_class=40",
    "data.synthetic.test_per_class=4",
    "model.name=lenet5",
    "model.width=1.0",
    "model.backbone_size=32",
    "model.dropout=0.3",
    "augmentation.mixup=0.2",
    "training.imbalance=class_weights",
    "training.ema_momentum=0.9",
    "training.batch_size=16",
    f"training.epochs={EPOCHS}",
    "training.early_stopping_patience=3",
)

# What happens inside an attempt, in a forked process.


def die() -> NoReturn:
    """End as by kill -9."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("unreachable")


def fill_disk() -> NoReturn:
    """Fail as a write to a full disk does."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def on_event(event: str, pattern: str, act: Callable[[], Any]) -> None:
    """Act when Python is about to open, rename or remove a path of the pattern."""

    def watch(name: str, arguments: tuple[Any, ...]) -> None:
        if name == event and re.search(pattern, " ".join(map(str, arguments[:2]))):
            act()

    sys.addaudithook(watch)


def in_weights(pattern: str, act: Callable[[], Any]) -> None:
    """Act when some of a weights file of the pattern is written, but not all."""
    usual = h5py.Group.__setitem__
    counts: Counter[str] = Counter()

    def half(group: h5py.Group, name: Any, value: Any) -> None:
        usual(group, name, value)
        path = str(group.file.filename)
        counts[path] += 1
        if counts[path] == 4 and re.search(pattern, path):
            group.file.flush()
            act()

    h5py.Group.__setitem__ = half


def in_history(epoch: int, act: Callable[[], Any]) -> None:
    """Act when half of an epoch's row is in history.csv."""
    from keras.callbacks import CSVLogger

    usual = CSVLogger.on_epoch_end

    def half(logger: Any, number: int, logs: dict[str, float] | None = None) -> None:
        if number == epoch + 1:  # counted from 1 in the file
            logger.csv_file.write(f"{number},0.3")
            logger.csv_file.flush()
            act()
        usual(logger, number, logs)

    CSVLogger.on_epoch_end = half


def in_artifact(act: Callable[[], Any]) -> None:
    """Act when the artifact's zip holds Keras' members, but not yet the compiled form."""
    usual = zipfile.ZipFile.writestr

    def half(archive: zipfile.ZipFile, member: Any, *arguments: Any, **options: Any) -> None:
        if member == COMPILED:
            act()
        usual(archive, member, *arguments, **options)

    zipfile.ZipFile.writestr = half  # type: ignore[method-assign]


def no_space_after_validation() -> None:
    """Tell of a disk that was filled by others while the first epoch was trained."""
    usual, calls = shutil.disk_usage, itertools.count()

    def tell(path: Path) -> Any:
        # Asked twice at the start of an epoch.
        return usual(path)._replace(free=1000) if next(calls) >= 2 else usual(path)

    shutil.disk_usage = tell  # type: ignore[assignment]


DRAWN = r"synthetic-\w+/train/happy/happy_00020"
HALF_DRAWN = r"\.unfinished/\w+/train/sad/sad_00020"
PLACES: dict[str, Callable[[Callable[[], Any]], None]] = {
    "faces half drawn": partial(on_event, "open", HALF_DRAWN),
    "crops half decoded": partial(on_event, "open", DRAWN),
    "crops without index": partial(on_event, "open", r"index\.npz"),
    "cache complete but not in place": partial(on_event, "os.rename", r"images-\w+$"),
    "run folder without config": partial(on_event, "os.rename", r"/config\.toml$"),
    "state's weights half written": partial(in_weights, r"partial-\d+/state"),
    "state not in place": partial(on_event, "os.rename", r"epoch-0003$"),
    "older state half removed": partial(on_event, "os.remove", r"^progress\.json"),
    "history half a row": partial(in_history, 4),
    "best weights half written": partial(in_weights, r"best-\d+\.weights"),
    "training over but not noted": partial(on_event, "os.rename", r"finished\.json$"),
    "training over and noted": partial(on_event, "open", r"\.run\.json"),
    "artifact half written": in_artifact,
    "artifact not in place": partial(on_event, "os.rename", r"/run/best_model\.keras$"),
}


def tell_at_step(step: int, told: Connection) -> None:
    """Tell the test that as many training steps are done."""
    from emodetect.training.epoch_display import EpochDisplay

    usual = EpochDisplay.on_train_batch_end
    steps = itertools.count(1)

    def counted(bars: EpochDisplay, batch: int, logs: dict[str, Any] | None = None) -> None:
        usual(bars, batch, logs)
        if next(steps) == step:
            told.send_bytes(b"now")

    EpochDisplay.on_train_batch_end = counted  # type: ignore[method-assign]


def emodetect(words: list[str], log: Path, prepare: tuple[Callable[[], None], ...]) -> None:
    """Run a command line in this process, with its output in a file."""
    from emodetect.cli import main

    with log.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    for change in prepare:
        change()
    sys.argv = ["emodetect", *words]
    main()


# What the tests themselves do.


def fork(
    forks: ForkServerContext, words: list[str], log: Path, prepare: tuple[Callable[[], None], ...]
) -> BaseProcess:
    """Start a command line in a forked process."""
    process = forks.Process(target=emodetect, args=(words, log, prepare))
    process.start()
    return process


@dataclass(frozen=True)
class Place:
    """Where attempts take place: a run folder and the cache that it uses."""

    forks: ForkServerContext
    run: Path
    cache: Path

    @property
    def log(self) -> str:
        """What the latest attempt printed."""
        return self.run.with_suffix(".log").read_text(encoding="utf-8")

    @property
    def finished(self) -> bool:
        """Whether the run is."""
        return (self.run / "best_model.keras").is_file()

    @property
    def config(self) -> list[str]:
        """The words of a command line that configure the run."""
        overrides = (*OVERRIDES, f"data.cache_dir={self.cache}", f"output={self.run}")
        return ["--config", SMALL, *(word for value in overrides for word in ("--set", value))]

    def start(self, *prepare: Callable[[], None], log: str = ".log") -> BaseProcess:
        """Start the run in a process of its own, or resume it where there is something."""
        begun = (self.run / "config.toml").is_file()
        words = ["train", *(["--resume", str(self.run)] if begun else self.config)]
        return fork(self.forks, words, self.run.with_suffix(log), prepare)

    def attempt(self, *prepare: Callable[[], None]) -> int | None:
        """Start or resume the run; return the exit status of its process, when it ended."""
        process = self.start(*prepare)
        process.join()
        return process.exitcode

    def finish(self) -> None:
        """Start or resume the run, whose process must end well."""
        assert self.attempt() == 0, self.log

    def start_until(self, step: int) -> tuple[BaseProcess, bool]:
        """Start or resume the run; return once it did as many steps (then True), or ended."""
        told, tell = self.forks.Pipe(duplex=False)
        process = self.start(partial(tell_at_step, step, tell))
        tell.close()
        with told:
            try:
                return process, bool(told.recv_bytes())
            except EOFError:
                process.join()
                return process, False


@dataclass(frozen=True)
class Outcome:
    """What a finished run left: its figures, and the names of its files and of its cache's."""

    weights: dict[str, np.ndarray]
    probabilities: np.ndarray
    history: str
    validation: dict[str, float]
    files: set[str]
    caches: set[str]


def outcome(place: Place) -> Outcome:
    """Read what a finished run left; its artifact must be whole."""
    artifact = place.run / "best_model.keras"
    read_artifact(artifact)
    weights: dict[str, np.ndarray] = {}

    def keep(name: str, node: h5py.Group | h5py.Dataset) -> None:
        if isinstance(node, h5py.Dataset):
            weights[name] = node[()]

    with (
        zipfile.ZipFile(artifact) as archive,
        archive.open("model.weights.h5") as member,
        h5py.File(member) as file,
    ):
        file.visititems(keep)
    crops = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 1), np.uint8)
    return Outcome(
        weights=weights,
        probabilities=EmotionRecognizer(artifact, detector="none").classify_inputs(crops),
        history=(place.run / "history.csv").read_text(encoding="utf-8"),
        validation=json.loads((place.run / "run.json").read_text())["validation"],
        files={str(path.relative_to(place.run)) for path in place.run.rglob("*")},
        caches={path.name for path in place.cache.iterdir()},
    )


def assert_same(place: Place, expected: Outcome) -> None:
    """Assert that a run left what the uninterrupted one did, bit for bit, and nothing else."""
    found = outcome(place)
    assert found.history == expected.history
    assert found.weights.keys() == expected.weights.keys()
    for name, weight in expected.weights.items():
        np.testing.assert_array_equal(found.weights[name], weight, err_msg=name)
    np.testing.assert_array_equal(found.probabilities, expected.probabilities)
    assert found.validation == expected.validation
    assert found.files == expected.files
    # The crops' name is a hash of the data set's place.
    for kind in ("images-", "synthetic-"):
        assert sum(name.startswith(kind) for name in found.caches) == 1
    assert len(found.caches) == len(expected.caches)


def side_by_side(run: Callable[[Any], None], items: Iterable[Any]) -> None:
    """Call a function for each item, in two threads, each of which waits for its processes."""
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(run, items))


@pytest.fixture(scope="module")
def forks() -> ForkServerContext:
    """The server that forks a process, TensorFlow imported, for every attempt."""
    context = multiprocessing.get_context("forkserver")
    names = ("cli", "training.train", "reports.plots.registry", "recognition.recognizer")
    context.set_forkserver_preload(["pytest", "h5py", *(f"emodetect.{name}" for name in names)])
    return context


@pytest.fixture(scope="module")
def uninterrupted(
    forks: ForkServerContext, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Place, Outcome]:
    """A run that nothing disturbed, and what it left."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    place = Place(forks, folder / "run", folder / "cache")
    place.finish()
    return place, outcome(place)


def test_early_stopping_ends_the_run(uninterrupted: tuple[Place, Outcome]) -> None:
    """The run of this file's tests is long enough to be killed often, and stops early."""
    rows = list(csv.DictReader(uninterrupted[1].history.splitlines()))
    assert 6 < len(rows) < EPOCHS


@pytest.mark.nightly
def test_kills_at_random_steps(uninterrupted: tuple[Place, Outcome], tmp_path: Path) -> None:
    """Killed at ten random moments of training and resumed, runs end as the undisturbed one."""
    undisturbed, expected = uninterrupted
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed of the kills: {seed}")

    def kill_often(number: int) -> None:
        draw = random.Random(seed + number)
        kills = 0
        for again in itertools.count():
            place = Place(undisturbed.forks, tmp_path / f"{number}-{again}", undisturbed.cache)
            while not place.finished:
                if kills == RANDOM_KILLS // 2:
                    place.finish()
                    break
                # After the step come others, and about as often the end of an epoch.
                process, reached = place.start_until(draw.randint(1, 2 * STEPS))
                if reached:
                    time.sleep(draw.uniform(0, 0.3))
                    process.kill()
                process.join()
                assert process.exitcode in (0, KILLED), place.log
                kills += process.exitcode == KILLED
            assert_same(place, expected)
            if kills == RANDOM_KILLS // 2:
                break

    side_by_side(kill_often, range(2))


@pytest.mark.nightly
def test_kills_where_something_is_half_written(
    uninterrupted: tuple[Place, Outcome], tmp_path: Path
) -> None:
    """Killed while a cache, config, state, best weights, history or artifact is half written."""
    undisturbed, expected = uninterrupted
    names = list(PLACES)
    middle = names.index("best weights half written")
    chains = {
        "first": (tmp_path / "cache", names[:middle]),
        "second": (undisturbed.cache, names[middle:]),
    }

    def kill_at_each(chain: str) -> None:
        cache, moments = chains[chain]
        (tmp_path / chain).mkdir()
        place = Place(undisturbed.forks, tmp_path / chain / "run", cache)
        for moment in moments:
            assert place.attempt(partial(PLACES[moment], die)) == KILLED, (moment, place.log)
            assert not place.finished
        place.finish()
        assert_same(place, expected)

    side_by_side(kill_at_each, chains)


@pytest.mark.parametrize(
    "in_training",
    [
        ("epoch trained but not saved", "history half a row"),
        pytest.param(
            (
                "state's weights half written",
                "best weights half written",
                "artifact half written",
            ),
            marks=pytest.mark.nightly,
        ),
    ],
    ids=["two places", "three more"],
)
def test_a_full_disk_at_each_place_is_one_line(
    uninterrupted: tuple[Place, Outcome], tmp_path: Path, in_training: tuple[str, ...]
) -> None:
    """A disk that fills up while something is written is one line; no finished epoch is lost."""
    undisturbed, expected = uninterrupted
    full = {name: partial(arm, fill_disk) for name, arm in PLACES.items()}
    full["epoch trained but not saved"] = no_space_after_validation
    chains = {
        "first": ("faces half drawn", "crops without index", "run folder without config"),
        "second": in_training,
    }

    def fill_at_each(chain: str) -> None:
        cache = tmp_path / "cache" if chain == "first" else undisturbed.cache
        (tmp_path / chain).mkdir()
        place = Place(undisturbed.forks, tmp_path / chain / "run", cache)
        saved = 0
        for moment in chains[chain]:
            assert place.attempt(full[moment]) == 1, (moment, place.log)
            *before, last = place.log.splitlines()
            told = r"error: .*(No space left on device|the disk has 1 kB left).*free up space"
            assert re.match(told, last), place.log
            assert not re.search("Traceback|Exception", "\n".join(before)), place.log
            if not (place.run / "checkpoints" / "finished.json").is_file():
                states = [int(path.name[-4:]) for path in place.run.glob("checkpoints/epoch-*")]
                assert max(states, default=0) >= saved
                saved = max(states, default=0)
        place.finish()
        assert_same(place, expected)

    side_by_side(fill_at_each, chains)


def test_two_processes_make_the_same_cache(
    uninterrupted: tuple[Place, Outcome], tmp_path: Path
) -> None:
    """Of two processes that draw and decode the same data at once, both end well, in one cache."""
    undisturbed, expected = uninterrupted
    barrier = undisturbed.forks.Barrier(2, timeout=120)
    # Each has finished its own copy, and puts it into place together with the other.
    meet = partial(on_event, "os.rename", r"(images|synthetic)-\w+$", barrier.wait)
    places = [Place(undisturbed.forks, tmp_path / name, tmp_path / "cache") for name in "ab"]
    processes = []
    for place in places:
        words = ["data", "show", *place.config, "--output", str(place.run.with_suffix(".png"))]
        processes.append(fork(place.forks, words, place.run.with_suffix(".log"), (meet,)))
    for place, process in zip(places, processes, strict=True):
        process.join()
        assert process.exitcode == 0, place.log
    assert len(list((tmp_path / "cache").iterdir())) == len(expected.caches)
    for name in ("images.bin", "left_out.json"):
        (made,) = (tmp_path / "cache").glob(f"images-*/{name}")
        (usual,) = undisturbed.cache.glob(f"images-*/{name}")
        assert made.read_bytes() == usual.read_bytes()


def test_a_run_in_progress_is_left_alone(
    uninterrupted: tuple[Place, Outcome], tmp_path: Path
) -> None:
    """A second process that would resume a run in progress is refused, and does it no harm."""
    place = Place(uninterrupted[0].forks, tmp_path / "run", uninterrupted[0].cache)
    process, _ = place.start_until(1)
    os.kill(process.pid or 0, signal.SIGSTOP)
    second = place.start(log=".second")
    second.join()
    os.kill(process.pid or 0, signal.SIGCONT)
    assert second.exitcode == 1
    refusal = place.run.with_suffix(".second").read_text()
    assert "another process is training this run" in refusal
    assert len(refusal.splitlines()) == 1
    process.join()
    assert process.exitcode == 0, place.log
    assert_same(place, uninterrupted[1])
