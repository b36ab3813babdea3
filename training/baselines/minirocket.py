"""MiniRocket (Dempster et al., KDD 2021): ten thousand fixed convolutions, and a ridge classifier on what they find."""

from __future__ import annotations

import numpy as np
from rich.progress import Progress
from scipy.special import softmax
from sklearn.linear_model import RidgeClassifierCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from models.spec import ModelSpec
from training.methods import Budget, Predict
from training.warping import vectors
from training.windows import Windows

KERNEL = 9  # steps of a convolution, fewer than which a window must not have


def minirocket(spec: ModelSpec, windows: Windows, budget: Budget, seed: int, progress: Progress) -> Predict:
    """A ``Fit`` that learns from the labelled windows in one go, so that it spends nothing of its budget.

    Modalities are channels side by side, standardised, with as many steps as the modality that has most.

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

    labelled = windows.labelled
    channels, there = _channels(spec, labelled)
    count = np.maximum(there.sum(0), 1)[:, None]  # (channels, 1): of windows that have it
    mean = channels.sum((0, 2))[:, None] / count / channels.shape[2]
    squares = ((channels - mean) ** 2 * there[:, :, None]).sum((0, 2))[:, None]
    std = np.sqrt(squares / count / channels.shape[2]) + 1e-6

    def standardised(channels: np.ndarray, there: np.ndarray) -> np.ndarray:
        return ((channels - mean) / std * there[:, :, None]).astype(np.float32)

    rocket = MiniRocketMultivariate(random_state=seed)
    found = rocket.fit_transform(standardised(channels, there))
    classifier = make_pipeline(StandardScaler(with_mean=False), RidgeClassifierCV(alphas=np.logspace(-3, 3, 10)))
    classifier.fit(np.asarray(found), labelled.labels)

    def predict(asked: Windows) -> np.ndarray:
        scores = classifier.decision_function(np.asarray(rocket.transform(standardised(*_channels(spec, asked)))))
        if scores.ndim == 1:  # of two classes, scikit-learn scores the second only
            scores = np.stack([-scores, scores], axis=1)
        probabilities = np.zeros((len(asked), len(spec.classes)))
        probabilities[:, classifier[-1].classes_] = softmax(scores, axis=1)
        return probabilities

    return predict


def _channels(spec: ModelSpec, windows: Windows) -> tuple[np.ndarray, np.ndarray]:
    """All modalities side by side: (N, channels, steps), zero where absent, and which are there, (N, channels)."""
    steps = max(KERNEL, *map(spec.steps, spec.modalities))
    channels, there = [], []
    for j, modality in enumerate(spec.modalities):
        x = vectors(modality, windows.features[modality.sensor])
        nearest = ((np.arange(steps) + 0.5) * x.shape[1] / steps).astype(int)
        present = np.repeat(windows.presence[:, j, None], x.shape[2], axis=1)
        channels.append(np.where(present[:, :, None], x[:, nearest].transpose(0, 2, 1), 0))
        there.append(present)
    return np.concatenate(channels, axis=1), np.concatenate(there, axis=1)
