"""A random forest (Breiman, 2001) on hand-made features: what most practitioners try first.

It follows no published system. Features describe each channel of each sensor: its mean, deviation, quantiles and
energy, and the frequencies of the two strongest parts of its spectrum with their shares of the power. A skeleton and a
radar's points become channels as for MiniRocket; an image becomes the means of its rows and columns.
"""

from __future__ import annotations

import numpy as np
from sklearn.ensemble import RandomForestClassifier

from cosmo_runtime.models.spec import ModalitySpec, ModelSpec
from cosmo_runtime.training.methods import Lesson, Predict
from cosmo_runtime.training.warping import vectors
from cosmo_runtime.training.windows import Windows

TREES = 500
QUANTILES = (0.0, 0.25, 0.5, 0.75, 1.0)
PEAKS = 2


def random_forest(lesson: Lesson) -> Predict:
    """A ``Fit`` that learns from the labelled windows in one pass and uses none of the budget.

    Missing features of a window are filled with the median of the labelled windows that have them.
    """
    spec, labelled = lesson.spec, lesson.windows.labelled
    known = _described(spec, labelled)
    there = ~np.isnan(known)
    median = np.array([np.median(column[has]) if has.any() else 0.0 for column, has in zip(known.T, there.T)])

    def filled(described: np.ndarray) -> np.ndarray:
        return np.where(np.isnan(described), median, described)

    forest = RandomForestClassifier(TREES, random_state=lesson.seed).fit(filled(known), labelled.labels)

    def predict(query: Windows) -> np.ndarray:
        probabilities = np.zeros((len(query), len(spec.classes)))
        probabilities[:, forest.classes_] = forest.predict_proba(filled(_described(spec, query)))
        return probabilities

    return predict


def describe(x: np.ndarray, window_s: float) -> np.ndarray:
    """Signals of ``window_s`` seconds (N, steps, D) -> features (N, D * 12), all of one kind side by side."""
    mean = x.mean(1)
    power = np.abs(np.fft.rfft(x - mean[:, None], axis=1)[:, 1:]) ** 2
    strongest = np.argsort(-power, axis=1, kind="stable")[:, :PEAKS]  # per channel, (N, PEAKS, D)
    share = np.take_along_axis(power, strongest, 1) / (power.sum(1, keepdims=True) + 1e-12)
    quantiles = np.quantile(x, QUANTILES, axis=1)
    hertz = (strongest + 1) / window_s
    return np.concatenate(
        [mean, x.std(1), *quantiles, (x**2).mean(1), *hertz.swapaxes(0, 1), *share.swapaxes(0, 1)], axis=1
    )


def _described(spec: ModelSpec, windows: Windows) -> np.ndarray:
    """(N, features), NaN where a window lacks the sensor."""
    parts = []
    for j, modality in enumerate(spec.modalities):
        described = describe(_channels(modality, windows.features[modality.sensor]), spec.window_s)
        parts.append(np.where(windows.presence[:, j, None], described, np.nan))
    return np.concatenate(parts, axis=1)


def _channels(modality: ModalitySpec, x: np.ndarray) -> np.ndarray:
    """Features (N, steps, *shape) -> signals (N, steps, D)."""
    if modality.kind == "depth":
        x = x.astype(np.float32)
        return np.concatenate([x.mean(2), x.mean(3)], axis=2)
    return vectors(modality, x)
