"""The nearest labelled window under dynamic time warping: the classical rival, which needs no training.

Each modality's distance (``training.warping``) is divided by its mean over pairs of labelled windows, so that they can
be averaged; an IMU beside a skeleton counts half.
"""

from __future__ import annotations

import numpy as np
from rich.progress import Progress

from models.spec import ModelSpec
from training.methods import Budget, Predict
from training.warping import distances
from training.windows import Windows


def dtw(spec: ModelSpec, windows: Windows, budget: Budget, seed: int, progress: Progress) -> Predict:
    """Keep the labelled windows; a ``Fit`` with nothing random that spends nothing of its budget."""
    labelled = windows.labelled
    weights = {sensor: 0.5 if sensor == "imu" and "skeleton" in spec.sensors else 1.0 for sensor in spec.sensors}
    others = ~np.eye(len(labelled), dtype=bool)
    scales = {}
    for sensor, between in distances(spec, labelled, labelled, windows).items():
        known = between[others & np.isfinite(between)]
        scales[sensor] = max(float(known.mean()), 1e-6) if len(known) else 1.0

    def predict(asked: Windows) -> np.ndarray:
        """All probability on the class of the nearest; even where no labelled window has a modality in common."""
        total = np.zeros((len(asked), len(labelled)))
        weight = np.zeros_like(total)
        for sensor, between in distances(spec, asked, labelled, windows).items():
            both = np.isfinite(between)
            total += np.where(both, weights[sensor] * between / scales[sensor], 0)
            weight += weights[sensor] * both
        mean = np.where(weight > 0, total / np.maximum(weight, 1e-6), np.inf)
        probabilities = np.eye(len(spec.classes))[labelled.labels[mean.argmin(1)]]
        return np.where(np.isfinite(mean).any(1, keepdims=True), probabilities, 1 / len(spec.classes))

    return predict
