from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from cosmo_runtime.models.spec import ModalitySpec, ModelSpec
from cosmo_runtime.training.baselines.steps import Steps


def test_every_modality_comes_on_one_grid(spec, windows):
    steps = Steps(spec)
    features, presence, _ = windows.tensors([0, 1, 2])
    vectors = steps(features, presence)
    assert [v.shape[:2] for v in vectors] == [(3, 40)] * 3
    assert [v.shape[2] for v in vectors] == steps.dims
    torch.testing.assert_close(vectors[1][:, ::4], vectors[1][:, 3::4])  # four steps of the grid to a depth frame
    torch.testing.assert_close(vectors[0], features["imu"])


def test_an_absent_modality_is_zero_and_has_no_part_in_the_normalisation(spec, windows):
    steps = Steps(spec)
    features, presence, _ = windows.tensors(range(8))
    presence[:4, 0] = 0
    features["imu"][:4] = 1e6
    steps.fit(features, presence)
    vectors = steps(features, presence)
    assert not vectors[0][:4].any()
    torch.testing.assert_close(vectors[0][4:].mean((0, 1)), torch.zeros(6), atol=1e-4, rtol=0)


def test_a_skeleton_is_seen_from_its_hips():
    modality = ModalitySpec(sensor="skeleton", rate_hz=10, shape=(20, 3))
    steps = Steps(ModelSpec(modalities=(modality,), window_s=1, hop_s=1, classes=("one", "other"), quality=(1,)))
    here = torch.randn(2, 10, 20, 3)
    there = here + torch.randn(2, 10, 1, 3)
    torch.testing.assert_close(
        steps({"skeleton": there}, torch.ones(2, 1)), steps({"skeleton": here}, torch.ones(2, 1)), atol=1e-5, rtol=1e-5
    )
