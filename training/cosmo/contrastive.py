"""The contrastive fusion loss (Cosmo, MobiCom 2022): random fusions of one window's modalities attract each other."""

from __future__ import annotations

from typing import Optional

import torch
from torch import Tensor


def random_weightings(
    presence: Tensor, count: int, generator: torch.Generator, within: tuple[float, float] = (0.0, 1.0)
) -> Tensor:
    """Fusion weights uniform on the simplex of each window's present modalities, or on a smaller one around its centre.

    Normalised exponentials are uniform on the simplex. Without the absent modalities, they are uniform on its face.

    Args:
        presence: (N, M), 1 or 0, at least one present in each window.
        count: P, the number of weightings for each window.
        generator: source of the random numbers.
        within: the range of each weight if two modalities are present, as in the paper: (0, 1) is the whole simplex,
            (0.3, 0.7) is 0.4 times as large. With more modalities the simplex shrinks by the same factor: three weights
            then lie in (0.2, 0.6). Two weights sum to 1, so the ends of the range must too.

    Returns:
        alpha (N, P, M), sum 1 over M.

    Raises:
        ValueError: the ends of ``within`` are not such a range.
    """
    low, high = within
    if not 0 <= low < high <= 1 or abs(low + high - 1) > 1e-6:
        raise ValueError(
            f"weights between {low:g} and {high:g}: the ends lie between 0 and 1 and sum to 1, as 0.3, 0.7"
        )
    n, modalities = presence.shape
    draws = torch.empty(n, count, modalities).exponential_(generator=generator) * presence.unsqueeze(1)
    alpha = draws / draws.sum(2, keepdim=True)
    middle = (presence / presence.sum(1, keepdim=True)).unsqueeze(1)
    return (high - low) * alpha + (1 - (high - low)) * middle


def contrastive_fusion_loss(
    r: Tensor,
    alpha: Tensor,
    temperature: float = 0.07,
    related: Optional[Tensor] = None,
    anchors: slice = slice(None),
) -> Tensor:
    """The loss over the P x N fused features v_k = sum_j alpha_jk r_j of a minibatch.

    L = mean_s -1/|P(s)| sum_{p in P(s)} log( exp(v_s.v_p / tau) / sum_{a != s} exp(v_s.v_a / tau) ), where P(s) are the
    other fusions of the same window and all fusions of related windows. The paper has no related windows and sums over
    s. The mean only rescales the loss, so that the learning rate does not depend on the batch.

    Args:
        r: (N, M, D) unit projections of N windows' modalities.
        alpha: (N, P, M) fusion weights, P >= 2.
        temperature: tau.
        related: (N, N) bool, symmetric: windows that are positives of each other. The diagonal is ignored.
        anchors: the windows whose fusions s runs over. The losses of slices that make up the batch sum to its loss.

    Returns:
        The loss, a scalar.
    """
    n, count, _ = alpha.shape
    v = (alpha @ r).flatten(0, 1)  # (N * P, D)
    window = torch.arange(n, device=v.device)
    same = window[anchors].unsqueeze(1) == window
    alike = same if related is None else same | related[anchors]
    positive = alike.repeat_interleave(count, 0).repeat_interleave(count, 1)  # (A * P, N * P)
    fusion = torch.arange(n * count, device=v.device)
    mine = fusion.reshape(n, count)[anchors].flatten()
    itself = mine.unsqueeze(1) == fusion
    positive &= ~itself

    similarity = (v[mine] @ v.T / temperature).masked_fill(itself, float("-inf"))
    log_share = similarity - torch.logsumexp(similarity, dim=1, keepdim=True)
    return -(log_share.masked_fill(~positive, 0).sum(1) / positive.sum(1)).sum() / (n * count)
