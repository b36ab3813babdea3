"""Finds unlabelled windows of the same activity, and spreads labels among them.

Embeddings of one activity are close together, but so are those of one *person*: the nearest windows often show another
activity of the same person. So neighbours are mainly searched for among other people. Two windows of different people
that are each other's nearest nearly always show the same activity. The people in recordings are known without labels.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Callable, Literal, Optional, Sequence

import numpy as np
import torch
from scipy import sparse
from sklearn.semi_supervised import LabelSpreading
from torch import Tensor

from cosmo_runtime.models.spec import ModelSpec
from cosmo_runtime.training import warping
from cosmo_runtime.training.windows import UNLABELLED, Windows

Balance = Literal["none", "all", "person"]
"""Whether each activity gets its share of labels: nowhere, among all windows, or among those of each person."""

Distances = Callable[[Tensor], Tensor]
"""Distances (R, N) of the windows with some indices (R,) to all N windows; infinite where two cannot be compared."""

_ROWS = 1024  # rows of the matrix of distances that are in memory at a time
_SIGNALS = ("imu", "skeleton")  # kinds whose numbers mean the same in each window
_ROUNDS = 100
_LEAST = 1e-12


def cosine_distances(z: Tensor, presence: Tensor) -> Distances:
    """Distances of embeddings.

    Args:
        z: (N, M, D) of length 1.
        presence: (N, M), 1 or 0. Two windows are compared by the modalities that both have.
    """
    z = z * presence.unsqueeze(2)

    def distances(rows: Tensor) -> Tensor:
        shared = presence[rows] @ presence.T
        mean = 1 - (z[rows].flatten(1) @ z.flatten(1).T) / shared.clamp(min=1e-6)
        return mean.masked_fill(shared < 0.5, torch.inf)

    return distances


def sensor_distances(z: Tensor, presence: Tensor) -> list[Distances]:
    """``cosine_distances`` by each modality alone."""
    alone = torch.eye(presence.shape[1])
    return [cosine_distances(z, presence * modality) for modality in alone]


def warped_distances(spec: ModelSpec, windows: Windows) -> Distances:
    """Distances of the signals under dynamic time warping: the mean over the sensors that both windows have.

    Pictures and point clouds are left out: the same pixel shows something else if somebody stands elsewhere.
    """
    sensors = [sensor for sensor, kind in spec.kinds.items() if kind in _SIGNALS]
    views = [warping.distances_of(sensor, spec, windows, windows, windows) for sensor in sensors]
    return mean_distances([torch.from_numpy(d).nan_to_num(torch.inf).__getitem__ for d in views], len(windows))


def mean_distances(views: Sequence[Distances], count: int) -> Distances:
    """The mean of several distances, each divided by its own mean first, so that all count the same.

    Args:
        views: distances between the same windows. Where one is infinite, the others count.
        count: the number of windows, N. N x N numbers are held in memory.
    """
    total, known = torch.zeros(2, count, count)
    for view in views:
        distances = view(torch.arange(count))
        finite = torch.isfinite(distances).fill_diagonal_(False)
        total += torch.where(finite, distances / distances[finite].mean().clamp(min=1e-9), 0.0)
        known += finite
    return torch.where(known > 0, total / known, torch.inf).__getitem__


def mutual_neighbours(distances: Distances, groups: np.ndarray, across: int = 10, within: int = 3) -> sparse.csr_matrix:
    """Finds pairs of windows that are among each other's nearest.

    Args:
        distances: between windows.
        groups: (N,) the person of each window.
        across: how many nearest windows of other people count.
        within: how many nearest windows of the same person count. If there is only one person, ``across`` is used.

    Returns:
        (N, N) symmetric: exp(-(d / mean d)²) where two windows are neighbours, a weight of at most 1, with d their
            distance.
    """
    person = torch.from_numpy(np.unique(groups, return_inverse=True)[1])
    if int(person.max()) == 0:
        within = across
    parts: list[sparse.csr_matrix] = []
    for rows in torch.arange(len(person)).split(_ROWS):
        distance = distances(rows)
        distance[torch.arange(len(rows)), rows] = torch.inf
        same = person[rows].unsqueeze(1) == person
        near = torch.zeros_like(same)
        for mask, count in ((same, across), (~same, within)):
            nearest = distance.masked_fill(mask, torch.inf).topk(min(count, len(person)), largest=False)
            near.scatter_(1, nearest.indices, torch.isfinite(nearest.values) | near.gather(1, nearest.indices))
        parts.append(sparse.csr_matrix(distance.clamp(min=1e-6).masked_fill(~near, 0.0).numpy()))
    one_way = sparse.vstack(parts).tocsr()
    mutual = one_way.minimum(one_way.T).tocsr()  # zero where only one is near the other
    if mutual.nnz:
        mutual.data = np.exp(-((mutual.data / mutual.data.mean()) ** 2))
    return mutual


def spread_over(
    windows: Windows, neighbours: sparse.csr_matrix, balance: Balance = "none"
) -> tuple[Windows, np.ndarray]:
    """Returns the windows that have a label or get one from their neighbours, and the confidence (N,) in each label.

    Args:
        windows: windows, of which some have a label.
        neighbours: (N, N) from ``mutual_neighbours``.
        balance: among whose windows each activity gets its share.
    """
    parts = {"none": None, "all": np.zeros(len(windows)), "person": windows.groups}[balance]
    labels, confidence = spread_labels(neighbours, windows.labels, parts)
    reached = labels != UNLABELLED
    return replace(windows, labels=labels).where(reached), confidence[reached]


def spread_labels(
    neighbours: sparse.csr_matrix, labels: np.ndarray, parts: Optional[np.ndarray] = None
) -> tuple[np.ndarray, np.ndarray]:
    """Gives unlabelled windows the labels of their neighbours (label spreading, Zhou et al., NIPS 2003).

    Args:
        neighbours: (N, N) from ``mutual_neighbours``.
        labels: (N,) int64, -1 where unknown.
        parts: (N,) the part that each window belongs to. In each part, the shares of each activity add up to what it
            has of the given labels. Without parts, an activity whose one labelled window is unlike the rest loses most
            of its windows to another.

    Returns:
        labels (N,), where given ones are unchanged and windows that no label reaches have -1, and the confidence (N,)
            in each: 1 for a given label, 0 for no label.
    """
    spreading = LabelSpreading(kernel=lambda *_: neighbours, alpha=0.9, max_iter=1000)
    spreading.fit(np.arange(len(labels)).reshape(-1, 1), labels)
    shares = np.nan_to_num(spreading.label_distributions_)
    known = labels != UNLABELLED
    reached = known | (shares.max(1) > 0)
    if parts is not None:
        frequency = (labels[known][:, None] == spreading.classes_).mean(axis=0)
        shares[reached] = _as_frequent(shares[reached], frequency, parts[reached])
    spread = np.where(known, labels, np.where(reached, spreading.classes_[shares.argmax(1)], UNLABELLED))
    return spread, np.where(known, 1.0, shares.max(1)).astype(np.float32)


def _as_frequent(shares: np.ndarray, frequency: np.ndarray, parts: np.ndarray) -> np.ndarray:
    """Scales rows and columns of shares (N, classes) until the columns' sums have these frequencies (Sinkhorn, 1967).

    The columns are those of each part of the rows by itself. The same is done with all rows in: Tai et al., "Sinkhorn
    Label Allocation", ICML 2021.
    """
    rows = [np.flatnonzero(parts == part) for part in np.unique(parts)]
    for _ in range(_ROUNDS):
        for inside in rows:
            sums = np.maximum(shares[inside].sum(axis=0), _LEAST)  # an activity may have no share at all
            shares[inside] *= frequency * len(inside) / sums
        shares = shares / np.maximum(shares.sum(axis=1, keepdims=True), _LEAST)
    return shares
