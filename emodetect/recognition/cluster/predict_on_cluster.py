"""The whole job of `predict --engine ray`: list the photos, analyse them, write Parquet files."""

from __future__ import annotations

import hashlib
import os
import pickle
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Any

import emodetect
from emodetect.errors import EmodetectError
from emodetect.images.reading import MOST_PIXELS
from emodetect.machine.computer import usable_cores
from emodetect.machine.progress import track
from emodetect.recognition.cluster.dataset_folder import (
    LOG,
    PHOTOS_PER_PART,
    DatasetFolder,
    PhotoList,
    open_dataset,
)
from emodetect.recognition.cluster.dispatch import PHOTOS_PER_TASK, Dispatcher
from emodetect.recognition.cluster.nodes import Needs, check_nodes, facts_here
from emodetect.recognition.cluster.photo_list import (
    file_sha256,
    hash_stdin,
    is_list_file,
    list_photos,
)
from emodetect.recognition.cluster.remote_files import is_url, scheme_of
from emodetect.recognition.cluster.session import check_ray, ray_session
from emodetect.recognition.cluster.worker import WorkerSetup
from emodetect.recognition.photos.file_search import LIST
from emodetect.recognition.photos.predict import PredictCounts
from emodetect.recognition.recognizer import EmotionRecognizer


@dataclass(frozen=True, kw_only=True)
class ClusterOptions:
    """Which photos to analyse on a Ray cluster, and where the results go.

    Attributes:
        images: see `list_photos`.
        null: the paths on standard input end with NUL instead of a line break.
        min_confidence: drop faces below this confidence; 0 to 1.
        output: folder of the Parquet files, on this machine.
        resume: continue the job in `output`.
        force: overwrite the job in `output`.
        address: "auto", HOST:PORT, or None to start Ray on this machine.
        workers: number of workers, each with one thread and one CPU of the cluster; if None, all
            CPUs that the cluster has, or the cores of this machine that this process may use.
        start_timeout_s: how long to wait while no worker can start.
        max_pixels: see `PhotoOptions`.
    """

    images: tuple[Path | str, ...]
    null: bool = False
    min_confidence: float = 0.0
    output: Path
    resume: bool = False
    force: bool = False
    address: str | None = None
    workers: int | None = None
    start_timeout_s: float = 60.0
    max_pixels: int = MOST_PIXELS


def predict_on_cluster(
    options: ClusterOptions,
    open_recognizer: Callable[..., EmotionRecognizer],
    *,
    say: Callable[[str], object] = print,
) -> PredictCounts:
    """Find the emotions of all faces in photos, each exactly once, and write a Parquet data set.

    Args:
        open_recognizer: opens the recogniser, with a keyword `threads`.
        say: gets lines for the user, such as where Ray's log is.

    Raises:
        EmodetectError: if Ray, the model, a source, a node or the output cannot be used. A photo
            that cannot be read is not an error; its row says why.
    """
    check_ray(options.address)
    for source in options.images:
        if isinstance(source, str):
            scheme_of(source)
    recognizer = open_recognizer(threads=1)
    counts = PredictCounts()
    job = _job(options, recognizer)
    with open_dataset(options.output, job, resume=options.resume, force=options.force) as dataset:
        _complete_list(options, dataset, say)
        with dataset.open_list() as photos:
            counts.skipped = photos.done()
            counts.not_read.update(photos.not_read)
            if counts.skipped < len(photos):
                _analyse(options, recognizer, dataset, photos, counts, say)
    return counts


def _job(options: ClusterOptions, recognizer: EmotionRecognizer) -> dict[str, Any]:
    """Return what must not change between the runs of a job, as JSON values."""
    detector = Path(recognizer.detector_name)
    return {
        "emodetect": emodetect.__version__,
        "sources": [str(source) for source in options.images],
        "lists": {
            str(source): file_sha256(Path(source))
            for source in options.images
            if is_list_file(source)
        },
        "folder": str(Path.cwd()),
        "model": file_sha256(recognizer.path),
        "detector": file_sha256(detector) if detector.is_file() else str(detector),
        "runtime": recognizer.runtime_name,
        "uncertain_below": recognizer.uncertain_below,
        "tta": recognizer.tta,
        "min_confidence": options.min_confidence,
        "max_pixels": options.max_pixels,
        "photos_per_part": PHOTOS_PER_PART,
    }


def _complete_list(
    options: ClusterOptions, dataset: DatasetFolder, say: Callable[[str], object]
) -> None:
    """Write the list of photos, or check that the one there is of the same standard input."""
    seen = hashlib.sha256()
    if not dataset.has_list:
        not_read: Counter[str] = Counter()
        names: Iterator[str] = list_photos(
            options.images, null=options.null, not_read=not_read, seen=seen
        )
        names = track(names, description="listing", total=None)
        dataset.write_list(names, not_read, seen)
        return
    if LIST in options.images:
        hash_stdin(null=options.null, seen=seen)
    with dataset.open_list() as photos:
        if photos.standard_input != seen.hexdigest():
            raise EmodetectError(
                f"{dataset.path}: cannot be resumed: standard input lists other photos than when "
                "it was started; give the same list, or another folder."
            )
        say(f"{dataset.path}: continues with its list of {len(photos):,} photos")


def _analyse(
    options: ClusterOptions,
    recognizer: EmotionRecognizer,
    dataset: DatasetFolder,
    photos: PhotoList,
    counts: PredictCounts,
    say: Callable[[str], object],
) -> None:
    log = dataset.path / LOG
    # Ray itself ends this process, without a word, if its head or its process here is gone.
    say(f"log of Ray: {log} (if this ends without a word, Ray was lost: continue with --resume)")
    with ray_session(options.address, cpus=options.workers, log=log) as ray:
        needs = _needs(recognizer, photos)
        check_nodes(ray, needs, facts_here(needs), say)
        left = len(photos) - counts.skipped
        dispatcher = Dispatcher(
            ray,
            WorkerSetup(
                pickle.dumps(recognizer),
                options.min_confidence,
                str(Path.cwd()),
                emodetect.__version__,
                file_sha256(recognizer.path),
                options.max_pixels,
            ),
            count=min(_workers(options, ray), -(-left // PHOTOS_PER_TASK)),
            emotions=recognizer.emotions,
            write_part=dataset.write_part,
            start_timeout_s=options.start_timeout_s,
            say=say,
        )
        done: Iterator[None] = _counted(dispatcher.run(photos.remaining()), counts)
        for _ in track(done, description="analysing", total=len(photos), done=counts.skipped):
            pass


def _counted(finished: Iterator[tuple[int, int, int]], counts: PredictCounts) -> Iterator[None]:
    """Yield once for each photo."""
    for done, failed, faceless in finished:
        counts.done += done
        counts.failed += failed
        counts.faceless += faceless
        yield from repeat(None, done)


def _workers(options: ClusterOptions, ray: Any) -> int:
    if options.workers is not None:
        return options.workers
    if options.address is None:
        return usable_cores()
    return max(1, int(ray.cluster_resources().get("CPU", 0)))


def _needs(recognizer: EmotionRecognizer, photos: PhotoList) -> Needs:
    detector = Path(recognizer.detector_name)
    ends = dict.fromkeys(photos.ends())
    return Needs(
        model=recognizer.model_name,
        files=(str(detector.absolute()),) if detector.is_file() else (),
        photos=tuple(name if is_url(name) else os.path.abspath(name) for name in ends),  # noqa: PTH100
    )
