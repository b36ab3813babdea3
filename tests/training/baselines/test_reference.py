from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from torch import nn

from cosmo_runtime.models.spec import ModalitySpec, ModelSpec
from cosmo_runtime.training.baselines.reference import ReferenceImuEncoder, ReferenceNetwork, ReferenceSkeletonEncoder

SPEC = ModelSpec(
    modalities=(
        ModalitySpec(sensor="imu", rate_hz=40, shape=(6,)),
        ModalitySpec(sensor="skeleton", rate_hz=40 / 3, shape=(20, 3)),
    ),
    window_s=3,
    hop_s=3,
    classes=tuple(f"activity {k}" for k in range(27)),
    quality=(0.5, 0.5),
)


def parameters(*parts: nn.Module) -> int:
    return sum(p.numel() for part in parts for p in part.parameters())


def windows(n: int) -> dict[str, torch.Tensor]:
    return {"imu": torch.randn(n, 120, 6), "skeleton": torch.randn(n, 40, 20, 3)}


@pytest.fixture
def network() -> ReferenceNetwork:
    torch.manual_seed(0)
    return ReferenceNetwork(SPEC).eval()


def test_embeddings_are_as_long_as_published(network):
    assert network.encoders.dims == [7552, 2688]
    assert network.encoders(windows(2)).shape == (2, 7552 + 2688)


def test_the_deployed_size_is_the_published_one(network):
    fusion = network.classifier
    assert parameters(network) == pytest.approx(19.8e6, rel=0.01)
    assert parameters(fusion.reduce, fusion.attention) == pytest.approx(16.6e6, rel=0.01)
    assert fusion.recur.input_size == 640


def test_weights_follow_quality_and_sum_to_one(network):
    probabilities, weights = network(*windows(3).values(), torch.ones(3, 2))
    torch.testing.assert_close(probabilities.sum(1), torch.ones(3))
    torch.testing.assert_close(weights.sum(1), torch.ones(3))
    assert (weights[:, 0] >= 0.8 * 0.3).all()
    assert (weights[:, 1] >= 0.8 * 0.7).all()


def test_an_absent_modality_does_not_matter(network):
    given = windows(3)
    presence = torch.tensor([[1.0, 0.0]]).repeat(3, 1)
    first, weights = network(given["imu"], given["skeleton"], presence)
    second, _ = network(given["imu"], torch.randn(3, 40, 20, 3), presence)
    torch.testing.assert_close(first, second)
    torch.testing.assert_close(weights, presence)


def test_projections_have_length_one(network):
    r = network.encoders.projection_heads()(network.encoders(windows(4)))
    assert r.shape == (4, 2, 128)
    torch.testing.assert_close(r.norm(dim=2), torch.ones(4, 2))


def test_only_the_published_modalities_have_encoders():
    depth = ModalitySpec(sensor="depth", rate_hz=10, shape=(30, 40))
    with pytest.raises(ValueError, match="no published encoder of depth"):
        ReferenceNetwork(SPEC.model_copy(update={"modalities": (SPEC.modalities[0], depth)}))


def test_normalisation_keeps_the_axes_of_a_quantity_alike():
    torch.manual_seed(0)
    imu, skeleton = ReferenceImuEncoder(), ReferenceSkeletonEncoder()
    imu.fit(torch.randn(50, 120, 6) * torch.tensor([2.0, 2, 2, 5, 5, 5]) + torch.tensor([1.0, 1, 1, 3, 3, 3]))
    torch.testing.assert_close(imu.mean, torch.tensor([1.0, 1, 1, 3, 3, 3]), atol=0.1, rtol=0)
    torch.testing.assert_close(imu.std, torch.tensor([2.0, 2, 2, 5, 5, 5]), atol=0.1, rtol=0)
    skeleton.fit(torch.randn(50, 40, 20, 3) * torch.tensor([1.0, 2, 3]) + torch.tensor([0.0, 1, 2]))
    torch.testing.assert_close(skeleton.mean, torch.tensor([0.0, 1, 2]), atol=0.1, rtol=0)
    torch.testing.assert_close(skeleton.std, torch.tensor([1.0, 2, 3]), atol=0.1, rtol=0)
