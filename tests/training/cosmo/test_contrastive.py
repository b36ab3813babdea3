from __future__ import annotations

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import Tensor

from cosmo_runtime.training.cosmo.contrastive import contrastive_fusion_loss, random_weightings


def by_hand(r: np.ndarray, alpha: np.ndarray, tau: float, related: frozenset[tuple[int, int]] = frozenset()) -> float:
    """The paper's formula, term by term, in Python's floats; ``related`` are pairs of windows, both ways round."""
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
        positives = [p for p in others if features[p][0] == window or (window, features[p][0]) in related]
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


def drawn(n: int, count: int, modalities: int, within: tuple[float, float] = (0.0, 1.0)) -> tuple[Tensor, Tensor]:
    """Unit projections and weightings, in double precision."""
    r = torch.nn.functional.normalize(torch.randn(n, modalities, 6, dtype=torch.float64), dim=2)
    alpha = random_weightings(torch.ones(n, modalities), count, torch.Generator().manual_seed(0), within)
    return r, alpha.double()


@pytest.mark.parametrize("within", [(0.0, 1.0), (0.3, 0.7), (0.45, 0.55)])
def test_loss_of_narrowed_weightings_is_the_papers_formula(within):
    r, alpha = drawn(4, 5, 3, within)
    loss = contrastive_fusion_loss(r, alpha)
    assert loss.item() == pytest.approx(by_hand(r.numpy(), alpha.numpy(), 0.07), rel=1e-10)


@pytest.mark.parametrize("pairs", [[(0, 3)], [(0, 3), (3, 1), (2, 4)]])
def test_fusions_of_related_windows_are_positives(pairs):
    r, alpha = drawn(5, 3, 2)
    both_ways = frozenset([*pairs, *((j, i) for i, j in pairs)])
    related = torch.zeros(5, 5, dtype=torch.bool)
    for i, j in both_ways:
        related[i, j] = True
    expected = by_hand(r.numpy(), alpha.numpy(), 0.07, both_ways)
    assert expected != pytest.approx(by_hand(r.numpy(), alpha.numpy(), 0.07), rel=1e-3)
    assert contrastive_fusion_loss(r, alpha, related=related).item() == pytest.approx(expected, rel=1e-10)
    diagonal = related | torch.eye(5, dtype=torch.bool)
    assert contrastive_fusion_loss(r, alpha, related=diagonal).item() == pytest.approx(expected, rel=1e-10)


def test_losses_of_slices_sum_to_the_loss_of_the_batch():
    r, alpha = drawn(5, 3, 2)
    related = torch.zeros(5, 5, dtype=torch.bool)
    related[1, 4] = related[4, 1] = True
    parts = [
        contrastive_fusion_loss(r, alpha, related=related, anchors=part)
        for part in (slice(0, 2), slice(2, 3), slice(3, 5))
    ]
    torch.testing.assert_close(sum(parts), contrastive_fusion_loss(r, alpha, related=related))


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


def test_a_range_limits_the_weights_of_two_modalities_and_fills():
    alpha = random_weightings(torch.ones(2000, 2), 9, torch.Generator().manual_seed(0), (0.3, 0.7))
    torch.testing.assert_close(alpha.sum(2), torch.ones(2000, 9))
    assert 0.3 <= alpha.min() < 0.301
    assert 0.699 < alpha.max() <= 0.7 + 1e-6
    assert (alpha < 0.4).float().mean() == pytest.approx(0.25, abs=0.01)  # uniform between the ends


def test_a_range_shrinks_larger_simplices_about_the_middle_of_what_is_present():
    presence = torch.tensor([[1.0, 1.0, 1.0], [1.0, 0.0, 1.0], [0.0, 1.0, 0.0]])
    alpha = random_weightings(presence, 2000, torch.Generator().manual_seed(0), (0.3, 0.7))
    torch.testing.assert_close(alpha.sum(2), torch.ones(3, 2000))
    assert alpha[0].min() >= 0.2 - 1e-6 and alpha[0].max() <= 0.6 + 1e-6
    assert (alpha[1, :, 1] == 0).all()
    assert alpha[1, :, 0].min() >= 0.3 - 1e-6 and alpha[1, :, 0].max() <= 0.7 + 1e-6
    torch.testing.assert_close(alpha[2], presence[2].expand(2000, 3))


@pytest.mark.parametrize("within", [(0.7, 0.3), (-0.1, 1.1), (0.2, 0.7), (0.5, 0.5)])
def test_a_range_that_two_weights_cannot_have_is_refused(within):
    with pytest.raises(ValueError, match="sum to 1"):
        random_weightings(torch.ones(1, 2), 2, torch.Generator(), within)
