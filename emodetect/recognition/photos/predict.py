"""The whole job of `emodetect predict`: find the photos, analyse them, write the results."""

from __future__ import annotations

import os
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from emodetect.errors import EmodetectError
from emodetect.machine.output_folder import FileKey, check_output_folder
from emodetect.machine.progress import track
from emodetect.machine.terminal_text import on_one_line
from emodetect.recognition.drawn_text import warn_of_boxes
from emodetect.recognition.photos.analysis import (
    Explainer,
    Photo,
    PhotoOptions,
    PhotoResult,
    analyze_photos,
    files_of,
)
from emodetect.recognition.photos.faster_detector import LONG_RUN_S, SAMPLE, yunet_speedup
from emodetect.recognition.photos.file_search import (
    LIST,
    find_photos,
    names_on_stdin,
    with_own_places,
)
from emodetect.recognition.photos.output_formats import WRITERS
from emodetect.recognition.photos.result_file import HeldPaths, HeldPhoto, open_photo_rows
from emodetect.recognition.photos.workers import PHOTOS_WITHOUT_WORKERS, analyze_many
from emodetect.recognition.recognizer import EmotionRecognizer

# Fewer photos are done before a progress bar would help.
PHOTOS_WITHOUT_PROGRESS = 20
# Machines differ by less in the probability that they compute for the same face.
SAME_SCORE = 0.01
FORMULA_BEGINNINGS = ("=", "+", "-", "@")


@dataclass(frozen=True, kw_only=True)
class PredictOptions(PhotoOptions):
    """Which photos to analyse, what to do with their faces, and where the results go.

    `originals` and `explainer` are set by `predict_photos`.

    Attributes:
        images: files, folders and patterns; Path("-") for the list on standard input.
        null: the paths in that list end with NUL instead of a line break.
        output_format: "table", "json", "jsonl" or "csv".
        output: a file for the results, "jsonl" or "csv", each written as soon as it is ready.
        resume: skip the photos that `output` already contains.
        force: overwrite `output`, and write to folders that are not empty.
        workers: see `analyze_many`.
        progress: show a progress bar on stderr if that is a terminal.
    """

    images: tuple[Path, ...]
    null: bool = False
    output_format: str = "table"
    output: Path | None = None
    resume: bool = False
    force: bool = False
    workers: int | None = None
    progress: bool = True


@dataclass
class PredictCounts:
    """What came of a run of `predict`.

    Attributes:
        done: number of photos analysed.
        failed: of these, the ones that could not be read.
        skipped: number of photos that the output already had.
        faces: number of faces in the results.
        faceless: number of photos that were read, but have no face in the results.
        formulas: number of paths that a spreadsheet would take for formulas.
        yunet_speedup: after a long run, how many times as fast YuNet would have been, if known.
        not_read: number of other files found in the folders, by kind; see `find_photos`.
    """

    done: int = 0
    failed: int = 0
    skipped: int = 0
    faces: int = 0
    faceless: int = 0
    formulas: int = 0
    yunet_speedup: float | None = None
    not_read: Counter[str] = field(default_factory=Counter)


def predict_photos(
    options: PredictOptions,
    open_recognizer: Callable[..., EmotionRecognizer],
    *,
    open_explainer: Callable[[Path], Explainer] | None = None,
    write: Callable[[str], object] = print,
) -> PredictCounts:
    """Find the emotions of all faces in photos, and write the results in the order of the photos.

    Args:
        open_recognizer: see `analyze_many`.
        open_explainer: opens what draws the heat maps for `options.explain`, given the path of
            the model: `emodetect.evaluation.grad_cam.GradCam`.
        write: gets the text of each photo if there is no `options.output`.

    Raises:
        EmodetectError: if the model, an input list or an output cannot be used. A photo that
            cannot be read is not an error; its result says why.
    """
    for folder in options.folders:
        check_output_folder(folder, force=options.force or options.resume)
    recognizer = open_recognizer()
    if options.annotate is not None:
        warn_of_boxes(recognizer.emotions)
    explainer = None if open_explainer is None else open_explainer(recognizer.path)
    counts = PredictCounts()
    started, sample = time.monotonic(), deque[str](maxlen=SAMPLE)
    photos, originals = _find(options, counts.not_read)
    # One of the first photos may have crashed the run that left the file.
    interrupted = options.resume and options.output is not None and options.output.is_file()
    with ExitStack() as stack:
        rows, skipped = None, list[Photo]()
        if options.output is not None:
            rows = stack.enter_context(
                open_photo_rows(
                    options.output,
                    options.output_format,
                    recognizer.emotions,
                    resume=options.resume,
                    force=options.force,
                    check=partial(_check_same_results, options, recognizer),
                )
            )
            photos = _without_held(photos, rows.held, counts, skipped if originals else None)
            if originals:  # where those that are skipped may have results
                photos = iter(list(photos))
        if options.folders:
            photos = with_own_places(photos, after=skipped)
        analysis = analyze_many(
            photos,
            recognizer,
            replace(options, originals=originals, explainer=explainer),
            open_recognizer=open_recognizer,
            workers=options.workers,
            without_workers=0 if interrupted else PHOTOS_WITHOUT_WORKERS,
        )
        stack.enter_context(closing(analysis))  # ends the workers, whatever happens
        results = _counted(analysis, counts, sample)
        if options.progress:
            results = _with_progress(results, options, held=0 if rows is None else len(rows.held))
        lines = WRITERS[options.output_format](results, recognizer.emotions)
        if rows is not None and rows.has_header:
            next(lines)
        for line in lines:
            write(line) if rows is None else rows.write(line)
    if time.monotonic() - started >= LONG_RUN_S:
        counts.yunet_speedup = yunet_speedup(recognizer, sample)
    return counts


