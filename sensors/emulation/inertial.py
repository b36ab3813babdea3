"""What an inertial sensor measures of a moving frame: specific force, angular rate, magnetic field."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy.interpolate import make_interp_spline
from scipy.spatial.transform import Rotation, RotationSpline

GRAVITY = 9.80665

_UP = np.array([0.0, 0.0, 1.0])
_NOISE_RATE_HZ = 1000
_RANGE = np.repeat([16 * GRAVITY, np.radians(2000), 4900.0], 3)
_BIAS_PERIODS_S = np.array([45.0, 130.0, 400.0])


def specific_force_and_rate(
    times_s: np.ndarray, positions: np.ndarray, rotations: Rotation, at_s: np.ndarray
) -> np.ndarray:
    """Differentiates a sensor's path: accelerometer R^T (p'' + g up), gyroscope the rate in the sensor's own axes.

    Args:
        times_s: (k,) increasing, k >= 6.
        positions: (k, 3) in metres, z up.
        rotations: k rotations from the sensor's axes to the room's.
        at_s: (n,) times to evaluate at, within ``times_s``.

    Returns:
        (n, 6): specific force in m/s², angular rate in rad/s.
    """
    acceleration = make_interp_spline(times_s, positions, k=5).derivative(2)(at_s)
    turn = RotationSpline(times_s, rotations)
    force = turn(at_s).inv().apply(acceleration + GRAVITY * _UP)
    return np.hstack([force, turn(at_s, 1)])


class InertialSensor:
    """One consumer nine-axis sensor with its errors; the same time always gets the same error.

    White noise and range as of a WitMotion WT901 or a similar MPU-9250 board, and biases that wander over minutes.
    """

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng((seed, 11))
        self._seed = seed
        self._sigma = np.repeat([0.03, 0.004, 0.4], 3)
        self._bias = rng.normal(size=9) * np.repeat([0.06, 0.006, 1.0], 3)
        self._walk = rng.normal(size=(3, 9)) * np.repeat([0.02, 0.002, 0.3], 3)
        self._phase = rng.uniform(0, 2 * np.pi, (3, 9))
        self._noise = lru_cache(maxsize=8)(self._noise_of_second)

    def measure(self, times_s: np.ndarray, ideal: np.ndarray) -> np.ndarray:
        """Returns (n, 9) as measured for the ideal force (m/s²), rate (rad/s) and field (µT) at n times."""
        walk = self._walk * np.sin(2 * np.pi * times_s[:, None, None] / _BIAS_PERIODS_S[:, None] + self._phase)
        ticks = np.round(times_s * _NOISE_RATE_HZ).astype(np.int64)
        seconds, tick = np.divmod(ticks, _NOISE_RATE_HZ)
        white = np.empty((len(times_s), 9))
        for second in np.unique(seconds):
            white[seconds == second] = self._noise(int(second))[tick[seconds == second]]
        return np.clip(ideal + self._bias + walk.sum(axis=1) + white, -_RANGE, _RANGE)

    def _noise_of_second(self, second: int) -> np.ndarray:
        rng = np.random.default_rng((self._seed, 12, second & 0xFFFFFFFF))
        return rng.normal(size=(_NOISE_RATE_HZ, 9)) * self._sigma
