from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from torch import nn

from models.reference import ReferenceFusion, ReferenceImuEncoder, ReferenceSkeletonEncoder


def parameters(*parts: nn.Module) -> int:
    return sum(p.numel() for part in parts for p in part.parameters())


@pytest.fixture
def published() -> tuple[nn.Module, nn.Module, nn.Module]:
    torch.manual_seed(0)
    imu, skeleton = ReferenceImuEncoder().eval(), ReferenceSkeletonEncoder().eval()
    return imu, skeleton, ReferenceFusion([imu.dim, skeleton.dim], classes=27, quality=(0.3, 0.7)).eval()


def test_embeddings_are_as_long_as_published(published):
    imu, skeleton, _ = published
    assert imu(torch.randn(2, 120, 6)).shape == (2, imu.dim) == (2, 7552)
    assert skeleton(torch.randn(2, 40, 20, 3)).shape == (2, skeleton.dim) == (2, 2688)


def test_the_deployed_size_is_the_published_one(published):
    fusion = published[2]
    assert parameters(*published) == pytest.approx(19.8e6, rel=0.01)
    assert parameters(fusion.reduce, fusion.attention) == pytest.approx(16.6e6, rel=0.01)
    assert fusion.recur.input_size == 640


def test_weights_follow_quality_and_sum_to_one(published):
    imu, skeleton, fusion = published
    logits, weights = fusion([imu(torch.randn(3, 120, 6)), skeleton(torch.randn(3, 40, 20, 3))])
    assert logits.shape == (3, 27)
    torch.testing.assert_close(weights.sum(1), torch.ones(3))
    assert (weights[:, 0] >= 0.8 * 0.3).all()
    assert (weights[:, 1] >= 0.8 * 0.7).all()


def test_normalisation_keeps_the_axes_of_a_quantity_alike():
    imu, skeleton = ReferenceImuEncoder(), ReferenceSkeletonEncoder()
    imu.fit(torch.randn(50, 120, 6) * torch.tensor([2.0, 2, 2, 5, 5, 5]) + torch.tensor([1.0, 1, 1, 3, 3, 3]))
    torch.testing.assert_close(imu.mean, torch.tensor([1.0, 1, 1, 3, 3, 3]), atol=0.1, rtol=0)
    torch.testing.assert_close(imu.std, torch.tensor([2.0, 2, 2, 5, 5, 5]), atol=0.1, rtol=0)
    skeleton.fit(torch.randn(50, 40, 20, 3) * torch.tensor([1.0, 2, 3]) + torch.tensor([0.0, 1, 2]))
    torch.testing.assert_close(skeleton.mean, torch.tensor([0.0, 1, 2]), atol=0.1, rtol=0)
    torch.testing.assert_close(skeleton.std, torch.tensor([1.0, 2, 3]), atol=0.1, rtol=0)
