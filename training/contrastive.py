"""Contrastive fusion loss (Cosmo, MobiCom 2022): random fusions of one window's modalities attract each other."""

from __future__ import annotations

import torch
from torch import Tensor


def random_weightings(presence: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Fusion weights uniform on the simplex of each window's present modalities.

    Normalised exponentials are uniform on the simplex; leaving modalities out is uniform on the face that remains.

    Args:
        presence: (N, M), 1 or 0, at least one present in each window.
        count: P, how many weightings each window gets.
        generator: source of the draw.

    Returns:
        alpha (N, P, M), sum 1 over M.
    """
    n, modalities = presence.shape
    draws = torch.empty(n, count, modalities).exponential_(generator=generator) * presence.unsqueeze(1)
    return draws / draws.sum(2, keepdim=True)


def contrastive_fusion_loss(r: Tensor, alpha: Tensor, temperature: float = 0.07) -> Tensor:
    """The loss over the P x N fused features v_k = sum_j alpha_jk r_j of a minibatch.

    L = mean_s -1/|P(s)| sum_{p in P(s)} log( exp(v_s.v_p / tau) / sum_{a != s} exp(v_s.v_a / tau) ), where P(s) are the
    other fusions of the same window. The paper sums over s; the mean only rescales it, so that the learning rate does
    not depend on the batch.

    Args:
        r: (N, M, D) unit projections of N windows' modalities.
        alpha: (N, P, M) fusion weights, P >= 2.
        temperature: tau.

    Returns:
        The loss, a scalar.
    """
    n, count, _ = alpha.shape
    v = (alpha @ r).flatten(0, 1)  # (N * P, D)
    itself = torch.eye(n * count, dtype=torch.bool)
    window = torch.arange(n).repeat_interleave(count)
    positive = (window.unsqueeze(0) == window.unsqueeze(1)) & ~itself

    similarity = (v @ v.T / temperature).masked_fill(itself, float("-inf"))
    log_share = similarity - torch.logsumexp(similarity, dim=1, keepdim=True)
    return -log_share[positive].sum() / (n * count * (count - 1))
