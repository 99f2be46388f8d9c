"""Break images of every format at random, and give them to `emodetect predict` and to the server.

\b
    python scripts/stress/images.py
    python scripts/stress/images.py --count 1000 --seed 7

Every file must get its row, in order; nothing may end a process, print a traceback, take longer
than 5 s or more memory than a few large photos. Exit status 1 if anything failed.
"""

from __future__ import annotations

import csv
import io
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click
import cv2
import httpx
import numpy as np
from mutations import mutated_bytes
from PIL import Image, ImageCms
from processes import server, watched_memory
from tally import Tally

from emodetect.data.synthetic import draw_scene

FILES_AT_ONCE = 1000
MEGAPIXELS = 20
LONGEST_S = 5.0
# Of one process: libraries, and two images of 20 megapixels at 12 bytes each.
MOST_BYTES = 900 * 2**20


def samples() -> dict[str, bytes]:
    """Return a small image of every format and mode that is read, by a name with its suffix."""
    bgr = draw_scene(["happy"], np.random.default_rng(0), width=160, height=120).image
    rgb = Image.fromarray(np.ascontiguousarray(bgr[:, :, ::-1]))
    grey, alpha = rgb.convert("L"), rgb.copy()
    alpha.putalpha(grey)
    exif = Image.Exif()
    exif[0x112] = 6
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    deep = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    chosen: dict[str, tuple[Image.Image, str, dict[str, object]]] = {
        "plain.jpg": (rgb, "JPEG", {"exif": exif, "icc_profile": profile}),
        "progressive.jpg": (rgb, "JPEG", {"progressive": True}),
        "grey.jpg": (grey, "JPEG", {}),
        "print.jpg": (rgb.convert("CMYK"), "JPEG", {}),
        "rgb.png": (rgb, "PNG", {"icc_profile": profile, "exif": exif}),
        "alpha.png": (alpha, "PNG", {"icc_profile": profile}),
        "palette.png": (rgb.quantize(64), "PNG", {"transparency": 3}),
        "deep.png": (deep, "PNG", {}),
        "lossy.webp": (rgb, "WEBP", {}),
        "alpha.webp": (alpha, "WEBP", {"lossless": True, "exif": exif}),
        "animated.webp": (rgb, "WEBP", {"save_all": True, "append_images": [alpha.convert("RGB")]}),
        "rgb.bmp": (rgb, "BMP", {}),
        "palette.bmp": (rgb.quantize(16), "BMP", {}),
        "plain.tif": (rgb, "TIFF", {}),
        "packed.tif": (alpha, "TIFF", {"compression": "tiff_lzw"}),
        "deep.tif": (deep, "TIFF", {"compression": "tiff_deflate"}),
        "jpeg.tif": (rgb, "TIFF", {"compression": "jpeg"}),
        "photo.avif": (rgb, "AVIF", {"exif": exif}),
        "alpha.avif": (alpha, "AVIF", {}),
        "animated.gif": (rgb, "GIF", {"save_all": True, "append_images": [grey]}),
        "photo.jp2": (rgb, "JPEG2000", {}),
        "deep.jp2": (deep, "JPEG2000", {}),
        "rgb.ppm": (rgb, "PPM", {}),
        "grey.pgm": (grey, "PPM", {}),
        "bits.pbm": (grey.convert("1"), "PPM", {}),
    }
    found = {}
    for name, (image, form, options) in chosen.items():
        file = io.BytesIO()
        image.save(file, form, **options)
        found[name] = file.getvalue()
    return {**found, **{f"{name}.heic": data for name, data in heic_samples().items()}}


def heic_samples() -> dict[str, bytes]:
    """Return the HEIC photos of the tests; no library here writes that format."""
    tests = Path(__file__).parents[2] / "tests"
    sys.path.insert(0, str(tests))
    from heic import HEIC

    return dict(HEIC)


