from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import save
from torch import nn

from cosmo_runtime.models.bundle import BundleError, write_bundle
from cosmo_runtime.models.encoders import DepthEncoder, InertialEncoder, RadarEncoder
from cosmo_runtime.models.networks import CosmoNetwork, Encoders, ProjectionHeads, load_network
from cosmo_runtime.models.spec import ModalitySpec, ModelSpec

DEPLOYED = ModelSpec(
    modalities=(
        ModalitySpec(sensor="imu", rate_hz=50, shape=(6,)),
        ModalitySpec(sensor="depth", rate_hz=10, shape=(27, 48)),
        ModalitySpec(sensor="radar", rate_hz=20, shape=(32, 5)),
    ),
    window_s=2,
    hop_s=0.5,
    classes=tuple(f"activity {i}" for i in range(27)),
    quality=(0.3, 0.4, 0.3),
)


def inputs(n: int) -> list[torch.Tensor]:
    shapes = [(n, DEPLOYED.steps(m), *m.shape) for m in DEPLOYED.modalities]
    return [torch.rand(shape, generator=torch.Generator().manual_seed(i)) * 3 for i, shape in enumerate(shapes)]


def test_the_deployed_size_stays_small():
    """At most 0.5 M parameters and 30 M multiply-adds a window of 100 x 6, 20 x 27 x 48 and 40 x 32 x 5."""
    network = CosmoNetwork(DEPLOYED).eval()
    multiply_adds = 0

    def count(layer: nn.Module, _, output: torch.Tensor) -> None:
        nonlocal multiply_adds
        multiply_adds += output.numel() * layer.weight[0].numel()

    for layer in network.modules():
        if isinstance(layer, (nn.Conv1d, nn.Conv2d, nn.Linear)):
            layer.register_forward_hook(count)
    network(*inputs(1), torch.ones(1, 3))
    assert sum(p.numel() for p in network.parameters()) <= 500_000
    assert 10_000_000 < multiply_adds <= 30_000_000


@pytest.mark.parametrize("fusion", ["concat", "sum"])
def test_probabilities_and_weights_sum_to_one(fusion):
    network = CosmoNetwork(DEPLOYED, fusion).eval()
    probabilities, weights = network(*inputs(4), torch.ones(4, 3))
    assert (probabilities.shape, weights.shape) == ((4, 27), (4, 3))
    torch.testing.assert_close(probabilities.sum(1), torch.ones(4))
    torch.testing.assert_close(weights.sum(1), torch.ones(4))


@pytest.mark.parametrize("fusion", ["concat", "sum"])
def test_an_absent_sensor_has_no_say(fusion):
    network = CosmoNetwork(DEPLOYED, fusion).eval()
    imu, depth, radar = inputs(2)
    presence = torch.tensor([[1.0, 0.0, 1.0]] * 2)
    answers = network(imu, depth, radar, presence)
    others = network(imu, torch.zeros_like(depth), radar, presence)
    torch.testing.assert_close(answers, others)
    assert (answers[1][:, 1] == 0).all()


def test_embeddings_have_length_one_and_are_classified_at_unit_size():
    """A score of the attention is then bounded, and a component of what is classified is about 1."""
    network = CosmoNetwork(DEPLOYED).eval()
    z = network.encoders(dict(zip(DEPLOYED.sensors, inputs(4))))
    torch.testing.assert_close(z.norm(dim=2), torch.ones(4, 3))
    classified = []
    network.classifier.classify.register_forward_pre_hook(lambda _, given: classified.append(given[0]))
    network.classifier(z, torch.tensor([[0.0, 1.0, 0.0]] * 4))
    torch.testing.assert_close(classified[0].norm(dim=1), torch.full((4,), z.shape[2] ** 0.5))


def test_nothing_present_is_no_answer_but_a_number():
    probabilities, weights = CosmoNetwork(DEPLOYED).eval()(*inputs(1), torch.zeros(1, 3))
    assert torch.isfinite(probabilities).all()
    assert (weights == 0).all()


def test_normalisation_is_taken_from_windows_that_have_the_sensor():
    encoders = Encoders(DEPLOYED)
    features = dict(zip(DEPLOYED.sensors, inputs(6)))
    features["imu"][:3] = 1e6
    presence = torch.ones(6, 3)
    presence[:3, 0] = 0
    encoders.fit(features, presence)
    assert encoders.by_sensor["imu"].mean.abs().max() < 3
    torch.testing.assert_close(encoders.by_sensor["imu"].std, features["imu"][3:].std((0, 1)))


def test_imu_normalisation_undoes_units_and_offsets():
    encoder = InertialEncoder(3, 16).eval()
    x = torch.randn(4, 50, 3)
    scaled = x * torch.tensor([9.8, 0.1, 50.0]) + torch.tensor([0.0, 3.0, -20.0])
    encoder.fit(x)
    answer = encoder(x)
    encoder.fit(scaled)
    torch.testing.assert_close(encoder(scaled), answer, atol=1e-3, rtol=1e-3)


def test_depth_reads_holes_as_background():
    """A pixel that measured nothing and one at the far wall look the same."""
    encoder = DepthEncoder(9, 12, 16).eval()
    x = torch.full((2, 5, 9, 12), 2.0)
    x[:, :, 3:, 4:6] = 1.0
    encoder.fit(x)
    wall, hole = x.clone(), x.clone()
    wall[:, :, :, 10:] = 50.0
    hole[:, :, :, 10:] = 0.0
    torch.testing.assert_close(encoder(wall), encoder(hole))
    assert not torch.allclose(encoder(wall), encoder(x))


def test_radar_cares_neither_for_the_order_of_points_nor_for_padding():
    encoder = RadarEncoder(16).eval()
    x = torch.zeros(2, 8, 6, 5)
    x[:, :, :4] = torch.randn(2, 8, 4, 5)
    encoder.fit(x)
    answer = encoder(x)
    torch.testing.assert_close(encoder(x[:, :, torch.tensor([5, 3, 1, 0, 4, 2])]), answer)
    torch.testing.assert_close(encoder(x[:, :, :4]), answer)
    assert not torch.allclose(encoder(x * 1.5), answer)


def test_projections_are_unit_vectors():
    r = ProjectionHeads(3)(torch.randn(8, 3, 64))
    assert r.shape == (8, 3, 128)
    torch.testing.assert_close(r.norm(dim=2), torch.ones(8, 3))


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (b"", "is damaged"),
        (b"\xff" * 100, "is damaged"),
        (save({"classifier.classify.0.weight": torch.full((2, 2), torch.nan)}), "is damaged"),
        (save({"classifier.classify.0.weight": torch.zeros(2)}), "does not fit"),
        (save({"other": torch.zeros(2)}), "does not fit"),
    ],
)
def test_weights_that_are_none_are_told_even_where_their_digest_is_right(tmp_path, weights, message):
    bundle = write_bundle(tmp_path / "bundle", DEPLOYED, onnx=b"\x08\x07", weights=weights, provenance={}, metrics={})
    with pytest.raises(BundleError, match=f"weights.safetensors {message}"):
        load_network(bundle)
