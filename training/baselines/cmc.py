"""CMC (Tian et al., ECCV 2020): contrasts each pair of a window's modalities with those of other windows."""

from __future__ import annotations

from itertools import combinations

import torch
from torch import Tensor, nn

from cosmo_runtime.models.networks import Encoders, ProjectionHeads
from cosmo_runtime.training.augment import Features, augment
from cosmo_runtime.training.baselines.learning import Concatenated, learn_labels, learn_unlabelled, tune_together
from cosmo_runtime.training.cosmo.neighbours import cosine_distances, mutual_neighbours, spread_over
from cosmo_runtime.training.cosmo.stage2 import embed
from cosmo_runtime.training.methods import Lesson, Stage2Result, TwoStages, normalise

TEMPERATURE = 0.07


def _pretrain(lesson: Lesson) -> Encoders:
    torch.manual_seed(lesson.seed)
    encoders = Encoders(lesson.spec)
    normalise(encoders, lesson.windows, lesson.seed)
    heads = ProjectionHeads(len(lesson.spec.modalities))
    generator = torch.Generator().manual_seed(lesson.seed)

    def loss(features: Features, presence: Tensor) -> Tensor:
        return pairwise_contrast(heads(encoders(augment(features, lesson.windows.kinds, generator))), presence)

    network = nn.ModuleList([encoders, heads])
    learn_unlabelled(network, loss, lesson, "CMC")
    return encoders


def _tune_with_spread_labels(encoders: Encoders, lesson: Lesson) -> Stage2Result:
    torch.manual_seed(lesson.seed)
    windows = lesson.windows
    z, presence, _ = embed(encoders, windows)
    reached, confidence = spread_over(windows, mutual_neighbours(cosine_distances(z, presence), windows.groups))
    lesson = lesson._replace(windows=reached, budget=lesson.budget.with_labels(windows.labelled, reached))
    return Stage2Result(learn_labels(Concatenated(encoders, lesson.spec), lesson, "CMC, labels spread", confidence))


cmc_spread = TwoStages("cmc", Encoders, _pretrain, _tune_with_spread_labels)
"""CMC with Cosmo's addition: the classifier also learns from labels spread over the embeddings of CMC's stage 1."""

cmc = TwoStages("cmc", Encoders, _pretrain, tune_together("CMC"))
"""The full graph of pairs on all windows, then a classifier of all features, tuned with the encoders.

Negatives are the other windows of the minibatch, not a memory bank. A bank holds stale features, and only pays if the
batch is small compared with the data. Here it is not.
"""


def pairwise_contrast(r: Tensor, presence: Tensor, temperature: float = TEMPERATURE, margin: float = 0.0) -> Tensor:
    """InfoNCE in both directions between each pair of modalities, over the windows that have both.

    Args:
        r: (N, M, D) unit projections.
        presence: (N, M), 1 or 0.
        temperature: tau.
        margin: how much more similar a matching pair must be than other pairs.

    Returns:
        The mean over pairs of modalities, a scalar.
    """
    losses = []
    for i, j in combinations(range(r.shape[1]), 2):
        both = (presence[:, i] * presence[:, j]) > 0
        similarity = r[both, i] @ r[both, j].T
        if len(similarity) > 1:
            itself = torch.arange(len(similarity))
            similarity = (similarity - margin * torch.eye(len(similarity))) / temperature
            losses += [
                nn.functional.cross_entropy(similarity, itself),
                nn.functional.cross_entropy(similarity.T, itself),
            ]
    return torch.stack(losses).mean() if losses else 0 * r.sum()
