"""The temperature that training stores in an artifact."""

from __future__ import annotations

import numpy as np
import pytest

from emodetect.model_file.temperature import at_temperature, fit_temperature, why_not_fitted


def _softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def _answers(true_temperature: float, count: int = 20_000) -> tuple[np.ndarray, np.ndarray]:
    """A model's probabilities, and labels as often right as the tempered ones say."""
    generator = np.random.default_rng(3)
    logits = 2 * generator.standard_normal((count, 5))
    shares = _softmax(logits / true_temperature).cumsum(axis=1)
    labels = (generator.random((count, 1)) > shares).sum(axis=1).clip(0, 4)
    return _softmax(logits), labels


@pytest.mark.parametrize("temperature", [0.3, 0.6, 1.0, 2.0, 3.5])
def test_the_temperature_is_found_that_labels_were_drawn_at(temperature: float) -> None:
    """Over- and under-confident models are told from calibrated ones, and by how much."""
    assert fit_temperature(*_answers(temperature)) == pytest.approx(temperature, rel=0.05)


def test_a_fitted_temperature_makes_confidence_what_it_says() -> None:
    """After fitting, the mean confidence of an overconfident model is its accuracy."""
    probabilities, labels = _answers(2.0)
    tempered = at_temperature(probabilities, fit_temperature(probabilities, labels))
    accuracy = np.mean(probabilities.argmax(axis=1) == labels)
    assert probabilities.max(axis=1).mean() > accuracy + 0.1
    assert tempered.max(axis=1).mean() == pytest.approx(accuracy, abs=0.01)


def test_a_handful_of_images_fits_no_temperature() -> None:
    """99 validation images leave the probabilities as the network gives them, 100 do not."""
    probabilities, labels = _answers(2.0, 100)
    assert fit_temperature(probabilities[1:], labels[1:]) == 1.0
    assert fit_temperature(probabilities[1:], labels[1:], otherwise=1.3) == 1.3
    assert fit_temperature(probabilities, labels) == pytest.approx(2.0, rel=0.5)


def test_answers_that_are_all_right_or_all_wrong_fit_no_temperature() -> None:
    """No validation image tells how sure such a model may be, so its probabilities stay."""
    sure = np.tile(np.array([[1.0, 0.0]], np.float32), (200, 1))
    unsure = np.tile(np.array([[0.6, 0.4]], np.float32), (200, 1))
    assert fit_temperature(unsure, np.zeros(200, int)) == 1.0
    assert fit_temperature(sure, np.ones(200, int)) == 1.0
    assert "few" not in why_not_fitted(200)
    assert "few" in why_not_fitted(99)
