"""Learns what known windows look like to a model, so that a run can say what it has never seen.

spec = spec.model_copy(update={"novelty": learn_novelty(train_probabilities, train_labels, held_out_probabilities)})
"""

from __future__ import annotations

import numpy as np

from cosmo_runtime.models.novelty import Novelty, centred, distances

_SHRINKAGE = 0.1  # of the covariance towards a sphere; subjects 7 and 8 of UTD-MHAD also influenced the choice
_DIGITS = 6


def learn_novelty(
    probabilities: np.ndarray, labels: np.ndarray, held_out: np.ndarray, accepted: float = 0.95
) -> Novelty:
    """Fits means and covariance to windows that were learned from, and the limit to windows of held-out people.

    Args:
        probabilities: (N, classes) of windows that were learned from, as the network gives them, at no temperature.
        labels: (N,) index of their class.
        held_out: (M, classes) of windows of people held out of training who do what the model knows.
        accepted: the share of the latter that counts as known.

    Raises:
        ValueError: there are no windows, or some have no label.
    """
    if not len(labels) or not len(held_out) or min(labels) < 0:
        raise ValueError(
            f"{len(labels)} windows, {np.sum(labels < 0)} of them without a label, and {len(held_out)} of held-out "
            "people: give some of both, with labels"
        )
    logarithms = centred(probabilities)
    found, index = np.unique(labels, return_inverse=True)
    means = np.stack([logarithms[index == number].mean(axis=0) for number in range(len(found))])
    around = logarithms - means[index]
    covariance = around.T @ around / len(around)
    size = len(covariance)
    ball = max(float(np.trace(covariance)) / size, 1e-6) * np.eye(size)
    precision = np.linalg.inv((1 - _SHRINKAGE) * covariance + _SHRINKAGE * ball)
    means, precision = means.round(_DIGITS), precision.round(_DIGITS)
    limit = float(np.quantile(distances(held_out, means, precision), accepted))
    return Novelty(
        means=tuple(map(tuple, means.tolist())),
        precision=tuple(map(tuple, precision.tolist())),
        limit=max(limit, 1e-6),
        accepted=accepted,
    )
