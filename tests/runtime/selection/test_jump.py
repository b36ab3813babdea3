from __future__ import annotations

import numpy as np
import pytest

from cosmo_runtime.runtime.selection.jump import jumps

STEPS = 100


def imu(*rates: float, channels: int = 6) -> np.ndarray:
    """A window that turns at these rates in rad/s, each for an equal part of it."""
    window = np.zeros((STEPS, 9), np.float32)
    window[:, 2] = 9.81
    window[:, 3] = np.repeat(rates, STEPS // len(rates))
    return window[:, :channels]


@pytest.mark.parametrize(
    ("rates", "jumped"),
    [
        ((0.1, 0.1, 0.1, 5.0), True),  # somebody falls in the newest quarter
        ((2.0, 2.0, 2.0, 5.0), True),  # and this one walked before
        ((0.1, 0.1, 0.1, 0.1), False),
        ((0.1, 0.1, 0.1, 1.0), False),  # turns over in bed
        ((5.0, 5.0, 5.0, 5.0), False),  # goes on running
        ((0.1, 0.1, 5.0, 0.1), False),  # an earlier window had it
    ],
)
def test_what_suddenly_moves_jumps(rates, jumped):
    assert jumps(imu(*rates)) == jumped


def test_a_knock_jumps_without_a_gyroscope():
    window = imu(0, 0, 0, 0, channels=3)
    assert not jumps(window)
    window[80:, 0] = 30
    assert jumps(window)
