"""Compare the recogniser with Keras' `model.predict` on one cropped face.

\b
    python scripts/bench/single_face.py [--model FILE] [--threads N]

Both get the same crop, in turn and in one process, after a warm-up. `classify` prepares the pixels,
runs the network, checks the output and applies the temperature; `model.predict` gets prepared
pixels. A round is many calls of each; the best of three rounds' medians counts.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import click
import numpy as np

from emodetect.data.synthetic import draw_face
from emodetect.machine.tensorflow_devices import use_tensorflow
from emodetect.recognition.recognizer import EmotionRecognizer

ROUNDS = 3
CALLS = {"recogniser": 300, "model.predict": 30}  # per round
WARM_UP_CALLS = 5


@click.command(help=__doc__)
@click.option("--model", help="A .keras file written by emodetect, or the name of a shipped model.")
@click.option("--threads", type=click.IntRange(1), help="Threads of the recogniser.")
def main(model: str | None, threads: int | None) -> None:
    recognizer = EmotionRecognizer(model, detector="none", threads=threads)
    use_tensorflow()
    import keras

    network = keras.models.load_model(recognizer.path, compile=False)
    crop = draw_face("happy", np.random.default_rng(0))
    pixels = recognizer.metadata.input_of(crop)[np.newaxis]
    calls: dict[str, Callable[[], np.ndarray]] = {
        "recogniser": lambda: recognizer.classify([crop]),
        "model.predict": lambda: network.predict(pixels, verbose=0),
    }
    medians: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(ROUNDS):
        for name, call in calls.items():
            medians[name].append(median_ms(call, CALLS[name]))
    best = {name: min(times) for name, times in medians.items()}
    for name, times in medians.items():
        each = " ".join(f"{one:.2f}" for one in times)
        print(f"{name:<16}{best[name]:>9.2f} ms   rounds: {each}")
    print(f"the recogniser is {best['model.predict'] / best['recogniser']:.1f} times as fast")


def median_ms(call: Callable[[], np.ndarray], count: int) -> float:
    """Return the median milliseconds of a call, after a warm-up."""
    for _ in range(WARM_UP_CALLS):
        call()
    times = []
    for _ in range(count):
        started = time.perf_counter()
        call()
        times.append(1000 * (time.perf_counter() - started))
    return statistics.median(times)


if __name__ == "__main__":
    main()
