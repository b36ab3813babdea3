"""Makes a classifier from a few labelled windows and unchanged encoders: ``models.nearest``."""

from __future__ import annotations

from typing import Tuple

import torch
from torch import Tensor

from cosmo_runtime.models.nearest import NearestExamples
from cosmo_runtime.training.adapt.memory import Memory

SHRINKAGE = 0.3
"""Chosen with people who are in no result."""


def temperature(windows_each: float) -> float:
    """The temperature of the classifier's probabilities. With more windows per activity, the mean of votes is flatter.

    Fitted to people who are in no result: the best values for 1, 2, 4 and 8 windows were 1.15, 0.89, 0.67 and 0.51.
    """
    return round(float(windows_each ** (-1 / 3)), 4)


def nearest_examples(known: Memory, classes: int, z: Tensor, presence: Tensor) -> NearestExamples:
    """Makes the classifier from examples.

    Args:
        known: embeddings of labelled windows.
        classes: the number of activities.
        z: (N, M, D) embeddings of all available windows, labelled or not; they define the mean and the spread.
        presence: (N, M), 1 where these windows have the sensor.
    """
    classifier = NearestExamples(classes, z.shape[1], z.shape[2], len(known.labels))
    for sensor, there in enumerate(presence.T > 0):
        if there.any():
            classifier.usual[sensor], classifier.evening[sensor] = spread_of(z[there, sensor])
    of_activity = torch.nn.functional.one_hot(known.labels, classes).float()
    classifier.examples.copy_(classifier.evened(known.z).transpose(1, 2))
    classifier.seen.copy_(known.presence.T)
    classifier.shares.copy_(of_activity / of_activity.sum(0).clamp(min=1))
    return classifier.eval()


def spread_of(z: Tensor) -> Tuple[Tensor, Tensor]:
    """The mean (D,) of embeddings (N, D), and the matrix (D, D) that equalises their variance in all directions.

    The covariance is shrunk towards its mean variance, because there are few windows for so many dimensions.
    """
    usual = z.mean(0)
    variances, axes = torch.linalg.eigh((z - usual).T @ (z - usual) / len(z))
    variances = variances.clamp(min=0) + SHRINKAGE * variances.mean().clamp(min=1e-6)
    return usual, axes / variances.sqrt() @ axes.T
