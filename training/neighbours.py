"""Which unlabelled windows show the same activity, and how labels spread among them.

Embeddings of one activity lie close together, but those of one *person* do too: the windows nearest to one are often
another activity of the same person. So neighbours are looked for among other people, where two windows that are each
other's nearest nearly always show the same activity, and only the very nearest are taken from the person's own. Who was
recorded is known without labels.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from scipy import sparse
from sklearn.semi_supervised import LabelSpreading
from torch import Tensor

from training.windows import UNLABELLED, Windows

_ROWS = 1024  # of the similarity matrix, held at a time


def mutual_neighbours(
    z: Tensor, presence: Tensor, groups: np.ndarray, across: int = 10, within: int = 3
) -> sparse.csr_matrix:
    """Windows that are among each other's nearest.

    Args:
        z: (N, M, D) embeddings of length 1.
        presence: (N, M), 1 or 0; windows are compared by the modalities that both have.
        groups: (N,) the person of each window.
        across: how many nearest windows of other people count.
        within: how many nearest windows of the same person count; where there is only one person, ``across`` do.

    Returns:
        (N, N) symmetric: a weight of at most 1 where two windows are neighbours, exp(-(d / mean d)²) of their mean
        cosine distance d.
    """
    person = torch.from_numpy(np.unique(groups, return_inverse=True)[1])
    if int(person.max()) == 0:
        within = across
    z = z * presence.unsqueeze(2)
    parts: list[sparse.csr_matrix] = []
    for rows in torch.arange(len(z)).split(_ROWS):
        shared = (presence[rows] @ presence.T).clamp(min=1e-6)
        distance = 1 - (z[rows].flatten(1) @ z.flatten(1).T) / shared  # (rows, N), mean over the modalities both have
        distance[shared < 0.5] = torch.inf
        distance[torch.arange(len(rows)), rows] = torch.inf
        same = person[rows].unsqueeze(1) == person
        near = torch.zeros_like(same)
        for mask, count in ((same, across), (~same, within)):
            nearest = distance.masked_fill(mask, torch.inf).topk(min(count, len(z)), largest=False)
            near.scatter_(1, nearest.indices, torch.isfinite(nearest.values) | near.gather(1, nearest.indices))
        parts.append(sparse.csr_matrix(distance.clamp(min=1e-6).masked_fill(~near, 0.0).numpy()))
    one_way = sparse.vstack(parts).tocsr()
    mutual = one_way.minimum(one_way.T).tocsr()  # zero where only one finds the other near
    if mutual.nnz:
        mutual.data = np.exp(-((mutual.data / mutual.data.mean()) ** 2))
    return mutual


def spread_over(windows: Windows, z: Tensor, presence: Tensor) -> tuple[Windows, np.ndarray]:
    """The windows with a label of their own or from their neighbours, and the confidence (N,) in each label.

    Args:
        windows: of whom some have a label.
        z: (N, M, D) their embeddings of length 1.
        presence: (N, M), 1 or 0.
    """
    labels, confidence = spread_labels(mutual_neighbours(z, presence, windows.groups), windows.labels)
    reached = labels != UNLABELLED
    return replace(windows, labels=labels).where(reached), confidence[reached]


def spread_labels(neighbours: sparse.csr_matrix, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Labels for unlabelled windows from their neighbours' (label spreading, Zhou et al., NIPS 2003).

    Args:
        neighbours: (N, N) as ``mutual_neighbours`` gives them.
        labels: (N,) int64, -1 where unknown.

    Returns:
        labels (N,) with the given ones untouched and -1 where no label reaches, and the confidence (N,) in each: 1 for
        a given label, 0 where there is none.
    """
    spreading = LabelSpreading(kernel=lambda *_: neighbours, alpha=0.9, max_iter=1000)
    spreading.fit(np.arange(len(labels)).reshape(-1, 1), labels)
    shares = np.nan_to_num(spreading.label_distributions_)
    known = labels != UNLABELLED
    reached = known | (shares.max(1) > 0)
    spread = np.where(known, labels, np.where(reached, spreading.classes_[shares.argmax(1)], UNLABELLED))
    return spread, np.where(known, 1.0, shares.max(1)).astype(np.float32)
