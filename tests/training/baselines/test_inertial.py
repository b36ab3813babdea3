from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from cosmo_runtime.training.baselines.inertial import Inertial
from cosmo_runtime.training.datasets.usc import usc_spec


def test_an_imu_is_in_g_at_its_own_steps(spec, windows):
    features, presence, _ = windows.tensors([0, 1])
    presence[1, 0] = 0
    x = Inertial(spec, 20)(features, presence)
    assert x.shape == (2, 20, 6)
    pairs = features["imu"][0].reshape(20, 2, 6).mean(1)
    torch.testing.assert_close(x[0], torch.cat([pairs[:, :3] / 9.8, pairs[:, 3:]], dim=1))
    assert not x[1].any()


def test_an_accelerometer_and_a_gyroscope_are_one():
    features = {"accelerometer": torch.randn(2, 200, 3), "gyroscope": torch.randn(2, 200, 3)}
    x = Inertial(usc_spec(), 200)(features, torch.tensor([[1.0, 1.0], [1.0, 0.0]]))
    torch.testing.assert_close(x[:, :, :3], features["accelerometer"] / 9.8)
    torch.testing.assert_close(x[0, :, 3:], features["gyroscope"][0])
    assert not x[1, :, 3:].any()
