"""TensorBoard: event files in the folder `tensorboard` of the run."""

from __future__ import annotations

import json

import keras
import tensorflow as tf
from tensorboard.plugins.hparams import api as hparams

from emodetect.training.tracking.tracker import Outcome, TrackedRun


class TensorBoardTracker:
    """Writes what `tensorboard --logdir` shows."""

    def start(self, run: TrackedRun, identifier: str | None) -> str:
        self.folder = run.folder / "tensorboard"
        self.writer = tf.summary.create_file_writer(str(self.folder / "run"))
        if identifier is None:
            parameters = {
                name: value if isinstance(value, bool | int | float | str) else json.dumps(value)
                for name, value in run.parameters().items()
            }
            with self.writer.as_default(step=0):
                hparams.hparams(parameters)
                tf.summary.text("data", json.dumps(run.data))
                tf.summary.text("versions", json.dumps(run.versions))
            self.writer.flush()
        return str(self.folder)

    def callback(self) -> keras.callbacks.Callback:
        return keras.callbacks.TensorBoard(str(self.folder))

    def finish(self, run: TrackedRun, outcome: Outcome) -> None:
        with self.writer.as_default(step=int(outcome.figures["epoch"])):
            for name, value in outcome.figures.items():
                tf.summary.scalar(f"best/{name}", value)
            for plot in outcome.plots:
                pixels = tf.io.decode_png(plot.read_bytes(), channels=3)
                tf.summary.image(plot.stem, pixels[tf.newaxis])
            # TensorBoard stores no files.
            tf.summary.text("model", str(outcome.artifact))
            tf.summary.text("summary", "  \n".join(outcome.summary))

    def close(self, *, completed: bool) -> None:
        self.writer.close()
