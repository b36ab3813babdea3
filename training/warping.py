"""Distances between windows under dynamic time warping (Sakoe and Chiba, 1978): alike at whatever pace.

A window becomes a sequence of vectors for each modality it has. Two sequences are laid upon each other so that each
step meets one of the other, in order, and the squared distances of those that meet add up to the least possible. All
channels of a modality are warped as one (dependent warping).
"""

from __future__ import annotations

import math

import numpy as np

from models.encoders import HIP_CENTRE, SHOULDER_CENTRE
from models.spec import ModalitySpec, ModelSpec
from training.windows import Windows

STEPS = 40
BAND = 0.3


def distances(spec: ModelSpec, a: Windows, b: Windows, training: Windows) -> dict[str, np.ndarray]:
    """Warping distances between all windows of two sets, by modality.

    Args:
        spec: of the modalities.
        a: Na windows.
        b: Nb windows.
        training: windows whose mean and deviation of each channel standardise those of both sets.

    Returns:
        By sensor (Na, Nb) float32, NaN where one of the two windows lacks the modality.
    """
    by_sensor: dict[str, np.ndarray] = {}
    for j, modality in enumerate(spec.modalities):
        has_a, has_b, has = a.presence[:, j], b.presence[:, j], training.presence[:, j]
        of_a, of_b, known = (
            _sequences(modality, w.features[modality.sensor][present])
            for w, present in ((a, has_a), (b, has_b), (training, has))
        )
        if modality.sensor != "skeleton" and len(known):
            mean, std = known.mean((0, 1)), known.std((0, 1)) + 1e-6
            of_a, of_b = (of_a - mean) / std, (of_b - mean) / std
        between = np.full((len(a), len(b)), np.nan, np.float32)
        between[np.ix_(has_a, has_b)] = warping_distances(of_a, of_b)
        by_sensor[modality.sensor] = between
    return by_sensor


def warping_distances(a: np.ndarray, b: np.ndarray, band: float = BAND) -> np.ndarray:
    """Dependent dynamic time warping between all sequences of two sets.

    Args:
        a: (Na, steps, D).
        b: (Nb, steps, D).
        band: how far, as a share of the length, a step may be from the one it meets (Sakoe-Chiba).

    Returns:
        (Na, Nb) float32: squared Euclidean distances of the steps that meet, summed along the best path.
    """
    if len(a) > len(b):  # the distance is symmetric, and the longer set is the one that runs in numpy's inner loops
        return warping_distances(b, a, band).T
    between = np.empty((len(a), len(b)), np.float32)
    if not len(a):
        return between
    steps, reach = b.shape[1], round(band * b.shape[1])
    centre = b.mean((0, 1))  # products of small numbers lose fewer digits
    a = (a - centre).astype(np.float32)
    columns = np.ascontiguousarray((b - centre).astype(np.float32).transpose(2, 1, 0))  # (D, steps, Nb)
    squares = (columns**2).sum(0)
    for sequence, out in zip(a, between):
        cost = np.tensordot(-2 * sequence, columns, 1)  # (steps, steps, Nb): |x - y|² = |x|² - 2 x.y + |y|²
        cost += squares
        cost += (sequence**2).sum(1)[:, None, None]
        np.maximum(cost, 0, out=cost)
        for i in range(steps):  # each cell becomes the cost of the best path from the start to it, for all Nb at once
            first, last = max(0, i - reach), min(steps - 1, i + reach)
            for j in range(first, last + 1):
                best = cost[i - 1, j - 1] if i and j else np.full(len(b), np.inf if i or j else 0, np.float32)
                if i and j < i + reach:
                    best = np.minimum(best, cost[i - 1, j])
                if j > first:
                    best = np.minimum(best, cost[i, j - 1])
                cost[i, j] += best
        out[:] = cost[-1, -1]
    return between


def vectors(modality: ModalitySpec, x: np.ndarray) -> np.ndarray:
    """Features as one vector a step, for methods that compare numbers in the same place.

    Args:
        modality: what the features are.
        x: (N, steps, *shape), as ``models.features`` makes them.

    Returns:
        (N, steps, D) float32. A skeleton's joints are seen from its hips, in units of the trunk's length; a radar's
        points, which have no order, are told by their number and their mean.
    """
    x = x.astype(np.float32)
    if modality.sensor == "skeleton":
        x = x - x[:, :, HIP_CENTRE : HIP_CENTRE + 1]
        trunk = np.median(np.linalg.norm(x[:, :, SHOULDER_CENTRE], axis=2), axis=1)
        x = x / np.maximum(trunk, 1e-3)[:, None, None, None]
    elif modality.sensor == "radar":
        is_point = np.abs(x).sum(3, keepdims=True) > 0
        count = is_point.sum(2)  # (N, steps, 1)
        x = np.concatenate([count, (x * is_point).sum(2) / np.maximum(count, 1)], axis=2)
    return x.reshape(len(x), x.shape[1], math.prod(x.shape[2:])).astype(np.float32, copy=False)


def _sequences(modality: ModalitySpec, x: np.ndarray) -> np.ndarray:
    """Features (N, steps, *shape) -> sequences (N, at most STEPS evenly spread steps, D)."""
    return vectors(modality, x[:, np.linspace(0, x.shape[1] - 1, min(x.shape[1], STEPS)).astype(int)])
