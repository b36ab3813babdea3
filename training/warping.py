"""Distances between windows under dynamic time warping (Sakoe and Chiba, 1978), which ignores differences in pace.

A window becomes a sequence of vectors for each modality that it has. Two sequences are aligned so that each step is
matched with a step of the other, in order, and the sum of the squared distances of matched steps is least. All channels
of a modality are warped together (dependent warping).
"""

from __future__ import annotations

import math

import numpy as np

from cosmo_runtime.models.encoders import HIP_CENTRE, SHOULDER_CENTRE
from cosmo_runtime.models.spec import ModalitySpec, ModelSpec
from cosmo_runtime.training.windows import Windows

STEPS = 40
BAND = 0.3


def distances(spec: ModelSpec, a: Windows, b: Windows, training: Windows) -> dict[str, np.ndarray]:
    """Warping distances by sensor, each as from ``distances_of``."""
    return {sensor: distances_of(sensor, spec, a, b, training) for sensor in spec.sensors}


def distances_of(sensor: str, spec: ModelSpec, a: Windows, b: Windows, training: Windows) -> np.ndarray:
    """Warping distances between all windows of two sets, by one sensor.

    Args:
        sensor: its name.
        spec: the windows' spec.
        a: Na windows.
        b: Nb windows.
        training: windows whose mean and deviation of each channel standardise both sets.

    Returns:
        (Na, Nb) float32, NaN if one of the two windows lacks the sensor.
    """
    j = spec.sensors.index(sensor)
    modality = spec.modalities[j]
    has_a, has_b, has = a.presence[:, j], b.presence[:, j], training.presence[:, j]
    of_a, of_b, known = (
        _sequences(modality, w.features[sensor][present]) for w, present in ((a, has_a), (b, has_b), (training, has))
    )
    if modality.kind != "skeleton" and len(known):
        mean, std = known.mean((0, 1)), known.std((0, 1)) + 1e-6
        of_a, of_b = (of_a - mean) / std, (of_b - mean) / std
    between = np.full((len(a), len(b)), np.nan, np.float32)
    between[np.ix_(has_a, has_b)] = warping_distances(of_a, of_b)
    return between


def warping_distances(a: np.ndarray, b: np.ndarray, band: float = BAND) -> np.ndarray:
    """Dependent dynamic time warping between all sequences of two sets.

    Args:
        a: (Na, steps, D).
        b: (Nb, steps, D).
        band: how far a step may be from its match, as a share of the length (Sakoe-Chiba).

    Returns:
        (Na, Nb) float32: squared Euclidean distances of matched steps, summed along the best path.
    """
    from dtaidistance import dtw_ndim  # only with the extra `evaluate`

    if not (len(a) and len(b)):
        return np.empty((len(a), len(b)), np.float32)
    pairs = ((0, len(a)), (len(a), len(a) + len(b)))
    root = dtw_ndim.distance_matrix_fast(
        list(np.concatenate([a, b]).astype(np.float64)),
        window=round(band * a.shape[1]) + 1,  # the library counts the step itself
        block=pairs,
        compact=True,
        parallel=False,
    )
    return np.square(root, dtype=np.float32).reshape(len(a), len(b))


def vectors(modality: ModalitySpec, x: np.ndarray) -> np.ndarray:
    """Features as one vector a step, for methods that compare numbers by position.

    Args:
        modality: the features' modality.
        x: (N, steps, *shape), as ``models.features`` makes them.

    Returns:
        (N, steps, D) float32. A skeleton's joints are relative to its hips, in units of the trunk's length. A radar's
        points have no order, so the vector holds their number and their mean.
    """
    x = x.astype(np.float32)
    if modality.kind == "skeleton":
        x = x - x[:, :, HIP_CENTRE : HIP_CENTRE + 1]
        trunk = np.median(np.linalg.norm(x[:, :, SHOULDER_CENTRE], axis=2), axis=1)
        x = x / np.maximum(trunk, 1e-3)[:, None, None, None]
    elif modality.kind == "radar":
        is_point = np.abs(x).sum(3, keepdims=True) > 0
        count = is_point.sum(2)  # (N, steps, 1)
        x = np.concatenate([count, (x * is_point).sum(2) / np.maximum(count, 1)], axis=2)
    return x.reshape(len(x), x.shape[1], math.prod(x.shape[2:])).astype(np.float32, copy=False)


def _sequences(modality: ModalitySpec, x: np.ndarray) -> np.ndarray:
    """Features (N, steps, *shape) -> sequences (N, at most STEPS evenly spaced steps, D)."""
    return vectors(modality, x[:, np.linspace(0, x.shape[1] - 1, min(x.shape[1], STEPS)).astype(int)])
