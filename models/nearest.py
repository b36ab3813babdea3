"""A classifier without training: it stores examples, and names a window after the examples most similar to it.

It is between prototypes (nearest class mean; Snell et al., NeurIPS 2017) and nearest neighbours. Each example of an
activity votes with a weight that falls with distance, and an activity's vote is the mean over its examples (Parzen
windows). It is for sessions with too few examples to train a classifier.
"""

from __future__ import annotations

from typing import Tuple

import torch
from torch import Tensor, nn

SHARPNESS = 10.0
"""How fast a vote falls with distance. Chosen, like all constants here, with people who are in no result."""

_SMALLEST = 1e-2  # the smallest length; its square can still be represented in half precision
_LEAST_VOTE = 1e-4


class NearestExamples(nn.Module):
    """Compares a window with each example, sensor by sensor.

    The similarity of two windows is the mean cosine between their whitened embeddings (``evened``), over the sensors
    that both have. Windows without a common sensor have the lowest similarity.


    Attributes:
        usual: (M, D) each sensor's mean embedding.
        evening: (M, D, D) the matrix that equalises the variance of each sensor's embeddings in all directions.
        examples: (M, D, K) whitened embeddings of K windows.
        seen: (M, K), 1 where an example has the sensor.
        shares: (K, C) each example's share in its activity: 1 over the number of its examples.
    """

    usual: Tensor
    evening: Tensor
    examples: Tensor
    seen: Tensor
    shares: Tensor

    def __init__(self, classes: int, modalities: int, dim: int, examples: int):
        super().__init__()
        self.register_buffer("usual", torch.zeros(modalities, dim))
        self.register_buffer("evening", torch.eye(dim).repeat(modalities, 1, 1))
        self.register_buffer("examples", torch.zeros(modalities, dim, examples))
        self.register_buffer("seen", torch.zeros(modalities, examples))
        self.register_buffer("shares", torch.zeros(examples, classes))

    def evened(self, z: Tensor) -> Tensor:
        """Whitens embeddings (N, M, D) around the mean one -> unit vectors (M, N, D)."""
        away = (z - self.usual).transpose(0, 1) @ self.evening
        return away / (away * away).sum(2, keepdim=True).sqrt().clamp(
            _SMALLEST, 1e4
        )  # two bounds as in models.encoders

    def likeness(self, z: Tensor, presence: Tensor) -> Tensor:
        """Embeddings (N, M, D) and presence (N, M) -> similarities (N, K), from 0 to 2."""
        compared = presence.transpose(0, 1).unsqueeze(2) * self.seen.unsqueeze(1)  # (M, N, K)
        cosines = self.evened(z) @ self.examples
        return ((cosines + 1) * compared).sum(0) / compared.sum(0).clamp(1.0, 1e4)

    def forward(self, z: Tensor, presence: Tensor) -> Tuple[Tensor, Tensor]:
        """Embeddings (N, M, D) and presence (N, M) -> logits (N, classes) and the sensors' weights (N, M)."""
        likeness = self.likeness(z, presence)
        votes = torch.exp(SHARPNESS * (likeness - likeness.amax(1, keepdim=True))) @ self.shares
        weights = presence / presence.sum(1, keepdim=True).clamp(1.0, 1e4)
        return torch.log(votes.clamp(_LEAST_VOTE, 1e4)), weights
