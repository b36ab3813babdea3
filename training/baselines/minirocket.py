"""MiniRocket (Dempster et al., KDD 2021): ten thousand fixed convolutions, and a ridge classifier on their outputs."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import softmax
from sklearn.linear_model import RidgeClassifierCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from cosmo_runtime.models.spec import ModalitySpec
from cosmo_runtime.training.methods import Lesson, Predict
from cosmo_runtime.training.warping import vectors
from cosmo_runtime.training.windows import Windows

KERNELS = 10_000
KERNEL = 9  # steps of a convolution; a window needs at least as many


def minirocket(lesson: Lesson) -> Predict:
    """A ``Fit`` that learns from the labelled windows in one pass and uses none of the budget.

    Each modality gets its share of the convolutions. They draw at most nine channels each at random, so among the
    pixels of a camera they would hardly ever draw a channel of an IMU.

    Raises:
        ImportError: sktime or numba is not installed.
    """
    try:
        import numba  # noqa: F401  # without it sktime is imported, and fails only later
        from sktime.transformations.rocket import MiniRocketMultivariate
    except ImportError as error:
        raise ImportError(
            f'MiniRocket needs sktime and numba ({error}); pip install "cosmo-runtime[evaluate]"'
        ) from error

    spec, labelled = lesson.spec, lesson.windows.labelled
    kernels = KERNELS // len(spec.modalities)
    found_by = [
        _Found(modality, j, labelled, MiniRocketMultivariate(kernels, random_state=lesson.seed))
        for j, modality in enumerate(spec.modalities)
    ]

    def found(query: Windows) -> np.ndarray:
        return np.concatenate([found(query) for found in found_by], axis=1)

    classifier = make_pipeline(StandardScaler(with_mean=False), RidgeClassifierCV(alphas=np.logspace(-3, 3, 10)))
    classifier.fit(found(labelled), labelled.labels)

    def predict(query: Windows) -> np.ndarray:
        scores = classifier.decision_function(found(query))
        if scores.ndim == 1:  # for two classes, scikit-learn only scores the second
            scores = np.stack([-scores, scores], axis=1)
        probabilities = np.zeros((len(query), len(spec.classes)))
        probabilities[:, classifier[-1].classes_] = softmax(scores, axis=1)
        return probabilities

    return predict


class _Found:
    """The convolutions' outputs for one modality (N, features). Channels are standardised, zero where absent."""

    def __init__(self, modality: ModalitySpec, index: int, labelled: Windows, rocket: Any):
        self._modality, self._index, self._rocket = modality, index, rocket
        x, there = self._channels(labelled)
        known = x[there] if there.any() else np.zeros_like(x[:1])
        self._mean, self._std = (f((0, 2))[:, None] for f in (known.mean, known.std))
        rocket.fit(self._standardised(x, there))

    def __call__(self, windows: Windows) -> np.ndarray:
        return np.asarray(self._rocket.transform(self._standardised(*self._channels(windows))))

    def _channels(self, windows: Windows) -> tuple[np.ndarray, np.ndarray]:
        """(N, channels, steps), and (N,) whether a window has the modality."""
        x = vectors(self._modality, windows.features[self._modality.sensor])
        steps = max(KERNEL, x.shape[1])
        nearest = ((np.arange(steps) + 0.5) * x.shape[1] / steps).astype(int)
        return x[:, nearest].transpose(0, 2, 1), windows.presence[:, self._index]

    def _standardised(self, x: np.ndarray, there: np.ndarray) -> np.ndarray:
        return ((x - self._mean) / (self._std + 1e-6) * there[:, None, None]).astype(np.float32)
