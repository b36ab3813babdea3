"""CMC (Tian et al., ECCV 2020): each pair of modalities of a window is contrasted with those of other windows."""

from __future__ import annotations

from itertools import combinations
from typing import Iterator

import numpy as np
import torch
from rich.progress import Progress
from torch import Tensor, nn

from models.networks import Encoders, ProjectionHeads
from models.spec import ModelSpec
from training.augment import Features, augment
from training.baselines.learning import EmbeddingClassifier, descend, learn_labels
from training.finetune import embed
from training.methods import Budget, OnEpoch, Predict, TwoStages, normalise
from training.neighbours import spread_over
from training.windows import Windows

TEMPERATURE = 0.07


def _pretrain(
    spec: ModelSpec, windows: Windows, budget: Budget, seed: int, progress: Progress, on_epoch: OnEpoch
) -> Encoders:
    torch.manual_seed(seed)
    encoders = Encoders(spec)
    normalise(encoders, windows, seed)
    heads = ProjectionHeads(len(spec.modalities))
    order, generator = np.random.default_rng(seed), torch.Generator().manual_seed(seed)

    def losses() -> Iterator[Tensor]:
        for features, presence, _ in windows.shuffled_batches(budget.pretrain_batch, order):
            yield pairwise_contrast(heads(encoders(augment(features, generator))), presence)

    descend(
        nn.ModuleList([encoders, heads]),
        losses,
        epochs=budget.pretrain_epochs,
        steps=-(-len(windows) // budget.pretrain_batch),
        progress=progress,
        task="CMC, unlabelled",
        on_epoch=on_epoch,
    )
    return encoders


def _tune(
    encoders: nn.Module, spec: ModelSpec, windows: Windows, budget: Budget, seed: int, progress: Progress
) -> Predict:
    torch.manual_seed(seed)
    return learn_labels(_Concatenated(encoders, spec), windows, budget, seed, progress, "CMC")


def _tune_with_spread_labels(
    encoders: nn.Module, spec: ModelSpec, windows: Windows, budget: Budget, seed: int, progress: Progress
) -> Predict:
    torch.manual_seed(seed)
    assert isinstance(encoders, Encoders)
    z, presence, _ = embed(encoders, windows)
    reached, confidence = spread_over(windows, z, presence)
    budget = budget.with_labels(windows.labelled, reached)
    network = _Concatenated(encoders, spec)
    return learn_labels(network, reached, budget, seed, progress, "CMC, labels spread", confidence)


cmc_spread = TwoStages(Encoders, _pretrain, _tune_with_spread_labels)
"""CMC with Cosmo's addition: its classifier, too, learns from labels that spread over its own stage 1's embeddings."""

cmc = TwoStages(Encoders, _pretrain, _tune)
"""A ``Fit``: the full graph of pairs on all windows, then a classifier of all features, tuned with the encoders.

Negatives are the minibatch's other windows, not a memory bank: a bank holds stale features and pays where a batch is
small beside the data, which it is not here.
"""


def pairwise_contrast(r: Tensor, presence: Tensor, temperature: float = TEMPERATURE) -> Tensor:
    """InfoNCE in both directions between each two modalities, over the windows that have both.

    Args:
        r: (N, M, D) unit projections.
        presence: (N, M), 1 or 0.
        temperature: tau.

    Returns:
        The mean over pairs of modalities, a scalar.
    """
    losses = []
    for i, j in combinations(range(r.shape[1]), 2):
        both = (presence[:, i] * presence[:, j]) > 0
        similarity = r[both, i] @ r[both, j].T / temperature
        if len(similarity) > 1:
            itself = torch.arange(len(similarity))
            losses += [
                nn.functional.cross_entropy(similarity, itself),
                nn.functional.cross_entropy(similarity.T, itself),
            ]
    return torch.stack(losses).mean() if losses else 0 * r.sum()


class _Concatenated(nn.Module):
    def __init__(self, encoders: nn.Module, spec: ModelSpec):
        super().__init__()
        self.encoders = encoders
        self.classify = EmbeddingClassifier(len(spec.modalities), len(spec.classes))

    def forward(self, features: Features, presence: Tensor) -> Tensor:
        return self.classify(self.encoders(features), presence)
