"""Batches for training: order and augmentation are functions of seed and step alone.

Keras' augmentation layers keep a random state, so a resumed run would continue with other
numbers than the one that was killed. Here each batch is computed from (seed, step): whatever
the step at which a run goes on, it sees the batches that it would have seen.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from emodetect.config import AugmentationConfig
from emodetect.data.augmentation import augment, mix
from emodetect.data.cache import StoredImages

Images = np.ndarray | StoredImages


def steps_per_epoch(count: int, batch_size: int) -> int:
    """Return how many full batches `count` images make; at least one."""
    return max(1, count // batch_size)


def training_batches(
    images: Images,
    targets: np.ndarray,
    members: np.ndarray,
    *,
    batch_size: int,
    seed: int,
    first_step: int,
    last_step: int,
    augmentation: AugmentationConfig,
    balanced: bool = False,
    class_weights: np.ndarray | None = None,
) -> tf.data.Dataset:
    """Return the augmented batches of steps `first_step` to `last_step` - 1.

    Each epoch is a new permutation; the images that fill no whole batch wait for the next one.

    Args:
        images: (n, size, size, channels) uint8.
        targets: (n, classes) float32, the probability of each class.
        members: positions of the images to train on.
        balanced: show each class equally often, the rare ones repeatedly in an epoch.
        class_weights: (classes,) float32; an image weighs as its target does.

    Yields:
        (batch, size, size, channels) float32 in 0-255, (batch, classes) float32, and with class
        weights (batch,) float32, the weight of each image's loss.
    """
    batch_size = min(batch_size, len(members))
    steps = steps_per_epoch(len(members), batch_size)
    labels = targets[members].argmax(axis=1)
    order: dict[int, np.ndarray] = {}  # of the present epoch

    def chosen(step: int) -> np.ndarray:
        epoch, position = divmod(step, steps)
        if epoch not in order:
            generator = np.random.default_rng([seed, epoch])
            order.clear()
            order[epoch] = (
                _balanced_order(members, labels, generator)
                if balanced
                else generator.permutation(members)
            )
        return order[epoch][position * batch_size : (position + 1) * batch_size]

    load = _loader(images, targets, chosen, batch_size=batch_size)

    def load_with_step(step: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        batch, target = load(step)
        return batch, target, step

    def change(batch: tf.Tensor, target: tf.Tensor, step: tf.Tensor) -> tuple[tf.Tensor, ...]:
        pixels = augment(batch, augmentation, seed=tf.stack([tf.cast(seed, tf.int64), step]))
        if augmentation.mixup or augmentation.cutmix:
            pixels, target = mix(pixels, target, augmentation, seed=seed, step=step)
        if class_weights is None:
            return pixels, target
        return pixels, target, tf.linalg.matvec(target, tf.constant(class_weights, tf.float32))

    return (
        tf.data.Dataset.range(first_step, last_step)
        .map(load_with_step)
        .map(change, num_parallel_calls=tf.data.AUTOTUNE)
        .prefetch(4)
    )


def _loader(
    images: Images,
    targets: np.ndarray,
    chosen: Callable[[int], np.ndarray],
    *,
    batch_size: int | None,
) -> Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]:
    """Return what loads the images and targets at the positions that a number has `chosen`."""

    def read(number: np.int64) -> tuple[np.ndarray, np.ndarray]:
        positions = chosen(int(number))
        return images[positions], targets[positions]

    def load(number: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        batch, target = tf.numpy_function(read, [number], (tf.uint8, tf.float32))
        batch.set_shape((batch_size, *images.shape[1:]))
        target.set_shape((batch_size, targets.shape[1]))
        return batch, target

    return load


def balancing_weights(targets: np.ndarray) -> np.ndarray:
    """Return a weight for each class, so that all weigh alike and the mean image weighs 1.

    Args:
        targets: (n, classes) float32, the probability of each class for the training images.

    Returns:
        (classes,) float32.
    """
    totals = targets.sum(axis=0, dtype=np.float64)
    weights: np.ndarray = len(targets) / (len(totals) * totals)
    return weights.astype(np.float32)


def _balanced_order(
    members: np.ndarray, labels: np.ndarray, generator: np.random.Generator
) -> np.ndarray:
    classes = np.unique(labels)
    shares = np.full(len(classes), len(members) // len(classes))
    shares[: len(members) % len(classes)] += 1
    drawn = []
    for label, wanted in zip(generator.permutation(classes), shares, strict=True):
        pool = members[labels == label]
        # All images of the class once before any comes again.
        rounds = [generator.permutation(pool) for _ in range(-(-wanted // len(pool)))]
        drawn.append(np.concatenate([pool[:0], *rounds])[:wanted])
    return generator.permutation(np.concatenate(drawn))


def evaluation_batches(
    images: Images, targets: np.ndarray, members: np.ndarray, *, batch_size: int
) -> tf.data.Dataset:
    """Return every one of `members`, in order and unchanged; the last batch may be smaller."""
    load = _loader(
        images, targets, lambda start: members[start : start + batch_size], batch_size=None
    )

    def load_as_float(start: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        batch, target = load(start)
        return tf.cast(batch, tf.float32), target

    return tf.data.Dataset.range(0, len(members), batch_size).map(load_as_float).prefetch(4)
