"""Fusion of modalities by quality-guided attention (Cosmo, MobiCom 2022, section on iterative fusion learning)."""

from __future__ import annotations

from typing import Sequence

import torch
from torch import Tensor, nn


class QualityGuidedAttention(nn.Module):
    """Computes the weight of each modality in a window.

    With embeddings z_j: mu_j = tanh(W z_j + b), attention = softmax over j of mu_j . z_j, and the weights are
    beta = (1 - lambda) attention + lambda quality. Both terms ignore absent modalities and sum to 1 over the present
    ones. If none is present, all weights are 0.
    """

    quality: Tensor

    def __init__(self, dim: int, quality: Sequence[float], quality_share: float):
        super().__init__()
        self.project = nn.Linear(dim, dim)
        # The score sums `dim` products, so small weights make the softmax start near even instead of saturated.
        nn.init.normal_(self.project.weight, std=0.1 / dim)
        nn.init.zeros_(self.project.bias)
        self.register_buffer("quality", torch.tensor(quality, dtype=torch.float32))
        self.quality_share = quality_share

    def forward(self, z: Tensor, presence: Tensor) -> Tensor:
        """Embeddings (N, M, D) and presence (N, M), 1 or 0 -> weights (N, M)."""
        score = (torch.tanh(self.project(z)) * z).sum(2)
        attention = torch.softmax(score - 1e4 * (1 - presence), dim=1) * presence  # 1e4 fits into half precision
        quality = self.quality * presence
        quality = quality / quality.sum(1, keepdim=True).clamp(1e-6, 1e4)  # two bounds, as in models.encoders
        return (1 - self.quality_share) * attention + self.quality_share * quality


class SumAttn(nn.Module):
    """v = sum_j beta_j z_j, for similar modalities."""

    def __init__(self, modalities: int, dim: int):
        super().__init__()
        self.dim = dim

    def forward(self, z: Tensor, weights: Tensor) -> Tensor:
        """Embeddings (N, M, D) and weights (N, M) -> (N, D)."""
        return (weights.unsqueeze(2) * z).sum(1)


class ConcatAttn(nn.Module):
    """v = [beta_1 z_1, ..., beta_M z_M], for diverse modalities."""

    def __init__(self, modalities: int, dim: int):
        super().__init__()
        self.dim = modalities * dim

    def forward(self, z: Tensor, weights: Tensor) -> Tensor:
        """Embeddings (N, M, D) and weights (N, M) -> (N, M * D)."""
        return (weights.unsqueeze(2) * z).flatten(1)
