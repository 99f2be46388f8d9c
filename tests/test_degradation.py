"""Degraded copies of faces: blur, sharpening, noise and JPEG compression."""

from __future__ import annotations

import numpy as np
import pytest

from emodetect.data import degradation
from emodetect.data.degradation import blur, degrade, jpeg, sharpen


def _faces(count: int = 40, *, channels: int = 1, side: int = 48) -> np.ndarray:
    """Smooth, mid-grey images with an edge in the middle."""
    images = np.full((count, side, side, channels), 90, np.float32)
    images[:, :, side // 2 :] = 170
    return images


def _degrade(images: np.ndarray, probability: float, seed: int = 0) -> np.ndarray:
    return degrade(images, probability, np.random.default_rng(seed))


def _steepest(image: np.ndarray) -> float:
    """The largest step between neighbours in a row, in grey levels."""
    return float(np.abs(np.diff(image[image.shape[0] // 2, :, 0].astype(float))).max())


@pytest.mark.parametrize("channels", [1, 3])
def test_shape_and_range_are_kept(channels: int) -> None:
    """Grey and colour crops come back as they were, in 0 to 255, and the input is untouched."""
    images = np.concatenate([_faces(channels=channels) * 0, _faces(channels=channels) * 1.5])
    before = images.copy()
    changed = _degrade(images, 1.0)
    assert changed.shape == images.shape
    assert changed.dtype == np.float32
    assert changed.min() >= 0
    assert changed.max() <= 255
    assert np.array_equal(images, before)


def test_each_change_comes_with_its_probability() -> None:
    """At 0 nothing changes, at 1 everything does, at 0.2 about half of the images (1 - 0.8³)."""
    images = _faces(400)
    assert np.array_equal(_degrade(images, 0.0), images)
    for probability, share in ((1.0, 1.0), (0.2, 1 - 0.8**3)):
        changed = np.any(_degrade(images, probability) != images, axis=(1, 2, 3))
        # Four standard errors of 400 draws.
        assert np.mean(changed) == pytest.approx(share, abs=4 * np.sqrt(0.25 / 400))


def test_the_same_seed_degrades_alike() -> None:
    """A resumed run sees the batches that the interrupted one would have seen."""
    images = _faces()
    assert np.array_equal(_degrade(images, 0.5, seed=1), _degrade(images, 0.5, seed=1))
    assert not np.array_equal(_degrade(images, 0.5, seed=1), _degrade(images, 0.5, seed=2))


def test_blur_softens_an_edge_and_sharpening_steepens_it() -> None:
    """The step of 80 grey levels shrinks under blur and grows under the unsharp mask."""
    face = _faces(1)[0]
    assert _steepest(blur(face, 1.0)) < 40
    assert _steepest(sharpen(face, 1.0, sigma=1.0)) > 100


def test_a_larger_crop_is_blurred_over_more_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blur is measured in the face: at twice the size its radius has twice as many pixels."""
    radii: dict[int, list[float]] = {48: [], 96: []}

    def note(image: np.ndarray, sigma: float) -> np.ndarray:
        radii[image.shape[0]].append(sigma)
        return image

    monkeypatch.setattr(degradation, "blur", note)
    for side in radii:
        # One image each time, so that the draws of both sizes are the same.
        for seed in range(20):
            _degrade(_faces(1, side=side), 1.0, seed)
    assert len(radii[48]) == 20
    assert radii[96] == pytest.approx([2 * radius for radius in radii[48]])


def test_jpeg_keeps_flat_areas_and_disturbs_detail() -> None:
    """A flat image survives a low quality, a noisy one does not."""
    flat = np.full((48, 48, 3), 128, np.float32)
    noisy = np.random.default_rng(0).uniform(0, 255, (48, 48, 3)).astype(np.float32)
    assert np.abs(jpeg(flat, 30) - flat).max() <= 2
    assert np.abs(jpeg(noisy, 30) - noisy).mean() > 10


def test_strengths_are_drawn_from_all_of_their_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of crops of 48 pixels: blur and sharpening, noise in grey levels, and JPEG quality."""
    drawn: dict[str, list[float]] = {"blur": [], "sharpen": [], "jpeg": []}

    def note(name: str, image: np.ndarray, strength: float) -> np.ndarray:
        drawn[name].append(strength)
        return image

    for name in drawn:
        noted = lambda image, strength, *, sigma=1, name=name: note(name, image, strength)  # noqa: E731
        monkeypatch.setattr(degradation, name, noted)
    gray = np.full((400, 48, 48, 1), 128, np.float32)
    drawn["noise"] = np.std(_degrade(gray, 1.0) - gray, axis=(1, 2, 3)).tolist()
    ranges = {"blur": (0.4, 1.6), "sharpen": (0.3, 1.5), "noise": (2, 14), "jpeg": (15, 80)}
    for name, (low, high) in ranges.items():
        near = (high - low) / 20
        assert min(drawn[name]) == pytest.approx(low, abs=near)
        assert max(drawn[name]) == pytest.approx(high, abs=near)


def test_sharpening_has_the_radius_of_the_crop(monkeypatch: pytest.MonkeyPatch) -> None:
    """One pixel at 48, and twice as many at twice the size."""
    radii: list[float] = []
    monkeypatch.setattr(
        degradation, "sharpen", lambda image, amount, *, sigma: radii.append(sigma) or image
    )
    for side in (48, 96):
        _degrade(np.full((20, side, side, 1), 90, np.float32), 1.0)
    assert set(radii) == {1, 2}
