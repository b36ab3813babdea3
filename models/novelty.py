"""Novelty: how far a window is from everything that a model has learned. It is part of the spec.

The network's answers to one activity, as logarithms of probabilities, scatter around a mean. Answers to something that
it has never seen lie outside. The measure is the Mahalanobis distance to the nearest mean, with one covariance for all
(Lee et al., "A Simple Unified Framework for Detecting Out-of-Distribution Samples", NeurIPS 2018). It uses the output
instead of an inner layer, so that it works with every engine and every bundle.
"""

from __future__ import annotations

from typing import Tuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from cosmo_runtime.models.confidence import LEAST

Matrix = Tuple[Tuple[float, ...], ...]


class Novelty(BaseModel):
    """What known windows look like.

    Attributes:
        means: (K, classes) means of the centred logarithms of probabilities, one for each learned activity.
        precision: (classes, classes), the inverse of their covariance around these.
        limit: the distance within which the share ``accepted`` of held-out people's known windows lies.
        accepted: that share.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    means: Matrix = Field(min_length=1)
    precision: Matrix
    limit: float = Field(gt=0)
    accepted: float = Field(gt=0, lt=1)

    @model_validator(mode="after")
    def _all_of_one_size(self) -> Novelty:
        size = len(self.precision)
        if any(len(row) != size for row in (*self.means, *self.precision)):
            raise ValueError(f"means and precision must be rows of {size} numbers")
        return self

    def of(self, probabilities: np.ndarray) -> float:
        """The novelty of a window from the network's probabilities (classes,). Above 1, it resembles nothing known."""
        return (
            float(distances(probabilities[np.newaxis], np.array(self.means), np.array(self.precision))[0]) / self.limit
        )


def centred(probabilities: np.ndarray) -> np.ndarray:
    """Logarithms of probabilities (N, classes), with mean 0 for each window."""
    logarithms = np.log(np.maximum(np.asarray(probabilities, np.float64), LEAST))
    answer: np.ndarray = logarithms - logarithms.mean(axis=1, keepdims=True)
    return answer


def distances(probabilities: np.ndarray, means: np.ndarray, precision: np.ndarray) -> np.ndarray:
    """Mahalanobis distance (N,) of windows (N, classes) to the nearest of the means (K, classes)."""
    away = centred(probabilities)[:, np.newaxis] - means
    answer: np.ndarray = np.sqrt(np.einsum("nkc,cd,nkd->nk", away, precision, away).clip(0).min(axis=1))
    return answer