def _find(
    options: PredictOptions, not_read: Counter[str]
) -> tuple[Iterator[Photo | None], frozenset[FileKey]]:
    """Return the photos, and the files of those that a result could overwrite."""
    folders = options.folders
    names = names_on_stdin(null=options.null) if LIST in options.images else ()
    photos = find_photos(
        options.images,
        listed=(None if name is None else Path(name) for name in names),
        leave_out=[*folders, options.output],
        not_read=not_read,
    )
    if not any(map(_holds_files, folders)):
        return photos, frozenset()
    known = list(photos)
    return iter(known), files_of(known)


def _holds_files(folder: Path) -> bool:
    # By its real path: `new/..` does not exist yet, but will.
    real = Path(os.path.realpath(folder))
    return real.is_dir() and any(real.iterdir())


def _check_same_results(
    options: PredictOptions, recognizer: EmotionRecognizer, latest: list[HeldPhoto]
) -> None:
    """Raise EmodetectError if photos that `options.output` holds get other results now.

    Otherwise the file would end with those of two models or settings, which no row tells apart.
    """
    again = replace(options, annotate=None, save_crops=None, explain=None)
    photos = [Photo(Path(held.path), Path()) for held in latest]
    compared, other = 0, list[str]()
    for held, result in zip(latest, analyze_photos(photos, recognizer, again), strict=True):
        if result.error is not None:
            continue  # moved or deleted since
        compared += 1
        found = [(face.emotion, list(face.scores.values())) for face in result.faces]
        if [emotion for emotion, _ in found] != [emotion for emotion, _ in held.faces] or any(
            not abs(new - old) <= SAME_SCORE  # nor nan
            for (_, scores), (_, kept) in zip(found, held.faces, strict=True)
            for new, old in zip(scores, kept, strict=True)
        ):
            other.append(held.path)
    # A single one of several may have been edited since.
    if len(other) > 1 or 2 * len(other) >= compared > 0:
        raise EmodetectError(
            f"{options.output}: cannot be resumed: {on_one_line(other[0])} has other results in "
            "it than it gets now; use the model and the options that the file was created with, "
            "or another file."
        )


def _without_held(
    photos: Iterable[Photo | None],
    held: HeldPaths,
    counts: PredictCounts,
    skipped: list[Photo] | None,
) -> Iterator[Photo | None]:
    for photo in photos:
        if photo is not None and held.take(str(photo.path)):
            counts.skipped += 1
            if skipped is not None:
                skipped.append(photo)
        else:
            yield photo


def _counted(
    results: Iterable[PhotoResult], counts: PredictCounts, sample: deque[str]
) -> Iterator[PhotoResult]:
    for result in results:
        counts.done += 1
        sample.append(result.path)
        counts.failed += result.error is not None
        counts.faces += len(result.faces)
        counts.faceless += result.error is None and not result.faces
        counts.formulas += result.path.startswith(FORMULA_BEGINNINGS)
        yield result


def _with_progress(
    results: Iterator[PhotoResult], options: PredictOptions, *, held: int
) -> Iterator[PhotoResult]:
    def count() -> int:
        return sum(1 for _ in find_photos(options.images, leave_out=options.folders)) - held

    for number, result in enumerate(results, start=1):
        yield result
        if number == PHOTOS_WITHOUT_PROGRESS:
            # A list on standard input cannot be read twice.
            total = None if LIST in options.images else count
            yield from track(results, description="analysing", total=total, done=number)
