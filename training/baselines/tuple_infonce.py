"""TupleInfoNCE (Liu et al., ICCV 2021): contrasts tuples of modalities, also with tuples mixed from two windows.

As published, the loss contrasts the fused, normalised embeddings of tuples. The positive is the same tuple with one
modality augmented. The negatives are other windows and, for each modality, the same tuple with that modality taken from
another window, as many of each kind.

What had to change: encoders, augmentation and classifier are the project's, as for CMC. The query is augmented too, as
in all rows. Each encoder sees only its own modality and the fusion comes after, so that a mixed tuple needs no further
pass through the encoders. The ratios of the negatives and the strength of the augmentation are fixed; the paper can
also learn them.
"""

from __future__ import annotations

from typing import Callable

import torch
from torch import Tensor, nn

from cosmo_runtime.models.networks import EMBEDDING, Encoders
from cosmo_runtime.training.augment import Features, augment
from cosmo_runtime.training.baselines.learning import learn_unlabelled, tune_together
from cosmo_runtime.training.methods import Lesson, TwoStages, normalise

TEMPERATURE = 0.07


def _pretrain(lesson: Lesson) -> Encoders:
    torch.manual_seed(lesson.seed)
    encoders = Encoders(lesson.spec)
    normalise(encoders, lesson.windows, lesson.seed)
    fuse = _Fusion(len(lesson.spec.modalities))
    generator = torch.Generator().manual_seed(lesson.seed)

    def loss(features: Features, presence: Tensor) -> Tensor:
        z, anew = (encoders(augment(features, lesson.windows.kinds, generator)) for _ in range(2))
        augmented = torch.multinomial(presence + 1e-9, 1, generator=generator)
        return tuple_infonce(fuse, z, anew, presence, augmented)

    network = nn.ModuleList([encoders, fuse])
    learn_unlabelled(network, loss, lesson, "TupleInfoNCE")
    return encoders


tuple_contrast = TwoStages("tuple-infonce", Encoders, _pretrain, tune_together("TupleInfoNCE"))
"""Contrasts tuples on all windows, then tunes a classifier of all features together with the encoders."""


def tuple_infonce(
    fuse: Callable[[Tensor, Tensor], Tensor],
    z: Tensor,
    anew: Tensor,
    presence: Tensor,
    augmented: Tensor,
    temperature: float = TEMPERATURE,
) -> Tensor:
    """InfoNCE of each tuple against its positive, all other windows, and itself with one modality from another window.

    Args:
        fuse: embeddings (..., M, D) and presence (..., M) -> unit vectors (..., E).
        z: (N, M, D) embeddings of N windows.
        anew: embeddings of the same windows after another augmentation.
        presence: (N, M), 1 or 0. A modality is only taken from another window if both have it.
        augmented: (N, 1) index of the modality that the positive takes from ``anew``.
        temperature: tau.

    Returns:
        The mean over windows, a scalar.
    """
    n, modalities, _ = z.shape
    modality = torch.arange(modalities)
    query = fuse(z, presence)
    positive = fuse(torch.where((modality == augmented).unsqueeze(2), anew, z), presence)
    similarity = [query @ positive.T]
    other = ~torch.eye(n, dtype=torch.bool)
    for j in modality:
        mixed = torch.where((modality == j).unsqueeze(1), z, z.unsqueeze(1))  # (N, N, M, D): j of the second window
        disturbed = fuse(mixed, presence.unsqueeze(1).expand(n, n, modalities))
        both = presence[:, j] * presence[:, j, None] > 0
        similarity.append(torch.einsum("nd,nkd->nk", query, disturbed).masked_fill(~(other & both), float("-inf")))
    return nn.functional.cross_entropy(torch.cat(similarity, dim=1) / temperature, torch.arange(n))


class _Fusion(nn.Module):
    def __init__(self, modalities: int):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(modalities * EMBEDDING, 128), nn.ReLU(), nn.Linear(128, 128))

    def forward(self, z: Tensor, presence: Tensor) -> Tensor:
        return nn.functional.normalize(self.layers((z * presence.unsqueeze(-1)).flatten(-2)), dim=-1)
