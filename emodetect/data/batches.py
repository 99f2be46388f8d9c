"""Training batches whose order and augmentation are determined by seed and step alone.

Keras' augmentation layers keep a random state, so a resumed run would continue with different
random numbers from the run that was killed. Here each batch is computed from (seed, step), so a
resumed run sees the batches it would have seen without the interruption.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from emodetect.config import AugmentationConfig
from emodetect.data.augmentation import augment, mix
from emodetect.data.cache.image_cache import StoredImages

Images = np.ndarray | StoredImages

# The images of an epoch that may be left out, because they fill no batch.
LEFT_OUT = 0.02


def even_batches(count: int, batch_size: int, *, multiple_of: int = 1) -> tuple[int, int]:
    """Return the number of batches in an epoch of `count` images, and their size.

    Batches of `batch_size` would leave out half of 127 images with a size of 64. The size is the
    largest, above half of `batch_size`, that leaves out at most 2%, or else the fewest images.

    Args:
        multiple_of: what the size must be divisible by; at most `count` and `batch_size`.
    """
    largest = min(batch_size, count)
    sizes = [size for size in range(largest, largest // 2, -1) if size % multiple_of == 0]
    few = (size for size in sizes if count % size <= LEFT_OUT * count)
    size = next(few, None) or min(sizes, key=lambda size: count % size)
    return count // size, size


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

    Each epoch is a new permutation; it leaves out the images that do not fill a batch.

    Args:
        images: (n, size, size, channels) uint8.
        targets: (n, classes) float32, the probability of each class.
        members: positions of the training images.
        balanced: show each class equally often, repeating images of rare classes in an epoch.
        class_weights: (classes,) float32; an image's weight follows from its target.

    Yields:
        (batch, size, size, channels) float32 in 0-255, (batch, classes) float32, and with class
        weights (batch,) float32, the weight of each image's loss.
    """
    batch_size = min(batch_size, len(members))
    labels = targets[members].argmax(axis=1) if balanced else None
    positions = _shuffled(members, labels, batch_size=batch_size, seed=seed)
    load = _loader(images, targets, positions, batch_size=batch_size)

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


def _shuffled(
    members: np.ndarray, labels: np.ndarray | None, *, batch_size: int, seed: int
) -> Callable[[int], np.ndarray]:
    """Return a function from a step to the positions of its images.

    Args:
        labels: of the members, to show each class equally often; None for all images once.
    """
    steps = len(members) // batch_size
    order: dict[int, np.ndarray] = {}  # of the current epoch only

    def positions(step: int) -> np.ndarray:
        epoch, batch = divmod(step, steps)
        if epoch not in order:
            generator = np.random.default_rng([seed, epoch])
            order.clear()
            order[epoch] = (
                generator.permutation(members)
                if labels is None
                else _balanced_order(members, labels, generator)
            )
        return order[epoch][batch * batch_size : (batch + 1) * batch_size]

    return positions


def _loader(
    images: Images,
    targets: np.ndarray,
    positions: Callable[[int], np.ndarray],
    *,
    batch_size: int | None,
) -> Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]:
    """Return a function that loads the images and targets at the `positions` of a number."""

    def read(number: np.int64) -> tuple[np.ndarray, np.ndarray]:
        chosen = positions(int(number))
        return images[chosen], targets[chosen]

    def load(number: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        batch, target = tf.numpy_function(read, [number], (tf.uint8, tf.float32))
        batch.set_shape((batch_size, *images.shape[1:]))
        target.set_shape((batch_size, targets.shape[1]))
        return batch, target

    return load


def balancing_weights(targets: np.ndarray) -> np.ndarray:
    """Return class weights that count all classes equally, with a mean weight of 1 per image.

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
        # Every image of the class once before any is repeated.
        rounds = [generator.permutation(pool) for _ in range(-(-wanted // len(pool)))]
        drawn.append(np.concatenate([pool[:0], *rounds])[:wanted])
    return generator.permutation(np.concatenate(drawn))


def evaluation_batches(
    images: Images, targets: np.ndarray, members: np.ndarray, *, batch_size: int
) -> tf.data.Dataset:
    """Return all `members`, in order and not augmented; the last batch may be smaller."""
    load = _loader(
        images, targets, lambda start: members[start : start + batch_size], batch_size=None
    )

    def load_as_float(start: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        batch, target = load(start)
        return tf.cast(batch, tf.float32), target

    return tf.data.Dataset.range(0, len(members), batch_size).map(load_as_float).prefetch(4)
