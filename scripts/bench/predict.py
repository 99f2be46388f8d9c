"""Compare `emodetect predict photo.jpg` with scripts that run the same model.

\b
    python scripts/bench/predict.py [PHOTO] [--model FILE]

One script uses Keras, as most do. The other is the floor: the least that prints the same with the
libraries of `predict` (OpenCV, NumPy and LiteRT), from a network that lies beside it unpacked.

All are whole processes, from the start of Python to the printed emotions. They take turns: once to
warm the system's file cache, then three times. The best time and the lowest peak memory of each
count. Without PHOTO, a scene of three faces is drawn.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import click
from measuring import Finished, run_process

TURNS = 3
DRAW = """
import sys
import cv2, numpy
from emodetect.data.synthetic import draw_scene
scene = draw_scene(["happy", "sad", "surprise"], numpy.random.default_rng(0))
cv2.imwrite(sys.argv[1], scene.image)
"""
MODEL = """
import pathlib, sys, zipfile
from emodetect.model_file.artifact import COMPILED, read_artifact
from emodetect.model_file.shipped_models import model_path
artifact = read_artifact(model_path(sys.argv[1] or None))
pathlib.Path(sys.argv[2]).write_bytes(zipfile.ZipFile(artifact.path).read(COMPILED))
print(artifact.path, ",".join(artifact.metadata.emotions), sep="\\n")
"""
# What one would write with Keras and OpenCV; its arguments are model, photo and labels.
WITH_KERAS = """
import os, sys
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import cv2
import keras
import numpy as np

model = keras.models.load_model(sys.argv[1], compile=False)
_, size, _, channels = model.input_shape
image = cv2.imread(sys.argv[2])
gray = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
haar = cv2.CascadeClassifier(cv2.data.haarcascades + "haarcascade_frontalface_default.xml")
boxes = haar.detectMultiScale(gray, 1.1, 5, minSize=(40, 40))
pixels = gray if channels == 1 else cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
crops = [cv2.resize(pixels[y : y + h, x : x + w], (size, size)) for x, y, w, h in boxes]
if crops:
    batch = np.array(crops, np.float32).reshape(-1, size, size, channels)
    for scores in model.predict(batch, verbose=0):
        best = scores.argmax()
        print(sys.argv[3].split(",")[best], f"{scores[best]:.0%}")
"""

# The same with LiteRT; its arguments are network, photo and labels.
BARE = """
import sys
import cv2
import numpy as np
from ai_edge_litert.interpreter import Interpreter

network = Interpreter(model_path=sys.argv[1])
entry, exit = network.get_input_details()[0], network.get_output_details()[0]
_, size, _, channels = entry["shape"]
image = cv2.imread(sys.argv[2])
gray = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
haar = cv2.CascadeClassifier(cv2.data.haarcascades + "haarcascade_frontalface_default.xml")
boxes = haar.detectMultiScale(gray, 1.1, 5, minSize=(40, 40))
pixels = gray if channels == 1 else cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
network.allocate_tensors()
for x, y, w, h in boxes:
    crop = cv2.resize(pixels[y : y + h, x : x + w], (size, size))
    network.set_tensor(entry["index"], crop.reshape(1, size, size, channels).astype(entry["dtype"]))
    network.invoke()
    scores = network.get_tensor(exit["index"])[0]
    best = scores.argmax()
    print(sys.argv[3].split(",")[best], f"{scores[best]:.0%}")
"""


@click.command(help=__doc__)
@click.argument("photo", required=False, type=click.Path(exists=True, dir_okay=False))
@click.option("--model", help="A .keras file written by emodetect, or the name of a shipped model.")
def main(photo: str | None, model: str | None) -> None:
    with tempfile.TemporaryDirectory(prefix="emodetect-bench-") as folder:
        if photo is None:
            photo = str(Path(folder) / "scene.png")
            run_process([sys.executable, "-c", DRAW, photo])
        network = str(Path(folder) / "network.tflite")
        known = run_process([sys.executable, "-c", MODEL, model or "", network])
        path, labels = known.output.splitlines()
        commands = {
            "emodetect predict": [
                *(sys.executable, "-m", "emodetect", "predict", photo, "--model", path)
            ],
            "Keras script": [sys.executable, "-c", WITH_KERAS, path, photo, labels],
            "LiteRT script": [sys.executable, "-c", BARE, network, photo, labels],
        }
        runs: dict[str, list[Finished]] = {name: [] for name in commands}
        for turn in range(-1, TURNS):
            for name, command in commands.items():
                one = run_process(command)
                if turn >= 0:  # turn -1 warms up
                    runs[name].append(one)
    print_results(runs)


def print_results(runs: dict[str, list[Finished]]) -> None:
    """Print what each side printed, its best time and peak memory, and the ratios."""
    for name, turns in runs.items():
        print(f"{name}:")
        for line in turns[-1].output.splitlines():
            print(f"  {line}")
    best = {name: min(one.seconds for one in turns) for name, turns in runs.items()}
    peak = {name: min(one.peak_bytes for one in turns) for name, turns in runs.items()}
    print(f"{'':<20}{'best of 3, s':>14}{'peak, MB':>10}   each, s")
    for name, turns in runs.items():
        each = " ".join(f"{one.seconds:.2f}" for one in turns)
        print(f"{name:<20}{best[name]:>14.2f}{peak[name] / 1e6:>10.0f}   {each}")
    ours, theirs, floor = runs
    print(
        f"{ours} is {best[theirs] / best[ours]:.1f} times as fast as the {theirs}, with "
        f"{peak[ours] / peak[theirs]:.1%} of the memory; it takes {best[ours] / best[floor]:.2f} "
        f"times as long as the {floor}"
    )


if __name__ == "__main__":
    main()
