"""Random augmentation of training images, determined by seed and step alone."""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf

from emodetect.config import AugmentationConfig
from emodetect.data.degradation import degrade


def mix(
    pixels: tf.Tensor,
    target: tf.Tensor,
    config: AugmentationConfig,
    *,
    seed: int,
    step: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Mix each image of a batch, and its target, with its neighbour.

    Mixup (Zhang et al. 2018) blends the two, CutMix (Yun et al. 2019) pastes a rectangle. If both
    are on, each batch uses one of them at random.

    Args:
        pixels: (batch, size, size, channels) float32.
        target: (batch, classes) float32.

    Returns:
        The same shapes.
    """
    count, size = pixels.shape[0], pixels.shape[1]

    def draw(step: np.int64) -> tuple[np.ndarray, np.ndarray]:
        generator = np.random.default_rng([seed, int(step), 1])
        cut = bool(config.cutmix) and not (config.mixup and generator.random() < 0.5)
        alpha = config.cutmix if cut else config.mixup
        kept = generator.beta(alpha, alpha, count)
        if not cut:
            return kept.astype(np.float32), np.zeros((count, 4), np.int32)
        half = np.sqrt(1 - kept)[:, None] * size / 2
        center = generator.uniform(0, size, (count, 2))
        corners = np.clip(np.rint(np.hstack([center - half, center + half])), 0, size)
        return np.ones(count, np.float32), corners.astype(np.int32)

    kept, box = tf.numpy_function(draw, [step], (tf.float32, tf.int32))
    kept, box = tf.reshape(kept, (count, 1)), tf.reshape(box, (count, 4))
    places = tf.range(size)[tf.newaxis]
    columns = (places >= box[:, 0:1]) & (places < box[:, 2:3])
    rows = (places >= box[:, 1:2]) & (places < box[:, 3:4])
    inside = (rows[:, :, tf.newaxis] & columns[:, tf.newaxis, :])[..., tf.newaxis]
    # Batches are in random order, so the neighbour is a random image.
    blend = kept[:, :, tf.newaxis, tf.newaxis]
    neighbour = tf.roll(pixels, 1, axis=0)
    mixed = tf.where(inside, neighbour, blend * pixels + (1 - blend) * neighbour)
    pasted = tf.reduce_mean(tf.cast(inside, tf.float32), axis=(1, 2))
    own = kept - pasted
    return mixed, own * target + (1 - own) * tf.roll(target, 1, axis=0)


def augment(batch: tf.Tensor, config: AugmentationConfig, *, seed: tf.Tensor) -> tf.Tensor:
    """Augment each image of a batch at random; the same seed gives the same result.

    Args:
        batch: (batch, size, size, channels) uint8.
        seed: (2,) int64.

    Returns:
        (batch, size, size, channels) float32 in 0-255.
    """
    pixels = tf.cast(batch, tf.float32)
    count, size = tf.shape(pixels)[0], pixels.shape[1]

    def uniform(purpose: int, low: float, high: float, columns: int = 1) -> tf.Tensor:
        # Each augmentation has its own random numbers, so that switching one off does not
        # change the others.
        own = seed + tf.constant([purpose << 32, 0], tf.int64)
        return tf.random.stateless_uniform((count, columns), own, low, high)

    if config.flip or config.rotation_degrees or config.zoom or config.translation:
        pixels = _transform(
            pixels,
            angle=uniform(1, -config.rotation_degrees, config.rotation_degrees) * math.pi / 180,
            scale=uniform(2, 1 - config.zoom, 1 + config.zoom),
            shift=uniform(3, -config.translation, config.translation, 2) * size,
            mirror=tf.where(uniform(4, 0, 1) < 0.5, -1.0, 1.0) if config.flip else tf.ones((1, 1)),
        )
    per_image = (count, 1, 1, 1)
    if config.contrast:
        factor = tf.reshape(uniform(5, 1 - config.contrast, 1 + config.contrast), per_image)
        mean = tf.reduce_mean(pixels, axis=(1, 2, 3), keepdims=True)
        pixels = (pixels - mean) * factor + mean
    if config.brightness:
        shift = uniform(6, -255 * config.brightness, 255 * config.brightness)
        pixels += tf.reshape(shift, per_image)
    if config.degradation:
        pixels = _degrade(pixels, config.degradation, seed)
    if config.erasing:
        pixels = _erase(
            pixels,
            chosen=uniform(7, 0, 1) < config.erasing,
            center=uniform(8, 0, 1, 2) * size,
            half_side=uniform(9, 0.08, 0.2, 2) * size,
            value=tf.reshape(uniform(10, 0, 255), per_image),
        )
    return tf.clip_by_value(pixels, 0, 255)


def augment_images(images: np.ndarray, *, config: AugmentationConfig, seed: int) -> np.ndarray:
    """Return augmented copies of (n, size, size, channels) uint8 images, for inspection.

    Mixup and CutMix are not applied: they would change the label an image is shown with.
    """
    changed = augment(tf.constant(images), config, seed=tf.constant([seed, 0], tf.int64))
    pixels: np.ndarray = changed.numpy()
    rounded: np.ndarray = np.rint(pixels).astype(np.uint8)
    return rounded


def _transform(
    pixels: tf.Tensor, *, angle: tf.Tensor, scale: tf.Tensor, shift: tf.Tensor, mirror: tf.Tensor
) -> tf.Tensor:
    """Mirror, rotate, zoom and shift about the centre in one bilinear resampling."""
    size = pixels.shape[1]
    center = (size - 1) / 2
    # The matrix maps a point of the result to the point of the image shown there.
    a0, a1 = mirror * tf.cos(angle) / scale, -tf.sin(angle) / scale
    b0, b1 = mirror * tf.sin(angle) / scale, tf.cos(angle) / scale
    a2 = center - (a0 + a1) * center + shift[:, :1]
    b2 = center - (b0 + b1) * center + shift[:, 1:]
    zero = tf.zeros_like(a1)
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=pixels,
        transforms=tf.concat([a0, a1, a2, b0, b1, b2, zero, zero], axis=1),
        output_shape=(size, size),
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="NEAREST",
    )


def _degrade(pixels: tf.Tensor, probability: float, seed: tf.Tensor) -> tf.Tensor:
    def change(batch: np.ndarray, seed: np.ndarray) -> np.ndarray:
        generator = np.random.default_rng([*seed.tolist(), 2])
        return degrade(np.clip(batch, 0, 255), probability, generator)

    changed = tf.numpy_function(change, [pixels, seed], tf.float32)
    changed.set_shape(pixels.shape)
    return changed


def _erase(
    pixels: tf.Tensor,
    *,
    chosen: tf.Tensor,
    center: tf.Tensor,
    half_side: tf.Tensor,
    value: tf.Tensor,
) -> tf.Tensor:
    """Fill a rectangle of the chosen images (random erasing, Zhong et al. 2020)."""
    places = tf.range(pixels.shape[1], dtype=tf.float32)[tf.newaxis]
    columns = tf.abs(places - center[:, :1]) < half_side[:, :1]
    rows = tf.abs(places - center[:, 1:]) < half_side[:, 1:]
    inside = rows[:, :, tf.newaxis] & columns[:, tf.newaxis, :] & chosen[:, :, tf.newaxis]
    return tf.where(inside[..., tf.newaxis], value, pixels)
