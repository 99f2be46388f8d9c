"""Compare training from image files with training on images in memory.

\b
    python scripts/bench/training.py --data data/fer2013
    python scripts/bench/training.py --data data/fer2013 --devices 2

Both train the model of the preset mobilenetv2_fer2013 in its fine-tuning phase, with the same
augmentation. One gets its batches as `emodetect train` does (reader, disk cache,
`training_batches`), the other from tensors in the usual tf.data way. They take turns in one
process, so that other load on the machine slows both; the figure that counts is the median of the
ratios of neighbouring blocks.

Also times each stage alone. Recently read files are in the system's file cache, so the first
decoding after a restart may be slower than printed here.

With --devices, compares instead one device with several that share each batch (training.devices),
in the same way. Without GPUs, TensorFlow's logical CPUs stand for them; they share the same cores,
so that the ratio shows what sharing costs, not what it gains.
"""

from __future__ import annotations

from emodetect.training import initial_model  # before TensorFlow, which it sets up

# isort: split
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

import click
import keras
import numpy as np
import tensorflow as tf

from emodetect.config import ExperimentConfig, load_config
from emodetect.data.augmentation import augment
from emodetect.data.batches import even_batches, training_batches
from emodetect.data.cache.image_cache import load_images
from emodetect.data.dataset import Dataset, load_dataset
from emodetect.data.readers.registry import list_samples
from emodetect.data.synthetic import draw_dataset
from emodetect.emotions import EMOTIONS
from emodetect.machine.tensorflow_devices import gpu_count, mirrored, training_devices
from emodetect.training.phases import Phase, compile_model
from emodetect.training.schedule import run_schedule

PRESET = "mobilenetv2_fer2013"
WARM_UP_STEPS = 5
STAGE_STEPS = 200  # for the stages without the model, which take milliseconds
DRAWN_FACES = {"train": 300, "test": 10}  # per emotion


@dataclass(frozen=True)
class Comparison:
    """Seconds of each block, trained from files and from memory; paired in time."""

    from_files: list[float]
    from_memory: list[float]

    def ratios(self) -> list[float]:
        """Return, for each pair, the speed from files relative to the speed from memory."""
        return [
            memory / files for files, memory in zip(self.from_files, self.from_memory, strict=True)
        ]


@click.command(help=__doc__)
@click.option(
    "--data",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="FER2013 as folders (train/happy/*.png). [default: drawn faces]",
)
@click.option("--weights", default="none", show_default=True, help="'none' or a .weights.h5 file.")
@click.option(
    "--steps", default=5, show_default=True, type=click.IntRange(1), help="Steps per block."
)
@click.option(
    "--blocks", default=30, show_default=True, type=click.IntRange(1), help="Pairs of blocks."
)
@click.option("--devices", type=click.IntRange(2), help="Compare this many devices with one.")
def main(data: Path | None, weights: str, steps: int, blocks: int, devices: int | None) -> None:
    with tempfile.TemporaryDirectory(prefix="emodetect-bench-") as folder:
        if data is None:
            data = Path(folder) / "faces"
            draw_dataset(data, counts=DRAWN_FACES, emotions=EMOTIONS[:7], seed=0, size=48)
        config = load_config(
            PRESET,
            [
                f"data.path={data}",
                f"data.cache_dir={Path(folder) / 'cache'}",
                f"model.weights={weights}",
                "training.head_epochs=0",
            ],
        )
        if devices is None:
            run(config, steps=steps, blocks=blocks)
        else:
            run_devices(config, devices, steps=steps, blocks=blocks)


def endless_batches(config: ExperimentConfig, dataset: Dataset, size: int) -> tf.data.Dataset:
    """Return the training images as `train` reads them, without an end."""
    return training_batches(
        dataset.images,
        dataset.targets,
        dataset.indices("train"),
        batch_size=size,
        seed=config.seed,
        first_step=0,
        last_step=2**40,
        augmentation=config.augmentation,
    )


