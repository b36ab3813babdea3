from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from cosmo_runtime.training.baselines.intervals import FILTERS, INTERVALS, IntervalConvolutions


def test_an_interval_knows_its_own_time_and_sensor_only(spec, windows):
    convolutions = IntervalConvolutions(spec).eval()
    features, presence, _ = windows.tensors([0, 1])
    before = convolutions(features, presence)
    assert before.shape == (2, INTERVALS, 3, FILTERS, 3)  # 40 steps: intervals of 4, of 3 frequencies
    features["imu"][:, 4:8] += 1
    changed = (convolutions(features, presence) != before).any(-1).any(-1).any(0)
    expected = torch.zeros(INTERVALS, 3, dtype=torch.bool)
    expected[1, 0] = True
    assert torch.equal(changed, expected)
