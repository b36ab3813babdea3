from __future__ import annotations

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from training.contrastive import contrastive_fusion_loss, random_weightings


def by_hand(r: np.ndarray, alpha: np.ndarray, tau: float) -> float:
    """The paper's formula, term by term, in Python's floats."""
    n, count, modalities = alpha.shape
    features = [
        (i, [sum(alpha[i, k, j] * r[i, j, d] for j in range(modalities)) for d in range(r.shape[2])])
        for i in range(n)
        for k in range(count)
    ]

    def similar(s: int, a: int) -> float:
        return math.exp(sum(x * y for x, y in zip(features[s][1], features[a][1])) / tau)

    loss = 0.0
    for s, (window, _) in enumerate(features):
        others = [a for a in range(len(features)) if a != s]
        positives = [p for p in others if features[p][0] == window]
        below = sum(similar(s, a) for a in others)
        loss += -sum(math.log(similar(s, p) / below) for p in positives) / len(positives)
    return loss / len(features)


@pytest.mark.parametrize(("n", "count", "modalities", "tau"), [(5, 3, 2, 0.07), (2, 9, 3, 0.5), (4, 2, 1, 1.0)])
def test_loss_is_the_papers_formula(n, count, modalities, tau):
    random = np.random.default_rng(0)
    r = random.normal(size=(n, modalities, 6))
    r /= np.linalg.norm(r, axis=2, keepdims=True)
    alpha = random.dirichlet(np.ones(modalities), (n, count))
    loss = contrastive_fusion_loss(torch.from_numpy(r), torch.from_numpy(alpha), tau)
    assert loss.item() == pytest.approx(by_hand(r, alpha, tau), rel=1e-10)


def test_loss_has_finite_gradients_in_single_precision():
    r = torch.nn.functional.normalize(torch.randn(8, 3, 128), dim=2).requires_grad_()
    alpha = random_weightings(torch.ones(8, 3), 9, torch.Generator().manual_seed(0))
    contrastive_fusion_loss(r, alpha).backward()
    assert torch.isfinite(r.grad).all()
    assert r.grad.abs().sum() > 0


def test_weightings_are_uniform_on_the_simplex():
    """Of a uniform draw on a simplex of M corners, each weight is Beta(1, M - 1): P(w < t) = 1 - (1 - t)^(M - 1)."""
    alpha = random_weightings(torch.ones(2000, 3), 9, torch.Generator().manual_seed(0))
    assert alpha.shape == (2000, 9, 3)
    torch.testing.assert_close(alpha.sum(2), torch.ones(2000, 9))
    for threshold in (0.1, 0.5, 0.9):
        share = (alpha < threshold).float().mean((0, 1))
        torch.testing.assert_close(share, torch.full((3,), 1 - (1 - threshold) ** 2), atol=0.01, rtol=0)


def test_absent_modalities_get_no_weight():
    presence = torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]])
    alpha = random_weightings(presence, 4, torch.Generator().manual_seed(0))
    assert (alpha[0, :, 1] == 0).all()
    torch.testing.assert_close(alpha.sum(2), torch.ones(2, 4))
    torch.testing.assert_close(alpha[1], torch.tensor([[0.0, 1.0, 0.0]]).expand(4, 3))