def run(config: ExperimentConfig, *, steps: int, blocks: int) -> None:
    """Time the stages and the two ways of training, and print the results."""
    table = [("stage", "ms per batch", "images/s"), *loading_stages(config)]
    dataset = load_dataset(config.data, seed=config.seed)
    members = dataset.indices("train")
    images, targets = dataset.images[members], dataset.targets[members]
    model = trainable_model(config, dataset)
    _, size = even_batches(len(members), config.training.batch_size)

    batches_from_files = endless_batches(config, dataset, size)
    batches_from_memory = usual_batches(images, targets, config)
    table += input_stages(dataset, images, config)
    for name, batches in (
        ("batches from files, no model", batches_from_files),
        ("batches from memory, no model", batches_from_memory),
    ):
        table.append(row(name, seconds_per_call(next_of(batches), STAGE_STEPS), size))

    one_batch = tf.data.Dataset.from_tensors(next(iter(batches_from_memory))).repeat()
    alone = iter(one_batch)
    train_steps(model, alone, WARM_UP_STEPS)
    table.append(row("training step alone", train_steps(model, alone, steps) / steps, size))
    compared = compare(model, batches_from_files, batches_from_memory, steps=steps, blocks=blocks)
    files = statistics.median(compared.from_files) / steps
    memory = statistics.median(compared.from_memory) / steps
    table.append(row("training from files", files, size))
    table.append(row("training from memory", memory, size))

    print(f"{len(members):,} training images, batches of {size}, {blocks} pairs of {steps} steps")
    for name, milliseconds, speed in table:
        print(f"{name:<30}{milliseconds:>12}{speed:>12}")
    ratios = compared.ratios()
    print(
        f"from files / from memory: {statistics.median(ratios):.1%} (median of the pairs; "
        f"interquartile range {np.quantile(ratios, 0.25):.1%} to {np.quantile(ratios, 0.75):.1%})"
    )


def loading_stages(config: ExperimentConfig) -> list[tuple[str, str, str]]:
    """Time what happens before training: listing, decoding into the cache, opening it."""
    size = config.training.batch_size
    started = time.perf_counter()
    listing = list_samples(config.data)
    listed = time.perf_counter()
    load_images(listing.root, listing.samples, config.data)
    decoded = time.perf_counter()
    load_dataset(config.data, seed=config.seed)
    opened = time.perf_counter()
    batches = len(listing.samples) / size
    return [
        row("list the files (once)", (listed - started) / batches, size),
        row("read and decode (first run)", (decoded - listed) / batches, size),
        row("list, open the cache, split", (opened - decoded) / batches, size),
    ]


