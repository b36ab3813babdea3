"""What an inertial sensor on a moving body measures: specific force, angular rate, magnetic field."""

from __future__ import annotations

from functools import lru_cache
from typing import Callable, NamedTuple, Tuple

import numpy as np
from scipy.interpolate import make_interp_spline
from scipy.ndimage import gaussian_filter1d
from scipy.spatial.transform import Rotation, RotationSpline

GRAVITY = 9.80665

_UP = np.array([0.0, 0.0, 1.0])
_NOISE_RATE_HZ = 1000
_RANGE = np.repeat([16 * GRAVITY, np.radians(2000), 4900.0], 3)
_BIAS_PERIODS_S = np.array([45.0, 130.0, 400.0])
_PATH_HZ = 200  # of a worn sensor's path
_MARGIN = 20  # steps of it
_IMPACT_S = 0.015  # flesh and strap spread a shock over this time


def specific_force_and_rate(
    times_s: np.ndarray, positions: np.ndarray, rotations: Rotation, at_s: np.ndarray
) -> np.ndarray:
    """Differentiates a sensor's path into specific force R^T (p'' + g up) and angular rate, in the sensor's axes.

    Args:
        times_s: (k,) increasing, k >= 6.
        positions: (k, 3) in metres, z up.
        rotations: k rotations from the sensor's axes to the room's.
        at_s: (n,) times of the measurements, within ``times_s``.

    Returns:
        (n, 6): specific force in m/s², angular rate in rad/s.
    """
    acceleration = make_interp_spline(times_s, positions, k=5).derivative(2)(at_s)
    turn = RotationSpline(times_s, rotations)
    force = turn(at_s).inv().apply(acceleration + GRAVITY * _UP)
    return np.hstack([force, turn(at_s, 1)])


class InertialSensor:
    """A consumer nine-axis sensor with its errors. The same time always gets the same error.

    White noise and range are those of a WitMotion WT901 or a similar MPU-9250 board. Biases wander over minutes.
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
        """Returns the measurements (n, 9) for the ideal force (m/s²), rate (rad/s) and field (µT) at n times."""
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


class Worn(NamedTuple):
    """Where an IMU is worn: the joint that it follows, and its axes and its place in that joint's axes."""

    joint: int
    axes: Rotation
    place_m: np.ndarray


class WornImu:
    """An IMU on somebody who moves. Its path is computed once for each second.

    Args:
        path: takes times (n,) in seconds, and returns the sensor's positions (n, 3) in metres and its n rotations, from
            its axes to the room's.
        field_ut: (3,) the magnetic field of the room in µT.
        sensor: the sensor's errors.
    """

    def __init__(
        self, path: Callable[[np.ndarray], Tuple[np.ndarray, Rotation]], field_ut: np.ndarray, sensor: InertialSensor
    ) -> None:
        self._path = path
        self._field_ut = field_ut
        self._sensor = sensor
        self._ideal = lru_cache(maxsize=16)(self._ideal_of_second)

    def measure(self, times_s: np.ndarray) -> np.ndarray:
        """Returns (n, 9): specific force in m/s², angular rate in rad/s, magnetic field in µT."""
        times_s = np.asarray(times_s, float)
        ideal = np.empty((len(times_s), 9))
        seconds = np.floor(times_s).astype(int)
        for second in np.unique(seconds):
            here = seconds == second
            grid_s, values = self._ideal(int(second))
            ideal[here] = np.stack([np.interp(times_s[here], grid_s, column) for column in values.T], axis=1)
        return self._sensor.measure(times_s, ideal)

    def _ideal_of_second(self, second: int) -> Tuple[np.ndarray, np.ndarray]:
        """What a sensor without errors measures in one second, on a fixed grid: its times and values (steps, 9)."""
        times_s = second + np.arange(-_MARGIN, _PATH_HZ + 1 + _MARGIN) / _PATH_HZ
        positions, rotations = self._path(times_s)
        positions = gaussian_filter1d(positions, _IMPACT_S * _PATH_HZ, axis=0, mode="nearest")
        inside = slice(_MARGIN, -_MARGIN)
        felt = specific_force_and_rate(times_s, positions, rotations, times_s[inside])
        return times_s[inside], np.hstack([felt, rotations[inside].inv().apply(self._field_ut)])
