from __future__ import annotations

import numpy as np
import pytest

from cosmo_runtime.models.confidence import tempered
from cosmo_runtime.training.calibration import calibrate, expected_calibration_error


def _people(count: int, sharper: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits that are ``sharper`` times those by which the labels were drawn."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1.5, (count, 4))
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = (shares.cumsum(1) > rng.random((count, 1))).argmax(1)
    return sharper * logits, labels


def _softmax(logits: np.ndarray) -> np.ndarray:
    return np.exp(logits) / np.exp(logits).sum(1, keepdims=True)


@pytest.mark.parametrize("sharper", [0.5, 1.0, 3.0])
def test_the_temperature_undoes_false_confidence(sharper: float) -> None:
    logits, labels = _people(8000, sharper)
    found = calibrate(logits, labels)
    assert found.temperature == pytest.approx(sharper, rel=0.06)
    others, truth = _people(8000, sharper, seed=1)
    assert expected_calibration_error(tempered(_softmax(others), found.temperature), truth) < 0.02
    if sharper != 1:
        assert expected_calibration_error(_softmax(others), truth) > 0.05


def test_the_threshold_keeps_the_risk_and_no_lower_one_does() -> None:
    logits, labels = _people(4000, 2.0)
    for risk in 0.02, 0.1, 0.2:
        found = calibrate(logits, labels, risk)
        shares = tempered(_softmax(logits), found.temperature)
        confidence, wrong = shares.max(1), shares.argmax(1) != labels
        answered = confidence >= found.min_confidence
        assert wrong[answered].mean() <= risk + 1e-3
        assert all(wrong[confidence >= lower].mean() > risk for lower in np.sort(confidence[~answered])[:-25:7])
        assert found.risk == risk


def test_a_model_that_is_right_is_always_sure_and_one_that_is_wrong_never() -> None:
    logits = np.log([[0.9, 0.1], [0.4, 0.6], [0.7, 0.3]])
    assert calibrate(logits, np.array([0, 1, 0])).min_confidence < 1
    assert calibrate(logits, np.array([1, 0, 1])).min_confidence == 1


def test_windows_of_one_confidence_are_answered_together() -> None:
    logits = np.log([[0.8, 0.2]] * 4)
    assert calibrate(logits, np.array([0, 0, 0, 1]), risk=0.1).min_confidence == 1
    assert calibrate(logits, np.array([0, 0, 0, 1]), risk=0.25).min_confidence < 1


def test_the_error_of_calibration_by_hand() -> None:
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.45, 0.55]])
    labels = np.array([0, 1, 1, 1])
    # two bins of ten hold 0.8 and 0.9: |0 - 0.8|, |1 - 0.9|; 0.7 and 0.55 have one each: 0.3, 0.45
    assert expected_calibration_error(probabilities, labels, bins=10) == pytest.approx((0.1 + 0.8 + 0.3 + 0.45) / 4)
    # one bin for all: three of four are right, at a mean confidence of 0.7375
    assert expected_calibration_error(probabilities, labels, bins=1) == pytest.approx(0.75 - 0.7375)


def test_a_sure_and_right_model_has_no_error_of_calibration() -> None:
    assert expected_calibration_error(np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([0, 1])) == 0


def test_windows_without_labels_are_refused() -> None:
    with pytest.raises(ValueError, match="1 of them without a label"):
        calibrate(np.zeros((2, 3)), np.array([0, -1]))
    with pytest.raises(ValueError, match="0 windows"):
        calibrate(np.zeros((0, 3)), np.zeros(0, int))
