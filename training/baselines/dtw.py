"""The nearest labelled window under dynamic time warping: the classical method, which needs no training.

The distances of each modality (``training.warping``) are divided by their mean over pairs of labelled
windows, so that they can be averaged. An IMU beside a skeleton counts half.
"""

from __future__ import annotations

import numpy as np

from cosmo_runtime.training.methods import Lesson, Predict
from cosmo_runtime.training.warping import distances
from cosmo_runtime.training.windows import Windows


def dtw(lesson: Lesson) -> Predict:
    """A ``Fit`` that only stores the labelled windows. It is deterministic and uses none of the budget."""
    spec, windows, labelled = lesson.spec, lesson.windows, lesson.windows.labelled
    weights = {sensor: 0.5 if sensor == "imu" and "skeleton" in spec.sensors else 1.0 for sensor in spec.sensors}
    others = ~np.eye(len(labelled), dtype=bool)
    scales = {}
    for sensor, between in distances(spec, labelled, labelled, windows).items():
        known = between[others & np.isfinite(between)]
        scales[sensor] = max(float(known.mean()), 1e-6) if len(known) else 1.0

    def predict(query: Windows) -> np.ndarray:
        """Probability 1 for the nearest window's class; uniform if no labelled window shares a modality."""
        total = np.zeros((len(query), len(labelled)))
        weight = np.zeros_like(total)
        for sensor, between in distances(spec, query, labelled, windows).items():
            both = np.isfinite(between)
            total += np.where(both, weights[sensor] * between / scales[sensor], 0)
            weight += weights[sensor] * both
        mean = np.where(weight > 0, total / np.maximum(weight, 1e-6), np.inf)
        probabilities = np.eye(len(spec.classes))[labelled.labels[mean.argmin(1)]]
        return np.where(np.isfinite(mean).any(1, keepdims=True), probabilities, 1 / len(spec.classes))

    return predict