def input_stages(
    dataset: Dataset, images: np.ndarray, config: ExperimentConfig
) -> list[tuple[str, str, str]]:
    """Time reading a batch, from the cache and from memory, and augmenting one."""
    members = dataset.indices("train")
    _, size = even_batches(len(members), config.training.batch_size)
    order = np.random.default_rng(config.seed).permutation(len(members))
    chosen = cycle(order[: len(order) // size * size].reshape(-1, size))
    batch = tf.constant(images[:size])

    @tf.function
    def change(step: tf.Tensor) -> tf.Tensor:
        seed = tf.stack([tf.constant(config.seed, tf.int64), step])
        return augment(batch, config.augmentation, seed=seed)

    steps = iter(range(2**40))
    return [
        row(name, seconds_per_call(call, STAGE_STEPS), size)
        for name, call in (
            ("read from the cache", lambda: dataset.images[members[next(chosen)]]),
            ("read from memory", lambda: images[next(chosen)]),
            ("augment", lambda: change(tf.constant(next(steps), tf.int64)).numpy()),
        )
    ]


def run_devices(config: ExperimentConfig, devices: int, *, steps: int, blocks: int) -> None:
    """Train in turn on one device and on several, and print the speeds and their ratio."""
    if not gpu_count():
        cpu = tf.config.list_physical_devices("CPU")[0]
        logical = [tf.config.LogicalDeviceConfiguration()] * devices
        tf.config.set_logical_device_configuration(cpu, logical)
    dataset = load_dataset(config.data, seed=config.seed)
    members = dataset.indices("train")
    _, size = even_batches(len(members), config.training.batch_size, multiple_of=devices)
    batches = endless_batches(config, dataset, size)
    seconds: dict[int, list[float]] = {1: [], devices: []}
    models = {}
    for count in seconds:
        with mirrored(training_devices(count)):
            models[count] = trainable_model(config, dataset)
    for pair in range(blocks + 1):
        for count in seconds if pair % 2 == 0 else reversed(seconds):
            started = time.perf_counter()
            models[count].fit(batches, steps_per_epoch=steps, shuffle=False, verbose=0)
            if pair:  # the first is for warming up
                seconds[count].append(time.perf_counter() - started)
    print(f"{len(members):,} training images, batches of {size}, {blocks} pairs of {steps} steps")
    for count, times in seconds.items():
        name = "1 device" if count == 1 else f"{count} devices"
        print(f"{name:<30}{steps * size / statistics.median(times):>12,.0f} images/s")
    ratios = [one / several for one, several in zip(*seconds.values(), strict=True)]
    print(f"{devices} devices / 1: {statistics.median(ratios):.2f} (median of the pairs)")


def trainable_model(config: ExperimentConfig, dataset: Dataset) -> keras.Model:
    """Build and compile the model as a training run does for fine-tuning."""
    model = initial_model.trainable_model(
        config, len(dataset.emotions), weights=config.model.weights or "none"
    )
    schedule = run_schedule(config.training, len(dataset.indices("train")))
    phase = Phase("fine-tuning", 0, config.training.epochs)
    compile_model(model, phase, config, schedule)
    model.make_train_function()
    return model


def usual_batches(
    images: np.ndarray, targets: np.ndarray, config: ExperimentConfig
) -> tf.data.Dataset:
    """Return endless augmented batches from tensors in memory, as in TensorFlow's guides."""

    def change(step: tf.Tensor, batch: tuple[tf.Tensor, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        seed = tf.stack([tf.constant(config.seed, tf.int64), step])
        return augment(batch[0], config.augmentation, seed=seed), batch[1]

    return (
        tf.data.Dataset.from_tensor_slices((images, targets))
        .shuffle(len(images), seed=config.seed)
        .repeat()
        .batch(even_batches(len(images), config.training.batch_size)[1], drop_remainder=True)
        .enumerate()
        .map(change, num_parallel_calls=tf.data.AUTOTUNE)
        .prefetch(tf.data.AUTOTUNE)
    )


def compare(
    model: keras.Model,
    from_files: tf.data.Dataset,
    from_memory: tf.data.Dataset,
    *,
    steps: int,
    blocks: int,
) -> Comparison:
    """Train in turn from files and from memory; which comes first alternates between pairs."""
    files, memory = iter(from_files), iter(from_memory)
    for batches in (files, memory):
        train_steps(model, batches, WARM_UP_STEPS)
    compared = Comparison([], [])
    turns = [(files, compared.from_files), (memory, compared.from_memory)]
    for pair in range(blocks):
        for batches, seconds in turns if pair % 2 == 0 else reversed(turns):
            seconds.append(train_steps(model, batches, steps))
    return compared


def train_steps(model: keras.Model, batches: tf.data.Iterator, steps: int) -> float:
    """Train with the function that Keras' fit calls, and return the seconds it took."""
    started = time.perf_counter()
    for _ in range(steps):
        logs = model.train_function(batches)
    float(logs["loss"])  # waits for a GPU, which may still be busy after the call
    return time.perf_counter() - started


def next_of(batches: tf.data.Dataset) -> Callable[[], object]:
    """Return a function that takes the next batch."""
    iterator = iter(batches)
    return lambda: next(iterator)


def seconds_per_call(call: Callable[[], object], count: int) -> float:
    """Return the mean seconds of `count` calls, after a warm-up."""
    for _ in range(WARM_UP_STEPS):
        call()
    started = time.perf_counter()
    for _ in range(count):
        call()
    return (time.perf_counter() - started) / count


def row(name: str, seconds: float, batch_size: int) -> tuple[str, str, str]:
    """Return a line of the table: a stage's milliseconds per batch, and images per second."""
    return name, f"{1000 * seconds:,.2f}", f"{batch_size / seconds:,.0f}"


if __name__ == "__main__":
    main()
