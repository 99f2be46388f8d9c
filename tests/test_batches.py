"""Batches: their order, their augmentation, and that a resumed run sees the same ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from emodetect.config import AugmentationConfig
from emodetect.machine.tensorflow_devices import use_tensorflow

use_tensorflow()

from emodetect.data.augmentation import augment_images  # noqa: E402
from emodetect.data.batches import evaluation_batches, even_batches, training_batches  # noqa: E402

OFF = {
    "flip": False,
    "rotation_degrees": 0.0,
    "zoom": 0.0,
    "translation": 0.0,
    "brightness": 0.0,
    "contrast": 0.0,
    "erasing": 0.0,
}
SIZE = 33  # odd, so that the centre is a pixel
CENTER = SIZE // 2


def _only(**values: Any) -> AugmentationConfig:
    """Augmentation with everything off but what is named."""
    return AugmentationConfig(**{**OFF, **values})


def _numbered(count: int, channels: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Images whose every pixel is their number, and targets that hold the number too."""
    images = np.empty((count, 8, 8, channels), np.uint8)
    images[:] = np.arange(count).reshape(-1, 1, 1, 1)
    targets = np.stack([np.arange(count), -np.arange(count)], axis=1).astype(np.float32)
    return images, targets


def _batches(
    first: int,
    last: int,
    *,
    seed: int = 5,
    batch_size: int = 4,
    members: np.ndarray | None = None,
    augmentation: AugmentationConfig | None = None,
) -> list[tuple[np.ndarray, np.ndarray]]:
    images, targets = _numbered(30)
    data = training_batches(
        images,
        targets,
        np.arange(30) if members is None else members,
        batch_size=batch_size,
        seed=seed,
        first_step=first,
        last_step=last,
        augmentation=augmentation or _only(),
    )
    return [(batch.numpy(), target.numpy()) for batch, target in data]


def _numbers(batches: list[tuple[np.ndarray, np.ndarray]]) -> list[int]:
    return [int(number) for batch, _ in batches for number in batch[:, 0, 0, 0]]


def _dot(row: int, column: int, count: int = 64) -> np.ndarray:
    """Black images with one bright spot of 3 x 3 pixels around (row, column)."""
    images = np.zeros((count, SIZE, SIZE, 1), np.uint8)
    images[:, row - 1 : row + 2, column - 1 : column + 2] = 255
    return images


def _centers(images: np.ndarray) -> np.ndarray:
    """The centre of brightness (row, column) of each image, from the image's middle."""
    weights = images[..., 0].astype(np.float64)
    places = np.arange(SIZE) - CENTER
    total = weights.sum(axis=(1, 2))
    rows = (weights.sum(axis=2) * places).sum(axis=1) / total
    columns = (weights.sum(axis=1) * places).sum(axis=1) / total
    return np.stack([rows, columns], axis=1)


def test_batches_are_a_function_of_seed_and_step() -> None:
    """A run resumed at any step, within an epoch or at its start, sees the rest of the batches."""
    everything = AugmentationConfig(erasing=0.5, degradation=0.5)
    whole = _batches(0, 16, augmentation=everything)
    for step in (1, 7, 11):
        tail = _batches(step, 16, augmentation=everything)
        assert len(tail) == 16 - step
        for (batch, target), (expected, expected_target) in zip(tail, whole[step:], strict=True):
            assert np.array_equal(batch, expected)
            assert np.array_equal(target, expected_target)


