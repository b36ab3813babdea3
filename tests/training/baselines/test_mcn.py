from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch")

from cosmo_runtime.training.baselines.cmc import pairwise_contrast
from cosmo_runtime.training.baselines.mcn import JOINT, Centroids, clustering_loss, mcn, reconstruction_loss


@pytest.mark.slow
def test_it_learns(check):
    check(mcn, pretrain_epochs=4, epochs=10)


@pytest.fixture
def r():
    return torch.nn.functional.normalize(torch.randn(2, 2, 4, generator=torch.Generator().manual_seed(0)), dim=2)


def test_the_contrast_has_a_margin(r):
    """By hand: what belongs together must be nearer by the margin, both ways."""
    near = [[float(a @ b) for b in r[:, 1]] for a in r[:, 0]]
    total = 0.0
    for i in (0, 1):
        own = math.exp((near[i][i] - 0.3) / 0.5)
        for other in (near[i][1 - i], near[1 - i][i]):
            total -= math.log(own / (own + math.exp(other / 0.5)))
    assert pairwise_contrast(r, torch.ones(2, 2), 0.5, 0.3).item() == pytest.approx(total / 4, rel=1e-5)


def test_each_modality_is_drawn_to_the_centroid_of_the_mean(r):
    """By hand: the second window has its first modality only."""
    presence = torch.tensor([[1.0, 1.0], [1.0, 0.0]])
    centroids = torch.nn.functional.normalize(torch.randn(3, 4, generator=torch.Generator().manual_seed(1)), dim=1)
    total = 0.0
    for i, there in enumerate(([0, 1], [0])):
        mean = sum(r[i, j] for j in there)
        nearest = max(range(3), key=lambda k: float(mean @ centroids[k]))
        for j in there:
            shares = [math.exp(float(r[i, j] @ c) / 0.5) for c in centroids]
            total -= math.log(shares[nearest] / sum(shares)) / 2
    assert clustering_loss(r, presence, centroids, 0.5).item() == pytest.approx(total, rel=1e-5)
    assert clustering_loss(r, presence, centroids[:0]).item() == 0


def test_reconstruction_counts_what_is_there(r):
    again = r + torch.tensor([[1.0, 2.0], [3.0, 100.0]]).unsqueeze(2)
    presence = torch.tensor([[1.0, 1.0], [1.0, 0.0]])
    assert reconstruction_loss(again, r, presence).item() == pytest.approx((1 + 4 + 9) / 3)


def test_centroids_are_those_of_the_queue_and_found_anew_now_and_then():
    axes = torch.eye(JOINT)
    centroids = Centroids(count=2, length=4, seed=0)
    assert not len(centroids.among(axes[:1]))
    first = centroids.among(axes[[0, 0, 1]])
    torch.testing.assert_close(first[first[:, 0].argsort()], axes[[1, 0]])
    for _ in range(18):
        assert centroids.among(axes[[2, 2, 3, 3]]) is first
    second = centroids.among(axes[[2, 2, 3, 3]])  # the twenty-first minibatch
    torch.testing.assert_close(second[second[:, 2].argsort()], axes[[3, 2]])
