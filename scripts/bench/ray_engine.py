"""Measure `emodetect predict --engine ray` on this machine: speed and memory.

\b
    python scripts/bench/ray_engine.py speed
    python scripts/bench/ray_engine.py speed --photos faces/ --count 10000 --detector none
    python scripts/bench/ray_engine.py memory

`speed` takes turns with the local engine, on copies of the photos in a folder, or of drawn faces.
Starting is left out: of the local engine's time, that of a few photos is subtracted; of Ray's, the
time from the first Parquet file to the last but one counts. On a busy machine set
RAY_worker_niceness=0, or Ray's workers, which run at nice 15, get less of it than the local ones.

`memory` prints the peak memory of the driver, for lists of names whose files are missing: each
gets its row, and no time goes into photos.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import click
from measuring import Finished, run_process

FEW = 256
PHOTOS_PER_PART = 1024  # as in cluster/dataset_folder.py, whose imports would count as memory
DRAW = """
import sys
import cv2
from pathlib import Path
from drawn_inputs import drawn_faces
for number, face in enumerate(drawn_faces(200, size=48)):
    Path(sys.argv[1], f"{number}.png").write_bytes(cv2.imencode(".png", face)[1].tobytes())
"""


@click.group(help=__doc__)
def main() -> None:
    pass


@main.command()
@click.option(
    "--photos",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="[default: drawn faces]",
)
@click.option(
    "--count", default=10_000, show_default=True, type=click.IntRange(4 * PHOTOS_PER_PART)
)
@click.option("--detector", default="none", show_default=True)
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(1))
def speed(photos: Path | None, count: int, detector: str, rounds: int) -> None:
    """Compare photos/s with the local engine."""
    with tempfile.TemporaryDirectory(prefix="emodetect-bench-") as scratch:
        if photos is None:
            photos = Path(scratch) / "drawn"
            photos.mkdir()
            here = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
            run_process([sys.executable, "-c", here + DRAW, photos])
        files = sorted(path for path in photos.rglob("*") if path.is_file())
        many, few = Path(scratch) / "many", Path(scratch) / "few"
        for folder, size in ((many, count), (few, FEW)):
            folder.mkdir()
            for number in range(size):
                file = files[number % len(files)]
                (folder / f"{number:08d}{file.suffix}").write_bytes(file.read_bytes())
        rates: dict[str, list[float]] = {"local": [], "ray": []}
        for _ in range(rounds):
            short = predict(few, "local", scratch, "--detector", detector).seconds
            whole = predict(many, "local", scratch, "--detector", detector).seconds
            rates["local"].append((count - FEW) / (whole - short))
            predict(many, "ray", scratch, "--detector", detector)
            rates["ray"].append(steady_rate(Path(scratch) / "rows"))
    for engine, all_rounds in rates.items():
        each = ", ".join(f"{rate:,.0f}" for rate in all_rounds)
        print(f"{engine:<6} {max(all_rounds):>7,.1f} photos/s (best of {each})")
    print(f"ratio: {max(rates['ray']) / max(rates['local']):.2f}")


def steady_rate(output: Path) -> float:
    """Return the photos/s of a run of Ray, from the times of its files."""
    times = sorted(file.stat().st_mtime for file in output.glob("part-*"))[:-1]
    return PHOTOS_PER_PART * (len(times) - 1) / (times[-1] - times[0])


@main.command()
@click.option("--names", default="10000,100000,1000000", show_default=True)
def memory(names: str) -> None:
    """Print the driver's peak memory for lists of several lengths."""
    with tempfile.TemporaryDirectory(prefix="emodetect-bench-") as scratch:
        for count in map(int, names.split(",")):
            listed = Path(scratch) / f"{count}.txt"
            with listed.open("w") as file:
                file.writelines(f"/data/albums/{n // 1000}/IMG_{n:08d}.jpg\n" for n in range(count))
            done = predict(listed, "ray", scratch)
            print(
                f"{count:>10,} names: {done.peak_bytes / 1e6:,.0f} MB at most, "
                f"{done.seconds:.0f} s",
                flush=True,
            )


def predict(source: Path, engine: str, scratch: str, *words: str) -> Finished:
    """Run the command, with output that is overwritten the next time."""
    output = Path(scratch) / ("rows" if engine == "ray" else "rows.csv")
    command = [sys.executable, "-m", "emodetect", "predict", source, "--engine", engine]
    # Status 1 says that photos could not be read.
    return run_process([*command, "--output", output, "--force", *words], accepted=(0, 1))


if __name__ == "__main__":
    main()
