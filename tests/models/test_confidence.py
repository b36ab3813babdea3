from __future__ import annotations

import numpy as np
import pytest

from cosmo_runtime.models.confidence import Reading, tempered


def _softmax(logits: np.ndarray) -> np.ndarray:
    shares = np.exp(logits)
    return shares / shares.sum()


def test_it_is_as_if_the_logits_were_divided() -> None:
    logits = np.array([2.0, -1.0, 0.5])
    for temperature in 0.5, 2.0, 5.0:
        assert tempered(_softmax(logits), temperature) == pytest.approx(_softmax(logits / temperature))


def test_one_changes_nothing_and_the_order_never_changes() -> None:
    probabilities = np.array([[0.7, 0.2, 0.1], [0.0, 1.0, 0.0]], np.float32)
    assert tempered(probabilities, 1.0) is probabilities
    softer = tempered(probabilities, 3.0)
    assert softer.dtype == np.float32
    assert (softer.argmax(1) == probabilities.argmax(1)).all()
    np.testing.assert_allclose(softer.sum(1), 1, rtol=1e-6)
    assert np.isfinite(softer).all()


def test_what_is_expected_is_added_to_the_logits_before_they_are_divided() -> None:
    logits = np.array([[2.0, -1.0, 0.5]])
    reading = Reading(sensors=("imu",), expected={"fall": -3.0, "walk": 1.0}, temperature=2.0)
    read = reading.of(_softmax(logits), ("fall", "sit", "walk"))
    assert read == pytest.approx(_softmax((logits + np.array([-3.0, 0.0, 1.0])) / 2.0))
    assert (reading.threshold, reading.model_copy(update={"min_confidence": 0.0}).threshold) == (0.5, 0.0)
    probabilities = np.array([0.2, 0.8])
    assert Reading(sensors=("imu",)).of(probabilities, ("sit", "walk")) is probabilities
