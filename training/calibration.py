"""Calibrates a model's confidence: its temperature, its threshold of certainty, and its error.

All of it is chosen on people held out of training, never on those who test the model.

    calibration = calibrate(logits, labels, risk=0.05)
    spec = spec.model_copy(update=calibration._asdict())
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize_scalar

from cosmo_runtime.models.confidence import tempered

_LOG_RANGE = (-3.0, 3.0)  # logarithms of the temperature: 0.05 to 20


class Calibration(NamedTuple):
    """The fields of a ``ModelSpec`` that say how its confidence is read.

    Attributes:
        temperature: the temperature of the probabilities.
        min_confidence: below this, a window is not answered; 1 if no threshold meets the risk.
        risk: the accepted share of wrong answers among the answered windows.
    """

    temperature: float
    min_confidence: float
    risk: float


def calibrate(logits: np.ndarray, labels: np.ndarray, risk: float = 0.05) -> Calibration:
    """Fits the temperature, then the lowest threshold at which few enough answers are wrong.

    Args:
        logits: (N, classes) of windows of held-out people; logarithms of probabilities serve as well.
        labels: (N,) index of the true class.
        risk: the accepted share of wrong answers among the answered windows.

    Raises:
        ValueError: there are no windows, or some have no label.
    """
    if not len(labels) or min(labels) < 0:
        raise ValueError(
            f"{len(labels)} windows, {np.sum(labels < 0)} of them without a label; use labelled windows only"
        )
    probabilities = _softmax(logits)
    temperature = _temperature(probabilities, labels)
    probabilities = tempered(probabilities, temperature)
    return Calibration(temperature, _threshold(probabilities, labels, risk), risk)


def expected_calibration_error(probabilities: np.ndarray, labels: np.ndarray, bins: int = 15) -> float:
    """By how much confidence and accuracy differ, over bins of confidence of equal width, weighted by their windows.

    Naeini, Cooper, Hauskrecht, AAAI 2015.

    Args:
        probabilities: (N, classes).
        labels: (N,).
        bins: the number of bins of confidence between 0 and 1.
    """
    confidence, right = probabilities.max(1), probabilities.argmax(1) == labels
    number = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = np.bincount(number, right - confidence, bins)
    return float(np.abs(gaps).sum() / len(labels))


def _softmax(logits: np.ndarray) -> np.ndarray:
    shares = np.exp(np.asarray(logits, np.float64) - np.max(logits, axis=1, keepdims=True))
    answer: np.ndarray = shares / shares.sum(1, keepdims=True)
    return answer


def _temperature(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """The temperature under which the labels are most likely."""

    def surprise(log_temperature: float) -> float:
        shares = tempered(probabilities, float(np.exp(log_temperature)))
        return float(-np.log(shares[np.arange(len(labels)), labels].clip(1e-12)).mean())

    return round(float(np.exp(minimize_scalar(surprise, bounds=_LOG_RANGE, method="bounded").x)), 4)


def _threshold(probabilities: np.ndarray, labels: np.ndarray, risk: float) -> float:
    confidence, wrong = probabilities.max(1), probabilities.argmax(1) != labels
    order = np.argsort(-confidence, kind="stable")
    sure, errors = confidence[order], np.cumsum(wrong[order])
    kept = errors <= risk * np.arange(1, len(order) + 1)
    kept[:-1] &= sure[:-1] > sure[1:]  # windows of the same confidence are answered together
    return float(np.floor(sure[np.flatnonzero(kept)[-1]] * 1e4) / 1e4) if kept.any() else 1.0