def broken_images(count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """Yield a name and the bytes of each broken image."""
    rng = random.Random(seed)
    whole = samples()
    for number in range(count):
        name = rng.choice(list(whole))
        yield f"{number:06d}-{name}", mutated_bytes(whole[name], list(whole.values()), rng)


def try_predict(files: list[tuple[str, bytes]], scratch: Path, tally: Tally) -> None:
    """Run `emodetect predict` over a folder of broken images."""
    folder, output = scratch / "photos", scratch / "rows.csv"
    folder.mkdir()
    for name, data in files:
        (folder / name).write_bytes(data)
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "emodetect", "predict", str(folder), "--output", str(output)),
            *("--workers", "2", "--max-pixels", str(MEGAPIXELS), "--force"),
        ],
        stderr=subprocess.PIPE,
        text=True,
    )
    with watched_memory(process.pid) as most:
        longest_s, size, since = 0.0, -1, time.monotonic() + 10  # it takes a while to start
        while process.poll() is None:
            time.sleep(0.05)
            now = output.stat().st_size if output.exists() else -1
            if now != size:
                size, since = now, time.monotonic()
            longest_s = max(longest_s, time.monotonic() - since)
    errors = process.stderr.read() if process.stderr else ""
    rows = list(csv.DictReader(output.open(encoding="utf-8")))
    names = list(dict.fromkeys(Path(row["path"]).name for row in rows))
    with tally.attempt("predict: exit status", process.returncode):
        assert process.returncode in (0, 1)
    with tally.attempt("predict: quiet", errors[:500]):
        assert "Traceback" not in errors
        assert errors.count("\n") <= 3
    with tally.attempt("predict: no wait over 5 s"):
        assert longest_s < 2 * LONGEST_S, f"{longest_s:.1f} s without a row"  # rows come by 16
    with tally.attempt("predict: memory"):
        assert most[0] < MOST_BYTES, f"{most[0] / 2**20:.0f} MiB"
    for expected, found in zip([name for name, _ in files], names, strict=False):
        if expected != found:
            tally.count("predict: a row for each file", f"expected {expected}, got {found}")
            break
    died = [row["path"] for row in rows if "worker process died" in row["error"]]
    tally.count("predict: a row for each file", times=len(files))
    for path in died:
        tally.count("predict: a process died", path)


def try_server(files: list[tuple[str, bytes]], tally: Tally) -> None:
    """Send broken images to the server, four at once, each with a good one."""
    good = cv2.imencode(".jpg", draw_scene(["sad"], np.random.default_rng(1)).image)[1].tobytes()
    with (
        server("--workers", "2", "--max-pixels", str(MEGAPIXELS)) as (process, address),
        watched_memory(process.pid) as most,
        httpx.Client(base_url=address, timeout=60, trust_env=False) as client,
        ThreadPoolExecutor(4) as pool,
    ):

        def send(file: tuple[str, bytes]) -> None:
            name, data = file
            with tally.attempt("server: both rows", name):
                started = time.monotonic()
                uploads = [("files", (name, data)), ("files", ("good.jpg", good))]
                answer = client.post("/v1/analyze", files=uploads)
                assert answer.status_code == 200, f"{answer.status_code}: {answer.text[:200]}"
                assert answer.json()[1]["faces"], "no face in the good photo"
                assert time.monotonic() - started < LONGEST_S, "too slow"

        list(pool.map(send, files))
        with tally.attempt("server: alive and quiet"):
            assert process.poll() is None
        with tally.attempt("server: memory"):
            assert most[0] < MOST_BYTES, f"{most[0] / 2**20:.0f} MiB"


@click.command(help=__doc__)
@click.option("--count", default=10_000, show_default=True, type=click.IntRange(1))
@click.option("--seed", default=0, show_default=True)
def main(count: int, seed: int) -> None:
    """See the module."""
    tally = Tally()
    files: list[tuple[str, bytes]] = []
    for number, file in enumerate(broken_images(count, seed), start=1):
        files.append(file)
        if len(files) == FILES_AT_ONCE or number == count:
            with tempfile.TemporaryDirectory(prefix="emodetect-stress-") as scratch:
                try_predict(files, Path(scratch), tally)
            try_server(files, tally)
            print(f"{number:,} of {count:,}, {tally.failed} failures", flush=True)
            files = []
    tally.finish()


if __name__ == "__main__":
    main()
