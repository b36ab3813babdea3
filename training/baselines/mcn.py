"""Multimodal Clustering Network (Chen et al., ICCV 2021): modalities share one space and its centroids.

As published, the loss is the sum of three: a two-way softmax over similarities between each pair of modalities, with a
margin of 0.001; a cross-entropy that draws each modality to the k-means centroid nearest to the mean of all modalities;
and, with weight 50, the reconstruction of each encoder's output from the joint space. The centroids are recomputed
every 20 minibatches from a queue of means.

What had to change: encoders, augmentation and classifier are the project's, as for CMC, and the encoders are trained
too. There are three times as many centroids as activities, similarities are between unit vectors and divided by 0.1,
and the queue is as long as the training set: the published sizes suit a million videos. Written from the paper's
description, because its code has no licence.
"""

from __future__ import annotations

import torch
from sklearn.cluster import KMeans
from torch import Tensor, nn

from cosmo_runtime.models.networks import EMBEDDING, Encoders, ProjectionHeads
from cosmo_runtime.training.augment import Features, augment
from cosmo_runtime.training.baselines.cmc import pairwise_contrast
from cosmo_runtime.training.baselines.learning import learn_unlabelled, tune_together
from cosmo_runtime.training.methods import Lesson, TwoStages, normalise

TEMPERATURE, MARGIN = 0.1, 0.001
RECONSTRUCTION = 50.0
CENTROIDS = 3  # for each activity
REFIT = 20  # minibatches
JOINT = 128


def _pretrain(lesson: Lesson) -> Encoders:
    torch.manual_seed(lesson.seed)
    encoders = Encoders(lesson.spec)
    normalise(encoders, lesson.windows, lesson.seed)
    modalities = len(lesson.spec.modalities)
    heads = ProjectionHeads(modalities, output=JOINT)
    decoders = nn.ModuleList(
        nn.Sequential(nn.Linear(JOINT, 128), nn.ReLU(), nn.Linear(128, EMBEDDING)) for _ in range(modalities)
    )
    generator = torch.Generator().manual_seed(lesson.seed)
    centroids = Centroids(CENTROIDS * len(lesson.spec.classes), len(lesson.windows), lesson.seed)

    def loss(features: Features, presence: Tensor) -> Tensor:
        z = encoders(augment(features, lesson.windows.kinds, generator))
        r = heads(z)
        again = torch.stack([decode(r[:, j]) for j, decode in enumerate(decoders)], dim=1)
        pairs = modalities * (modalities - 1)  # each pair in both directions
        return (
            pairs * pairwise_contrast(r, presence, TEMPERATURE, MARGIN)
            + clustering_loss(r, presence, centroids.among(mean_embedding(r.detach(), presence)))
            + RECONSTRUCTION * reconstruction_loss(again, z.detach(), presence)
        )

    network = nn.ModuleList([encoders, heads, decoders])
    learn_unlabelled(network, loss, lesson, "MCN")
    return encoders


mcn = TwoStages("mcn", Encoders, _pretrain, tune_together("MCN"))
"""The three losses on all windows, then a classifier of all features, tuned with the encoders."""


class Centroids:
    """K-means centroids of the latest means, which are in a queue."""

    def __init__(self, count: int, length: int, seed: int):
        self._count, self._length, self._seed = min(count, length), length, seed
        self._queue, self._found = torch.empty(0, JOINT), torch.empty(0, JOINT)
        self._batches = 0

    def among(self, means: Tensor) -> Tensor:
        """Adds a minibatch's means (N, D). Returns unit centroids (K, D), or none until there are enough means."""
        self._queue = torch.cat([self._queue, means])[-self._length :]
        is_due = self._batches % REFIT == 0 or not len(self._found)
        if is_due and len(self._queue) >= self._count:
            kmeans = KMeans(self._count, n_init=1, random_state=self._seed).fit(self._queue.numpy())
            self._found = nn.functional.normalize(torch.from_numpy(kmeans.cluster_centers_).float(), dim=1)
        self._batches += 1
        return self._found


def mean_embedding(r: Tensor, presence: Tensor) -> Tensor:
    """Unit vectors (N, M, D) and presence (N, M) -> the direction of the mean of the present ones, (N, D)."""
    return nn.functional.normalize((r * presence.unsqueeze(2)).sum(1), dim=1)


def clustering_loss(r: Tensor, presence: Tensor, centroids: Tensor, temperature: float = TEMPERATURE) -> Tensor:
    """Cross-entropy from each modality to the centroid nearest to the mean of all modalities.

    Args:
        r: (N, M, D) unit vectors.
        presence: (N, M), 1 or 0.
        centroids: (K, D) unit vectors; K may be 0.
        temperature: tau.

    Returns:
        The mean over windows of the sum over present modalities, a scalar.
    """
    if not len(centroids):
        return 0 * r.sum()
    nearest = (mean_embedding(r.detach(), presence) @ centroids.T).argmax(1)
    logits = r @ centroids.T / temperature  # (N, M, K)
    share = torch.log_softmax(logits, dim=2)[torch.arange(len(r)), :, nearest]
    return -(share * presence).sum(1).mean()


def reconstruction_loss(again: Tensor, z: Tensor, presence: Tensor) -> Tensor:
    """Mean squared error of reconstructed embeddings (N, M, D), where presence (N, M) has them."""
    return ((again - z).pow(2).mean(2) * presence).sum() / presence.sum().clamp(min=1)