def test_another_seed_gives_another_order_and_augmentation() -> None:
    """The seed decides both which images meet and how they are changed."""
    assert _numbers(_batches(0, 7, seed=1)) != _numbers(_batches(0, 7, seed=2))
    images = _dot(CENTER, CENTER + 8, count=8)
    shifted = _only(translation=0.3)
    first, again, other = (augment_images(images, config=shifted, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_an_epoch_shows_no_image_twice() -> None:
    """Each epoch is a permutation of its own, and two epochs differ."""
    steps, size = even_batches(29, 7)
    assert (steps, size) == (4, 7)
    numbers = _numbers(_batches(0, 2 * steps, batch_size=7, members=np.arange(29)))
    first, second = numbers[:28], numbers[28:]
    assert len(set(first)) == 28
    assert len(set(second)) == 28
    assert first != second


@pytest.mark.parametrize(
    ("count", "batch_size"),
    [(127, 64), (90, 64), (100, 64), (540, 64), (65, 64), (33, 32), (97, 8)],
)
def test_hardly_an_image_of_a_small_data_set_is_left_out_of_an_epoch(
    count: int, batch_size: int
) -> None:
    """Batches are even, not larger than asked for, and leave out less than 4% of the images."""
    steps, size = even_batches(count, batch_size)
    assert batch_size / 2 <= size <= batch_size
    assert 0.96 * count < steps * size <= count


def test_a_large_data_set_has_batches_of_the_size_asked_for() -> None:
    """With 14 of 28,558 images left out, the size stays as it is."""
    assert even_batches(28_558, 64) == (446, 64)


def test_every_image_is_seen_over_the_epochs() -> None:
    """Images that fill no whole batch are not the same ones in every epoch."""
    numbers = _numbers(_batches(0, 4 * 12, batch_size=7, members=np.arange(29)))
    assert set(numbers) == set(range(29))


def test_only_members_are_trained_on() -> None:
    """Images of validation and test are never in a training batch."""
    members = np.array([3, 5, 8, 13, 21, 22, 23, 29])
    numbers = _numbers(_batches(0, 2, members=members))
    assert sorted(numbers) == members.tolist()


def test_targets_stay_with_their_images() -> None:
    """However the images are shuffled, each keeps its own target."""
    for batch, target in _batches(0, 14):
        assert np.array_equal(batch[:, 0, 0, 0], target[:, 0])
        assert np.array_equal(target[:, 1], -target[:, 0])


def test_a_batch_larger_than_the_data_is_all_of_the_data() -> None:
    """Five images with a batch size of 64 make one batch of five."""
    assert even_batches(5, 64) == (1, 5)
    (batch, _), *_ = _batches(0, 1, batch_size=64, members=np.arange(5))
    assert sorted(batch[:, 0, 0, 0].tolist()) == [0, 1, 2, 3, 4]


def test_training_shapes_are_known_before_the_first_batch() -> None:
    """Batch size, image size and classes are static, which compiled training relies on."""
    images, targets = _numbered(32, channels=3)
    data = training_batches(
        images,
        targets,
        np.arange(32),
        batch_size=4,
        seed=0,
        first_step=0,
        last_step=3,
        augmentation=AugmentationConfig(),
    )
    batch, target = data.element_spec
    assert batch.shape.as_list() == [4, 8, 8, 3]
    assert batch.dtype.name == "float32"
    assert target.shape.as_list() == [4, 2]


@pytest.mark.parametrize("batch_size", [1, 4, 7, 30, 64])
def test_evaluation_keeps_every_image_in_order(batch_size: int) -> None:
    """No image is dropped, repeated, moved or changed, the rest of the last batch included."""
    images, targets = _numbered(30)
    members = np.array([29, 3, 4, 5, 17, 0, 1, 2, 9, 8, 7])
    data = evaluation_batches(images, targets, members, batch_size=batch_size)
    found = [(batch.numpy(), target.numpy()) for batch, target in data]
    assert _numbers(found) == members.tolist()
    assert np.array_equal(np.concatenate([target for _, target in found]), targets[members])
    assert all(batch.dtype == np.float32 for batch, _ in found)
    assert data.element_spec[0].shape.as_list() == [None, 8, 8, 1]


@pytest.mark.parametrize("channels", [1, 3])
def test_augmentation_that_is_off_changes_nothing(channels: int) -> None:
    """With all changes at 0 or false the pixels come back as they went in."""
    images = np.random.default_rng(0).integers(0, 256, (6, SIZE, SIZE, channels), dtype=np.uint8)
    assert np.array_equal(augment_images(images, config=_only(), seed=3), images)


def test_flip_mirrors_about_half_of_the_images_left_to_right() -> None:
    """A flipped face is its mirror image exactly, and nothing is ever upside down."""
    images = np.random.default_rng(1).integers(0, 256, (64, SIZE, SIZE, 1), dtype=np.uint8)
    changed = augment_images(images, config=_only(flip=True), seed=4)
    same = [np.array_equal(a, b) for a, b in zip(changed, images, strict=True)]
    mirrored = [np.array_equal(a, b[:, ::-1]) for a, b in zip(changed, images, strict=True)]
    assert sum(same) + sum(mirrored) == 64
    assert 16 <= sum(mirrored) <= 48


def test_rotation_turns_about_the_middle_within_its_range() -> None:
    """A spot keeps its distance from the middle and turns by up to the angle, both ways."""
    changed = augment_images(_dot(CENTER, CENTER + 10), config=_only(rotation_degrees=30.0), seed=5)
    rows, columns = _centers(changed).T
    angles = np.degrees(np.arctan2(rows, columns))
    assert np.abs(np.hypot(rows, columns) - 10).max() < 0.5
    assert np.abs(angles).max() < 31
    assert angles.min() < -15
    assert angles.max() > 15


def test_zoom_scales_about_the_middle_within_its_range() -> None:
    """A spot moves along its own direction, to 0.7 to 1.3 times its distance."""
    changed = augment_images(_dot(CENTER, CENTER + 10), config=_only(zoom=0.3), seed=6)
    rows, columns = _centers(changed).T
    assert np.abs(rows).max() < 0.3
    assert columns.min() > 6.7
    assert columns.max() < 13.3
    assert columns.min() < 8.5
    assert columns.max() > 11.5


def test_translation_shifts_both_ways_within_its_range() -> None:
    """A spot moves by up to the share of the side, in each direction, independently."""
    changed = augment_images(_dot(CENTER, CENTER), config=_only(translation=0.2), seed=7)
    moved = _centers(changed)
    reach = 0.2 * SIZE
    assert np.abs(moved).max() <= reach + 0.3
    for axis in (0, 1):
        assert moved[:, axis].min() < -reach / 2
        assert moved[:, axis].max() > reach / 2
    assert abs(np.corrcoef(moved.T)[0, 1]) < 0.5


def test_what_a_shift_uncovers_repeats_the_edge() -> None:
    """No black or foreign border enters the picture: a plain image stays plain."""
    images = np.full((32, SIZE, SIZE, 1), 200, np.uint8)
    config = _only(flip=True, rotation_degrees=45.0, zoom=0.4, translation=0.4)
    assert (augment_images(images, config=config, seed=8) == 200).all()


def test_brightness_shifts_all_pixels_of_an_image_alike() -> None:
    """Each image becomes lighter or darker as a whole, by up to the share of 255."""
    images = np.full((64, SIZE, SIZE, 1), 100, np.uint8)
    images[:, :, CENTER:] = 150
    changed = augment_images(images, config=_only(brightness=0.2), seed=9).astype(int)
    shifts = changed - images
    assert np.ptp(shifts, axis=(1, 2, 3)).max() <= 1
    assert shifts.min() >= -52
    assert shifts.max() <= 52
    assert shifts.min() < -20
    assert shifts.max() > 20


def test_contrast_keeps_the_mean_and_scales_the_rest() -> None:
    """Differences within an image grow or shrink by up to the share; its mean stays."""
    images = np.full((64, SIZE, SIZE, 1), 100, np.uint8)
    images[:, :16] = 140
    changed = augment_images(images, config=_only(contrast=0.5), seed=10).astype(float)
    means = changed.mean(axis=(1, 2, 3))
    assert np.abs(means - images[0].mean()).max() <= 1
    spread = changed.max(axis=(1, 2, 3)) - changed.min(axis=(1, 2, 3))
    assert spread.min() >= 19
    assert spread.max() <= 61
    assert spread.min() < 30
    assert spread.max() > 50


def test_erasing_hides_a_rectangle_of_about_the_share_of_images() -> None:
    """With probability 0.5 about half of the images lose a rectangle, filled with one value."""
    images = np.random.default_rng(2).integers(0, 256, (200, SIZE, SIZE, 3), dtype=np.uint8)
    changed = augment_images(images, config=_only(erasing=0.5), seed=11)
    different = (changed != images).any(axis=3)
    touched = different.any(axis=(1, 2))
    assert 70 <= touched.sum() <= 130
    for image, mask in zip(changed[touched], different[touched], strict=True):
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        block = image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        assert np.ptp(block) == 0
        assert len(rows) <= 0.4 * SIZE + 1
        assert len(columns) <= 0.4 * SIZE + 1


def test_switching_one_change_off_leaves_the_others_as_they_were() -> None:
    """Runs with and without brightness differ only in that, not in other random numbers."""
    # Dark grey with a brighter spot, which no shift of brightness takes out of 0-255.
    images = 60 + _dot(CENTER, CENTER + 8, count=16) // 3
    with_it = augment_images(images, config=_only(translation=0.2, brightness=0.1), seed=12)
    without = augment_images(images, config=_only(translation=0.2), seed=12)
    shifts = with_it.astype(int) - without
    assert np.abs(shifts).max() > 5
    assert np.ptp(shifts, axis=(1, 2, 3)).max() <= 1


def test_each_image_of_a_batch_is_changed_on_its_own() -> None:
    """Copies of one image in a batch end different from each other."""
    changed = augment_images(_dot(CENTER, CENTER + 8, count=8), config=_only(zoom=0.3), seed=13)
    assert len({image.tobytes() for image in changed}) == 8


def test_pixels_stay_in_their_range() -> None:
    """However strong the changes, what the model sees is float32 in 0-255."""
    images = np.random.default_rng(3).integers(0, 256, (8, 24, 24, 1), dtype=np.uint8)
    targets = np.zeros((8, 2), np.float32)
    data = training_batches(
        images,
        targets,
        np.arange(8),
        batch_size=8,
        seed=0,
        first_step=0,
        last_step=10,
        augmentation=AugmentationConfig(brightness=0.9, contrast=0.9, erasing=1.0),
    )
    pixels = np.concatenate([batch.numpy() for batch, _ in data])
    assert pixels.dtype == np.float32
    assert pixels.min() == 0
    assert pixels.max() == 255


def test_contrast_keeps_the_mean_of_each_image_of_a_batch() -> None:
    """A dark face among bright ones stays dark."""
    images = np.full((8, SIZE, SIZE, 1), 60, np.uint8)
    images[4:] = 180
    assert np.array_equal(augment_images(images, config=_only(contrast=0.5), seed=10), images)
